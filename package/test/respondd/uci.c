/* Stand-in for libuci, which Debian does not have: reads files as "uci export" writes them. */
#include <uci.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An option with one value. */
struct option {
	struct uci_element e;
	char *value;
};

static void init(struct uci_list *l) { l->next = l->prev = l; }

static void *append(struct uci_list *to, size_t size, const char *name) {
	struct uci_element *e = calloc(1, size);
	e->name = strdup(name);
	e->list.next = to;
	e->list.prev = to->prev;
	to->prev->next = &e->list;
	to->prev = &e->list;
	return e;
}

struct uci_context *uci_alloc_context(void) {
	struct uci_context *ctx = calloc(1, sizeof(*ctx));
	init(&ctx->packages);
	return ctx;
}

void uci_free_context(struct uci_context *ctx) {
	struct uci_element *p, *s, *o, *next;
	for (p = (void *)ctx->packages.next; &p->list != &ctx->packages; p = next) {
		struct uci_package *package = (void *)p;
		for (s = (void *)package->sections.next; &s->list != &package->sections; s = next) {
			struct uci_section *section = (void *)s;
			for (o = (void *)section->options.next; &o->list != &section->options; o = next) {
				next = (void *)o->list.next;
				free(((struct option *)o)->value);
				free(o->name);
				free(o);
			}
			next = (void *)s->list.next;
			free(section->type);
			free(s->name);
			free(s);
		}
		next = (void *)p->list.next;
		free(p->name);
		free(p);
	}
	free(ctx);
}

/* Cuts the next word off a line, quotes taken away; NULL at its end. */
static char *word(char **line) {
	char *p = *line + strspn(*line, " \t\n"), *start = p;
	if (!*p)
		return NULL;
	if (*p == '\'') {
		p = strchr(++start, '\'');
		p = p ? p : start + strlen(start);
	} else {
		p += strcspn(p, " \t\n");
	}
	*line = *p ? p + 1 : p;
	*p = '\0';
	return start;
}

int uci_load(struct uci_context *ctx, const char *name, struct uci_package **to) {
	char path[256], text[1024], type[256];
	snprintf(path, sizeof(path), "/etc/config/%s", name);
	FILE *f = fopen(path, "r");
	if (!f)
		return 3;
	struct uci_package *p = *to = append(&ctx->packages, sizeof(*p), name);
	struct uci_section *s = NULL;
	p->ctx = ctx;
	init(&p->sections);
	while (fgets(text, sizeof(text), f)) {
		char *line = text, *what = word(&line), *key = what ? word(&line) : NULL, *value = key ? word(&line) : NULL;
		if (key && !strcmp(what, "config")) {
			snprintf(type, sizeof(type), "%s", key);
			s = append(&p->sections, sizeof(*s), value ? value : "cfg");
			s->anonymous = !value;
			s->type = strdup(type);
			init(&s->options);
		} else if (s && value && !strcmp(what, "option")) {
			struct option *o = append(&s->options, sizeof(*o), key);
			o->value = strdup(value);
		}
	}
	fclose(f);
	return 0;
}

struct uci_section *uci_lookup_section(struct uci_context *ctx, struct uci_package *p, const char *name) {
	struct uci_element *e;
	(void)ctx;
	uci_foreach_element(&p->sections, e) {
		if (!strcmp(e->name, name))
			return uci_to_section(e);
	}
	return NULL;
}

const char *uci_lookup_option_string(struct uci_context *ctx, struct uci_section *s, const char *name) {
	struct uci_element *e;
	(void)ctx;
	uci_foreach_element(&s->options, e) {
		if (!strcmp(e->name, name))
			return ((struct option *)e)->value;
	}
	return NULL;
}
