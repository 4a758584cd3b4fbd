/* SPDX-License-Identifier: MIT */
/* Compiler attributes by short names; nothing else. */
#ifndef COCOON_ATTR_H
#define COCOON_ATTR_H

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define MUST_USE __attribute__((warn_unused_result))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
