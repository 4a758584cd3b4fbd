/* SPDX-License-Identifier: MIT */
#include "undo.h"

#include <assert.h>

#include "log.h"

static struct {
	undo_fn *fn;
	void *arg;
	const char *what;
} steps[256];
static size_t n_steps;

void undo_push(undo_fn *fn, void *arg, const char *what)
{
	assert(n_steps < ARRAY_LEN(steps));
	steps[n_steps].fn = fn;
	steps[n_steps].arg = arg;
	steps[n_steps++].what = what;
}

size_t undo_mark(void)
{
	return n_steps;
}

void undo_run(size_t mark)
{
	while (n_steps > mark) {
		struct err err = {0};

		n_steps--;
		if (steps[n_steps].fn(steps[n_steps].arg, &err) < 0)
			log_warn("undo: %s: %s; `cocoon gc` cleans up",
			    steps[n_steps].what, err.msg);
	}
}

void undo_forget(size_t mark)
{
	n_steps = mark;
}
