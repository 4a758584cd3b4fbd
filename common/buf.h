/* SPDX-License-Identifier: MIT */
/*
 * Memory and text. Out of memory ends the tool with one message after the
 * hook below ran (the undo list): tools are short-lived, and unwinding from
 * there is code that nobody can test.
 */
#ifndef COCOON_BUF_H
#define COCOON_BUF_H

#include <stddef.h>

#include "attr.h"

extern void (*xalloc_exit_hook)(void);

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Growing text; data is always NUL-terminated once something was added. */
struct buf {
	char *data;
	size_t len, cap;
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_ch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A word as the shell reads it back, quoted where it must be. */
void buf_shell(struct buf *b, const char *word);
void buf_reserve(struct buf *b, size_t more);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
void buf_release(struct buf *b);

/* The length of the UTF-8 sequence at p (RFC 3629, U+0020 and above), at most
 * n bytes; 0 if it is none. */
size_t utf8_len(const char *p, size_t n);

/* A list of strings that it owns; v ends in NULL once something was added. */
struct strv {
	char **v;
	size_t n;
};

void strv_add(struct strv *l, const char *s);
void strv_addf(struct strv *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strv_release(struct strv *l);

void free_ptr(void *p); /* for AUTO_FREE: frees *(void **)p */

#define AUTO_FREE CLEANUP(free_ptr)
#define AUTO_BUF CLEANUP(buf_release)
#define AUTO_STRV CLEANUP(strv_release)

#endif
