/* SPDX-License-Identifier: MIT */
#include "nl_net.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

struct each {
	int (*fn)(const struct nl_route4 *route, void *arg);
	void *arg;
	int stop;
};

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct nl_route4 *r = arg;

	if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
		return MNL_CB_OK;
	if (mnl_attr_get_type(attr) == RTA_DST)
		r->dst = ntohl(mnl_attr_get_u32(attr));
	if (mnl_attr_get_type(attr) == RTA_OIF)
		r->oif = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int each_route(const struct nlmsghdr *msg, void *arg)
{
	const struct rtmsg *rtm = msg ? mnl_nlmsg_get_payload(msg) : NULL;
	struct nl_route4 r = {0};
	struct each *e = arg;

	if (!msg || e->stop || msg->nlmsg_type != RTM_NEWROUTE ||
	    msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*rtm) ||
	    rtm->rtm_family != AF_INET || rtm->rtm_table != RT_TABLE_MAIN ||
	    rtm->rtm_type != RTN_UNICAST)
		return 0;
	r.prefix = rtm->rtm_dst_len;
	mnl_attr_parse(msg, sizeof(*rtm), take_attr, &r);
	e->stop = e->fn(&r, e->arg);
	return 0;
}

int nl_route_each4(struct nl *nl,
    int (*fn)(const struct nl_route4 *route, void *arg), void *arg,
    struct err *err)
{
	struct nlmsghdr *msg =
	    nl_msg(nl, RTM_GETROUTE, NLM_F_DUMP, "list routes");
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(msg, sizeof(*rtm));
	struct each e = {fn, arg, 0};

	rtm->rtm_family = AF_INET;
	return nl_dump(nl, each_route, &e, err);
}
