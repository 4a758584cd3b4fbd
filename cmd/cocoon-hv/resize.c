/* SPDX-License-Identifier: MIT */
/*
 * resize: CPUs, memory or a disk of a VM. One that is stopped has it at its
 * next start; a running one at once, where its hypervisor can.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "live.h"
#include "plan.h"
#include "proc.h"
#include "vmm.h"

#define API_MS 20000
#define SECTOR 512

struct resize_opts {
	uint64_t cpu, memory, storage, size;
	const char *disk;
};

#define O(m, n, k, lo, mv, h)                                           \
	{                                                               \
		.name = (n), .kind = (k),                               \
		.offset = offsetof(struct resize_opts, m), .min = (lo), \
		.max = UINT64_C(1) << 50, .metavar = (mv), .help = (h)  \
	}
static const struct opt opts[] = {
    O(cpu, "cpu", OPT_U64, 1, "N", "virtual CPUs"),
    O(memory, "memory", OPT_SIZE, 1, "SIZE", "memory"),
    O(storage, "storage", OPT_SIZE, 1, "SIZE", "the writable disk"),
    O(disk, "disk", OPT_STRING, 0, "NAME", "a data disk, with --size"),
    O(size, "size", OPT_SIZE, 1, "SIZE", "of that data disk"),
};

/* The planned disk that is meant; -1: none is. */
static int find_disk(
    const struct vm *vm, const struct resize_opts *o, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	AUTO_FREE char *file =
	    o->disk ? xasprintf("data-%s.raw", o->disk) : NULL;

	for (size_t i = 0; i < vm->plan.disks.n; i++)
		if (o->disk ? !strcmp(d[i].file, file)
			    : !strcmp(d[i].role, "cow"))
			return (int)i;
	return err_set(err, ERR_NOTFOUND, "vm %s: has no %s%s", vm->vm.name,
	    o->disk ? "data disk " : "writable disk", o->disk ? o->disk : "");
}

static int want_disk(struct vm *vm, const struct resize_opts *o,
    struct vmm_size *want, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	want->disk_bytes = o->disk ? o->size : o->storage;
	want->disk = -1;
	if (!want->disk_bytes)
		return 0;
	want->disk = find_disk(vm, o, err);
	if (want->disk < 0)
		return -1;
	if (want->disk_bytes < d[want->disk].size)
		return err_set(err, ERR_UNSUPPORTED,
		    "vm %s: %s: a disk only grows: its end may hold files",
		    vm->vm.name, d[want->disk].file);
	if (want->disk_bytes % SECTOR)
		return err_set(err, ERR_USAGE,
		    "vm %s: a disk's size is a multiple of 512", vm->vm.name);
	return 0;
}

/* How large a file the process may write. */
static uint64_t file_limit(pid_t pid)
{
	static const char name[] = "Max file size";
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	char path[32];
	const char *p;
	AUTO_FD int dir = -1;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || file_read(dir, "limits", &text, 65536, &ignored) < 0)
		return 0;
	p = strstr(text.data, name);
	if (!p)
		return 0;
	p += strlen(name);
	p += strspn(p, " ");
	return isdigit((unsigned char)*p) ? strtoull(p, NULL, 10) : UINT64_MAX;
}

/* It was started with room for disks of 16 times their size. */
static int check_limit(
    const struct vm *vm, const struct vmm_size *want, struct err *err)
{
	struct live live = live_check(vm->fd, vm->hv.generation);
	const struct rlimit limit = {want->disk_bytes, want->disk_bytes};

	if (want->disk < 0 || file_limit(live.pid) >= want->disk_bytes)
		return 0;
	if (prlimit(live.pid, RLIMIT_FSIZE, &limit, NULL) < 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "the running hypervisor may not write a file of that "
		    "size: stop it first");
	return 0;
}

/* What was wished for, too. */
static void record_disk(struct vm *vm, const struct doc_disk *d)
{
	struct doc_data_disk *wish = vm->spec.data_disks.v;

	if (!strcmp(d->role, "cow"))
		vm->spec.storage = d->size;
	for (size_t i = 0; i < vm->spec.data_disks.n; i++) {
		AUTO_FREE char *file = xasprintf("data-%s.raw", wish[i].name);

		if (!strcmp(file, d->file))
			wish[i].size = d->size;
	}
}

/*
 * What the next start is to find, and what the guest has. A running VM's memory
 * is only lent back by its balloon: that is not kept. A stopped one gets the
 * host's room anew.
 */
static void record(struct vm *vm, const struct vmm_size *want, bool running)
{
	struct doc_disk *d = vm->plan.disks.v;
	struct doc_plan *plan = &vm->plan;
	const struct vmm *v = vmm_find(plan->backend);

	if (want->cpu)
		plan->cpu = vm->spec.cpu = want->cpu;
	if (running && want->memory > plan->memory && !plan->boot_memory)
		plan->boot_memory = plan->memory;
	if (want->memory && (!running || want->memory > plan->memory))
		plan->memory = vm->spec.memory = want->memory;
	if (want->disk >= 0) {
		d[want->disk].size = want->disk_bytes;
		record_disk(vm, &d[want->disk]);
	}
	if (!running) {
		plan->boot_memory = 0;
		if (v && vm->image.type)
			vmm_room(v, &vm->image, plan);
	}
}

/* Once: what the record's words were in is gone then. */
static int keep(struct vm *vm, struct err *err)
{
	doc_put(vm->doc, "plan", &doc_plan_table, &vm->plan);
	doc_put(vm->doc, "spec", &doc_spec_table, &vm->spec);
	return vm_save(vm, true, err);
}

/*
 * One after the other, each recorded: what could not be done does not hide what
 * was. *done: there is something to keep.
 */
static int resize_parts(struct vm *vm, const struct vmm *v, int run,
    const struct vmm_size *want, bool *done, struct err *err)
{
	const struct vmm_size parts[] = {
	    {.disk_bytes = want->disk_bytes, .disk = want->disk},
	    {.memory = want->memory, .disk = -1},
	    {.cpu = want->cpu, .disk = -1}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (!parts[i].cpu && !parts[i].memory && parts[i].disk < 0)
			continue;
		if (v->resize(vm, &parts[i], run, API_MS, err) < 0)
			return -1;
		record(vm, &parts[i], true);
		*done = true;
	}
	return 0;
}

static int resize_running(
    struct vm *vm, const struct vmm_size *want, bool *done, struct err *err)
{
	const struct vmm *v = vmm_find(vm->plan.backend);
	AUTO_FD int run = vm_run_dir(vm, err);

	if (run < 0)
		return -1;
	if (!v || !v->resize)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s cannot resize what runs: stop it first",
		    vm->plan.backend);
	if (vmm_check_cpu(&vm->plan, want->cpu, err) < 0 ||
	    vmm_check_memory(&vm->plan, want->memory, err) < 0 ||
	    check_limit(vm, want, err) < 0)
		return -1;
	return resize_parts(vm, v, run, want, done, err);
}

/* A file of a stopped VM is root's. */
static int resize_stopped(
    struct vm *vm, const struct vmm_size *want, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	AUTO_FD int run = -1, fd = -1;

	/* Its guest was frozen with what it has. */
	if (vm_hibernates(vm))
		return err_set(err, ERR_STATE,
		    "it hibernates: start it first, or with --cold");
	if (want->disk < 0)
		return 0;
	d += want->disk;
	if (strcmp(d->format, "raw"))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: overlays cannot be resized: import the image as a raw "
		    "disk",
		    d->file);
	run = vm_run_dir(vm, err);
	if (run < 0 || disks_chown(vm, run, 0, err) < 0)
		return -1;
	fd = open_beneath(run, d->file, O_WRONLY | O_CLOEXEC, 0, err);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)want->disk_bytes) < 0)
		return err_sys(err, errno, "%s: grow", d->file);
	return 0;
}

static int check_sizes(
    const struct vm *vm, const struct vmm_size *want, struct err *err)
{
	if (plan_check_cpu(want->cpu, err) < 0)
		return -1;
	if (want->memory && want->memory < UINT64_C(64) << 20)
		return err_set(err, ERR_USAGE,
		    "vm %s: --memory: at least 64MiB", vm->vm.name);
	if (!want->cpu && !want->memory && want->disk < 0)
		return err_set(err, ERR_USAGE,
		    "vm %s: which size? --cpu, --memory, --storage, or --disk "
		    "with --size",
		    vm->vm.name);
	return 0;
}

static int resize_run(struct call *call, struct err *err)
{
	const struct resize_opts *o = call->opts;
	struct vmm_size want = {.cpu = o->cpu, .memory = o->memory};
	AUTO_VM struct vm vm = VM_NONE;
	struct err ignored;
	bool done = false;
	int r;

	if ((o->disk != NULL) != (o->size != 0))
		return err_set(err, ERR_USAGE, "--disk and --size go together");
	if (o->disk && o->storage)
		return err_set(err, ERR_USAGE,
		    "--disk and --storage are mutually exclusive");
	if (vm_open(&vm, call->args.v[0], VM_LOCK_MS, err) < 0 ||
	    want_disk(&vm, o, &want, err) < 0 ||
	    check_sizes(&vm, &want, err) < 0)
		return -1;
	if (live_check(vm.fd, vm.hv.generation).alive) {
		r = resize_running(&vm, &want, &done, err);
	} else {
		r = resize_stopped(&vm, &want, err);
		done = r == 0;
		if (done)
			record(&vm, &want, false);
	}
	if (done && keep(&vm, r < 0 ? &ignored : err) < 0)
		return -1;
	if (r < 0)
		return err_wrap(err, "vm %s", vm.vm.name);
	live_derive(&vm);
	doc_redact(vm.doc);
	return tool_emit(vm.doc, err);
}

const struct verb verb_resize = {
    .name = "resize",
    .summary = "Change CPUs, memory or a disk of a VM.",
    .operands = "VM",
    .min_args = 1,
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct resize_opts),
    .emits = true,
    .changes = true,
    .run = resize_run,
};
