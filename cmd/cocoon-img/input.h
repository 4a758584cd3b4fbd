/* SPDX-License-Identifier: MIT */
/* Files and streams that become images. */
#ifndef COCOON_IMG_INPUT_H
#define COCOON_IMG_INPUT_H

#include "import.h"

/* ---- what people give (input.c) ---- */
#define INPUTS_MAX 100
struct input {
	int fds[INPUTS_MAX + 1];
	size_t n;
	bool stream; /* fds[0] is the beginning of fds[1] */
};
#define INPUT_NONE     \
	{              \
		.n = 0 \
	}
void input_close(struct input *in);
/* Files in their order; none, or "-": standard input. */
int input_open(struct input *in, char *const *names, size_t n, struct err *err);

enum input_kind { INPUT_TAR, INPUT_IMAGE, INPUT_DISK };
/* Of n parts from fds[first] on. */
int input_sniff(const struct input *in, size_t first, size_t n,
    enum input_kind *out, struct err *err);
/* The tar of an image into an empty directory. */
int input_explode(const struct input *in, int dir_fd, uint64_t max_bytes,
    uint64_t max_entries, struct err *err);

/* ---- cloud images (cloud.c) ---- */

struct cloud {
	const int *fds; /* the parts of the file, in order; any may be a pipe */
	size_t n;
	uint64_t max_bytes;
	/* The one part is a regular file that nobody writes any more: it may
	 * become the blob itself. */
	bool take;
};

/*
 * Makes the cloud image NAME, in a work directory of the caller: qcow2 or raw,
 * plain or compressed by gzip, xz or zstd. Checked, committed, said in *out.
 */
int cloud_import(struct work *w, const char *name, const struct cloud *from,
    struct buf *out, struct err *err);

#endif
