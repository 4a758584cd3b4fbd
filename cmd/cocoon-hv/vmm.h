/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor backend: a table of operations. What a backend cannot do is a
 * missing capability bit, which plan checks; nothing is found out by trial.
 */
#ifndef COCOON_VMM_H
#define COCOON_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include "hv.h"

/* What only a script made by hand can have; 0: the VM's own. */
struct vmm_script {
	uint64_t max_cpu; /* to which CPUs can be added */
	uint64_t balloon; /* bytes that the guest gives back */
};

enum vmm_caps {
	VMM_OCI = 1,      /* direct kernel boot */
	VMM_CLOUDIMG = 2, /* firmware boot */
	VMM_WINDOWS = 4,
	VMM_SERIALS = 8,   /* virtio-blk serial numbers */
	VMM_TCG = 16,      /* works without KVM */
	VMM_SNAPSHOT = 32, /* capture and load */
};

#define VMM_MAX_QUEUES 8 /* of a NIC, in pairs */

/* Descriptors under their own numbers in the VMM; -1: not used. */
struct vmm_fds {
	int api;     /* listening socket N/api.sock */
	int events;  /* socket: the monitor's own API connection */
	int console; /* socket: the serial port */
	int state;   /* file to load the VM from; -1: a cold boot */
	/* NIC after NIC; as many of each as its tap has queues. */
	int taps[16 * VMM_MAX_QUEUES];
	size_t n_taps;
};

struct vmm_file {
	const char *name, *role;
};

struct vmm {
	const char *name;    /* qemu */
	const char *program; /* looked up in PATH */
	unsigned int caps;
	unsigned int max_disks;
	/* The version of the binary, cached. */
	int (*version)(const char *binary, char out[64], struct err *err);
	/* argv of a cold boot, run in vm/ID/N. */
	void (*argv)(
	    const struct vm *vm, const struct vmm_fds *fds, struct strv *out);
	/* The same VM by hand, as a shell script. */
	void (*script)(
	    const struct vm *vm, const struct vmm_script *o, struct buf *out);

	/* On the monitor's connection, or one to api.sock that `ready` has
	 * greeted; -1 with a reason within timeout_ms. */
	int (*ready)(int fd, int timeout_ms, struct err *err);
	int (*resume)(int fd, int timeout_ms, struct err *err);
	int (*pause)(int fd, int timeout_ms, struct err *err);
	/* Asks the guest to shut down; the answer is not waited for. */
	int (*stop)(int fd, struct err *err);
	/*
	 * Reads what came on the monitor's connection: an event that tells
	 * why the VM ends sets *reason (a constant). -1: it was closed.
	 */
	int (*event)(int fd, struct buf *in, const char **reason);

	/*
	 * Snapshots (VMM_SNAPSHOT). capture writes the state of the paused VM
	 * into the files of `files` below dir_fd, by a greeted connection to
	 * api.sock; it looks at tool_check. load is the monitor's, behind
	 * `ready`: argv was given fds->state, the files are in N/ under the
	 * same names, and the VM is paused when it returns. Disks that the
	 * plan has larger than their files grow, and the guest is told.
	 */
	int (*capture)(
	    int api_fd, const struct vm *vm, int dir_fd, struct err *err);
	int (*load)(int fd, const struct vm *vm, const struct vmm_fds *fds,
	    struct err *err);
	/* {name, role} of what capture writes; ends with a NULL name. */
	const struct vmm_file *files;

	/* By api.sock, from other processes. */
	int (*powerdown)(int api_fd, int timeout_ms, struct err *err);
};

/* A word as the shell reads it back. */
void script_quote(const char *word, struct buf *out);

/* qemu_state.c */
int qemu_resume(int fd, int timeout_ms, struct err *err);
int qemu_capture(int api_fd, const struct vm *vm, int dir_fd, struct err *err);
int qemu_load(
    int fd, const struct vm *vm, const struct vmm_fds *fds, struct err *err);

extern const struct vmm vmm_qemu;
/* NULL-terminated, in the order that `auto` prefers. */
extern const struct vmm *const vmms[];
const struct vmm *vmm_find(const char *name);

#endif
