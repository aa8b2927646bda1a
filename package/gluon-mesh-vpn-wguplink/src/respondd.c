/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What respondd tells of the mesh VPN: the state of the agent, asked over ubus, in the shape that Gluon's status page
 * and Yanic read.
 *
 *   statistics  mesh_vpn {groups {UPLINK {peers {GATEWAY {established: SECONDS} | null}}}, gateway, backend, state,
 *               reason}; gateway, gateway6, gateway_nexthop, where a Parker tunnel has the default route: maps draw a
 *               line to it
 *   nodeinfo    software.wireguard {version, enabled, public_key}
 *
 * A gateway that is not in use is null, as with fastd: the status page takes an empty object for a connection.
 */

#include <respondd.h>

#include <arpa/inet.h>
#include <json-c/json.h>
#include <libubox/blobmsg.h>
#include <libubus.h>
#include <uci.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* How long the agent has for its answer; respondd answers no other request meanwhile. */
#define TIMEOUT_MS 1000

/*
 * Attributes of a table or, unnamed, of an array. blobmsg_for_each_attr looks at lengths alone; what comes over ubus
 * may lie about its name's length, or be a string without an end. It is read up to the first attribute that does.
 */
#define for_each_sound(attr, table, named, rem) \
	blobmsg_for_each_attr(attr, table, rem) \
		if (!blobmsg_check_attr_len(attr, named, rem)) \
			break; \
		else

/* Member NAME of a table if it has that type (BLOBMSG_TYPE_UNSPEC: any), else NULL. */
static struct blob_attr *member(struct blob_attr *table, const char *name, int type) {
	struct blob_attr *attr;
	int rem;

	if (!table)
		return NULL;
	for_each_sound(attr, table, true, rem) {
		if (!strcmp(blobmsg_name(attr), name))
			return type == BLOBMSG_TYPE_UNSPEC || blobmsg_type(attr) == type ? attr : NULL;
	}
	return NULL;
}

/* A text in a table, NULL if there is none or it is empty. */
static const char *text(struct blob_attr *table, const char *name) {
	struct blob_attr *attr = member(table, name, BLOBMSG_TYPE_STRING);
	const char *s = attr ? blobmsg_get_string(attr) : NULL;

	return s && *s ? s : NULL;
}

/* A number in a table; the agent sends the smallest type that it fits. */
static int64_t number(struct blob_attr *table, const char *name) {
	struct blob_attr *attr = member(table, name, BLOBMSG_TYPE_UNSPEC);

	if (!attr)
		return 0;
	switch (blobmsg_type(attr)) {
	case BLOBMSG_TYPE_INT64:
		return (int64_t)blobmsg_get_u64(attr);
	case BLOBMSG_TYPE_INT32:
		return (int32_t)blobmsg_get_u32(attr);
	}
	return 0;
}

static void add_text(struct json_object *to, const char *name, const char *s) {
	if (s)
		json_object_object_add(to, name, json_object_new_string(s));
}

/* Seconds since an uptime in milliseconds; the agent's uptimes include suspends. */
static int64_t seconds_since(int64_t uptime_ms) {
	struct timespec now;

	if (clock_gettime(CLOCK_BOOTTIME, &now))
		return 0;
	int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	/* What the message says may be any number. */
	return uptime_ms > 0 && uptime_ms < now_ms ? (now_ms - uptime_ms) / 1000 : 0;
}

/* Calls handle with the table of uplinks, unless the agent is not there or does not answer in time. */
static void ask_agent(ubus_data_handler_t handle, void *to) {
	struct ubus_context *ctx = ubus_connect(NULL);
	uint32_t id;

	if (!ctx)
		return;
	if (!ubus_lookup_id(ctx, "wguplink", &id))
		ubus_invoke(ctx, id, "status", NULL, handle, to, TIMEOUT_MS);
	ubus_free(ctx);
}

/* Whether a value of UCI says no, in any of its spellings. */
static bool says_no(const char *value) {
	static const char *const words[] = {"0", "off", "false", "no", "disabled"};

	for (size_t i = 0; value && i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(value, words[i]))
			return true;
	}
	return false;
}

/* Adds the gateways that the configuration names for the uplink, as not connected. */
static void add_configured(struct json_object *peers, struct uci_package *p, const char *uplink) {
	struct uci_element *e;

	if (!p)
		return;
	uci_foreach_element(&p->sections, e) {
		struct uci_section *s = uci_to_section(e);
		if (strcmp(s->type, "gateway") || s->anonymous)
			continue;
		const char *of = uci_lookup_option_string(p->ctx, s, "uplink");
		const char *enabled = uci_lookup_option_string(p->ctx, s, "enabled");
		if ((!of || !strcmp(of, uplink)) && !says_no(enabled))
			json_object_object_add(peers, e->name, NULL);
	}
}

/* Adds the gateways that a signed configuration names (Parker), as not in use. */
static void add_tunnels(struct json_object *peers, struct blob_attr *uplink) {
	struct blob_attr *tunnels = member(member(uplink, "network", BLOBMSG_TYPE_TABLE), "tunnels", BLOBMSG_TYPE_ARRAY);
	struct blob_attr *tunnel;
	int rem;

	for_each_sound(tunnel, tunnels, false, rem) {
		const char *name = blobmsg_type(tunnel) == BLOBMSG_TYPE_TABLE ? text(tunnel, "gateway") : NULL;
		if (name)
			json_object_object_add(peers, name, NULL);
	}
}

/*
 * Adds why an uplink does not work as the only entry of a group of its own, which is not connected: Gluon's status page
 * has no other place for a sentence (status-page.js prints the names of all entries in all groups, and beside them
 * whether they are connected).
 */
static void add_reason(struct json_object *group, struct blob_attr *uplink) {
	const char *cause = text(uplink, "cause"), *reason = text(uplink, "reason");
	char line[400];

	if (!cause)
		return;
	snprintf(line, sizeof(line), "%s%s%s", cause, reason ? ": " : "", reason ? reason : "");
	struct json_object *groups = json_object_new_object(), *why = json_object_new_object(),
		*peers = json_object_new_object();
	json_object_object_add(peers, line, NULL);
	json_object_object_add(why, "peers", peers);
	json_object_object_add(groups, "reason", why);
	json_object_object_add(group, "groups", groups);
}

/* What the handler of statistics fills. */
struct statistics {
	struct json_object *mesh_vpn;
	struct uci_package *config; /* or NULL */
};

static void statistics_handler(struct ubus_request *req, int type, struct blob_attr *msg) {
	static const char *const same[] = {"backend", "state", "cause", "reason"};
	struct statistics *st = req->priv;
	struct blob_attr *uplinks = member(msg, "uplinks", BLOBMSG_TYPE_TABLE), *uplink, *speaker = NULL;
	int rem;

	(void)type;
	if (!uplinks)
		return;
	struct json_object *groups = json_object_new_object();
	st->mesh_vpn = json_object_new_object();
	json_object_object_add(st->mesh_vpn, "groups", groups);

	for_each_sound(uplink, uplinks, true, rem) {
		struct json_object *group = json_object_new_object(), *peers = json_object_new_object();
		json_object_object_add(group, "peers", peers);
		json_object_object_add(groups, blobmsg_name(uplink), group);
		add_configured(peers, st->config, blobmsg_name(uplink));
		add_tunnels(peers, uplink);
		add_reason(group, uplink);

		struct blob_attr *gateway = member(uplink, "gateway", BLOBMSG_TYPE_TABLE);
		const char *name = text(gateway, "name");
		if (name) {
			struct json_object *peer = json_object_new_object();
			/* All numbers of a node's statistics are floating point. */
			json_object_object_add(peer, "established",
				json_object_new_double(seconds_since(number(gateway, "established_uptime_ms"))));
			/* Gluon's status page shows it beside the time. */
			add_text(peer, "method", text(uplink, "backend"));
			json_object_object_add(peers, name, peer);
		}

		/* One uplink is the rule; with several, the first connected one speaks for the node, else the first. */
		if (!speaker || (name && !text(member(speaker, "gateway", BLOBMSG_TYPE_TABLE), "name")))
			speaker = uplink;
	}

	add_text(st->mesh_vpn, "gateway", text(member(speaker, "gateway", BLOBMSG_TYPE_TABLE), "name"));
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		add_text(st->mesh_vpn, same[i], text(speaker, same[i]));
	/* After an update without a tunnel for as long as option update_watchdog allows; the agent leaves it out otherwise. */
	if (member(speaker, "stranded", BLOBMSG_TYPE_INT8))
		json_object_object_add(st->mesh_vpn, "stranded", json_object_new_boolean(true));
}

/* The names of Parker's tunnels begin with this. */
#define TUNNEL "wg_c"

static bool is_tunnel(const char *device) {
	return !strncmp(device, TUNNEL, strlen(TUNNEL));
}

/* Adds the next hop of the IPv4 default route of the main table, if it leads into a tunnel. */
static void add_gateway4(struct json_object *to) {
	char line[256], device[17], text[INET_ADDRSTRLEN];
	unsigned int destination, gateway, mask;
	FILE *f = fopen("/proc/net/route", "r");

	if (!f)
		return;
	/* Addresses are written as the machine's own numbers, that is with their bytes in memory as on the line. */
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%16s %x %x %*x %*d %*d %*d %x", device, &destination, &gateway, &mask) != 4)
			continue;
		if (destination || mask || !gateway || !is_tunnel(device))
			continue;
		uint32_t address = gateway;
		add_text(to, "gateway", inet_ntop(AF_INET, &address, text, sizeof(text)));
		break;
	}
	fclose(f);
}

/* Adds next hop and device of the IPv6 default route, if it leads into a tunnel. Returns whether it does. */
static bool add_gateway6(struct json_object *to) {
	char line[256], destination[33], hop[33], device[17], text[INET6_ADDRSTRLEN];
	unsigned int length, flags;
	bool found = false;
	FILE *f = fopen("/proc/net/ipv6_route", "r");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		struct in6_addr address;

		if (sscanf(line, "%32s %x %*s %*s %32s %*s %*s %*s %x %16s", destination, &length, hop, &flags, device) != 5)
			continue;
		/* RTF_UP and RTF_GATEWAY; unreachable routes have neither. */
		if (length || strspn(destination, "0") != 32 || (flags & 3) != 3 || strlen(hop) != 32 || !is_tunnel(device))
			continue;
		for (size_t i = 0; i < sizeof(address.s6_addr); i++)
			sscanf(hop + 2 * i, "%2hhx", &address.s6_addr[i]);
		add_text(to, "gateway6", inet_ntop(AF_INET6, &address, text, sizeof(text)));
		add_text(to, "gateway_nexthop", device);
		found = true;
	}
	fclose(f);
	return found;
}

static struct json_object *respondd_provider_statistics(void) {
	struct json_object *ret = json_object_new_object();
	struct statistics st = {0};
	struct uci_context *ctx = uci_alloc_context();

	if (ctx && uci_load(ctx, "wguplink", &st.config))
		st.config = NULL;
	ask_agent(statistics_handler, &st);
	if (ctx)
		uci_free_context(ctx);
	if (st.mesh_vpn)
		json_object_object_add(ret, "mesh_vpn", st.mesh_vpn);
	if (add_gateway6(ret))
		add_gateway4(ret);
	return ret;
}

/* The kernel's WireGuard says its version; wireguard-go has none that is worth telling. */
static void add_version(struct json_object *to) {
	char line[64] = "";
	FILE *f = fopen("/sys/module/wireguard/version", "r");

	if (!f)
		return;
	if (fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = '\0';
	fclose(f);
	add_text(to, "version", line[0] ? line : NULL);
}

/* gluon.mesh_vpn.enabled is the one switch. */
static bool enabled(void) {
	struct uci_context *ctx = uci_alloc_context();
	struct uci_package *p;
	bool on = false;

	if (!ctx)
		return false;
	if (!uci_load(ctx, "gluon", &p)) {
		struct uci_section *s = uci_lookup_section(ctx, p, "mesh_vpn");
		const char *v = s ? uci_lookup_option_string(ctx, s, "enabled") : NULL;
		on = v && !strcmp(v, "1");
	}
	uci_free_context(ctx);
	return on;
}

static void nodeinfo_handler(struct ubus_request *req, int type, struct blob_attr *msg) {
	struct json_object *wireguard = req->priv;
	struct blob_attr *uplinks = member(msg, "uplinks", BLOBMSG_TYPE_TABLE), *uplink;
	int rem;

	(void)type;
	if (!uplinks)
		return;
	for_each_sound(uplink, uplinks, true, rem) {
		if (text(uplink, "public_key")) {
			add_text(wireguard, "public_key", text(uplink, "public_key"));
			return;
		}
	}
}

#define CONFIG "/etc/config/wguplink"
/* "SUM KEY": what gluon.mesh-vpn.wguplink has the program say at each start of the service. */
#define KNOWN "/var/run/wguplink.public-key"

static bool before(const struct timespec *a, const struct timespec *b) {
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/*
 * Adds the public key as the program has said it, where no agent does; unless the configuration, where the key is, is
 * newer. The program is not asked: respondd is, all the time, and each start of a program in flash reads and unpacks
 * all of it.
 */
static void add_stored_key(struct json_object *to) {
	char key[64] = "";
	struct stat config, known;
	FILE *f;

	if (stat(CONFIG, &config) || stat(KNOWN, &known) || before(&known.st_mtim, &config.st_mtim))
		return;
	f = fopen(KNOWN, "r");
	if (!f)
		return;
	if (fscanf(f, "%*32s %63s", key) == 1 && strlen(key) == 44)
		add_text(to, "public_key", key);
	fclose(f);
}

static struct json_object *respondd_provider_nodeinfo(void) {
	struct json_object *ret = json_object_new_object();
	struct json_object *software = json_object_new_object(), *wireguard = json_object_new_object();
	bool on = enabled();

	add_version(wireguard);
	json_object_object_add(wireguard, "enabled", json_object_new_boolean(on));
	if (on) {
		ask_agent(nodeinfo_handler, wireguard);
		if (!json_object_object_get_ex(wireguard, "public_key", NULL))
			add_stored_key(wireguard);
	}
	json_object_object_add(software, "wireguard", wireguard);
	json_object_object_add(ret, "software", software);
	return ret;
}

const struct respondd_provider_info respondd_providers[] = {
	{"nodeinfo", respondd_provider_nodeinfo},
	{"statistics", respondd_provider_statistics},
	{0},
};
