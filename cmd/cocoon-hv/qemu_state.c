/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of QEMU: its migration stream, to and from a file by descriptor.
 * QEMU leaves pages of zeros out of it. A file's end of memory (mapped, shared
 * by clones) would need a memory file that the VM's uid can write: not before
 * QEMU 8.2.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "qmp.h"
#include "vmm.h"

#define API_MS 20000
#define SLICE_MS 200 /* how soon a signal is seen */

static int call(int fd, struct buf *in, const char *command, const char *args,
    struct err *e)
{
	struct qmp_call c = {command, args, -1, API_MS};

	return qmp_call(fd, in, &c, NULL, e);
}

static int ask_events(int fd, struct buf *in, struct err *err)
{
	return call(fd, in, "migrate-set-capabilities",
	    "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}",
	    err);
}

/* QEMU's own words on why it failed. */
static int say_why(int fd, struct buf *in, const char *what, struct err *err)
{
	AUTO_JSON struct json_object *info = NULL;
	struct qmp_call c = {"query-migrate", "{}", -1, API_MS};
	const char *desc;

	if (qmp_call(fd, in, &c, &info, err) < 0)
		return -1;
	desc = jval_str(info, "error-desc");
	return err_set(
	    err, ERR_FAILED, "%s: %s", what, desc ? desc : "QEMU failed");
}

/* 1 done, 0 not yet, -1 failed. */
static int judge(const char *status)
{
	if (!status)
		return 0;
	if (!strcmp(status, "completed"))
		return 1;
	return !strcmp(status, "failed") || !strcmp(status, "cancelled") ? -1
									 : 0;
}

static int judge_event(const struct json_object *v)
{
	const char *event = jval_str(v, "event");

	return event && !strcmp(event, "MIGRATION")
		   ? judge(jval_str(jval_get(v, "data"), "status"))
		   : 0;
}

/* The event may come in front of the answer to `migrate`, which drops it. */
static int judge_info(int fd, struct buf *in, struct err *err)
{
	AUTO_JSON struct json_object *info = NULL;
	struct qmp_call c = {"query-migrate", "{}", -1, API_MS};

	if (qmp_call(fd, in, &c, &info, err) < 0)
		return -1;
	return judge(jval_str(info, "status"));
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; s && *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

/* True while QEMU has still to do with a migration that was begun. */
static int is_busy(int fd, struct buf *in, bool *stream, struct err *err)
{
	static const char *const moving[] = {
	    "setup", "active", "device", "pre-switchover", "cancelling", NULL};
	static const char *const ending[] = {
	    "finish-migrate", "inmigrate", NULL};
	struct qmp_call info = {"query-migrate", "{}", -1, API_MS};
	struct qmp_call state = {"query-status", "{}", -1, API_MS};
	AUTO_JSON struct json_object *i = NULL, *s = NULL;

	if (qmp_call(fd, in, &info, &i, err) < 0 ||
	    qmp_call(fd, in, &state, &s, err) < 0)
		return -1;
	*stream = is_one_of(jval_str(i, "status"), moving);
	return *stream || is_one_of(jval_str(s, "status"), ending);
}

/* "completed" is said a little before QEMU can go on. */
static int settle(int fd, struct buf *in, int64_t until, struct err *err)
{
	bool stream;

	for (;;) {
		int r = is_busy(fd, in, &stream, err);

		if (r <= 0)
			return r;
		if (now_ms() >= until)
			return err_set(err, ERR_TIMEOUT,
			    "qmp: QEMU does not end its migration");
		sleep_ms(1);
	}
}

/*
 * Who captured may have died in the middle: a guest that ran on then would be
 * stopped again when the stream ends.
 */
int qemu_resume(struct vmm_link *l, int timeout_ms, struct err *err)
{
	int fd = l->events;
	AUTO_BUF struct buf in = {0};
	bool stream = false;
	int r = is_busy(fd, &in, &stream, err);

	if (r < 0)
		return -1;
	if (stream && call(fd, &in, "migrate_cancel", "{}", err) < 0)
		return -1;
	if (r && settle(fd, &in, now_ms() + timeout_ms, err) < 0)
		return -1;
	return call(fd, &in, "cont", "{}", err);
}

/* A signal ends it; QEMU is told, since the VM is to run on. */
static int await(int fd, struct buf *in, const char *what, struct err *err)
{
	bool cancelled = false;

	for (;;) {
		struct err e = {0};
		AUTO_JSON struct json_object *v =
		    qmp_read(fd, in, now_ms() + SLICE_MS, &e);
		int r = v ? judge_event(v) : 0;

		if (!v && e.code != ERR_TIMEOUT) {
			*err = e;
			return err_wrap(err, "%s", what);
		}
		if (!v)
			r = judge_info(fd, in, err);
		if (r > 0)
			return tool_check(err);
		if (r < 0)
			return tool_check(err) < 0 ? -1
						   : say_why(fd, in, what, err);
		if (!cancelled && tool_interrupted()) {
			if (call(fd, in, "migrate_cancel", "{}", err) < 0)
				return -1;
			cancelled = true;
		}
	}
}

int qemu_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	int api_fd = l->events;
	AUTO_BUF struct buf in = {0};
	AUTO_FD int out = openat(
	    dir_fd, "vmstate", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct qmp_call give = {"getfd", "{\"fdname\":\"state\"}", out, API_MS};

	(void)vm;
	if (out < 0)
		return err_sys(err, errno, "vmstate: create");
	if (ask_events(api_fd, &in, err) < 0 ||
	    call(api_fd, &in, "migrate-set-parameters",
		"{\"max-bandwidth\":1000000000000}", err) < 0 ||
	    qmp_call(api_fd, &in, &give, NULL, err) < 0 ||
	    call(api_fd, &in, "migrate", "{\"uri\":\"fd:state\"}", err) < 0)
		return -1;
	if (await(api_fd, &in, "write the state", err) < 0)
		return -1;
	return settle(api_fd, &in, now_ms() + API_MS, err);
}

/* Files that are smaller than the plan has them. */
static int grow_disks(
    int fd, struct buf *in, const struct vm *vm, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	AUTO_FD int run = vm_run_dir(vm, err);

	if (run < 0)
		return -1;
	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		char args[80];
		struct stat st;

		if (d[i].ro || strcmp(d[i].format, "raw") ||
		    fstatat(run, d[i].file, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (uint64_t)st.st_size >= d[i].size)
			continue;
		snprintf(args, sizeof(args),
		    "{\"device\":\"d%zu\",\"size\":%llu}", i,
		    (unsigned long long)d[i].size);
		if (call(fd, in, "block_resize", args, err) < 0)
			return err_wrap(err, "%s", d[i].file);
	}
	return 0;
}

int qemu_check_load(struct doc_plan *plan, bool grows, struct err *err)
{
	(void)grows;
	if (plan->plugged.n > plan->ports)
		return err_set(err, ERR_UNSUPPORTED,
		    "%zu disks and NICs were plugged in, and it was started "
		    "with room for %llu",
		    plan->plugged.n, (unsigned long long)plan->ports);
	if (!plan->restore_mode || !strcmp(plan->restore_mode, "copy"))
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
	    "--restore-mode %s: QEMU reads its state as a stream, always",
	    plan->restore_mode);
}

int qemu_load(struct vmm_link *l, const struct vm *vm,
    const struct vmm_fds *fds, struct err *err)
{
	int fd = l->events;
	AUTO_BUF struct buf in = {0};
	char args[40];

	snprintf(args, sizeof(args), "{\"uri\":\"fd:%d\"}", fds->state);
	if (ask_events(fd, &in, err) < 0 ||
	    call(fd, &in, "migrate-incoming", args, err) < 0 ||
	    await(fd, &in, "load the state", err) < 0)
		return -1;
	if (grow_disks(fd, &in, vm, err) < 0 || qemu_plug(fd, &in, vm, err) < 0)
		return -1;
	return vm->spec.cpu > vm->plan.cpu
		   ? qemu_plug_cpus(fd, &in, vm->spec.cpu - vm->plan.cpu, err)
		   : 0;
}
