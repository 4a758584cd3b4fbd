/* SPDX-License-Identifier: MIT */
/* What has a directory by its id, and a name that points to it. */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doc.h"
#include "file.h"
#include "jdoc.h"
#include "jtext.h"

static const struct kind {
	const char *dir, *names, *record, *member, *what;
} vms = {"vm", "vm-name", "vm.json", "vm", "VM"},
  snaps = {"snap", "snap-name", "snap.json", "snap", "snapshot"};

/* The id that NAMES/NAME points to; -1 if it points to none. */
static int id_of_name(const struct kind *k, int names, const char *name,
    char id[STATE_ID_LEN + 1])
{
	char target[64], want[64];
	int n = snprintf(want, sizeof(want), "../%s/", k->dir);
	ssize_t len = readlinkat(names, name, target, sizeof(target) - 1);

	if (len != n + STATE_ID_LEN)
		return -1;
	target[len] = '\0';
	if (strncmp(target, want, (size_t)n) || !valid_id(target + n))
		return -1;
	memcpy(id, target + n, STATE_ID_LEN + 1);
	return 0;
}

static int open_dir(
    struct state *st, const struct kind *k, const char *id, struct err *err)
{
	AUTO_FD int all = state_dir(st, k->dir, false, err);
	int fd;

	if (all < 0)
		return -1;
	fd = dir_open(all, id, 0, err);
	if (fd < 0 && err->code == ERR_NOTFOUND)
		return err_set(err, ERR_NOTFOUND, "%s %s: %s not found",
		    k == &vms ? "vm" : k->what, id, k->what);
	return fd;
}

static struct json_object *read_record(
    const struct kind *k, int fd, const char *id, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct json_object *doc;

	if (file_read(fd, k->record, &text, JTEXT_MAX_SIZE, err) < 0) {
		err_wrap(err, "%s %s", k == &vms ? "vm" : k->what, id);
		return NULL;
	}
	doc = jval_parse(text.data, text.len, err);
	if (!doc)
		err_wrap(err, "%s %s: %s", k == &vms ? "vm" : k->what, id,
		    k->record);
	return doc;
}

static bool committed(struct state *st, const struct kind *k, const char *id)
{
	struct err ignored;
	AUTO_FD int fd = open_dir(st, k, id, &ignored), names = -1;
	AUTO_JSON struct json_object *doc = NULL;
	char points_to[STATE_ID_LEN + 1];
	const char *name;

	if (fd < 0)
		return false;
	doc = read_record(k, fd, id, &ignored);
	name = jval_str(jval_get(doc, k->member), "name");
	names = state_dir(st, k->names, false, &ignored);
	return name && valid_name(name) && names >= 0 &&
	       id_of_name(k, names, name, points_to) == 0 &&
	       !strcmp(points_to, id);
}

bool state_vm_committed(struct state *st, const char *id)
{
	return committed(st, &vms, id);
}

bool state_snap_committed(struct state *st, const char *id)
{
	return committed(st, &snaps, id);
}

static int each(struct state *st, const struct kind *k,
    int (*fn)(const char *id, const char *name, void *arg), void *arg,
    struct err *err)
{
	struct err ignored = {0};
	int names = state_dir(st, k->names, false, &ignored), r = 0;
	struct dirent *de;
	DIR *d;

	if (names < 0)
		return ignored.code == ERR_NOTFOUND ? 0 : (*err = ignored, -1);
	d = fdopendir(names);
	if (!d) {
		close_fd(&names);
		return err_sys(err, errno, "%s: open", k->names);
	}
	while (r == 0 && (de = readdir(d))) {
		char id[STATE_ID_LEN + 1];

		if (valid_name(de->d_name) &&
		    id_of_name(k, names, de->d_name, id) == 0)
			r = fn(id, de->d_name, arg);
	}
	closedir(d);
	return r;
}

struct find {
	const char *prefix;
	char *id;
	int hits;
};

static int match_prefix(const char *id, const char *name, void *arg)
{
	struct find *f = arg;

	(void)name;
	if (!strncmp(id, f->prefix, strlen(f->prefix))) {
		memcpy(f->id, id, STATE_ID_LEN + 1);
		f->hits++;
	}
	return 0;
}

/* Exact id, exact name, then a prefix, which costs a walk. */
static int find(struct state *st, const struct kind *k, const char *ref,
    char id[STATE_ID_LEN + 1], struct err *err)
{
	struct err ignored = {0};
	AUTO_FD int names = state_dir(st, k->names, false, &ignored);
	struct find f = {ref, id, 0};

	if (names < 0)
		return 0;
	if (valid_id(ref) && committed(st, k, ref)) {
		memcpy(id, ref, STATE_ID_LEN + 1);
		return 1;
	}
	if (valid_name(ref) && id_of_name(k, names, ref, id) == 0)
		return 1;
	if (strlen(ref) < 3 || strspn(ref, STATE_ID_CHARS) != strlen(ref))
		return 0;
	return each(st, k, match_prefix, &f, err) < 0 ? -1 : f.hits;
}

static int find_one(struct state *st, const struct kind *k, const char *ref,
    char id[STATE_ID_LEN + 1], struct err *err)
{
	int hits = find(st, k, ref, id, err);

	if (hits < 0)
		return -1;
	if (hits == 1)
		return 0;
	if (hits == 0)
		err_set(err, ERR_NOTFOUND, "%s %.80s: %s not found",
		    k == &vms ? "vm" : k->what, ref, k->what);
	else
		err_set(err, ERR_STATE,
		    "ambiguous ref \"%.80s\": multiple matches", ref);
	return err_object(err, ref);
}

int state_find_vm(struct state *st, const char *ref, char id[STATE_ID_LEN + 1],
    struct err *err)
{
	return find_one(st, &vms, ref, id, err);
}

int state_find_snap(struct state *st, const char *ref,
    char id[STATE_ID_LEN + 1], struct err *err)
{
	return find_one(st, &snaps, ref, id, err);
}

int state_check_snap_name(struct state *st, const char *name, struct err *err)
{
	char id[STATE_ID_LEN + 1];
	struct err ignored;

	if (!valid_name(name))
		return err_set(err, ERR_USAGE,
		    "snapshot name \"%.80s\" is invalid: must match "
		    "[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}",
		    name);
	if (state_find_snap(st, name, id, &ignored) == 0)
		return err_set(err, ERR_STATE,
		    "snapshot name \"%s\" already in use by %s", name, id);
	return 0;
}

int state_vm_dir(struct state *st, const char *id, struct err *err)
{
	return open_dir(st, &vms, id, err);
}

int state_snap_dir(struct state *st, const char *id, struct err *err)
{
	return open_dir(st, &snaps, id, err);
}

int state_each_vm(struct state *st,
    int (*fn)(const char *id, const char *name, void *arg), void *arg,
    struct err *err)
{
	return each(st, &vms, fn, arg, err);
}

int state_each_snap(struct state *st,
    int (*fn)(const char *id, const char *name, void *arg), void *arg,
    struct err *err)
{
	return each(st, &snaps, fn, arg, err);
}

struct json_object *state_record(int vm_fd, const char *id, struct err *err)
{
	return read_record(&vms, vm_fd, id, err);
}

struct json_object *state_manifest(int snap_fd, const char *id, struct err *err)
{
	return read_record(&snaps, snap_fd, id, err);
}
