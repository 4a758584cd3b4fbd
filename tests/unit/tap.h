/* SPDX-License-Identifier: MIT */
/*
 * TAP in sixty lines. ok(), is_str() and is_int() take a printf format that
 * names the case; main ends with `return done();`.
 */
#ifndef COCOON_TAP_H
#define COCOON_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "attr.h"

static int tap_count, tap_bad;

PRINTF_LIKE(4, 5)
static inline bool tap_ok(
    bool good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", good ? "ok" : "not ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		tap_bad++;
		printf("# at %s:%d\n", file, line);
	}
	fflush(stdout);
	return good;
}

static inline bool tap_same(const char *got, const char *want)
{
	return got && want ? !strcmp(got, want) : got == want;
}

#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...)                                             \
	do {                                                               \
		const char *g_ = (got), *w_ = (want);                      \
		if (!ok(tap_same(g_, w_), __VA_ARGS__))                    \
			printf("# got  %s\n# want %s\n", g_ ? g_ : "NULL", \
			    w_ ? w_ : "NULL");                             \
	} while (0)
#define is_int(got, want, ...)                                           \
	do {                                                             \
		long long g_ = (long long)(got), w_ = (long long)(want); \
		if (!ok(g_ == w_, __VA_ARGS__))                          \
			printf("# got  %lld\n# want %lld\n", g_, w_);    \
	} while (0)

static inline int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_bad ? 1 : 0;
}

#endif
