/* SPDX-License-Identifier: MIT */
/* The Cloud Hypervisor backend: what its files share. */
#ifndef COCOON_CH_H
#define COCOON_CH_H

#include "vmm.h"

/* ch_version.c: what differs between releases, by number, never by trial. */
#define CH_OLDEST VERSION(48, 0, 0) /* vCPU counts of 32 bits */
#define CH_SOUND VERSION(51, 2, 0)  /* no known hole */
#define CH_ADVICE "use v53.0, or v51.2 and later"

/* Fault of a version for doctors; NULL: none that is known. */
const char *ch_fault(const char *version);
/* What a Windows guest cannot live with; NULL: nothing that is known. */
const char *ch_windows_fault(unsigned int version);
/* Whether raw disks may offer DISCARD (`sparse`). */
bool ch_can_discard(unsigned int version);
bool ch_has_image_type(unsigned int version);
bool ch_can_resize_disk(unsigned int version);
/* Whether overlays are whole when a VM is saved. */
bool ch_saves_overlays(unsigned int version);
/* vm.restore's memory_restore_mode for one of ours, NULL: the best that is
 * certain; NULL: the memory is copied. */
const char *ch_restore_mode(
    unsigned int version, bool hugepages, const char *wish);
/* NULL, or why this version cannot. */
const char *ch_no_restore_mode(
    unsigned int version, bool hugepages, const char *wish);
/* Whether it is what a guest that never needs most of its memory should have:
 * v53 and later read all of it soon. */
bool ch_is_lazy(unsigned int version);

/* ch_config.c: a VM as the body of vm.create; pure. */
struct json_object *ch_config(const struct vm *vm);
/* vm.plan.disks[i], as vm.add-disk takes it, too; and vm.net[i]. */
struct json_object *ch_disk(const struct vm *vm, size_t i);
struct json_object *ch_nic(const struct vm *vm, size_t i);
/* The same VM as the options of a command line. */
void ch_options(
    const struct vm *vm, const struct vmm_script *o, struct strv *out);
/* A ring size that every version takes: a power of two from 4 to 32768. */
unsigned int ch_ring(uint64_t wish);

/* ch_plan.c */
/* The file that is booted by cloud images. */
const char *ch_firmware(void);
/* EDK2, not rust-hypervisor-firmware: by its size. */
struct stat;
bool ch_is_edk2(const struct stat *st);
uint64_t ch_max_memory(
    const struct doc_image *image, const struct doc_plan *plan);
int ch_check(const struct doc_spec *spec, const struct doc_image *image,
    struct doc_plan *plan, struct err *err);

/* ch_resize.c */
/* A request with a body, or (NULL) without. */
int ch_put(struct rest *api, const char *path, const struct json_object *body,
    int timeout_ms, struct err *err);
int ch_resize_cpu(const struct vm *vm, uint64_t n, struct rest *api,
    int timeout_ms, struct err *err);
int ch_add_memory(const struct vm *vm, uint64_t bytes, struct rest *api,
    int timeout_ms, struct err *err);
int ch_resize_disk(const struct vm *vm, const struct vmm_size *want,
    struct rest *api, int timeout_ms, struct err *err);
int ch_resize(const struct vm *vm, const struct vmm_size *want, int run_fd,
    int timeout_ms, struct err *err);

/* ch_state.c */
extern const struct vmm_file ch_files[];
int ch_resume(struct vmm_link *l, int timeout_ms, struct err *err);
int ch_pause(struct vmm_link *l, int timeout_ms, struct err *err);
int ch_check_save(const struct vm *vm, struct err *err);
int ch_check_load(struct doc_plan *plan, bool grows, struct err *err);
int ch_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err);
int ch_settle(const struct vm *vm, int dir_fd, struct err *err);
int ch_load(struct vmm_link *l, const struct vm *vm, const struct vmm_fds *fds,
    struct err *err);

#endif
