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

int vm_link(const struct vm *vm, struct vmm_link *l, const struct vmm **vmm,
    struct err *err)
{
	*vmm = vmm_find(vm->plan.backend);
	if (!*vmm)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build has no driver for it",
		    vm->plan.backend);
	l->run_fd = vm_run_dir(vm, err);
	if (l->run_fd < 0)
		return -1;
	/* One that is not told of its VM is spoken to as the monitor does. */
	if (!(*vmm)->configure) {
		l->events = socket_connect(l->run_fd, "api.sock", err);
		if (l->events < 0)
			return -1;
	}
	return (*vmm)->ready(l, API_MS, err);
}

void vmm_link_close(struct vmm_link *l)
{
	close_fd(&l->dump);
	close_fd(&l->run_fd);
	close_fd(&l->pidfd);
	close_fd(&l->events);
	buf_release(&l->in);
	rest_close(&l->api);
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
	AUTO_LINK struct vmm_link l = VMM_LINK_NONE;

	if (vm_link(vm, &l, &vmm, err) < 0)
		return -1;
	if (!pause)
		return vmm->resume(&l, API_MS, err) < 0
			   ? -1
			   : set_paused(vm, false, err);
	if (set_paused(vm, true, err) < 0)
		return -1;
	if (vmm->pause(&l, API_MS, err) == 0)
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
