/* SPDX-License-Identifier: MIT */
/* Streams as QEMU 7.2 and 10.0 write them, of a VM with two blocks of RAM. */
#include "qemu_stream.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "file.h"
#include "scratch.h"
#include "tap.h"

#define PAGE 4096
#define PAGES 600 /* more than are read at a time */
#define SIZE ((uint64_t)PAGES * PAGE)

enum { ZERO = 2, SIZES = 4, DATA = 8, END = 16, SAME = 32 };

static int dir;

static void put(struct buf *b, size_t bytes, uint64_t v)
{
	while (bytes-- > 0)
		buf_ch(b, (char)(v >> 8 * bytes));
}

static void name(struct buf *b, const char *s)
{
	put(b, 1, strlen(s));
	buf_str(b, s);
}

static void block(struct buf *b, const char *s, uint64_t size)
{
	name(b, s);
	put(b, 8, size);
}

static void end_section(struct buf *b)
{
	put(b, 8, END);
	put(b, 1, 0x7e);
	put(b, 4, 3);
}

static void section(struct buf *b, int type)
{
	put(b, 1, (uint64_t)type);
	put(b, 4, 3);
}

/* of: the block's name, or NULL: that of the page before. */
static void page(struct buf *b, uint64_t n, const char *of, int fill)
{
	put(b, 8, n * PAGE | (fill ? DATA : ZERO) | (of ? 0 : SAME));
	if (of)
		name(b, of);
	for (int i = 0; i < (fill ? PAGE : 1); i++)
		put(b, 1, (uint64_t)fill);
}

static void head(struct buf *b)
{
	buf_str(b, "QEVM");
	put(b, 4, 3);
	put(b, 1, 7);
	put(b, 4, 10);
	buf_str(b, "pc-q35-7.2");
	section(b, 1);
	name(b, "ram");
	put(b, 4, 0);
	put(b, 4, 4);
	put(b, 8, (SIZE + 2 * PAGE) | SIZES);
	block(b, "pc.ram", SIZE);
	block(b, "pc.bios", 2 * PAGE);
	end_section(b);
}

static void tail(struct buf *b)
{
	/* What 10.0 says in front of the last part. */
	put(b, 1, 8);
	put(b, 2, 0x0b);
	put(b, 2, 3);
	buf_str(b, "abc");
	section(b, 3);
	end_section(b);
	put(b, 1, 4);
	buf_str(b, "devices: \2\0\0\0\3 whatever");
}

static void whole(struct buf *b, bool split)
{
	head(b);
	section(b, 2);
	for (uint64_t i = 0; !split && i < PAGES; i++)
		page(b, i, i ? NULL : "pc.ram", i % 7 ? (int)(i % 250) + 1 : 0);
	page(b, 0, "pc.bios", 9);
	page(b, 1, NULL, 0);
	/* Of a guest that ran on: what it wrote since. */
	if (!split) {
		page(b, 1, "pc.ram", 0);
		page(b, 0, NULL, 77);
		page(b, 599, NULL, 78);
	}
	page(b, 1, "pc.bios", 10);
	end_section(b);
	section(b, 2);
	end_section(b);
	tail(b);
}

static int expected(uint64_t i)
{
	switch (i) {
	case 0:
		return 77;
	case 1:
		return 0;
	case 599:
		return 78;
	default:
		return i % 7 ? (int)(i % 250) + 1 : 0;
	}
}

static int split(const struct buf *in, struct err *err)
{
	struct qemu_stream q = {.block = "pc.ram", .size = SIZE};
	AUTO_FD int from = -1, state = -1, memory = -1;

	*err = (struct err){0};
	if (file_replace(dir, "in", in->data, in->len, false, err) < 0)
		return -2;
	q.in = from = open("in", O_RDONLY | O_CLOEXEC);
	q.state = state =
	    open("state", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	q.memory = memory =
	    open("memory", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return qemu_stream_split(&q, err);
}

static bool same(const char *file, const struct buf *want)
{
	AUTO_BUF struct buf got = {0};
	struct err err;

	return file_read(dir, file, &got, 1 << 24, &err) == 0 &&
	       got.len == want->len && !memcmp(got.data, want->data, got.len);
}

static bool good_memory(void)
{
	AUTO_BUF struct buf got = {0};
	struct err err;

	if (file_read(dir, "memory", &got, 1 << 24, &err) < 0 ||
	    got.len != SIZE)
		return false;
	for (uint64_t i = 0; i < SIZE; i++)
		if ((unsigned char)got.data[i] != expected(i / PAGE))
			return false;
	return true;
}

static void refused(const char *what, struct buf *in, const char *why)
{
	struct err err;

	ok(split(in, &err) == -1 && err.code == ERR_FAILED &&
		strstr(err.msg, why),
	    "refused: %s: %s", what, err.msg);
	buf_release(in);
}

/* Wherever it ends before the devices, that is seen. */
static void cut(const struct buf *all, size_t tail_len)
{
	size_t first = 0;
	struct err err;

	for (size_t n = 0; n < all->len - tail_len; n += n < 400 ? 1 : 9973) {
		struct buf part = {all->data, n, 0};

		if (split(&part, &err) != -1 || !strstr(err.msg, "too soon"))
			first = first ? first : n + 1;
	}
	is_int(first, 0, "cut short: refused at each length");
}

static void damage(void)
{
	struct buf b = {0};

	buf_str(&b, "QEVX and what is behind");
	refused("no stream", &b, "beginning");
	head(&b);
	section(&b, 2);
	page(&b, PAGES, "pc.ram", 1);
	tail(&b);
	refused("a page behind the end", &b, "unknown page");
	head(&b);
	section(&b, 2);
	put(&b, 8, 0x40);
	tail(&b);
	refused("a word that is not known", &b, "unknown word");
	head(&b);
	section(&b, 2);
	put(&b, 8, END);
	put(&b, 1, 0x7e);
	put(&b, 4, 4);
	tail(&b);
	refused("a section that ends another", &b, "end of a section");
	head(&b);
	put(&b, 1, 9);
	tail(&b);
	refused("a section of another kind", &b, "unknown section");
	buf_str(&b, "QEVM");
	put(&b, 4, 3);
	section(&b, 1);
	name(&b, "ram");
	put(&b, 8, 4);
	put(&b, 8, PAGE | SIZES);
	block(&b, "pc.ram", PAGE);
	end_section(&b);
	refused("RAM of another size", &b, "size of its memory");
}

int main(void)
{
	struct buf in = {0}, out = {0}, end = {0};
	struct stat st = {0};
	struct err err;

	dir = scratch();
	whole(&in, false);
	whole(&out, true);
	tail(&end);
	is_int(split(&in, &err), 0, "split: %s", err.msg);
	ok(same("state", &out), "the state: all but the block's pages");
	ok(good_memory(), "the memory: each page at its place, the last of it");
	stat("memory", &st);
	ok((uint64_t)st.st_blocks * 512 < SIZE, "with holes");
	is_int(split(&out, &err), 0, "a state without pages");
	ok(same("state", &out), "is the same again");
	cut(&in, end.len - 13 - 5);
	damage();
	buf_release(&in);
	/* A beginning that is not known: all of it is the state. */
	buf_str(&in, "QEVM");
	put(&in, 4, 3);
	put(&in, 1, 5);
	buf_str(&in, "something that comes with a later version");
	is_int(split(&in, &err), 0, "something new: %s", err.msg);
	ok(same("state", &in), "is kept as it is");
	stat("memory", &st);
	is_int(st.st_size, SIZE, "and the memory is there");
	buf_release(&in);
	buf_release(&out);
	buf_release(&end);
	close(dir);
	return done();
}
