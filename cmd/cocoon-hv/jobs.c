/* SPDX-License-Identifier: MIT */
/*
 * The processes in which VMs come to run, as who asked for them sees them:
 * several at a time, handed on in the order in which their documents came.
 */
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

#define MAX_JOBS 16

/* In the order in which their documents came. */
static struct running_job {
	pid_t pid;
	int fd;    /* -1: it has said all that it had to */
	bool told; /* to commit */
	bool died; /* without a word */
	struct err err;
	char *text; /* the document */
	struct json_object *doc;
	const struct launch_job *job;
} jobs[MAX_JOBS];
static size_t n_jobs;
static int jobs_fd = -1; /* epoll(7): any of them */

/* As many as can be at work at once, and one that waits. */
static size_t most_jobs(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 || cpus >= MAX_JOBS ? MAX_JOBS : (size_t)cpus + 1;
}

/* Nothing of the caller's stays open in a process that stays, but its errors
 * until the VM runs, and the lock that the dispatcher has handed down. */
static void drop_inherited(int *link)
{
	const char *v = getenv("COCOON_LOCK_FD");
	int lock = v ? atoi(v) : -1, null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
	if (lock == 3 || dup2(*link, 3) < 0)
		*link = dup2(*link, 4);
	else
		*link = 3;
	for (int fd = 3, last = *link > lock ? *link : lock; fd <= last; fd++)
		if (fd != *link && fd != lock)
			close(fd);
	close_range((unsigned int)(*link > lock ? *link : lock) + 1, ~0U, 0);
	fcntl(*link, F_SETFD, FD_CLOEXEC);
}

int launch_report(int fd, const struct report *r, const char *text)
{
	if (send(fd, r, sizeof(*r), MSG_NOSIGNAL) != sizeof(*r))
		return -1;
	return r->text_len ? write_all(fd, text, r->text_len) : 0;
}

/* How it ends where all is well: with the document. */
int launch_document(int fd, const struct buf *text)
{
	struct report r = {{0}, false, text->len};

	return launch_report(fd, &r, text->data);
}

void launch_nothing(struct launch *l, const struct json_object *doc)
{
	AUTO_BUF struct buf text = {0};

	jval_print(doc, &text);
	_exit(launch_document(l->fd, &text) < 0);
}

static NORETURN void run_job(
    const struct launch_job *job, struct json_object *doc, int fd)
{
	struct launch l = {fd};
	struct report r = {{0}, false, 0};

	/* A signal for all of the terminal's processes is not for us: who
	 * asked passes it on for as long as there is something to undo. */
	setsid();
	drop_inherited(&l.fd);
	job->run(&l, doc, &r.err);
	if (r.err.code == ERR_NONE)
		err_set(&r.err, ERR_FAILED, "nothing was started");
	_exit(launch_report(l.fd, &r, NULL) < 0 ? 1 : 0);
}

static int watch_job(struct running_job *j, struct err *err)
{
	struct epoll_event e = {.events = EPOLLIN};

	if (jobs_fd < 0)
		jobs_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(jobs_fd, EPOLL_CTL_ADD, j->fd, &e) < 0)
		return err_sys(err, errno, "epoll");
	return 0;
}

static pid_t fork_job(struct err *err)
{
	pid_t pid = fork();

	return pid < 0 ? err_sys(err, errno, "fork") : pid;
}

int launch_start(struct call *call, struct json_object *doc,
    const struct launch_job *job, struct err *err)
{
	struct running_job *j;
	int sv[2];

	while (n_jobs == most_jobs())
		launch_later(call);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(err, errno, "socketpair");
	j = &jobs[n_jobs];
	*j =
	    (struct running_job){.fd = sv[0], .doc = jval_ref(doc), .job = job};
	j->pid = watch_job(j, err) < 0 ? -1 : fork_job(err);
	if (j->pid == 0)
		run_job(job, doc, sv[1]);
	close(sv[1]);
	if (j->pid < 0) {
		close(sv[0]);
		jval_put(j->doc);
		return -1;
	}
	n_jobs++;
	return TOOL_LATER;
}

int launch_later_fd(const struct call *call)
{
	(void)call;
	return n_jobs ? jobs_fd : -1;
}

/* Those that have committed nothing give up. */
static void interrupt_jobs(void)
{
	for (size_t i = 0; i < n_jobs; i++) {
		if (jobs[i].told || jobs[i].fd < 0)
			continue;
		kill(jobs[i].pid, SIGTERM);
		/* It may look for a byte next, and not at the signal. */
		shutdown(jobs[i].fd, SHUT_WR);
	}
}

static int receive(int fd, void *data, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, (char *)data + got, len - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		got += (size_t)n;
	}
	return 0;
}

/* What it has to say; it waits for our word where its VM is loaded. */
static void hear_job(struct running_job *j)
{
	struct report r;

	if (receive(j->fd, &r, sizeof(r)) < 0) {
		j->died = true;
	} else if (r.loaded) {
		j->told = !tool_interrupted() &&
			  send(j->fd, "c", 1, MSG_NOSIGNAL) == 1;
		return;
	} else {
		j->err = r.err;
		j->text = r.text_len ? xcalloc(1, r.text_len + 1) : NULL;
		j->died = r.text_len && receive(j->fd, j->text, r.text_len) < 0;
	}
	close_fd(&j->fd);
}

static void end_job(struct call *call)
{
	struct running_job j = jobs[0];

	memmove(jobs, jobs + 1, --n_jobs * sizeof(*jobs));
	if (j.died)
		err_set(&j.err, ERR_FAILED, "the monitor died");
	if (j.err.code != ERR_NONE) {
		waitpid(j.pid, NULL, 0);
		if (j.job->failed)
			j.job->failed(call, j.doc, j.died);
	} else {
		jval_put(j.doc);
		j.doc = jval_parse(j.text, strlen(j.text), &j.err);
		if (j.job->done)
			j.job->done(jval_str(jval_get(j.doc, "vm"), "id"));
	}
	tool_done(call, j.doc, &j.err);
	free(j.text);
	jval_put(j.doc);
}

void launch_later(struct call *call)
{
	struct pollfd p[MAX_JOBS];
	size_t n = n_jobs;

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){jobs[i].fd, POLLIN, 0};
	if (tool_interrupted())
		interrupt_jobs();
	if (jobs[0].fd >= 0 && poll(p, n, -1) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (jobs[i].fd >= 0 && p[i].revents)
			hear_job(&jobs[i]);
	while (n_jobs && jobs[0].fd < 0)
		end_job(call);
}
