/* SPDX-License-Identifier: MIT */
/*
 * QEMU's state: whatever can be split is the same state when it is split
 * again, without pages; and its memory is as large as it should be.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "fuzz.h"
#include "qemu_stream.h"

#define SIZE 65536

static int split(const void *data, size_t len, struct buf *state)
{
	struct qemu_stream q = {.block = "pc.ram", .size = SIZE};
	AUTO_FD int in = memfd_create("in", MFD_CLOEXEC);
	AUTO_FD int out = memfd_create("state", MFD_CLOEXEC);
	AUTO_FD int memory = memfd_create("memory", MFD_CLOEXEC);
	struct err err = {0};
	struct stat st;
	int r;

	must(in >= 0 && out >= 0 && memory >= 0);
	must(write_all(in, data, len) == 0 && lseek(in, 0, SEEK_SET) == 0);
	q.in = in;
	q.state = out;
	q.memory = memory;
	r = qemu_stream_split(&q, &err);
	must(r == 0 || (err.code == ERR_FAILED && err.msg[0]));
	must(fstat(memory, &st) == 0 && st.st_size == SIZE);
	must(lseek(out, 0, SEEK_SET) == 0);
	must(read_all(out, state, 1 << 24, "state", &err) == 0);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF struct buf once = {0}, twice = {0};

	if (split(data, size, &once) < 0)
		return 0;
	must(once.len <= size);
	must(split(once.data, once.len, &twice) == 0);
	must(once.len == twice.len);
	must(!once.len || !memcmp(once.data, twice.data, once.len));
	return 0;
}
