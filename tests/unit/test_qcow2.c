/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "qcow2.h"
#include "tap.h"

#define LEN 65536

static unsigned char head[LEN];

static void put(size_t at, size_t bytes, uint64_t v)
{
	while (bytes-- > 0) {
		head[at + bytes] = (unsigned char)v;
		v >>= 8;
	}
}

/* As qemu-img makes one of 1 GiB: clusters of 64 KiB, version 3. */
static void good(void)
{
	memset(head, 0, sizeof(head));
	memcpy(head, "QFI\xfb", 4);
	put(4, 4, 3);
	put(20, 4, 16);
	put(24, 8, 1 << 30);
	put(36, 4, 2);
	put(40, 8, 3 << 16);
	put(48, 8, 1 << 16);
	put(56, 4, 1);
	put(96, 4, 4);
	put(100, 4, 112);
}

static int check(uint64_t size, struct err *err)
{
	struct qcow2 q;

	return qcow2_check(head, LEN, size, &q, err);
}

static void refused(const char *what, size_t at, size_t bytes, uint64_t v)
{
	struct err err = {0};

	good();
	put(at, bytes, v);
	ok(check(4 << 16, &err) < 0 && err.msg[0], "refused: %s: %s", what,
	    err.msg);
}

static void test_refused(void)
{
	refused("version", 4, 4, 4);
	refused("backing file", 8, 8, 200);
	refused("length of a backing file's name", 16, 4, 9);
	refused("tiny clusters", 20, 4, 8);
	refused("huge clusters", 20, 4, 22);
	refused("no size", 24, 8, 0);
	refused("3 TiB", 24, 8, (uint64_t)3 << 40);
	refused("a size beyond the L1 table", 24, 8, (1 << 30) + 1);
	refused("encryption", 32, 4, 1);
	refused("a huge L1 table", 36, 4, 1 << 23);
	refused("an L1 table beyond the file", 40, 8, 4 << 16);
	refused("an L1 table far beyond", 40, 8, (uint64_t)-65536);
	refused("an L1 table in the header", 40, 8, 0);
	refused("an L1 table between clusters", 40, 8, (3 << 16) + 8);
	refused("no refcount table", 56, 4, 0);
	refused("a huge refcount table", 56, 4, 0xffffffff);
	refused("refcounts beyond the file", 48, 8, 4 << 16);
	refused("both tables at one place", 48, 8, 3 << 16);
	refused("snapshots", 60, 4, 1);
	refused("dirty", 72, 8, 1);
	refused("corrupt", 72, 8, 2);
	refused("a data file", 72, 8, 4);
	refused("extended L2 entries", 72, 8, 16);
	refused("an unknown feature", 72, 8, (uint64_t)1 << 63);
	refused("a raw data file", 88, 8, 2);
	refused("wide refcounts", 96, 4, 7);
	refused("a short header", 100, 4, 96);
	refused("a long header", 100, 4, 0xfffffff8);
	refused("the extension of a data file", 112, 4, 0x44415441);
	refused("the extension of a backing file", 112, 4, 0xe2792aca);
	refused("bitmaps", 112, 4, 0x23852875);
	refused("an extension without end", 112, 8, 0x1234567800ffffff);
}

/* A generator of our own, so that a failure can be had again. */
static uint32_t seed = 1;

static uint32_t rnd(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Whatever the bytes are: no crash, and what passes has sane tables. */
static void test_mutations(void)
{
	unsigned int passed = 0, insane = 0;

	for (int i = 0; i < 200000; i++) {
		size_t len = i % 3 ? LEN : rnd() % 300;
		unsigned int n = 1 + rnd() % 4;
		struct qcow2 q;
		struct err err = {0};
		unsigned char *copy;

		good();
		while (n-- > 0)
			head[rnd() % 160] = (unsigned char)(rnd() >> 3);
		/* Exactly len bytes, so that a sanitizer sees a step beyond. */
		copy = malloc(len ? len : 1);
		memcpy(copy, head, len);
		if (qcow2_check(copy, len, 4 << 16, &q, &err) == 0) {
			passed++;
			insane += q.virtual_size == 0 || head[8] || head[60] ||
				  q.cluster_bits < 9 || q.cluster_bits > 21;
		}
		free(copy);
	}
	ok(passed > 0 && passed < 150000, "%u of 200000 pass", passed);
	is_int(insane, 0, "and none of them is a trick");
}

int main(void)
{
	struct err err = {0};
	struct qcow2 q;

	good();
	ok(qcow2_check(head, LEN, 4 << 16, &q, &err) == 0, "a good one: %s",
	    err.msg);
	is_int((long long)q.virtual_size, 1 << 30, "its size");
	is_int(q.version, 3, "its version");
	put(4, 4, 2);
	memset(head + 72, 0, 40);
	ok(check(4 << 16, &err) == 0, "version 2: %s", err.msg);
	good();
	put(72, 8, 8);
	put(104, 1, 1);
	ok(check(4 << 16, &err) == 0, "zstd: %s", err.msg);
	ok(!qcow2_magic("QFI", 3) && qcow2_magic(head, 4), "its magic");
	test_refused();
	test_mutations();
	return done();
}
