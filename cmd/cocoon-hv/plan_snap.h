/* SPDX-License-Identifier: MIT */
/* Between plan_snap.c and plan_snap_check.c. */
#ifndef COCOON_PLAN_SNAP_H
#define COCOON_PLAN_SNAP_H

#include "plan.h"
#include "vmm.h"

/* The snapshot, and the VM that it was. */
struct source {
	struct doc_snap snap;
	struct doc_spec spec;
	struct doc_image image;
	struct doc_plan plan;
	const struct vmm *vmm;
	const char *label;      /* of the snapshot */
	struct doc_spec wishes; /* its networks, where some were given */
	uint64_t had;           /* bytes of its writable disk */
};

/* The hypervisor that is installed loads what that one saved: fills s->vmm and
 * what the plan has of it. */
int source_check_vmm(struct source *s, struct err *err);
/* Sizes and NICs that are asked for: fills s->wishes. */
int source_check_wishes(
    struct source *s, const struct plan_opts *o, struct err *err);
/* Rings and further disks: fills s->spec.data_disks. */
int source_check_disks(
    struct source *s, const struct plan_opts *o, struct err *err);
/* The VM has what the snapshot's guest needs, and loses nothing. */
int source_check_fit(const struct source *s, const struct plan_opts *o,
    const struct vm *vm, struct err *err);

#endif
