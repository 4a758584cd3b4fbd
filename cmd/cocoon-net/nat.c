/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "nl_net.h"
#include "proc.h"

#define NFT_MS 20000
#define REMEDY "; install it: apt-get install nftables"

/*
 * Guests reach out under the host's address; nobody reaches in unless a
 * guest asked, or somebody's DNAT rule says so.
 */
static void ruleset(const struct builtin *b, struct buf *out)
{
	char subnet[20], subnet6[52];

	format_cidr(b->subnet.base, b->subnet.prefix, subnet);
	subnet6_format(&b->subnet6, subnet6);
	/* What is left of an older one is replaced in the same transaction. */
	buf_addf(
	    out, "table inet %s\ndelete table inet %s\n", b->bridge, b->bridge);
	buf_addf(out,
	    "table inet %s {\n"
	    "\tcomment \"%s\"\n"
	    "\tchain postrouting {\n"
	    "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	    "\t\tip saddr %s oifname != \"%s\" masquerade\n",
	    b->bridge, b->owner, subnet, b->bridge);
	if (b->subnet6.on)
		buf_addf(out, "\t\tip6 saddr %s oifname != \"%s\" masquerade\n",
		    subnet6, b->bridge);
	buf_addf(out,
	    "\t}\n"
	    "\tchain forward {\n"
	    "\t\ttype filter hook forward priority filter; policy accept;\n"
	    "\t\tiifname \"%s\" accept\n"
	    "\t\toifname \"%s\" ct state established,related accept\n"
	    "\t\toifname \"%s\" ct status dnat accept\n"
	    "\t\toifname \"%s\" drop\n"
	    "\t}\n"
	    "}\n",
	    b->bridge, b->bridge, b->bridge, b->bridge);
}

static int find_table(
    struct nl *nl, const struct builtin *b, bool *ours, struct err *err)
{
	return nl_nft_table_get(nl, b->bridge, b->owner, ours, err);
}

int nat_there(const struct builtin *b, struct err *err)
{
	AUTO_NL struct nl nl = {0};
	bool ours = false;
	int r;

	if (nl_open(&nl, NETLINK_NETFILTER, err) < 0)
		return -1;
	r = find_table(&nl, b, &ours, err);
	if (r > 0 && !ours)
		return err_set(err, ERR_STATE,
		    "nftables table inet %s: is there and not ours; choose "
		    "another name by COCOON_BRIDGE",
		    b->bridge);
	return r;
}

/* The rules' number: who edits one makes it his own. */
int nat_check(const struct builtin *b, char out[100], struct err *err)
{
	const struct {
		const char *chain;
		int rules;
	} want[] = {{"postrouting", b->subnet6.on ? 2 : 1}, {"forward", 4}};
	AUTO_NL struct nl nl = {0};
	int r = nat_there(b, err);

	snprintf(out, 100, "no nftables table inet %s", b->bridge);
	if (r <= 0)
		return r;
	if (nl_open(&nl, NETLINK_NETFILTER, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		r = nl_nft_rules(&nl, b->bridge, want[i].chain, err);
		if (r < 0)
			return -1;
		snprintf(out, 100,
		    "nftables table inet %s: %d of %d rules in chain %s",
		    b->bridge, r, want[i].rules, want[i].chain);
		if (r < want[i].rules)
			return 0;
	}
	return 1;
}

static int apply(const struct builtin *b, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;
	AUTO_BUF struct buf text = {0};

	proc_init(&p);
	strv_add(&p.argv, "nft");
	strv_add(&p.argv, "-f");
	strv_add(&p.argv, "-");
	ruleset(b, &text);
	if (proc_run(&p, text.data, text.len, NULL, 0, NFT_MS, err) == 0)
		return 0;
	if (err->code == ERR_UNSUPPORTED)
		return err_set(err, ERR_UNSUPPORTED,
		    "NAT for %s: the program nft is missing" REMEDY, b->bridge);
	return err_wrap(err, "NAT for %s", b->bridge);
}

int nat_ensure(const struct builtin *b, struct err *err)
{
	struct err e = {0};
	int r = nat_there(b, &e);
	char text[100];

	if (r < 0 && e.code == ERR_STATE) {
		*err = e;
		return -1;
	}
	if (r > 0 && nat_check(b, text, &e) == 1)
		return 0;
	/* A kernel that cannot even be asked: nft says it better. */
	if (apply(b, err) < 0)
		return -1;
	if (nat_there(b, &e) == 0)
		return err_set(err, ERR_FAILED,
		    "NAT for %s: nft succeeded, but there is no table",
		    b->bridge);
	return 0;
}

int nat_remove(const struct builtin *b, struct err *err)
{
	AUTO_NL struct nl nl = {0};
	struct err e = {0};
	bool ours = false;

	/* A kernel without nf_tables has no table of ours. */
	if (nl_open(&nl, NETLINK_NETFILTER, &e) < 0 ||
	    find_table(&nl, b, &ours, &e) <= 0 || !ours)
		return 0;
	nl_nft_table_del(&nl, b->bridge);
	if (nl_do(&nl, &e) < 0 && e.sys != ENOENT) {
		*err = e;
		return -1;
	}
	return 0;
}
