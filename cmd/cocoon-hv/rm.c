/* SPDX-License-Identifier: MIT */
/*
 * rm: name -> record -> the rest. What a kill leaves has no name, so it is
 * garbage, its VMM included.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "live.h"
#include "log.h"

struct rm_opts {
	bool force, undo;
};

static const struct opt opts[] = {
    {.name = "force",
	.kind = OPT_FLAG,
	.offset = offsetof(struct rm_opts, force),
	.help = "also what runs: it is killed"},
    {.name = "undo",
	.kind = OPT_FLAG,
	.offset = offsetof(struct rm_opts, undo),
	.help = "read a pipeline's output; remove what failed"},
};

/* The log directory, if it was put elsewhere and is still this VM's. */
static void remove_logs(const struct vm *vm)
{
	struct err ignored;
	const char *base;

	if (!vm->hv.log_dir || vm->hv.log_dir[0] != '/')
		return;
	base = strrchr(vm->hv.log_dir, '/') + 1;
	if (!strcmp(base, vm->id))
		(void)tree_remove(AT_FDCWD, vm->hv.log_dir, &ignored);
}

static int remove_opened(struct vm *vm, struct err *err)
{
	AUTO_FD int vms = state_dir(&vm->st, "vm", false, err);
	AUTO_FD int names = state_dir(&vm->st, "vm-name", false, err);
	char owner[STATE_ID_LEN + 1];
	struct err ignored;
	struct live l = live_check(vm->fd, vm->hv.generation);

	if (vms < 0 || names < 0)
		return -1;
	if (live_kill_others(vm->fd, UINT64_MAX, err) < 0)
		return -1;
	if (vm->vm.name &&
	    state_find_vm(&vm->st, vm->vm.name, owner, &ignored) == 0 &&
	    !strcmp(owner, vm->id) && unlinkat(names, vm->vm.name, 0) < 0 &&
	    errno != ENOENT)
		return err_sys(err, errno, "vm-name/%s: remove", vm->vm.name);
	if (unlinkat(vm->fd, "vm.json", 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "vm %s: remove its record", vm->id);
	slot_release(vm, l.uid);
	remove_logs(vm);
	return tree_remove(vms, vm->id, err);
}

/* Opens and removes; fills doc with what the next stage wants to know. */
static int remove_one(
    const char *ref, bool force, struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;

	if (vm_open(&vm, ref, VM_LOCK_MS, err) < 0)
		return -1;
	doc_put(doc, "vm", &doc_vm_table, &vm.vm);
	if (jval_get(vm.doc, "net"))
		jval_set(doc, "net", jval_ref(jval_get(vm.doc, "net")));
	if (!force && live_check(vm.fd, vm.hv.generation).alive)
		return err_set(err, ERR_STATE,
		    "vm %s: stop before delete: running (force required)",
		    vm.vm.name);
	return remove_opened(&vm, err);
}

int vm_remove(const char *id, struct err *err)
{
	AUTO_JSON struct json_object *doc = jval_object();

	return remove_one(id, true, doc, err);
}

int vm_remove_made(const struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	const char *id = doc_id(doc, err);
	struct err ignored;

	if (!id || state_open(&vm.st, false, err) < 0 ||
	    doc_bind(doc, "vm", &doc_vm_table, &vm.vm, err) < 0)
		return -1;
	memcpy(vm.id, id, sizeof(vm.id));
	vm.fd = state_vm_dir(&vm.st, id, &ignored);
	if (vm.fd < 0)
		return 0;
	vm.lock_fd = state_vm_lock(&vm.st, vm.fd, id, VM_LOCK_MS, err);
	return vm.lock_fd < 0 ? -1 : remove_opened(&vm, err);
}

/* A VM that was named twice: a line for each, as the next stage expects. */
static void say_gone(struct json_object *doc, const char *id)
{
	struct doc_vm vm = {.id = id};

	doc_put(doc, "vm", &doc_vm_table, &vm);
}

static int rm_run(struct call *call, struct err *err)
{
	const struct rm_opts *o = call->opts;
	AUTO_STRV struct strv ids = {0};

	if (vm_resolve_all(&call->args, &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		AUTO_JSON struct json_object *doc = jval_object();
		struct err e = {0};

		jval_set_int(doc, "v", 1);
		if (vm_seen_before(&ids, i)) {
			say_gone(doc, ids.v[i]);
			if (tool_emit(doc, err) < 0)
				return -1;
		} else if (remove_one(ids.v[i], o->force, doc, &e) < 0) {
			err_object(&e, ids.v[i]);
			tool_fail(call, doc, &e);
		} else if (tool_emit(doc, err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* Error lines of a pipeline: the VM that this run made goes. */
static int undo_one(struct json_object *doc, struct err *err)
{
	const char *id = doc_id(doc, err);
	struct err failed;

	if (!doc_error(doc, &failed) || !doc_made_has(doc, "hv"))
		return 0;
	if (!id)
		return -1;
	if (vm_remove(id, err) < 0 && err->code != ERR_NOTFOUND)
		return -1;
	return 0;
}

/* `rm -`: the VMs of the documents; `rm --undo`: of the error lines. */
static int rm_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct rm_opts *o = call->opts;
	struct err told;
	const char *id;

	if (o->undo)
		return undo_one(doc, err);
	if (doc_error(doc, &told))
		return 0;
	id = doc_id(doc, err);
	return id ? remove_one(id, o->force, doc, err) : -1;
}

static bool reads_documents(const struct call *call)
{
	return ((const struct rm_opts *)call->opts)->undo ||
	       (call->args.n == 1 && !strcmp(call->args.v[0], "-"));
}

const struct verb verb_rm = {
    .name = "rm",
    .summary = "Remove VMs.",
    .operands = "[VM... | -]",
    .min_args = 0,
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct rm_opts),
    .emits = true,
    .changes = true,
    .takes_errors = true,
    .filter = rm_filter,
    .is_filter = reads_documents,
    .run = rm_run,
};
