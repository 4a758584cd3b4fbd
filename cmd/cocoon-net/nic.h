/* SPDX-License-Identifier: MIT */
/* The NICs of a VM: their names and addresses, and the wires. */
#ifndef COCOON_NIC_H
#define COCOON_NIC_H

#include <stdbool.h>

#include "buf.h"
#include "builtin.h"
#include "doc.h"
#include "err.h"
#include "nl.h"

#define NIC_BACKEND "builtin"

/* nic.c: one NIC. */
struct wire {
	const char *id;
	struct nl host, in;
	int host_ns_fd, ns_fd;
	int bridge; /* index */
	bool fresh; /* nothing can be there yet */
};
int nic_build(
    struct wire *w, const struct doc_nic *nic, int i, struct err *err);
/* Says on *out what is missing, a line each; returns how many. */
int nic_check(struct wire *w, const struct doc_nic *nic, struct buf *out,
    struct err *err);
/* The host's end of a NIC, if its alias says that it is ours: set down, which
 * is quick, or deleted, which waits 16 ms for RCU. */
int nic_cut(struct nl *host, const char *id, const struct doc_nic *nic,
    bool del, struct err *err);

/* plan.c: names and addresses. */
struct net_plan {
	struct doc_net net;
	char netns[40];
	struct doc_nic nics[NET_MAX_NICS];
	struct nic_text {
		char tap[8], ifname[8], peer[NL_NAME], mac[18], address[20];
		char gateway[16];
		const char *addresses[1], *gateways[1];
	} text[NET_MAX_NICS];
};
void plan_make(struct net_plan *p, const char *id, const struct builtin *b,
    const uint32_t *ips, size_t n, const struct jstrs *dns);
/* The checks that a record or a document must pass before it is used. */
int nics_valid(const char *id, const struct doc_net *net, struct err *err);
uint32_t nic_ip(const struct doc_nic *nic); /* 0: none */

#endif
