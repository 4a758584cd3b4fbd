/* SPDX-License-Identifier: MIT */
/* The files of a VM, and what a VM takes of the host. */
#ifndef COCOON_DISKS_H
#define COCOON_DISKS_H

#include "hv.h"

/* What comes from the image: the planned disks with a source, the kernel. */
#define MAX_LINKED 256
struct linked {
	const char *file, *source;
};
size_t linked_files(const struct vm *vm, struct linked *out, size_t max);
/* "layers/0.erofs" -> "layers-0.erofs": pin/ is flat. */
void pin_name(const char *file, char out[128]);
int check_file(const char *file, struct err *err);
/* A disk that the VM writes and nobody else has. */
bool disk_is_own(const struct doc_disk *d);

/* data_disk.c: "size=1G,name=db,..." each, behind those that *all has already
 * (struct doc_data_disk). Strings stay for the process. */
int data_disks(const struct strv *texts, struct jarr *all, struct err *err);
/* plan.c: a data disk as it is planned. */
struct doc_disk disk_plan(
    const struct doc_data_disk *d, const struct doc_spec *spec, bool serials);

int disks_create(const struct vm *vm, int run_fd, int pin_fd, struct err *err);
int disks_pin(const struct vm *vm, int pin_fd, struct err *err);
/* Names in N/ that are links to pin/: made anew. */
int disks_link(const struct vm *vm, int run_fd, int pin_fd, struct err *err);
/* Gives the VM's own files to uid, through descriptors (0: back to root). */
int disks_chown(const struct vm *vm, int run_fd, uid_t uid, struct err *err);
int disks_seed(const struct vm *vm, int run_fd, struct err *err);
/*
 * disks_snap.c. For a snapshot: the image's files of pin/ below dir_fd, by hard link, and
 * copies of the VM's own disks, of the VM's uid. Names as in N/ and pin/.
 */
int disks_save_image(const struct vm *vm, int pin_fd, int dir_fd,
    struct jarr *files, struct err *err);
int disks_note(struct jarr *files, int dir_fd, const char *name,
    const char *role, struct err *err);
int disks_save_own(const struct vm *vm, int run_fd, int dir_fd,
    struct jarr *files, struct err *err);
/* The reverse: the VM's own disks from a snapshot's directory; those that the
 * snapshot never had, vm->new_disks at the end, are made. */
int disks_load_own(
    const struct vm *vm, int dir_fd, int run_fd, struct err *err);
size_t disks_new(const struct vm *vm, const struct doc_snap *snap);
/* Makes one. */
int disks_make(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err);
/* Sockets, memory and state files of a dead VM. */
void disks_clean(int run_fd);

/* cloud.c: VMs of cloud images. The base is never written, nor parsed by
 * root; the overlay names it by a relative path that is a link of ours. */
#define CLOUD_VARS "vars.fd"
/* "layers/base.qcow2": what the base is called in N/. */
const char *cloud_base(const struct doc_image *image);
/* True if the writable disk is an overlay on the image's. */
bool cloud_is_overlay(
    const struct doc_image *image, const struct doc_plan *plan);
/* The planned writable disk is one above the base, or a copy of it. */
int cloud_plan_disk(const struct doc_image *image, struct doc_plan *plan,
    bool overlay, struct err *err);
/* Debian's ovmf, or the directory of COCOON_FIRMWARE_DIR. */
int cloud_firmware(struct doc_firmware *f, struct err *err);
/* struct vmm's check for QEMU: disk and firmware of a cloud image. */
int cloud_plan(const struct doc_spec *spec, const struct doc_image *image,
    struct doc_plan *plan, struct err *err);
int cloud_disk(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err);
int cloud_vars(const struct vm *vm, int run_fd, struct err *err);
/* How large a disk's file may get. */
uint64_t disk_file_limit(const struct doc_disk *d);

/* slot.c: a uid (1900000000 + slot) for the VM while it runs. */
#define SLOT_UID_BASE 1900000000U
#define SLOT_COUNT 100000U
int slot_claim(const struct vm *vm, uid_t *uid, struct err *err);
void slot_release(const struct vm *vm, uid_t uid);
/* Removes this root's slots whose VM is not live. Returns how many. */
int slot_gc(struct state *st, bool dry_run, struct err *err);
/* /run/cocoon (COCOON_STATE_RUN), made if missing; a directory in it. */
int host_dir(const char *name, struct err *err);

/* probe.c: the host. Bytes of its memory, 0: unknown. */
uint64_t host_memory(void);
/* How wide its physical addresses are. */
unsigned int host_address_bits(void);
/* What is cached per host. */
int probe_version(
    const char *binary, const char *pattern, char out[64], struct err *err);
/* True if KVM runs a stock kernel for an unprivileged VMM, tried by QEMU
 * (NULL: not tried); why: else. COCOON_KVM=yes or no is believed. */
bool probe_kvm(const char *qemu, const char *kernel, char why[200]);
/* Access to a device node by its group, for a process of no privileges. */
bool probe_node(const char *path, gid_t *group);

#endif
