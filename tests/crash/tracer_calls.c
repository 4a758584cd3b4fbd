/* SPDX-License-Identifier: MIT */
/* Which calls of a process change something, so that it may be killed there. */
#include "tracer.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Calls that change something whatever their arguments are. */
static const struct {
	long nr;
	const char *name;
} always[] = {
#define C(name)                   \
	{                         \
		SYS_##name, #name \
	}
    C(mkdir),
    C(mkdirat),
    C(rmdir),
    C(rename),
    C(renameat),
    C(renameat2),
    C(link),
    C(linkat),
    C(symlink),
    C(symlinkat),
    C(unlink),
    C(unlinkat),
    C(mknodat),
    C(truncate),
    C(ftruncate),
    C(fallocate),
    C(chmod),
    C(fchmod),
    C(fchmodat),
    C(chown),
    C(fchown),
    C(fchownat),
    C(lchown),
    C(setxattr),
    C(fsetxattr),
    C(lsetxattr),
    C(copy_file_range),
    C(sendfile),
    C(sendto),
    C(sendmsg),
    C(bind),
    C(connect),
    C(listen),
    C(setns),
    C(unshare),
    C(mount),
    C(umount2),
    C(clone),
    C(clone3),
    C(fork),
    C(vfork),
    C(execve),
    C(flock),
    C(kill),
    C(tgkill),
    C(pidfd_send_signal),
    C(wait4),
    C(waitid),
    C(poll),
    C(ppoll),
    C(bpf),
    C(exit_group),
#undef C
};

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Where a descriptor leads; what is no file or pipe changes nothing. */
static bool leads_somewhere(pid_t pid, uint64_t fd, char *to, size_t n)
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, (int)fd);
	len = readlink(path, to, n - 1);
	to[len > 0 ? len : 0] = '\0';
	return len > 0 && fd != 2 && strncmp(to, "/dev/null", 9) != 0;
}

static bool read_memory(pid_t pid, uint64_t at, void *out, size_t n)
{
	struct iovec to = {out, n}, from = {(void *)at, n};

	return process_vm_readv(pid, &to, 1, &from, 1, 0) == (ssize_t)n;
}

static void read_path(pid_t pid, uint64_t at, char *out, size_t n)
{
	struct iovec to = {out, n - 1}, from = {(void *)at, n - 1};
	ssize_t got = process_vm_readv(pid, &to, 1, &from, 1, 0);

	/* The string may end before a page that is not there. */
	for (size_t len = 256; got < 0 && len; len /= 2) {
		to.iov_len = from.iov_len = len < n ? len : n - 1;
		got = process_vm_readv(pid, &to, 1, &from, 1, 0);
	}
	out[got > 0 ? got : 0] = '\0';
}

static bool creates(pid_t pid, const struct __ptrace_syscall_info *s)
{
	struct open_how how = {0};

	if (s->entry.nr == SYS_openat)
		return s->entry.args[2] & (O_CREAT | O_TRUNC);
	read_memory(pid, s->entry.args[2], &how, sizeof(how));
	return how.flags & (O_CREAT | O_TRUNC);
}

static bool changing_ioctl(uint64_t request)
{
	return request == TUNSETIFF || request == TUNSETPERSIST ||
	       request == FICLONE || request == TIOCSCTTY;
}

static bool changing_fcntl(uint64_t cmd)
{
	return cmd == F_SETLK || cmd == F_SETLKW || cmd == F_OFD_SETLK ||
	       cmd == F_OFD_SETLKW || cmd == F_SETLEASE;
}

/* A message to a hypervisor that is only a question. */
static bool asks(pid_t pid, uint64_t at)
{
	struct msghdr m = {0};
	struct iovec v = {0};
	char text[64] = "";

	if (!read_memory(pid, at, &m, sizeof(m)) || !m.msg_iovlen ||
	    !read_memory(pid, (uint64_t)m.msg_iov, &v, sizeof(v)))
		return false;
	read_path(pid, (uint64_t)v.iov_base, text,
	    v.iov_len < sizeof(text) ? v.iov_len + 1 : sizeof(text));
	return strstr(text, "\"query-") || !strncmp(text, "GET ", 4);
}

const char *changing_call(
    pid_t pid, const struct __ptrace_syscall_info *s, char *what, size_t n)
{
	const uint64_t *a = s->entry.args;

	what[0] = '\0';
	/* As often as it takes: the answers are waited for. */
	if (s->entry.nr == SYS_sendmsg && asks(pid, a[1]))
		return "sendmsg_ask";
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if ((long)s->entry.nr == always[i].nr) {
			if (strstr(always[i].name, "at"))
				read_path(pid, a[1], what, n);
			return always[i].name;
		}
	switch (s->entry.nr) {
	case SYS_openat:
	case SYS_openat2:
		read_path(pid, a[1], what, n);
		return creates(pid, s) ? "openat" : NULL;
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
		if (!leads_somewhere(pid, a[0], what, n))
			return NULL;
		/* The kernel restarts one that meets another: by chance. */
		if (!strncmp(what, "/proc/", 6))
			return "write_proc";
		/* In as many pieces as the guest's words arrive in. */
		return strcmp(path_base(what), "console.log") ? "write"
							      : "write_console";
	case SYS_ioctl:
		return changing_ioctl(a[1]) ? "ioctl" : NULL;
	case SYS_fcntl:
		return changing_fcntl(a[1]) ? "fcntl" : NULL;
	default:
		return NULL;
	}
}
