/* SPDX-License-Identifier: MIT */
/* The directory of an import in progress: claimed by its flock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"
#include "undo.h"

#define TRIES_MAX 5

static int remove_work(void *arg, struct err *err)
{
	struct work *w = arg;

	return tree_remove(w->store.tmp_fd, w->name, err);
}

/* gc takes what nobody holds: after taking the lock, was it faster? */
static int claim(struct work *w, struct err *err)
{
	char id[STATE_ID_LEN + 1];
	struct stat a, b;

	for (int i = 0; i < TRIES_MAX; i++) {
		state_new_id(id);
		snprintf(w->name, sizeof(w->name), "import-%s", id);
		close_fd(&w->fd);
		w->fd = dir_open(w->store.tmp_fd, w->name, 0700, err);
		if (w->fd < 0)
			return -1;
		if (flock(w->fd, LOCK_EX | LOCK_NB) == 0 &&
		    fstat(w->fd, &a) == 0 &&
		    fstatat(w->store.tmp_fd, w->name, &b,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    a.st_ino == b.st_ino) {
			undo_push(remove_work, w, w->name);
			return 0;
		}
	}
	return err_set(
	    err, ERR_FAILED, "image/tmp/%s: cannot be held", w->name);
}

int work_open(struct work *w, struct err *err)
{
	w->mark = undo_mark();
	if (store_open(&w->store, true, err) < 0)
		return -1;
	return claim(w, err);
}

void work_close(struct work *w)
{
	if (w->fd >= 0)
		undo_run(w->mark);
	close_fd(&w->fd);
	source_release(&w->src);
	store_close(&w->store);
}

int work_lock(struct work *w, struct err *err)
{
	AUTO_FD int lock = -1;

	if (state_lock_shared(&w->store.st, err) < 0)
		return -1;
	lock =
	    openat(w->store.image_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return err_sys(err, errno, "image: open");
	if (file_lock(lock, LOCK_EX, 60000, "the image store", err) < 0)
		return -1;
	return take_fd(&lock);
}
