/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics: stderr, one line, one write(2), control bytes escaped, errno
 * preserved. Nothing in common/ logs above debug: who handles an error logs
 * it, once. COCOON_LOG_PREFIX=journal puts "<3>" and the like in front.
 */
#ifndef COCOON_LOG_H
#define COCOON_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"
#include "err.h"

enum log_level { LOG_ERR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_ };

void log_init(const char *prog); /* "cocoon-net"; reads the environment */
void log_set_level(enum log_level level);
const char *log_prog(void);
void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Reports a failed verb: a line, or with COCOON_ERRORS=json an object. */
void log_error(const char *verb, const struct err *e);
/* Escapes what is no printable ASCII or UTF-8 text; cuts at n. */
void log_escape(char *out, size_t n, const char *text);
/* Writes one line of JSON for COCOON_ERRORS=json; exposed for its test. */
size_t log_json_error(
    char *out, size_t n, const char *verb, const struct err *e);

#define log_err(...) log_at(LOG_ERR_, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN_, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO_, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG_, __VA_ARGS__)

#endif
