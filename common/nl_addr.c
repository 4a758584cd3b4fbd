/* SPDX-License-Identifier: MIT */
#include "nl_net.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct ifaddrmsg *addr_msg(
    struct nl *nl, int type, int flags, const char *what, int index)
{
	struct nlmsghdr *msg = nl_msg(nl, type, flags, "%s", what);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(msg, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	ifa->ifa_index = (unsigned int)index;
	return ifa;
}

void nl_addr_add4(struct nl *nl, int index, uint32_t addr, int prefix)
{
	uint32_t be = htonl(addr);
	uint32_t all = htonl(addr | (prefix ? 0xffffffffu >> prefix : ~0u));
	struct ifaddrmsg *ifa;

	ifa = addr_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
	    "add the gateway's address", index);
	ifa->ifa_prefixlen = (unsigned char)prefix;
	nl_put_u32(nl, IFA_LOCAL, be);
	nl_put_u32(nl, IFA_ADDRESS, be);
	nl_put_u32(nl, IFA_BROADCAST, all);
}

struct search {
	uint32_t be;
	int index, prefix;
	bool found;
};

static int is_local(const struct nlattr *attr, void *arg)
{
	struct search *s = arg;

	if (mnl_attr_get_type(attr) == IFA_LOCAL &&
	    mnl_attr_validate(attr, MNL_TYPE_U32) == 0 &&
	    mnl_attr_get_u32(attr) == s->be)
		s->found = true;
	return MNL_CB_OK;
}

static int match(const struct nlmsghdr *msg, void *arg)
{
	struct search *s = arg;
	const struct ifaddrmsg *ifa;

	if (!msg) {
		s->found = false;
		return 0;
	}
	ifa = mnl_nlmsg_get_payload(msg);
	if (msg->nlmsg_type == RTM_NEWADDR &&
	    msg->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(*ifa) &&
	    (int)ifa->ifa_index == s->index && ifa->ifa_prefixlen == s->prefix)
		mnl_attr_parse(msg, sizeof(*ifa), is_local, s);
	return 0;
}

int nl_addr_has4(
    struct nl *nl, int index, uint32_t addr, int prefix, struct err *err)
{
	struct search s = {htonl(addr), index, prefix, false};

	addr_msg(nl, RTM_GETADDR, NLM_F_DUMP, "list addresses", index);
	if (nl_dump(nl, match, &s, err) < 0)
		return -1;
	return s.found;
}
