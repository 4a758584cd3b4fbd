/* SPDX-License-Identifier: MIT */
#include "nl_net.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static struct ifaddrmsg *addr_msg(
    struct nl *nl, int type, int flags, int family, const char *what, int index)
{
	struct nlmsghdr *msg = nl_msg(nl, type, flags, "%s", what);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(msg, sizeof(*ifa));

	ifa->ifa_family = (unsigned char)family;
	ifa->ifa_index = (unsigned int)index;
	return ifa;
}

void nl_addr_add4(struct nl *nl, int index, uint32_t addr, int prefix)
{
	uint32_t be = htonl(addr);
	uint32_t all = htonl(addr | (prefix ? 0xffffffffu >> prefix : ~0u));
	struct ifaddrmsg *ifa;

	ifa = addr_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, AF_INET,
	    "add the gateway's address", index);
	ifa->ifa_prefixlen = (unsigned char)prefix;
	nl_put_u32(nl, IFA_LOCAL, be);
	nl_put_u32(nl, IFA_ADDRESS, be);
	nl_put_u32(nl, IFA_BROADCAST, all);
}

void nl_addr_add6(
    struct nl *nl, int index, const unsigned char addr[16], int prefix)
{
	struct ifaddrmsg *ifa;

	ifa = addr_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, AF_INET6,
	    "add the gateway's IPv6 address", index);
	ifa->ifa_prefixlen = (unsigned char)prefix;
	/* Nobody else has it, and guests do not wait a second. */
	ifa->ifa_flags = IFA_F_NODAD | IFA_F_PERMANENT;
	nl_put(nl, IFA_LOCAL, addr, 16);
	nl_put(nl, IFA_ADDRESS, addr, 16);
}

struct search {
	unsigned char addr[16];
	size_t len;
	int index, prefix;
	bool found;
};

/* IPv6 has IFA_ADDRESS alone; in IPv4 that is the other end's. */
static int is_local(const struct nlattr *attr, void *arg)
{
	struct search *s = arg;
	int type = s->len == 4 ? IFA_LOCAL : IFA_ADDRESS;

	if (mnl_attr_get_type(attr) == type &&
	    mnl_attr_get_payload_len(attr) == s->len &&
	    !memcmp(mnl_attr_get_payload(attr), s->addr, s->len))
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

static int has(struct nl *nl, struct search *s, struct err *err)
{
	addr_msg(nl, RTM_GETADDR, NLM_F_DUMP, s->len == 4 ? AF_INET : AF_INET6,
	    "list addresses", s->index);
	if (nl_dump(nl, match, s, err) < 0)
		return -1;
	return s->found;
}

int nl_addr_has4(
    struct nl *nl, int index, uint32_t addr, int prefix, struct err *err)
{
	struct search s = {.len = 4, .index = index, .prefix = prefix};
	uint32_t be = htonl(addr);

	memcpy(s.addr, &be, 4);
	return has(nl, &s, err);
}

int nl_addr_has6(struct nl *nl, int index, const unsigned char addr[16],
    int prefix, struct err *err)
{
	struct search s = {.len = 16, .index = index, .prefix = prefix};

	memcpy(s.addr, addr, 16);
	return has(nl, &s, err);
}
