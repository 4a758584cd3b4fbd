/* SPDX-License-Identifier: MIT */
/* What a file is, by its content; and the tar of an image into a directory. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"

static struct archive *open_any(struct stream *s, bool raw)
{
	struct archive *a = archive_read_new();

	archive_read_support_format_tar(a);
	if (raw)
		archive_read_support_format_raw(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_open(a, s, NULL, stream_read, NULL);
	return a;
}

static const char *skip_dot(const char *name)
{
	while (name && !strncmp(name, "./", 2))
		name += 2 + strspn(name + 2, "/");
	return name && strcmp(name, ".") ? name : "";
}

/* The first name in what docker, podman, skopeo and the like save. */
static bool of_image(const char *name)
{
	static const char *const names[] = {"oci-layout", "index.json",
	    "manifest.json", "repositories", "blobs", NULL};
	static const char *const ends[] = {
	    "", ".json", ".tar", ".tar.gz", NULL};
	size_t len = strcspn(name, "/"), hex;

	for (size_t i = 0; names[i]; i++)
		if (len == strlen(names[i]) && !strncmp(name, names[i], len))
			return true;
	if (!strncmp(name, "sha256:", 7))
		name += 7, len -= 7;
	hex = strspn(name, "0123456789abcdef");
	for (size_t i = 0; hex == 64 && ends[i]; i++)
		if (len == 64 + strlen(ends[i]) &&
		    !strncmp(name + 64, ends[i], len - 64))
			return true;
	return false;
}

static const char *kind_of(struct archive *a)
{
	struct archive_entry *e;
	int r;

	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN) {
		const char *name = skip_dot(archive_entry_pathname(e));

		if ((archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) !=
		    ARCHIVE_FORMAT_TAR)
			return "disk";
		if (*name)
			return of_image(name) ? "image" : "tar";
	}
	/* A tar without a file is one, too. */
	return r == ARCHIVE_EOF ? "tar" : "disk";
}

void sniff(struct stream *s, struct buf *out)
{
	struct archive *a = open_any(s, true);

	buf_addf(out, "{\"kind\":\"%s\"}\n", kind_of(a));
	archive_read_free(a);
}

/* No link, no device: blobs and documents, two levels deep at most. */
static int refuse(struct archive_entry *e, const char *why, struct err *err)
{
	return err_set(err, ERR_INPUT, "entry \"%.200s\": refused: %s",
	    archive_entry_pathname(e), why);
}

static int write_file(struct archive *a, struct archive_entry *e, int dir,
    const char *base, uint64_t *left, struct err *err)
{
	static char buf[1 << 16];
	AUTO_FD int fd = -1;
	la_ssize_t n;

	unlinkat(dir, base, 0);
	fd = openat(dir, base,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%.200s: create", base);
	while ((n = archive_read_data(a, buf, sizeof(buf))) > 0) {
		if ((uint64_t)n > *left)
			return refuse(
			    e, "too many bytes; --max-size allows more", err);
		*left -= (uint64_t)n;
		if (write_all(fd, buf, (size_t)n) < 0)
			return err_sys(err, errno, "%.200s: write", base);
	}
	return n < 0 ? bad_archive(a, err) : 0;
}

/* Old docker has one layer twice by a link beside it. */
static int write_link(struct archive_entry *e, int dir, const char *base,
    const char *target, struct err *err)
{
	if (*target == '/')
		return refuse(e, "it leads elsewhere", err);
	unlinkat(dir, base, 0);
	return symlinkat(target, dir, base) < 0
		   ? err_sys(err, errno, "%.200s: symlink", base)
		   : 0;
}

static int explode_entry(struct archive *a, struct archive_entry *e, int dir,
    uint64_t *left, struct err *err)
{
	const char *name = skip_dot(archive_entry_pathname(e));
	const char *link = archive_entry_symlink(e);
	AUTO_FD int sub = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	mode_t type = archive_entry_filetype(e);

	if (archive_entry_hardlink(e))
		return refuse(e, "a hard link", err);
	for (size_t len; (len = strcspn(name, "/")), name[len];) {
		AUTO_FREE char *part = xstrndup(name, len);
		int next;

		if (!len || !strcmp(part, "..") || !strcmp(part, "."))
			return refuse(e, "not a plain name", err);
		next = dir_open(sub, part, 0700, err);
		if (next < 0)
			return -1;
		close_fd(&sub);
		sub = next;
		name += len + 1;
	}
	if (type == AE_IFDIR || !*name)
		return 0;
	if (!strcmp(name, "..") || !strcmp(name, "."))
		return refuse(e, "not a plain name", err);
	if (type == AE_IFLNK && link)
		return write_link(e, sub, name, link, err);
	if (type != AE_IFREG)
		return refuse(e, "not a file", err);
	return write_file(a, e, sub, name, left, err);
}

int explode(struct stream *s, int dir, const struct limits *max,
    struct buf *out, struct err *err)
{
	struct archive *a = open_any(s, false);
	uint64_t left = max->bytes, entries = 0;
	struct archive_entry *e;
	int r, bad = 0;

	while (!bad && ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK ||
			   r == ARCHIVE_WARN)) {
		if (++entries > max->entries || entries > 100000)
			bad = refuse(e, "too many entries", err);
		else
			bad = explode_entry(a, e, dir, &left, err);
	}
	if (!bad && r != ARCHIVE_EOF)
		bad = bad_archive(a, err);
	archive_read_free(a);
	buf_str(out, "{}\n");
	return bad;
}
