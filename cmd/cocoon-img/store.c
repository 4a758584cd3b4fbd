/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img.h"
#include "jtext.h"

static int sub_dir(
    int dir, const char *name, bool create, int *fd, struct err *err)
{
	*fd = dir_open(dir, name, create ? 0700 : 0, err);
	if (*fd < 0 && (create || err->code != ERR_NOTFOUND))
		return err_wrap(err, "image store");
	return 0;
}

int store_open(struct store *s, bool create, struct err *err)
{
	struct err e = {0};

	*s = (struct store)STORE_NONE;
	if (state_open(&s->st, create, err) < 0)
		return -1;
	if (s->st.root_fd < 0)
		return 0;
	if (sub_dir(s->st.root_fd, "image", create, &s->image_fd, &e) == 0 &&
	    (s->image_fd < 0 ||
		(sub_dir(s->image_fd, "blob", create, &s->blob_fd, &e) == 0 &&
		    sub_dir(s->image_fd, "ref", create, &s->ref_fd, &e) == 0 &&
		    sub_dir(s->image_fd, "tmp", create, &s->tmp_fd, &e) == 0)))
		return 0;
	*err = e;
	return -1;
}

void store_close(struct store *s)
{
	close_fd(&s->image_fd);
	close_fd(&s->blob_fd);
	close_fd(&s->ref_fd);
	close_fd(&s->tmp_fd);
	state_close(&s->st);
}

int store_each(int dirfd, int (*fn)(const char *name, void *arg), void *arg,
    struct err *err)
{
	struct dirent *de;
	int fd, r = 0;
	DIR *d;

	if (dirfd < 0)
		return 0;
	/* A descriptor of our own: reading moves its position. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "image store: read a directory");
	}
	while (r == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			r = fn(de->d_name, arg);
	closedir(d);
	return r;
}

#define F(type, member, k, fl, a)                                           \
	{                                                                   \
		.name = #member, .kind = (k),                               \
		.offset = offsetof(type, member), .flags = (fl), .arg = (a) \
	}

static const struct jfield boot_fields[] = {
#define BI(m, k, fl, a) F(struct boot_item, m, k, fl, a)
    BI(path, J_STR, J_REQUIRED, NULL),
    BI(type, J_ENUM, J_REQUIRED, "file|link|whiteout|opaque|other"),
    BI(target, J_STR, 0, NULL),
    BI(digest, J_STR, 0, NULL),
    BI(size, J_U64, 0, NULL),
};
static const struct jtable boot_table = JTABLE(struct boot_item, boot_fields);

static const struct jfield info_fields[] = {
#define LI(m, k, fl, a) F(struct layer_info, m, k, fl, a)
    LI(key, J_STR, 0, NULL),
    LI(digest, J_STR, J_REQUIRED, NULL),
    LI(diff, J_STR, 0, NULL),
    LI(source_size, J_U64, J_ALWAYS, NULL),
    LI(entries, J_U64, J_ALWAYS, NULL),
    LI(implicit, J_U64, 0, NULL),
    LI(erofs_digest, J_STR, 0, NULL),
    LI(erofs_size, J_U64, 0, NULL),
    LI(boot, J_ARR, J_ALWAYS, &boot_table),
};
const struct jtable layer_info_table = JTABLE(struct layer_info, info_fields);

static int check_item(const struct boot_item *b, struct err *err)
{
	if (!strcmp(b->type, "file") &&
	    (!b->digest || !valid_digest(b->digest) || !b->size))
		return err_set(err, ERR_FAILED, "%.80s: no digest", b->path);
	if (!strcmp(b->type, "link") && !b->target)
		return err_set(err, ERR_FAILED, "%.80s: no target", b->path);
	return 0;
}

int layer_info_parse(const char *text, size_t len, struct layer_info *out,
    struct json_object **json, struct err *err)
{
	AUTO_JSON struct json_object *v = jval_parse(text, len, err);
	const struct boot_item *items;

	if (!v || jbind(v, &layer_info_table, "layer", out, err) < 0)
		return -1;
	if (!valid_digest(out->digest) ||
	    (out->erofs_digest && !valid_digest(out->erofs_digest)))
		return err_set(err, ERR_FAILED, "layer: bad digest");
	items = out->boot.v;
	for (size_t i = 0; i < out->boot.n; i++)
		if (check_item(&items[i], err) < 0)
			return -1;
	*json = v;
	v = NULL;
	return 0;
}

int layer_info_load(int blob_fd, const char *key, struct layer_info *out,
    struct json_object **json, struct err *err)
{
	AUTO_FREE char *name = blob_name(key, "json");
	AUTO_BUF struct buf text = {0};

	if (blob_fd < 0)
		return err_set(err, ERR_NOTFOUND, "%s: not in the store", name);
	if (file_read(blob_fd, name, &text, JTEXT_MAX_SIZE, err) < 0 ||
	    layer_info_parse(text.data, text.len, out, json, err) < 0)
		return err_wrap(err, "image/blob/%s", name);
	if (!out->key || strcmp(out->key, key) || !out->erofs_digest)
		return err_set(err, ERR_FAILED,
		    "image/blob/%s: is not of this layer", name);
	return 0;
}

char *blob_name(const char *digest, const char *suffix)
{
	return xasprintf("%s.%s", digest + strlen("sha256:"), suffix);
}

const char *boot_suffix(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	return !strncmp(base, "vmlinu", 6) ? "kernel" : "initrd";
}

int64_t blob_size(int blob_fd, const char *name, struct err *err)
{
	struct stat st;

	if (blob_fd < 0)
		return err_set(
		    err, ERR_NOTFOUND, "image/blob/%s: not in the store", name);
	if (fstatat(blob_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "image/blob/%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(
		    err, ERR_FAILED, "image/blob/%s: not a regular file", name);
	return st.st_size;
}

static bool has_blob(const struct store *s, const char *digest,
    const char *suffix, uint64_t size)
{
	AUTO_FREE char *name = blob_name(digest, suffix);
	struct err ignored;

	return size && blob_size(s->blob_fd, name, &ignored) == (int64_t)size;
}

bool layer_present(
    const struct store *s, const char *key, const char *digest, bool above)
{
	AUTO_FREE char *dirs = blob_name(key, "dirs");
	AUTO_JSON struct json_object *json = NULL;
	const struct boot_item *items;
	struct layer_info info;
	struct err ignored;

	if (layer_info_load(s->blob_fd, key, &info, &json, &ignored) < 0 ||
	    strcmp(info.digest, digest) ||
	    blob_size(s->blob_fd, dirs, &ignored) < 0 ||
	    (above && info.implicit && !strcmp(key, digest)))
		return false;
	items = info.boot.v;
	for (size_t i = 0; i < info.boot.n; i++)
		if (!strcmp(items[i].type, "file") &&
		    !has_blob(s, items[i].digest, boot_suffix(items[i].path),
			items[i].size))
			return false;
	return has_blob(s, key, "erofs", info.erofs_size);
}
