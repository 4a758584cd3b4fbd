/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of Cloud Hypervisor. It writes three files into a directory, which
 * must be below N/, and does not say whether all of it was written. Two of them
 * are kept. The third, config.json, is what it was told of the VM: that is made
 * anew from the record when the state is loaded, so nothing that it wrote
 * decides which files of the host are opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ch.h"
#include "disks.h"
#include "file.h"
#include "jtext.h"

#define CONFIG "config.json"
#define STATE "state.json"
#define MEMORY "memory-ranges"
#define API_MS 20000
#define MAX_CONFIG ((size_t)1 << 20)
#define MAX_STATE ((size_t)256 << 20)

const struct vmm_file ch_files[] = {
    {STATE, "state", 0}, {MEMORY, "memory", 0}, {NULL, NULL, 0}};

/* Nothing else is done while it writes a dump that nobody waits for any more:
 * then the answer comes late, and the VM is to go on all the same. */
static int ask_state(struct rest *api, struct buf *reply, const char **state,
    struct json_object **info, struct err *err)
{
	struct rest_call c = {.method = "GET",
	    .path = "/api/v1/vm.info",
	    .timeout_ms = DUMP_MS,
	    .reply = reply};

	if (rest_request(api, &c, NULL, err) < 0)
		return -1;
	*info = jval_parse(reply->data, reply->len, err);
	*state = jval_str(*info, "state");
	return *state ? 0 : err_set(err, ERR_FAILED, "vm.info: no state");
}

int ch_resume(struct vmm_link *l, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *info = NULL;
	AUTO_BUF struct buf reply = {0};
	const char *state;

	if (l->fresh) {
		l->fresh = false;
		return ch_put(
		    &l->api, "/api/v1/vm.boot", NULL, timeout_ms, err);
	}
	if (ask_state(&l->api, &reply, &state, &info, err) < 0)
		return -1;
	if (!strcmp(state, "Running"))
		return 0;
	return ch_put(&l->api, "/api/v1/vm.resume", NULL, timeout_ms, err);
}

int ch_pause(struct vmm_link *l, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *info = NULL;
	AUTO_BUF struct buf reply = {0};
	const char *state;

	if (ask_state(&l->api, &reply, &state, &info, err) < 0)
		return -1;
	if (!strcmp(state, "Paused"))
		return 0;
	return ch_put(&l->api, "/api/v1/vm.pause", NULL, timeout_ms, err);
}

/*
 * #8607: what it knows of an overlay, and has not written, is in no snapshot:
 * clusters that the guest had written would be gone. Fixed in v54.
 */
int ch_check_save(const struct vm *vm, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	if (ch_saves_overlays(version_number(vm->hv.version)))
		return 0;
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		if (!d[i].ro && strcmp(d[i].format, "raw"))
			return err_set(err, ERR_UNSUPPORTED,
			    "%s: cloud-hypervisor v%s loses what was written "
			    "last to an overlay that is saved (#8607): import "
			    "the image as a raw disk",
			    d[i].file, vm->hv.version);
	return 0;
}

/* How the memory comes back. */
static int check_mode(struct doc_plan *plan, struct err *err)
{
	unsigned int v = version_number(plan->version);
	gid_t group;
	bool faults = probe_node("/dev/userfaultfd", &group);
	const char *why;

	if (!plan->restore_mode) {
		if (ch_is_lazy(v) && faults && !plan->hugepages)
			plan->restore_mode = "ondemand";
		return 0;
	}
	why = ch_no_restore_mode(v, plan->hugepages, plan->restore_mode);
	if (why)
		return err_set(err, ERR_UNSUPPORTED,
		    "--restore-mode %s: cloud-hypervisor v%s: %s",
		    plan->restore_mode, plan->version, why);
	if (!strcmp(plan->restore_mode, "ondemand") && !faults)
		return err_set(err, ERR_UNSUPPORTED,
		    "--restore-mode ondemand: an unprivileged hypervisor "
		    "cannot open /dev/userfaultfd: give it mode 0666, or a "
		    "group and 0660");
	return 0;
}

static int check_growth(const struct doc_plan *plan, struct err *err)
{
	const struct doc_disk *d = plan->disks.v;

	for (size_t i = 0; i < plan->disks.n; i++)
		if (!strcmp(d[i].role, "cow") && strcmp(d[i].format, "raw"))
			return err_set(err, ERR_UNSUPPORTED,
			    "%s: would be larger than the snapshot's, and "
			    "overlays do not grow on cloud-hypervisor: clone "
			    "it without --storage",
			    d[i].file);
	if (!ch_can_resize_disk(version_number(plan->version)))
		return err_set(err, ERR_UNSUPPORTED,
		    "the writable disk would be larger than the snapshot's, "
		    "and cloud-hypervisor v%s cannot tell a guest that runs: "
		    "clone it without --storage; v52.0 and later can",
		    plan->version);
	return 0;
}

int ch_check_load(struct doc_plan *plan, bool grows, struct err *err)
{
	if (check_mode(plan, err) < 0)
		return -1;
	return grows ? check_growth(plan, err) : 0;
}

/* What the VM is may have changed behind the record's back. */
static int check_config(const struct vm *vm, int out, struct err *err)
{
	AUTO_JSON struct json_object *v = NULL;
	AUTO_BUF struct buf text = {0};
	int64_t cpu, memory;

	if (file_read(out, CONFIG, &text, MAX_CONFIG, err) < 0)
		return -1;
	v = jval_parse(text.data, text.len, err);
	if (!v)
		return err_wrap(err, "%s", CONFIG);
	cpu = jval_int(jval_get(v, "cpus"), "boot_vcpus", -1);
	memory = jval_int(jval_get(v, "memory"), "size", -1);
	if (cpu != (int64_t)vm->plan.cpu || memory != (int64_t)vm->plan.memory)
		return err_set(err, ERR_STATE,
		    "it has %lld CPUs and %lld bytes of memory, its record "
		    "says %llu and %llu: `cocoon vm resize` it to what it "
		    "should have",
		    (long long)cpu, (long long)memory,
		    (unsigned long long)vm->plan.cpu,
		    (unsigned long long)vm->plan.memory);
	return 0;
}

static int dump(struct vmm_link *l, const struct vm *vm, int out, int dir_fd,
    struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	jval_set_str(body, "destination_url", "file://" DUMP_DIR);
	if (ch_put(&l->api, "/api/v1/vm.snapshot", body, dump_ms(vm), err) <
		0 ||
	    tool_check(err) < 0 || check_config(vm, out, err) < 0)
		return -1;
	return dump_take(ch_files, out, dir_fd, err);
}

int ch_capture(
    struct vmm_link *l, const struct vm *vm, int dir_fd, struct err *err)
{
	AUTO_FD int out = dump_dir(l, vm, dir_fd, err);
	struct err ignored;
	int r = out < 0 ? -1 : dump(l, vm, out, dir_fd, err);

	(void)tree_remove(l->run_fd, DUMP_DIR, &ignored);
	return r;
}

/* It does not look whether its write(2) wrote all. */
static int check_state(int dir_fd, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	size_t start, end;

	if (file_read(dir_fd, STATE, &text, MAX_STATE, err) < 0)
		return -1;
	if (!text.len || jtext_split(text.data, text.len, &start, &end) != 1 ||
	    strspn(text.data + end, " \t\r\n") != text.len - end)
		return err_set(err, ERR_FAILED,
		    "%s: was not written to its end: is the disk full?", STATE);
	return 0;
}

int ch_settle(const struct vm *vm, int dir_fd, struct err *err)
{
	return check_state(dir_fd, err) < 0
		   ? -1
		   : dump_settle(vm, dir_fd, MEMORY, err);
}

static int write_config(const struct vm *vm, int run_fd, struct err *err)
{
	AUTO_JSON struct json_object *config = ch_config(vm);
	AUTO_BUF struct buf text = {0};
	AUTO_FD int fd = -1;

	jval_print(config, &text);
	if (tree_remove(run_fd, CONFIG, err) < 0)
		return -1;
	fd = openat(run_fd, CONFIG,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0 || fchmod(fd, 0444) < 0 ||
	    write_all(fd, text.data, text.len) < 0)
		return err_sys(err, errno, "%s: write", CONFIG);
	return 0;
}

static int restore_as(
    struct vmm_link *l, const struct vm *vm, const char *mode, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	jval_set_str(body, "source_url", "file://.");
	if (mode)
		jval_set_str(body, "memory_restore_mode", mode);
	return ch_put(&l->api, "/api/v1/vm.restore", body, dump_ms(vm), err);
}

/* Builds of v54 before #8581 do not know the word, and read nothing else. */
static int restore(struct vmm_link *l, const struct vm *vm, struct err *err)
{
	const char *wish = vm->plan.restore_mode;
	const char *mode = ch_restore_mode(
	    version_number(vm->plan.version), vm->plan.hugepages, wish);
	struct err e = {0};

	if (restore_as(l, vm, mode, &e) == 0)
		return 0;
	if (mode && !wish && strstr(e.msg, "unknown variant"))
		return restore_as(l, vm, NULL, err);
	*err = e;
	return -1;
}

/* Files that are smaller than the plan has them. */
static int grow_disks(struct vmm_link *l, const struct vm *vm, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		struct vmm_size want = {.disk = (int)i};
		struct stat st;

		if (d[i].ro || strcmp(d[i].format, "raw") ||
		    fstatat(l->run_fd, d[i].file, &st, AT_SYMLINK_NOFOLLOW) <
			0 ||
		    (uint64_t)st.st_size >= d[i].size)
			continue;
		want.disk_bytes = d[i].size;
		if (ch_resize_disk(vm, &want, &l->api, API_MS, err) < 0)
			return err_wrap(err, "%s", d[i].file);
	}
	return 0;
}

/* Those that the state does not have. */
static int plug_disks(struct vmm_link *l, const struct vm *vm, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	size_t n = vm->plan.disks.n;

	for (size_t i = n - vm->new_disks; i < n; i++) {
		AUTO_JSON struct json_object *body = ch_disk(vm, i);

		if (ch_put(&l->api, "/api/v1/vm.add-disk", body, API_MS, err) <
		    0)
			return err_wrap(err, "%s", d[i].file);
	}
	return 0;
}

static int plug_nics(struct vmm_link *l, const struct vm *vm, struct err *err)
{
	size_t n = vm->net.nics.n;

	for (size_t i = n - vm->new_nics; i < n; i++) {
		AUTO_JSON struct json_object *body = ch_nic(vm, i);

		if (ch_put(&l->api, "/api/v1/vm.add-net", body, API_MS, err) <
		    0)
			return err_wrap(err, "NIC %zu", i);
	}
	return 0;
}

int ch_load(struct vmm_link *l, const struct vm *vm, const struct vmm_fds *fds,
    struct err *err)
{
	struct vm was = *vm;
	int r;

	(void)fds;
	was.net.nics.n -= vm->new_nics;
	was.plan.disks.n -= vm->new_disks;
	if (write_config(&was, l->run_fd, err) < 0)
		return -1;
	r = restore(l, vm, err);
	/* It has read them, or has them mapped. */
	for (const struct vmm_file *f = ch_files; f->name; f++)
		(void)unlinkat(l->run_fd, f->name, 0);
	(void)unlinkat(l->run_fd, CONFIG, 0);
	if (r < 0 || grow_disks(l, &was, err) < 0 ||
	    plug_disks(l, vm, err) < 0 || plug_nics(l, vm, err) < 0)
		return -1;
	if (vm->spec.memory > vm->plan.memory &&
	    ch_add_memory(vm, vm->spec.memory, &l->api, API_MS, err) < 0)
		return -1;
	return vm->spec.cpu > vm->plan.cpu
		   ? ch_resize_cpu(vm, vm->spec.cpu, &l->api, API_MS, err)
		   : 0;
}
