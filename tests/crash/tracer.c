/* SPDX-License-Identifier: MIT */
/*
 * tracer BIN LOG [PROGRAM CALL N] -- COMMAND...
 *
 * Runs a command and all that it starts under ptrace(2) and numbers the calls
 * that change something: the N-th CALL of PROGRAM. Without a point, LOG gets
 * a line "PROGRAM CALL N WHAT" for each; with one, the process that is about to
 * make this call is killed instead (LOG: "killed"), once, and everything else
 * goes on. strace --inject counts for every process by itself, and so kills
 * several of a pipeline or the wrong one; here a program is known by its name
 * and verb, "cocoon-hv-create", and "cocoon-hv-create+" is what that forked.
 * Programs outside BIN have one point, "start": their inner life is their own.
 */
#include "tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TASKS 512
#define MAX_COUNTS 2048

struct task {
	pid_t pid;
	char program[64];
	bool ours; /* its calls are points */
};

static struct task tasks[MAX_TASKS];
static struct {
	char key[96];
	int n;
} counts[MAX_COUNTS];
static const char *bin, *kill_program, *kill_call;
static int kill_n;
static FILE *log_file;
static bool killed;

static void die(const char *what)
{
	perror(what);
	exit(125);
}

static struct task *find(pid_t pid)
{
	for (int i = 0; i < MAX_TASKS; i++)
		if (tasks[i].pid == pid)
			return &tasks[i];
	return NULL;
}

/* A number in /proc/PID/status. */
static pid_t status_of(pid_t pid, const char *field)
{
	char path[40], line[128];
	int value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			value = atoi(line + strlen(field));
	if (f)
		fclose(f);
	return value;
}

/* A process seen for the first time is what its parent is, forked. */
static struct task *task_of(pid_t pid)
{
	struct task *t = find(pid), *from;
	pid_t group;

	if (t)
		return t;
	t = find(0);
	if (!t)
		exit(125);
	*t = (struct task){.pid = pid};
	group = status_of(pid, "Tgid:");
	from = find(group != pid ? group : status_of(pid, "PPid:"));
	if (from && from != t) {
		snprintf(t->program, sizeof(t->program), "%.62s%s",
		    from->program, group != pid ? "" : "+");
		t->ours = from->ours;
	}
	return t;
}

/* The words of a command line, NUL behind each; at most n of them. */
static void read_words(
    pid_t pid, char *text, size_t size, const char **word, int n)
{
	char path[40];
	ssize_t got = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, text, size - 1);
		close(fd);
	}
	text[got > 0 ? got : 0] = '\0';
	for (ssize_t at = 0; n > 0 && at < got; n--) {
		*word++ = text + at;
		at += (ssize_t)strlen(text + at) + 1;
	}
}

/* After an exec: "TOOL-VERB" of a program in BIN, a script's by its name. */
static void name_task(struct task *t)
{
	char path[40], exe[PATH_MAX] = "", text[1024];
	const char *word[3] = {"", "", ""}, *program = exe, *verb;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	read_words(t->pid, text, sizeof(text), word, 3);
	verb = word[1];
	if (strchr(word[1], '/') && !strncmp(word[1], bin, strlen(bin))) {
		program = word[1];
		verb = word[2];
	}
	t->ours = !strncmp(program, bin, strlen(bin));
	if (!t->ours || verb[0] < 'a' || verb[0] > 'z')
		verb = "";
	snprintf(t->program, sizeof(t->program), "%.40s%s%.20s",
	    path_base(program), verb[0] ? "-" : "", verb);
}

/* True if the process is to be killed here. */
static bool point(const struct task *t, const char *call, const char *what)
{
	char key[96];
	int i = 0;

	snprintf(key, sizeof(key), "%s %s", t->program, call);
	while (i < MAX_COUNTS && counts[i].n && strcmp(counts[i].key, key))
		i++;
	if (i == MAX_COUNTS)
		return false;
	if (!counts[i].n)
		strcpy(counts[i].key, key);
	counts[i].n++;
	if (!kill_program) {
		fprintf(log_file, "%s %d %s\n", key, counts[i].n, what);
		return false;
	}
	if (killed || counts[i].n != kill_n || strcmp(call, kill_call) ||
	    strcmp(t->program, kill_program))
		return false;
	killed = true;
	fprintf(log_file, "killed\n");
	fflush(log_file);
	return true;
}

static void at_syscall(struct task *t)
{
	struct __ptrace_syscall_info s = {0};
	char what[PATH_MAX];
	const char *call;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(s), &s) < 0 ||
	    s.op != PTRACE_SYSCALL_INFO_ENTRY || !t->ours)
		return;
	call = changing_call(t->pid, &s, what, sizeof(what));
	if (call && point(t, call, what))
		kill(t->pid, SIGKILL);
}

/* One stop of one task; how it goes on. */
static void at_stop(pid_t pid, int status)
{
	struct task *t = task_of(pid);
	int sig = WSTOPSIG(status), event = status >> 16;
	enum __ptrace_request go = PTRACE_SYSCALL;

	if (event == PTRACE_EVENT_EXEC) {
		name_task(t);
		if (!t->ours && point(t, "start", ""))
			kill(pid, SIGKILL);
		sig = 0;
	} else if (event == PTRACE_EVENT_STOP) {
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN ||
		    sig == SIGTTOU)
			go = PTRACE_LISTEN;
		sig = 0;
	} else if (event) {
		sig = 0;
	} else if (sig == (SIGTRAP | 0x80)) {
		at_syscall(t);
		sig = 0;
	}
	if (go == PTRACE_SYSCALL && !t->ours)
		go = PTRACE_CONT;
	ptrace(go, pid, 0, sig);
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		raise(SIGSTOP);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (pid < 0 || waitpid(pid, NULL, WUNTRACED) != pid)
		die("fork");
	if (ptrace(PTRACE_SEIZE, pid, 0,
		PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
		    PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		    PTRACE_O_TRACEEXEC) < 0)
		die("ptrace");
	tasks[0] = (struct task){.pid = pid, .program = "command"};
	kill(pid, SIGCONT);
	return pid;
}

/* Until the command ends; what it left running is let go by our exit. */
static int follow(pid_t root)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);
		struct task *t;

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			die("wait");
		if (WIFSTOPPED(status)) {
			at_stop(pid, status);
			continue;
		}
		t = find(pid);
		if (t)
			t->pid = 0;
		if (pid == root)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : 128 + WTERMSIG(status);
	}
}

int main(int argc, char **argv)
{
	int at = 3, status;

	if (argc > 7 && strcmp(argv[3], "--") != 0) {
		kill_program = argv[3];
		kill_call = argv[4];
		kill_n = atoi(argv[5]);
		at = 6;
	}
	if (argc < at + 2 || strcmp(argv[at], "--") != 0) {
		fprintf(stderr, "usage: tracer BIN LOG [PROGRAM CALL N] -- "
				"COMMAND...\n");
		return 125;
	}
	bin = argv[1];
	log_file = fopen(argv[2], "we");
	if (!log_file)
		die(argv[2]);
	status = follow(start(argv + at + 1));
	fclose(log_file);
	return status;
}
