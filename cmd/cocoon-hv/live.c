/* SPDX-License-Identifier: MIT */
/*
 * Liveness. live.N is locked by an OFD lock that the VMM inherits through
 * exec, so it ends with the VMM and nothing else; run.N names the process.
 * Dead = unlocked and run.N's process gone (a VMM may unlock what it
 * inherits). Asking takes nothing.
 */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"
#include "log.h"
#include "proc.h"

static bool is_locked(int vm_fd, const char *name)
{
	AUTO_FD int fd = openat(vm_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct flock ask = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &ask) == 0 &&
	       ask.l_type != F_UNLCK;
}

/* run.N: "PID START UID BOOT-ID". */
static void read_run(int vm_fd, const char *name, struct live *l)
{
	AUTO_FD int fd = openat(vm_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[128], boot[40];
	unsigned int uid;
	ssize_t n;
	int pid;

	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%d %llu %u %39s", &pid, &l->start_time, &uid, boot) !=
		4 ||
	    strcmp(boot, proc_boot_id()))
		return;
	l->pid = pid;
	l->uid = uid;
}

struct live live_check(int vm_fd, uint64_t n)
{
	struct live l = {0};
	char name[32];

	snprintf(name, sizeof(name), "run.%llu", (unsigned long long)n);
	read_run(vm_fd, name, &l);
	snprintf(name, sizeof(name), "live.%llu", (unsigned long long)n);
	l.alive = is_locked(vm_fd, name);
	if (l.pid && proc_start_time(l.pid) == l.start_time)
		l.alive = true;
	else
		l.pid = 0;
	return l;
}

int live_pidfd(const struct live *l)
{
	return l->pid ? proc_pidfd(l->pid, l->start_time) : -1;
}

int live_lock(int vm_fd, uint64_t n, struct err *err)
{
	AUTO_FD int fd = -1;
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char name[32];

	snprintf(name, sizeof(name), "live.%llu", (unsigned long long)n);
	fd = openat(
	    vm_fd, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return err_sys(err, errno, "%s: lock", name);
	return take_fd(&fd);
}

int live_write_run(int vm_fd, uint64_t n, uid_t uid, const char *boot_id)
{
	char name[32], text[128];
	pid_t pid = getpid();
	struct err err;

	snprintf(name, sizeof(name), "run.%llu", (unsigned long long)n);
	snprintf(text, sizeof(text), "%d %llu %u %s\n", (int)pid,
	    proc_start_time(pid), (unsigned int)uid, boot_id);
	if (file_replace(vm_fd, name, text, strlen(text), false, &err) < 0)
		return err.sys ? err.sys : EIO;
	return 0;
}

bool live_kill(const struct live *l, int grace_ms)
{
	AUTO_FD int pidfd = live_pidfd(l);

	if (pidfd < 0)
		return true;
	if (grace_ms > 0) {
		proc_pidfd_kill(pidfd, SIGTERM);
		if (proc_pidfd_wait(pidfd, grace_ms))
			return true;
	}
	proc_pidfd_kill(pidfd, SIGKILL);
	return proc_pidfd_wait(pidfd, 5000);
}

int live_kill_others(int vm_fd, uint64_t except, struct err *err)
{
	int dup = openat(vm_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dup >= 0 ? fdopendir(dup) : NULL;
	struct dirent *de;
	int r = 0;

	if (!d) {
		close_fd(&dup);
		return err_sys(err, errno, "open a VM's directory");
	}
	while ((de = readdir(d))) {
		unsigned long long n;
		struct live l;
		char end;

		if (sscanf(de->d_name, "run.%llu%c", &n, &end) != 1 ||
		    n == except)
			continue;
		l = live_check(vm_fd, n);
		if (l.alive && !live_kill(&l, 0))
			r = err_set(err, ERR_TIMEOUT,
			    "VMM %d of generation %llu does not end",
			    (int)l.pid, n);
	}
	closedir(d);
	return r;
}

/* The monitor listens on console.sock as long as it lives. */
static bool is_attended(const struct vm *vm)
{
	struct err ignored;
	AUTO_FD int fd = socket_connect(vm->fd, "console.sock", &ignored);

	return fd >= 0;
}

const char *live_state_after(const char *reason)
{
	if (!strcmp(reason, "hibernated"))
		return "hibernated";
	return strcmp(reason, "failed") ? "stopped" : "error";
}

const char *live_state(int vm_fd, const struct live *l,
    const struct doc_hv *recorded, struct doc_ended *ended,
    struct json_object **keep)
{
	*ended = (struct doc_ended){0};
	if (l->alive)
		return recorded->paused ? "paused" : "running";
	if (!recorded->started_at)
		return "created";
	event_last(vm_fd, recorded->generation, ended, keep);
	/* Of an earlier run, if this one's end was not witnessed. */
	if (!ended->reason || ended->at < recorded->started_at) {
		*ended = (struct doc_ended){.reason = "unknown"};
		return "stopped";
	}
	return live_state_after(ended->reason);
}

void live_derive(struct vm *vm)
{
	struct live l = live_check(vm->fd, vm->hv.generation);
	struct json_object *keep = NULL;
	struct doc_ended ended;

	vm->hv.state = live_state(vm->fd, &l, &vm->hv, &ended, &keep);
	vm->hv.ended = ended;
	vm->hv.paused = l.alive && vm->hv.paused;
	vm->hv.pid = l.alive ? (uint64_t)l.pid : 0;
	vm->hv.uid = l.alive ? l.uid : 0;
	vm->hv.unattended = l.alive && !is_attended(vm);
	if (ended.reason)
		vm->hv.stopped_at = ended.at;
	doc_put(vm->doc, "hv", &doc_hv_table, &vm->hv);
	jval_put(keep);
	/* Strings of *keep are gone: take the document's. */
	struct err ignored;
	doc_bind(vm->doc, "hv", &doc_hv_table, &vm->hv, &ignored);
}
