/* SPDX-License-Identifier: MIT */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "nl_net.h"

struct each {
	int (*fn)(const struct nl_route *route, void *arg);
	void *arg;
	int stop;
};

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct nl_route *r = arg;
	size_t len = mnl_attr_get_payload_len(attr);
	const void *data = mnl_attr_get_payload(attr);
	size_t want = r->family == AF_INET ? 4 : 16;

	switch (mnl_attr_get_type(attr)) {
	case RTA_DST:
		if (len == want)
			memcpy(r->dst, data, len);
		break;
	case RTA_GATEWAY:
		if (len == want)
			memcpy(r->gw, data, len);
		r->has_gw = len == want;
		break;
	case RTA_OIF:
		if (len == 4)
			r->oif = (int)mnl_attr_get_u32(attr);
		break;
	}
	return MNL_CB_OK;
}

static int each_route(const struct nlmsghdr *msg, void *arg)
{
	const struct rtmsg *rtm = msg ? mnl_nlmsg_get_payload(msg) : NULL;
	struct nl_route r = {0};
	struct each *e = arg;

	if (!msg || e->stop || msg->nlmsg_type != RTM_NEWROUTE ||
	    msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*rtm) ||
	    (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST ||
	    rtm->rtm_flags & RTM_F_CLONED)
		return 0;
	r.family = rtm->rtm_family;
	r.prefix = rtm->rtm_dst_len;
	r.by_kernel = rtm->rtm_protocol == RTPROT_KERNEL;
	mnl_attr_parse(msg, sizeof(*rtm), take_attr, &r);
	e->stop = e->fn(&r, e->arg);
	return 0;
}

int nl_route_each(struct nl *nl, int family,
    int (*fn)(const struct nl_route *route, void *arg), void *arg,
    struct err *err)
{
	struct nlmsghdr *msg =
	    nl_msg(nl, RTM_GETROUTE, NLM_F_DUMP, "list routes");
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(msg, sizeof(*rtm));
	struct each e = {fn, arg, 0};

	rtm->rtm_family = (unsigned char)family;
	return nl_dump(nl, each_route, &e, err);
}
