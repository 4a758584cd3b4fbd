/* SPDX-License-Identifier: MIT */
/* get: the records of VMs, secrets and all, for the stages behind. */
#include "hv.h"
#include "live.h"

static int get_run(struct call *call, struct err *err)
{
	AUTO_STRV struct strv ids = {0};

	if (vm_resolve_all(&call->args, &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		AUTO_VM struct vm vm = VM_NONE;
		struct err e = {0};

		if (vm_open(&vm, ids.v[i], -1, &e) < 0) {
			err_object(&e, ids.v[i]);
			tool_fail(call, NULL, &e);
			continue;
		}
		live_derive(&vm);
		if (tool_emit(vm.doc, err) < 0)
			return -1;
	}
	return 0;
}

const struct verb verb_get = {
    .name = "get",
    .summary = "Write the documents of VMs, for a pipeline.",
    .operands = "VM...",
    .max_args = -1,
    .emits = true,
    .run = get_run,
};
