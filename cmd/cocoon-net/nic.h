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
	int builtin;           /* index of its bridge */
	int master;            /* of the NIC at hand */
	unsigned int port_mtu; /* of the host's end; 0: as the NIC's */
	bool fresh;            /* nothing can be there yet */
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

/* port.c: a NIC whose host end is a port of a bridge that is not ours. */
#define PORT_BACKEND "bridge"
bool nic_is(const struct doc_nic *nic, const char *backend);
/* ERR_NOTFOUND: no such device; ERR_UNSUPPORTED: none to take a port. */
int port_bridge(
    struct nl *host, const char *device, struct nl_link *out, struct err *err);
/* Sets w->master and w->port_mtu for this NIC, as it is to be made. */
int port_master(struct wire *w, const struct doc_nic *nic, struct err *err);
bool valid_device(const char *s);

/* plan.c: names and addresses. */
struct net_plan {
	struct doc_net net;
	char netns[40];
	struct doc_nic nics[NET_MAX_NICS];
	struct nic_text {
		char tap[8], ifname[8], peer[NL_NAME], mac[18], address[20];
		char gateway[16], address6[52], gateway6[46];
		const char *addresses[2], *gateways[2];
	} text[NET_MAX_NICS];
};
struct wish;
/* ips: one for each NIC of the built-in network; mtus: by NIC, of bridges. */
void plan_make(struct net_plan *p, const struct wish *w,
    const struct builtin *b, const uint32_t *ips, const unsigned int *mtus);
/* Of a document or a record; where: "net.nics[0]". */
int addresses_valid(const struct jstrs *addresses, const struct jstrs *gateways,
    const char *where, struct err *err);
/* The checks that a record or a document must pass before it is used. */
int nics_valid(const char *id, const struct doc_net *net, struct err *err);
uint32_t nic_ip(const struct doc_nic *nic); /* 0: none */

#endif
