/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {
    [ERR_NONE] = "none",
    [ERR_FAILED] = "failed",
    [ERR_USAGE] = "usage",
    [ERR_INPUT] = "input",
    [ERR_NOTFOUND] = "not-found",
    [ERR_STATE] = "state",
    [ERR_TIMEOUT] = "timeout",
    [ERR_UNSUPPORTED] = "unsupported",
};
_Static_assert(ARRAY_LEN(kinds) == ERR_CODES, "a kind for every code");

/* Marks a message that did not fit, so that the cut can be seen. */
static void mark_cut(struct err *e, int wanted)
{
	if (wanted >= (int)sizeof(e->msg))
		memcpy(e->msg + sizeof(e->msg) - 4, "...", 4);
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->sys = 0;
	e->object[0] = '\0';
	va_start(ap, fmt);
	mark_cut(e, vsnprintf(e->msg, sizeof(e->msg), fmt, ap));
	va_end(ap);
	return -1;
}

static enum err_code code_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_NOTFOUND;
	case EEXIST:
	case ENOTEMPTY:
		return ERR_STATE;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EPERM:
	case EACCES:
	case EOPNOTSUPP:
	case ENOSYS:
		return ERR_UNSUPPORTED;
	default:
		return ERR_FAILED;
	}
}

int err_sys(struct err *e, int sys, const char *fmt, ...)
{
	va_list ap;
	int n, more;

	e->code = code_of_errno(sys);
	e->sys = sys;
	e->object[0] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && n < (int)sizeof(e->msg)) {
		more = snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s",
		    strerror(sys));
		n += more;
	}
	mark_cut(e, n);
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char was[sizeof(e->msg)];
	va_list ap;
	int n;

	memcpy(was, e->msg, sizeof(was));
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && n < (int)sizeof(e->msg))
		n += snprintf(
		    e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", was);
	mark_cut(e, n);
	return -1;
}

int err_object(struct err *e, const char *object)
{
	if (!e->object[0])
		snprintf(e->object, sizeof(e->object), "%s", object);
	return -1;
}

const char *err_kind(enum err_code code)
{
	return code < ERR_CODES ? kinds[code] : kinds[ERR_FAILED];
}

enum err_code err_code_of(int status)
{
	return status > 0 && status < ERR_CODES ? (enum err_code)status
						: ERR_FAILED;
}
