/* SPDX-License-Identifier: MIT */
/* start: documents of VMs, as `get` or `create` print them, come to run. */
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "live.h"
#include "load.h"
#include "log.h"

struct start_opts {
	bool wait, rm, cold;
};

static const struct opt opts[] = {
    {.name = "wait",
	.kind = OPT_FLAG,
	.offset = offsetof(struct start_opts, wait),
	.help = "stay as the VM's monitor; end with its status"},
    {.name = "rm",
	.kind = OPT_FLAG,
	.offset = offsetof(struct start_opts, rm),
	.help = "remove a VM that does not start"},
    {.name = "cold",
	.kind = OPT_FLAG,
	.offset = offsetof(struct start_opts, cold),
	.help = "boot a VM that hibernates; its state is lost"},
};

static bool same(const struct json_object *a, const struct json_object *b)
{
	AUTO_BUF struct buf x = {0}, y = {0};

	jval_print(a, &x);
	jval_print(b, &y);
	return !strcmp(x.data, y.data);
}

/* What cocoon-net and cocoon-hint found anew goes into the record. */
static int take_over(struct vm *vm, const struct json_object *doc,
    bool *new_seed, struct err *err)
{
	static const char *const members[] = {"net", "boot"};

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct json_object *fresh = jval_get(doc, members[i]);

		if (!fresh || same(fresh, jval_get(vm->doc, members[i])))
			continue;
		*new_seed = true;
		jval_set(vm->doc, members[i], jval_ref(fresh));
	}
	return *new_seed ? vm_bind(vm, err) : 0;
}

static void in_child(const struct launch_from *from)
{
	close(from->dir_fd);
}

/*
 * The disks are as they were when the guest stood still: only its state comes
 * from the snapshot. The seed and the command line are for the next boot.
 */
static int wake(struct vm *vm, bool wait, int *status, struct err *err)
{
	struct launch_from from = {.in_child = in_child};
	AUTO_FREE char *dir =
	    xasprintf("%s/snap/%s", vm->st.root, vm->hv.resume);
	struct doc_snap snap = {.id = vm->hv.resume, .dir = dir};
	AUTO_FD int fd = load_open(&snap, err);

	if (fd < 0)
		return err_set(err, ERR_NOTFOUND,
		    "the snapshot %s that it hibernates in cannot be opened; "
		    "`cocoon vm start --cold` boots it without",
		    vm->hv.resume);
	if (wait)
		return err_set(err, ERR_UNSUPPORTED,
		    "it hibernates: start it without --wait, or with --cold");
	from.dir_fd = fd;
	return launch_vm(vm, &from, false, status, err);
}

static int start_stopped(struct vm *vm, const struct json_object *doc,
    bool wait, bool cold, int *status, struct err *err)
{
	bool new_seed = false;

	if (live_kill_others(vm->fd, UINT64_MAX, err) < 0 ||
	    take_over(vm, doc, &new_seed, err) < 0)
		return -1;
	if (new_seed) {
		AUTO_FD int run = vm_run_dir(vm, err);

		if (run < 0 || disks_chown(vm, run, 0, err) < 0 ||
		    vm_save(vm, true, err) < 0 || disks_seed(vm, run, err) < 0)
			return -1;
	}
	if (!cold && vm_hibernates(vm))
		return wake(vm, wait, status, err);
	return launch_vm(vm, NULL, wait, status, err);
}

/* --rm: the network goes with it, as `del --undo` reads in `made`. */
static void remove_failed(struct vm *vm, struct json_object *doc)
{
	struct err err;

	close_fd(&vm->lock_fd);
	if (vm_remove(vm->id, &err) < 0)
		log_warn("%s: %s", vm->id, err.msg);
	else
		doc_made_add(doc, "net");
}

/* What the caller left open is not to stay open in a monitor. */
static void drop_inherited(struct call *call)
{
	if (!call->data)
		close_range(3, ~0U, 0);
	call->data = call;
}

static int start_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct start_opts *o = call->opts;
	const char *id = doc_id(doc, err);
	AUTO_VM struct vm vm = VM_NONE;
	bool served = false;
	int status = 0;

	if (!id)
		return -1;
	drop_inherited(call);
	if (vm_open(&vm, id, VM_LOCK_MS, err) < 0)
		return -1;
	/* The VM has its name: no gc takes it, and no lock must outlive us. */
	state_lock_forget(&vm.st);
	if (!live_check(vm.fd, vm.hv.generation).alive) {
		if (start_stopped(&vm, doc, o->wait, o->cold, &status, err) <
		    0) {
			if (o->rm)
				remove_failed(&vm, doc);
			return err_wrap(err, "vm %s", vm.vm.name);
		}
		served = o->wait;
	}
	if (o->wait && status && !call->status)
		call->status = status;
	/* Who served it knows the end, and may not look any more. */
	if (!served)
		live_derive(&vm);
	jval_del(doc, "made");
	for (const struct jtable *const *t = doc_tables; *t; t++)
		if (jval_get(vm.doc, (*t)->name))
			jval_set(doc, (*t)->name,
			    jval_ref(jval_get(vm.doc, (*t)->name)));
	return 0;
}

const struct verb verb_start = {
    .name = "start",
    .summary = "Start the VMs whose documents are read.",
    .operands = "[-]",
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct start_opts),
    .emits = true,
    .changes = true,
    .filter = start_filter,
};
