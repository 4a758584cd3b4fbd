/* SPDX-License-Identifier: MIT */
/*
 * The header of a qcow2 file, judged before any program of others reads the
 * file: qemu's docs/interop/qcow2.txt. What names another file, or has tables
 * that it has no bytes for, is refused.
 */
#ifndef COCOON_QCOW2_H
#define COCOON_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define QCOW2_HEAD 65536 /* bytes of the beginning that are looked at */

struct qcow2 {
	unsigned int version; /* 2 or 3 */
	unsigned int cluster_bits;
	uint64_t virtual_size;
};

bool qcow2_magic(const void *head, size_t len);
/*
 * head: the first bytes, len of them: the whole file, or QCOW2_HEAD of it.
 * ERR_INPUT for what no good file has, ERR_UNSUPPORTED for what we do not
 * take.
 */
int qcow2_check(const void *head, size_t len, uint64_t file_size,
    struct qcow2 *out, struct err *err);

#endif
