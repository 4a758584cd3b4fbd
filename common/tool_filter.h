/* SPDX-License-Identifier: MIT */
/* Between tool.c and tool_filter.c; verbs include tool.h. */
#ifndef COCOON_TOOL_FILTER_H
#define COCOON_TOOL_FILTER_H

#include "tool.h"

/* Runs the filter of call->verb over standard input until its end. */
int tool_filter(struct call *call, struct err *err);
bool tool_is_pipe(int fd);
/* How many signals came. */
int tool_signals(void);

#endif
