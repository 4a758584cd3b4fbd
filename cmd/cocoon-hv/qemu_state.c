/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of QEMU: its migration stream, to and from a file by descriptor.
 * QEMU leaves pages of zeros out of it. From 8.2 on, which maps a file that it
 * cannot write as memory that the guest can, the memory is a file of its own:
 * clones share what they have not written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "qemu.h"
#include "qemu_stream.h"
#include "qmp.h"

#define API_MS 20000
#define SLICE_MS 200 /* how soon a signal is seen */
#define STATE "vmstate"
#define STREAM_BYTES (1 << 20) /* on their way from QEMU to us */

const struct vmm_file qemu_files[] = {
    {STATE, "state", 0}, {QEMU_MEMORY, "memory", QEMU_MAPS}, {NULL, NULL, 0}};

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
	AUTO_JSON struct json_object *info =
	    qemu_ask(fd, in, "query-migrate", err);
	const char *desc;

	if (!info)
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
	AUTO_JSON struct json_object *info =
	    qemu_ask(fd, in, "query-migrate", err);

	return info ? judge(jval_str(info, "status")) : -1;
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
	AUTO_JSON struct json_object *i =
	    qemu_ask(fd, in, "query-migrate", err);
	AUTO_JSON struct json_object *s =
	    i ? qemu_ask(fd, in, "query-status", err) : NULL;

	if (!s)
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

/*
 * A VM that is paused, and was saved, is saved again: QEMU wants that it went
 * on in between. So it does, for about a millisecond.
 */
static int leave_last_stream(int fd, struct buf *in, struct err *err)
{
	AUTO_JSON struct json_object *info =
	    qemu_ask(fd, in, "query-status", err);
	const char *status = jval_str(info, "status");

	if (!info)
		return -1;
	if (!status || strcmp(status, "postmigrate"))
		return 0;
	return call(fd, in, "cont", "{}", err) < 0
		   ? -1
		   : call(fd, in, "stop", "{}", err);
}

/* QEMU writes to `out`, and has begun when this returns. */
static int begin_stream(int api_fd, struct buf *in, int out, struct err *err)
{
	struct qmp_call give = {"getfd", "{\"fdname\":\"state\"}", out, API_MS};

	if (ask_events(api_fd, in, err) < 0 ||
	    call(api_fd, in, "migrate-set-parameters",
		"{\"max-bandwidth\":1000000000000}", err) < 0 ||
	    qmp_call(api_fd, in, &give, NULL, err) < 0)
		return -1;
	return call(api_fd, in, "migrate", "{\"uri\":\"fd:state\"}", err);
}

static int end_stream(int api_fd, struct buf *in, struct err *err)
{
	if (await(api_fd, in, "write the state", err) < 0)
		return -1;
	return settle(api_fd, in, now_ms() + API_MS, err);
}

/* Through a pipe: QEMU fails where nobody reads any more. */
static int split_stream(int api_fd, struct buf *in, const struct vm *vm,
    int state, int memory, struct err *err)
{
	int p[2];
	AUTO_FD int from = -1, to = -1;
	struct qemu_stream q = {.state = state,
	    .memory = memory,
	    .block = "pc.ram",
	    .size = qemu_boot_memory(vm)};

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	q.in = from = p[0];
	to = p[1];
	(void)fcntl(from, F_SETPIPE_SZ, STREAM_BYTES);
	if (begin_stream(api_fd, in, to, err) < 0)
		return -1;
	close_fd(&to);
	return qemu_stream_split(&q, err);
}

static int create(int dir_fd, const char *name, struct err *err)
{
	int fd =
	    openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(err, errno, "%s: create", name) : fd;
}

int qemu_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	int api_fd = l->events;
	AUTO_BUF struct buf in = {0};
	AUTO_FD int state = create(dir_fd, STATE, err), memory = -1;

	if (state < 0 || qemu_check_plugged(api_fd, &in, vm, err) < 0 ||
	    leave_last_stream(api_fd, &in, err) < 0)
		return -1;
	if (version_number(vm->hv.version) < QEMU_MAPS)
		return begin_stream(api_fd, &in, state, err) < 0
			   ? -1
			   : end_stream(api_fd, &in, err);
	memory = create(dir_fd, QEMU_MEMORY, err);
	if (memory < 0 || split_stream(api_fd, &in, vm, state, memory, err) < 0)
		return -1;
	return end_stream(api_fd, &in, err);
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
		/* What was loaded is not its own before `cont`, else. */
		if (version_number(vm->plan.version) >= VERSION(10, 0, 0) &&
		    call(fd, in, "blockdev-set-active", "{\"active\":true}",
			err) < 0)
			return -1;
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
	if (version_number(plan->version) < QEMU_MAPS)
		return err_set(err, ERR_UNSUPPORTED,
		    "--restore-mode %s: QEMU %s reads its memory from a "
		    "stream; 8.2 is the first that maps it",
		    plan->restore_mode, plan->version);
	return strcmp(plan->restore_mode, "mmap")
		   ? err_set(err, ERR_UNSUPPORTED,
			 "--restore-mode %s: QEMU has mmap, which reads what "
			 "the guest touches, and copy",
			 plan->restore_mode)
		   : 0;
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
	/* Read, or mapped. */
	for (const struct vmm_file *f = qemu_files; f->name; f++)
		(void)unlinkat(l->run_fd, f->name, 0);
	if (grow_disks(fd, &in, vm, err) < 0 || qemu_plug(fd, &in, vm, err) < 0)
		return -1;
	if (vm->spec.cpu > vm->plan.cpu &&
	    qemu_plug_cpus(fd, &in, vm, vm->spec.cpu, err) < 0)
		return -1;
	return vm->spec.memory > vm->plan.memory
		   ? qemu_plug_memory(fd, &in, vm, vm->spec.memory, err)
		   : 0;
}
