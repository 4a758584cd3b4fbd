/* SPDX-License-Identifier: MIT */
/* What a document asks of a network. */
#ifndef COCOON_WISH_H
#define COCOON_WISH_H

#include "doc.h"
#include "err.h"
#include "nic.h"

struct wish {
	const char *id;
	size_t nics;
	/* NIC by NIC; NULL: it is on a network. */
	const struct doc_bridge *bridge[NET_MAX_NICS];
	uint64_t queues; /* pairs of a NIC */
	struct jstrs dns;
	const char *dns_v[8];
};

/* Before any side effect: what is not built here is refused. */
int wish_read(const struct json_object *doc, struct wish *w, struct err *err);

#endif
