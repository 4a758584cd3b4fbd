/* SPDX-License-Identifier: MIT */
/*
 * load: a new VM from a snapshot: directory, disks, record, the hypervisor with
 * the state loaded and the guest standing still, name, and it goes on.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "create.h"
#include "disks.h"
#include "file.h"
#include "live.h"
#include "report.h"
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

static int load_vm(struct vm *vm, struct launch *l, struct json_object *doc,
    const struct doc_snap *snap, struct err *err)
{
	struct launch_from from = {
	    .dir_fd = snap_fd, .commit = create_commit, .release = create_end};

	vm->new_disks = disks_new(vm, snap);
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
	return launch_vm(vm, &from, l, doc, NULL, err);
}

static int load_run(struct launch *l, struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	size_t mark = undo_mark();
	struct doc_snap snap;
	AUTO_JSON struct json_object *from = jval_ref(jval_get(doc, "snap"));
	int r;

	memcpy(vm.id, doc_id(doc, err), sizeof(vm.id));
	vm.doc = jval_ref(doc);
	if (doc_bind(doc, "snap", &doc_snap_table, &snap, err) < 0 ||
	    vm_bind(&vm, err) < 0 || create_check(&vm, err) < 0 ||
	    state_open(&vm.st, true, err) < 0 ||
	    state_lock_shared(&vm.st, err) < 0)
		return -1;
	/* These are of this run, not of the record. */
	jval_del(doc, "made");
	jval_del(doc, "snap");
	snap_fd = load_open(&snap, err);
	r = snap_fd < 0 ? -1 : load_vm(&vm, l, doc, &snap, err);
	undo_run(mark);
	return r;
}

/* Its process died, and has undone nothing. */
static void load_failed(struct call *call, struct json_object *doc, bool died)
{
	struct err err = {0};

	if (died && vm_remove_made(doc, &err) < 0)
		tool_fail(call, doc, &err);
}

static int load_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	static const struct launch_job job = {
	    .run = load_run, .failed = load_failed};

	return doc_id(doc, err) ? launch_start(call, doc, &job, err) : -1;
}

/* The reader is gone: nobody will know of this VM. */
static void load_undo(struct call *call, struct json_object *doc)
{
	struct err err = {0};

	if (vm_remove(jval_str(jval_get(doc, "vm"), "id"), &err) < 0)
		tool_fail(call, doc, &err);
}

static const struct opt opts[] = {REPORT_OPTS};

const struct verb verb_load = {
    .name = "load",
    .summary = "Make VMs of snapshots; they go on where those stood still.",
    .emits = true,
    .changes = true,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct report_opts),
    .filter = load_filter,
    .present = report_present,
    .finish = report_finish,
    .later_fd = launch_later_fd,
    .later = launch_later,
    .undo = load_undo,
};
