/* SPDX-License-Identifier: MIT */
/* What a document asks of a network. */
#ifndef COCOON_WISH_H
#define COCOON_WISH_H

#include "cni.h"
#include "doc.h"
#include "err.h"
#include "nic.h"

struct wish {
	const char *id;
	size_t nics;
	/* NIC by NIC; NULL: it is on a network. */
	const struct doc_bridge *bridge[NET_MAX_NICS];
	/* NIC by NIC; NULL: not by CNI. They are in `files`. */
	const struct cni_file *cni[NET_MAX_NICS];
	struct cni_files files;
	const struct json_object *runtime; /* for plugins; may be NULL */
	uint64_t queues[NET_MAX_NICS];     /* pairs of a NIC */
	struct jstrs dns;
	const char *dns_v[8];
};

/* Before any side effect: what is not built here is refused. */
int wish_read(const struct json_object *doc, struct wish *w, struct err *err);
void wish_release(struct wish *w);
/* wish_net.c: which network each NIC that is on no bridge is on. */
int wish_networks(
    const struct json_object *spec, struct wish *w, struct err *err);

#endif
