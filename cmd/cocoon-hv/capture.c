/* SPDX-License-Identifier: MIT */
/*
 * capture: a running VM's state, disks and image into vm/ID/s-SNAPID, whose
 * owner `cocoon-snap add` becomes by renaming it. What can be done before or
 * behind the pause is: the pause has the VMM's dump and the disks' reflinks,
 * nothing else. The monitor resumes the VM if this process dies.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hold.h"
#include "hv.h"
#include "live.h"
#include "log.h"
#include "progress.h"
#include "undo.h"
#include "vmm.h"

#define API_MS 20000
#define SEAL_MS 500 /* until a VMM has closed what it wrote */

struct capture_opts {
	bool hold;
	const char *name;
};

static const struct opt opts[] = {
    {.name = "hold",
	.kind = OPT_FLAG,
	.offset = offsetof(struct capture_opts, hold),
	.help = "end the VM when the next stage says durable"},
    {.name = "name",
	.kind = OPT_STRING,
	.metavar = "NAME",
	.offset = offsetof(struct capture_opts, name),
	.help = "what `add` will be told: refused now, if it is taken"},
};

struct capture {
	struct vm *vm;
	const struct vmm *vmm;
	bool stay; /* paused until the next stage has it safe */
	int dir, run, pin, hold, listen;
	struct vmm_link link;
	char id[STATE_ID_LEN + 1];
	char name[STATE_ID_LEN + 3]; /* s-ID */
	struct doc_snap snap;
	int64_t paused_at;
	int bar; /* the process that draws it */
};

/* What is written below a directory, less what is linked from elsewhere. */
static uint64_t written(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uint64_t bytes = 0;
	struct dirent *de;
	struct stat st;

	if (!d) {
		close_fd(&fd);
		return 0;
	}
	while ((de = readdir(d)))
		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_nlink == 1)
			bytes += (uint64_t)st.st_blocks * 512;
	closedir(d);
	return bytes;
}

static uint64_t so_far(void *arg)
{
	const struct capture *c = arg;

	return written(c->dir, ".") + written(c->run, DUMP_DIR);
}

/* All of the memory, at most, and what its disks have. */
static void show_bar(struct capture *c)
{
	const struct doc_disk *d = c->vm->plan.disks.v;
	uint64_t total = c->vm->plan.memory;
	struct stat st;

	for (size_t i = 0; i < c->vm->plan.disks.n; i++)
		if (disk_is_own(&d[i]) &&
		    fstatat(c->run, d[i].file, &st, AT_SYMLINK_NOFOLLOW) == 0)
			total += (uint64_t)st.st_blocks * 512;
	c->bar = progress_start(c->vm->vm.name, total, so_far, c);
}

static int undo_dir(void *arg, struct err *err)
{
	const struct capture *c = arg;

	return tree_remove(c->vm->fd, c->name, err);
}

static int check(struct capture *c, struct err *err)
{
	const struct vm *vm = c->vm;

	if (!live_check(vm->fd, vm->hv.generation).alive)
		return err_set(err, ERR_STATE,
		    "does not run: only a VM that runs can be saved");
	c->vmm = vmm_find(vm->plan.backend);
	if (!c->vmm || !(c->vmm->caps & VMM_SNAPSHOT))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build cannot save its VMs",
		    vm->plan.backend);
	return c->vmm->check_save ? c->vmm->check_save(vm, err) : 0;
}

/* Everything that need not wait for the pause. */
static int prepare(struct capture *c, struct err *err)
{
	state_new_id(c->id);
	snprintf(c->name, sizeof(c->name), "s-%s", c->id);
	if (mkdirat(c->vm->fd, c->name, 0700) < 0)
		return err_sys(err, errno, "%s: mkdir", c->name);
	undo_push(undo_dir, c, "what was captured");
	c->dir = dir_open(c->vm->fd, c->name, 0, err);
	c->run = vm_run_dir(c->vm, err);
	c->pin = vm_pin_dir(c->vm, err);
	if (c->dir < 0 || c->run < 0 || c->pin < 0 ||
	    disks_save_image(c->vm, c->pin, c->dir, &c->snap.files, err) < 0)
		return -1;
	show_bar(c);
	c->hold = hold_take(c->vm->fd, !c->vm->hv.paused, err);
	if (c->hold < 0)
		return -1;
	if (vm_link(c->vm, &c->link, &c->vmm, err) < 0 ||
	    (c->vmm->prepare &&
		c->vmm->prepare(&c->link, c->vm, c->dir, err) < 0))
		return -1;
	return tool_check(err);
}

/* The VM goes on, or the monitor sees to it. */
static int go_on(struct capture *c, struct err *err)
{
	if (!c->vm->hv.paused && c->vmm->resume(&c->link, API_MS, err) < 0)
		return -1;
	hold_release(&c->hold);
	return 0;
}

static int dump(struct capture *c, struct err *err)
{
	const struct vmm_file *f = c->vmm->files;

	if (c->vmm->capture(&c->link, c->vm, c->dir, err) < 0)
		return -1;
	for (; vmm_writes(f, c->vm->hv.version); f++)
		if (disks_note(&c->snap.files, c->dir, f->name, f->role, err) <
		    0)
			return -1;
	return disks_save_own(c->vm, c->run, c->dir, &c->snap.files, err);
}

/* From pause to resume. */
static int stand_still(struct capture *c, struct err *err)
{
	struct err failed;
	int r;

	c->paused_at = now_ms();
	c->snap.created_at = (uint64_t)wall_ms();
	if (!c->vm->hv.paused && c->vmm->pause(&c->link, API_MS, err) < 0)
		return -1;
	r = dump(c, err);
	if (r < 0) {
		(void)go_on(c, &failed);
		return -1;
	}
	if (!c->stay && go_on(c, err) < 0)
		return -1;
	c->snap.pause_ms = (uint64_t)(now_ms() - c->paused_at);
	return 0;
}

/*
 * The VMM has had the file open for writing: it is ours alone when it has
 * closed it; a copy is, in any case.
 */
static int seal(int dir, const char *name, struct err *err)
{
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int64_t until = now_ms() + SEAL_MS;

	if (fd < 0 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0444) < 0)
		return err_sys(err, errno, "%s: take over", name);
	while (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
		if (errno != EAGAIN)
			return err_sys(err, errno, "%s: lease", name);
		if (now_ms() < until) {
			sleep_ms(2);
			continue;
		}
		if (file_clone(dir, name, dir, "copy", 0444, err) < 0)
			return -1;
		return renameat(dir, "copy", dir, name) < 0
			   ? err_sys(err, errno, "%s: rename", name)
			   : 0;
	}
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return 0;
}

static int seal_all(struct capture *c, struct err *err)
{
	const struct vmm_file *f = c->vmm->files;

	for (; vmm_writes(f, c->vm->hv.version); f++)
		if (seal(c->dir, f->name, err) < 0)
			return -1;
	if (c->vmm->settle && c->vmm->settle(c->vm, c->dir, err) < 0)
		return -1;
	return tool_check(err);
}

/* It has run what cocoon-hint says, or not: nobody knows. */
static void add_since(struct doc_guest *g, const char *mac)
{
	struct jstrs next = {.n = g->since.n};

	if (!strcmp(g->mac, mac))
		return;
	next.v = xcalloc(next.n + 1, sizeof(*next.v));
	for (size_t i = 0; i < g->since.n; i++) {
		if (!strcmp(g->since.v[i], mac)) {
			free_ptr(&next.v);
			return;
		}
		next.v[i] = g->since.v[i];
	}
	next.v[next.n++] = mac;
	g->since = next;
}

/* What the guest believes: what was recorded of a clone, else what is so. */
static void fill_guest(const struct vm *vm, struct jarr *out)
{
	const struct doc_nic *nic = vm->net.nics.v;
	const struct doc_guest *was = vm->hv.guest.v;
	struct doc_guest *g = xcalloc(vm->net.nics.n + 1, sizeof(*g));

	for (size_t i = 0; i < vm->net.nics.n; i++) {
		if (vm->hv.guest.n != vm->net.nics.n) {
			g[i].mac = nic[i].mac;
			g[i].addresses = nic[i].addresses;
			g[i].queues = nic[i].queues;
			continue;
		}
		g[i] = was[i];
		g[i].queues = nic[i].queues;
		add_since(&g[i], nic[i].mac);
	}
	*out = (struct jarr){g, vm->net.nics.n};
}

/* The document of the source, and what was saved of it. */
static void describe(struct capture *c)
{
	struct doc_snap *s = &c->snap;
	const struct doc_file *f = s->files.v;
	struct vm *vm = c->vm;
	char link[40], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", c->dir);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	s->id = c->id;
	s->dir = xstrdup(path);
	s->backend = vm->plan.backend;
	s->version = vm->hv.version;
	s->accel = vm->hv.accel;
	for (size_t i = 0; i < s->files.n; i++)
		s->size += f[i].size;
	fill_guest(vm, &s->guest);
	if (c->listen >= 0)
		s->hold = xasprintf("%s/hold", path);
	doc_put(vm->doc, "snap", &doc_snap_table, s);
}

static int take(struct capture *c, struct err *err)
{
	if (check(c, err) < 0 || prepare(c, err) < 0)
		return -1;
	if (c->stay) {
		c->listen = socket_listen(c->dir, "hold", err);
		if (c->listen < 0)
			return -1;
	}
	if (stand_still(c, err) < 0 || seal_all(c, err) < 0)
		return -1;
	live_derive(c->vm);
	describe(c);
	return 0;
}

/* Nobody has it safe: the next stage has said why. */
static void give_back(struct capture *c)
{
	struct err err = {0};

	if (c->hold >= 0 && go_on(c, &err) < 0)
		log_warn("vm %s: %s", c->vm->vm.name, err.msg);
	if (tree_remove(c->vm->fd, c->name, &err) < 0)
		log_warn("%s", err.msg);
}

static void finish(struct capture *c)
{
	struct err ignored;

	if (c->link.dump >= 0)
		(void)tree_remove(c->run, DUMP_DIR, &ignored);
	close_fd(&c->dir);
	close_fd(&c->run);
	close_fd(&c->pin);
	vmm_link_close(&c->link);
	close_fd(&c->hold);
	close_fd(&c->listen);
}

static int capture_one(const char *ref, const struct capture_opts *o,
    struct json_object **doc, struct err *err)
{
	static struct capture c; /* the undo list outlives the stack */
	AUTO_VM struct vm vm = VM_NONE;
	size_t mark = undo_mark();
	int r;

	c = (struct capture){.vm = &vm,
	    .stay = o->hold,
	    .dir = -1,
	    .run = -1,
	    .pin = -1,
	    .link = VMM_LINK_NONE,
	    .hold = -1,
	    .listen = -1};
	if (vm_open(&vm, ref, VM_LOCK_MS, err) < 0)
		return -1;
	*doc = jval_ref(vm.doc);
	if (state_lock_shared(&vm.st, err) < 0)
		return -1;
	r = o->name ? state_check_snap_name(&vm.st, o->name, err) : 0;
	if (r == 0)
		r = take(&c, err);
	progress_stop(&c.bar);
	if (r == 0)
		r = tool_emit(vm.doc, err);
	if (r == 0 && o->hold &&
	    hibernate(&vm, c.listen, &c.hold, c.id, err) < 0)
		give_back(&c);
	if (r < 0)
		undo_run(mark);
	else
		undo_forget(mark);
	finish(&c);
	return r < 0 ? err_wrap(err, "vm %s", vm.vm.name) : 0;
}

static int capture_run(struct call *call, struct err *err)
{
	const struct capture_opts *o = call->opts;
	AUTO_JSON struct json_object *doc = NULL;
	struct err e = {0};

	(void)err;
	if (capture_one(call->args.v[0], o, &doc, &e) < 0) {
		err_object(&e, call->args.v[0]);
		tool_fail(call, NULL, &e);
	}
	return 0;
}

const struct verb verb_capture = {
    .name = "capture",
    .summary = "Save a running VM's state and disks, for `cocoon-snap add`.",
    .operands = "VM",
    .min_args = 1,
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct capture_opts),
    .emits = true,
    .changes = true,
    .run = capture_run,
};
