/* SPDX-License-Identifier: MIT */
/*
 * check: a line for each single thing that is missing, exit status 5 if any
 * is. Takes no lock and changes nothing.
 */
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "cni_nic.h"
#include "file.h"
#include "net.h"
#include "netns.h"
#include "nic.h"
#include "nl_net.h"

static void miss(struct call *call, const char *id, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static void miss(struct call *call, const char *id, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(&call->out, "%s: %s\n", id, text);
	call->status = ERR_STATE;
}

static int check_address6(
    struct call *call, struct wire *w, const struct builtin *b, struct err *err)
{
	unsigned char gateway[16];
	int there;

	if (!b->subnet6.on)
		return 0;
	subnet6_gateway(&b->subnet6, gateway);
	there = nl_addr_has6(&w->host, w->builtin, gateway, 64, err);
	if (!there)
		miss(call, w->id, "no IPv6 address on %s", b->bridge);
	return there < 0 ? -1 : 0;
}

/* Sets w->builtin. */
static int check_bridge(
    struct call *call, struct net *n, struct wire *w, struct err *err)
{
	struct builtin b;
	struct nl_link link = {0};
	int r = builtin_load(n, &b, err), there;
	char text[100];

	if (r < 0)
		return -1;
	if (!r) {
		miss(call, w->id, "no settings of the network cocoon");
		return 0;
	}
	there = nl_link_get(&w->host, b.bridge, &link, err);
	if (there < 0)
		return -1;
	if (!there || !bridge_is_ours(&b, &link)) {
		miss(call, w->id, "no bridge %s", b.bridge);
	} else {
		w->builtin = link.index;
		if (!link.up)
			miss(call, w->id, "bridge %s is down", b.bridge);
		there = nl_addr_has4(&w->host, link.index,
		    subnet_gateway(&b.subnet), b.subnet.prefix, err);
		if (there < 0)
			return -1;
		if (!there)
			miss(call, w->id, "no address on %s", b.bridge);
		if (check_address6(call, w, &b, err) < 0)
			return -1;
	}
	there = nat_check(&b, text, err);
	if (there < 0 && err->code != ERR_STATE)
		return -1;
	if (there <= 0)
		miss(call, w->id, "%s", text);
	if (!forward_is_on(FORWARD_4))
		miss(call, w->id, "net.ipv4.ip_forward is 0");
	if (b.subnet6.on && !forward_is_on(FORWARD_6))
		miss(call, w->id, "net.ipv6.conf.all.forwarding is 0");
	return 0;
}

static void check_leases(
    struct call *call, struct net *n, const char *id, const struct doc_net *net)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++) {
		char owner[STATE_ID_LEN + 1], ip[16];

		if (!nic_is(&nics[i], NIC_BACKEND))
			continue;
		format_ip(nic_ip(&nics[i]), ip);
		if (!lease_owner(n, nic_ip(&nics[i]), owner) ||
		    strcmp(owner, id) != 0)
			miss(
			    call, id, "%s: no lease of %s", nics[i].ifname, ip);
	}
}

static int check_nics(struct call *call, struct wire *w,
    const struct doc_net *net, struct err *err)
{
	const struct doc_nic *nics = net->nics.v;

	for (size_t i = 0; i < net->nics.n; i++) {
		int missing = nic_check(w, &nics[i], &call->out, err);

		if (missing < 0)
			return -1;
		if (missing)
			call->status = ERR_STATE;
	}
	return 0;
}

/* The socket inside is opened there; everything else is done from here. */
static int look_inside(struct call *call, struct wire *w, struct err *err)
{
	AUTO_STAY struct stay stay = STAY_NONE;
	struct err e = {0};

	w->ns_fd = netns_open(w->id, &e);
	if (w->ns_fd < 0 && e.code == ERR_NOTFOUND) {
		miss(call, w->id, "no network namespace cn-%s", w->id);
		return 0;
	}
	if (w->ns_fd < 0) {
		*err = e;
		return -1;
	}
	if (netns_enter(w->ns_fd, &stay, err) < 0)
		return -1;
	return nl_open(&w->in, NETLINK_ROUTE, err);
}

static int check_wires(struct call *call, struct net *n, const char *id,
    const struct doc_net *net, struct err *err)
{
	struct wire w = {.id = id, .ns_fd = -1};
	int r = nl_open(&w.host, NETLINK_ROUTE, err);

	for (size_t i = 0; r == 0 && i < net->nics.n; i++)
		if (nic_is(
			(const struct doc_nic *)net->nics.v + i, NIC_BACKEND)) {
			r = check_bridge(call, n, &w, err);
			break;
		}
	if (r == 0)
		r = look_inside(call, &w, err);
	if (r == 0)
		r = check_nics(call, &w, net, err);
	nl_close(&w.in);
	nl_close(&w.host);
	close_fd(&w.ns_fd);
	return r;
}

static int check_id(struct call *call, const char *id, struct err *err)
{
	AUTO_NET struct net n = NET_NONE;
	AUTO_JSON struct json_object *doc = NULL;
	struct doc_net net;
	int r;

	if (net_open(&n, false, err) < 0)
		return -1;
	r = record_read(&n, id, &doc, &net, err);
	if (r < 0)
		return -1;
	if (r == 0) {
		miss(call, id, "no record");
		return 0;
	}
	check_leases(call, &n, id, &net);
	if (check_wires(call, &n, id, &net, err) < 0)
		return -1;
	if (cni_check_nics(doc, id, &call->out))
		call->status = ERR_STATE;
	return 0;
}

static int check_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const char *id = doc_id(doc, err);
	struct json_object *net = jval_get(doc, "net");

	if (!id)
		return -1;
	if (net && !jval_len(jval_get(net, "nics")))
		return 0;
	return check_id(call, id, err);
}

static int check_run(struct call *call, struct err *err)
{
	for (size_t i = 0; i < call->args.n; i++) {
		struct err e = {0};

		if (!valid_id(call->args.v[i]))
			return err_set(err, ERR_USAGE,
			    "\"%.40s\": want an id, 26 characters of A-Z2-7",
			    call->args.v[i]);
		if (check_id(call, call->args.v[i], &e) < 0)
			tool_fail(call, NULL, &e);
	}
	return 0;
}

const struct verb verb_check = {
    .name = "check",
    .summary = "Say what is missing of the networks of VMs.",
    .operands = "[ID...]",
    .max_args = -1,
    .filter = check_filter,
    .run = check_run,
};
