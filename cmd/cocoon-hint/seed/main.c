/* SPDX-License-Identifier: MIT */
/*
 * seed: makes the seed disk of a guest, an ISO 9660 image with the label
 * CIDATA. Standard input is a list of files, each of them a line
 *
 *	NAME LENGTH
 *
 * followed by LENGTH bytes, until the end; the image goes to standard output.
 * It needs nothing but these two, and lets go of everything else first.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "file.h"
#include "iso.h"

#define MAX_INPUT ((size_t)8 << 20)
#define NOBODY 65534

/* Static, since there is no way to ask for memory later. Each file ends in
 * part of a sector. */
static char input[MAX_INPUT + 1];
static unsigned char image[MAX_INPUT + 64 * ISO_SECTOR];

/* From here on: read, write and exit, on descriptors that we have. */
static int let_go(struct err *err)
{
	AUTO_CONFINE struct confine c = {.ruleset_fd = -1};
	int e;

	if (confine_init(&c, err) < 0)
		return -1;
	confine_limit(&c, RLIMIT_CORE, 0);
	confine_limit(&c, RLIMIT_NPROC, 0);
	confine_limit(&c, RLIMIT_CPU, 10);
	confine_limit(&c, RLIMIT_FSIZE, sizeof(image));
	if (geteuid() == 0)
		confine_drop(&c, NOBODY, NOBODY);
	e = confine_enter(&c);
	if (e)
		return err_sys(err, e, "confine");
	confine_release(&c);
	/* Refused where a stricter filter is in force already. */
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	return 0;
}

static int read_input(size_t *len, struct err *err)
{
	for (*len = 0;;) {
		ssize_t n =
		    read(STDIN_FILENO, input + *len, sizeof(input) - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INPUT, "stdin: read");
		if (n == 0)
			return 0;
		*len += (size_t)n;
		if (*len > MAX_INPUT)
			return err_set(
			    err, ERR_INPUT, "stdin: more than 8 MiB");
	}
}

/* Takes one file off *at; its name is cut out of the text in place. */
static int take_file(
    char **at, const char *end, struct iso_file *f, struct err *err)
{
	char *nl = memchr(*at, '\n', (size_t)(end - *at)), *p;

	if (!nl)
		return err_set(err, ERR_INPUT, "stdin: a line does not end");
	*nl = '\0';
	f->name = *at;
	p = strchr(*at, ' ');
	if (!p || !p[1] || p[strspn(p + 1, "0123456789") + 1] || strlen(p) > 10)
		return err_set(
		    err, ERR_INPUT, "stdin: want lines of NAME LENGTH");
	*p = '\0';
	f->len = strtoul(p + 1, NULL, 10);
	f->data = nl + 1;
	if (f->len > (size_t)(end - (nl + 1)))
		return err_set(err, ERR_INPUT, "%.40s: is cut off", f->name);
	*at = nl + 1 + f->len;
	return 0;
}

static int make_image(struct err *err)
{
	struct iso_file files[ISO_MAX_FILES] = {0};
	size_t n = 0, len;
	const char *bad;
	char *at = input;

	if (let_go(err) < 0 || read_input(&len, err) < 0)
		return -1;
	while (at < input + len) {
		if (n == ISO_MAX_FILES)
			return err_set(err, ERR_INPUT, "stdin: too many files");
		if (take_file(&at, input + len, &files[n++], err) < 0)
			return -1;
		bad = iso_bad_name(files, n);
		if (bad)
			return err_set(err, ERR_INPUT, "%.40s: bad name: %s",
			    files[n - 1].name, bad);
	}
	if (!n)
		return err_set(err, ERR_INPUT, "stdin: no file");
	iso_write(files, n, ISO_SEED_LABEL, image);
	if (write_all(STDOUT_FILENO, image, iso_size(files, n)) < 0)
		return err_set(err, ERR_FAILED, "stdout: write");
	return 0;
}

int main(void)
{
	struct err err = {0};
	char line[600];
	int n;

	if (make_image(&err) < 0) {
		n = snprintf(line, sizeof(line), "seed: %s\n", err.msg);
		if (write_all(STDERR_FILENO, line, (size_t)n) < 0)
			err.code = ERR_FAILED;
	}
	/* Not exit(3): strict seccomp knows this call alone. */
	syscall(SYS_exit, err.code);
	return err.code;
}
