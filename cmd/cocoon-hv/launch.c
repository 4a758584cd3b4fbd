/* SPDX-License-Identifier: MIT */
/*
 * From a stopped VM to a running one. Each is the work of a process that stays
 * as its monitor; who asked for it holds a socket to it: end of file before the
 * commit byte, and the process undoes what it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "jobs.h"
#include "live.h"
#include "monitor.h"

static struct monitor new_monitor(struct vm *vm)
{
	struct monitor m = {.vm = vm,
	    .vmm = vmm_find(vm->plan.backend),
	    .confine = {.ruleset_fd = -1},
	    .run_fd = -1,
	    .netns_fd = -1,
	    .live_fd = -1,
	    .events_fd = -1,
	    .log_fd = -1,
	    .fifo_fd = -1,
	    .fds = {.api = -1, .events = -1, .console = -1, .state = -1},
	    .hold = HOLD_NONE,
	    .link = VMM_LINK_NONE};

	m.console.serial_fd = m.console.listen_fd = m.console.log_fd = -1;
	for (size_t i = 0; i < CONSOLE_CLIENTS; i++)
		m.console.clients[i] = -1;
	return m;
}

/* The state's files into N/; where the VMM wants a descriptor, it is there. */
static int link_state(
    struct monitor *m, const struct launch_from *from, int pin, struct err *err)
{
	const struct vmm_file *f = m->vmm->files;

	for (; vmm_writes(f, m->vm->plan.version); f++) {
		if (file_link_or_copy(from->dir_fd, f->name, m->run_fd, f->name,
			0444, err) < 0)
			return -1;
		/* On another file system it has none. */
		if (m->vmm->caps & VMM_MERGES && !strcmp(f->role, "memory"))
			(void)!linkat(from->dir_fd, f->name, pin, VMM_BASE, 0);
		if (strcmp(f->role, "state") || m->fds.state >= 0)
			continue;
		m->fds.state = openat(
		    m->run_fd, f->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (m->fds.state < 0)
			return err_sys(err, errno, "%s: open", f->name);
	}
	return 0;
}

/* The run directory as the VM's uid is to find it. */
static int prepare(
    struct monitor *m, const struct launch_from *from, struct err *err)
{
	AUTO_FD int pin = -1;
	struct vm *vm = m->vm;

	if (!m->vmm)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build has no driver for it",
		    vm->plan.backend);
	m->run_fd = vm_run_dir(vm, err);
	pin = vm_pin_dir(vm, err);
	if (m->run_fd < 0 || pin < 0 || disks_chown(vm, m->run_fd, 0, err) < 0)
		return -1;
	disks_clean(m->run_fd);
	unlinkat(pin, VMM_BASE, 0);
	if (disks_link(vm, m->run_fd, pin, err) < 0 ||
	    (from && link_state(m, from, pin, err) < 0))
		return -1;
	if (vm->plan.privileged)
		return 0;
	if (slot_claim(vm, &m->uid, err) < 0)
		return -1;
	return disks_chown(vm, m->run_fd, m->uid, err);
}

/* The VM is as it was: stopped, its files root's, no uid taken. */
static void give_up(struct monitor *m)
{
	struct err ignored;

	monitor_abort(m);
	(void)live_kill_others(m->vm->fd, UINT64_MAX, &ignored);
	vm_tidy(m->vm, m->uid);
	taps_rest(m->vm);
}

static int commit_record(struct vm *vm, bool cold, struct err *err)
{
	/* The plan's words are this object's: its numbers are changed in it. */
	struct json_object *plan = jval_get(vm->doc, "plan");

	if (!cold && vm->spec.cpu > vm->plan.cpu) {
		vm->plan.cpu = vm->spec.cpu;
		jval_set_int(plan, "cpu", (int64_t)vm->plan.cpu);
	}
	if (!cold && vm->spec.memory > vm->plan.memory) {
		if (!vm->plan.boot_memory)
			jval_set_int(
			    plan, "boot_memory", (int64_t)vm->plan.memory);
		vm->plan.memory = vm->spec.memory;
		jval_set_int(plan, "memory", (int64_t)vm->plan.memory);
	}
	if (cold)
		jval_del(plan, "boot_memory");
	vm->hv.resume = NULL;
	vm->hv.loaded = !cold;
	vm->hv.started_at = (uint64_t)wall_ms();
	vm->hv.version = vm->plan.version;
	vm->hv.accel = vm->plan.accel;
	vm->hv.privileged = vm->plan.privileged;
	vm->hv.paused = false;
	return vm_save(vm, false, err);
}

void vm_document(const struct vm *vm, struct json_object *doc)
{
	for (const struct jtable *const *t = doc_tables; *t; t++)
		if (jval_get(vm->doc, (*t)->name))
			jval_set(doc, (*t)->name,
			    jval_ref(jval_get(vm->doc, (*t)->name)));
}

/* The VM stands still: is it to be? */
static int ask_to_commit(struct launch *l, struct err *err)
{
	struct report r = {{0}, true, 0};
	char byte;

	if (tool_check(err) < 0)
		return -1;
	if (launch_report(l->fd, &r, NULL) < 0)
		return err_set(err, ERR_FAILED, "who asked for it is gone");
	for (;;) {
		ssize_t n = recv(l->fd, &byte, 1, 0);

		if (n == 1)
			return 0;
		if (tool_check(err) < 0)
			return -1;
		if (n == 0 || errno != EINTR)
			return err_set(
			    err, ERR_FAILED, "who asked for it is gone");
	}
}

/* The record, and what else makes it true. */
static int commit_all(
    struct vm *vm, const struct launch_from *from, struct err *err)
{
	if (commit_record(vm, !from, err) < 0)
		return -1;
	return from && from->commit ? from->commit(vm, err) : 0;
}

static int begin(struct monitor *m, const struct launch_from *from,
    struct launch *l, struct err *err)
{
	if (monitor_begin(m, err) < 0 || (l && ask_to_commit(l, err) < 0) ||
	    commit_all(m->vm, from, err) < 0)
		return -1;
	return monitor_resume(m, err);
}

/* A process of its own: nothing that others wait for stays with it. */
static void settle_down(struct vm *vm, const struct launch_from *from)
{
	/* As the others: see drop_inherited. */
	dup2(STDIN_FILENO, STDERR_FILENO);
	if (from)
		close(from->dir_fd);
	if (from && from->release)
		from->release();
	close_fd(&vm->lock_fd);
	state_close(&vm->st);
	prctl(PR_SET_NAME, "cocoon-monitor");
	if (chdir("/") < 0)
		_exit(1);
}

/* In a process of its own, which ends with the VM. */
static int run_apart(struct monitor *m, const struct launch_from *from,
    struct launch *l, struct json_object *doc, struct err *err)
{
	struct buf text = {0};

	if (begin(m, from, l, err) < 0)
		return -1;
	live_derive(m->vm);
	state_lock_forget(&m->vm->st);
	if (monitor_drop(m, err) < 0)
		return -1;
	vm_document(m->vm, doc);
	jval_print(doc, &text);
	settle_down(m->vm, from);
	(void)launch_document(l->fd, &text);
	close_fd(&l->fd);
	tool_title("cocoon-hv: monitor %s", m->vm->id);
	buf_release(&text);
	malloc_trim(0);
	_exit(monitor_serve(m));
}

/* In the foreground: this process is the monitor. */
static int run_here(struct monitor *m, int *status, struct err *err)
{
	if (begin(m, NULL, NULL, err) < 0)
		return -1;
	close_fd(&m->vm->lock_fd);
	if (monitor_drop(m, err) < 0)
		return -1;
	state_close(&m->vm->st);
	tool_title("cocoon-hv: monitor %s", m->vm->id);
	*status = monitor_serve(m);
	doc_put(m->vm->doc, "hv", &doc_hv_table, &m->vm->hv);
	return 0;
}

int launch_vm(struct vm *vm, const struct launch_from *from, struct launch *l,
    struct json_object *doc, int *status, struct err *err)
{
	struct monitor m = new_monitor(vm);
	int r = prepare(&m, from, err);

	/* A guest that boots takes what it is told. */
	if (!from) {
		vm->hv.guest = (struct jarr){0};
		vm->plan.boot_memory = 0;
	}
	if (r == 0)
		r = l ? run_apart(&m, from, l, doc, err)
		      : run_here(&m, status, err);
	if (r < 0)
		give_up(&m);
	close_fd(&m.run_fd);
	close_fd(&m.fds.state);
	return r;
}
