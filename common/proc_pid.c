/* SPDX-License-Identifier: MIT */
/* Which process a pid is: it may be another one's by now. */
#include "proc.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"

unsigned long long proc_start_time(pid_t pid)
{
	AUTO_BUF struct buf text = {0};
	char path[40];
	struct err ignored;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(AT_FDCWD, path, &text, 4096, &ignored) < 0)
		return 0;
	/* The name in parentheses may hold anything: count behind it. */
	p = strrchr(text.data, ')');
	/* One that only waits to be reaped is none any more. */
	if (p && strspn(p, ") ") == 2 && strchr("ZX", p[2]))
		return 0;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

const char *proc_boot_id(void)
{
	static char id[40];
	AUTO_BUF struct buf text = {0};
	struct err ignored;

	if (!id[0] &&
	    file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, 100,
		&ignored) == 0 &&
	    text.len >= 36)
		memcpy(id, text.data, 36);
	return id;
}

int proc_pidfd(pid_t pid, unsigned long long start_time)
{
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd >= 0 && proc_start_time(pid) != start_time)
		close_fd(&fd);
	return fd;
}

int proc_pidfd_kill(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

bool proc_pidfd_wait(int pidfd, int timeout_ms)
{
	struct pollfd p = {pidfd, POLLIN, 0};
	int64_t until = now_ms() + timeout_ms;

	for (;;) {
		int64_t left = timeout_ms < 0 ? -1 : until - now_ms();
		int n = poll(
		    &p, 1, timeout_ms < 0 ? -1 : (int)(left > 0 ? left : 0));

		if (n > 0)
			return true;
		if (n == 0 && timeout_ms >= 0)
			return false;
	}
}
