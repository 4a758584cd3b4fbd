/* SPDX-License-Identifier: MIT */
#ifndef COCOON_HINT_CLONE_H
#define COCOON_HINT_CLONE_H

#include "hint.h"

struct clone_opts {
	const char *format; /* text script json */
};

int clone_filter(struct call *call, struct json_object *doc, struct err *err);

#endif
