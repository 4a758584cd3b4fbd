/* SPDX-License-Identifier: MIT */
/* build.c: makes a network as it was chosen, all of it or nothing. */
#ifndef COCOON_BUILD_H
#define COCOON_BUILD_H

#include <stdbool.h>

#include "builtin.h"
#include "doc.h"
#include "err.h"
#include "net.h"
#include "netns.h"
#include "nic.h"

/* One document's work; the undo step finds here what it needs. */
struct job {
	struct net *n;
	const char *id;
	struct stay stay;
	struct json_object *cni;  /* for the record; NULL: no such NIC */
	struct json_object *made; /* what plugins made of .net */
};

bool build_has_builtin(const struct doc_net *net);
/* From nothing: claims and builds; undone when it fails. */
int build_new(struct job *job, struct wire *w, struct doc_net *net,
    struct builtin *b, struct err *err);
/* What is missing of one that has a record. Sets *net to what plugins made. */
int build(struct job *job, struct wire *w, struct doc_net *net,
    struct builtin *b, struct err *err);
/* The undo step of a struct job. */
int build_undo(void *arg, struct err *err);

#endif
