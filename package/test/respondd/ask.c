/* ask LIBRARY REQUEST: does what respondd does with a provider, and prints the answer. */
#include <respondd.h>

#include <dlfcn.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	void *lib = dlopen(argv[1], RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "ask: %s\n", dlerror());
		return 1;
	}
	const struct respondd_provider_info *p = dlsym(lib, "respondd_providers");
	for (; p && p->request; p++) {
		if (strcmp(p->request, argv[2]))
			continue;
		struct json_object *answer = p->provider();
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
		json_object_put(answer);
		return 0;
	}
	fprintf(stderr, "ask: no provider for %s\n", argv[2]);
	return 1;
}
