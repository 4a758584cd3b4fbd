/* SPDX-License-Identifier: MIT */
/*
 * Effects outside the process are pushed here after each step, undone in
 * reverse order on failure, forgotten at the commit. Storage is static, so
 * that the out-of-memory exit can run it too. Failures while undoing are
 * logged and never replace the first error.
 */
#ifndef COCOON_UNDO_H
#define COCOON_UNDO_H

#include <stddef.h>

#include "err.h"

typedef int undo_fn(void *arg, struct err *err);

/* arg must live until undo_run or undo_forget. */
void undo_push(undo_fn *fn, void *arg, const char *what);
size_t undo_mark(void);
void undo_run(size_t mark);    /* undoes what was pushed since the mark */
void undo_forget(size_t mark); /* keeps it */

#endif
