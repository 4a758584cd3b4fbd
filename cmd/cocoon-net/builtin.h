/* SPDX-License-Identifier: MIT */
/* The built-in network: its settings, bridge, NAT, ip_forward. */
#ifndef COCOON_BUILTIN_H
#define COCOON_BUILTIN_H

#include <stdbool.h>

#include "err.h"
#include "net.h"
#include "nl.h"
#include "nl_link.h"
#include "subnet.h"
#include "subnet6.h"

/* builtin.c: the built-in network's settings, net/cocoon.json. */
struct builtin {
	char bridge[NL_NAME];
	struct subnet subnet;
	struct subnet6 subnet6;
	unsigned int mtu;
	bool recorded;
	char owner[100]; /* alias and comment of what is this root's */
};
/* 1: as recorded, 0: there is none yet, -1. */
int builtin_load(struct net *n, struct builtin *b, struct err *err);
/* As recorded, else from the environment (bridge_ensure records it then).
 * ERR_STATE where the two differ, or the host has other uses for them. */
int builtin_get(
    struct net *n, struct nl *host, struct builtin *b, struct err *err);
int builtin_save(struct net *n, const struct builtin *b, struct err *err);
int builtin_unlink(struct net *n, struct err *err);
/* Is the subnet free on this host? Sets an MTU of 0 to that of the way out. */
int builtin_survey(struct nl *host, struct builtin *b, struct err *err);

/* bridge.c. Returns the bridge's index; makes what is missing. */
int bridge_ensure(
    struct net *n, struct builtin *b, struct nl *host, struct err *err);
/* Removes bridge, NAT and net/cocoon.json if no lease is left. */
int bridge_release(struct net *n, struct err *err);
bool bridge_is_ours(const struct builtin *b, const struct nl_link *link);

/* nat.c */
int nat_ensure(const struct builtin *b, struct err *err);
int nat_there(const struct builtin *b, struct err *err); /* 1 0 -1 */
/* Says in out what is missing of the table; 1 nothing, 0, -1. */
int nat_check(const struct builtin *b, char out[100], struct err *err);
int nat_remove(const struct builtin *b, struct err *err);

/* forward.c: net.ipv4.ip_forward, net.ipv6.conf.all.forwarding. The lock
 * orders all roots of a host. */
int forward_lock(struct err *err);
enum forward { FORWARD_4, FORWARD_6 };
bool forward_is_on(enum forward f);
int forward_on(enum forward f, int lock_dir, struct err *err);
/* Puts both back if cocoon had set them and no cocoon bridge is left. */
int forward_restore(int lock_dir, struct nl *host, struct err *err);

#endif
