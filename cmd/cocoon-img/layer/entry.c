/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file.h"

static int refuse(struct err *err, const struct name *n, const char *why)
{
	return err_set(
	    err, ERR_INPUT, "entry \"%.200s\": refused: %s", n->path, why);
}

static int too_big(const struct unpack *u, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    "refused: more than %llu bytes in the layer; --max-size allows "
	    "more",
	    (unsigned long long)u->max.bytes);
}

static int write_at(int fd, const char *data, size_t len, int64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void hash_zeros(struct evp_md_ctx_st *sha, int64_t n)
{
	static const char zeros[1 << 16];

	for (; n > 0; n -= (int64_t)sizeof(zeros))
		sha_add(sha, zeros,
		    n < (int64_t)sizeof(zeros) ? (size_t)n : sizeof(zeros));
}

/* Sparse files come as ranges, in order; what lies between stays a hole. */
static int copy_data(struct archive *a, int fd, const struct name *n,
    int64_t size, struct evp_md_ctx_st *sha, struct err *err)
{
	int64_t at, end = 0;
	const void *data;
	size_t len;
	int r;

	while (
	    (r = archive_read_data_block(a, &data, &len, &at)) == ARCHIVE_OK) {
		if (!len)
			continue;
		if (at < end || at > size || (int64_t)len > size - at)
			return refuse(err, n,
			    at < end ? "ranges out of order"
				     : "more data than its size");
		hash_zeros(sha, at - end);
		sha_add(sha, data, len);
		end = at + (int64_t)len;
		if (write_at(fd, data, len, at) < 0)
			return err_sys(err, errno, "%s: write", n->path);
	}
	if (r != ARCHIVE_EOF)
		return err_set(err, ERR_INPUT, "%s: read: %s", n->path,
		    archive_error_string(a));
	hash_zeros(sha, size - end);
	if (ftruncate(fd, size) < 0)
		return err_sys(err, errno, "%s: write", n->path);
	return 0;
}

/* What verify compares the image with. */
static int note_content(struct unpack *u, int fd, const char *digest,
    const struct name *n, struct err *err)
{
	struct content c = {.serial = u->used.entries};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: stat", n->path);
	c.ino = st.st_ino;
	memcpy(c.sha, digest + 7, sizeof(c.sha));
	return fwrite(&c, sizeof(c), 1, u->content) == 1
		   ? 0
		   : err_sys(err, errno, "content: write");
}

static int make_file(struct unpack *u, struct archive *a,
    struct archive_entry *e, const struct name *n, struct err *err)
{
	int64_t size = archive_entry_size(e);
	struct evp_md_ctx_st *sha;
	char digest[72];
	AUTO_FD int fd = -1;
	int r;

	/* What counts is the size in the image, which has no holes. */
	if (size < 0 || (uint64_t)size > u->max.bytes - u->used.bytes)
		return too_big(u, err);
	u->used.bytes += (uint64_t)size;
	fd = openat(u->tree.dir_fd, n->path + n->base,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s: create", n->path);
	sha = sha_new();
	if (!sha)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	r = copy_data(a, fd, n, size, sha, err);
	sha_end(sha, digest);
	return r < 0 ? -1 : note_content(u, fd, digest, n, err);
}

static int make_node(struct unpack *u, struct archive_entry *e,
    const struct name *n, struct err *err)
{
	unsigned int type = archive_entry_filetype(e);
	dev_t dev = 0;

	if (type != AE_IFIFO) {
		dev_t major = archive_entry_rdevmajor(e);
		dev_t minor = archive_entry_rdevminor(e);

		if (major > 0xfff || minor > 0xfffff)
			return refuse(err, n, "device number out of range");
		dev = makedev((unsigned int)major, (unsigned int)minor);
		if (type == AE_IFCHR && dev == 0)
			return refuse(err, n,
			    "character device 0:0, which overlayfs takes for "
			    "a removal");
	}
	if (mknodat(u->tree.dir_fd, n->path + n->base, type | 0600, dev) < 0)
		return err_sys(err, errno, "%s: make a device", n->path);
	return 0;
}

static int make_symlink(struct unpack *u, struct archive_entry *e,
    const struct name *n, struct err *err)
{
	const char *target = archive_entry_symlink(e);

	if (!target || !*target)
		return refuse(err, n, "a symbolic link to nothing");
	if (symlinkat(target, u->tree.dir_fd, n->path + n->base) < 0)
		return err_sys(err, errno, "%s: symlink", n->path);
	return 0;
}

static int make(struct unpack *u, struct archive *a, struct archive_entry *e,
    const struct name *n, struct err *err)
{
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return make_file(u, a, e, n, err);
	case AE_IFLNK:
		return make_symlink(u, e, n, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return make_node(u, e, n, err);
	default:
		return refuse(err, n, "an unknown kind of file");
	}
}

/* The layer's own root: it is there, only its attributes come. */
static int unpack_root(struct unpack *u, struct archive_entry *e,
    const struct name *n, struct err *err)
{
	if (archive_entry_filetype(e) != AE_IFDIR || archive_entry_hardlink(e))
		return refuse(err, n, "the root is no directory");
	if (tree_leave(&u->tree, err) < 0)
		return -1;
	return meta_apply(u->tree.root_fd, ".", e, err);
}

/* The directory that holds a ".wh..wh..opq": base is that marker. */
static int unpack_opaque(struct unpack *u, struct name *n, struct err *err)
{
	int dir = tree_parent(&u->tree, n, err);

	return dir < 0 ? -1 : tree_opaque(dir, ".", err);
}

static int unpack_plain(struct unpack *u, struct archive *a,
    struct archive_entry *e, const struct name *n, struct err *err)
{
	const char *hard = archive_entry_hardlink(e);

	if (hard)
		return tree_link(&u->tree, n, hard, err);
	if (archive_entry_filetype(e) == AE_IFDIR) {
		if (tree_mkdir(&u->tree, n, err) < 0)
			return -1;
	} else if (tree_clear(&u->tree, n, err) < 0 ||
		   make(u, a, e, n, err) < 0) {
		return -1;
	}
	if (meta_apply(u->tree.dir_fd, n->path + n->base, e, err) < 0)
		return -1;
	return archive_entry_filetype(e) == AE_IFDIR
		   ? dirs_explicit(u->tree.dirs, n, e, err)
		   : 0;
}

int entry_unpack(struct unpack *u, struct archive *a, struct archive_entry *e,
    struct err *err)
{
	enum name_kind kind;
	struct name n;

	if (++u->used.entries > u->max.entries)
		return err_set(err, ERR_INPUT,
		    "refused: more than %llu entries in the layer; "
		    "--max-entries allows more",
		    (unsigned long long)u->max.entries);
	if (name_parse(&n, archive_entry_pathname(e), &kind, err) < 0)
		return -1;
	if (kind == NAME_SKIP)
		return 0;
	if (kind == NAME_OPAQUE)
		return unpack_opaque(u, &n, err);
	if (!n.len)
		return unpack_root(u, e, &n, err);
	if (tree_parent(&u->tree, &n, err) < 0)
		return -1;
	if (kind == NAME_PLAIN)
		return unpack_plain(u, a, e, &n, err);
	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e))
		return refuse(err, &n, "a whiteout that is no plain file");
	return tree_whiteout(&u->tree, &n, err);
}
