/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "convert.h"
#include "proc.h"
#include "sandbox.h"

#define CAP(name) (1ULL << CAP_##name)

/* FSETID: without it chmod drops the set-gid bit of a foreign group's file.
 * SYS_ADMIN: trusted.* attributes; see sandbox.c for what it does not get. */
#define UNPACK_CAPS                                                   \
	(CAP(CHOWN) | CAP(FOWNER) | CAP(FSETID) | CAP(DAC_OVERRIDE) | \
	    CAP(MKNOD) | CAP(SETFCAP) | CAP(SYS_ADMIN))
#define BUILD_CAPS (CAP(DAC_READ_SEARCH) | CAP(SYS_ADMIN))

#define UNPACK_MEMORY ((uint64_t)48 << 20)
/* Later than any file's time: mkfs.erofs cuts times at it, and takes it as
 * the time of the image, so that a layer is always the same image. */
#define BUILD_TIME "SOURCE_DATE_EPOCH=17179869183"

static int open_dirs(struct job *j, int *tree, int *out, struct err *err)
{
	AUTO_FD int plain = dir_open(j->dir_fd, "tree", 0755, err);

	if (plain < 0)
		return -1;
	/* A node of the layer must not open the host's device. */
	*tree = sandbox_nodev(plain);
	if (*tree < 0)
		*tree = take_fd(&plain);
	*out = dir_open(j->dir_fd, "out", 0700, err);
	return *out < 0 ? -1 : 0;
}

/* A program of the distribution, wherever PATH has it. */
static int use_program(
    struct sandbox *box, struct proc *p, const char *name, struct err *err)
{
	AUTO_FREE char *path = proc_find(name);

	if (!path)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: not found: install erofs-utils", name);
	strv_add(&p->argv, path);
	return sandbox_allow(box, path, CONFINE_READ | CONFINE_EXEC, err);
}

static int allow_helper(
    struct sandbox *box, const char *helper, struct err *err)
{
	return sandbox_allow(box, helper, CONFINE_READ | CONFINE_EXEC, err);
}

/* Where the layer is read from: standard input, or its own descriptors. */
static int open_layer(struct job *j, struct proc *p, struct err *err)
{
	const struct source_layer *l = j->layer;
	uint64_t size;

	for (size_t i = 0; i < l->n_fds; i++) {
		p->keep[p->n_keep++] = l->fds[i];
		/* A pipe has no beginning to go back to. */
		lseek(l->fds[i], 0, SEEK_SET);
	}
	if (l->n_fds)
		return 0;
	j->blob_fd = l->path ? source_file(j->c->src, l->path, &size, err)
			     : source_blob(j->c->src, l->digest, l->size, err);
	p->in = j->blob_fd;
	return p->in < 0 ? -1 : 0;
}

int unpack_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	const struct convert *c = j->c;

	*box = sandbox_new(UNPACK_CAPS, err);
	if (!*box || open_dirs(j, &j->tree_fd, &j->out_fd, err) < 0)
		return -1;
	/* The root's mode where the layer does not give it. It is not taken
	 * from below: most layers have no entry for it, and it is this. */
	if (fchmod(j->tree_fd, 0755) < 0)
		return err_sys(err, errno, "tree: set its mode");
	if (open_layer(j, p, err) < 0 || allow_helper(*box, helper, err) < 0 ||
	    sandbox_allow_fd(*box, j->tree_fd,
		CONFINE_READ | CONFINE_WRITE | CONFINE_MKNOD, "tree",
		err) < 0 ||
	    sandbox_allow_fd(
		*box, j->out_fd, CONFINE_READ | CONFINE_WRITE, "out", err) < 0)
		return -1;
#ifndef __SANITIZE_ADDRESS__
	/* A zstd window may ask for gigabytes. */
	sandbox_limit(*box, RLIMIT_DATA, UNPACK_MEMORY);
#endif
	strv_add(&p->argv, helper);
	strv_add(&p->argv, "unpack");
	strv_addf(&p->argv, "%d", j->tree_fd);
	strv_addf(&p->argv, "%d", j->out_fd);
	strv_addf(&p->argv, "%llu", (unsigned long long)c->max_bytes);
	strv_addf(&p->argv, "%llu", (unsigned long long)c->max_entries);
	strv_add(&p->argv, j->layer->diff[0] ? "1" : "0");
	for (size_t i = 0; i < j->layer->n_fds; i++)
		strv_addf(&p->argv, "%d", j->layer->fds[i]);
	p->keep[p->n_keep++] = j->tree_fd;
	p->keep[p->n_keep++] = j->out_fd;
	return 0;
}

/* The kernels that the helper says it copied. */
static int check_boot(
    const struct job *j, const struct layer_info *info, struct err *err)
{
	const struct boot_item *items = info->boot.v;

	for (size_t i = 0; i < info->boot.n; i++) {
		AUTO_FREE char *path = NULL;
		struct stat st;

		if (strcmp(items[i].type, "file"))
			continue;
		path = xasprintf("%s/%s", WORK_BOOT, items[i].digest + 7);
		if (fstatat(j->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) ||
		    (uint64_t)st.st_size != items[i].size)
			return err_set(err, ERR_FAILED, "%.80s: was not copied",
			    items[i].path);
	}
	return 0;
}

static int check_digest(
    struct source_layer *l, const struct layer_info *info, struct err *err)
{
	if (!l->digest[0]) {
		memcpy(l->digest, info->digest, sizeof(l->digest));
		l->size = info->source_size;
	}
	if (strcmp(info->digest, l->digest) || info->source_size != l->size)
		return err_set(err, ERR_INPUT, "damaged: its digest is %.19s",
		    info->digest);
	if (l->diff[0] && (!info->diff || strcmp(info->diff, l->diff)))
		return err_set(err, ERR_INPUT,
		    "damaged: its tar is %.19s, the configuration says %.19s",
		    info->diff ? info->diff : "(none)", l->diff);
	return 0;
}

int unpack_done(struct job *j, struct err *err)
{
	AUTO_JSON struct json_object *json = NULL;
	struct layer_info info;

	if (layer_info_parse(j->text.data ? j->text.data : "", j->text.len,
		&info, &json, err) < 0)
		return -1;
	if (check_digest(j->layer, &info, err) < 0)
		return -1;
	if (check_boot(j, &info, err) < 0)
		return -1;
	buf_add(&j->found, j->text.data, j->text.len);
	j->implicit = j->index ? info.implicit : 0;
	if (j->implicit)
		return source_chain(j->c->src, j->index, j->layer->key, err);
	memcpy(j->layer->key, j->layer->digest, sizeof(j->layer->key));
	return 0;
}

/* Appends the `dirs` of a layer, from the work directory or the store. */
static int append_dirs(const struct job *j, size_t i, int out, struct err *err)
{
	const struct source_layer *l = &j->c->src->layers[i];
	AUTO_FREE char *name = l->converted ? xasprintf("%zu/%s", i, WORK_DIRS)
					    : blob_name(l->key, "dirs");
	AUTO_FD int in = openat(l->converted ? j->c->work_fd : j->c->blob_fd,
	    name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (in < 0)
		return err_sys(err, errno, "%s: open", name);
	while ((n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0)) != 0)
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "%s: copy", name);
	return 0;
}

int adopt_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");

	if (!j->implicit)
		return 1;
	*box = sandbox_new(UNPACK_CAPS & ~CAP(MKNOD), err);
	if (!*box || open_dirs(j, &j->tree_fd, &j->out_fd, err) < 0)
		return -1;
	j->blob_fd = openat(j->dir_fd, "below",
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->blob_fd < 0)
		return err_sys(err, errno, "below: create");
	for (size_t i = 0; i < j->index; i++)
		if (append_dirs(j, i, j->blob_fd, err) < 0)
			return -1;
	if (lseek(j->blob_fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "below: rewind");
	p->in = j->blob_fd;
	if (allow_helper(*box, helper, err) < 0 ||
	    sandbox_allow_fd(*box, j->tree_fd, CONFINE_READ | CONFINE_WRITE,
		"tree", err) < 0 ||
	    sandbox_allow_fd(*box, j->out_fd, CONFINE_READ, "out", err) < 0)
		return -1;
	strv_add(&p->argv, helper);
	strv_add(&p->argv, "adopt");
	strv_addf(&p->argv, "%d", j->tree_fd);
	strv_addf(&p->argv, "%d", j->out_fd);
	p->keep[p->n_keep++] = j->tree_fd;
	p->keep[p->n_keep++] = j->out_fd;
	return 0;
}

/* A UUID of the layer's own, from its key: version 8, by RFC 9562. */
static void uuid_of(const char *key, char out[40])
{
	const char *h = key + strlen("sha256:");

	snprintf(out, 40, "%.8s-%.4s-8%.3s-8%.3s-%.12s", h, h + 8, h + 13,
	    h + 17, h + 20);
}

int build_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err)
{
	AUTO_FD int tree = -1, out = -1;
	char uuid[40];

	*box = sandbox_new(BUILD_CAPS, err);
	tree = dir_open(j->dir_fd, "tree", 0, err);
	if (!*box || tree < 0)
		return -1;
	out = openat(j->dir_fd, WORK_EROFS,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(err, errno, "erofs: create");
	if (sandbox_allow_fd(*box, tree, CONFINE_READ, "tree", err) < 0 ||
	    sandbox_allow_fd(
		*box, out, CONFINE_READ | CONFINE_WRITE, "erofs", err) < 0 ||
	    use_program(*box, p, "mkfs.erofs", err) < 0)
		return -1;
	uuid_of(j->layer->key, uuid);
	strv_add(&p->argv, "--quiet");
	/* No -T: that would give all files one time. Tails inlined would cost
	 * mkfs another 3 KB of memory for every file. */
	strv_add(&p->argv, "-Enoinline_data");
	strv_add(&p->argv, "-U");
	strv_add(&p->argv, uuid);
	strv_add(&p->argv, WORK_EROFS);
	strv_add(&p->argv, "tree");
	strv_add(&p->env, BUILD_TIME);
	p->cwd_fd = j->dir_fd;
	return 0;
}

static int open_erofs(const struct job *j, int flags, struct err *err)
{
	int fd = openat(j->dir_fd, WORK_EROFS, flags | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_sys(err, errno, "erofs: open") : fd;
}

int build_done(struct job *j, struct err *err)
{
	AUTO_FD int fd = open_erofs(j, O_RDWR, err);

	if (fd < 0)
		return -1;
	/* The disk begins now; the fsync before the commit waits for it. */
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (fchmod(fd, 0444) < 0)
		return err_sys(err, errno, "erofs: set its mode");
	return 0;
}

int check_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");

	*box = sandbox_new(BUILD_CAPS, err);
	p->in = j->blob_fd = open_erofs(j, O_RDONLY, err);
	if (!*box || p->in < 0 || allow_helper(*box, helper, err) < 0 ||
	    open_dirs(j, &j->tree_fd, &j->out_fd, err) < 0 ||
	    sandbox_allow_fd(*box, j->tree_fd, CONFINE_READ, "tree", err) < 0 ||
	    sandbox_allow_fd(*box, j->out_fd, CONFINE_READ, "out", err) < 0)
		return -1;
	strv_add(&p->argv, helper);
	strv_add(&p->argv, "verify");
	strv_addf(&p->argv, "%d", j->tree_fd);
	strv_addf(&p->argv, "%d", j->out_fd);
	p->keep[p->n_keep++] = j->tree_fd;
	p->keep[p->n_keep++] = j->out_fd;
	return 0;
}

int check_done(struct job *j, struct err *err)
{
	/* Removed before the fsync to come: most of it is never written. */
	if (tree_remove(j->dir_fd, "tree", err) < 0)
		return -1;
	return tree_remove(j->dir_fd, "out/content", err);
}

int digest_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");

	*box = sandbox_new(0, err);
	p->in = j->blob_fd = open_erofs(j, O_RDONLY, err);
	if (!*box || p->in < 0 || allow_helper(*box, helper, err) < 0)
		return -1;
	strv_add(&p->argv, helper);
	strv_add(&p->argv, "digest");
	return 0;
}

int digest_done(struct job *j, struct err *err)
{
	AUTO_JSON struct json_object *said = NULL, *found = NULL, *all = NULL;
	AUTO_FD int fd = open_erofs(j, O_RDONLY, err);
	AUTO_BUF struct buf text = {0};
	struct layer_info info;
	struct stat st;

	said = jval_parse(j->text.data ? j->text.data : "", j->text.len, err);
	if (fd < 0 || !said ||
	    layer_info_parse(j->found.data, j->found.len, &info, &found, err) <
		0)
		return -1;
	info.erofs_digest = jval_str(said, "digest");
	if (!info.erofs_digest || !valid_digest(info.erofs_digest))
		return err_set(err, ERR_FAILED, "the helper gave no digest");
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "erofs: stat");
	info.erofs_size = (uint64_t)st.st_size;
	info.key = j->layer->key;
	all = jbuild(&layer_info_table, &info);
	jval_print(all, &text);
	buf_ch(&text, '\n');
	if (file_replace(
		j->dir_fd, WORK_JSON, text.data, text.len, false, err) < 0)
		return -1;
	j->layer->converted = true;
	return 0;
}
