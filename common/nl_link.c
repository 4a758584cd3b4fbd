/* SPDX-License-Identifier: MIT */
#include "nl_link.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int find_kind(const struct nlattr *attr, void *arg)
{
	struct nl_link *out = arg;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
	    mnl_attr_validate(attr, MNL_TYPE_STRING) == 0)
		snprintf(out->kind, sizeof(out->kind), "%.*s",
		    (int)mnl_attr_get_payload_len(attr),
		    mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

/* Not aligned, and longer with newer kernels. */
static void take_stats(const char *data, size_t len, struct nl_link *out)
{
	struct rtnl_link_stats64 st = {0};

	memcpy(&st, data, len < sizeof(st) ? len : sizeof(st));
	out->rx = (struct nl_count){st.rx_packets, st.rx_bytes, st.rx_dropped};
	out->tx = (struct nl_count){st.tx_packets, st.tx_bytes, st.tx_dropped};
}

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct nl_link *out = arg;
	uint16_t len = mnl_attr_get_payload_len(attr);
	const char *s = mnl_attr_get_payload(attr);

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		snprintf(out->name, sizeof(out->name), "%.*s", (int)len, s);
		break;
	case IFLA_IFALIAS:
		snprintf(out->alias, sizeof(out->alias), "%.*s", (int)len, s);
		break;
	case IFLA_ADDRESS:
		if (len == sizeof(out->mac))
			memcpy(out->mac, s, sizeof(out->mac));
		break;
	case IFLA_MTU:
		if (len == sizeof(uint32_t))
			out->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_MASTER:
		if (len == sizeof(uint32_t))
			out->master = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_STATS64:
		take_stats(s, len, out);
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, find_kind, out);
		break;
	}
	return MNL_CB_OK;
}

int nl_link_parse(const struct nlmsghdr *msg, struct nl_link *out)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);

	memset(out, 0, sizeof(*out));
	if (msg->nlmsg_type != RTM_NEWLINK ||
	    msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*ifi))
		return -1;
	out->index = ifi->ifi_index;
	out->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_parse(msg, sizeof(*ifi), take_attr, out);
	return 0;
}

static int parse_one(const struct nlmsghdr *msg, void *arg)
{
	return nl_link_parse(msg, arg);
}

static struct ifinfomsg *link_msg(
    struct nl *nl, int type, int flags, const char *what, const char *name)
{
	struct nlmsghdr *msg = nl_msg(nl, type, flags, "%s: %s", name, what);

	return mnl_nlmsg_put_extra_header(msg, sizeof(struct ifinfomsg));
}

int nl_link_get(
    struct nl *nl, const char *name, struct nl_link *out, struct err *err)
{
	link_msg(nl, RTM_GETLINK, 0, "look it up", name);
	nl_put_str(nl, IFLA_IFNAME, name);
	return nl_get(nl, parse_one, out, err);
}

int nl_link_get_index(
    struct nl *nl, int index, struct nl_link *out, struct err *err)
{
	link_msg(nl, RTM_GETLINK, 0, "look it up", "device")->ifi_index = index;
	return nl_get(nl, parse_one, out, err);
}

struct each {
	int (*fn)(const struct nl_link *link, void *arg);
	void *arg;
	int stop;
};

static int each_link(const struct nlmsghdr *msg, void *arg)
{
	struct each *e = arg;
	struct nl_link link;

	if (msg && !e->stop && nl_link_parse(msg, &link) == 0)
		e->stop = e->fn(&link, e->arg);
	return 0;
}

int nl_link_each(struct nl *nl,
    int (*fn)(const struct nl_link *link, void *arg), void *arg,
    struct err *err)
{
	struct each e = {fn, arg, 0};

	link_msg(nl, RTM_GETLINK, NLM_F_DUMP, "list", "devices");
	return nl_dump(nl, each_link, &e, err);
}

void nl_link_add_veth(struct nl *nl, const struct nl_veth *v)
{
	struct nlattr *info, *data, *peer;

	link_msg(
	    nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create veth", v->name)
	    ->ifi_index = v->index;
	nl_put_str(nl, IFLA_IFNAME, v->name);
	nl_put(nl, IFLA_ADDRESS, v->mac, 6);
	nl_put_u32(nl, IFLA_MTU, v->mtu);
	info = nl_nest(nl, IFLA_LINKINFO);
	nl_put_str(nl, IFLA_INFO_KIND, "veth");
	data = nl_nest(nl, IFLA_INFO_DATA);
	peer = nl_nest(nl, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(nl->last, sizeof(struct ifinfomsg));
	/* Made where it belongs: moving it there would wait for RCU. */
	nl_put_u32(nl, IFLA_NET_NS_FD, (uint32_t)v->peer_ns_fd);
	nl_put_str(nl, IFLA_IFNAME, v->peer_name);
	nl_put_u32(nl, IFLA_MTU, v->peer_mtu ? v->peer_mtu : v->mtu);
	nl_nest_end(nl, peer);
	nl_nest_end(nl, data);
	nl_nest_end(nl, info);
}

void nl_link_add_bridge(struct nl *nl, const char *name,
    const unsigned char mac[6], unsigned int mtu)
{
	struct nlattr *info;

	link_msg(
	    nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create bridge", name);
	nl_put_str(nl, IFLA_IFNAME, name);
	nl_put(nl, IFLA_ADDRESS, mac, 6);
	nl_put_u32(nl, IFLA_MTU, mtu);
	info = nl_nest(nl, IFLA_LINKINFO);
	nl_put_str(nl, IFLA_INFO_KIND, "bridge");
	nl_nest_end(nl, info);
}

void nl_link_set(struct nl *nl, const char *name, const struct nl_link_set *s)
{
	link_msg(nl, RTM_SETLINK, 0, "set up", name);
	nl_put_str(nl, IFLA_IFNAME, name);
	if (s->mac)
		nl_put(nl, IFLA_ADDRESS, s->mac, 6);
	if (s->mtu)
		nl_put_u32(nl, IFLA_MTU, s->mtu);
	if (s->master)
		nl_put_u32(nl, IFLA_MASTER, (uint32_t)s->master);
	if (s->alias)
		nl_put_str(nl, IFLA_IFALIAS, s->alias);
	if (s->quiet) {
		uint8_t none = IN6_ADDR_GEN_MODE_NONE;
		struct nlattr *spec = nl_nest(nl, IFLA_AF_SPEC);
		struct nlattr *inet6 = nl_nest(nl, AF_INET6);

		nl_put(nl, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
		nl_nest_end(nl, inet6);
		nl_nest_end(nl, spec);
	}
}

void nl_link_up(struct nl *nl, const char *name)
{
	struct ifinfomsg *ifi = link_msg(nl, RTM_SETLINK, 0, "set up", name);

	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	nl_put_str(nl, IFLA_IFNAME, name);
}

void nl_link_down(struct nl *nl, const char *name)
{
	link_msg(nl, RTM_SETLINK, 0, "set down", name)->ifi_change = IFF_UP;
	nl_put_str(nl, IFLA_IFNAME, name);
}

void nl_link_del(struct nl *nl, const char *name)
{
	link_msg(nl, RTM_DELLINK, 0, "delete", name);
	nl_put_str(nl, IFLA_IFNAME, name);
}
