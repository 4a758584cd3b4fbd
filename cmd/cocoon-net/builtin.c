/* SPDX-License-Identifier: MIT */
/*
 * Which bridge and which subnet: COCOON_BRIDGE and COCOON_SUBNET when the
 * first network of a root is made, from then on net/cocoon.json, until the
 * last one is removed.
 */
#include "builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "net.h"
#include "nl_net.h"

#define FILE_NAME "cocoon.json"
#define DEFAULT_BRIDGE "cocoon0"
#define DEFAULT_SUBNET "10.88.0.0/16"
#define DEFAULT_MTU 1500

struct settings {
	uint64_t v, mtu;
	const char *bridge, *subnet, *subnet6;
};

static const struct jfield settings_fields[] = {
    {.name = "v", .kind = J_U64, .offset = offsetof(struct settings, v)},
    {.name = "bridge",
	.kind = J_STR,
	.offset = offsetof(struct settings, bridge),
	.flags = J_REQUIRED},
    {.name = "subnet",
	.kind = J_STR,
	.offset = offsetof(struct settings, subnet),
	.flags = J_REQUIRED},
    {.name = "subnet6",
	.kind = J_STR,
	.offset = offsetof(struct settings, subnet6)},
    {.name = "mtu",
	.kind = J_U64,
	.offset = offsetof(struct settings, mtu),
	.flags = J_REQUIRED,
	.min = 576,
	.max = 65535},
};
static const struct jtable settings_table =
    JTABLE(struct settings, settings_fields);

/*
 * "cocoon:ROOT"; a path that is long or needs quoting is a hash of itself.
 * It goes into the bridge's alias and into a comment in nftables' language.
 */
static void owner_of(const struct net *n, char out[100])
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+";
	char link[40], path[PATH_MAX];
	uint64_t hash = 0xcbf29ce484222325;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", n->st.root_fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	if (len > 0 && len <= 80 && strspn(path, plain) == (size_t)len) {
		snprintf(out, 100, "cocoon:%.80s", path);
		return;
	}
	for (const char *p = path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	snprintf(out, 100, "cocoon:#%016llx", (unsigned long long)hash);
}

/* A device name that is a name in nftables' language, too. */
static bool valid_bridge(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len < NL_NAME && valid_name(s) && !strchr(s, '.') &&
	       (s[0] < '0' || s[0] > '9');
}

static int fill(struct net *n, struct builtin *b, const char *bridge,
    const char *subnet, struct err *err)
{
	if (!valid_bridge(bridge))
		return err_set(err, ERR_USAGE,
		    "bridge \"%.40s\": want at most 15 of a-z A-Z 0-9 _ -, "
		    "a letter first",
		    bridge);
	if (subnet_parse(subnet, &b->subnet) < 0)
		return err_set(err, ERR_USAGE,
		    "subnet \"%.40s\": want an IPv4 network such as "
		    "10.99.0.0/16, /8 to /29",
		    subnet);
	snprintf(b->bridge, sizeof(b->bridge), "%s", bridge);
	owner_of(n, b->owner);
	return 0;
}

static int fill6(struct builtin *b, const char *subnet, struct err *err)
{
	b->subnet6 = (struct subnet6){0};
	if (strcmp(subnet, "none") != 0 &&
	    subnet6_parse(subnet, &b->subnet6) < 0)
		return err_set(err, ERR_USAGE,
		    "subnet \"%.60s\": want an IPv6 network such as "
		    "fd00:1:2:3::/64, or none",
		    subnet);
	return 0;
}

int builtin_load(struct net *n, struct builtin *b, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_JSON struct json_object *doc = NULL;
	struct settings s;
	struct err e = {0};

	*b = (struct builtin){0};
	if (n->dir_fd < 0)
		return 0;
	if (file_read(n->dir_fd, FILE_NAME, &text, 4096, &e) < 0) {
		if (e.code == ERR_NOTFOUND)
			return 0;
		*err = e;
		return -1;
	}
	doc = jval_parse(text.data ? text.data : "", text.len, err);
	if (!doc || jbind(doc, &settings_table, "", &s, err) < 0 ||
	    fill(n, b, s.bridge, s.subnet, err) < 0 ||
	    fill6(b, s.subnet6 ? s.subnet6 : "none", err) < 0) {
		err->code = ERR_FAILED;
		return err_wrap(err, "net/" FILE_NAME);
	}
	b->mtu = (unsigned int)s.mtu;
	b->recorded = true;
	return 1;
}

static const char *from_env(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && *v ? v : otherwise;
}

/* What the environment asks for, against what was recorded. */
static int compare(
    const struct builtin *b, const struct builtin *asked, struct err *err)
{
	char subnet[20];

	if (!strcmp(b->bridge, asked->bridge) &&
	    b->subnet.base == asked->subnet.base &&
	    b->subnet.prefix == asked->subnet.prefix &&
	    !memcmp(&b->subnet6, &asked->subnet6, sizeof(b->subnet6)))
		return 0;
	format_cidr(b->subnet.base, b->subnet.prefix, subnet);
	return err_set(err, ERR_STATE,
	    "network cocoon: it is %s on %s here; COCOON_BRIDGE, "
	    "COCOON_SUBNET and COCOON_SUBNET6 can change it when no VM has a "
	    "NIC",
	    subnet, b->bridge);
}

/* The IPv6 subnet: as the environment says, as recorded, or one of ours. */
static int ask6(struct builtin *b, bool recorded, struct err *err)
{
	const char *text = from_env("COCOON_SUBNET6", NULL), *why;

	if (text && fill6(b, text, err) < 0)
		return -1;
	if (recorded || (text && !b->subnet6.on))
		return 0;
	why = subnet6_refusal(forward_is_on(FORWARD_6));
	if (why && text)
		return err_set(
		    err, ERR_UNSUPPORTED, "subnet %.60s: %s", text, why);
	if (why)
		log_info("network cocoon: without IPv6: %s", why);
	else if (!text)
		subnet6_choose(b->owner, &b->subnet6);
	return 0;
}

int builtin_get(
    struct net *n, struct nl *host, struct builtin *b, struct err *err)
{
	int r = builtin_load(n, b, err);
	struct builtin asked = *b;
	char subnet[20];

	if (r < 0)
		return -1;
	format_cidr(b->subnet.base, b->subnet.prefix, subnet);
	if (fill(n, &asked,
		from_env("COCOON_BRIDGE", r ? b->bridge : DEFAULT_BRIDGE),
		from_env("COCOON_SUBNET", r ? subnet : DEFAULT_SUBNET),
		err) < 0)
		return -1;
	if (ask6(&asked, r > 0, err) < 0)
		return -1;
	if (r)
		return compare(b, &asked, err);
	*b = asked;
	return builtin_survey(host, b, err);
}

int builtin_save(struct net *n, const struct builtin *b, struct err *err)
{
	AUTO_JSON struct json_object *doc = NULL;
	AUTO_BUF struct buf text = {0};
	char subnet[20], subnet6[52];
	struct settings s = {
	    1, b->mtu, b->bridge, subnet, b->subnet6.on ? subnet6 : NULL};

	format_cidr(b->subnet.base, b->subnet.prefix, subnet);
	subnet6_format(&b->subnet6, subnet6);
	doc = jbuild(&settings_table, &s);
	jval_print(doc, &text);
	buf_ch(&text, '\n');
	return file_replace(
	    n->dir_fd, FILE_NAME, text.data, text.len, true, err);
}

int builtin_unlink(struct net *n, struct err *err)
{
	if (unlinkat(n->dir_fd, FILE_NAME, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "net/" FILE_NAME ": unlink");
	return 0;
}

struct survey {
	const struct builtin *b;
	int way_out;         /* the default route's device */
	struct subnet taken; /* the first route that overlaps */
	int taken_by;        /* its device */
	bool conflict;
};

static int look_at_route(const struct nl_route4 *r, void *arg)
{
	struct survey *s = arg;
	struct subnet net = {r->dst, r->prefix};

	if (r->prefix == 0) {
		s->way_out = s->way_out ? s->way_out : r->oif;
	} else if (!s->conflict && subnet_overlap(&net, &s->b->subnet)) {
		s->taken = net;
		s->taken_by = r->oif;
		s->conflict = true;
	}
	return 0;
}

int builtin_survey(struct nl *host, struct builtin *b, struct err *err)
{
	struct survey s = {.b = b};
	struct nl_link dev = {0};
	char ours[20], theirs[20];

	if (nl_route_each4(host, look_at_route, &s, err) < 0)
		return -1;
	if (s.conflict) {
		if (nl_link_get_index(host, s.taken_by, &dev, err) < 0)
			return -1;
		format_cidr(b->subnet.base, b->subnet.prefix, ours);
		format_cidr(s.taken.base, s.taken.prefix, theirs);
		return err_set(err, ERR_STATE,
		    "subnet %s: the host has a route to %s by %s; set "
		    "COCOON_SUBNET to a free one",
		    ours, theirs, dev.name[0] ? dev.name : "some device");
	}
	if (subnet6_survey(&b->subnet6, err) < 0)
		return -1;
	if (b->mtu)
		return 0;
	b->mtu = DEFAULT_MTU;
	if (s.way_out && nl_link_get_index(host, s.way_out, &dev, err) < 0)
		return -1;
	/* A way out that is narrower (tunnels, some clouds) would drop. */
	if (dev.mtu >= 1280 && dev.mtu < b->mtu)
		b->mtu = dev.mtu;
	return 0;
}
