/* SPDX-License-Identifier: MIT */
/* wait: until the VMs have ended. Takes no lock. */
#include <string.h>

#include "file.h"
#include "hv.h"
#include "live.h"
#include "proc.h"

#define MONITOR_MS 2000 /* until the monitor has written the end */

struct wait_opts {
	uint64_t timeout;
};

static const struct opt opts[] = {
    {.name = "timeout",
	.kind = OPT_U64,
	.max = 1000000,
	.metavar = "SECONDS",
	.offset = offsetof(struct wait_opts, timeout),
	.help = "give up (status 6); default: never"},
};

/* The end is known when the monitor has said why. */
static void await_reason(struct vm *vm)
{
	int64_t until = now_ms() + MONITOR_MS;

	do {
		live_derive(vm);
		if (!vm->hv.ended.reason ||
		    strcmp(vm->hv.ended.reason, "unknown"))
			return;
		sleep_ms(5);
	} while (now_ms() < until);
}

static int wait_one(const char *id, int64_t until, struct err *err)
{
	AUTO_FD int pidfd = -1;
	AUTO_VM struct vm vm = VM_NONE;
	struct live l;
	int left = -1;

	if (vm_open(&vm, id, -1, err) < 0)
		return -1;
	l = live_check(vm.fd, vm.hv.generation);
	pidfd = live_pidfd(&l);
	if (until)
		left = until > now_ms() ? (int)(until - now_ms()) : 0;
	if (pidfd >= 0 && !proc_pidfd_wait(pidfd, left))
		return err_set(
		    err, ERR_TIMEOUT, "vm %s: still running", vm.vm.name);
	await_reason(&vm);
	doc_redact(vm.doc);
	return tool_emit(vm.doc, err);
}

static int wait_run(struct call *call, struct err *err)
{
	const struct wait_opts *o = call->opts;
	int64_t until = o->timeout ? now_ms() + 1000 * (int64_t)o->timeout : 0;
	AUTO_STRV struct strv ids = {0};

	if (vm_resolve_all(&call->args, &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		struct err e = {0};

		if (wait_one(ids.v[i], until, &e) < 0) {
			err_object(&e, ids.v[i]);
			tool_fail(call, NULL, &e);
		}
	}
	return 0;
}

const struct verb verb_wait = {
    .name = "wait",
    .summary = "Wait until VMs have ended; write their documents.",
    .operands = "VM...",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct wait_opts),
    .emits = true,
    .run = wait_run,
};
