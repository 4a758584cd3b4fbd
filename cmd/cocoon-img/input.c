/* SPDX-License-Identifier: MIT */
/* What is imported: files, parts of one, or a stream, told apart by what is
 * in them. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "proc.h"
#include "sandbox.h"

/* What of a stream is looked at before it is read on. */
#define BEGIN (1 << 20)
#define HELPER_MEMORY ((uint64_t)192 << 20)

void input_close(struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		close_fd(&in->fds[i]);
	in->n = 0;
}

/* A file there, whole, is one by name. 1: no file. */
static int open_stdin_file(struct input *in, struct err *err)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
		return 1;
	if (lseek(STDIN_FILENO, 0, SEEK_CUR) != 0)
		return err_set(err, ERR_INPUT,
		    "standard input: a file, but not at its beginning");
	if (!st.st_size)
		return err_set(err, ERR_INPUT, "standard input: empty");
	in->fds[0] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (in->fds[0] < 0)
		return err_sys(err, errno, "standard input");
	in->n = 1;
	return 0;
}

/* The first bytes of standard input, which can be read again. */
static int open_stream(struct input *in, struct err *err)
{
	AUTO_FD int mem = memfd_create("begin", MFD_CLOEXEC);
	AUTO_FREE char *chunk = xmalloc(65536);
	size_t got = 0;
	ssize_t n = 1;

	if (mem < 0)
		return err_sys(err, errno, "memfd");
	while (got < BEGIN && n) {
		if (tool_check(err) < 0)
			return -1;
		n = read(STDIN_FILENO, chunk, 65536);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0 || write_all(mem, chunk, (size_t)n) < 0)
			return err_sys(err, errno, "standard input: read");
		got += (size_t)n;
	}
	if (!got)
		return err_set(err, ERR_INPUT, "standard input: empty");
	in->fds[1] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (in->fds[1] < 0)
		return err_sys(err, errno, "standard input");
	in->fds[0] = take_fd(&mem);
	in->n = 2;
	in->stream = true;
	return 0;
}

static int open_part(struct input *in, const char *name, struct err *err)
{
	struct stat st;
	AUTO_FD int fd =
	    open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%.200s: open", name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_INPUT,
		    "%.200s: a directory is imported alone", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_INPUT,
		    "%.200s: not a regular file; a stream comes on standard "
		    "input",
		    name);
	if (S_ISREG(st.st_mode) && !st.st_size)
		return err_set(err, ERR_INPUT, "%.200s: empty", name);
	in->fds[in->n++] = take_fd(&fd);
	return 0;
}

int input_open(struct input *in, char *const *names, size_t n, struct err *err)
{
	if (!n || (n == 1 && !strcmp(names[0], "-"))) {
		int r = open_stdin_file(in, err);

		return r == 1 ? open_stream(in, err) : r;
	}
	if (n > INPUTS_MAX)
		return err_set(err, ERR_USAGE,
		    "more than %d files: not "
		    "supported",
		    INPUTS_MAX);
	for (size_t i = 0; i < n; i++)
		if (open_part(in, names[i], err) < 0)
			return -1;
	return 0;
}

int input_sniff(const struct input *in, size_t first, size_t n,
    enum input_kind *out, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_JSON struct json_object *said = NULL;
	AUTO_PROC struct proc p;
	const char *kind;

	proc_init(&p);
	strv_add(&p.argv, helper);
	strv_add(&p.argv, "sniff");
	if (!box || helper_run(&p, box, HELPER_MEMORY, in->fds + first,
			in->stream ? 1 : n, &said, err) < 0)
		return -1;
	kind = jval_str(said, "kind");
	if (kind && !strcmp(kind, "tar"))
		*out = INPUT_TAR;
	else if (kind && !strcmp(kind, "image"))
		*out = INPUT_IMAGE;
	else
		*out = INPUT_DISK;
	return 0;
}

int input_explode(const struct input *in, int dir_fd, uint64_t max_bytes,
    uint64_t max_entries, struct err *err)
{
	AUTO_FREE char *helper = proc_helper("layer");
	AUTO_SANDBOX struct sandbox *box = sandbox_new(0, err);
	AUTO_JSON struct json_object *said = NULL;
	AUTO_PROC struct proc p;

	proc_init(&p);
	strv_add(&p.argv, helper);
	strv_add(&p.argv, "explode");
	strv_addf(&p.argv, "%d", dir_fd);
	strv_addf(&p.argv, "%llu", (unsigned long long)max_bytes);
	strv_addf(&p.argv, "%llu", (unsigned long long)max_entries);
	p.keep[p.n_keep++] = dir_fd;
	if (!box || sandbox_allow_fd(box, dir_fd, CONFINE_READ | CONFINE_WRITE,
			"layout", err) < 0)
		return -1;
	return helper_run(&p, box, HELPER_MEMORY, in->fds, in->n, &said, err);
}
