/* SPDX-License-Identifier: MIT */
/*
 * One error type, by value, owned by the caller, last parameter of every
 * function that can fail. It allocates nothing, so error paths cannot fail,
 * and it can be written through a pipe from a child as it is. On success *e
 * is untouched. All setters return -1, so that `return err_set(...)` is one
 * statement.
 */
#ifndef COCOON_ERR_H
#define COCOON_ERR_H

#include "attr.h"

/* The exit statuses of every tool; cocoon(8) documents them. */
enum err_code {
	ERR_NONE = 0,
	ERR_FAILED = 1,
	ERR_USAGE = 2,
	ERR_INPUT = 3, /* bad or no input document */
	ERR_NOTFOUND = 4,
	ERR_STATE = 5, /* exists already, or is in the wrong state */
	ERR_TIMEOUT = 6,
	ERR_UNSUPPORTED = 7, /* not supported, or not permitted here */
	ERR_CODES
};

struct err {
	enum err_code code;
	int sys;         /* errno of the cause, 0 if there is none */
	char object[80]; /* what it is about: a VM, a file, a NIC; may be "" */
	char msg[512];   /* object, action, cause; lower case, no full stop */
};

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Appends ": strerror(sys)"; the code follows from sys (ENOENT: 4, EEXIST: 5,
 * ETIMEDOUT: 6, EPERM, EOPNOTSUPP: 7, else 1). */
int err_sys(struct err *e, int sys, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Prefixes the message with what the caller knows ("PREFIX: "). */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Names the object, if none is named yet. */
int err_object(struct err *e, const char *object);
/* "failed", "usage", "input", ... as the JSON diagnostics spell a code. */
const char *err_kind(enum err_code code);
/* The code that an exit status stands for; ERR_FAILED for one outside. */
enum err_code err_code_of(int status);

#endif
