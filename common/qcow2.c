/* SPDX-License-Identifier: MIT */
#include "qcow2.h"

#include <string.h>

#include "attr.h"

/* qemu's own limits of the tables that it keeps in memory. */
#define L1_MAX ((uint64_t)32 << 20)
#define REFTABLE_MAX ((uint64_t)8 << 20)
/* 2 TiB: no cloud image is larger, and a VM's own disk may be. */
#define VIRTUAL_MAX ((uint64_t)2 << 40)

#define EXT_END 0
#define EXT_DATA_FILE 0x44415441U
#define EXT_BACKING_FORMAT 0xe2792acaU
#define EXT_BITMAPS 0x23852875U

#define FEATURE_DIRTY 1
#define FEATURE_CORRUPT 2
#define FEATURE_DATA_FILE 4
#define FEATURE_COMPRESSION 8
#define AUTOCLEAR_DATA_FILE_RAW 2

struct head {
	const unsigned char *p;
	size_t len;
	uint64_t file_size;
};

static uint64_t be(const struct head *h, size_t at, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | h->p[at + i];
	return v;
}

static int bad(struct err *err, const char *why)
{
	return err_set(err, ERR_INPUT, "qcow2: %s", why);
}

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_UNSUPPORTED, "qcow2: refused: %s", why);
}

bool qcow2_magic(const void *head, size_t len)
{
	return len >= 4 && !memcmp(head, "QFI\xfb", 4);
}

/* A table of n entries of 8 bytes at an offset: in the file, and on a cluster
 * that is not the header's. */
static bool table_fits(
    const struct head *h, uint64_t at, uint64_t bytes, unsigned int bits)
{
	uint64_t cluster = 1ULL << bits;

	return at >= cluster && !(at & (cluster - 1)) && at <= h->file_size &&
	       bytes <= h->file_size - at;
}

static int check_tables(
    const struct head *h, const struct qcow2 *q, struct err *err)
{
	uint64_t l1_n = be(h, 36, 4), l1_at = be(h, 40, 8);
	uint64_t ref_at = be(h, 48, 8);
	uint64_t ref_bytes = be(h, 56, 4) << q->cluster_bits;
	/* What one entry of the L1 table maps. */
	unsigned int shift = 2 * q->cluster_bits - 3;
	uint64_t need = (q->virtual_size >> shift) +
			!!(q->virtual_size & ((1ULL << shift) - 1));

	if (l1_n * 8 > L1_MAX)
		return bad(err, "its L1 table is too large");
	if (l1_n < need)
		return bad(err, "its L1 table is too small for its size");
	if (l1_n && !table_fits(h, l1_at, l1_n * 8, q->cluster_bits))
		return bad(err, "its L1 table is not in the file");
	if (!ref_bytes || ref_bytes > REFTABLE_MAX ||
	    !table_fits(h, ref_at, ref_bytes, q->cluster_bits))
		return bad(err, "its refcount table is not in the file");
	if (ref_at < l1_at + l1_n * 8 && l1_at < ref_at + ref_bytes)
		return bad(err, "its tables overlap");
	return 0;
}

static int check_features(const struct head *h, size_t *length, struct err *err)
{
	uint64_t incompatible = be(h, 72, 8), autoclear = be(h, 88, 8);

	*length = be(h, 100, 4);
	if (incompatible & FEATURE_DATA_FILE ||
	    autoclear & AUTOCLEAR_DATA_FILE_RAW)
		return refuse(err, "it names an external data file");
	if (incompatible & (FEATURE_DIRTY | FEATURE_CORRUPT))
		return refuse(err,
		    "it was not closed properly: repair it with `qemu-img "
		    "check -r all`");
	if (incompatible & ~(uint64_t)FEATURE_COMPRESSION)
		return refuse(err,
		    "it has features that not every hypervisor knows: make a "
		    "plain one with `qemu-img convert -O qcow2`");
	if (be(h, 96, 4) > 6)
		return bad(err, "its refcounts are too wide");
	if (*length < 104 || *length % 8 || *length > h->len)
		return bad(err, "its header has a bad length");
	if (incompatible & FEATURE_COMPRESSION &&
	    (*length < 112 || h->p[104] > 1))
		return bad(err, "its compression is unknown");
	return 0;
}

static int check_extensions(
    const struct head *h, size_t at, size_t end, struct err *err)
{
	while (at + 8 <= end) {
		uint64_t type = be(h, at, 4), len = be(h, at + 4, 4);

		if (type == EXT_END)
			return 0;
		if (type == EXT_DATA_FILE)
			return refuse(err, "it names an external data file");
		if (type == EXT_BACKING_FORMAT)
			return refuse(err, "it names a backing file");
		if (type == EXT_BITMAPS)
			return refuse(err, "it has bitmaps");
		if (len > end - at - 8)
			return bad(err, "a header extension has no end");
		at += 8 + ((len + 7) & ~(uint64_t)7);
	}
	return at <= end ? 0 : bad(err, "a header extension has no end");
}

int qcow2_check(const void *head, size_t len, uint64_t file_size,
    struct qcow2 *out, struct err *err)
{
	const struct head h = {head, len, file_size};
	size_t length = 72, end;

	if (len < 104 || file_size < len || !qcow2_magic(head, len))
		return bad(err, "it ends in its header");
	*out = (struct qcow2){.version = (unsigned int)be(&h, 4, 4),
	    .cluster_bits = (unsigned int)be(&h, 20, 4),
	    .virtual_size = be(&h, 24, 8)};
	if (out->version != 2 && out->version != 3)
		return refuse(err, "its version is neither 2 nor 3");
	if (be(&h, 8, 8) || be(&h, 16, 4))
		return refuse(err,
		    "it names a backing file; make it whole with `qemu-img "
		    "convert -O qcow2`");
	if (out->cluster_bits < 9 || out->cluster_bits > 21)
		return bad(err, "its cluster size is none");
	if (!out->virtual_size || out->virtual_size > VIRTUAL_MAX)
		return refuse(err, "its size is 0 or more than 2 TiB");
	if (be(&h, 32, 4))
		return refuse(err, "it is encrypted");
	if (be(&h, 60, 4))
		return refuse(err,
		    "it has snapshots; make a plain one with `qemu-img "
		    "convert -O qcow2`");
	if (out->version == 3 && check_features(&h, &length, err) < 0)
		return -1;
	end = (size_t)1 << out->cluster_bits;
	if (check_extensions(&h, length, end < len ? end : len, err) < 0)
		return -1;
	return check_tables(&h, out, err);
}
