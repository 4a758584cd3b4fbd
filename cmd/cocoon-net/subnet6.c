/* SPDX-License-Identifier: MIT */
#include "subnet6.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "ip.h"

#define CONF "/proc/sys/net/ipv6/conf/"
/* linux/ipv6_route.h: learned from a router advertisement */
#define FLAG_ADDRCONF 0x40000u
#define MAX_ROUTES ((size_t)64 << 20) /* bytes */

int subnet6_parse(const char *text, struct subnet6 *out)
{
	struct ip ip;

	if (ip_parse_cidr(text, &ip) < 0 || ip.family != AF_INET6 ||
	    ip.prefix != 64)
		return -1;
	/* Global or unique local, not of a link or a group. */
	if ((ip.addr[0] & 0xe0) != 0x20 && (ip.addr[0] & 0xfe) != 0xfc)
		return -1;
	out->on = true;
	memcpy(out->net, ip.addr, sizeof(out->net));
	return 0;
}

void format_ip6(const unsigned char addr[16], char out[46])
{
	inet_ntop(AF_INET6, addr, out, 46);
}

void subnet6_format(const struct subnet6 *s, char out[52])
{
	unsigned char addr[16] = {0};
	char text[46];

	memcpy(addr, s->net, sizeof(s->net));
	format_ip6(addr, text);
	snprintf(out, 52, "%s/64", text);
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash;
}

void subnet6_choose(const char *owner, struct subnet6 *out)
{
	AUTO_BUF struct buf id = {0};
	struct err ignored;
	uint64_t hash = 0xcbf29ce484222325;

	if (file_read(AT_FDCWD, "/etc/machine-id", &id, 100, &ignored) == 0 &&
	    id.data)
		hash = hash_text(hash, id.data);
	hash = hash_text(hash, owner);
	out->on = true;
	/* fd, 40 bits that are the host's, subnet 0 of those. */
	memset(out->net, 0, sizeof(out->net));
	out->net[0] = 0xfd;
	for (int i = 1; i < 6; i++)
		out->net[i] = (unsigned char)(hash >> (8 * i + 8));
}

void subnet6_addr(const struct subnet6 *s, uint32_t ip, unsigned char out[16])
{
	memset(out, 0, 16);
	memcpy(out, s->net, sizeof(s->net));
	for (int i = 0; i < 4; i++)
		out[12 + i] = (unsigned char)(ip >> (24 - 8 * i));
}

void subnet6_gateway(const struct subnet6 *s, unsigned char out[16])
{
	subnet6_addr(s, 1, out);
}

static char first_char(const char *path)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1 ? c : '\0';
}

struct route {
	unsigned char dst[16];
	unsigned int prefix, flags;
	char dev[17];
};

/* A line of /proc/net/ipv6_route. */
static bool parse_route(const char *line, struct route *r)
{
	char hex[33];

	if (sscanf(line, "%32[0-9a-f] %x %*s %*s %*s %*s %*s %*s %x %16s", hex,
		&r->prefix, &r->flags, r->dev) != 4 ||
	    strlen(hex) != 32 || r->prefix > 128)
		return false;
	for (int i = 0; i < 16; i++) {
		unsigned int byte;

		sscanf(hex + (ptrdiff_t)2 * i, "%2x", &byte);
		r->dst[i] = (unsigned char)byte;
	}
	return true;
}

/* Calls fn for each line until it returns true, which is then the answer. */
static bool any_route(bool (*fn)(const struct route *r, void *arg), void *arg)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	bool found = false;

	if (file_read(AT_FDCWD, "/proc/thread-self/net/ipv6_route", &text,
		MAX_ROUTES, &ignored) < 0 ||
	    !text.data)
		return false;
	for (char *p = text.data; *p && !found;) {
		size_t len = strcspn(p, "\n");
		struct route r;

		found = parse_route(p, &r) && fn(&r, arg);
		p += len + (p[len] == '\n');
	}
	return found;
}

/* A default route that the host would lose when it forwards. */
static bool is_advertised(const struct route *r, void *arg)
{
	AUTO_FREE char *path = xasprintf(CONF "%s/accept_ra", r->dev);

	(void)arg;
	return !r->prefix && r->flags & FLAG_ADDRCONF &&
	       strchr(r->dev, '/') == NULL && first_char(path) == '1';
}

const char *subnet6_refusal(bool forwarding)
{
	if (first_char(CONF "all/disable_ipv6") != '0' ||
	    first_char(CONF "default/disable_ipv6") != '0')
		return "the host has no IPv6";
	if (!forwarding && any_route(is_advertised, NULL))
		return "the host's own IPv6 route is from router "
		       "advertisements, which it ignores once it forwards; "
		       "accept_ra=2 on that device changes that";
	return NULL;
}

static bool overlaps(const struct route *r, void *arg)
{
	const struct subnet6 *s = arg;
	struct ip a = {.family = AF_INET6}, net = {.family = AF_INET6};

	memcpy(a.addr, s->net, sizeof(s->net));
	memcpy(net.addr, r->dst, sizeof(r->dst));
	net.prefix = r->prefix < 64 ? r->prefix : 64;
	return r->prefix && ip_within(&a, &net);
}

int subnet6_survey(const struct subnet6 *s, struct err *err)
{
	struct subnet6 copy = *s;
	char text[52];

	if (!s->on || !any_route(overlaps, &copy))
		return 0;
	subnet6_format(s, text);
	return err_set(err, ERR_STATE,
	    "subnet %s: the host has a route into it; set COCOON_SUBNET6 to a "
	    "free one, or to none",
	    text);
}
