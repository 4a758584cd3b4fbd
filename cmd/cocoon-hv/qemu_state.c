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

/* 1 done, 0 not yet, -1 failed: of an event. */
static int judge(const struct json_object *v)
{
	const char *event = jval_str(v, "event");
	const char *status = jval_str(jval_get(v, "data"), "status");

	if (!event || !status || strcmp(event, "MIGRATION"))
		return 0;
	if (!strcmp(status, "completed"))
		return 1;
	return !strcmp(status, "failed") || !strcmp(status, "cancelled") ? -1
									 : 0;
}

/* A signal ends it; QEMU is told, since the VM is to run on. */
static int await(int fd, struct buf *in, const char *what, struct err *err)
{
	bool cancelled = false;

	for (;;) {
		struct err e = {0};
		AUTO_JSON struct json_object *v =
		    qmp_read(fd, in, now_ms() + SLICE_MS, &e);
		int r = judge(v);

		if (!v && e.code != ERR_TIMEOUT) {
			*err = e;
			return err_wrap(err, "%s", what);
		}
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

int qemu_capture(int api_fd, const struct vm *vm, int dir_fd, struct err *err)
{
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
	return await(api_fd, &in, "write the state", err);
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

int qemu_load(
    int fd, const struct vm *vm, const struct vmm_fds *fds, struct err *err)
{
	AUTO_BUF struct buf in = {0};
	char args[40];

	snprintf(args, sizeof(args), "{\"uri\":\"fd:%d\"}", fds->state);
	if (ask_events(fd, &in, err) < 0 ||
	    call(fd, &in, "migrate-incoming", args, err) < 0 ||
	    await(fd, &in, "load the state", err) < 0)
		return -1;
	return grow_disks(fd, &in, vm, err);
}
