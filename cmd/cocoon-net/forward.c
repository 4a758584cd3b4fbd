/* SPDX-License-Identifier: MIT */
/*
 * net.ipv4.ip_forward and net.ipv6.conf.all.forwarding belong to the host (its
 * network namespace), not to a root directory: what each was is remembered in /run/cocoon, in a file named
 * after the namespace that holds the boot id, for whichever installation
 * removes the last cocoon bridge. A lock orders that with the making of one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin.h"
#include "file.h"
#include "proc.h"

static const char *const sysctls[] = {
    [FORWARD_4] = "/proc/sys/net/ipv4/ip_forward",
    [FORWARD_6] = "/proc/sys/net/ipv6/conf/all/forwarding",
};
static const char *const memories[] = {
    [FORWARD_4] = "ip-forward",
    [FORWARD_6] = "ip6-forward",
};
#define LOCK_MS 60000

int forward_lock(struct err *err)
{
	AUTO_FD int fd = state_host_dir(err);

	if (fd < 0 || file_lock(fd, LOCK_EX, LOCK_MS, "forwarding", err) < 0)
		return -1;
	return take_fd(&fd);
}

static void memory_name(enum forward f, char out[48])
{
	struct stat st = {0};

	if (stat("/proc/thread-self/ns/net", &st) < 0)
		st.st_ino = 0;
	snprintf(
	    out, 48, "%s.%llu", memories[f], (unsigned long long)st.st_ino);
}

bool forward_is_on(enum forward f)
{
	AUTO_FD int fd = open(sysctls[f], O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1 && c != '0';
}

static int set(enum forward f, const char *value, struct err *err)
{
	AUTO_FD int fd = open(sysctls[f], O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write_all(fd, value, 1) < 0)
		return err_sys(err, errno, "%s: write %s", sysctls[f], value);
	return 0;
}

int forward_on(enum forward f, int lock_dir, struct err *err)
{
	const char *boot = proc_boot_id();
	AUTO_FD int fd = -1;
	char name[48];

	if (forward_is_on(f))
		return 0;
	memory_name(f, name);
	/* Written in place: until it is whole, nothing was changed. */
	fd = openat(lock_dir, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write_all(fd, boot, strlen(boot)) < 0)
		return err_sys(err, errno, "%s: write", name);
	return set(f, "1", err);
}

static int is_cocoon_bridge(const struct nl_link *link, void *arg)
{
	bool *any = arg;

	*any |= !strcmp(link->kind, "bridge") &&
		!strncmp(link->alias, "cocoon:", 7);
	return *any;
}

static int restore(
    enum forward f, int lock_dir, struct nl *host, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	const char *boot = proc_boot_id();
	struct err e = {0};
	bool any = false;
	char name[48];

	memory_name(f, name);
	if (file_read(lock_dir, name, &text, 100, &e) < 0) {
		if (e.code == ERR_NOTFOUND)
			return 0;
		*err = e;
		return -1;
	}
	if (nl_link_each(host, is_cocoon_bridge, &any, err) < 0)
		return -1;
	if (any)
		return 0;
	/* From before a reboot: the value of today is not ours. */
	if (text.len == strlen(boot) && !memcmp(text.data, boot, text.len) &&
	    forward_is_on(f) && set(f, "0", err) < 0)
		return -1;
	if (unlinkat(lock_dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: unlink", name);
	return 0;
}

int forward_restore(int lock_dir, struct nl *host, struct err *err)
{
	int r = restore(FORWARD_6, lock_dir, host, err);

	return r < 0 ? -1 : restore(FORWARD_4, lock_dir, host, err);
}
