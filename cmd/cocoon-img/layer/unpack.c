/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"

static int bad_archive(struct archive *a, struct err *err)
{
	const char *why = archive_error_string(a);

	if (archive_errno(a) == ENOMEM)
		return err_set(err, ERR_UNSUPPORTED,
		    "its compression needs more memory than is allowed");
	return err_set(
	    err, ERR_INPUT, "not a good tar: %s", why ? why : "unknown reason");
}

/*
 * In the C locale, which this program stays in, libarchive warns of every pax
 * name that is not ASCII, and gives its bytes as they are. In a UTF-8 locale
 * it would compose them (NFC): other names than the image has.
 */
static bool usable(struct archive *a, int r)
{
	const char *why = r == ARCHIVE_WARN ? archive_error_string(a) : NULL;

	return r == ARCHIVE_OK || (why && strstr(why, "can't be converted"));
}

static int unpack_all(struct unpack *u, struct archive *a, struct err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
	struct archive_entry *e;
	int r;

	if (futimens(u->tree.root_fd, times) < 0)
		return err_sys(err, errno, "the tree: set its time");
	while (usable(a, r = archive_read_next_header(a, &e)))
		if (entry_unpack(u, a, e, err) < 0)
			return -1;
	if (r != ARCHIVE_EOF)
		return bad_archive(a, err);
	return tree_leave(&u->tree, err);
}

static int read_tar(struct unpack *u, struct stream *s, struct err *err)
{
	struct archive *a = archive_read_new();
	int r;

	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open(a, s, NULL, stream_read, NULL) != ARCHIVE_OK)
		r = bad_archive(a, err);
	else
		r = unpack_all(u, a, err);
	archive_read_free(a);
	return r;
}

int layer_unpack(struct unpack *u, int out_fd, struct buf *out, struct err *err)
{
	struct stream *s = stream_new(STDIN_FILENO);
	uint64_t bytes, implicit;
	char digest[72];

	if (!s)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	u->tree.dirs = dirs_new(out_fd, err);
	if (!u->tree.dirs || read_tar(u, s, err) < 0 ||
	    dirs_end(u->tree.dirs, &implicit, err) < 0 ||
	    stream_end(s, digest, &bytes, err) < 0)
		return -1;
	buf_addf(out, "{\"digest\":\"%s\",\"source_size\":%llu,", digest,
	    (unsigned long long)bytes);
	buf_addf(out, "\"entries\":%llu,\"implicit\":%llu,\"boot\":",
	    (unsigned long long)u->used.entries, (unsigned long long)implicit);
	if (boot_scan(&u->tree, out_fd, out, err) < 0)
		return -1;
	buf_str(out, "}\n");
	return 0;
}
