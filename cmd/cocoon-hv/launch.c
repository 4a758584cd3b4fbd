/* SPDX-License-Identifier: MIT */
/*
 * From a stopped VM to a running one. The monitor holds a socket from us:
 * end of file before the commit byte, and it kills the VMM.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "live.h"
#include "log.h"
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
	for (const struct vmm_file *f = m->vmm->files; f->name; f++) {
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
	/* A monitor that was killed could not do that. */
	(void)live_kill_others(m->vm->fd, UINT64_MAX, &ignored);
	vm_tidy(m->vm, m->uid);
	taps_rest(m->vm);
}

static int commit_record(struct vm *vm, bool cold, struct err *err)
{
	/* A guest that boots takes what it is told. */
	if (cold)
		vm->hv.guest = (struct jarr){0};
	else if (vm->spec.cpu > vm->plan.cpu) {
		vm->plan.cpu = vm->spec.cpu;
		/* The plan's words are this object's. */
		jval_set_int(
		    jval_get(vm->doc, "plan"), "cpu", (int64_t)vm->plan.cpu);
	}
	vm->hv.resume = NULL;
	vm->hv.loaded = !cold;
	vm->hv.started_at = (uint64_t)wall_ms();
	vm->hv.version = vm->plan.version;
	vm->hv.accel = vm->plan.accel;
	vm->hv.privileged = vm->plan.privileged;
	vm->hv.paused = false;
	return vm_save(vm, false, err);
}

/* A process of its own: nothing of the caller's stays open in it. */
static void detach(struct monitor *m, const struct launch_from *from)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close_fd(&null);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	close_fd(&m->vm->lock_fd);
	/* Locks that others wait for must not live as long as a VM does. */
	state_lock_forget(&m->vm->st);
	state_close(&m->vm->st);
	if (from && from->in_child)
		from->in_child(from);
	prctl(PR_SET_NAME, "cocoon-monitor");
	tool_title("cocoon-hv: monitor %s", m->vm->id);
	if (chdir("/") < 0)
		_exit(1);
}

static void send_report(int fd, const struct err *err)
{
	if (send(fd, err, sizeof(*err), MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* The monitor's life in the child; *link is its end of the socket. */
static NORETURN void monitor_child(
    struct monitor *m, const struct launch_from *from, int link)
{
	struct err err = {0};
	char byte;

	detach(m, from);
	if (monitor_begin(m, &err) < 0) {
		monitor_abort(m);
		send_report(link, &err);
		_exit(1);
	}
	send_report(link, &err);
	if (read(link, &byte, 1) != 1) {
		monitor_abort(m);
		_exit(1);
	}
	if (monitor_resume(m, &err) < 0 || monitor_drop(m, &err) < 0) {
		monitor_abort(m);
		send_report(link, &err);
		_exit(1);
	}
	send_report(link, &err);
	close(link);
	_exit(monitor_serve(m));
}

/* What the monitor says: 0, or -1 with its error. */
static int read_report(int fd, struct err *err)
{
	struct err said;
	ssize_t n;

	do
		n = recv(fd, &said, sizeof(said), MSG_WAITALL);
	while (n < 0 && errno == EINTR && !tool_interrupted());
	if (n != sizeof(said))
		return tool_check(err) < 0
			   ? -1
			   : err_set(err, ERR_FAILED, "the monitor died");
	if (said.code == ERR_NONE)
		return 0;
	*err = said;
	return -1;
}

/* The record, and what else makes it true. */
static int commit_all(
    struct vm *vm, const struct launch_from *from, struct err *err)
{
	if (commit_record(vm, !from, err) < 0)
		return -1;
	return from && from->commit ? from->commit(vm, err) : 0;
}

static int run_forked(
    struct monitor *m, const struct launch_from *from, struct err *err)
{
	AUTO_FD int ours = -1;
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, errno, "socketpair");
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		monitor_child(m, from, sv[1]);
	}
	ours = sv[0];
	close(sv[1]);
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (read_report(ours, err) < 0 || commit_all(m->vm, from, err) < 0) {
		/* End of file: the monitor kills the VMM; wait for that. */
		close_fd(&ours);
		waitpid(pid, NULL, 0);
		return -1;
	}
	if (send(ours, "c", 1, MSG_NOSIGNAL) != 1)
		return err_set(err, ERR_FAILED, "the monitor died");
	return read_report(ours, err);
}

/* In the foreground: this process is the monitor. */
static int run_here(struct monitor *m, int *status, struct err *err)
{
	if (monitor_begin(m, err) < 0 || commit_record(m->vm, true, err) < 0 ||
	    monitor_resume(m, err) < 0)
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

int launch_vm(struct vm *vm, const struct launch_from *from, bool wait,
    int *status, struct err *err)
{
	struct monitor m = new_monitor(vm);
	int r = prepare(&m, from, err);

	if (r == 0)
		r = wait ? run_here(&m, status, err)
			 : run_forked(&m, from, err);
	if (r < 0)
		give_up(&m);
	close_fd(&m.run_fd);
	close_fd(&m.fds.state);
	return r;
}
