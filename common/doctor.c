/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include <string.h>

#include "jdoc.h"
#include "tool.h"

void doctor_say(struct call *call, const char *check, const char *status,
    const char *detail, const char *remedy)
{
	AUTO_JSON struct json_object *o = jval_object();

	jval_set_str(o, "check", check);
	jval_set_str(o, "status", status);
	jval_set_str(o, "detail", detail);
	if (remedy && strcmp(status, "ok"))
		jval_set_str(o, "remedy", remedy);
	jval_print(o, &call->out);
	buf_ch(&call->out, '\n');
	if (!strcmp(status, "fail"))
		call->status = ERR_UNSUPPORTED;
}
