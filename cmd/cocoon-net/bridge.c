/* SPDX-License-Identifier: MIT */
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "file.h"
#include "nl_net.h"
#include "tool.h"

bool bridge_is_ours(const struct builtin *b, const struct nl_link *link)
{
	return !strcmp(link->kind, "bridge") && !strcmp(link->alias, b->owner);
}

static int foreign(
    const struct builtin *b, const struct nl_link *link, struct err *err)
{
	return err_set(err, ERR_STATE,
	    "bridge %s: a device of this name is there and not ours%s%.60s%s; "
	    "choose another one by COCOON_BRIDGE",
	    b->bridge, link->alias[0] ? " (" : "", link->alias,
	    link->alias[0] ? ")" : "");
}

/* 0a:58 and the gateway's address, as CNI has it: the same on every host,
 * so that a clone's or a restored guest's ARP entry stays right. */
static void gateway_mac(const struct builtin *b, unsigned char mac[6])
{
	uint32_t ip = subnet_gateway(&b->subnet);

	mac[0] = 0x0a;
	mac[1] = 0x58;
	for (int i = 0; i < 4; i++)
		mac[2 + i] = (unsigned char)(ip >> (24 - 8 * i));
}

static int create(const struct builtin *b, struct nl *host, struct err *err)
{
	struct nl_link_set set = {.alias = b->owner, .quiet = true};
	unsigned char mac[6];

	gateway_mac(b, mac);
	nl_link_add_bridge(host, b->bridge, mac, b->mtu);
	/* In the same batch: no bridge of ours without its mark. */
	nl_link_set(host, b->bridge, &set);
	return nl_do(host, err);
}

/* Up comes last: a bridge that is up has all the rest. */
static int finish(const struct builtin *b, struct nl *host, struct err *err)
{
	struct nl_link link;
	int r = nl_link_get(host, b->bridge, &link, err);

	if (r < 0)
		return -1;
	if (!r || !bridge_is_ours(b, &link))
		return err_set(
		    err, ERR_FAILED, "bridge %s: vanished", b->bridge);
	nl_addr_add4(
	    host, link.index, subnet_gateway(&b->subnet), b->subnet.prefix);
	if (b->subnet6.on) {
		unsigned char gateway[16];

		subnet6_gateway(&b->subnet6, gateway);
		nl_addr_add6(host, link.index, gateway, 64);
	}
	if (nl_do(host, err) < 0)
		return err_wrap(err, "bridge %s", b->bridge);
	nl_link_up(host, b->bridge);
	return nl_do(host, err) < 0 ? -1 : link.index;
}

static int build(struct net *n, struct builtin *b, struct nl *host, bool there,
    struct err *err)
{
	AUTO_FD int lock = forward_lock(err);

	if (lock < 0 || (!there && builtin_survey(host, b, err) < 0))
		return -1;
	if (!b->recorded && builtin_save(n, b, err) < 0)
		return -1;
	b->recorded = true;
	if (nat_ensure(b, err) < 0 || tool_check(err) < 0 ||
	    forward_on(FORWARD_4, lock, err) < 0 ||
	    (b->subnet6.on && forward_on(FORWARD_6, lock, err) < 0))
		return -1;
	if (!there && create(b, host, err) < 0)
		return -1;
	return finish(b, host, err);
}

int bridge_ensure(
    struct net *n, struct builtin *b, struct nl *host, struct err *err)
{
	struct nl_link link;
	int r = nl_link_get(host, b->bridge, &link, err), nat;
	char text[100];

	if (r < 0)
		return -1;
	if (r && !bridge_is_ours(b, &link))
		return foreign(b, &link, err);
	if (r && link.up && forward_is_on(FORWARD_4) &&
	    (!b->subnet6.on || forward_is_on(FORWARD_6))) {
		nat = nat_check(b, text, err);
		if (nat < 0)
			return -1;
		if (nat)
			return link.index;
	}
	return build(n, b, host, r > 0, err);
}

static int is_lease(uint32_t ip, const char *id, void *arg)
{
	(void)ip;
	(void)id;
	*(bool *)arg = true;
	return 1;
}

int bridge_release(struct net *n, struct err *err)
{
	AUTO_NL struct nl host = {0};
	AUTO_FD int lock = -1;
	bool used = false;
	struct builtin b;
	struct nl_link link;
	int r = builtin_load(n, &b, err);

	if (r <= 0)
		return r;
	if (lease_each(n, is_lease, &used, err) < 0)
		return -1;
	if (used)
		return 0;
	lock = forward_lock(err);
	if (lock < 0 || nl_open(&host, NETLINK_ROUTE, err) < 0 ||
	    nat_remove(&b, err) < 0)
		return -1;
	r = nl_link_get(&host, b.bridge, &link, err);
	if (r > 0 && bridge_is_ours(&b, &link)) {
		nl_link_del(&host, b.bridge);
		r = nl_do(&host, err);
	}
	if (r < 0 || forward_restore(lock, &host, err) < 0)
		return -1;
	return builtin_unlink(n, err) < 0 ? -1 : 1;
}
