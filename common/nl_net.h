/* SPDX-License-Identifier: MIT */
/*
 * Addresses, routes, traffic control, nftables: as much of each as the wires
 * of a VM need. What says "queued" wants an nl_do.
 */
#ifndef COCOON_NL_NET_H
#define COCOON_NL_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "nl.h"

/* ---- nl_addr.c, nl_route.c; IPv4 addresses in host byte order ---- */

void nl_addr_add4(struct nl *nl, int index, uint32_t addr, int prefix);
/* 1 the device has this address, 0 not, -1. */
int nl_addr_has4(
    struct nl *nl, int index, uint32_t addr, int prefix, struct err *err);

void nl_addr_add6(
    struct nl *nl, int index, const unsigned char addr[16], int prefix);
int nl_addr_has6(struct nl *nl, int index, const unsigned char addr[16],
    int prefix, struct err *err);

struct nl_route4 {
	uint32_t dst;
	int prefix, oif; /* oif 0: none or several */
};

/* The main table's unicast routes. */
int nl_route_each4(struct nl *nl,
    int (*fn)(const struct nl_route4 *route, void *arg), void *arg,
    struct err *err);

/* nl_route_any.c: the same of either family, bytes in network order. */
struct nl_route {
	int family, prefix, oif;
	unsigned char dst[16], gw[16];
	bool has_gw, by_kernel; /* by_kernel: comes with an address */
};
int nl_route_each(struct nl *nl, int family,
    int (*fn)(const struct nl_route *route, void *arg), void *arg,
    struct err *err);

/* ---- nl_tc.c ---- */

/* Queued. Everything that comes in at one device goes out at the other. */
void nl_tc_add_ingress(struct nl *nl, int index);
void nl_tc_del_ingress(struct nl *nl, int index);
void nl_tc_add_redirect(struct nl *nl, int from, int to);
/* Queued. In front of the redirect: what comes in is dropped, or no more. */
void nl_tc_add_rest(struct nl *nl, int index);
void nl_tc_del_rest(struct nl *nl, int index);
/* Only frames of an ethertype whose words match; offsets are from the network
 * header on, the source MAC is at -8. A priority has one ethertype. */
#define NL_TC_KEYS 6
struct nl_tc_match {
	unsigned int priority;
	uint16_t protocol;
	size_t n;
	struct {
		int offset;
		uint32_t value, mask;
	} keys[NL_TC_KEYS];
};
void nl_tc_add_match(
    struct nl *nl, int from, int to, const struct nl_tc_match *m);
/* 1 yes, 0 no, -1. */
int nl_tc_has_ingress(struct nl *nl, int index, struct err *err);
int nl_tc_has_redirect(struct nl *nl, int from, int to, struct err *err);
/* All frames, not only some of them. */
int nl_tc_has_plain(struct nl *nl, int from, int to, struct err *err);
int nl_tc_has_rest(struct nl *nl, int index, struct err *err);
/* Pure: the device that a filter message redirects to, 0 if it does not. */
int nl_tc_parse_redirect(const struct nlmsghdr *msg);

/* ---- nl_nft.c: tables of family inet; the socket is NETLINK_NETFILTER ---- */

/* 1 there, 0 not, -1. *ours: its comment is the given one. */
int nl_nft_table_get(struct nl *nl, const char *name, const char *comment,
    bool *ours, struct err *err);
/* How many rules a chain of the table has; -1. No table: 0. */
int nl_nft_rules(
    struct nl *nl, const char *table, const char *chain, struct err *err);
/* With all that is in it. Queued as a transaction of its own. */
void nl_nft_table_del(struct nl *nl, const char *name);

#endif
