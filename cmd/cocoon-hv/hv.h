/* SPDX-License-Identifier: MIT */
/* What the verbs of cocoon-hv share. */
#ifndef COCOON_HV_H
#define COCOON_HV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "doc.h"
#include "state.h"
#include "tool.h"

extern const struct verb verb_spec, verb_plan, verb_get, verb_create,
    verb_start, verb_stop, verb_wait, verb_list, verb_inspect, verb_status,
    verb_console, verb_logs, verb_rm, verb_debug, verb_gc, verb_doctor,
    verb_report, verb_pause, verb_resume, verb_capture, verb_load, verb_revert,
    verb_resize;

/* One VM, opened: its directory, its lock if taken, its record, bound. */
struct vm {
	struct state st;
	int fd;      /* vm/ID */
	int lock_fd; /* -1: not locked */
	char id[STATE_ID_LEN + 1];
	struct json_object *doc;
	struct doc_vm vm;
	struct doc_spec spec;
	struct doc_image image;
	struct doc_plan plan;
	struct doc_net net;
	struct doc_boot boot;
	struct doc_hv hv;
	/* While it is loaded: the last ones, which its state has not. */
	size_t new_nics, new_disks;
};

#define VM_NONE                                           \
	{                                                 \
		.st = STATE_NONE, .fd = -1, .lock_fd = -1 \
	}
#define VM_LOCK_MS 60000

/* Opens by reference and, with lock_ms >= 0, locks. vm_close in any case. */
int vm_open(struct vm *vm, const char *ref, int lock_ms, struct err *err);
void vm_close(struct vm *vm);
#define AUTO_VM CLEANUP(vm_close)
/* Binds all members of vm->doc again after it changed. */
int vm_bind(struct vm *vm, struct err *err);
/* Writes vm->doc as vm.json, less what is derived. */
int vm_save(struct vm *vm, bool durable, struct err *err);
/* stop.c. The monitor writes the end; where none is left, this does. */
void vm_record_end(struct vm *vm, bool killed);
/* What a VMM leaves behind: its uid, its sockets, the files it owned. */
void vm_tidy(struct vm *vm, uid_t uid);
/* hibernate.c: it ended because its state was safe, and has not run since. */
bool vm_hibernates(const struct vm *vm);
/* taps.c: no VMM has the taps any more: what comes for the guest is dropped
 * before it reaches them, until one opens them again. Never fails, but says. */
void taps_rest(struct vm *vm);
/* Removes a VM by id, running or not; its VMM is killed. */
int vm_remove(const char *id, struct err *err);
/* The same of one that its document made, which may have no name yet. */
int vm_remove_made(const struct json_object *doc, struct err *err);
/* The ids of references, one for each; one bad reference fails them all. */
int vm_resolve_all(const struct strv *refs, struct strv *ids, struct err *err);
/* True if ids[i] stands in front of i, too: that VM is done already. */
bool vm_seen_before(const struct strv *ids, size_t i);
/* The hypervisor's own socket, connected and greeted; *vmm is its driver. */
struct vmm;
struct vmm_link;
int vm_link(const struct vm *vm, struct vmm_link *l, const struct vmm **vmm,
    struct err *err);
/* "vm/ID/N", opened beneath; N as in the record. */
int vm_run_dir(const struct vm *vm, struct err *err);
/* Its links to the image: "pin", of a later generation "pin.N". */
int vm_pin_dir(const struct vm *vm, struct err *err);

/*
 * launch.c: VMs come to run, each by a process of its own that becomes its
 * monitor, several at a time.
 */
struct launch;
struct launch_job {
	/*
	 * In the process of its own: all that there is to do up to launch_vm,
	 * which does not return where that succeeds.
	 */
	int (*run)(struct launch *l, struct json_object *doc, struct err *err);
	/*
	 * In the one that asked, where it failed; may be NULL. died: without a
	 * word, and nothing of it was undone.
	 */
	void (*failed)(struct call *call, struct json_object *doc, bool died);
	/* And where it runs: what only root can do. NULL: nothing. */
	void (*done)(const char *id);
};
/* For a filter to return: TOOL_LATER, or -1. */
int launch_start(struct call *call, struct json_object *doc,
    const struct launch_job *job, struct err *err);
/* verb.later_fd and verb.later of who calls launch_start. */
int launch_later_fd(const struct call *call);
void launch_later(struct call *call);

struct launch_from {
	int dir_fd; /* the snapshot's directory */
	/* Behind the record, the VM loaded and paused; NULL: nothing. */
	int (*commit)(struct vm *vm, struct err *err);
	/* The guest runs: what must not stay open while it does. NULL: nothing. */
	void (*release)(void);
};
/*
 * Starts the VM, whose lock is held; this process is its monitor from then on.
 * l: of launch_job.run, and doc is what is handed on: its members that the
 * record has are set to that. NULL: in the foreground, without a state to load:
 * locks are dropped, *status is how the VM ended, and its directory may be gone.
 */
int launch_vm(struct vm *vm, const struct launch_from *from, struct launch *l,
    struct json_object *doc, int *status, struct err *err);
/* In launch_job.run: there was nothing to start, this is handed on. Ends. */
NORETURN void launch_nothing(struct launch *l, const struct json_object *doc);
/* The record's members into a document that is handed on. */
void vm_document(const struct vm *vm, struct json_object *doc);

/* The client side of console.sock and the like: connects to a socket in
 * the directory, however deep that is. */
int socket_connect(int dirfd, const char *name, struct err *err);
int socket_listen(int dirfd, const char *name, struct err *err);

/*
 * wires.c: "network=NAME", "bridge=DEV" and "ip=..." in the order given, into
 * the spec's nics, network, networks and bridges.
 */
int wires_fill(const struct strv *words, uint64_t nics, struct doc_spec *s,
    struct err *err);

/*
 * show.c: a VM's addresses for people, without the prefix' length: the IPv4 ones;
 * those of IPv6 if it has no other, since they say it in more; "-" for none.
 */
struct ips {
	struct buf four, six;
};
void ips_add(struct ips *ips, const char *address);
const char *ips_text(const struct ips *ips); /* until the next ips_add */
void ips_release(struct ips *ips);
void show_ips(const struct doc_net *net, struct buf *out);
void show_time(uint64_t ms, char out[32]);

/* spec.c: a name by the rule, or NULL; a new vm member, the i-th of n. */
int spec_check_name(const char *name, struct err *err);
void spec_new_vm(
    struct json_object *doc, const char *base, uint64_t i, uint64_t n);

#endif
