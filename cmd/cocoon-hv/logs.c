/* SPDX-License-Identifier: MIT */
/* logs: what the guest's console said. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"

struct logs_opts {
	bool follow;
	uint64_t tail;
};

static const struct logs_opts defaults = {.tail = UINT64_MAX};
static const struct opt opts[] = {
    {.name = "follow",
	.letter = 'f',
	.kind = OPT_FLAG,
	.offset = offsetof(struct logs_opts, follow),
	.help = "go on until the VM is removed"},
    {.name = "tail",
	.kind = OPT_U64,
	.metavar = "N",
	.offset = offsetof(struct logs_opts, tail),
	.help = "the last N lines only"},
};

/* Cuts *b to its last n lines. */
static void keep_lines(struct buf *b, uint64_t n)
{
	size_t at = b->len;
	uint64_t seen = 0;

	if (at && b->data[at - 1] == '\n')
		at--;
	while (at > 0) {
		if (b->data[at - 1] == '\n' && ++seen >= n)
			break;
		at--;
	}
	if (n == 0)
		at = b->len;
	buf_consume(b, at);
}

/* Reads on from *at; a log that was capped begins anew. */
static int more(int fd, off_t *at, struct buf *out, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "console.log: stat");
	if (st.st_size < *at)
		*at = 0;
	for (;;) {
		ssize_t n;

		buf_reserve(out, 65536);
		n = pread(fd, out->data + out->len, 65536, *at);
		if (n < 0)
			return err_sys(err, errno, "console.log: read");
		if (n == 0)
			return 0;
		*at += n;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
}

static int follow(
    struct call *call, const struct vm *vm, int fd, off_t at, struct err *err)
{
	AUTO_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[40], events[4096];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		return err_sys(err, errno, "console.log: inotify");
	for (;;) {
		struct pollfd p = {watch, POLLIN, 0};

		if (poll(&p, 1, 1000) > 0 &&
		    read(watch, events, sizeof(events)) < 0 && errno != EAGAIN)
			return err_sys(err, errno, "console.log: inotify");
		if (more(fd, &at, &call->out, err) < 0 ||
		    tool_flush(call, err) < 0)
			return -1;
		if (fstatat(vm->fd, "vm.json", &st, 0) < 0)
			return 0;
	}
}

static int logs_run(struct call *call, struct err *err)
{
	const struct logs_opts *o = call->opts;
	AUTO_FD int fd = -1;
	AUTO_VM struct vm vm = VM_NONE;
	off_t at = 0;

	if (vm_open(&vm, call->args.v[0], -1, err) < 0)
		return -1;
	fd = openat(vm.fd, "console.log", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_sys(err, errno, "console.log: open");
	if (fd < 0 && !o->follow)
		return 0;
	if (fd < 0)
		return err_set(err, ERR_STATE,
		    "vm %s: never started: nothing to follow", vm.vm.name);
	if (more(fd, &at, &call->out, err) < 0)
		return -1;
	if (o->tail != UINT64_MAX)
		keep_lines(&call->out, o->tail);
	if (!o->follow)
		return 0;
	if (tool_flush(call, err) < 0)
		return -1;
	return follow(call, &vm, fd, at, err);
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "Show what the guest's console said.",
    .operands = "VM",
    .min_args = 1,
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct logs_opts),
    .defaults = &defaults,
    .run = logs_run,
};
