/* SPDX-License-Identifier: MIT */
/*
 * The ELF file in a kernel: bzImage (Documentation/x86/boot.rst: the payload),
 * an ELF file itself, or one that is compressed.
 */
#include <archive.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"

#define SETUP_SECTS 0x1f1
#define BOOT_FLAG 0x1fe
#define HEADER 0x202
#define VERSION 0x206
#define PAYLOAD_AT 0x248
#define PAYLOAD_LEN 0x24c
#define HEAD 0x250

struct range {
	int fd;
	uint64_t at, left;
	unsigned char buf[1 << 16];
};

static uint64_t le(const unsigned char *p, size_t bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static la_ssize_t range_read(struct archive *a, void *arg, const void **data)
{
	struct range *r = arg;
	size_t want = r->left < sizeof(r->buf) ? r->left : sizeof(r->buf);
	ssize_t n;

	do
		n = pread(r->fd, r->buf, want, (off_t)r->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		archive_set_error(a, errno, "read the kernel");
	if (n > 0) {
		r->at += (uint64_t)n;
		r->left -= (uint64_t)n;
	}
	*data = r->buf;
	return n;
}

/* Where the payload of a bzImage is. false: it is none. */
static bool find_payload(struct range *r, const unsigned char *head)
{
	uint64_t sects = head[SETUP_SECTS] ? head[SETUP_SECTS] : 4;
	uint64_t at = (sects + 1) * 512 + le(head + PAYLOAD_AT, 4);
	uint64_t len = le(head + PAYLOAD_LEN, 4);

	if (le(head + BOOT_FLAG, 2) != 0xaa55 ||
	    memcmp(head + HEADER, "HdrS", 4) || le(head + VERSION, 2) < 0x208 ||
	    len < 8 || at >= r->left || len > r->left - at)
		return false;
	r->at = at;
	r->left = len;
	return true;
}

/* The build puts the size behind what has not its own: all but gzip. */
static int trim(struct range *r, struct err *err)
{
	unsigned char magic[2];

	if (pread(r->fd, magic, 2, (off_t)r->at) != 2)
		return err_sys(err, errno, "the kernel: read");
	if (magic[0] != 0x1f || magic[1] != 0x8b)
		r->left -= 4;
	return 0;
}

static bool is_elf(int fd)
{
	char magic[5] = "";

	return pread(fd, magic, 5, 0) == 5 && !memcmp(magic,
						  "\x7f"
						  "ELF\x02",
						  5);
}

static int unpack(
    struct range *r, int out_fd, uint64_t max, struct buf *out, struct err *err)
{
	struct archive *a = archive_read_new();
	char digest[72];
	uint64_t size;
	int bad;

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_format_raw(a);
	bad = archive_read_open(a, r, NULL, range_read, NULL) == ARCHIVE_OK
		  ? expand_to(a, out_fd, max, digest, &size, err)
		  : bad_archive(a, err);
	archive_read_free(a);
	if (bad)
		return -1;
	if (!is_elf(out_fd))
		return err_set(err, ERR_UNSUPPORTED,
		    "the kernel is neither bzImage nor ELF, plain or "
		    "compressed");
	buf_addf(out, "{\"digest\":\"%s\",\"size\":%llu}\n", digest,
	    (unsigned long long)size);
	return 0;
}

int vmlinux(int out_fd, uint64_t max, struct buf *out, struct err *err)
{
	static struct range r = {.fd = STDIN_FILENO};
	unsigned char head[HEAD] = {0};
	struct stat st;

	if (fstat(r.fd, &st) < 0 || pread(r.fd, head, sizeof(head), 0) < 0)
		return err_sys(err, errno, "the kernel: read");
	r.left = (uint64_t)st.st_size;
	if (find_payload(&r, head) && trim(&r, err) < 0)
		return -1;
	return unpack(&r, out_fd, max, out, err);
}
