/* SPDX-License-Identifier: MIT */
/*
 * Spawning. The program is resolved before the fork, the child makes only
 * async-signal-safe calls, reports {step, errno} through a pipe, and inherits
 * nothing but fds 0-2 and what is listed.
 */
#ifndef COCOON_PROC_H
#define COCOON_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"

struct proc {
	struct strv argv; /* argv[0] is looked up in PATH, or a path */
	struct strv env;  /* "NAME=VALUE", added to the environment */
	int in, out, err; /* fds for 0-2; -1: /dev/null (err: inherited) */
	int keep[160];    /* fds passed on under their own numbers */
	size_t n_keep;
	int cwd_fd;       /* -1: unchanged */
	int netns_fd;     /* -1: unchanged */
	bool die_with_us; /* PR_SET_PDEATHSIG */
	bool clean_env;   /* nothing but env */
	bool group;       /* a process group of its own, which proc_run ends */
	/* proc_run: what it kept of stderr, also of a success. */
	struct buf *said;
	/* proc_run, with group: asked now and then; true ends it. */
	bool (*stop)(void);
	/* Last thing before exec, in the child: 0 or an errno. */
	int (*confine)(void *arg);
	void *confine_arg;
};

/* What every struct proc is initialised to. */
#define PROC_NONE                                                            \
	{                                                                    \
		.in = -1, .out = -1, .err = -1, .cwd_fd = -1, .netns_fd = -1 \
	}
void proc_init(struct proc *p);
void proc_release(struct proc *p);
#define AUTO_PROC CLEANUP(proc_release)

/* Starts it; returns the pid, or -1 ("exec qemu-img: No such file ..."). */
pid_t proc_spawn(struct proc *p, struct err *err);
/*
 * Waits until the deadline (ms from now, -1: none), then SIGKILL. *status is
 * the wait status. ERR_TIMEOUT when it had to be killed.
 */
int proc_wait(
    pid_t pid, int timeout_ms, const char *what, int *status, struct err *err);
/*
 * Spawns, feeds in_text (may be NULL) to its stdin, collects at most cap
 * bytes of stdout in *out (may be NULL: /dev/null) and of stderr for the
 * message, waits. A status other than 0 is an error that quotes stderr's
 * last line. At the deadline the process is killed, with `group` whatever it
 * has started, too.
 */
int proc_run(struct proc *p, const char *in_text, size_t in_len,
    struct buf *out, size_t cap, int timeout_ms, struct err *err);

/* The absolute path of a program in PATH (or /usr/sbin, /sbin); NULL. */
char *proc_find(const char *name);
/* The path of a helper: COCOON_LIBEXEC, else beside this executable in the
 * build tree, else $libexecdir/cocoon/NAME. Never NULL. */
char *proc_helper(const char *name);

/* The start time of a process, clock ticks since boot (proc(5) stat field
 * 22); 0 if there is none. */
unsigned long long proc_start_time(pid_t pid);
/* The boot id of this kernel, 36 characters. */
const char *proc_boot_id(void);
/* A pidfd of pid if its start time is still the given one; else -1. */
int proc_pidfd(pid_t pid, unsigned long long start_time);
int proc_pidfd_kill(int pidfd, int sig);
/* True when the process ended within timeout_ms (-1: for ever). */
bool proc_pidfd_wait(int pidfd, int timeout_ms);

#endif
