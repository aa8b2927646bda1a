/*
 * Stand-in for libubus and libubox, which Debian does not have. It speaks the real protocol (ubusmsg.h, blob.h, blobmsg.h):
 * header "version 0, type, seq, peer", then one blob with attributes, all big-endian and padded to four bytes.
 */
#include <libubox/blobmsg.h>
#include <libubus.h>

#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MSG_HELLO, MSG_STATUS, MSG_DATA, MSG_PING, MSG_LOOKUP, MSG_INVOKE };
enum { ATTR_STATUS = 1, ATTR_OBJPATH, ATTR_OBJID, ATTR_METHOD, ATTR_OBJTYPE, ATTR_SIGNATURE, ATTR_DATA };
enum { STATUS_NOT_FOUND = 4, STATUS_TIMEOUT = 7, STATUS_CONNECTION_FAILED = 10 };

struct ubus_context {
	int fd;
	uint16_t seq;
	struct blob_attr *body; /* of the message received last */
};

static uint32_t head(const struct blob_attr *a) { return ntohl(a->id_len); }
static int raw_len(const struct blob_attr *a) { return head(a) & 0xffffff; }
static int id_of(const struct blob_attr *a) { return head(a) >> 24 & 0x7f; }
static int pad(int n) { return (n + 3) & ~3; }

static char *data_of(struct blob_attr *a, int *len) {
	int skip = 0;
	if (head(a) >> 31) { /* it has a name: length, text, NUL */
		uint16_t n;
		memcpy(&n, a->data, 2);
		skip = pad(2 + ntohs(n) + 1);
	}
	*len = raw_len(a) - 4 - skip;
	return a->data + skip;
}

static struct blob_attr *at(char *p, int rem) {
	struct blob_attr *a = (struct blob_attr *)p;
	return rem >= 4 && raw_len(a) >= 4 && raw_len(a) <= rem ? a : NULL;
}

struct blob_attr *standin_first(struct blob_attr *attr, int *rem) {
	char *data = attr ? data_of(attr, rem) : NULL;
	return data ? at(data, *rem) : NULL;
}

struct blob_attr *standin_next(struct blob_attr *attr, int *rem) {
	int n = pad(raw_len(attr));
	*rem -= n;
	return at((char *)attr + n, *rem);
}

bool blobmsg_check_attr_len(const struct blob_attr *a, bool name, size_t len) {
	size_t raw = len < 4 ? 0 : raw_len(a), skip = 0;
	if (raw < 4 || raw > len)
		return false;
	if (head(a) >> 31) {
		uint16_t n;
		if (raw < 6)
			return false;
		memcpy(&n, a->data, 2);
		n = ntohs(n);
		skip = pad(2 + n + 1);
		if ((name && !n) || raw - 4 < skip || a->data[2 + n])
			return false;
	} else if (name) {
		return false;
	}
	size_t value = raw - 4 - skip;
	switch (id_of(a)) {
	case BLOBMSG_TYPE_STRING:
		return value > 0 && !a->data[skip + value - 1];
	case BLOBMSG_TYPE_INT64:
	case BLOBMSG_TYPE_DOUBLE:
		return value == 8;
	case BLOBMSG_TYPE_INT32:
		return value == 4;
	case BLOBMSG_TYPE_INT16:
		return value == 2;
	case BLOBMSG_TYPE_INT8:
		return value == 1;
	}
	return id_of(a) <= BLOBMSG_TYPE_DOUBLE;
}

int blobmsg_type(const struct blob_attr *a) { return id_of(a); }
const char *blobmsg_name(const struct blob_attr *a) { return head(a) >> 31 ? a->data + 2 : ""; }

char *blobmsg_get_string(struct blob_attr *a) {
	int len;
	return data_of(a, &len);
}

uint32_t blobmsg_get_u32(struct blob_attr *a) {
	uint32_t v;
	int len;
	memcpy(&v, data_of(a, &len), sizeof(v));
	return ntohl(v);
}

uint64_t blobmsg_get_u64(struct blob_attr *a) {
	uint64_t v;
	int len;
	memcpy(&v, data_of(a, &len), sizeof(v));
	return be64toh(v);
}

static int64_t now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads n bytes before the deadline; 0 when it did. */
static int fill(int fd, void *to, size_t n, int64_t deadline) {
	char *p = to;
	while (n > 0) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - now_ms();
		if (left <= 0 || poll(&pfd, 1, left) <= 0)
			return STATUS_TIMEOUT;
		ssize_t got = read(fd, p, n);
		if (got <= 0)
			return STATUS_CONNECTION_FAILED;
		p += got, n -= got;
	}
	return 0;
}

/* Receives one message: its type, or minus a status. */
static int receive(struct ubus_context *ctx, uint16_t *seq, int64_t deadline) {
	unsigned char h[12];
	int err = fill(ctx->fd, h, sizeof(h), deadline);
	if (err)
		return -err;
	uint32_t id_len;
	memcpy(&id_len, h + 8, 4);
	int len = ntohl(id_len) & 0xffffff;
	free(ctx->body);
	ctx->body = calloc(1, len + 4);
	ctx->body->id_len = id_len;
	err = fill(ctx->fd, ctx->body->data, len - 4, deadline);
	*seq = h[2] << 8 | h[3];
	return err ? -err : h[1];
}

static struct blob_attr *attribute(struct ubus_context *ctx, int id) {
	struct blob_attr *a;
	int rem;
	blobmsg_for_each_attr(a, ctx->body, rem) {
		if (id_of(a) == id)
			return a;
	}
	return NULL;
}

static int append(char *to, int id, const void *data, int len) {
	uint32_t h = htonl((uint32_t)id << 24 | (len + 4));
	memcpy(to, &h, 4);
	memcpy(to + 4, data, len);
	return pad(len + 4);
}

static int append_text(char *to, int id, const char *s) { return append(to, id, s, strlen(s) + 1); }

/* Sends a request and hands data answers to handle, until its status arrives. */
static int request(struct ubus_context *ctx, int type, uint32_t peer, const char *body, int len, int timeout_ms,
	void (*handle)(struct ubus_context *, void *), void *priv) {
	char m[512] = {0, type, ++ctx->seq >> 8, ctx->seq & 0xff};
	uint32_t be_peer = htonl(peer), id_len = htonl(len + 4);
	memcpy(m + 4, &be_peer, 4);
	memcpy(m + 8, &id_len, 4);
	memcpy(m + 12, body, len);
	if (write(ctx->fd, m, len + 12) != len + 12)
		return STATUS_CONNECTION_FAILED;
	int64_t deadline = now_ms() + timeout_ms;
	for (;;) {
		uint16_t seq;
		int got = receive(ctx, &seq, deadline);
		if (got < 0)
			return -got;
		if (seq != ctx->seq)
			continue;
		if (got == MSG_STATUS)
			return attribute(ctx, ATTR_STATUS) ? blobmsg_get_u32(attribute(ctx, ATTR_STATUS)) : STATUS_NOT_FOUND;
		if (got == MSG_DATA)
			handle(ctx, priv);
	}
}

struct ubus_context *ubus_connect(const char *path) {
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct ubus_context *ctx = calloc(1, sizeof(*ctx));
	uint16_t seq;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path ? path : "/var/run/ubus/ubus.sock");
	ctx->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(ctx->fd, (struct sockaddr *)&sa, sizeof(sa)) || receive(ctx, &seq, now_ms() + 10000) != MSG_HELLO) {
		ubus_free(ctx);
		return NULL;
	}
	return ctx;
}

void ubus_free(struct ubus_context *ctx) {
	close(ctx->fd);
	free(ctx->body);
	free(ctx);
}

static void keep_id(struct ubus_context *ctx, void *priv) {
	struct blob_attr *id = attribute(ctx, ATTR_OBJID);
	if (id)
		*(uint32_t *)priv = blobmsg_get_u32(id);
}

int ubus_lookup_id(struct ubus_context *ctx, const char *path, uint32_t *id) {
	char body[256];
	return request(ctx, MSG_LOOKUP, 0, body, append_text(body, ATTR_OBJPATH, path), 10000, keep_id, id);
}

struct call {
	struct ubus_request req;
	ubus_data_handler_t cb;
};

static void hand_over(struct ubus_context *ctx, void *priv) {
	struct call *c = priv;
	c->cb(&c->req, MSG_DATA, attribute(ctx, ATTR_DATA));
}

int ubus_invoke(struct ubus_context *ctx, uint32_t obj, const char *method, struct blob_attr *msg,
	ubus_data_handler_t cb,
	void *priv, int timeout_ms) {
	struct call c = {{priv}, cb};
	char body[256];
	uint32_t id = htonl(obj);
	int n = append(body, ATTR_OBJID, &id, 4);
	n += append_text(body + n, ATTR_METHOD, method);
	(void)msg; /* no arguments in our calls */
	n += append(body + n, ATTR_DATA, "", 0);
	return request(ctx, MSG_INVOKE, obj, body, n, timeout_ms, hand_over, &c);
}
