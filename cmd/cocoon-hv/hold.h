/* SPDX-License-Identifier: MIT */
/*
 * "Nobody stays paused": who pauses a VM for a moment holds a connection to
 * its monitor. If that breaks before "resumed" was said, the monitor resumes.
 */
#ifndef COCOON_HOLD_H
#define COCOON_HOLD_H

#include <stdbool.h>

#include "err.h"

/* The monitor's end. */
struct hold {
	int listen_fd; /* vm/ID/hold.sock */
	int fd;        /* who holds; -1: nobody */
	bool armed;    /* the VM is to be resumed if fd breaks */
};

enum hold_said {
	HOLD_NOTHING,
	HOLD_BROKEN,  /* resume the VM */
	HOLD_DURABLE, /* its state is safe: end it */
};

#define HOLD_NONE                          \
	{                                  \
		.listen_fd = -1, .fd = -1, \
	}
#define HOLD_SOCKET "hold.sock"

int hold_listen(struct hold *h, int vm_fd, struct err *err);
struct pollfd;
#define HOLD_POLLS 2
void hold_poll(const struct hold *h, struct pollfd *out);
enum hold_said hold_handle(struct hold *h, const struct pollfd *fds);

/*
 * The other end. arm: resume the VM if this breaks; the monitor has taken
 * note when it returns. ERR_STATE if there is no monitor.
 */
int hold_take(int vm_fd, bool arm, struct err *err);
/* The VM was resumed; *fd is closed. */
void hold_release(int *fd);
/* The VM is to end; returns when the monitor has been told. */
int hold_end(int *fd, struct err *err);

struct vm;
struct vmm;
/*
 * hibernate.c: the VM, paused, stays so until a client of listen_fd says that
 * snapshot `id` is durable; then it ends, and its record says where the next
 * start wakes it. If nobody says so, it goes on. -1: it could not be ended.
 */
int hibernate(
    struct vm *vm, int listen_fd, int *hold, const char *id, struct err *err);

#endif
