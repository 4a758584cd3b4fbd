/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "snap.h"

static int bind(struct snap *s, struct err *err)
{
	s->doc = state_manifest(s->fd, s->id[0] ? s->id : s->dir, err);
	if (!s->doc ||
	    doc_bind(s->doc, "snap", &doc_snap_table, &s->snap, err) < 0)
		return -1;
	if (jval_int(s->doc, "v", 0) != 1 || !valid_id(s->snap.id) ||
	    (s->snap.name && !valid_name(s->snap.name)))
		return err_set(err, ERR_INPUT,
		    "%s: snap.json: is none of this version", s->dir);
	s->snap.dir = s->dir;
	return 0;
}

int snap_open(struct snap *s, const char *ref, struct err *err)
{
	*s = (struct snap)SNAP_NONE;
	if (state_open(&s->st, false, err) < 0 ||
	    state_find_snap(&s->st, ref, s->id, err) < 0)
		return -1;
	s->fd = state_snap_dir(&s->st, s->id, err);
	if (s->fd < 0)
		return -1;
	s->dir = xasprintf("%s/snap/%s", s->st.root, s->id);
	return bind(s, err) < 0 ? err_wrap(err, "snapshot %.80s", ref) : 0;
}

int snap_open_dir(struct snap *s, const char *path, struct err *err)
{
	struct stat st;

	*s = (struct snap)SNAP_NONE;
	s->dir = realpath(path, NULL);
	if (!s->dir)
		return err_sys(err, errno, "%s", path);
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		return err_sys(err, errno, "%s: open", path);
	if (st.st_uid != 0 || st.st_mode & 022)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: others than root can change it", path);
	return bind(s, err);
}

void snap_close(struct snap *s)
{
	jval_put(s->doc);
	s->doc = NULL;
	free_ptr(&s->dir);
	close_fd(&s->fd);
	state_close(&s->st);
}

static int check_file(
    const struct doc_file *f, int dir, enum snap_check how, struct err *err)
{
	bool image = !strcmp(f->role, "image");
	AUTO_FD int fd = -1;
	struct stat st;

	if (!*f->name || f->name[0] == '.' || strchr(f->name, '/'))
		return err_set(err, ERR_INPUT,
		    ".snap.files: \"%.80s\" is no plain name", f->name);
	fd = openat(
	    dir, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && image && how == SNAP_LOAD)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", f->name);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & 022)
		return err_set(err, ERR_FAILED,
		    "%s: is no plain file that root alone can write", f->name);
	if ((uint64_t)st.st_size != f->size)
		return err_set(err, ERR_FAILED,
		    "%s: has %llu bytes, saved were %llu", f->name,
		    (unsigned long long)st.st_size,
		    (unsigned long long)f->size);
	if (how == SNAP_SYNC && !image && fsync(fd) < 0)
		return err_sys(err, errno, "%s: fsync", f->name);
	return 0;
}

int snap_check(
    const struct doc_snap *snap, int dir, enum snap_check how, struct err *err)
{
	const struct doc_file *f = snap->files.v;

	for (size_t i = 0; i < snap->files.n; i++)
		if (check_file(&f[i], dir, how, err) < 0 || tool_check(err) < 0)
			return -1;
	if (how == SNAP_SYNC && fsync(dir) < 0)
		return err_sys(err, errno, "fsync");
	return 0;
}
