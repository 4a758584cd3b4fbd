/* SPDX-License-Identifier: MIT */
#include "qemu_stream.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "tool.h"

#define PAGE ((uint64_t)4096)
#define WINDOW ((size_t)1 << 20)
#define MOST_PAGES 256 /* WINDOW / PAGE */
#define SLICE_MS 200   /* how soon a signal is seen */

#define MAGIC 0x5145564d /* "QEVM" */
#define VERSION 3

/* savevm.h: what a section is. */
enum {
	SECTION_START = 1,
	SECTION_PART = 2,
	SECTION_END = 3,
	CONFIGURATION = 7,
	COMMAND = 8,
	FOOTER = 0x7e,
};

/* ram.c: what a word says, in the low bits of a page's offset. */
enum {
	RAM_ZERO = 0x02,
	RAM_SIZES = 0x04,
	RAM_PAGE = 0x08,
	RAM_END = 0x10,
	RAM_CONTINUE = 0x20, /* of the block of the page before */
};

struct split {
	const struct qemu_stream *q;
	unsigned char *data; /* WINDOW */
	size_t pos, len;
	struct buf out;
	/* Pages that follow each other, not yet written. */
	struct iovec run[MOST_PAGES];
	size_t n_run;
	uint64_t run_at;
	unsigned char *written; /* a bit a page */
	bool ours;              /* the page before was of our block */
	uint32_t ram;           /* the section's number */
};

static int damaged(const char *what, struct err *err)
{
	return err_set(err, ERR_FAILED,
	    "QEMU's state: unknown %s: this QEMU is too new, or it is damaged",
	    what);
}

static int write_run(struct split *s, struct err *err)
{
	struct iovec *v = s->run;
	size_t n = s->n_run;
	uint64_t at = s->run_at;

	s->n_run = 0;
	while (n) {
		ssize_t done = pwritev(s->q->memory, v, (int)n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return err_sys(
			    err, done ? errno : ENOSPC, "memory: write");
		at += (uint64_t)done;
		for (; n && (size_t)done >= v->iov_len; n--)
			done -= (ssize_t)(v++)->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static int write_out(struct split *s, struct err *err)
{
	if (s->out.len && write_all(s->q->state, s->out.data, s->out.len) < 0)
		return err_sys(err, errno, "state: write");
	s->out.len = 0;
	return 0;
}

/* What the pipe has now; 0 at its end. */
static ssize_t read_more(struct split *s, struct err *err)
{
	struct pollfd p = {s->q->in, POLLIN, 0};
	ssize_t n;

	for (;;) {
		if (tool_check(err) < 0)
			return -1;
		if (poll(&p, 1, SLICE_MS) <= 0)
			continue;
		n = read(s->q->in, s->data + s->len, WINDOW - s->len);
		if (n >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			return err_sys(err, errno, "QEMU's state: read");
	}
	s->len += (size_t)n;
	return n;
}

/* n bytes from pos on, n <= WINDOW; where the pages of the run are may change:
 * it is written before. */
static int need(struct split *s, size_t n, struct err *err)
{
	ssize_t got;

	if (s->len - s->pos >= n)
		return 0;
	if (write_run(s, err) < 0)
		return -1;
	memmove(s->data, s->data + s->pos, s->len - s->pos);
	s->len -= s->pos;
	s->pos = 0;
	while (s->len < n) {
		got = read_more(s, err);
		if (got < 0)
			return -1;
		if (!got)
			return err_set(
			    err, ERR_FAILED, "QEMU's state: ends too soon");
	}
	return 0;
}

/* The next n bytes as they are. */
static int keep(struct split *s, size_t n, struct err *err)
{
	if (need(s, n, err) < 0)
		return -1;
	buf_add(&s->out, s->data + s->pos, n);
	s->pos += n;
	return s->out.len < WINDOW ? 0 : write_out(s, err);
}

static uint32_t number(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t word(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static bool is_name(const unsigned char *counted, const char *name)
{
	return counted[0] == strlen(name) &&
	       !memcmp(counted + 1, name, counted[0]);
}

/* The blocks: name, size; ours must be among them as it should be. */
static int sizes(struct split *s, uint64_t total, struct err *err)
{
	bool found = false;

	while (total) {
		const unsigned char *p;
		uint64_t size;

		if (need(s, 1, err) < 0 ||
		    need(s, 1 + (size_t)s->data[s->pos] + 8, err) < 0)
			return -1;
		p = s->data + s->pos;
		size = word(p + 1 + p[0]);
		if (!size || size > total)
			return damaged("sizes of memory", err);
		total -= size;
		found |= is_name(p, s->q->block) && size == s->q->size;
		if (keep(s, 1 + (size_t)p[0] + 8, err) < 0)
			return -1;
	}
	return found ? 0 : damaged("size of its memory", err);
}

/* A page of our block, at s->pos. */
static int our_page(struct split *s, uint64_t at, struct err *err)
{
	uint64_t page = at / PAGE;

	if (s->n_run &&
	    (s->n_run == MOST_PAGES || at != s->run_at + s->n_run * PAGE) &&
	    write_run(s, err) < 0)
		return -1;
	if (!s->n_run)
		s->run_at = at;
	s->run[s->n_run++] = (struct iovec){s->data + s->pos, PAGE};
	s->written[page / 8] |= (unsigned char)(1U << page % 8);
	return 0;
}

/* A hole, unless it was written before. */
static int our_zeros(struct split *s, uint64_t at, struct err *err)
{
	static const unsigned char zeros[PAGE];
	uint64_t page = at / PAGE;

	if (!(s->written[page / 8] >> page % 8 & 1))
		return 0;
	if (write_run(s, err) < 0)
		return -1;
	s->run[0] = (struct iovec){(void *)zeros, PAGE};
	s->run_at = at;
	s->n_run = 1;
	return write_run(s, err);
}

/* The word at s->pos is a page's: its offset, flags, and the block's name where
 * that is another. */
static int page(struct split *s, uint64_t w, struct err *err)
{
	uint64_t at = w & ~(PAGE - 1);
	size_t head = 8, body = w & RAM_PAGE ? PAGE : 1;

	if (!(w & RAM_CONTINUE)) {
		if (need(s, 9, err) < 0)
			return -1;
		head += 1 + (size_t)s->data[s->pos + 8];
	}
	if (need(s, head + body, err) < 0)
		return -1;
	if (!(w & RAM_CONTINUE))
		s->ours = is_name(s->data + s->pos + 8, s->q->block);
	if (!s->ours)
		return keep(s, head + body, err);
	s->pos += head;
	if (at >= s->q->size || (body == 1 && s->data[s->pos]))
		return damaged("page", err);
	if ((body == 1 ? our_zeros(s, at, err) : our_page(s, at, err)) < 0)
		return -1;
	s->pos += body;
	return 0;
}

/* What a section has of RAM, to its end. */
static int pages(struct split *s, struct err *err)
{
	for (;;) {
		uint64_t w;

		if (need(s, 8, err) < 0)
			return -1;
		w = word(s->data + s->pos);
		switch (w & (PAGE - 1) & ~(uint64_t)RAM_CONTINUE) {
		case RAM_END:
			return keep(s, 8, err);
		case RAM_SIZES:
			if (keep(s, 8, err) < 0 ||
			    sizes(s, w & ~(PAGE - 1), err) < 0)
				return -1;
			break;
		case RAM_ZERO:
		case RAM_PAGE:
			if (page(s, w, err) < 0)
				return -1;
			break;
		default:
			return damaged("word in memory", err);
		}
	}
}

/* Its end says whose it is. */
static int footer(struct split *s, struct err *err)
{
	if (need(s, 5, err) < 0)
		return -1;
	if (s->data[s->pos] != FOOTER || number(s->data + s->pos + 1) != s->ram)
		return damaged("end of a section", err);
	return keep(s, 5, err);
}

/* To where the memory begins; 0: not as we know it. */
static int begin(struct split *s, struct err *err)
{
	const unsigned char *p;

	if (need(s, 13, err) < 0)
		return -1;
	p = s->data + s->pos;
	if (number(p) != MAGIC || number(p + 4) != VERSION)
		return damaged("beginning", err);
	if (p[8] == CONFIGURATION) {
		if (number(p + 9) > PAGE)
			return 0;
		if (keep(s, 13 + (size_t)number(p + 9), err) < 0)
			return -1;
	} else if (keep(s, 8, err) < 0) {
		return -1;
	}
	if (need(s, 9, err) < 0)
		return -1;
	p = s->data + s->pos;
	if (p[0] != SECTION_START || !is_name(p + 5, "ram"))
		return 0;
	s->ram = number(p + 1);
	/* Its number, name, instance, version. */
	return keep(s, 5 + 4 + 8, err) < 0 ? -1 : 1;
}

/* The header of RAM's next section; commands come between them. */
static int next_section(struct split *s, int *type, struct err *err)
{
	for (;;) {
		const unsigned char *p;

		if (need(s, 5, err) < 0)
			return -1;
		p = s->data + s->pos;
		*type = p[0];
		if (*type == COMMAND) {
			/* What it is, how many bytes follow. */
			if (keep(s, 5 + (number(p + 1) & 0xffff), err) < 0)
				return -1;
			continue;
		}
		if ((*type != SECTION_PART && *type != SECTION_END) ||
		    number(p + 1) != s->ram)
			return damaged("section", err);
		return keep(s, 5, err);
	}
}

/* The sections of the memory: behind them is what the devices are. */
static int memory(struct split *s, struct err *err)
{
	int type = SECTION_START;

	for (;;) {
		if (pages(s, err) < 0 || footer(s, err) < 0)
			return -1;
		if (type == SECTION_END)
			return 0;
		if (next_section(s, &type, err) < 0)
			return -1;
	}
}

static int rest(struct split *s, struct err *err)
{
	ssize_t n;

	do {
		if (keep(s, s->len - s->pos, err) < 0)
			return -1;
		s->pos = s->len = 0;
		n = read_more(s, err);
	} while (n > 0);
	return n < 0 ? -1 : write_out(s, err);
}

int qemu_stream_split(const struct qemu_stream *q, struct err *err)
{
	struct split s = {.q = q};
	AUTO_FREE unsigned char *data = xmalloc(WINDOW);
	AUTO_FREE unsigned char *written = xcalloc(q->size / PAGE / 8 + 1, 1);
	int r;

	s.data = data;
	s.written = written;
	if (ftruncate(q->memory, (off_t)q->size) < 0)
		return err_sys(err, errno, "memory: size");
	r = begin(&s, err);
	if (r > 0)
		r = memory(&s, err);
	if (r >= 0)
		r = write_run(&s, err) < 0 ? -1 : rest(&s, err);
	buf_release(&s.out);
	return r;
}
