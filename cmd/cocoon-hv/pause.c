/* SPDX-License-Identifier: MIT */
/*
 * pause and resume: the record says first that it shall be so, since who is
 * killed in between must not leave a VM that looks as if it ran.
 */
#include <string.h>

#include "file.h"
#include "hv.h"
#include "live.h"
#include "vmm.h"

#define API_MS 20000

int vm_api(const struct vm *vm, const struct vmm **vmm, struct err *err)
{
	AUTO_FD int run = vm_run_dir(vm, err), api = -1;

	*vmm = vmm_find(vm->plan.backend);
	if (!*vmm)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build has no driver for it",
		    vm->plan.backend);
	api = run < 0 ? -1 : socket_connect(run, "api.sock", err);
	if (api < 0 || (*vmm)->ready(api, API_MS, err) < 0)
		return -1;
	return take_fd(&api);
}

static int set_paused(struct vm *vm, bool paused, struct err *err)
{
	if (vm->hv.paused == paused)
		return 0;
	vm->hv.paused = paused;
	return vm_save(vm, false, err);
}

static int act(struct vm *vm, bool pause, struct err *err)
{
	const struct vmm *vmm;
	struct err ignored;
	AUTO_FD int api = vm_api(vm, &vmm, err);

	if (api < 0)
		return -1;
	if (!pause)
		return vmm->resume(api, API_MS, err) < 0
			   ? -1
			   : set_paused(vm, false, err);
	if (set_paused(vm, true, err) < 0)
		return -1;
	if (vmm->pause(api, API_MS, err) == 0)
		return 0;
	(void)set_paused(vm, false, &ignored);
	return -1;
}

static int one(const char *id, bool pause, struct err *err)
{
	AUTO_VM struct vm vm = VM_NONE;

	if (vm_open(&vm, id, VM_LOCK_MS, err) < 0)
		return -1;
	if (!live_check(vm.fd, vm.hv.generation).alive)
		return err_set(err, ERR_STATE, "vm %s: does not run: %s",
		    vm.vm.name,
		    pause ? "nothing to pause" : "`cocoon vm start` starts it");
	if (act(&vm, pause, err) < 0)
		return err_wrap(err, "vm %s", vm.vm.name);
	live_derive(&vm);
	doc_redact(vm.doc);
	return tool_emit(vm.doc, err);
}

static int run(struct call *call, bool pause, struct err *err)
{
	AUTO_STRV struct strv ids = {0};

	if (vm_resolve_all(&call->args, &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		struct err e = {0};

		if (one(ids.v[i], pause, &e) < 0)
			tool_fail(call, NULL, &e);
	}
	return 0;
}

static int pause_run(struct call *call, struct err *err)
{
	return run(call, true, err);
}

static int resume_run(struct call *call, struct err *err)
{
	return run(call, false, err);
}

const struct verb verb_pause = {
    .name = "pause",
    .summary = "Stop the processors of VMs; everything else stays.",
    .operands = "VM...",
    .max_args = -1,
    .emits = true,
    .changes = true,
    .run = pause_run,
};

const struct verb verb_resume = {
    .name = "resume",
    .summary = "Let paused VMs go on.",
    .operands = "VM...",
    .max_args = -1,
    .emits = true,
    .changes = true,
    .run = resume_run,
};
