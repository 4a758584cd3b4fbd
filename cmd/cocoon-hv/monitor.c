/* SPDX-License-Identifier: MIT */
#include "monitor.h"
#include "disks.h"
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "proc.h"

#define API_MS 20000  /* a busy host may take its time */
#define STOP_MS 30000 /* of a SIGTERM to the monitor */
#define END_MS 200    /* from its last answer to its end */
#define PRESS_MS 3000 /* between two presses of the power button */

/* Of the VM, or of the state that it has. */
static int tell(struct monitor *m, struct err *err)
{
	if (m->fds.state >= 0)
		return m->vmm->load(&m->link, m->vm, &m->fds, err) < 0
			   ? -1
			   : monitor_check_files(m, err);
	if (!m->vmm->configure)
		return 0;
	return m->vmm->configure(m->vm, &m->fds, &m->link, API_MS, err);
}

int monitor_begin(struct monitor *m, struct err *err)
{
	char words[200];

	if (monitor_spawn(m, err) < 0)
		return -1;
	if (m->vmm->ready(&m->link, API_MS, err) == 0 && tell(m, err) == 0) {
		close_fd(&m->fds.state);
		for (size_t i = 0; i < m->fds.n_taps; i++)
			close_fd(&m->fds.taps[i]);
		return 0;
	}
	/* One that ends closes its socket before it has ended. */
	if (proc_pidfd_wait(m->link.pidfd, END_MS)) {
		vmm_last_words(m, words);
		if (words[0])
			err_set(err, ERR_FAILED, "%s", words);
	}
	return err_wrap(err, "%s", m->vmm->name);
}

int monitor_resume(struct monitor *m, struct err *err)
{
	if (m->vmm->resume(&m->link, API_MS, err) < 0)
		return err_wrap(err, "%s", m->vmm->name);
	event_append(
	    m->events_fd, m->vm->hv.generation, "started", NULL, NULL, -1);
	return 0;
}

void monitor_abort(struct monitor *m)
{
	if (m->pid > 0) {
		proc_pidfd_kill(m->link.pidfd, SIGKILL);
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
	if (m->vmm->stop(&m->link, &err) < 0)
		m->kill_at = now_ms();
}

static void stop_on_time(struct monitor *m)
{
	if (!m->kill_at)
		return;
	if (now_ms() >= m->kill_at)
		proc_pidfd_kill(m->link.pidfd, SIGKILL);
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
	if (m->vmm->event)
		(void)m->vmm->event(&m->link, &m->reason);
	code =
	    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (!m->reason && m->vmm->reason)
		m->reason = m->vmm->reason(status);
	if (!m->reason && WIFSIGNALED(status))
		m->reason = "killed";
	if (!m->reason)
		m->reason = "failed";
	if (!strcmp(m->reason, "failed"))
		vmm_last_words(m, words);
	event_append(m->events_fd, m->vm->hv.generation, "ended", m->reason,
	    words, code);
	/* For the document of `start --wait`. */
	m->vm->hv.state = live_state_after(m->reason);
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
		if (m->vmm->resume(&m->link, API_MS, &err) < 0)
			return;
		event_append(m->events_fd, m->vm->hv.generation, "resumed",
		    "who had paused it died", NULL, -1);
	} else if (said == HOLD_DURABLE) {
		m->reason = "hibernated";
		proc_pidfd_kill(m->link.pidfd, SIGKILL);
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
		size_t n = 4 + HOLD_POLLS;

		p[0] = (struct pollfd){m->link.pidfd, POLLIN, 0};
		p[1] = (struct pollfd){signals, POLLIN, 0};
		p[2] = (struct pollfd){m->link.events, POLLIN, 0};
		p[3] = (struct pollfd){m->fifo_fd, POLLIN, 0};
		hold_poll(&m->hold, p + 4);
		n += console_poll(&m->console, p + 4 + HOLD_POLLS);
		if (poll(p, n, poll_timeout(m)) < 0 && errno != EINTR)
			break;
		stop_on_time(m);
		if (p[1].revents &&
		    read(signals, &info, sizeof(info)) == sizeof(info) &&
		    !m->kill_at)
			ask_to_stop(m);
		if (p[2].revents && m->vmm->event(&m->link, &m->reason) < 0)
			close_fd(&m->link.events);
		vmm_log_pump(m);
		end_hold(m, hold_handle(&m->hold, p + 4));
		console_handle(
		    &m->console, p + 4 + HOLD_POLLS, n - 4 - HOLD_POLLS);
		if (p[0].revents)
			break;
	}
	return finish(m);
}
