/* SPDX-License-Identifier: MIT */
/* inspect: everything about one VM, secrets redacted. */
#include "hv.h"
#include "live.h"

static int inspect_run(struct call *call, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;

	if (vm_open(&vm, call->args.v[0], -1, err) < 0)
		return -1;
	live_derive(&vm);
	doc_redact(vm.doc);
	jval_pretty(vm.doc, &call->out);
	buf_ch(&call->out, '\n');
	return 0;
}

const struct verb verb_inspect = {
    .name = "inspect",
    .summary = "Show a VM's document, its state and why it ended.",
    .operands = "VM",
    .min_args = 1,
    .max_args = 1,
    .run = inspect_run,
};
