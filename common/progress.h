/* SPDX-License-Identifier: MIT */
/* A bar on a terminal; elsewhere nothing. */
#ifndef COCOON_PROGRESS_H
#define COCOON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *name;
	uint64_t total; /* bytes */
	int64_t last_ms;
	bool tty, shown;
};
void progress_begin(struct progress *p, const char *name, uint64_t total);
void progress_show(struct progress *p, uint64_t done);
void progress_end(struct progress *p);

/*
 * A process that draws the bar until progress_stop, of what `done` says, while
 * its caller waits for others. 0: there is no terminal.
 */
int progress_start(
    const char *name, uint64_t total, uint64_t (*done)(void *), void *arg);
void progress_stop(int *pid);

#endif
