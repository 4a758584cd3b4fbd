/* SPDX-License-Identifier: MIT */
/* The VMM as a process: what it is handed, what it may touch, its log. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "live.h"
#include "monitor.h"
#include "proc.h"

#define LOG_CAP 1048576
#define LOG_KEEP 262144

static int socket_pair(int *ours, int *theirs, struct err *err)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, errno, "socketpair");
	*ours = sv[0];
	*theirs = sv[1];
	return 0;
}

/*
 * A pseudoterminal without a name: nobody opens it by path, and with our copy
 * of its terminal end it is never hung up. It is in raw mode from the start.
 */
static int open_pty(int *ours, int *theirs, struct err *err)
{
	AUTO_FD int pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;

	if (pty < 0 || unlockpt(pty) < 0)
		return err_sys(err, errno, "/dev/ptmx: open");
	*theirs = ioctl(pty, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*theirs < 0 || tcgetattr(*theirs, &t) < 0)
		return err_sys(err, errno, "pty: open");
	cfmakeraw(&t);
	if (tcsetattr(*theirs, TCSANOW, &t) < 0)
		return err_sys(err, errno, "pty: raw mode");
	*ours = take_fd(&pty);
	return 0;
}

/*
 * vmm.log: what the VMM writes to its standard error is appended by itself.
 * A VMM that opens its log by name is given a FIFO, so that it can neither
 * fill the disk nor wait for us.
 */
static int open_log(struct monitor *m, struct err *err)
{
	if (tree_remove(m->run_fd, "vmm.log", err) < 0 ||
	    tree_remove(m->run_fd, "vmm.fifo", err) < 0)
		return -1;
	m->log_fd = openat(m->run_fd, "vmm.log",
	    O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (m->log_fd < 0)
		return err_sys(err, errno, "vmm.log: create");
	if (!(m->vmm->caps & VMM_LOG_FIFO))
		return 0;
	/* Nobody else writes here yet: the VMM is not started. */
	if (mkfifoat(m->run_fd, "vmm.fifo", 0600) < 0 ||
	    fchownat(
		m->run_fd, "vmm.fifo", m->uid, m->uid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "vmm.fifo: create");
	m->fifo_fd = openat(m->run_fd, "vmm.fifo",
	    O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (m->fifo_fd < 0)
		return err_sys(err, errno, "vmm.fifo: open");
	return 0;
}

void vmm_log_pump(struct monitor *m)
{
	char data[4096];
	struct stat st;
	ssize_t n;

	while (
	    m->fifo_fd >= 0 && (n = read(m->fifo_fd, data, sizeof(data))) > 0)
		if (write_all(m->log_fd, data, (size_t)n) < 0)
			break; /* a full disk costs the log, not the VM */
	if (fstat(m->log_fd, &st) < 0 || st.st_size <= LOG_CAP)
		return;
	AUTO_FREE char *tail = xmalloc(LOG_KEEP);
	n = pread(m->log_fd, tail, LOG_KEEP, st.st_size - LOG_KEEP);
	if (n > 0 && ftruncate(m->log_fd, 0) == 0)
		(void)!write(m->log_fd, tail, (size_t)n);
}

void vmm_last_words(struct monitor *m, char out[200])
{
	char text[1024];
	struct stat st;
	ssize_t n;
	char *nl;

	out[0] = '\0';
	if (m->log_fd < 0)
		return;
	vmm_log_pump(m);
	if (fstat(m->log_fd, &st) < 0)
		return;
	n = pread(m->log_fd, text, sizeof(text) - 1,
	    st.st_size > 1023 ? st.st_size - 1023 : 0);
	while (n > 0 && strchr("\r\n", text[n - 1]))
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	nl = strrchr(text, '\n');
	snprintf(out, 200, "%.199s", nl ? nl + 1 : text);
}

static int open_console(struct monitor *m, struct err *err)
{
	struct console *c = &m->console;

	if (m->vmm->caps & VMM_CONSOLE_FD
		? socket_pair(&c->serial_fd, &m->fds.console, err) < 0
		: open_pty(&c->serial_fd, &m->fds.console, err) < 0)
		return -1;
	return console_open(c, m->vm->fd, err);
}

static int open_files(struct monitor *m, struct err *err)
{
	m->events_fd = openat(m->vm->fd, "events",
	    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (m->events_fd < 0)
		return err_sys(err, errno, "events: open");
	m->live_fd = live_lock(m->vm->fd, m->vm->hv.generation, err);
	if (m->live_fd < 0 || open_log(m, err) < 0)
		return -1;
	if (m->vmm->caps & VMM_API_FD) {
		m->fds.api = socket_listen(m->run_fd, "api.sock", err);
		if (m->fds.api < 0)
			return -1;
	}
	if (m->vmm->caps & VMM_EVENTS &&
	    socket_pair(&m->link.events, &m->fds.events, err) < 0)
		return -1;
	if (hold_listen(&m->hold, m->vm->fd, err) < 0)
		return -1;
	return open_console(m, err);
}

/* A device node that the VMM opens itself, as nobody in particular. */
static int allow_node(struct monitor *m, const char *path, struct err *err)
{
	gid_t group;

	if (m->uid && !probe_node(path, &group))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: an unprivileged VMM cannot open it: "
		    "`cocoon doctor --fix` sets what udev would",
		    path);
	if (m->uid && group != (gid_t)-1)
		confine_group(&m->confine, group);
	return confine_allow(&m->confine, path,
	    CONFINE_READ | CONFINE_WRITE | CONFINE_IOCTL, err);
}

/* The largest file that it writes: a disk, or its memory when captured. */
static uint64_t largest_file(const struct monitor *m)
{
	const struct vm *vm = m->vm;
	const struct doc_disk *d = vm->plan.disks.v;
	uint64_t largest = vm->plan.max_memory;

	/* A snapshot's state: the memory, and devices. */
	if (vm->plan.memory > largest)
		largest = vm->plan.memory;
	largest += 128 << 20;
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		if (disk_file_limit(&d[i]) > largest)
			largest = disk_file_limit(&d[i]);
	/* A disk may grow while the VM runs, and nothing but CAP_SYS_RESOURCE
	 * raises a limit. */
	return m->vmm->resize ? 16 * largest : largest;
}

static int confine_vmm(struct monitor *m, struct err *err)
{
	const struct doc_plan *plan = &m->vm->plan;
	const char *const *reads = m->vmm->reads;
	struct confine *c = &m->confine;

	if (confine_init(c, err) < 0 || confine_allow_libraries(c, err) < 0 ||
	    confine_allow(c, plan->binary, CONFINE_READ | CONFINE_EXEC, err) <
		0 ||
	    confine_allow_fd(c, m->run_fd, CONFINE_READ | CONFINE_WRITE,
		"run directory", err) < 0 ||
	    confine_allow(c, "/dev/urandom", CONFINE_READ, err) < 0 ||
	    confine_allow(c, "/dev/null", CONFINE_READ | CONFINE_WRITE, err) <
		0)
		return -1;
	for (; reads && *reads; reads++)
		if (confine_allow(c, *reads, CONFINE_READ, err) < 0)
			return -1;
	if (plan->accel && !strcmp(plan->accel, "kvm") &&
	    allow_node(m, "/dev/kvm", err) < 0)
		return -1;
	if (m->vmm->caps & VMM_TAP_NAMES && m->vm->net.nics.n &&
	    allow_node(m, "/dev/net/tun", err) < 0)
		return -1;
	if (m->fds.state >= 0 && plan->restore_mode &&
	    !strcmp(plan->restore_mode, "ondemand") &&
	    allow_node(m, "/dev/userfaultfd", err) < 0)
		return -1;
	confine_limit(c, RLIMIT_CORE, 0);
	confine_limit(c, RLIMIT_NOFILE, m->vmm->max_files);
	confine_limit(c, RLIMIT_FSIZE, largest_file(m));
	if (m->uid)
		confine_drop(c, m->uid, m->uid);
	return 0;
}

/* Last thing before exec, in the VMM-to-be. */
static int become_vmm(void *arg)
{
	struct monitor *m = arg;
	int e;

	if (setsid() < 0 && errno != EPERM)
		return errno;
	/* Without NICs: a netns of its own, with nothing in it. */
	if (m->netns_fd < 0 && unshare(CLONE_NEWNET) < 0)
		return errno;
	e = live_write_run(
	    m->vm->fd, m->vm->hv.generation, m->uid, proc_boot_id());
	return e ? e : confine_enter(&m->confine);
}

static void keep(struct proc *p, int fd)
{
	if (fd >= 0)
		p->keep[p->n_keep++] = fd;
}

static int spawn_vmm(struct monitor *m, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;

	m->vmm->argv(m->vm, &m->fds, &p.argv);
	p.out = p.err = m->log_fd;
	p.cwd_fd = m->run_fd;
	p.netns_fd = m->netns_fd;
	p.clean_env = true;
	keep(&p, m->fds.api);
	keep(&p, m->fds.events);
	keep(&p, m->live_fd);
	keep(&p, m->fds.state);
	if (m->vmm->caps & VMM_CONSOLE_FD)
		keep(&p, m->fds.console);
	else
		p.in = p.out = m->fds.console;
	if (m->vmm->caps & VMM_TAP_FDS)
		for (size_t i = 0; i < m->fds.n_taps; i++)
			keep(&p, m->fds.taps[i]);
	p.confine = become_vmm;
	p.confine_arg = m;
	m->pid = proc_spawn(&p, err);
	if (m->pid < 0)
		return -1;
	m->link.pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	if (m->link.pidfd < 0)
		return err_sys(err, errno, "pidfd_open");
	close_fd(&m->fds.api);
	close_fd(&m->fds.events);
	if (m->vmm->caps & VMM_CONSOLE_FD)
		close_fd(&m->fds.console);
	close_fd(&m->live_fd);
	close_fd(&m->netns_fd);
	confine_release(&m->confine);
	return 0;
}

int monitor_spawn(struct monitor *m, struct err *err)
{
	m->link.run_fd = m->run_fd;
	return taps_open(m, err) < 0 || open_files(m, err) < 0 ||
		       confine_vmm(m, err) < 0 || spawn_vmm(m, err) < 0
		   ? -1
		   : 0;
}
