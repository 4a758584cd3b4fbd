/* SPDX-License-Identifier: MIT */
#ifndef COCOON_PLAN_H
#define COCOON_PLAN_H

#include "hv.h"

struct plan_opts {
	bool clone, no_direct_io;
	const char *revert, *name;
	const char *restore_mode;
	uint64_t count, cpu, memory, storage, nics;
	uint64_t queue_size, disk_queue_size;
	struct strv wires; /* as wires_fill reads them */
	struct strv data_disk;
};

/* Not more than the host has; 0 is none. */
int plan_check_cpu(uint64_t n, struct err *err);
/* plan_snap.c: a VM from a snapshot, new or in place of what a VM is. */
#define PLAN_SNAP_OPTS 16
extern const struct opt plan_snap_opts[PLAN_SNAP_OPTS];
extern const struct plan_opts plan_snap_defaults;
int plan_snap(struct call *call, struct json_object *doc, struct err *err);

#endif
