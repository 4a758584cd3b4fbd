/* SPDX-License-Identifier: MIT */
/* The steps of a layer's conversion: steps.c; who runs them: convert.c. */
#ifndef COCOON_IMG_CONVERT_H
#define COCOON_IMG_CONVERT_H

#include <sys/types.h>

#include "import.h"

struct proc;
struct sandbox;

struct job {
	const struct convert *c;
	struct source_layer *layer; /* NULL: no job */
	size_t index;               /* of the layer */
	int dir_fd;                 /* work/INDEX */
	size_t step;
	bool waiting;      /* for the layers below */
	uint64_t implicit; /* directories that need those */
	pid_t pid;
	int out, err;                 /* of the child */
	int tree_fd, out_fd, blob_fd; /* opened for the child of a step */
	struct buf text, words;       /* what came from there */
	struct buf found;             /* what the helper said of the layer */
};

/* Each fills in the process of its step and the sandbox that it needs. 1: this
 * layer does not need the step. */
int unpack_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err);
int adopt_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err);
int build_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err);
int check_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err);
int digest_start(
    struct job *j, struct proc *p, struct sandbox **box, struct err *err);
int unpack_done(struct job *j, struct err *err);
int build_done(struct job *j, struct err *err);
int check_done(struct job *j, struct err *err);
int digest_done(struct job *j, struct err *err);

#endif
