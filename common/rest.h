/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 as the sockets of Firecracker and Cloud Hypervisor speak it: one
 * request at a time on a connection that is kept, bodies by Content-Length,
 * status lines without a reason phrase, 204 without a length. Answers are
 * bounded, every wait has a deadline.
 */
#ifndef COCOON_REST_H
#define COCOON_REST_H

#include <stddef.h>

#include "buf.h"
#include "err.h"

struct rest {
	int fd;        /* -1: not connected */
	struct buf in; /* what came and was not yet used */
};
#define REST_NONE        \
	{                \
		.fd = -1 \
	}
#define AUTO_REST CLEANUP(rest_close)

/*
 * Connects to the socket NAME in dirfd, and to nothing that a symlink put in
 * its place. ENOENT and ECONNREFUSED are in err->sys: nobody listens (yet). A
 * listener whose queue is full is waited for.
 */
int rest_connect(struct rest *r, int dirfd, const char *name, int timeout_ms,
    struct err *err);
void rest_close(struct rest *r);

struct rest_call {
	const char *method, *path;
	const char *body;  /* JSON; NULL: none */
	const int *fds;    /* sent along by SCM_RIGHTS */
	size_t n_fds;      /* at most 16 */
	int timeout_ms;    /* for all of it */
	struct buf *reply; /* the answer's body, appended; NULL: not wanted */
};

/*
 * One request and its answer. 0 for a status of 2xx; another one is
 * ERR_FAILED with what the server said. ERR_TIMEOUT: what became of it is
 * unknown. Where the connection cannot be used any more it is closed
 * (r->fd is -1). *status (may be NULL) is the answer's, 0 if there was none.
 */
int rest_request(
    struct rest *r, const struct rest_call *c, int *status, struct err *err);

/* What a refusal says, for people: Firecracker's fault_message, an `error`,
 * Cloud Hypervisor's list of causes, else the text itself. */
void rest_message(const struct buf *body, struct buf *out);

#endif
