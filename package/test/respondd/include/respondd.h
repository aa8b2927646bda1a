/* Stand-in for respondd's header: what a provider has to export. */
#ifndef STANDIN_RESPONDD_H
#define STANDIN_RESPONDD_H

struct json_object;

struct respondd_provider_info {
	const char *request;
	struct json_object *(*provider)(void);
};

extern const struct respondd_provider_info respondd_providers[];

#endif
