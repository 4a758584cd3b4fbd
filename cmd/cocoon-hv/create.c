/* SPDX-License-Identifier: MIT */
/*
 * create: directory -> files -> record -> name. The symlink in vm-name/ is
 * the commit: before it there is garbage, after it a VM.
 */
#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "live.h"
#include "report.h"
#include "undo.h"

/* What undo needs; one at a time is on the way. */
struct making {
	int vms, names;
	char *id, *name;
};
static struct making making = {.vms = -1, .names = -1};

static int undo_dir(void *arg, struct err *err)
{
	const struct making *m = arg;

	return tree_remove(m->vms, m->id, err);
}

static int undo_name(void *arg, struct err *err)
{
	const struct making *m = arg;

	if (unlinkat(m->names, m->name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: unlink", m->name);
	return 0;
}

static int sub_dir(int parent, const char *name, struct err *err)
{
	if (mkdirat(parent, name, 0700) < 0)
		return err_sys(err, errno, "%s: mkdir", name);
	return dir_open(parent, name, 0, err);
}

/* console.log below COCOON_LOG_DIR, a symlink to it in vm/ID. */
static int log_elsewhere(struct vm *vm, struct err *err)
{
	const char *base = getenv("COCOON_LOG_DIR");

	if (!base || !*base)
		return 0;
	if (base[0] != '/')
		return err_set(err, ERR_USAGE,
		    "--log-dir %s: must be an absolute path", base);
	if (mkdir(base, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "--log-dir %s: mkdir", base);
	char *dir = xasprintf("%s/%s", base, vm->id);
	AUTO_FREE char *target = xasprintf("%s/console.log", dir);

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s: mkdir", dir);
	if (symlinkat(target, vm->fd, "console.log") < 0)
		return err_sys(err, errno, "console.log: symlink");
	vm->hv.log_dir = dir;
	return 0;
}

int create_files(struct vm *vm, create_fill *fill, struct err *err)
{
	AUTO_FD int pin = -1, run = -1;

	vm->hv = (struct doc_hv){.created_at = (uint64_t)wall_ms(),
	    .version = vm->plan.version,
	    .accel = vm->plan.accel,
	    .privileged = vm->plan.privileged};
	pin = sub_dir(vm->fd, "pin", err);
	run = sub_dir(vm->fd, "0", err);
	if (pin < 0 || run < 0 || log_elsewhere(vm, err) < 0 ||
	    fill(vm, run, pin, err) < 0)
		return -1;
	return vm_save(vm, true, err);
}

static int name_taken(struct vm *vm, struct err *err)
{
	char other[STATE_ID_LEN + 1];
	struct err ignored;

	if (state_find_vm(&vm->st, vm->vm.name, other, &ignored) < 0)
		snprintf(other, sizeof(other), "?");
	return err_set(err, ERR_STATE, "vm name \"%s\" already exists (id: %s)",
	    vm->vm.name, other);
}

int create_commit(struct vm *vm, struct err *err)
{
	int names = making.names;
	AUTO_FREE char *target = xasprintf("../vm/%s", vm->id);

	if (state_adopt_net(&vm->st, vm->id, err) < 0)
		return -1;
	if (symlinkat(target, names, vm->vm.name) < 0)
		return errno == EEXIST ? name_taken(vm, err)
				       : err_sys(err, errno,
					     "vm-name/%s: claim", vm->vm.name);
	undo_push(undo_name, &making, "the name");
	if (fsync(names) < 0)
		return err_sys(err, errno, "vm-name: fsync");
	return 0;
}

int create_check(const struct vm *vm, struct err *err)
{
	if (!vm->vm.name || !valid_name(vm->vm.name))
		return err_set(err, ERR_INPUT, ".vm.name: \"%.80s\" is invalid",
		    vm->vm.name ? vm->vm.name : "");
	if (!vm->plan.binary)
		return err_set(err, ERR_INPUT,
		    ".plan: missing: `cocoon-hv plan` writes it");
	if (!jval_get(vm->doc, "boot"))
		return err_set(err, ERR_INPUT,
		    ".boot: missing: `cocoon-hint boot` writes it");
	if (!jval_get(vm->doc, "net"))
		return err_set(err, ERR_INPUT,
		    ".net: missing: `cocoon-net add` writes it");
	if (jval_get(vm->doc, "hv"))
		return err_set(err, ERR_INPUT,
		    ".hv: is there already: this VM was created");
	return 0;
}

int create_begin(struct vm *vm, struct err *err)
{
	making.vms = state_dir(&vm->st, "vm", true, err);
	making.names = state_dir(&vm->st, "vm-name", true, err);
	if (making.vms < 0 || making.names < 0)
		return -1;
	making.id = vm->id;
	making.name = (char *)vm->vm.name;
	if (mkdirat(making.vms, vm->id, 0700) < 0)
		return err_sys(
		    err, errno, "vm %s: claim its directory", vm->id);
	undo_push(undo_dir, &making, "the VM's directory");
	vm->fd = dir_open(making.vms, vm->id, 0, err);
	return vm->fd < 0 ? -1 : 0;
}

void create_end(void)
{
	close_fd(&making.vms);
	close_fd(&making.names);
}

static int all_disks(struct vm *vm, int run_fd, int pin_fd, struct err *err)
{
	return disks_create(vm, run_fd, pin_fd, err);
}

/* From nothing to the committed VM. */
static int create_vm(struct vm *vm, struct err *err)
{
	if (create_begin(vm, err) < 0 || create_files(vm, all_disks, err) < 0 ||
	    tool_check(err) < 0)
		return -1;
	return create_commit(vm, err);
}

static int create_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	size_t mark = undo_mark();
	const char *id = doc_id(doc, err);
	int r;

	(void)call;
	if (!id)
		return -1;
	memcpy(vm.id, id, sizeof(vm.id));
	vm.doc = jval_ref(doc);
	if (vm_bind(&vm, err) < 0 || create_check(&vm, err) < 0 ||
	    state_open(&vm.st, true, err) < 0 ||
	    state_lock_shared(&vm.st, err) < 0)
		return -1;
	/* `made` is of this run, not of the record. */
	AUTO_JSON struct json_object *made = jval_ref(jval_get(doc, "made"));
	jval_del(doc, "made");
	r = create_vm(&vm, err);
	if (r < 0) {
		undo_run(mark);
		jval_del(doc, "hv");
		if (made)
			jval_set(doc, "made", jval_ref(made));
	} else {
		undo_forget(mark);
		jval_del(doc, "made");
		live_derive(&vm);
	}
	create_end();
	return r;
}

/* The reader is gone: nobody will know of this VM. */
static void create_undo(struct call *call, struct json_object *doc)
{
	struct err err = {0};

	(void)call;
	if (vm_remove(jval_str(jval_get(doc, "vm"), "id"), &err) < 0)
		tool_fail(call, doc, &err);
}

static const struct opt opts[] = {REPORT_OPTS};

const struct verb verb_create = {
    .name = "create",
    .summary = "Make the VM's directory, disks and record.",
    .emits = true,
    .changes = true,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct report_opts),
    .filter = create_filter,
    .present = report_present,
    .finish = report_finish,
    .undo = create_undo,
};
