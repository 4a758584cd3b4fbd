/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "layer.h"
#include "log.h"
#include "opt.h"

/* layer unpack TREE_FD OUT_FD MAX_BYTES MAX_ENTRIES <BLOB */
static int unpack(char **argv, struct buf *out, struct err *err)
{
	struct unpack u = {.tree = {.dir_fd = -1}};
	uint64_t tree, to;

	if (parse_u64(argv[0], &tree) < 0 || parse_u64(argv[1], &to) < 0 ||
	    parse_u64(argv[2], &u.max.bytes) < 0 ||
	    parse_u64(argv[3], &u.max.entries) < 0)
		return err_set(err, ERR_USAGE, "numbers are wanted");
	u.tree.root_fd = (int)tree;
	return layer_unpack(&u, (int)to, out, err);
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

static int run(int argc, char **argv, struct buf *out, struct err *err)
{
	if (argc == 6 && !strcmp(argv[1], "unpack"))
		return unpack(argv + 2, out, err);
	if (argc == 4 && !strcmp(argv[1], "adopt"))
		return adopt(argv + 2, err);
	if (argc == 2 && !strcmp(argv[1], "digest"))
		return digest_of(out, err);
	return err_set(err, ERR_USAGE,
	    "usage: layer digest | layer unpack TREE_FD OUT_FD MAX_BYTES "
	    "MAX_ENTRIES | layer adopt TREE_FD OUT_FD");
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
