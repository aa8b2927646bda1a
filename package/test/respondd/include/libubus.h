/* Stand-in for libubus's header: a client that looks objects up and calls them. */
#ifndef STANDIN_LIBUBUS_H
#define STANDIN_LIBUBUS_H

#include <libubox/blobmsg.h>

struct ubus_context;

struct ubus_request {
	void *priv;
};

typedef void (*ubus_data_handler_t)(struct ubus_request *req, int type, struct blob_attr *msg);

struct ubus_context *ubus_connect(const char *path);
void ubus_free(struct ubus_context *ctx);
int ubus_lookup_id(struct ubus_context *ctx, const char *path, uint32_t *id);
int ubus_invoke(struct ubus_context *ctx, uint32_t obj, const char *method, struct blob_attr *msg,
	ubus_data_handler_t cb,
	void *priv, int timeout_ms);

#endif
