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
#include "rest.h"

/* What only a script made by hand can have; 0: the VM's own. */
struct vmm_script {
	uint64_t max_cpu; /* to which CPUs can be added */
	uint64_t balloon; /* bytes that the guest gives back */
};

/* What resize wants; 0 (disk: -1): as it is. */
struct vmm_size {
	uint64_t cpu, memory, disk_bytes;
	int disk; /* of the plan's disks */
};

enum vmm_caps {
	VMM_OCI = 1,      /* direct kernel boot */
	VMM_CLOUDIMG = 2, /* firmware boot */
	VMM_WINDOWS = 4,
	VMM_SERIALS = 8, /* virtio-blk serial numbers */
	VMM_TCG = 16,    /* works without KVM */
	VMM_HUGEPAGES = 2048,

	/* How it is started: */
	VMM_API_FD = 32,          /* is handed the listening api.sock */
	VMM_EVENTS = 64,          /* is handed one end of a socket for events */
	VMM_CONSOLE_FD = 128,     /* is handed one end of a socket: the serial
			       * port; else that is a pty, its stdin and
			       * stdout */
	VMM_TAP_FDS = 256,        /* is handed the taps */
	VMM_TAP_NAMES = 512,      /* opens the taps itself; without either bit
			      * configure sends them */
	VMM_LOG_FIFO = 1024,      /* writes its log to vmm.fifo, by name */
	VMM_SNAPSHOT = 4096,      /* capture and load */
	VMM_ADDS_CPU = 16384,     /* load plugs in what spec.cpu has more */
	VMM_ADDS_MEMORY = 262144, /* and spec.memory */
	VMM_ADDS_NICS = 32768,    /* and the last vm.new_nics */
	VMM_PORTS = 131072,       /* in plan.ports, which plan.plugged fills */
	VMM_ADDS_DISKS = 65536,   /* and the last vm.new_disks */
	VMM_MERGES = 8192,        /* saves a VM that was loaded into VMM_BASE */
};

#define VMM_MEMORY_STEP (UINT64_C(128) << 20) /* of VMM_ADDS_MEMORY */
/* How much can be added to what starts by this plan: max_cpu, max_memory. */
void vmm_room(
    const struct vmm *v, const struct doc_image *image, struct doc_plan *plan);
/* Refuse more than it was started with room for, or half a step of memory. */
int vmm_check_cpu(const struct doc_plan *plan, uint64_t n, struct err *err);
int vmm_check_memory(
    const struct doc_plan *plan, uint64_t bytes, struct err *err);

/*
 * In the VM's pin directory: the memory that it was loaded from, or saved to
 * since. With the pages that were written after that it is the VM's memory.
 * Missing wherever that is not certain.
 */
#define VMM_BASE "base"

#define VMM_MAX_QUEUES 8 /* of a NIC, in pairs */

/* Descriptors under their own numbers in the VMM; -1: not used. */
struct vmm_fds {
	int api;     /* listening socket N/api.sock */
	int events;  /* socket: the VMM's end */
	int console; /* socket: the serial port; or the pty's terminal end */
	int state;   /* file to load the VM from; -1: a cold boot */
	/* NIC after NIC; as many of each as its tap has queues. */
	int taps[16 * VMM_MAX_QUEUES];
	size_t n_taps;
};

/* What the monitor holds of its VMM. */
struct vmm_link {
	int run_fd;      /* vm/ID/N: api.sock */
	int pidfd;       /* of the VMM */
	int events;      /* our end of fds.events; -1: none, or closed */
	struct buf in;   /* what came on it and was not yet used */
	struct rest api; /* a backend with a REST socket keeps it open */
	bool fresh;      /* configured: what resume does first is a boot */
	int dump;        /* DUMP_DIR as `prepare` made it */
	bool merge;      /* `prepare` put VMM_BASE there */
};

#define VMM_LINK_NONE                                                      \
	{                                                                  \
		.run_fd = -1, .pidfd = -1, .events = -1, .api = REST_NONE, \
		.dump = -1,                                                \
	}
#define AUTO_LINK CLEANUP(vmm_link_close)
void vmm_link_close(struct vmm_link *l);

/* What a save writes; that of later versions is behind the rest. */
struct vmm_file {
	const char *name, *role; /* a NULL name ends them */
	unsigned int since;      /* VERSION; 0: all have it */
};
/* The loop's condition: f is one that this version writes. */
bool vmm_writes(const struct vmm_file *f, const char *version);

struct vmm {
	const char *name;    /* qemu */
	const char *title;   /* QEMU */
	const char *program; /* looked up in PATH */
	const char *remedy;  /* where it is not installed */
	const char *console; /* the kernel's name of it */
	unsigned int caps;
	unsigned int max_disks;
	unsigned int max_files; /* RLIMIT_NOFILE */
	/* What it reads besides libraries; NULL-terminated, or NULL. */
	const char *const *reads;
	/* The version of the binary, cached. */
	int (*version)(const char *binary, char out[64], struct err *err);
	/* What is known to be wrong with a version: for doctors; or NULL. */
	const char *(*fault)(const char *version);
	/* Whether VMM_ADDS_... is so for a VM of this plan, too; or NULL. */
	bool (*adds)(const struct doc_plan *plan, unsigned int cap);
	/* With VMM_ADDS_MEMORY: to how much; what is not more than plan has
	 * counts as none. accel and memory are set. */
	uint64_t (*max_memory)(
	    const struct doc_image *image, const struct doc_plan *plan);
	/*
	 * Refuses what this version cannot do, with the one that can, and
	 * fills what is special in the plan. version, cpu, memory and disks
	 * are set. May be NULL.
	 */
	int (*check)(const struct doc_spec *spec, const struct doc_image *image,
	    struct doc_plan *plan, struct err *err);
	/* argv of a cold boot, run in vm/ID/N. */
	void (*argv)(
	    const struct vm *vm, const struct vmm_fds *fds, struct strv *out);
	/* The same VM by hand, as a shell script. */
	void (*script)(
	    const struct vm *vm, const struct vmm_script *o, struct buf *out);

	/* -1 with a reason within timeout_ms, each of them. */
	int (*ready)(struct vmm_link *l, int timeout_ms, struct err *err);
	/* Tells it of the VM, which does not run yet. NULL: argv did. */
	int (*configure)(const struct vm *vm, const struct vmm_fds *fds,
	    struct vmm_link *l, int timeout_ms, struct err *err);
	/* The guest runs: only now, for now the VM is committed. */
	int (*resume)(struct vmm_link *l, int timeout_ms, struct err *err);
	int (*pause)(struct vmm_link *l, int timeout_ms, struct err *err);
	/* Asks the guest to shut down; it may take its time. */
	int (*stop)(struct vmm_link *l, struct err *err);
	/*
	 * Reads what came on l->events: an event that tells why the VM ends
	 * sets *reason (a constant). -1: it was closed. NULL: has none.
	 */
	int (*event)(struct vmm_link *l, const char **reason);
	/* Why it ended, by its exit status, if no event told; or NULL. */
	const char *(*reason)(int status);

	/*
	 * Snapshots (VMM_SNAPSHOT). capture writes the state of the paused VM
	 * into the files of `files` below dir_fd, from another process; it
	 * looks at tool_check. load is the monitor's, behind `ready`, in place
	 * of configure: argv was given fds->state, the files are in N/ under
	 * the same names, and the VM is paused when it returns. Disks that the
	 * plan has larger than their files grow, and the guest is told.
	 */
	int (*capture)(struct vmm_link *l, const struct vm *vm, int dir_fd,
	    struct err *err);
	/* Of capture, while the guest runs, what need not wait for its pause;
	 * the caller removes DUMP_DIR behind both. NULL: nothing. */
	int (*prepare)(struct vmm_link *l, const struct vm *vm, int dir_fd,
	    struct err *err);
	int (*load)(struct vmm_link *l, const struct vm *vm,
	    const struct vmm_fds *fds, struct err *err);
	/*
	 * Behind capture; the guest goes on, and only root can write to the
	 * files: looks whether all was written, and makes it small. NULL:
	 * neither is needed.
	 */
	int (*settle)(const struct vm *vm, int dir_fd, struct err *err);
	/* Refuse, with what to do, what this version cannot save; or load (the
	 * plan of a snapshot, in which restore_mode may be filled in; grows:
	 * with a larger writable disk). NULL: can, and has no restore_mode. */
	int (*check_save)(const struct vm *vm, struct err *err);
	int (*check_load)(struct doc_plan *plan, bool grows, struct err *err);
	/* What capture writes. */
	const struct vmm_file *files;

	/* As stop, by api.sock, from other processes. */
	int (*powerdown)(int run_fd, int timeout_ms, struct err *err);
	/* A running VM gets other sizes, by api.sock; NULL: cannot. */
	int (*resize)(const struct vm *vm, const struct vmm_size *want,
	    int run_fd, int timeout_ms, struct err *err);
};

/* "1.16.1" as a number that compares; what follows the numbers is ignored. */
#define VERSION(a, b, c) ((a)*1000000U + (b)*1000U + (c))
unsigned int version_number(const char *text);

/* doctor_windows.c */
void doctor_windows(struct call *call);

/*
 * dump.c: what a VMM writes of a VM that is saved. dump_dir: the directory
 * DUMP_DIR in N/, which is its uid's, as a descriptor; the caller removes it.
 * dump_take renames `files` from there into dir_fd, and refuses what is no plain
 * file. dump_settle: as vmm.settle; `memory` is as large as the VM's memory,
 * byte for byte, and pages of zeros become holes, which are read much faster.
 * dump_ms: for all of the memory, written or read.
 */
#define DUMP_DIR "s"   /* disks_clean knows it */
#define DUMP_MS 600000 /* where the size of the memory is not known */
int dump_ms(const struct vm *vm);
int dump_dir(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err);
int dump_take(
    const struct vmm_file *files, int out, int dir_fd, struct err *err);
int dump_settle(
    const struct vm *vm, int dir_fd, const char *memory, struct err *err);

extern const struct vmm vmm_ch, vmm_fc, vmm_qemu;
/* NULL-terminated, in the order that `auto` prefers. */
extern const struct vmm *const vmms[];
const struct vmm *vmm_find(const char *name);
/* Its program: COCOON_NAME_BINARY, else in PATH; NULL: not installed. */
char *vmm_program(const struct vmm *v);
/* The name of that variable. */
char *vmm_variable(const struct vmm *v);

#endif
