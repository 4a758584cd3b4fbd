/* SPDX-License-Identifier: MIT */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc.h"
#include "file.h"
#include "jdoc.h"
#include "jtext.h"

#define DEFAULT_ROOT "/var/lib/cocoon"
#define LOCK_SHARED_MS 30000 /* a gc takes less */

/* mkdir -p of an absolute path, 0700 for what is new. */
static int make_path(const char *path, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(path);

	for (char *p = copy + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "%s: mkdir", copy);
		*p = was;
		if (!was)
			return 0;
	}
}

static int open_base(const char *path, bool create, int *fd, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, ERR_USAGE,
		    "%s: the state directory must be an absolute path", path);
	if (create && make_path(path, err) < 0)
		return -1;
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0 && (create || errno != ENOENT))
		return err_sys(err, errno, "%s: open", path);
	return 0;
}

int state_open(struct state *st, bool create, struct err *err)
{
	const char *root = getenv("COCOON_ROOT_DIR");
	const char *run = getenv("COCOON_RUN_DIR");

	*st = (struct state)STATE_NONE;
	if (!root || !*root)
		root = DEFAULT_ROOT;
	st->root = xstrdup(root);
	if (open_base(root, create, &st->root_fd, err) < 0)
		return -1;
	if (run && *run)
		return open_base(run, create, &st->base_fd, err);
	if (st->root_fd >= 0)
		st->base_fd = fcntl(st->root_fd, F_DUPFD_CLOEXEC, 3);
	return 0;
}

void state_close(struct state *st)
{
	close_fd(&st->root_fd);
	close_fd(&st->base_fd);
	close_fd(&st->lock_fd);
	free_ptr(&st->root);
}

bool state_by_dispatcher(void)
{
	return getenv("COCOON_LOCK_FD") != NULL;
}

static int lock_file(struct state *st, struct err *err)
{
	if (st->lock_fd >= 0)
		return 0;
	st->lock_fd = openat(st->root_fd, "lock",
	    O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (st->lock_fd < 0)
		return err_sys(err, errno, "%s/lock: open", st->root);
	return 0;
}

/* The descriptor that the dispatcher handed down, if it is what it says. */
static int inherited_lock(struct state *st)
{
	const char *v = getenv("COCOON_LOCK_FD");
	struct stat a, b;
	int fd = v ? atoi(v) : -1;

	if (fd < 3 || fstat(fd, &a) < 0 ||
	    fstatat(st->root_fd, "lock", &b, 0) < 0 || a.st_ino != b.st_ino ||
	    a.st_dev != b.st_dev)
		return -1;
	return fd;
}

int state_lock_shared(struct state *st, struct err *err)
{
	int fd = inherited_lock(st);

	if (fd < 0) {
		if (lock_file(st, err) < 0)
			return -1;
		fd = st->lock_fd;
	}
	return file_lock(fd, LOCK_SH, LOCK_SHARED_MS, "the root lock", err);
}

int state_lock_exclusive(struct state *st, int timeout_ms, struct err *err)
{
	if (lock_file(st, err) < 0)
		return -1;
	return file_lock(
	    st->lock_fd, LOCK_EX, timeout_ms, "the root lock", err);
}

void state_lock_forget(struct state *st)
{
	int fd = inherited_lock(st);

	close_fd(&fd);
	close_fd(&st->lock_fd);
}

int state_dir(struct state *st, const char *name, bool create, struct err *err)
{
	bool of_vm = !strcmp(name, "vm") || !strcmp(name, "vm-name");
	int base = of_vm ? st->base_fd : st->root_fd;

	if (base < 0)
		return err_set(
		    err, ERR_NOTFOUND, "%s: no such directory", st->root);
	return dir_open(base, name, create ? 0700 : 0, err);
}

void state_new_id(char id[STATE_ID_LEN + 1])
{
	static const char set[] = STATE_ID_CHARS;
	unsigned char random[STATE_ID_LEN];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	for (int i = 0; i < STATE_ID_LEN; i++)
		id[i] = set[random[i] & 31];
	id[STATE_ID_LEN] = '\0';
}

int state_vm_lock(struct state *st, int vm_fd, const char *id, int timeout_ms,
    struct err *err)
{
	AUTO_FD int fd = -1, again = -1;
	struct stat a, b;
	char what[64];

	snprintf(what, sizeof(what), "vm %s", id);
	fd = openat(
	    vm_fd, "lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s: open its lock", what);
	if (file_lock(fd, LOCK_EX, timeout_ms, what, err) < 0)
		return -1;
	again = state_vm_dir(st, id, err);
	if (again < 0)
		return -1;
	if (fstat(vm_fd, &a) < 0 || fstat(again, &b) < 0 ||
	    a.st_ino != b.st_ino || fstatat(vm_fd, "vm.json", &b, 0) < 0)
		return err_set(
		    err, ERR_NOTFOUND, "vm %s: removed meanwhile", id);
	return take_fd(&fd);
}

int state_adopt_net(struct state *st, const char *id, struct err *err)
{
	struct err ignored;
	AUTO_FD int dir = state_dir(st, "net", false, &ignored);
	AUTO_BUF struct buf text = {0}, out = {0};
	AUTO_JSON struct json_object *doc = NULL;
	AUTO_FREE char *name = xasprintf("%s.json", id);
	struct json_object *net;
	const char *by;

	if (dir < 0 || faccessat(dir, name, F_OK, 0) < 0)
		return 0;
	if (file_read(dir, name, &text, JTEXT_MAX_SIZE, err) < 0)
		return -1;
	doc = jval_parse(text.data, text.len, err);
	if (!doc)
		return err_wrap(err, "net/%s", name);
	net = jval_get(doc, "net");
	if (!jval_is_object(net))
		return err_set(err, ERR_INPUT, "net/%s: no .net in it", name);
	by = jval_str(net, "by");
	if (by && !strcmp(by, "cocoon"))
		return 0;
	jval_set_str(net, "by", "cocoon");
	jval_print(doc, &out);
	buf_ch(&out, '\n');
	return file_replace(dir, name, out.data, out.len, true, err);
}

int state_host_dir(struct err *err)
{
	const char *path = getenv("COCOON_STATE_RUN");
	AUTO_FD int fd = -1;

	if (!path || !*path)
		path = "/run/cocoon";
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s: mkdir", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s: open", path);
	return take_fd(&fd);
}
