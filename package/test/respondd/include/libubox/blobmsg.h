/* Stand-in for libubox's header: reading blobmsg, as far as our shim does. Big-endian on the wire and in memory. */
#ifndef STANDIN_BLOBMSG_H
#define STANDIN_BLOBMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_attr {
	uint32_t id_len;
	char data[];
};

enum blobmsg_type {
	BLOBMSG_TYPE_UNSPEC,
	BLOBMSG_TYPE_ARRAY,
	BLOBMSG_TYPE_TABLE,
	BLOBMSG_TYPE_STRING,
	BLOBMSG_TYPE_INT64,
	BLOBMSG_TYPE_INT32,
	BLOBMSG_TYPE_INT16,
	BLOBMSG_TYPE_INT8,
	BLOBMSG_TYPE_DOUBLE,
};

int blobmsg_type(const struct blob_attr *attr);
const char *blobmsg_name(const struct blob_attr *attr);
char *blobmsg_get_string(struct blob_attr *attr);
uint32_t blobmsg_get_u32(struct blob_attr *attr);
uint64_t blobmsg_get_u64(struct blob_attr *attr);

/* Whether an attribute of at most len bytes is sound: its length, its name if it has to have one, and its value for its type. */
bool blobmsg_check_attr_len(const struct blob_attr *attr, bool name, size_t len);

/* The first attribute within attr, and the one after attr; NULL when rem bytes hold none. */
struct blob_attr *standin_first(struct blob_attr *attr, int *rem);
struct blob_attr *standin_next(struct blob_attr *attr, int *rem);

#define blobmsg_for_each_attr(pos, attr, rem) \
	for ((pos) = standin_first((attr), &(rem)); (pos); (pos) = standin_next((pos), &(rem)))

#endif
