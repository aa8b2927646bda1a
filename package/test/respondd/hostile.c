/*
 * Hands the shim's handler an answer of the agent's, and then the same with each byte spoilt in turn: lengths, lengths of names, types
 * and ends that lie. Every message lies in memory of its own, so that a compiler with -fsanitize=address sees each read beyond it.
 */
#include "../../gluon-mesh-vpn-wguplink/src/respondd.c"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static char message[1024];
static size_t length;

static void put(const void *data, size_t n) {
	memcpy(message + length, data, n);
	length += n;
	while (length % 4)
		message[length++] = 0;
}

/* Opens an attribute: its head, and its name with length and NUL. Returns where it begins. */
static size_t begin(int type, const char *name) {
	size_t at = length;
	char named[64] = {0, (char)strlen(name)};
	uint32_t head = htonl((uint32_t)type << 24 | 1u << 31);

	put(&head, 4);
	strcpy(named + 2, name);
	put(named, 3 + strlen(name));
	return at;
}

/* Closes an attribute whose value ends surplus bytes before the padding does. */
static void finish(size_t at, size_t surplus) {
	uint32_t head;

	memcpy(&head, message + at, 4);
	head = htonl(ntohl(head) | (uint32_t)(length - at - surplus));
	memcpy(message + at, &head, 4);
}

static void string(const char *name, const char *value) {
	size_t at = begin(BLOBMSG_TYPE_STRING, name), before = length;
	put(value, strlen(value) + 1);
	finish(at, length - before - strlen(value) - 1);
}

int main(void) {
	static const unsigned char values[] = {0, 1, 2, 4, 0x10, 0x40, 0x7f, 0x80, 0x83, 0xff};
	uint32_t none = 0;
	long tried = 0, answered = 0;

	put(&none, 4);
	size_t uplinks = begin(BLOBMSG_TYPE_TABLE, "uplinks"), mesh = begin(BLOBMSG_TYPE_TABLE, "mesh");
	string("state", "connecting");
	string("cause", "no_wan");
	string("reason", "no way out");
	size_t gateway = begin(BLOBMSG_TYPE_TABLE, "gateway");
	string("name", "gw1");
	size_t at = begin(BLOBMSG_TYPE_INT64, "established_uptime_ms");
	put("\0\0\0\0\0\0\0\5", 8);
	finish(at, 0);
	finish(gateway, 0);
	size_t network = begin(BLOBMSG_TYPE_TABLE, "network"), tunnels = begin(BLOBMSG_TYPE_ARRAY, "tunnels"),
		tunnel = begin(BLOBMSG_TYPE_TABLE, "");
	string("gateway", "gw2");
	finish(tunnel, 0);
	finish(tunnels, 0);
	finish(network, 0);
	finish(mesh, 0);
	finish(uplinks, 0);
	finish(0, 0);

	for (size_t i = 4; i < length; i++) {
		for (size_t v = 0; v < 2 * sizeof(values); v++) {
			char *copy = malloc(length);
			struct statistics st = {0};
			struct ubus_request req = {.priv = &st};

			memcpy(copy, message, length);
			copy[i] = (char)values[v / 2];
			if (v % 2 && i + 1 < length)
				copy[i + 1] = (char)values[(v / 2 + 3) % sizeof(values)];
			statistics_handler(&req, 0, (struct blob_attr *)copy);
			if (st.mesh_vpn) {
				answered++;
				json_object_to_json_string(st.mesh_vpn);
				json_object_put(st.mesh_vpn);
			}
			free(copy);
			tried++;
		}
	}
	printf("%ld messages, %ld answers\n", tried, answered);
	return answered > tried / 2 && answered < tried ? 0 : 1; /* else the message is not what it should be */
}
