/* SPDX-License-Identifier: MIT */
/*
 * The pure halves of nl*.c: what one function queues another one can read, so
 * no kernel is needed; and nothing reads past a message that was cut short.
 */
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "nl_link.h"
#include "nl_net.h"
#include "tap.h"

/* A copy that ends where an allocation ends: sanitizers see every overrun. */
static struct nlmsghdr *cut(const struct nlmsghdr *msg, size_t len)
{
	struct nlmsghdr *copy = malloc(len);

	memcpy(copy, msg, len);
	copy->nlmsg_len = (uint32_t)len;
	return copy;
}

static void redirect(void)
{
	struct nl nl = {.first_seq = 1};

	nl_tc_add_redirect(&nl, 100, 200);
	is_int(nl.last->nlmsg_type, RTM_NEWTFILTER, "a filter");
	is_int(nl_tc_parse_redirect(nl.last), 200, "where it leads");
	for (size_t n = MNL_NLMSG_HDRLEN; n < nl.last->nlmsg_len; n += 4) {
		struct nlmsghdr *msg = cut(nl.last, n);
		int to = nl_tc_parse_redirect(msg);

		ok(to == 0 || to == 200, "cut at %zu: %d", n, to);
		free(msg);
	}
}

static void rest(void)
{
	struct nl nl = {.first_seq = 1};

	nl_tc_add_rest(&nl, 100);
	is_int(nl_tc_parse_redirect(nl.last), 1, "at rest: to lo");
	nl_tc_del_rest(&nl, 100);
	is_int(nl.last->nlmsg_type, RTM_DELTFILTER, "and no more");
	is_int(nl_tc_parse_redirect(nl.last), 0, "which leads nowhere");
}

static void link_message(void)
{
	static const unsigned char mac[6] = {2, 1, 2, 3, 4, 5};
	struct nl nl = {.first_seq = 1};
	struct nl_link link;

	nl_link_add_bridge(&nl, "br-test", mac, 1400);
	is_int(nl_link_parse(nl.last, &link), 0, "parses");
	is_str(link.name, "br-test", "name");
	is_str(link.kind, "bridge", "kind");
	is_int((int)link.mtu, 1400, "mtu");
	ok(!memcmp(link.mac, mac, 6), "mac");
	ok(!link.up && !link.master && !link.alias[0], "nothing else");
	for (size_t n = MNL_NLMSG_HDRLEN; n < nl.last->nlmsg_len; n += 4) {
		struct nlmsghdr *msg = cut(nl.last, n);
		int r = nl_link_parse(msg, &link);

		ok(r == (n < MNL_NLMSG_HDRLEN + sizeof(struct ifinfomsg) ? -1
									 : 0),
		    "cut at %zu: %d", n, r);
		free(msg);
	}
	nl_link_up(&nl, "br-test");
	is_int(nl_link_parse(nl.last, &link), -1, "RTM_SETLINK is no answer");
}

static void batch(void)
{
	static const unsigned char mac[6] = {2, 1, 2, 3, 4, 5};
	struct nl_veth v = {.name = "eth0",
	    .index = 100,
	    .mac = mac,
	    .peer_name = "peer",
	    .peer_ns_fd = 3,
	    .mtu = 1500};
	struct nl_link_set set = {.alias = "an alias", .quiet = true};
	struct nl nl = {.first_seq = 1};
	const struct nlmsghdr *msg = (void *)nl.out;
	struct nl_link link;
	int left, n = 0;

	nl_link_add_veth(&nl, &v);
	nl_link_set(&nl, "eth0", &set);
	nl_link_up(&nl, "eth0");
	left = (int)((char *)nl.last - nl.out + nl.last->nlmsg_len);
	ok(nl_link_parse(msg, &link) == 0 && link.index == 100,
	    "the first one is the veth");
	for (; mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left))
		is_int((int)msg->nlmsg_seq, ++n, "in order");
	is_int(n, 3, "three messages");
	is_str(nl.what[0], "eth0: create veth", "what the first is for");
}

/* An error message as the kernel makes it, with its words. */
static struct nlmsghdr *error_message(
    char *buf, int errnum, bool capped, const char *words)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(msg, sizeof(*e));

	msg->nlmsg_type = NLMSG_ERROR;
	msg->nlmsg_flags =
	    (uint16_t)(NLM_F_ACK_TLVS | (capped ? NLM_F_CAPPED : 0));
	e->error = -errnum;
	e->msg.nlmsg_len = MNL_NLMSG_HDRLEN + 8;
	if (!capped)
		mnl_nlmsg_put_extra_header(msg, 8);
	mnl_attr_put_strz(msg, NLMSGERR_ATTR_MSG, words);
	return msg;
}

static void errors(void)
{
	_Alignas(8) char buf[512] = {0};
	struct nlmsghdr *msg = error_message(buf, 17, true, "no, thanks");
	char text[128];
	int errnum = -1;

	is_int(nl_parse_error(msg, &errnum, text), 0, "capped");
	is_int(errnum, 17, "its errno");
	is_str(text, "no, thanks", "its words");
	for (size_t n = MNL_NLMSG_HDRLEN; n < msg->nlmsg_len; n += 4) {
		struct nlmsghdr *copy = cut(msg, n);
		int r = nl_parse_error(copy, &errnum, text);

		ok(r == (n < MNL_NLMSG_HDRLEN + sizeof(struct nlmsgerr) ? -1
									: 0),
		    "cut at %zu: %d", n, r);
		free(copy);
	}
	memset(buf, 0, sizeof(buf));
	msg = error_message(buf, 1, false, "quoted");
	is_int(nl_parse_error(msg, &errnum, text), 0, "not capped");
	is_str(text, "quoted", "words behind the quoted request");
	((struct nlmsgerr *)mnl_nlmsg_get_payload(msg))->msg.nlmsg_len = ~0u;
	is_int(nl_parse_error(msg, &errnum, text), 0, "a length that lies");
	is_str(text, "", "is not followed");
}

int main(void)
{
	redirect();
	rest();
	link_message();
	batch();
	errors();
	return done();
}
