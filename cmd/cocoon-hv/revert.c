/* SPDX-License-Identifier: MIT */
/*
 * revert: a VM becomes what a snapshot was, in a generation of its own. All of
 * it is made beside what runs; then that is ended, since both would have the
 * same taps; the new one is loaded, recorded, and goes on; and the old one is
 * removed. If it cannot be loaded the VM is the old one, stopped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "live.h"
#include "load.h"
#include "log.h"
#include "report.h"
#include "undo.h"

#define OLD_RECORD ".vm.json.tmp-old" /* gc knows such names */

static struct reverting {
	struct vm *vm;
	int snap_fd;
	uint64_t old, new;
} rv;

/* Everything of a generation but the record. */
static int remove_generation(int vm_fd, uint64_t n, struct err *err)
{
	static const char *const of[] = {"", "run.", "live.", "pin."};
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		snprintf(
		    name, sizeof(name), "%s%llu", of[i], (unsigned long long)n);
		if (tree_remove(vm_fd, name, err) < 0)
			return -1;
	}
	return n == 0 ? tree_remove(vm_fd, "pin", err) : 0;
}

static int undo_new(void *arg, struct err *err)
{
	const struct reverting *r = arg;

	(void)unlinkat(r->vm->fd, OLD_RECORD, 0);
	return remove_generation(r->vm->fd, r->new, err);
}

#define MAX_TRACES 64

/* The generations that have left a trace; some of them twice. */
static int traces(
    int vm_fd, uint64_t out[MAX_TRACES], size_t *n, struct err *err)
{
	int fd = openat(vm_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "open the VM's directory");
	}
	*n = 0;
	while (*n < MAX_TRACES && (de = readdir(d))) {
		unsigned long long g;
		char end;

		if (sscanf(de->d_name, "%llu%c", &g, &end) == 1 ||
		    sscanf(de->d_name, "live.%llu%c", &g, &end) == 1 ||
		    sscanf(de->d_name, "pin.%llu%c", &g, &end) == 1)
			out[(*n)++] = g;
	}
	closedir(d);
	return 0;
}

/* Above all that ever left a trace. */
static int next_generation(int vm_fd, uint64_t *next, struct err *err)
{
	uint64_t g[MAX_TRACES];
	size_t n;

	if (traces(vm_fd, g, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (g[i] >= *next)
			*next = g[i] + 1;
	return 0;
}

/* It runs: what it was before goes. */
static void remove_older(const char *id)
{
	AUTO_VM struct vm vm = VM_NONE;
	uint64_t g[MAX_TRACES];
	struct err err;
	size_t n;

	if (vm_open(&vm, id, VM_LOCK_MS, &err) < 0 ||
	    traces(vm.fd, g, &n, &err) < 0) {
		log_warn("vm %s: %s", id, err.msg);
		return;
	}
	(void)unlinkat(vm.fd, OLD_RECORD, 0);
	for (size_t i = 0; i < n; i++)
		if (g[i] < vm.hv.generation &&
		    remove_generation(vm.fd, g[i], &err) < 0)
			log_warn("vm %s: %s", vm.vm.name, err.msg);
}

static int make_dir(int vm_fd, const char *format, uint64_t n, struct err *err)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%llu", format, (unsigned long long)n);
	if (mkdirat(vm_fd, name, 0700) < 0)
		return err_sys(err, errno, "%s: mkdir", name);
	return dir_open(vm_fd, name, 0, err);
}

/* The new run directory, beside the old one. */
static int build(struct reverting *r, struct err *err)
{
	AUTO_FD int run = -1, pin = -1;

	undo_push(undo_new, r, "the new generation");
	run = make_dir(r->vm->fd, "", r->new, err);
	pin = run < 0 ? -1 : make_dir(r->vm->fd, "pin.", r->new, err);
	if (pin < 0 || load_files(r->vm, r->snap_fd, run, pin, err) < 0)
		return -1;
	return tool_check(err);
}

/* One tap, one user: from here on the old guest's memory is lost. */
static int end_old(
    struct reverting *r, struct json_object *record, struct err *err)
{
	AUTO_JSON struct json_object *now = jval_ref(r->vm->doc);
	struct live l = live_check(r->vm->fd, r->old);
	int result;

	if (live_kill_others(r->vm->fd, UINT64_MAX, err) < 0)
		return -1;
	if (!l.alive)
		return 0;
	/* With what it is still called on disk. */
	jval_put(r->vm->doc);
	r->vm->doc = jval_ref(record);
	result = vm_bind(r->vm, err);
	if (result == 0) {
		vm_record_end(r->vm, true);
		vm_tidy(r->vm, l.uid);
	}
	jval_put(r->vm->doc);
	r->vm->doc = jval_ref(now);
	return result < 0 ? -1 : vm_bind(r->vm, err);
}

/* The record as the document wants it; on disk it is when the VM is loaded. */
static int take_over(struct reverting *r, const struct json_object *doc,
    const struct doc_snap *snap, struct err *err)
{
	static const char *const members[] = {
	    "spec", "image", "plan", "net", "boot"};
	struct vm *vm = r->vm;
	struct json_object *next = jval_object();

	jval_set_int(next, "v", 1);
	jval_set(next, "vm", jval_ref(jval_get(vm->doc, "vm")));
	jval_set(next, "hv", jval_ref(jval_get(vm->doc, "hv")));
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (jval_get(doc, members[i]))
			jval_set(next, members[i],
			    jval_ref(jval_get(doc, members[i])));
	jval_put(vm->doc);
	vm->doc = next;
	if (vm_bind(vm, err) < 0)
		return -1;
	vm->hv.generation = r->new;
	load_guest(vm, snap);
	/* end_old binds again. */
	doc_put(vm->doc, "hv", &doc_hv_table, &vm->hv);
	return vm_bind(vm, err);
}

/* The record stays under a second name: to take it back needs no room on a disk
 * that may be full by then. */
static int keep_record(const struct reverting *r, struct err *err)
{
	(void)unlinkat(r->vm->fd, OLD_RECORD, 0);
	return file_link_or_copy(
		   r->vm->fd, "vm.json", r->vm->fd, OLD_RECORD, 0600, err) < 0
		   ? -1
		   : 0;
}

/* It may have been recorded, and did not go on: the old one is what there is.
 * If that is the record still, the rename does nothing. */
static void put_back(struct reverting *r, struct json_object *record)
{
	struct err err;

	if (renameat(r->vm->fd, OLD_RECORD, r->vm->fd, "vm.json") < 0 ||
	    fsync(r->vm->fd) < 0)
		log_warn("vm %s: vm.json: %s", r->vm->id, strerror(errno));
	jval_put(r->vm->doc);
	r->vm->doc = jval_ref(record);
	if (vm_bind(r->vm, &err) < 0)
		log_warn("%s", err.msg);
}

static int revert_vm(struct reverting *r, struct launch *l,
    struct json_object *doc, const struct doc_snap *snap, struct err *err)
{
	AUTO_JSON struct json_object *record = NULL;
	struct launch_from from = {.dir_fd = r->snap_fd};
	AUTO_BUF struct buf text = {0};
	struct vm *vm = r->vm;

	/* A deep copy: binding and saving change the other. */
	jval_print(vm->doc, &text);
	record = jval_parse(text.data, text.len, err);
	r->old = vm->hv.generation;
	r->new = r->old + 1;
	if (!record || next_generation(vm->fd, &r->new, err) < 0 ||
	    take_over(r, doc, snap, err) < 0 || build(r, err) < 0 ||
	    keep_record(r, err) < 0 || end_old(r, record, err) < 0)
		return -1;
	if (launch_vm(vm, &from, l, doc, NULL, err) < 0) {
		put_back(r, record);
		return err_wrap(err, "it is stopped, and as it was");
	}
	return 0;
}

static int revert_run(
    struct launch *l, struct json_object *doc, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;
	size_t mark = undo_mark();
	struct doc_snap snap;
	AUTO_JSON struct json_object *from = jval_ref(jval_get(doc, "snap"));

	if (doc_bind(doc, "snap", &doc_snap_table, &snap, err) < 0 ||
	    vm_open(&vm, doc_id(doc, err), VM_LOCK_MS, err) < 0 ||
	    state_lock_shared(&vm.st, err) < 0)
		return -1;
	jval_del(doc, "snap");
	rv = (struct reverting){.vm = &vm, .snap_fd = load_open(&snap, err)};
	if (rv.snap_fd >= 0)
		(void)revert_vm(&rv, l, doc, &snap, err);
	undo_run(mark);
	return err_wrap(err, "vm %s", vm.vm.name);
}

static int revert_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	static const struct launch_job job = {
	    .run = revert_run, .failed = start_failed, .done = remove_older};

	return doc_id(doc, err) ? launch_start(call, doc, &job, err) : -1;
}

static const struct opt opts[] = {REPORT_OPTS};

const struct verb verb_revert = {
    .name = "revert",
    .summary = "Make VMs what snapshots were, in place.",
    .emits = true,
    .changes = true,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct report_opts),
    .filter = revert_filter,
    .present = report_present,
    .finish = report_finish,
    .later_fd = launch_later_fd,
    .later = launch_later,
};
