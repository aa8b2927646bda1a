/* Stand-in for libuci's header: reading packages, without staged changes. */
#ifndef STANDIN_UCI_H
#define STANDIN_UCI_H

#include <stdbool.h>
#include <stddef.h>

struct uci_list {
	struct uci_list *next, *prev;
};

struct uci_element {
	struct uci_list list;
	char *name;
};

struct uci_context {
	struct uci_list packages;
};

struct uci_package {
	struct uci_element e;
	struct uci_list sections;
	struct uci_context *ctx;
};

struct uci_section {
	struct uci_element e;
	struct uci_list options;
	bool anonymous;
	char *type;
};

struct uci_context *uci_alloc_context(void);
void uci_free_context(struct uci_context *ctx);
int uci_load(struct uci_context *ctx, const char *name, struct uci_package **package);
struct uci_section *uci_lookup_section(struct uci_context *ctx, struct uci_package *p, const char *name);
const char *uci_lookup_option_string(struct uci_context *ctx, struct uci_section *s, const char *name);

/* In all three, the list comes first. */
#define uci_foreach_element(head, ptr) \
	for ((ptr) = (struct uci_element *)(head)->next; &(ptr)->list != (head); (ptr) = (struct uci_element *)(ptr)->list.next)
#define uci_to_section(ptr) ((struct uci_section *)(ptr))

#endif
