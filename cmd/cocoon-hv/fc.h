/* SPDX-License-Identifier: MIT */
/* What the parts of the Firecracker backend share. */
#ifndef COCOON_FC_H
#define COCOON_FC_H

#include "vmm.h"

/* fc_state.c */
int fc_request(struct rest *api, const char *method, const char *path,
    const struct json_object *body, int timeout_ms, struct err *err);
extern const struct vmm_file fc_files[];
int fc_resume(struct vmm_link *l, int timeout_ms, struct err *err);
int fc_pause(struct vmm_link *l, int timeout_ms, struct err *err);
int fc_prepare(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err);
int fc_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err);
int fc_settle(const struct vm *vm, int dir_fd, struct err *err);
int fc_load(struct vmm_link *l, const struct vm *vm, const struct vmm_fds *fds,
    struct err *err);
int fc_plug(
    struct vmm_link *l, const struct vm *vm, int timeout_ms, struct err *err);
int fc_check_load(struct doc_plan *plan, bool grows, struct err *err);

#endif
