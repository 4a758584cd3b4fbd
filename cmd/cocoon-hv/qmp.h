/* SPDX-License-Identifier: MIT */
/* The QEMU Machine Protocol (docs/interop/qmp-spec.txt of QEMU), a line of
 * JSON each way. */
#ifndef COCOON_QMP_H
#define COCOON_QMP_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

struct json_object;

/*
 * Sends {"execute":command} and waits for its answer; events that come in
 * between are dropped. *result (may be NULL) is the "return" value, the
 * caller's. QEMU's own words are in err. ERR_TIMEOUT: what became of it is
 * unknown.
 */
int qmp_command(int fd, const char *command, int timeout_ms,
    struct json_object **result, struct err *err);
/* The same with arguments, as JSON text, and a descriptor to hand over (-1:
 * none). What comes behind the answer stays in *in: events. */
struct qmp_call {
	const char *command, *args;
	int pass_fd, timeout_ms;
};
int qmp_call(int fd, struct buf *in, const struct qmp_call *c,
    struct json_object **result, struct err *err);
/* Sends and does not wait. */
int qmp_send(int fd, const char *command, struct err *err);
/* The greeting and qmp_capabilities. */
int qmp_hello(int fd, int timeout_ms, struct err *err);
/* One line within the deadline, from the bytes in *in and the socket. */
struct json_object *qmp_read(
    int fd, struct buf *in, int64_t until, struct err *err);

#endif
