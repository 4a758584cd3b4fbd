/* SPDX-License-Identifier: MIT */
/* What the parts of the QEMU backend share. */
#ifndef COCOON_QEMU_H
#define COCOON_QEMU_H

#include "vmm.h"

/* Slots 3.. of pcie.0, eight functions each; 1 and 2 are chipset and rng. */
#define QEMU_FIRST_SLOT 3
#define QEMU_LAST_SLOT 28
#define QEMU_MAX_DISKS ((QEMU_LAST_SLOT - QEMU_FIRST_SLOT + 1) * 8 - 16)

/*
 * qemu_argv.c. The properties of a device, as behind -device. What is added to the
 * memory that it boots with is DIMMs of VMM_MEMORY_STEP each: how many there
 * are where all of it is `bytes`.
 */
char *qemu_disk(const struct vm *vm, size_t i);
char *qemu_nic(const struct vm *vm, size_t i);
char *qemu_dimm(int64_t i);
uint64_t qemu_boot_memory(const struct vm *vm);
int64_t qemu_dimms(const struct vm *vm, uint64_t bytes);
void qemu_argv(
    const struct vm *vm, const struct vmm_fds *fds, struct strv *out);
void qemu_script(
    const struct vm *vm, const struct vmm_script *o, struct buf *out);

/*
 * qemu_plug.c plugs in what vm->new_disks and vm->new_nics say; processors,
 * until there are n; and memory, until there are `bytes`. What is there already
 * is QEMU's word, not ours: who did it may have been killed before he recorded
 * it, and check_plugged refuses to save that.
 */
struct json_object *qemu_ask(
    int fd, struct buf *in, const char *query, struct err *err);
int qemu_plug(int fd, struct buf *in, const struct vm *vm, struct err *err);
int qemu_plug_cpus(
    int fd, struct buf *in, const struct vm *vm, uint64_t n, struct err *err);
int qemu_plug_memory(int fd, struct buf *in, const struct vm *vm,
    uint64_t bytes, struct err *err);
int qemu_check_plugged(
    int fd, struct buf *in, const struct vm *vm, struct err *err);

/* qemu_state.c. From QEMU_MAPS on the memory is in QEMU_MEMORY, which load
 * maps. */
#define QEMU_MAPS VERSION(8, 2, 0)
#define QEMU_MEMORY "mem"
extern const struct vmm_file qemu_files[];
int qemu_resume(struct vmm_link *l, int timeout_ms, struct err *err);
int qemu_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err);
int qemu_check_load(struct doc_plan *plan, bool grows, struct err *err);
int qemu_load(struct vmm_link *l, const struct vm *vm,
    const struct vmm_fds *fds, struct err *err);

#endif
