/* SPDX-License-Identifier: MIT */
/* Devices. What says "queued" wants an nl_do. */
#ifndef COCOON_NL_LINK_H
#define COCOON_NL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "nl.h"

struct nl_link {
	int index;
	int master; /* index, 0: none */
	unsigned int mtu;
	bool up;
	unsigned char mac[6];
	char name[NL_NAME];
	char kind[NL_NAME]; /* veth, bridge, tun ..., or empty */
	char alias[256];
	/* rx: what came in at the device, from outside or from a tap's owner */
	struct nl_count {
		uint64_t packets, bytes, dropped;
	} rx, tx;
};

/* Pure; -1 if it is no RTM_NEWLINK. */
int nl_link_parse(const struct nlmsghdr *msg, struct nl_link *out);
/* 1 found, 0 not there, -1. */
int nl_link_get(
    struct nl *nl, const char *name, struct nl_link *out, struct err *err);
int nl_link_get_index(
    struct nl *nl, int index, struct nl_link *out, struct err *err);
/* Calls fn for each; its return value other than 0 ends the calls. */
int nl_link_each(struct nl *nl,
    int (*fn)(const struct nl_link *link, void *arg), void *arg,
    struct err *err);

struct nl_veth {
	const char *name; /* the end in the socket's namespace */
	int index;        /* of that end; 0: the kernel's choice */
	const unsigned char *mac;
	const char *peer_name; /* the end in the other namespace */
	int peer_ns_fd;
	unsigned int mtu;
	unsigned int peer_mtu; /* 0: the same */
};

struct nl_link_set {
	const char *alias;        /* NULL: as it is */
	const unsigned char *mac; /* NULL: as it is */
	unsigned int mtu;         /* 0: as it is */
	int master;               /* 0: as it is */
	bool quiet; /* no IPv6 address of its own: no frames either */
};

/* Queued. */
void nl_link_add_veth(struct nl *nl, const struct nl_veth *v);
void nl_link_add_bridge(struct nl *nl, const char *name,
    const unsigned char mac[6], unsigned int mtu);
void nl_link_set(
    struct nl *nl, const char *name, const struct nl_link_set *set);
void nl_link_up(struct nl *nl, const char *name);
void nl_link_down(struct nl *nl, const char *name);
void nl_link_del(struct nl *nl, const char *name);

#endif
