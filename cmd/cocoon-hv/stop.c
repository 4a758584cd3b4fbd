/* SPDX-License-Identifier: MIT */
/*
 * stop: the power button for all of them, then one wait, then firmly. Locks
 * are taken in the order of ids, so that two stops cannot wait for each other.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hold.h"
#include "hv.h"
#include "live.h"
#include "log.h"
#include "proc.h"
#include "vmm.h"

#define API_MS 2000
#define PRESS_MS 3000   /* between two presses of the button */
#define GRACE_MS 5000   /* of SIGTERM */
#define MONITOR_MS 2000 /* until the monitor has written the end */
#define DEFAULT_TIMEOUT 30
#define WINDOWS_MS 60000 /* more: it writes its updates when it ends */

struct stop_opts {
	bool force;
	uint64_t timeout;
};

static const struct opt opts[] = {
    {.name = "force",
	.kind = OPT_FLAG,
	.offset = offsetof(struct stop_opts, force),
	.help = "do not ask the guest"},
    {.name = "timeout",
	.kind = OPT_U64,
	.max = 86400,
	.metavar = "SECONDS",
	.offset = offsetof(struct stop_opts, timeout),
	.help = "for the guest to shut down (default 30)"},
};

struct stopping {
	struct vm vm;
	struct live live;
	bool asked, failed;
	bool twin; /* named twice: a line, nothing to do */
};

/* Asks the guest; false: it cannot be asked. */
static bool power_button(struct stopping *s)
{
	const struct vmm *v = vmm_find(s->vm.plan.backend);
	struct err err;
	AUTO_FD int run = vm_run_dir(&s->vm, &err);

	if (!v || run < 0 || v->powerdown(run, API_MS, &err) < 0) {
		log_info(
		    "%s: cannot ask the guest: %s", s->vm.vm.name, err.msg);
		return false;
	}
	return true;
}

/* The monitor writes the end; where none is left, this does. */
void vm_record_end(struct vm *vm, bool killed)
{
	int64_t until = now_ms() + MONITOR_MS;
	struct json_object *keep = NULL;
	struct doc_ended ended;
	AUTO_FD int fd = -1;

	do {
		event_last(vm->fd, vm->hv.generation, &ended, &keep);
		bool found = ended.reason && ended.at >= vm->hv.started_at;

		jval_put(keep);
		if (found)
			return;
		sleep_ms(2);
	} while (!vm->hv.unattended && now_ms() < until);
	fd = openat(vm->fd, "events",
	    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		event_append(fd, vm->hv.generation, "ended",
		    killed ? "killed" : "stopped", "the monitor was gone", -1);
}

/* What a VMM leaves behind: its uid, its sockets, the files it owned. */
void vm_tidy(struct vm *vm, uid_t uid)
{
	struct err err;
	AUTO_FD int run = vm_run_dir(vm, &err);
	AUTO_FD int pin = vm_pin_dir(vm, &err);

	if (pin >= 0)
		unlinkat(pin, VMM_BASE, 0);
	if (run >= 0) {
		if (disks_chown(vm, run, 0, &err) < 0)
			log_info("%s: %s", vm->vm.name, err.msg);
		disks_clean(run);
	}
	if (uid)
		slot_release(vm, uid);
	unlinkat(vm->fd, "console.sock", 0);
	unlinkat(vm->fd, HOLD_SOCKET, 0);
}

/* A guest that is still booting misses the button: it is pressed again. */
static bool await_guest(struct stopping *s, int pidfd, int64_t until)
{
	for (;;) {
		int64_t left = until - now_ms();

		if (left < 0)
			left = 0;
		if (proc_pidfd_wait(
			pidfd, (int)(left < PRESS_MS ? left : PRESS_MS)))
			return true;
		if (left <= PRESS_MS || tool_interrupted())
			return false;
		(void)power_button(s);
	}
}

static void finish(
    struct call *call, struct stopping *s, int64_t until, bool force)
{
	AUTO_FD int pidfd = live_pidfd(&s->live);
	bool gone = pidfd < 0, killed = false;
	struct err err;

	if (!gone && s->asked)
		gone = await_guest(s, pidfd, until);
	if (!gone) {
		if (s->asked)
			log_warn("vm %s: the guest did not shut down and is "
				 "ended",
			    s->vm.vm.name);
		else
			log_info("%s: firmly", s->vm.vm.name);
		killed = true;
		gone = live_kill(&s->live, force ? 1000 : GRACE_MS);
	}
	if (!gone) {
		err_set(&err, ERR_TIMEOUT,
		    "vm %s: process %d does not end after SIGKILL",
		    s->vm.vm.name, (int)s->live.pid);
		s->failed = true;
		tool_fail(call, NULL, &err);
		return;
	}
	vm_record_end(&s->vm, killed);
	vm_tidy(&s->vm, s->live.uid);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int open_one(
    struct stopping *s, const char *id, bool force, struct err *err)
{
	if (vm_open(&s->vm, id, VM_LOCK_MS, err) < 0)
		return -1;
	live_derive(&s->vm);
	s->live = live_check(s->vm.fd, s->vm.hv.generation);
	s->asked = s->live.alive && !force && power_button(s);
	return 0;
}

static int emit(struct stopping *s, struct err *err)
{
	live_derive(&s->vm);
	doc_redact(s->vm.doc);
	return tool_emit(s->vm.doc, err);
}

static int stop_run(struct call *call, struct err *err)
{
	const struct stop_opts *o = call->opts;
	int64_t until =
	    now_ms() +
	    1000 * (int64_t)(o->timeout ? o->timeout : DEFAULT_TIMEOUT);
	AUTO_STRV struct strv ids = {0};
	struct stopping *s;
	int r = 0;

	if (vm_resolve_all(&call->args, &ids, err) < 0)
		return -1;
	qsort(ids.v, ids.n, sizeof(char *), compare);
	s = xcalloc(ids.n, sizeof(*s));
	for (size_t i = 0; i < ids.n; i++) {
		struct err e;

		if (vm_seen_before(&ids, i)) {
			s[i].twin = true;
			continue;
		}
		s[i].failed = open_one(&s[i], ids.v[i], o->force, &e) < 0;
		if (s[i].failed)
			tool_fail(call, NULL, &e);
	}
	for (size_t i = 0; i < ids.n; i++) {
		if (s[i].twin) {
			r = vm_open(&s[i].vm, ids.v[i], -1, err) < 0 ? -1 : r;
			s[i].failed = r < 0;
		}
		if (!s[i].failed && s[i].live.alive)
			finish(call, &s[i],
			    until + (s[i].vm.spec.windows && !o->timeout
					    ? WINDOWS_MS
					    : 0),
			    o->force);
		if (!s[i].failed && !s[i].twin)
			taps_rest(&s[i].vm);
		if (!s[i].failed && emit(&s[i], err) < 0)
			r = -1;
		vm_close(&s[i].vm);
	}
	free(s);
	return r;
}

const struct verb verb_stop = {
    .name = "stop",
    .summary = "Stop VMs: by the power button, then firmly.",
    .operands = "VM...",
    .max_args = -1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct stop_opts),
    .emits = true,
    .changes = true,
    .run = stop_run,
};
