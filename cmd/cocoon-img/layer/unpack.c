/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"

#define TAIL_MAX ((uint64_t)64 << 20)

int bad_archive(struct archive *a, struct err *err)
{
	const char *why = archive_error_string(a);

	if (archive_errno(a) == ENOMEM)
		return err_set(err, ERR_UNSUPPORTED,
		    "its compression needs more memory than is allowed");
	return err_set(err, ERR_INPUT, "not a good archive: %s",
	    why ? why : "unknown reason");
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

/* The tar in front of its compression: a file of that one archive. */
struct inner {
	struct archive *raw;
	struct evp_md_ctx_st *sha; /* NULL: not asked for */
	unsigned char buf[1 << 16];
};

static la_ssize_t inner_read(struct archive *a, void *arg, const void **data)
{
	struct inner *in = arg;
	la_ssize_t n = archive_read_data(in->raw, in->buf, sizeof(in->buf));

	if (n < 0)
		archive_set_error(a, archive_errno(in->raw), "%s",
		    archive_error_string(in->raw));
	else if (in->sha)
		sha_add(in->sha, in->buf, (size_t)n);
	*data = in->buf;
	return n < 0 ? ARCHIVE_FATAL : n;
}

/* What follows the end of the tar belongs to its digest. */
static int inner_end(struct archive *a, struct inner *in, struct err *err)
{
	uint64_t left = TAIL_MAX;
	const void *data;
	la_ssize_t n;

	while ((n = inner_read(a, in, &data)) > 0) {
		if ((uint64_t)n > left)
			return err_set(err, ERR_INPUT,
			    "not a good archive: too much behind its end");
		left -= (uint64_t)n;
	}
	return n < 0 ? bad_archive(a, err) : 0;
}

static int read_inner(struct unpack *u, struct inner *in, struct err *err)
{
	struct archive *a = archive_read_new();
	int r;

	archive_read_support_format_tar(a);
	if (archive_read_open(a, in, NULL, inner_read, NULL) != ARCHIVE_OK)
		r = bad_archive(a, err);
	else
		r = unpack_all(u, a, err);
	if (r == 0)
		r = inner_end(a, in, err);
	archive_read_free(a);
	return r;
}

static int read_tar(struct unpack *u, struct stream *s,
    struct evp_md_ctx_st *sha, struct err *err)
{
	static struct inner in;
	struct archive_entry *e;
	int r;

	in.raw = archive_read_new();
	in.sha = sha;
	archive_read_support_format_raw(in.raw);
	archive_read_support_filter_gzip(in.raw);
	archive_read_support_filter_xz(in.raw);
	archive_read_support_filter_zstd(in.raw);
	if (archive_read_open(in.raw, s, NULL, stream_read, NULL) !=
		ARCHIVE_OK ||
	    archive_read_next_header(in.raw, &e) != ARCHIVE_OK)
		r = bad_archive(in.raw, err);
	else
		r = read_inner(u, &in, err);
	archive_read_free(in.raw);
	return r;
}

int layer_unpack(struct unpack *u, struct stream *s, bool want_diff, int out_fd,
    struct buf *out, struct err *err)
{
	struct evp_md_ctx_st *sha = want_diff ? sha_new() : NULL;
	char digest[72], diff[72];
	uint64_t bytes, implicit;

	u->tree.dirs = dirs_new(out_fd, err);
	u->content = open_out(out_fd, "content", err);
	if (!u->tree.dirs || !u->content || read_tar(u, s, sha, err) < 0 ||
	    close_out(u->content, "content", err) < 0 ||
	    dirs_end(u->tree.dirs, &implicit, err) < 0 ||
	    stream_end(s, digest, &bytes, err) < 0)
		return -1;
	buf_addf(out, "{\"digest\":\"%s\",\"source_size\":%llu,", digest,
	    (unsigned long long)bytes);
	if (sha) {
		sha_end(sha, diff);
		buf_addf(out, "\"diff\":\"%s\",", diff);
	}
	buf_addf(out, "\"entries\":%llu,\"implicit\":%llu,\"boot\":",
	    (unsigned long long)u->used.entries, (unsigned long long)implicit);
	if (boot_scan(&u->tree, out_fd, out, err) < 0)
		return -1;
	buf_str(out, "}\n");
	return 0;
}
