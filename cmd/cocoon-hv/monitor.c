/* SPDX-License-Identifier: MIT */
#include "monitor.h"
#include "disks.h"
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "proc.h"

#define API_MS 20000  /* a busy host may take its time */
#define STOP_MS 30000 /* of a SIGTERM to the monitor */
#define PRESS_MS 3000 /* between two presses of the power button */

static int socket_pair(int *ours, int *theirs, struct err *err)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, errno, "socketpair");
	*ours = sv[0];
	*theirs = sv[1];
	return 0;
}

/* The tap cocoon-net made: same flags, or the kernel refuses. */
static int open_tap(const struct doc_nic *nic, struct err *err)
{
	AUTO_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = {0};

	if (fd < 0)
		return err_sys(err, errno, "/dev/net/tun: open");
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (nic->queues > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", nic->tap);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return err_sys(err, errno, "%s: open", nic->tap);
	return take_fd(&fd);
}

/* A descriptor for each queue. */
static int open_queues(
    struct monitor *m, const struct doc_nic *nic, struct err *err)
{
	uint64_t n = nic->queues ? nic->queues : 1;

	if (n > VMM_MAX_QUEUES)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: %llu queues; at most %d", nic->tap,
		    (unsigned long long)n, VMM_MAX_QUEUES);
	for (uint64_t i = 0; i < n; i++) {
		int fd = open_tap(nic, err);

		if (fd < 0)
			return -1;
		m->fds.taps[m->fds.n_taps++] = fd;
	}
	return 0;
}

/* Taps are opened inside the VM's netns and handed over as descriptors. */
static int open_taps(struct monitor *m, struct err *err)
{
	AUTO_FD int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const struct doc_nic *nics = m->vm->net.nics.v;
	int r = 0;

	if (!m->vm->net.nics.n)
		return 0;
	AUTO_FREE char *path = xasprintf("/run/netns/%s", m->vm->net.netns);
	m->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || m->netns_fd < 0)
		return err_sys(err, errno, "%s: open", path);
	if (setns(m->netns_fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "%s: enter", path);
	for (size_t i = 0; i < m->vm->net.nics.n && r == 0; i++)
		r = open_queues(m, &nics[i], err);
	if (setns(own, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "leave %s", path);
	return r;
}

static int open_files(struct monitor *m, struct err *err)
{
	m->events_fd = openat(m->vm->fd, "events",
	    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (m->events_fd < 0)
		return err_sys(err, errno, "events: open");
	if (tree_remove(m->run_fd, "vmm.log", err) < 0)
		return -1;
	m->log_fd = openat(m->run_fd, "vmm.log",
	    O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (m->log_fd < 0)
		return err_sys(err, errno, "vmm.log: create");
	m->live_fd = live_lock(m->vm->fd, m->vm->hv.generation, err);
	m->fds.api = socket_listen(m->run_fd, "api.sock", err);
	if (m->live_fd < 0 || m->fds.api < 0 ||
	    socket_pair(&m->event_fd, &m->fds.events, err) < 0 ||
	    socket_pair(&m->console.serial_fd, &m->fds.console, err) < 0)
		return -1;
	if (hold_listen(&m->hold, m->vm->fd, err) < 0)
		return -1;
	return console_open(&m->console, m->vm->fd, err);
}

static int confine_vmm(struct monitor *m, struct err *err)
{
	static const char *const firmware[] = {
	    "/usr/share/qemu", "/usr/share/seabios", "/usr/share/OVMF"};
	const struct doc_disk *d = m->vm->plan.disks.v;
	struct confine *c = &m->confine;
	uint64_t largest = 64 << 20;
	gid_t group;

	if (confine_init(c, err) < 0 || confine_allow_libraries(c, err) < 0 ||
	    confine_allow(
		c, m->vm->plan.binary, CONFINE_READ | CONFINE_EXEC, err) < 0 ||
	    confine_allow_fd(c, m->run_fd, CONFINE_READ | CONFINE_WRITE,
		"run directory", err) < 0 ||
	    confine_allow(c, "/dev/urandom", CONFINE_READ, err) < 0 ||
	    confine_allow(c, "/dev/null", CONFINE_READ | CONFINE_WRITE, err) <
		0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(firmware); i++)
		if (confine_allow(c, firmware[i], CONFINE_READ, err) < 0)
			return -1;
	if (m->vm->plan.accel && !strcmp(m->vm->plan.accel, "kvm")) {
		if (!probe_node("/dev/kvm", &group))
			return err_set(err, ERR_UNSUPPORTED,
			    "/dev/kvm: an unprivileged VMM cannot open it: "
			    "`cocoon doctor --fix` sets what udev would");
		if (confine_allow(c, "/dev/kvm",
			CONFINE_READ | CONFINE_WRITE | CONFINE_IOCTL, err) < 0)
			return -1;
		if (group != (gid_t)-1)
			confine_group(c, group);
	}
	for (size_t i = 0; i < m->vm->plan.disks.n; i++)
		if (d[i].size > largest)
			largest = d[i].size;
	/* A snapshot's state: the memory, and devices. */
	if (m->vm->plan.memory + (128 << 20) > largest)
		largest = m->vm->plan.memory + (128 << 20);
	confine_limit(c, RLIMIT_CORE, 0);
	confine_limit(c, RLIMIT_NOFILE, 16384);
	confine_limit(c, RLIMIT_FSIZE, largest);
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

static int spawn_vmm(struct monitor *m, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;

	m->vmm->argv(m->vm, &m->fds, &p.argv);
	p.out = p.err = m->log_fd;
	p.cwd_fd = m->run_fd;
	p.netns_fd = m->netns_fd;
	p.clean_env = true;
	p.keep[p.n_keep++] = m->fds.api;
	p.keep[p.n_keep++] = m->fds.events;
	p.keep[p.n_keep++] = m->fds.console;
	p.keep[p.n_keep++] = m->live_fd;
	if (m->fds.state >= 0)
		p.keep[p.n_keep++] = m->fds.state;
	for (size_t i = 0; i < m->fds.n_taps; i++)
		p.keep[p.n_keep++] = m->fds.taps[i];
	p.confine = become_vmm;
	p.confine_arg = m;
	m->pid = proc_spawn(&p, err);
	if (m->pid < 0)
		return -1;
	m->pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	close_fd(&m->fds.api);
	close_fd(&m->fds.events);
	close_fd(&m->fds.console);
	close_fd(&m->live_fd);
	close_fd(&m->netns_fd);
	confine_release(&m->confine);
	for (size_t i = 0; i < m->fds.n_taps; i++)
		close_fd(&m->fds.taps[i]);
	return m->pidfd < 0 ? err_sys(err, errno, "pidfd_open") : 0;
}

/* The last line of vmm.log: what the VMM said before it ended. */
static void last_words(const struct monitor *m, char out[200])
{
	char text[1024];
	struct stat st;
	ssize_t n;
	char *nl;

	out[0] = '\0';
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

int monitor_begin(struct monitor *m, struct err *err)
{
	char words[200];

	if (open_taps(m, err) < 0 || open_files(m, err) < 0 ||
	    confine_vmm(m, err) < 0 || spawn_vmm(m, err) < 0)
		return -1;
	if (m->vmm->ready(m->event_fd, API_MS, err) == 0 &&
	    (m->fds.state < 0 ||
		m->vmm->load(m->event_fd, m->vm, &m->fds, err) == 0)) {
		close_fd(&m->fds.state);
		return 0;
	}
	last_words(m, words);
	if (words[0])
		err_set(err, ERR_FAILED, "%s: %s", m->vmm->name, words);
	return -1;
}

int monitor_resume(struct monitor *m, struct err *err)
{
	if (m->vmm->resume(m->event_fd, API_MS, err) < 0)
		return -1;
	event_append(
	    m->events_fd, m->vm->hv.generation, "started", NULL, NULL, -1);
	return 0;
}

void monitor_abort(struct monitor *m)
{
	if (m->pid > 0) {
		proc_pidfd_kill(m->pidfd, SIGKILL);
		waitpid(m->pid, NULL, 0);
	}
	m->pid = 0;
}

int monitor_drop(struct monitor *m, struct err *err)
{
	struct confine c;
	int e;

	/* No landlock here: what is open is all that it needs. */
	if (confine_init(&c, err) < 0)
		return -1;
	confine_limit(&c, RLIMIT_CORE, 0);
	if (m->uid)
		confine_drop(&c, m->uid, m->uid);
	e = confine_enter(&c);
	confine_release(&c);
	if (e)
		return err_sys(err, e, "monitor: give up root");
	/* The VMM has the same uid: it must not trace us. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(err, errno, "monitor: PR_SET_DUMPABLE");
	return 0;
}

/*
 * SIGTERM to the monitor stops the VM: gracefully, then firmly. A guest that
 * is still booting misses the button: it is pressed again.
 */
static void ask_to_stop(struct monitor *m)
{
	struct err err;

	if (!m->kill_at)
		m->kill_at = now_ms() + STOP_MS;
	m->press_at = now_ms() + PRESS_MS;
	if (m->vmm->stop(m->event_fd, &err) < 0)
		m->kill_at = now_ms();
}

static void stop_on_time(struct monitor *m)
{
	if (!m->kill_at)
		return;
	if (now_ms() >= m->kill_at)
		proc_pidfd_kill(m->pidfd, SIGKILL);
	else if (now_ms() >= m->press_at)
		ask_to_stop(m);
}

static int wait_status(struct monitor *m)
{
	int status = 0;

	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Says in `events` why the VM ended; the exit status of `run --wait`. */
static int finish(struct monitor *m)
{
	int status = wait_status(m), code;
	char words[200] = "";

	console_drain(&m->console);
	(void)m->vmm->event(m->event_fd, &m->event_in, &m->reason);
	code =
	    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (!m->reason && WIFSIGNALED(status))
		m->reason = "killed";
	if (!m->reason)
		m->reason = "failed";
	if (!strcmp(m->reason, "failed"))
		last_words(m, words);
	event_append(m->events_fd, m->vm->hv.generation, "ended", m->reason,
	    words, code);
	/* For the document of `start --wait`. */
	m->vm->hv.state = strcmp(m->reason, "failed") ? "stopped" : "error";
	m->vm->hv.stopped_at = (uint64_t)wall_ms();
	m->vm->hv.ended = (struct doc_ended){.reason = m->reason,
	    .detail = words[0] ? xstrdup(words) : NULL,
	    .at = m->vm->hv.stopped_at,
	    .status = (uint64_t)code};
	return strcmp(m->reason, "shutdown") && strcmp(m->reason, "stopped") &&
	       strcmp(m->reason, "hibernated");
}

static int signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Who held the VM paused is done, or gone. */
static void end_hold(struct monitor *m, enum hold_said said)
{
	struct err err;

	if (said == HOLD_BROKEN) {
		if (m->vmm->resume(m->event_fd, API_MS, &err) < 0)
			return;
		event_append(m->events_fd, m->vm->hv.generation, "resumed",
		    "who had paused it died", NULL, -1);
	} else if (said == HOLD_DURABLE) {
		m->reason = "hibernated";
		proc_pidfd_kill(m->pidfd, SIGKILL);
	}
}

static int poll_timeout(const struct monitor *m)
{
	int64_t left;

	if (!m->kill_at)
		return -1;
	left = (m->press_at < m->kill_at ? m->press_at : m->kill_at) - now_ms();
	return left > 0 ? (int)left : 0;
}

int monitor_serve(struct monitor *m)
{
	AUTO_FD int signals = signal_fd();

	for (;;) {
		struct pollfd p[CONSOLE_CLIENTS + 10];
		struct signalfd_siginfo info;
		size_t n = 3 + HOLD_POLLS;

		p[0] = (struct pollfd){m->pidfd, POLLIN, 0};
		p[1] = (struct pollfd){signals, POLLIN, 0};
		p[2] = (struct pollfd){m->event_fd, POLLIN, 0};
		hold_poll(&m->hold, p + 3);
		n += console_poll(&m->console, p + 3 + HOLD_POLLS);
		if (poll(p, n, poll_timeout(m)) < 0 && errno != EINTR)
			break;
		stop_on_time(m);
		if (p[1].revents &&
		    read(signals, &info, sizeof(info)) == sizeof(info) &&
		    !m->kill_at)
			ask_to_stop(m);
		if (p[2].revents &&
		    m->vmm->event(m->event_fd, &m->event_in, &m->reason) < 0)
			close_fd(&m->event_fd);
		end_hold(m, hold_handle(&m->hold, p + 3));
		console_handle(
		    &m->console, p + 3 + HOLD_POLLS, n - 3 - HOLD_POLLS);
		if (p[0].revents)
			break;
	}
	return finish(m);
}
