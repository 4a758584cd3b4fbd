/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"
#include "log.h"
#include "opt.h"

/* layer unpack TREE_FD OUT_FD MAX_BYTES MAX_ENTRIES DIFF [FD...] */
static int unpack(int n, char **argv, struct buf *out, struct err *err)
{
	struct unpack u = {.tree = {.dir_fd = -1}};
	struct stream *s;
	uint64_t tree, to;

	if (parse_u64(argv[0], &tree) < 0 || parse_u64(argv[1], &to) < 0 ||
	    parse_u64(argv[2], &u.max.bytes) < 0 ||
	    parse_u64(argv[3], &u.max.entries) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	u.tree.root_fd = (int)tree;
	s = stream_open(n - 5, argv + 5, err);
	return s ? layer_unpack(&u, s, *argv[4] == '1', (int)to, out, err) : -1;
}

/* layer adopt TREE_FD OUT_FD <DIRS of the layers below */
static int adopt(char **argv, struct err *err)
{
	struct tree t = {.dir_fd = -1};
	uint64_t tree, out;

	if (parse_u64(argv[0], &tree) < 0 || parse_u64(argv[1], &out) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	t.root_fd = (int)tree;
	return dirs_adopt(&t, (int)out, STDIN_FILENO, err);
}

/* layer digest <FILE */
static int digest_of(struct buf *out, struct err *err)
{
	struct stream *s = stream_new(STDIN_FILENO);
	char digest[72];
	uint64_t bytes;

	if (!s)
		return err_set(err, ERR_FAILED, "sha256: cannot start");
	if (stream_end(s, digest, &bytes, err) < 0)
		return -1;
	buf_addf(out, "{\"digest\":\"%s\",\"source_size\":%llu}\n", digest,
	    (unsigned long long)bytes);
	return 0;
}

/* layer expand OUT_FD MAX_BYTES [FD...] */
static int expand_disk(int n, char **argv, struct buf *out, struct err *err)
{
	struct stream *s;
	uint64_t to, max;

	if (parse_u64(argv[0], &to) < 0 || parse_u64(argv[1], &max) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	s = stream_open(n - 2, argv + 2, err);
	return s ? expand(s, (int)to, max, out, err) : -1;
}

/* layer vmlinux OUT_FD MAX_BYTES <KERNEL */
static int unpack_kernel(char **argv, struct buf *out, struct err *err)
{
	uint64_t to, max;

	if (parse_u64(argv[0], &to) < 0 || parse_u64(argv[1], &max) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	return vmlinux((int)to, max, out, err);
}

/* layer sniff [FD...] */
static int sniff_kind(int n, char **argv, struct buf *out, struct err *err)
{
	struct stream *s = stream_open(n, argv, err);

	if (!s)
		return -1;
	sniff(s, out);
	return 0;
}

/* layer explode DIR_FD MAX_BYTES MAX_ENTRIES [FD...] */
static int explode_image(int n, char **argv, struct buf *out, struct err *err)
{
	struct limits max;
	struct stream *s;
	uint64_t dir;

	if (parse_u64(argv[0], &dir) < 0 ||
	    parse_u64(argv[1], &max.bytes) < 0 ||
	    parse_u64(argv[2], &max.entries) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	s = stream_open(n - 3, argv + 3, err);
	return s ? explode(s, (int)dir, &max, out, err) : -1;
}

static int run(int argc, char **argv, struct buf *out, struct err *err)
{
	if (argc >= 7 && !strcmp(argv[1], "unpack"))
		return unpack(argc - 2, argv + 2, out, err);
	if (argc == 4 && !strcmp(argv[1], "adopt"))
		return adopt(argv + 2, err);
	if (argc == 2 && !strcmp(argv[1], "digest"))
		return digest_of(out, err);
	if (argc == 4 && !strcmp(argv[1], "vmlinux"))
		return unpack_kernel(argv + 2, out, err);
	if (argc >= 2 && !strcmp(argv[1], "sniff"))
		return sniff_kind(argc - 2, argv + 2, out, err);
	if (argc >= 5 && !strcmp(argv[1], "explode"))
		return explode_image(argc - 2, argv + 2, out, err);
	if (argc >= 4 && !strcmp(argv[1], "expand"))
		return expand_disk(argc - 2, argv + 2, out, err);
	return err_set(err, ERR_USAGE,
	    "usage: layer digest | sniff [FD...] | adopt TREE OUT | expand OUT "
	    "MAX [FD...] | explode DIR MAX ENTRIES [FD...] | unpack TREE OUT "
	    "MAX ENTRIES DIFF [FD...] | vmlinux OUT MAX");
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
