/* SPDX-License-Identifier: MIT */
/* Also its own helper: `test_proc --fds` lists the descriptors it has. */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "scratch.h"
#include "tap.h"

static char self[PATH_MAX];

static int list_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *de;
	bool open[256] = {false};

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && atoi(de->d_name) < 256 &&
		    atoi(de->d_name) != dirfd(d))
			open[atoi(de->d_name)] = true;
	if (d)
		closedir(d);
	for (int i = 0; i < 256; i++)
		if (open[i])
			printf("%d ", i);
	return 0;
}

/* sh -c SCRIPT. */
static void sh(struct proc *p, const char *script)
{
	proc_init(p);
	strv_add(&p->argv, "sh");
	strv_add(&p->argv, "-c");
	strv_add(&p->argv, script);
}

static int run_sh(const char *script, const char *in, struct buf *out,
    int timeout_ms, struct err *err)
{
	AUTO_PROC struct proc p;

	sh(&p, script);
	return proc_run(
	    &p, in, in ? strlen(in) : 0, out, 1 << 20, timeout_ms, err);
}

static void missing(void)
{
	AUTO_PROC struct proc p, q;
	struct err err = {0};

	proc_init(&p);
	strv_add(&p.argv, "cocoon-no-such-program");
	is_int(proc_spawn(&p, &err), -1, "no such program");
	is_int(err.code, ERR_UNSUPPORTED, "code");
	is_str(err.msg,
	    "cocoon-no-such-program: not found; is its package installed?",
	    "message");
	put_file("unit-script", "#!/no/such/interpreter\n");
	chmod("unit-script", 0700);
	proc_init(&q);
	strv_add(&q.argv, "./unit-script");
	is_int(proc_spawn(&q, &err), -1, "no such interpreter");
	is_str(err.msg, "exec ./unit-script: No such file or directory",
	    "message");
	is_int(waitpid(-1, NULL, WNOHANG), -1, "no child is left");
	is_int(errno, ECHILD, "no zombie either");
}

static void results(void)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	is_int(run_sh("cat; echo two >&2", "one", &out, 10000, &err), 0, "run");
	is_str(out.data, "one", "stdout only");
	is_int(run_sh("echo a >&2; echo 'the reason ' >&2; exit 3", NULL, NULL,
		   10000, &err),
	    -1, "a status");
	is_str(err.msg, "sh: exit status 3: the reason", "quotes stderr's end");
	is_int(run_sh("kill -9 $$", NULL, NULL, 10000, &err), -1, "a signal");
	is_str(err.msg, "sh: killed by signal 9", "is named");
	is_int(run_sh("exec <&-; exit 0", "not read", NULL, 10000, &err), 0,
	    "a reader that does not read is no error");
	is_int(run_sh("cat", "", &out, 10000, &err), 0, "empty input ends");
	is_int(run_sh("read x; exit 7", NULL, NULL, 10000, &err), -1,
	    "no input: /dev/null");
}

/* Both directions at once, more than any pipe or socket holds. */
static void both_ways(void)
{
	AUTO_BUF struct buf in = {0}, out = {0};
	AUTO_PROC struct proc p;
	struct err err = {0};

	for (int i = 0; in.len < 3000000; i++)
		buf_addf(&in, "line %d\n", i);
	/* Writes a megabyte before it reads, then gives back what it got. */
	sh(&p, "head -c 1000000 /dev/zero | tr '\\0' x; cat");
	is_int(proc_run(&p, in.data, in.len, &out, 8 << 20, 60000, &err), 0,
	    "megabytes both ways: %s", err.msg);
	is_int(out.len, in.len + 1000000, "all of it came back");
	ok(out.len > 1000000 && !strcmp(out.data + 1000000, in.data),
	    "unchanged");
}

static void caps(void)
{
	AUTO_BUF struct buf out = {0};
	AUTO_PROC struct proc p;
	struct err err = {0};

	sh(&p, "head -c 300000 /dev/zero | tr '\\0' x");
	is_int(proc_run(&p, NULL, 0, &out, 10000, 60000, &err), 0,
	    "more than the cap does not block: %s", err.msg);
	is_int(out.len, 10000, "at most the cap");
}

static void timeouts(void)
{
	AUTO_PROC struct proc p;
	struct err err = {0};
	int status = 0;
	pid_t pid;

	is_int(run_sh("exec sleep 600", NULL, NULL, 50, &err), -1, "timeout");
	is_int(err.code, ERR_TIMEOUT, "code");
	sh(&p, "exec sleep 600");
	pid = proc_spawn(&p, &err);
	is_int(proc_wait(pid, 50, "sleep", &status, &err), -1, "wait: timeout");
	is_int(err.code, ERR_TIMEOUT, "code");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "was killed");
	is_int(kill(pid, 0), -1, "is gone");
}

static int refuse(void *arg)
{
	return *(int *)arg;
}

static int become_nice(void *arg)
{
	return setenv(arg, "by the hook", 1) ? errno : 0;
}

static void hooks(void)
{
	AUTO_PROC struct proc p, q;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	int e = EPERM;
	char name[] = "HOOK";

	sh(&p, "true");
	p.confine = refuse;
	p.confine_arg = &e;
	is_int(proc_spawn(&p, &err), -1, "a hook that fails");
	is_str(err.msg, "confine sh: Operation not permitted", "message");
	is_int(err.code, ERR_UNSUPPORTED, "code");
	sh(&q, "echo ran");
	q.confine = become_nice;
	q.confine_arg = name;
	is_int(proc_run(&q, NULL, 0, &out, 100, 10000, &err), 0, "a hook");
	is_str(out.data, "ran\n", "then the program");
}

static void environments(void)
{
	AUTO_PROC struct proc p, q;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	setenv("UNIT_A", "old", 1);
	setenv("UNIT_AB", "longer name", 1);
	sh(&p, "echo $UNIT_A,$UNIT_AB,$UNIT_C");
	strv_add(&p.env, "UNIT_A=new");
	strv_add(&p.env, "UNIT_C=c");
	proc_run(&p, NULL, 0, &out, 100, 10000, &err);
	is_str(out.data, "new,longer name,c\n", "added and replaced");
	buf_release(&out);
	proc_init(&q);
	q.clean_env = true;
	strv_add(&q.argv, "env");
	strv_add(&q.env, "ONLY=this");
	proc_run(&q, NULL, 0, &out, 4096, 10000, &err);
	is_str(out.data, "ONLY=this\n", "nothing but what was given");
}

/* Descriptors that are not CLOEXEC, as a careless library would open them. */
static void descriptors(void)
{
	AUTO_PROC struct proc p;
	AUTO_BUF struct buf out = {0};
	AUTO_FREE char *want = NULL;
	struct err err = {0};
	int leak = dup(0), kept = dup(0), high = fcntl(0, F_DUPFD, 200);

	proc_init(&p);
	strv_add(&p.argv, self);
	strv_add(&p.argv, "--fds");
	p.keep[p.n_keep++] = kept;
	want = xasprintf("0 1 2 %d ", kept);
	is_int(
	    proc_run(&p, NULL, 0, &out, 4096, 20000, &err), 0, "%s", err.msg);
	is_str(out.data, want, "0-2 and what was kept");
	close(leak);
	close(kept);
	close(high);
}

static void signals(void)
{
	AUTO_PROC struct proc p;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	unsigned long long blocked = 1, ignored = 1;
	sigset_t some;

	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigprocmask(SIG_BLOCK, &some, NULL);
	signal(SIGPIPE, SIG_IGN);
	sh(&p, "grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2");
	proc_run(&p, NULL, 0, &out, 400, 10000, &err);
	/* 32 and 33 are the C library's: it lets nobody change them. */
	ok(sscanf(out.data, "%llx %llx", &blocked, &ignored) == 2 &&
		!(blocked & ~(3ULL << 31)) && !(ignored & ~(3ULL << 31)),
	    "nothing blocked, nothing ignored");
	sigprocmask(SIG_UNBLOCK, &some, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static void identity(void)
{
	AUTO_PROC struct proc p;
	struct err err = {0};
	unsigned long long start;
	int status;
	pid_t pid;

	sh(&p, "exec sleep 600");
	pid = proc_spawn(&p, &err);
	start = proc_start_time(pid);
	ok(start > 0, "start time");
	AUTO_FD int fd = proc_pidfd(pid, start);
	ok(fd >= 0, "pidfd of the same process");
	is_int(proc_pidfd(pid, start + 1), -1, "none of another");
	is_int(proc_pidfd(0, 0), -1, "none of pid 0");
	ok(!proc_pidfd_wait(fd, 0), "it runs");
	is_int(proc_pidfd_kill(fd, SIGKILL), 0, "kill");
	ok(proc_pidfd_wait(fd, -1), "it ended");
	waitpid(pid, &status, 0);
	is_int(proc_pidfd_kill(fd, 0), -1, "gone");
	is_int(proc_start_time(pid), 0, "no start time any more");
	is_int(strlen(proc_boot_id()), 36, "boot id");
}

static void finding(void)
{
	AUTO_FREE char *helper = NULL, *found = proc_find("sh");
	AUTO_FREE char *none = proc_find("unit-script"), *odd = NULL;

	ok(found && found[0] == '/', "sh is at %s", found);
	ok(!none, "the current directory is not searched");
	setenv("PATH", ":.:", 1);
	odd = proc_find("unit-script");
	ok(!odd, "not for an empty or relative PATH either");
	setenv("COCOON_LIBEXEC", "/le", 1);
	helper = proc_helper("seed");
	is_str(helper, "/le/seed", "COCOON_LIBEXEC");
}

static bool at_once(void)
{
	return true;
}

/* What the process has started holds its stdout: both end together. */
static void groups(void)
{
	AUTO_PROC struct proc p, q, r;
	AUTO_BUF struct buf out = {0}, said = {0};
	struct err err = {0};
	int pid;

	sh(&p, "sleep 1000 & echo $!");
	p.group = true;
	is_int(proc_run(&p, NULL, 0, &out, 100, 300, &err), -1, "too late");
	is_int(err.code, ERR_TIMEOUT, "%s", err.msg);
	pid = out.data ? atoi(out.data) : 0;
	ok(pid > 1, "the other's pid");
	for (int i = 0; i < 1000 && proc_start_time(pid); i++)
		sleep_ms(10);
	ok(pid > 1 && !proc_start_time(pid), "it is gone, too");
	sh(&q, "echo aside >&2");
	q.group = true;
	q.said = &said;
	is_int(proc_run(&q, NULL, 0, NULL, 0, 60000, &err), 0, "in time");
	is_str(said.data, "aside", "stderr of a success");
	sh(&r, "sleep 1000");
	r.group = true;
	r.stop = at_once;
	is_int(proc_run(&r, NULL, 0, NULL, 0, 600000, &err), -1, "stopped");
	is_str(err.msg, "sh: interrupted", "and told so");
}

int main(int argc, char **argv)
{
	ssize_t n;

	if (argc > 1 && !strcmp(argv[1], "--fds"))
		return list_fds();
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	close(scratch());
	missing();
	results();
	both_ways();
	caps();
	timeouts();
	hooks();
	environments();
	descriptors();
	signals();
	identity();
	groups();
	finding();
	return done();
}
