/* SPDX-License-Identifier: MIT */
/* The layers of an image: download.c. */
#ifndef COCOON_IMG_DOWNLOAD_H
#define COCOON_IMG_DOWNLOAD_H

#include "fetch.h"
#include "progress.h"

#define DOWNLOADS 3

struct download {
	struct fetch fetch;
	int fd; /* -1: no download */
	size_t layer;
};
struct downloads {
	struct bringer bring; /* first: it is what the callbacks get */
	struct registry *reg;
	struct work *work;
	int blobs_fd; /* blobs/sha256 of the layout */
	struct download jobs[DOWNLOADS];
	size_t *want; /* layers to bring, in order */
	size_t n, next;
	uint64_t done, max_bytes;
	bool kept; /* a connection broke: what has come is of use */
	struct progress bar;
};
int downloads_open(struct downloads *d, struct registry *r, struct work *w,
    int blobs_fd, struct err *err);
void downloads_release(struct downloads *d);

#endif
