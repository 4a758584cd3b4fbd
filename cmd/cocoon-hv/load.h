/* SPDX-License-Identifier: MIT */
#ifndef COCOON_LOAD_H
#define COCOON_LOAD_H

#include "hv.h"

/* The snapshot's directory, locked against rm. */
int load_open(const struct doc_snap *snap, struct err *err);
/* vm->hv.guest: what the guest believes, if that is not what vm->net has. */
void load_guest(struct vm *vm, const struct doc_snap *snap);

/* Disks, links and seed of a run directory. */
int load_files(
    struct vm *vm, int snap_fd, int run_fd, int pin_fd, struct err *err);
/* launch_job.failed of a VM that was there before. */
void start_failed(struct call *call, struct json_object *doc, bool died);

#endif
