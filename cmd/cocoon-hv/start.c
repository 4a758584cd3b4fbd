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
#include "report.h"

struct start_opts {
	struct report_opts report;
	bool wait, rm, cold;
};

static const struct opt opts[] = {
    REPORT_OPTS,
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

/*
 * The disks are as they were when the guest stood still: only its state comes
 * from the snapshot. The seed and the command line are for the next boot.
 */
static int wake(
    struct vm *vm, struct launch *l, struct json_object *doc, struct err *err)
{
	AUTO_FREE char *dir =
	    xasprintf("%s/snap/%s", vm->st.root, vm->hv.resume);
	struct doc_snap snap = {.id = vm->hv.resume, .dir = dir};
	AUTO_FD int fd = load_open(&snap, err);
	struct launch_from from = {.dir_fd = fd};

	if (fd < 0)
		return err_set(err, ERR_NOTFOUND,
		    "the snapshot %s that it hibernates in cannot be opened; "
		    "`cocoon vm start --cold` boots it without",
		    vm->hv.resume);
	if (!l)
		return err_set(err, ERR_UNSUPPORTED,
		    "it hibernates: start it without --wait, or with --cold");
	return launch_vm(vm, &from, l, doc, NULL, err);
}

static int start_stopped(struct vm *vm, struct launch *l,
    struct json_object *doc, bool cold, int *status, struct err *err)
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
	jval_del(doc, "made");
	if (!cold && vm_hibernates(vm))
		return wake(vm, l, doc, err);
	return launch_vm(vm, NULL, l, doc, status, err);
}

/* Its process died, and left the VM as it may be. */
static int tidy_died(const char *id, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	struct live l;

	if (vm_open(&vm, id, VM_LOCK_MS, err) < 0)
		return -1;
	l = live_check(vm.fd, vm.hv.generation);
	if (live_kill_others(vm.fd, UINT64_MAX, err) < 0)
		return -1;
	vm_tidy(&vm, l.uid);
	taps_rest(&vm);
	return 0;
}

void start_failed(struct call *call, struct json_object *doc, bool died)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");
	struct err err = {0};

	(void)call;
	if (died && tidy_died(id, &err) < 0)
		log_warn("%s: %s", id, err.msg);
}

/* --rm: the network goes with it, as `report` reads in `made`. */
static void start_failed_rm(
    struct call *call, struct json_object *doc, bool died)
{
	const char *id = jval_str(jval_get(doc, "vm"), "id");
	struct err err = {0};

	start_failed(call, doc, died);
	if (vm_remove(id, &err) < 0)
		log_warn("%s: %s", id, err.msg);
	else
		doc_made_add(doc, "net");
}

/* l: in a process of its own. NULL: in the foreground, with --wait. */
static int start_vm(struct launch *l, struct json_object *doc, bool cold,
    int *status, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;

	if (vm_open(&vm, doc_id(doc, err), VM_LOCK_MS, err) < 0)
		return -1;
	/* The VM has its name: no gc takes it, and no lock must outlive us. */
	state_lock_forget(&vm.st);
	if (!live_check(vm.fd, vm.hv.generation).alive) {
		if (start_stopped(&vm, l, doc, cold, status, err) < 0)
			return err_wrap(err, "vm %s", vm.vm.name);
		/* Who served it knows the end, and may not look any more. */
		vm_document(&vm, doc);
		return 0;
	}
	live_derive(&vm);
	if (vm.hv.paused)
		return err_set(err, ERR_STATE,
		    "vm %s: is paused: `cocoon vm resume` lets it go on",
		    vm.vm.name);
	jval_del(doc, "made");
	vm_document(&vm, doc);
	if (l)
		launch_nothing(l, doc);
	return 0;
}

static int start_run(struct launch *l, struct json_object *doc, struct err *err)
{
	return start_vm(l, doc, false, NULL, err);
}

static int start_cold(
    struct launch *l, struct json_object *doc, struct err *err)
{
	return start_vm(l, doc, true, NULL, err);
}

static int start_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	/* By --cold and --rm. */
	static const struct launch_job jobs[2][2] = {
	    {{start_run, start_failed, NULL},
		{start_run, start_failed_rm, NULL}},
	    {{start_cold, start_failed, NULL},
		{start_cold, start_failed_rm, NULL}}};
	const struct start_opts *o = call->opts;
	int status = 0, r;

	if (!doc_id(doc, err))
		return -1;
	if (!o->wait)
		return launch_start(call, doc, &jobs[o->cold][o->rm], err);
	/* What the caller left open is not to stay open in a monitor. */
	close_range(3, ~0U, 0);
	r = start_vm(NULL, doc, o->cold, &status, err);
	if (r < 0 && o->rm)
		start_failed_rm(call, doc, false);
	if (status && !call->status)
		call->status = status;
	return r;
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
    .present = report_present,
    .finish = report_finish,
    .later_fd = launch_later_fd,
    .later = launch_later,
};
