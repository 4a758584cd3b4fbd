/* SPDX-License-Identifier: MIT */
#ifndef COCOON_TRACER_H
#define COCOON_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>

const char *path_base(const char *path);
/*
 * The name of the call if it is a point, else NULL; what it is about goes to
 * what. Some have a name of their own since their number is chance: `run`
 * knows them.
 */
const char *changing_call(
    pid_t pid, const struct __ptrace_syscall_info *s, char *what, size_t n);

#endif
