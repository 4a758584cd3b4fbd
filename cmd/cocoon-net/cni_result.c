/* SPDX-License-Identifier: MIT */
/*
 * What plugins answer, and what they have done. The guest stands in for the
 * container: it gets the addresses of the result, and the routes that the
 * plugins made in the namespace, which not all of them tell (Calico, ptp);
 * after these, the routes of the result that are not there already.
 */
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cni.h"
#include "ip.h"
#include "jdoc.h"
#include "nl_net.h"

static const int families[] = {AF_INET, AF_INET6};

static int bad(struct err *err, const char *where, const char *value)
{
	return err_set(err, ERR_FAILED, "result: %s: not valid: \"%.60s\"",
	    where, value ? value : "");
}

static int check_ips(const struct json_object *result, struct err *err)
{
	const struct json_object *ips = jval_get(result, "ips");

	for (size_t i = 0; i < jval_len(ips); i++) {
		const struct json_object *o = jval_at(ips, i);
		const char *address = jval_str(o, "address");
		const char *gateway = jval_str(o, "gateway");
		struct ip a, g;

		if (!address || ip_parse_cidr(address, &a) < 0)
			return bad(err, "ips[].address", address);
		if (jval_get(o, "gateway") &&
		    (!gateway || ip_parse(gateway, &g) < 0 ||
			g.family != a.family))
			return bad(err, "ips[].gateway", gateway);
	}
	return 0;
}

static int check_routes(const struct json_object *result, struct err *err)
{
	const struct json_object *routes = jval_get(result, "routes");

	for (size_t i = 0; i < jval_len(routes); i++) {
		const struct json_object *o = jval_at(routes, i);
		const char *dst = jval_str(o, "dst"), *gw = jval_str(o, "gw");
		struct ip d, g;

		if (!dst || ip_parse_cidr(dst, &d) < 0)
			return bad(err, "routes[].dst", dst);
		if (jval_get(o, "gw") && (!gw || ip_parse(gw, &g) < 0))
			return bad(err, "routes[].gw", gw);
	}
	return 0;
}

static int check_strings(const struct json_object *list, bool addresses,
    const char *where, struct err *err)
{
	struct ip ip;

	for (size_t i = 0; i < jval_len(list); i++) {
		const char *s = jval_str_at(list, i);

		if (!s || !*s || (addresses && ip_parse(s, &ip) < 0))
			return bad(err, where, s);
	}
	return 0;
}

int cni_result_check(const struct json_object *result, struct err *err)
{
	const struct json_object *dns;
	const char *v;

	if (!jval_is_object(result))
		return err_set(err, ERR_FAILED, "the result is no object");
	if (jval_get(result, "ip4") || jval_get(result, "ip6"))
		return err_set(err, ERR_UNSUPPORTED,
		    "the result is of cniVersion 0.2.0: want 0.3.0 to 1.1.0");
	v = jval_str(result, "cniVersion");
	if (v && (cni_version(v) < 300 || cni_version(v) >= 20000))
		return err_set(err, ERR_UNSUPPORTED,
		    "the result has cniVersion %.20s: want 0.3.0 to 1.1.0", v);
	dns = jval_get(result, "dns");
	if (check_ips(result, err) < 0 || check_routes(result, err) < 0 ||
	    check_strings(jval_get(dns, "nameservers"), true, "dns.nameservers",
		err) < 0 ||
	    check_strings(jval_get(dns, "search"), false, "dns.search", err) <
		0)
		return -1;
	return check_strings(
	    jval_get(dns, "options"), false, "dns.options", err);
}

void cni_result_convert(struct json_object *result, const char *version)
{
	struct json_object *ips = jval_get(result, "ips");

	jval_set_str(result, "cniVersion", version);
	for (size_t i = 0; i < jval_len(ips); i++) {
		struct json_object *o = jval_at(ips, i);
		const char *address = jval_str(o, "address");

		if (cni_version(version) >= 10000)
			jval_del(o, "version");
		else if (address)
			jval_set_str(
			    o, "version", strchr(address, ':') ? "6" : "4");
	}
}

/* False if it is an address of another device in the namespace. */
static bool is_for(const struct json_object *result,
    const struct json_object *ip, const char *ifname)
{
	int64_t i = jval_int(ip, "interface", -1);
	const struct json_object *dev =
	    i < 0 ? NULL : jval_at(jval_get(result, "interfaces"), (size_t)i);
	const char *name = jval_str(dev, "name");
	const char *sandbox = jval_str(dev, "sandbox");

	return !sandbox || !*sandbox || !name || !strcmp(name, ifname);
}

static bool has(const struct json_object *list, const char *s)
{
	for (size_t i = 0; i < jval_len(list); i++)
		if (!strcmp(jval_str_at(list, i), s))
			return true;
	return false;
}

struct work {
	const struct json_object *result;
	struct json_object *addresses, *gateways, *routes;
	const char *ifname;
	int index;
	bool made;     /* the plugins made routes of this family */
	bool is_local; /* search: the prefix of `net` is on the link */
	struct ip net;
};

static void add_route(struct work *w, const char *dst, const char *via)
{
	struct json_object *o;
	struct ip d;

	if (ip_parse_cidr(dst, &d) < 0)
		return;
	if (!d.prefix && via) {
		if (!has(w->gateways, via))
			jval_push_str(w->gateways, via);
		return;
	}
	for (size_t i = 0; i < jval_len(w->routes); i++)
		if (!strcmp(jval_str(jval_at(w->routes, i), "dst"), dst))
			return;
	o = jval_object();
	jval_set_str(o, "dst", dst);
	if (via)
		jval_set_str(o, "via", via);
	jval_push(w->routes, o);
}

static bool link_local(const struct nl_route *r)
{
	return r->family == AF_INET6 && r->dst[0] == 0xfe &&
	       (r->dst[1] & 0xc0) == 0x80;
}

static int take_route(const struct nl_route *r, void *arg)
{
	struct work *w = arg;
	char dst[INET6_ADDRSTRLEN], gw[INET6_ADDRSTRLEN];
	AUTO_FREE char *cidr = NULL;

	if (r->oif != w->index || r->by_kernel || link_local(r) ||
	    !inet_ntop(r->family, r->dst, dst, sizeof(dst)) ||
	    !inet_ntop(r->family, r->gw, gw, sizeof(gw)))
		return 0;
	cidr = xasprintf("%s/%d", dst, r->prefix);
	add_route(w, cidr, r->has_gw ? gw : NULL);
	w->made = true;
	return 0;
}

static int is_on_link(const struct nl_route *r, void *arg)
{
	struct work *w = arg;
	struct ip dst = {r->family, {0}, (unsigned int)r->prefix};

	memcpy(dst.addr, r->dst, sizeof(dst.addr));
	if (r->oif == w->index && !r->has_gw &&
	    (unsigned int)r->prefix == w->net.prefix &&
	    ip_within(&w->net, &dst))
		w->is_local = true;
	return w->is_local;
}

/*
 * ptp takes the prefix off the link again: neighbours are reached by the
 * gateway. Then the guest's address must have none, too.
 */
static int push_address(struct work *w, struct nl *in, const char *cidr,
    bool exists, struct err *err)
{
	AUTO_FREE char *alone = NULL;

	ip_parse_cidr(cidr, &w->net);
	w->is_local = !exists;
	if (exists && nl_route_each(in, w->net.family, is_on_link, w, err) < 0)
		return -1;
	alone = xasprintf("%.*s/%d", (int)strcspn(cidr, "/"), cidr,
	    w->net.family == AF_INET ? 32 : 128);
	jval_push_str(w->addresses, w->is_local ? cidr : alone);
	return 0;
}

static const char *gateway_of(const struct work *w, int family)
{
	const struct json_object *ips = jval_get(w->result, "ips");

	for (size_t i = 0; i < jval_len(ips); i++) {
		const struct json_object *o = jval_at(ips, i);
		const char *gw = jval_str(o, "gateway");

		if (gw && (strchr(gw, ':') != NULL) == (family == AF_INET6) &&
		    is_for(w->result, o, w->ifname))
			return gw;
	}
	return NULL;
}

/* The result's routes of a family; without any, its gateway is the default
 * one, as the Go program has it. */
static void told_routes(struct work *w, int family)
{
	const struct json_object *routes = jval_get(w->result, "routes");
	const char *gateway = gateway_of(w, family);
	bool any = w->made;

	for (size_t i = 0; i < jval_len(routes); i++) {
		const struct json_object *o = jval_at(routes, i);
		const char *dst = jval_str(o, "dst"), *gw = jval_str(o, "gw");

		if ((strchr(dst, ':') != NULL) != (family == AF_INET6))
			continue;
		any = true;
		if (jval_int(o, "scope", 0) != 253 && !gw)
			gw = gateway;
		add_route(w, dst, gw);
	}
	if (!any && gateway)
		add_route(w, family == AF_INET ? "0.0.0.0/0" : "::/0", gateway);
}

struct has_address {
	int index;
	bool any;
};

static int has_prefix(const struct nl_route *r, void *arg)
{
	struct has_address *h = arg;

	if (r->oif == h->index && !link_local(r))
		h->any = true;
	return h->any;
}

static int fill_family(
    struct work *w, struct nl *in, int family, struct err *err)
{
	const struct json_object *ips = jval_get(w->result, "ips");
	struct has_address h = {w->index, false};

	/* A plugin that only answers has no say in what is on the link. */
	if (nl_route_each(in, family, has_prefix, &h, err) < 0)
		return -1;
	for (size_t i = 0; i < jval_len(ips); i++) {
		const struct json_object *o = jval_at(ips, i);
		const char *cidr = jval_str(o, "address");

		if ((strchr(cidr, ':') != NULL) == (family == AF_INET6) &&
		    is_for(w->result, o, w->ifname) &&
		    push_address(w, in, cidr, h.any, err) < 0)
			return -1;
	}
	w->made = false;
	if (nl_route_each(in, family, take_route, w, err) < 0)
		return -1;
	told_routes(w, family);
	return 0;
}

static void set_list(
    struct json_object *nic, const char *key, struct json_object *list)
{
	jval_del(nic, key);
	if (jval_len(list))
		jval_set(nic, key, jval_ref(list));
}

int cni_result_nic(const struct json_object *result, const char *ifname,
    struct nl *inside, int index, struct json_object *nic, struct err *err)
{
	static const char *const words[][2] = {{"nameservers", "dns"},
	    {"search", "search"}, {"options", "options"}};
	AUTO_JSON struct json_object *addresses = jval_array();
	AUTO_JSON struct json_object *gateways = jval_array();
	AUTO_JSON struct json_object *routes = jval_array();
	struct work w = {.result = result,
	    .addresses = addresses,
	    .gateways = gateways,
	    .routes = routes,
	    .ifname = ifname,
	    .index = index};

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (fill_family(&w, inside, families[i], err) < 0)
			return -1;
	set_list(nic, "addresses", addresses);
	/* Without an address the guest asks by DHCP, for routes too. */
	set_list(nic, "gateways", jval_len(addresses) ? gateways : NULL);
	set_list(nic, "routes", jval_len(addresses) ? routes : NULL);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		set_list(nic, words[i][1],
		    jval_get(jval_get(result, "dns"), words[i][0]));
	return 0;
}
