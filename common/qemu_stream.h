/* SPDX-License-Identifier: MIT */
/*
 * QEMU's migration stream: what a VM is when it is saved (docs/devel/migration
 * and migration/{savevm,ram}.c of QEMU; version 3, the same since 2.x).
 */
#ifndef COCOON_QEMU_STREAM_H
#define COCOON_QEMU_STREAM_H

#include <stdint.h>

#include "err.h"

struct qemu_stream {
	int in;            /* a pipe from QEMU; read to its end */
	int state, memory; /* empty files */
	const char *block; /* the name of the RAM block */
	uint64_t size;     /* of it, in bytes */
};

/*
 * Copies the stream to `state` without the pages of one RAM block, which go to
 * `memory`, each at its place; those of zeros are holes there. `memory` is as
 * large as the block then, and a QEMU that has the file mapped as that block
 * and loads `state` is the VM. A stream whose beginning is not known goes to
 * `state` as a whole, which is the same VM, too. Waits as long as QEMU does;
 * tool_check ends it. -1: ERR_FAILED, the stream is damaged or ends too soon;
 * or the file system refuses.
 */
int qemu_stream_split(const struct qemu_stream *q, struct err *err);

#endif
