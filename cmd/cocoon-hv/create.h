/* SPDX-License-Identifier: MIT */
/*
 * Making a VM: directory, files, record, name. One at a time; what was done is
 * on the undo list.
 */
#ifndef COCOON_CREATE_H
#define COCOON_CREATE_H

#include "hv.h"

int create_check(const struct vm *vm, struct err *err);
/* The directory vm/ID. */
int create_begin(struct vm *vm, struct err *err);
/* pin/, 0/, what fill makes in them, and the record. */
typedef int create_fill(struct vm *vm, int run_fd, int pin_fd, struct err *err);
int create_files(struct vm *vm, create_fill *fill, struct err *err);
/* The name: from here on the VM exists. */
int create_commit(struct vm *vm, struct err *err);
/* Closes what create_begin opened. */
void create_end(void);

#endif
