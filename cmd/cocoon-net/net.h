/* SPDX-License-Identifier: MIT */
/*
 * The network of a VM: a namespace cn-ID, in it a veth eth0 and a tap cn0 for
 * each NIC, tied together by tc; the veth's other end is a port of the
 * built-in bridge. net/ID.json holds every name before the first of them
 * exists, and goes when the last is gone.
 *
 * One flock (net/lease/cocoon/lock, the one that CNI's host-local takes)
 * orders whoever makes or removes networks of a root: leases, the bridge and
 * the question whether a VM was the last. It is held for a few milliseconds.
 */
#ifndef COCOON_NET_H
#define COCOON_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "doc.h"
#include "err.h"
#include "state.h"
#include "subnet.h"
#include "tool.h"

#define NET_MAX_NICS 16
#define NET_NAME "cocoon"

/* What a command works in. */
struct net {
	struct state st;
	int dir_fd;   /* $root/net */
	int lease_fd; /* $root/net/lease/cocoon */
	int lock_fd;
};
#define NET_NONE                                                              \
	{                                                                     \
		.st = STATE_NONE, .dir_fd = -1, .lease_fd = -1, .lock_fd = -1 \
	}

/* ctx.c. create: makes the directories; else they may be missing. */
int net_open(struct net *n, bool create, struct err *err);
void net_close(struct net *n);
#define AUTO_NET CLEANUP(net_close)
int net_lock(struct net *n, struct err *err);
void net_unlock(struct net *n);
/*
 * One at a time for an id: taken before net_lock and held to the end, also
 * while CNI plugins run, when net_lock is not held.
 */
int net_lock_id(struct net *n, const char *id, struct err *err);
void net_unlock_id(struct net *n, const char *id);

/* lease.c: the files that CNI's host-local plugin would write. */
int lease_pick(struct net *n, const struct subnet *s, size_t count,
    uint32_t *out, struct err *err);
/* The next pick goes on behind it. */
void lease_set_last(struct net *n, uint32_t ip);
int lease_take(struct net *n, uint32_t ip, const char *id, const char *ifname,
    struct err *err);
int lease_drop(struct net *n, uint32_t ip, const char *id, struct err *err);
/* Whose it is; 1 somebody's (id may be ""), 0 nobody's. */
int lease_owner(struct net *n, uint32_t ip, char id[STATE_ID_LEN + 1]);
int lease_each(struct net *n, int (*fn)(uint32_t ip, const char *id, void *arg),
    void *arg, struct err *err);

/* record.c: net/ID.json */
/* 1: bound to *out, which borrows from *doc; 0: there is none; -1. */
int record_read(struct net *n, const char *id, struct json_object **doc,
    struct doc_net *out, struct err *err);
/* cni: what plugins are asked and answered, by ifname (cni.h); may be NULL. */
int record_claim(struct net *n, const char *id, const struct doc_net *net,
    struct json_object *cni, struct err *err);
/* Replaces what is not NULL. */
int record_update(struct net *n, const char *id, struct json_object *net,
    struct json_object *cni, struct err *err);
int record_unlink(struct net *n, const char *id, struct err *err);
int record_each(struct net *n, int (*fn)(const char *id, void *arg), void *arg,
    struct err *err);

/* remove.c: effects first, the record last; what is not there is fine.
 * The lock must be held. 1 there was a record, 0 not, -1. */
int net_remove(struct net *n, const char *id, struct err *err);

/* contain.c: for a guest that was frozen as somebody else (.snap.guest, or
 * .hv.guest), lets out of its NICs only what is .net's. Nothing else changes. */
int net_contain(const struct json_object *doc, struct err *err);

extern const struct verb verb_add, verb_del, verb_check, verb_list, verb_stats,
    verb_gc, verb_doctor;

#endif
