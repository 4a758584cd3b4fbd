/* SPDX-License-Identifier: MIT */
/*
 * Named network namespaces as ip-netns(8) keeps them: a bind mount of the
 * namespace on /run/netns/NAME, on a mount that is shared, so that unmounting
 * reaches the copies which other mount namespaces hold.
 */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

#define NETNS_DIR "/run/netns"
#define SELF_NETNS "/proc/thread-self/ns/net"

void netns_name(const char *id, char out[40])
{
	snprintf(out, 40, "cn-%s", id);
}

static void netns_path(const char *id, char out[80])
{
	snprintf(out, 80, NETNS_DIR "/cn-%s", id);
}

int netns_open(const char *id, struct err *err)
{
	AUTO_FD int fd = -1;
	struct statfs fs;
	char path[80];

	netns_path(id, path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", path);
	/* A plain file is what is left after a reboot or a crash. */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return err_set(
		    err, ERR_NOTFOUND, "%s: no namespace there", path);
	return take_fd(&fd);
}

/* Makes /run/netns a shared mount point, as iproute2 does, in its turn. */
static int prepare_dir(struct err *err)
{
	AUTO_FD int lock = -1;
	bool bound = false;

	if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, NETNS_DIR ": mkdir");
	lock = open(NETNS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_sys(err, errno, NETNS_DIR ": lock");
	while (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) < 0) {
		if (errno != EINVAL || bound)
			return err_sys(err, errno, NETNS_DIR ": mount shared");
		if (mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC,
			NULL) < 0)
			return err_sys(err, errno, NETNS_DIR ": bind");
		bound = true;
	}
	return 0;
}

static int bind_self(const char *id, struct err *err)
{
	AUTO_FD int fd = -1;
	char path[80];

	netns_path(id, path);
	fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return err_sys(err, errno, "%s: create", path);
	if (mount(SELF_NETNS, path, "none", MS_BIND, NULL) < 0)
		return err_sys(err, errno, "%s: bind the namespace", path);
	return 0;
}

static int remember(struct stay *stay, struct err *err)
{
	stay->back_fd = open(SELF_NETNS, O_RDONLY | O_CLOEXEC);
	if (stay->back_fd < 0)
		return err_sys(err, errno, SELF_NETNS ": open");
	return 0;
}

int netns_make(const char *id, struct stay *stay, struct err *err)
{
	struct err e = {0};
	int fd;

	if (prepare_dir(err) < 0 || remember(stay, err) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0) {
		err_sys(err, errno, "network namespace: create");
		close_fd(&stay->back_fd);
		return -1;
	}
	fd = bind_self(id, &e) < 0 ? -1 : netns_open(id, &e);
	if (fd < 0) {
		netns_leave(stay);
		*err = e;
	}
	return fd;
}

int netns_enter(int fd, struct stay *stay, struct err *err)
{
	if (remember(stay, err) < 0)
		return -1;
	if (setns(fd, CLONE_NEWNET) < 0) {
		err_sys(err, errno, "network namespace: enter");
		close_fd(&stay->back_fd);
		return -1;
	}
	return 0;
}

void netns_leave(struct stay *stay)
{
	if (stay->back_fd < 0)
		return;
	if (setns(stay->back_fd, CLONE_NEWNET) < 0) {
		log_err("network namespace: return to the host's: %s; "
			"`cocoon gc` cleans up",
		    strerror(errno));
		abort();
	}
	close_fd(&stay->back_fd);
}

int netns_remove(const char *id, struct err *err)
{
	struct err ignored;
	AUTO_FD int fd = netns_open(id, &ignored);
	char path[80];

	netns_path(id, path);
	if (fd >= 0 && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: unmount", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: unlink", path);
	return fd >= 0;
}
