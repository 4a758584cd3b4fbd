/* SPDX-License-Identifier: MIT */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

/* From linux/close_range.h; Debian 12's glibc has the call, too. */
#define CLOEXEC_RANGE (1U << 2)

extern char **environ;

void proc_init(struct proc *p)
{
	*p = (struct proc){
	    .in = -1, .out = -1, .err = -1, .cwd_fd = -1, .netns_fd = -1};
}

void proc_release(struct proc *p)
{
	strv_release(&p->argv);
	strv_release(&p->env);
}

struct child_report {
	int errnum;
	char step[28];
};

static NORETURN void child_fail(int fd, const char *step, int errnum)
{
	struct child_report r = {.errnum = errnum};

	strncpy(r.step, step, sizeof(r.step) - 1);
	if (write(fd, &r, sizeof(r)) < 0)
		_exit(127);
	_exit(127);
}

/* Puts fd at number to, without CLOEXEC. */
static int place(int fd, int to)
{
	if (fd == to)
		return fcntl(fd, F_SETFD, 0);
	return dup2(fd, to) < 0 ? -1 : 0;
}

/* After the fork; fds 0-2 of the request were moved above 2 before it. */
static NORETURN void child(const struct proc *p, const char *path, char **env,
    const int std[3], int report)
{
	sigset_t none;
	int exe = -1, e = 0;

	sigemptyset(&none);
	for (int sig = 1; sig <= 64; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (p->group && setpgid(0, 0) < 0)
		child_fail(report, "setpgid", errno);
	if (p->die_with_us && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_fail(report, "PR_SET_PDEATHSIG", errno);
	for (int i = 0; i < 3; i++)
		if (place(std[i], i) < 0)
			child_fail(report, "dup2", errno);
	if (syscall(SYS_close_range, 3, ~0U, CLOEXEC_RANGE) < 0)
		child_fail(report, "close_range", errno);
	for (size_t i = 0; i < p->n_keep; i++)
		if (fcntl(p->keep[i], F_SETFD, 0) < 0)
			child_fail(report, "F_SETFD", errno);
	if (p->netns_fd >= 0 && setns(p->netns_fd, CLONE_NEWNET) < 0)
		child_fail(report, "setns", errno);
	if (p->cwd_fd >= 0 && fchdir(p->cwd_fd) < 0)
		child_fail(report, "fchdir", errno);
	if (p->confine) {
		exe = open(path, O_PATH | O_CLOEXEC);
		e = p->confine(p->confine_arg);
		if (e)
			child_fail(report, "confine", e);
	}
	execve(path, p->argv.v, env);
	/* Whom it became may not pass the directories above: a clone in /root. */
	e = errno;
	if (e == EACCES && exe >= 0)
		execveat(exe, "", p->argv.v, env, AT_EMPTY_PATH);
	child_fail(report, "exec", e);
}

/* A copy of fd above 2 and CLOEXEC; -1 stands for /dev/null. */
static int high(int fd)
{
	AUTO_FD int null = -1;

	if (fd < 0)
		fd = null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static void merged_env(const struct proc *p, struct strv *out)
{
	for (char **e = environ; !p->clean_env && *e; e++) {
		size_t len = strcspn(*e, "=") + 1;
		bool replaced = false;

		for (size_t i = 0; i < p->env.n; i++)
			replaced |= !strncmp(p->env.v[i], *e, len);
		if (!replaced)
			strv_add(out, *e);
	}
	for (size_t i = 0; i < p->env.n; i++)
		strv_add(out, p->env.v[i]);
	if (!out->v)
		out->v = xcalloc(1, sizeof(*out->v));
}

static int read_report(int fd, const char *prog, struct err *err)
{
	struct child_report r;
	ssize_t n;

	do
		n = read(fd, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(r))
		return 0;
	r.step[sizeof(r.step) - 1] = '\0';
	err_sys(err, r.errnum, "%s %s", r.step, prog);
	if (r.errnum == ENOENT)
		err->code = ERR_UNSUPPORTED;
	return -1;
}

pid_t proc_spawn(struct proc *p, struct err *err)
{
	AUTO_FREE char *path = proc_find(p->argv.v[0]);
	AUTO_STRV struct strv env = {0};
	AUTO_FD int in = -1, out = -1, errfd = -1, rd = -1, wr = -1;
	sigset_t all, old;
	int pipefd[2];
	pid_t pid;

	if (!path)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: not found; is its package installed?", p->argv.v[0]);
	merged_env(p, &env);
	in = high(p->in);
	out = high(p->out);
	errfd = high(p->err < 0 ? STDERR_FILENO : p->err);
	if (in < 0 || out < 0 || errfd < 0 || pipe2(pipefd, O_CLOEXEC) < 0)
		return err_sys(err, errno, "%s: descriptors", p->argv.v[0]);
	rd = pipefd[0];
	wr = fcntl(pipefd[1], F_DUPFD_CLOEXEC, 10);
	close(pipefd[1]);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child(p, path, env.v, (int[]){in, out, errfd}, wr);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return err_sys(err, errno, "fork");
	close_fd(&wr);
	if (read_report(rd, p->argv.v[0], err) < 0) {
		waitpid(pid, NULL, 0);
		return -1;
	}
	return pid;
}

int proc_wait(
    pid_t pid, int timeout_ms, const char *what, int *status, struct err *err)
{
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool late;

	late = pidfd >= 0 && !proc_pidfd_wait(pidfd, timeout_ms);
	if (late)
		kill(pid, SIGKILL); /* our child, not yet waited for */
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "%s: wait", what);
	if (late)
		return err_set(err, ERR_TIMEOUT, "%s: no end within %d ms",
		    what, timeout_ms);
	return 0;
}

struct pump {
	int in, out, err;
	const char *text;
	size_t len;
	struct buf *to, *words;
	size_t cap;
	bool (*stop)(void);
};

/* One read into *to; closes at the end or beyond the cap. */
static void pump_read(int *fd, struct buf *to, size_t cap)
{
	char chunk[8192];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close_fd(fd);
		return;
	}
	if (to->len < cap)
		buf_add(to, chunk,
		    (size_t)n < cap - to->len ? (size_t)n : cap - to->len);
}

static void pump_write(struct pump *p)
{
	/* Blocking, it would wait for a child that waits for us to read. */
	ssize_t n =
	    p->len ? send(p->in, p->text, p->len, MSG_NOSIGNAL | MSG_DONTWAIT)
		   : 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		p->text += n;
		p->len -= (size_t)n;
	}
	if (n < 0 || !p->len)
		close_fd(&p->in);
}

/* Until all three ends are closed; false: by the deadline, or stopped. */
static bool pump(struct pump *p, int64_t until)
{
	int longest = p->stop ? 200 : 60000;
	bool done = true;

	while (p->out >= 0 || p->err >= 0) {
		struct pollfd fds[] = {{p->in, POLLOUT, 0}, {p->out, POLLIN, 0},
		    {p->err, POLLIN, 0}};
		int64_t left = until - now_ms();

		done = left > 0 && !(p->stop && p->stop());
		if (!done)
			break;
		if (poll(fds, 3, left > longest ? longest : (int)left) < 0)
			continue;
		if (fds[0].revents)
			pump_write(p);
		if (fds[1].revents)
			pump_read(&p->out, p->to, p->cap);
		if (fds[2].revents)
			pump_read(&p->err, p->words, 4096);
	}
	close_fd(&p->in);
	close_fd(&p->out);
	close_fd(&p->err);
	return done;
}

/* The last line that is not empty. */
static const char *last_line(struct buf *b)
{
	char *nl;

	while (b->len && strchr("\r\n \t", b->data[b->len - 1]))
		b->data[--b->len] = '\0';
	if (!b->len)
		return "";
	nl = strrchr(b->data, '\n');
	return nl ? nl + 1 : b->data;
}

static int judge(
    const char *prog, int status, struct buf *words, struct err *err)
{
	const char *said = last_line(words);

	if (WIFSIGNALED(status))
		return err_set(err, ERR_FAILED, "%s: killed by signal %d%s%s",
		    prog, WTERMSIG(status), *said ? ": " : "", said);
	if (WEXITSTATUS(status))
		return err_set(err, ERR_FAILED, "%s: exit status %d%s%s", prog,
		    WEXITSTATUS(status), *said ? ": " : "", said);
	return 0;
}

/* Waits for its end without reaping it, so that the number stays its own.
 * True: at the deadline, and the whole group was killed. */
static bool end_group(pid_t pid, int64_t until)
{
	AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int64_t left = until > now_ms() ? until - now_ms() : 0;

	if (until == INT64_MAX)
		left = -1;
	if (until && pidfd >= 0 && proc_pidfd_wait(pidfd, (int)left))
		return false;
	kill(-pid, SIGKILL);
	return true;
}

int proc_run(struct proc *p, const char *in_text, size_t in_len,
    struct buf *out, size_t cap, int timeout_ms, struct err *err)
{
	AUTO_BUF struct buf words = {0}, none = {0};
	AUTO_FD int in = -1, o = -1, e = -1;
	int a[2] = {-1, -1}, b[2] = {-1, -1}, c[2] = {-1, -1}, status, r;
	bool late;
	int64_t until = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
	struct pump pm = {.text = in_text,
	    .len = in_len,
	    .words = p->said ? p->said : &words,
	    .stop = p->stop,
	    .to = out ? out : &none,
	    .cap = out ? out->len + cap : 0};
	const char *prog = p->argv.v[0];
	pid_t pid;

	/* A socket for stdin: a reader gone is an error code, no signal. */
	if ((in_text &&
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a) < 0) ||
	    pipe2(b, O_CLOEXEC) < 0 || pipe2(c, O_CLOEXEC) < 0)
		return err_sys(err, errno, "%s: pipes", prog);
	in = a[0];
	o = b[1];
	e = c[1];
	pm.in = a[1];
	pm.out = b[0];
	pm.err = c[0];
	if (in_text)
		p->in = in;
	p->out = o;
	p->err = e;
	pid = proc_spawn(p, err);
	close_fd(&in);
	close_fd(&o);
	close_fd(&e);
	if (pid < 0) {
		close_fd(&pm.in);
		close_fd(&pm.out);
		close_fd(&pm.err);
		return -1;
	}
	late = !pump(&pm, until);
	if (p->group)
		late |= end_group(pid, late ? 0 : until);
	r = proc_wait(pid,
	    timeout_ms < 0 ? -1
			   : (int)(until > now_ms() ? until - now_ms() : 0),
	    prog, &status, err);
	if (late && p->stop && p->stop())
		return err_set(err, ERR_FAILED, "%s: interrupted", prog);
	/* Also if what it has started kept its stdout open. */
	if (late && p->group)
		return err_set(err, ERR_TIMEOUT, "%s: no end within %d ms",
		    prog, timeout_ms);
	return r < 0 ? -1 : judge(prog, status, pm.words, err);
}
