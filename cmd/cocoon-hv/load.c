/* SPDX-License-Identifier: MIT */
/*
 * load: a new VM from a snapshot: directory, disks, record, the hypervisor with
 * the state loaded and the guest standing still, name, and it goes on.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "create.h"
#include "disks.h"
#include "file.h"
#include "live.h"
#include "undo.h"

int load_open(const struct doc_snap *snap, struct err *err)
{
	AUTO_FD int fd = -1;
	struct stat st;

	if (!snap->dir || snap->dir[0] != '/')
		return err_set(err, ERR_INPUT,
		    ".snap.dir: missing: `cocoon-snap get` writes it");
	fd = open(snap->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(
		    err, errno, "snapshot %s: %s", snap->id, snap->dir);
	if (st.st_uid != 0 || st.st_mode & 022)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: others than root can change it", snap->dir);
	/* rm waits for that; or it was first. */
	if (file_lock(fd, LOCK_SH, 60000, "snapshot", err) < 0)
		return -1;
	if (faccessat(fd, "snap.json", F_OK, 0) < 0)
		return err_set(err, ERR_NOTFOUND,
		    "snapshot %s: removed meanwhile", snap->id);
	return take_fd(&fd);
}

void load_guest(struct vm *vm, const struct doc_snap *snap)
{
	const struct doc_nic *nic = vm->net.nics.v;
	size_t n = vm->net.nics.n, same = 0;
	struct doc_guest *g = xcalloc(n + 1, sizeof(*g));

	for (size_t i = 0; i < n; i++) {
		/* One that is plugged in has no address yet. */
		g[i] = i < snap->guest.n
			   ? ((const struct doc_guest *)snap->guest.v)[i]
			   : (struct doc_guest){.mac = nic[i].mac};
		same += doc_guest_is(&g[i], &nic[i]);
	}
	vm->hv.guest = (struct jarr){g, same == n ? 0 : n};
}

int load_files(struct vm *vm, int snap, int run_fd, int pin_fd, struct err *err)
{
	if (disks_pin(vm, pin_fd, err) < 0 ||
	    disks_link(vm, run_fd, pin_fd, err) < 0 ||
	    disks_load_own(vm, snap, run_fd, err) < 0)
		return -1;
	return disks_seed(vm, run_fd, err);
}

/* What the fill function cannot be told otherwise. */
static int snap_fd = -1;

static int fill(struct vm *vm, int run_fd, int pin_fd, struct err *err)
{
	return load_files(vm, snap_fd, run_fd, pin_fd, err);
}

static void in_child(const struct launch_from *from)
{
	close(from->dir_fd);
	create_end();
}

static int load_vm(struct vm *vm, const struct doc_snap *snap, struct err *err)
{
	struct launch_from from = {
	    .dir_fd = snap_fd, .commit = create_commit, .in_child = in_child};

	if (create_begin(vm, err) < 0 || create_files(vm, fill, err) < 0 ||
	    tool_check(err) < 0)
		return -1;
	/* Nobody can name it yet, but its uid's claim is judged by that. */
	vm->lock_fd = state_vm_lock(&vm->st, vm->fd, vm->id, VM_LOCK_MS, err);
	if (vm->lock_fd < 0)
		return -1;
	load_guest(vm, snap);
	if (vm->net.nics.n > snap->guest.n)
		vm->new_nics = vm->net.nics.n - snap->guest.n;
	return launch_vm(vm, &from, false, NULL, err);
}

/* What the caller left open is not to stay open in a monitor, but the lock. */
void load_drop_inherited(struct call *call)
{
	const char *v = getenv("COCOON_LOCK_FD");
	unsigned int lock = v ? (unsigned int)atoi(v) : 0;

	if (!call->data && lock > 3) {
		close_range(3, lock - 1, 0);
		close_range(lock + 1, ~0U, 0);
	} else if (!call->data) {
		close_range(lock == 3 ? 4 : 3, ~0U, 0);
	}
	call->data = call;
}

/* `made` is of this run, not of the record; the snapshot is neither. */
static int load_bound(struct vm *vm, struct json_object *doc,
    const struct doc_snap *snap, struct err *err)
{
	AUTO_JSON struct json_object *made = jval_ref(jval_get(doc, "made"));
	AUTO_JSON struct json_object *from = jval_ref(jval_get(doc, "snap"));
	size_t mark = undo_mark();
	int r;

	jval_del(doc, "made");
	jval_del(doc, "snap");
	r = load_vm(vm, snap, err);
	if (r < 0) {
		undo_run(mark);
		jval_del(doc, "hv");
		if (made)
			jval_set(doc, "made", jval_ref(made));
	} else {
		undo_forget(mark);
		live_derive(vm);
	}
	create_end();
	return r;
}

static int load_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	struct doc_snap snap;
	const char *id = doc_id(doc, err);
	int r;

	if (!id)
		return -1;
	load_drop_inherited(call);
	memcpy(vm.id, id, sizeof(vm.id));
	vm.doc = jval_ref(doc);
	if (doc_bind(doc, "snap", &doc_snap_table, &snap, err) < 0 ||
	    vm_bind(&vm, err) < 0 || create_check(&vm, err) < 0 ||
	    state_open(&vm.st, true, err) < 0 ||
	    state_lock_shared(&vm.st, err) < 0)
		return -1;
	snap_fd = load_open(&snap, err);
	if (snap_fd < 0)
		return -1;
	r = load_bound(&vm, doc, &snap, err);
	close_fd(&snap_fd);
	return r;
}

/* The reader is gone: nobody will know of this VM. */
static void load_undo(struct call *call, struct json_object *doc)
{
	struct err err = {0};

	if (vm_remove(jval_str(jval_get(doc, "vm"), "id"), &err) < 0)
		tool_fail(call, doc, &err);
}

const struct verb verb_load = {
    .name = "load",
    .summary = "Make VMs of snapshots; they go on where those stood still.",
    .emits = true,
    .changes = true,
    .filter = load_filter,
    .undo = load_undo,
};
