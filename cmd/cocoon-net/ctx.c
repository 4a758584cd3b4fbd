/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "file.h"
#include "net.h"

/* Who holds it works in the kernel for milliseconds; a stopped process may
 * hold it for longer. */
#define LOCK_MS 60000
/* Plugins may take their time. */
#define ID_LOCK_MS 300000

/*
 * To share addresses with CNI's host-local plugin, give its conflist
 * "dataDir": "$root/net/lease" and the name "cocoon".
 */
static int open_leases(struct net *n, bool create, struct err *err)
{
	AUTO_FD int dir = dir_open(n->dir_fd, "lease", create ? 0700 : 0, err);

	if (dir < 0)
		return -1;
	n->lease_fd = dir_open(dir, NET_NAME, create ? 0700 : 0, err);
	return n->lease_fd < 0 ? -1 : 0;
}

static int open_dirs(struct net *n, bool create, struct err *err)
{
	n->dir_fd = state_dir(&n->st, "net", create, err);
	if (n->dir_fd < 0 || open_leases(n, create, err) < 0)
		return -1;
	n->lock_fd = openat(n->lease_fd, "lock",
	    O_RDWR | (create ? O_CREAT : 0) | O_NOFOLLOW | O_CLOEXEC, 0600);
	return n->lock_fd < 0 ? err_sys(err, errno, "lease lock: open") : 0;
}

int net_open(struct net *n, bool create, struct err *err)
{
	struct err e = {0};

	*n = (struct net)NET_NONE;
	if (state_open(&n->st, create, err) < 0)
		return -1;
	if (open_dirs(n, create, &e) == 0 ||
	    (!create && e.code == ERR_NOTFOUND))
		return 0;
	*err = e;
	return -1;
}

void net_close(struct net *n)
{
	close_fd(&n->dir_fd);
	close_fd(&n->lease_fd);
	close_fd(&n->lock_fd);
	state_close(&n->st);
}

int net_lock(struct net *n, struct err *err)
{
	/* Nothing is there that could need it. */
	if (n->lock_fd < 0)
		return 0;
	return file_lock(n->lock_fd, LOCK_EX, LOCK_MS, "the lease lock", err);
}

void net_unlock(struct net *n)
{
	if (n->lock_fd >= 0)
		flock(n->lock_fd, LOCK_UN);
}

/* A byte of the lock file for each id: no file of its own has to be made, and
 * removed. Such locks and flock(2)'s know nothing of each other. */
static struct flock id_range(const char *id, short type)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (const char *p = id; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	return (struct flock){.l_type = type,
	    .l_whence = SEEK_SET,
	    .l_start = (off_t)(hash >> 2),
	    .l_len = 1};
}

int net_lock_id(struct net *n, const char *id, struct err *err)
{
	int64_t until = now_ms() + ID_LOCK_MS;
	struct flock range = id_range(id, F_WRLCK);

	while (n->lock_fd >= 0 && fcntl(n->lock_fd, F_OFD_SETLK, &range) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_sys(err, errno, "vm %s: lock", id);
		if (tool_check(err) < 0)
			return -1;
		if (now_ms() >= until)
			return err_set(err, ERR_TIMEOUT,
			    "vm %s: another command is at its network", id);
		sleep_ms(5);
	}
	return 0;
}

void net_unlock_id(struct net *n, const char *id)
{
	struct flock range = id_range(id, F_UNLCK);

	if (n->lock_fd >= 0)
		fcntl(n->lock_fd, F_OFD_SETLK, &range);
}
