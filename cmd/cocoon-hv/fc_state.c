/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of Firecracker: the state of its devices in one file, the memory,
 * byte for byte, in another, which is mapped where it is loaded: clones share
 * what they have not written. The state names disks and taps as the VM was told
 * them, relative to N/ and by names that are the same in every VM's namespace,
 * so nothing in it is rewritten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fc.h"
#include "file.h"
#include "live.h"
#include "log.h"

#define STATE "vmstate"
#define MEMORY "mem"
#define API_MS 20000

const struct vmm_file fc_files[] = {
    {STATE, "state", 0}, {MEMORY, "memory", 0}, {NULL, NULL, 0}};

int fc_request(struct rest *api, const char *method, const char *path,
    const struct json_object *body, int timeout_ms, struct err *err)
{
	AUTO_BUF struct buf text = {0};

	jval_print(body, &text);
	return rest_request(api,
	    &(struct rest_call){.method = method,
		.path = path,
		.body = text.data,
		.timeout_ms = timeout_ms},
	    NULL, err);
}

static int set_state(
    struct vmm_link *l, const char *state, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	jval_set_str(body, "state", state);
	return fc_request(&l->api, "PATCH", "/vm", body, timeout_ms, err);
}

/* Nothing else is answered while it writes a dump that nobody waits for any
 * more, and the VM is to go on all the same. One that runs goes on running. */
int fc_resume(struct vmm_link *l, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	if (!l->fresh)
		return set_state(l, "Resumed", DUMP_MS, err);
	l->fresh = false;
	jval_set_str(body, "action_type", "InstanceStart");
	return fc_request(&l->api, "PUT", "/actions", body, timeout_ms, err);
}

int fc_pause(struct vmm_link *l, int timeout_ms, struct err *err)
{
	return set_state(l, "Paused", timeout_ms, err);
}

static bool host_swaps(void)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;

	/* One line is its heading. */
	return file_read(AT_FDCWD, "/proc/swaps", &text, 65536, &ignored) < 0 ||
	       !text.len || strchr(text.data, '\n') != strrchr(text.data, '\n');
}

/* Not above 3 GiB before 1.14.2 (#5705). */
static bool diff_is_sound(const struct vm *vm, const char *version)
{
	return version_number(version) >= VERSION(1, 14, 2) ||
	       vm->plan.memory <= UINT64_C(3) << 30;
}

/*
 * A Diff of a VM that booted has the pages that mincore(2) says are there, and
 * holes: all of its memory, much sooner. Not where pages can be in swap, nor of
 * a VM that was loaded, whose pages are in a file; and with tracking alone
 * before 1.13.
 */
static bool is_sparse(const struct vm *vm)
{
	return !vm->hv.loaded &&
	       version_number(vm->hv.version) >= VERSION(1, 13, 0) &&
	       diff_is_sound(vm, vm->hv.version) && !host_swaps();
}

/* A Diff of a VM that was loaded has the pages that were written since, and is
 * merged into the file that is there. */
int fc_prepare(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	uid_t uid = live_check(vm->fd, vm->hv.generation).uid;
	AUTO_FD int pin = vm_pin_dir(vm, err);

	l->dump = dump_dir(l, vm, dir_fd, err);
	if (pin < 0 || l->dump < 0)
		return -1;
	l->merge = vm->hv.loaded && diff_is_sound(vm, vm->hv.version) &&
		   faccessat(pin, VMM_BASE, F_OK, 0) == 0;
	if (!l->merge)
		return 0;
	/* The VM's uid has it last: it must not give us another to chown. */
	if (file_clone(pin, VMM_BASE, dir_fd, MEMORY, 0600, err) < 0)
		return -1;
	if (fchownat(dir_fd, MEMORY, uid, uid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    renameat(dir_fd, MEMORY, l->dump, MEMORY) < 0)
		return err_sys(err, errno, "%s: hand over", MEMORY);
	return 0;
}

int fc_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();
	AUTO_FD int pin = vm_pin_dir(vm, err);

	/* From here on it counts anew which pages are written. */
	if (pin < 0)
		return -1;
	if (unlinkat(pin, VMM_BASE, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, VMM_BASE ": remove");
	jval_set_str(
	    body, "snapshot_type", l->merge || is_sparse(vm) ? "Diff" : "Full");
	jval_set_str(body, "snapshot_path", DUMP_DIR "/" STATE);
	jval_set_str(body, "mem_file_path", DUMP_DIR "/" MEMORY);
	if (fc_request(&l->api, "PUT", "/snapshot/create", body, dump_ms(vm),
		err) < 0 ||
	    tool_check(err) < 0)
		return -1;
	return dump_take(fc_files, l->dump, dir_fd, err);
}

int fc_settle(const struct vm *vm, int dir_fd, struct err *err)
{
	AUTO_FD int pin = -1;

	if (dump_settle(vm, dir_fd, MEMORY, err) < 0)
		return -1;
	pin = vm->hv.loaded ? vm_pin_dir(vm, err) : -1;
	if (pin >= 0 && linkat(dir_fd, MEMORY, pin, VMM_BASE, 0) < 0)
		log_debug("%s: link: %s", VMM_BASE, strerror(errno));
	return 0;
}

static int grow(
    struct vmm_link *l, const struct doc_disk *d, size_t i, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();
	AUTO_FREE char *id = xasprintf("disk%zu", i);
	AUTO_FREE char *path = xasprintf("/drives/%s", id);
	AUTO_FD int fd =
	    openat(l->run_fd, d->file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: open", d->file);
	if ((uint64_t)st.st_size >= d->size)
		return 0;
	if (ftruncate(fd, (off_t)d->size) < 0)
		return err_sys(err, errno, "%s: grow", d->file);
	jval_set_str(body, "drive_id", id);
	jval_set_str(body, "path_on_host", d->file);
	if (fc_request(&l->api, "PATCH", path, body, API_MS, err) < 0)
		return err_wrap(err, "%s", d->file);
	return 0;
}

int fc_check_load(struct doc_plan *plan, bool grows, struct err *err)
{
	(void)grows;
	if (!plan->restore_mode || !strcmp(plan->restore_mode, "mmap"))
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
	    "--restore-mode %s: Firecracker maps the memory, always",
	    plan->restore_mode);
}

static int restore(struct vmm_link *l, const struct vm *vm, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();
	struct json_object *memory = jval_object();
	bool old = version_number(vm->plan.version) < VERSION(1, 13, 0);

	if (diff_is_sound(vm, vm->plan.version))
		jval_set_bool(body,
		    old ? "enable_diff_snapshots" : "track_dirty_pages", true);
	jval_set_str(memory, "backend_type", "File");
	jval_set_str(memory, "backend_path", MEMORY);
	jval_set_str(body, "snapshot_path", STATE);
	jval_set(body, "mem_backend", memory);
	return fc_request(
	    &l->api, "PUT", "/snapshot/load", body, dump_ms(vm), err);
}

int fc_load(struct vmm_link *l, const struct vm *vm, const struct vmm_fds *fds,
    struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	int r = restore(l, vm, err);

	(void)fds;
	/* Read, or mapped. */
	for (const struct vmm_file *f = fc_files; f->name; f++)
		(void)unlinkat(l->run_fd, f->name, 0);
	for (size_t i = 0; r == 0 && i < vm->plan.disks.n - vm->new_disks; i++)
		if (!d[i].ro)
			r = grow(l, &d[i], i, err);
	return r < 0 ? -1 : fc_plug(l, vm, API_MS, err);
}
