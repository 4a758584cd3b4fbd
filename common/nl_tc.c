/* SPDX-License-Identifier: MIT */
/*
 * tc: an ingress qdisc, and on it one u32 filter that matches everything and
 * redirects. matchall would say it shorter, but is not in every kernel.
 */
#include "nl_net.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define INGRESS_HANDLE 0xffff0000u /* ffff: */
#define PRIORITY 2u
#define REST_PRIORITY 1u
#define LOOPBACK 1 /* its index, in every namespace */

static struct tcmsg *tc_msg(
    struct nl *nl, int type, int flags, const char *what, int index)
{
	struct nlmsghdr *msg =
	    nl_msg(nl, type, flags, "device %d: %s", index, what);
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(msg, sizeof(*tc));

	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = index;
	return tc;
}

void nl_tc_add_ingress(struct nl *nl, int index)
{
	struct tcmsg *tc = tc_msg(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
	    "add the ingress qdisc", index);

	tc->tcm_parent = TC_H_INGRESS;
	tc->tcm_handle = INGRESS_HANDLE;
	nl_put_str(nl, TCA_KIND, "ingress");
}

void nl_tc_del_ingress(struct nl *nl, int index)
{
	struct tcmsg *tc =
	    tc_msg(nl, RTM_DELQDISC, 0, "delete the ingress qdisc", index);

	tc->tcm_parent = TC_H_INGRESS;
	tc->tcm_handle = INGRESS_HANDLE;
}

/* The action list: one mirred. */
static void put_mirred(struct nl *nl, int to)
{
	struct tc_mirred parms = {.action = TC_ACT_STOLEN,
	    .eaction = TCA_EGRESS_REDIR,
	    .ifindex = (uint32_t)to};
	struct nlattr *list = nl_nest(nl, TCA_U32_ACT);
	struct nlattr *first = nl_nest(nl, 1);
	struct nlattr *options;

	nl_put_str(nl, TCA_ACT_KIND, "mirred");
	options = nl_nest(nl, TCA_ACT_OPTIONS);
	nl_put(nl, TCA_MIRRED_PARMS, &parms, sizeof(parms));
	nl_nest_end(nl, options);
	nl_nest_end(nl, first);
	nl_nest_end(nl, list);
}

void nl_tc_add_match(
    struct nl *nl, int from, int to, const struct nl_tc_match *m)
{
	struct tcmsg *tc = tc_msg(nl, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
	    "add the redirect", from);
	struct nlattr *options;
	union {
		struct tc_u32_sel sel;
		char room[sizeof(struct tc_u32_sel) +
			  NL_TC_KEYS * sizeof(struct tc_u32_key)];
	} u = {.room = {0}};

	u.sel.flags = TC_U32_TERMINAL;
	u.sel.nkeys = (unsigned char)m->n;
	for (size_t i = 0; i < m->n; i++) {
		u.sel.keys[i].off = m->keys[i].offset;
		u.sel.keys[i].mask = htonl(m->keys[i].mask);
		u.sel.keys[i].val = htonl(m->keys[i].value & m->keys[i].mask);
	}
	tc->tcm_parent = INGRESS_HANDLE;
	tc->tcm_info = TC_H_MAKE(m->priority << 16, htons(m->protocol));
	nl_put_str(nl, TCA_KIND, "u32");
	options = nl_nest(nl, TCA_OPTIONS);
	nl_put(nl, TCA_U32_SEL, u.room,
	    sizeof(u.sel) + m->n * sizeof(struct tc_u32_key));
	put_mirred(nl, to);
	nl_nest_end(nl, options);
}

void nl_tc_add_redirect(struct nl *nl, int from, int to)
{
	/* One key that is all zeros: mask 0, value 0. */
	static const struct nl_tc_match all = {
	    .protocol = ETH_P_ALL, .priority = PRIORITY, .n = 1};

	nl_tc_add_match(nl, from, to, &all);
}

/* A drop would say it shorter, but act_gact is not in every kernel: on lo no
 * frame is for anybody, since none has lo's MAC. */
void nl_tc_add_rest(struct nl *nl, int index)
{
	static const struct nl_tc_match all = {
	    .protocol = ETH_P_ALL, .priority = REST_PRIORITY, .n = 1};

	nl_tc_add_match(nl, index, LOOPBACK, &all);
}

void nl_tc_del_rest(struct nl *nl, int index)
{
	struct tcmsg *tc = tc_msg(
	    nl, RTM_DELTFILTER, 0, "delete the filter of a VM at rest", index);

	tc->tcm_parent = INGRESS_HANDLE;
	tc->tcm_info =
	    TC_H_MAKE(REST_PRIORITY << 16, htons((uint16_t)ETH_P_ALL));
}

struct search {
	int index, to;
	bool plain; /* a filter that takes every frame */
	bool found;
};

static int is_ingress(const struct nlattr *attr, void *arg)
{
	struct search *s = arg;

	if (mnl_attr_get_type(attr) == TCA_KIND &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 &&
	    !strcmp(mnl_attr_get_str(attr), "ingress"))
		s->found = true;
	return MNL_CB_OK;
}

static int match_qdisc(const struct nlmsghdr *msg, void *arg)
{
	struct search *s = arg;
	const struct tcmsg *tc;

	if (!msg) {
		s->found = false;
		return 0;
	}
	tc = mnl_nlmsg_get_payload(msg);
	if (msg->nlmsg_type == RTM_NEWQDISC &&
	    msg->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(*tc) &&
	    tc->tcm_ifindex == s->index)
		mnl_attr_parse(msg, sizeof(*tc), is_ingress, s);
	return 0;
}

int nl_tc_has_ingress(struct nl *nl, int index, struct err *err)
{
	struct search s = {.index = index};

	tc_msg(nl, RTM_GETQDISC, NLM_F_DUMP, "list qdiscs", index);
	if (nl_dump(nl, match_qdisc, &s, err) < 0)
		return -1;
	return s.found;
}

/* One level of a filter message: the attributes below go to the same
 * function, with the level in arg. */
struct level {
	int depth; /* 0 message, 1 options, 2 actions, 3 action, 4 its options */
	int to;
};

static int descend(const struct nlattr *attr, void *arg)
{
	/* Which attribute leads down at each level; any number at level 2. */
	static const int way[] = {
	    TCA_OPTIONS, TCA_U32_ACT, -1, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS};
	struct level *l = arg;
	int type = mnl_attr_get_type(attr);
	const struct tc_mirred *m = mnl_attr_get_payload(attr);

	if (way[l->depth] >= 0 && type != way[l->depth])
		return MNL_CB_OK;
	if (l->depth < 4) {
		l->depth++;
		mnl_attr_parse_nested(attr, descend, l);
		l->depth--;
	} else if (mnl_attr_get_payload_len(attr) >= sizeof(*m) &&
		   m->eaction == TCA_EGRESS_REDIR) {
		l->to = (int)m->ifindex;
	}
	return MNL_CB_OK;
}

int nl_tc_parse_redirect(const struct nlmsghdr *msg)
{
	struct level l = {0};

	if (msg->nlmsg_type != RTM_NEWTFILTER ||
	    msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(struct tcmsg))
		return 0;
	mnl_attr_parse(msg, sizeof(struct tcmsg), descend, &l);
	return l.to;
}

static int match_filter(const struct nlmsghdr *msg, void *arg)
{
	struct search *s = arg;
	const struct tcmsg *tc;

	if (!msg) {
		s->found = false;
		return 0;
	}
	if (nl_tc_parse_redirect(msg) != s->to)
		return 0;
	tc = mnl_nlmsg_get_payload(msg);
	if (!s->plain || TC_H_MIN(tc->tcm_info) == htons((uint16_t)ETH_P_ALL))
		s->found = true;
	return 0;
}

static int has_filter(
    struct nl *nl, int from, int to, bool plain, struct err *err)
{
	struct search s = {.index = from, .to = to, .plain = plain};
	int r = nl_tc_has_ingress(nl, from, err);

	/* Without the qdisc the kernel lists nothing, or says EINVAL. */
	if (r <= 0)
		return r;
	tc_msg(nl, RTM_GETTFILTER, NLM_F_DUMP, "list filters", from)
	    ->tcm_parent = INGRESS_HANDLE;
	if (nl_dump(nl, match_filter, &s, err) < 0)
		return -1;
	return s.found;
}

int nl_tc_has_redirect(struct nl *nl, int from, int to, struct err *err)
{
	return has_filter(nl, from, to, false, err);
}

int nl_tc_has_plain(struct nl *nl, int from, int to, struct err *err)
{
	return has_filter(nl, from, to, true, err);
}

int nl_tc_has_rest(struct nl *nl, int index, struct err *err)
{
	return nl_tc_has_redirect(nl, index, LOOPBACK, err);
}
