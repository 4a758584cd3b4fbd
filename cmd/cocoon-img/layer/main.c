/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"
#include "log.h"
#include "opt.h"

#define NUMBERS_MAX 5

/* v: the numbers that were given. s: what is read, which is theirs to free. */
static int do_unpack(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	struct unpack u = {
	    .tree = {.root_fd = (int)v[0], .dir_fd = -1}, .max = {v[2], v[3]}};

	return layer_unpack(&u, s, v[4], (int)v[1], out, err);
}

static int do_adopt(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	struct tree t = {.root_fd = (int)v[0], .dir_fd = -1};

	(void)s;
	(void)out;
	return dirs_adopt(&t, (int)v[1], STDIN_FILENO, err);
}

static int do_verify(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	(void)s;
	return layer_verify((int)v[0], (int)v[1], STDIN_FILENO, out, err);
}

static int do_vmlinux(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	(void)s;
	return vmlinux((int)v[0], v[1], out, err);
}

static int do_expand(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	return expand(s, (int)v[0], v[1], out, err);
}

static int do_explode(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	return explode(s, (int)v[0], &(struct limits){v[1], v[2]}, out, err);
}

static int do_sniff(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	(void)v;
	(void)err;
	sniff(s, out);
	return 0;
}

static int do_digest(
    const uint64_t *v, struct stream *s, struct buf *out, struct err *err)
{
	char digest[72];
	uint64_t bytes;

	(void)v;
	if (stream_end(s, digest, &bytes, err) < 0)
		return -1;
	buf_addf(out, "{\"digest\":\"%s\",\"source_size\":%llu}\n", digest,
	    (unsigned long long)bytes);
	return 0;
}

static const struct command {
	const char *name, *numbers;
	int n;
	bool stream; /* reads the descriptors that follow, or standard input */
	int (*fn)(const uint64_t *v, struct stream *s, struct buf *out,
	    struct err *err);
} commands[] = {
    {"digest", "", 0, true, do_digest},
    {"sniff", "", 0, true, do_sniff},
    {"unpack", "TREE OUT MAX_BYTES MAX_ENTRIES DIFF", 5, true, do_unpack},
    {"adopt", "TREE OUT <DIRS", 2, false, do_adopt},
    {"verify", "TREE OUT <EROFS", 2, false, do_verify},
    {"vmlinux", "OUT MAX_BYTES <KERNEL", 2, false, do_vmlinux},
    {"expand", "OUT MAX_BYTES", 2, true, do_expand},
    {"explode", "DIR MAX_BYTES MAX_ENTRIES", 3, true, do_explode},
};

static int run(int argc, char **argv, struct buf *out, struct err *err)
{
	const struct command *c = NULL;
	struct stream *s = NULL;
	uint64_t v[NUMBERS_MAX];

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			c = &commands[i];
	if (!c)
		return err_set(err, ERR_USAGE, "layer: which command?");
	if (argc < 2 + c->n || (argc > 2 + c->n && !c->stream))
		return err_set(err, ERR_USAGE, "usage: layer %s %s%s", c->name,
		    c->numbers, c->stream ? " [FD...]" : "");
	for (int i = 0; i < c->n; i++)
		if (parse_u64(argv[2 + i], &v[i]) < 0)
			return err_set(err, ERR_USAGE, "numbers are wanted");
	if (c->stream)
		s = stream_open(argc - 2 - c->n, argv + 2 + c->n, err);
	return c->stream && !s ? -1 : c->fn(v, s, out, err);
}

int main(int argc, char **argv)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	char line[2200];

	log_init("layer");
	signal(SIGPIPE, SIG_IGN);
	umask(0);
	if (run(argc, argv, &out, &err) == 0)
		return write_all(STDOUT_FILENO, out.data, out.len) < 0;
	/* Names of the archive are in it: whatever bytes they are, the answer
	 * is JSON. */
	for (char *c = err.msg; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	out.len = 0;
	buf_add(&out, line, log_json_error(line, sizeof(line), NULL, &err));
	if (write_all(STDOUT_FILENO, out.data, out.len) < 0)
		log_error(NULL, &err);
	return (int)err.code;
}
