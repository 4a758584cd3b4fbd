/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"

#define BLOCK 4096

struct sparse {
	int fd;
	uint64_t size;
	bool hole; /* the end was not written */
};

static bool is_zero(const char *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* Blocks of zeros are left out; data comes in order, in any pieces. */
static int put(struct sparse *out, const char *data, size_t len)
{
	while (len > 0) {
		size_t n = BLOCK - out->size % BLOCK;

		n = n < len ? n : len;
		out->hole = n == BLOCK && is_zero(data, n);
		if (out->hole) {
			if (lseek(out->fd, (off_t)n, SEEK_CUR) < 0)
				return -1;
		} else {
			/* As many blocks as have something in them. */
			while (n + BLOCK <= len && !is_zero(data + n, BLOCK))
				n += BLOCK;
			if (write_all(out->fd, data, n) < 0)
				return -1;
		}
		out->size += n;
		data += n;
		len -= n;
	}
	return 0;
}

static int copy(struct archive *a, struct sparse *out,
    struct evp_md_ctx_st *sha, uint64_t max, struct err *err)
{
	static char buf[1 << 16];
	la_ssize_t n;

	while ((n = archive_read_data(a, buf, sizeof(buf))) > 0) {
		if ((uint64_t)n > max - out->size)
			return err_set(err, ERR_INPUT,
			    "refused: more than %llu bytes; --max-size allows "
			    "more",
			    (unsigned long long)max);
		sha_add(sha, buf, (size_t)n);
		if (put(out, buf, (size_t)n) < 0)
			return err_sys(err, errno, "the disk: write");
	}
	if (n < 0)
		return bad_archive(a, err);
	if (out->hole && ftruncate(out->fd, (off_t)out->size) < 0)
		return err_sys(err, errno, "the disk: set its size");
	return 0;
}

int expand_to(struct archive *a, int out_fd, uint64_t max, char digest[72],
    uint64_t *size, struct err *err)
{
	struct sparse file = {.fd = out_fd};
	struct evp_md_ctx_st *sha = sha_new();
	struct archive_entry *e;
	int r;

	if (!sha)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	if (archive_read_next_header(a, &e) != ARCHIVE_OK)
		r = bad_archive(a, err);
	else
		r = copy(a, &file, sha, max, err);
	sha_end(sha, digest);
	*size = file.size;
	return r;
}

int expand(struct stream *s, int out_fd, uint64_t max, struct buf *out,
    struct err *err)
{
	struct archive *a = archive_read_new();
	char digest[72], source[72];
	uint64_t size, bytes;
	int r;

	archive_read_support_format_raw(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	r = archive_read_open(a, s, NULL, stream_read, NULL) == ARCHIVE_OK
		? expand_to(a, out_fd, max, digest, &size, err)
		: bad_archive(a, err);
	archive_read_free(a);
	if (r < 0 || stream_end(s, source, &bytes, err) < 0)
		return -1;
	buf_addf(out, "{\"digest\":\"%s\",\"size\":%llu,\"source\":\"%s\"}\n",
	    digest, (unsigned long long)size, source);
	return 0;
}
