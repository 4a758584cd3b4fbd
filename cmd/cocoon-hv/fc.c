/* SPDX-License-Identifier: MIT */
/*
 * The Firecracker backend, 1.12 and later. It binds its own socket, is told
 * of its VM by requests, and boots by one more; the serial port is its
 * standard input and output. Numbers of issues are those of
 * firecracker-microvm/firecracker.
 */
#include "fc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "proc.h"

#define MIB (UINT64_C(1) << 20)
#define QUEUE_SIZE 256 /* of every device; not to be changed */
/* Interrupts 5 to 23, less those of VMGenID and VMClock (1.15). */
#define MAX_DEVICES 17
#define MAX_PCI_DEVICES 31 /* slots, less the bridge */
#define MAX_CPUS 32
#define STOP_MS 2000

static int fc_version(const char *binary, char out[64], struct err *err)
{
	return probe_version(binary, "Firecracker v", out, err);
}

/* The table of what a version gets wrong, newest last. */
static const char *fc_fault(const char *version)
{
	unsigned int v = version_number(version);

	if (v < VERSION(1, 12, 0))
		return "is too old: 1.12 is the first whose Ctrl-Alt-Del "
		       "reaches a kernel with ACPI";
	if (v < VERSION(1, 14, 0))
		return "has no free page reporting, and clones of a Debian 12 "
		       "guest share their random numbers (#5760)";
	if (v < VERSION(1, 14, 2))
		return "loses memory above 3 GiB in snapshots (#5705)";
	if (v < VERSION(1, 16, 0))
		return "clones of a Debian 12 guest share their random "
		       "numbers (#5760); a restored serial port may be mute "
		       "(#5764)";
	if (v < VERSION(1, 16, 1))
		return "vsock may be dead after a restore (#5969)";
	if (v < VERSION(1, 17, 0))
		return NULL; /* #6100 is of pauses without a snapshot: none */
	return NULL;
}

static bool is_elf(const char *path)
{
	AUTO_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char magic[4];

	return fd >= 0 && read(fd, magic, 4) == 4 &&
	       !memcmp(magic, "\177ELF", 4);
}

/* bzImage boots from 1.17 on; before that the ELF file inside of it. */
static int choose_kernel(
    const struct doc_image *image, struct doc_plan *plan, struct err *err)
{
	if (version_number(plan->version) >= VERSION(1, 17, 0) ||
	    is_elf(image->kernel.path))
		return 0;
	if (!is_elf(image->vmlinux.path))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: Firecracker %s boots ELF kernels only, and "
		    "this image has none: import it again, or install 1.17",
		    plan->version);
	plan->kernel = image->vmlinux.path;
	return 0;
}

static int check_wishes(
    const struct doc_spec *spec, struct doc_plan *plan, struct err *err)
{
	const struct doc_data_disk *data = spec->data_disks.v;
	size_t devices = plan->disks.n + (size_t)spec->nics + 2;
	size_t most = spec->pci ? MAX_PCI_DEVICES : MAX_DEVICES;

	plan->pci = spec->pci;
	if (spec->pci && version_number(plan->version) < VERSION(1, 13, 0))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: --pci: Firecracker %s has no PCI: 1.16.1 or "
		    "later is the one to have",
		    plan->version);
	if (plan->cpu > MAX_CPUS)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: takes at most %d CPUs", MAX_CPUS);
	if (devices > most)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: %zu layers, disks and NICs: it takes %zu",
		    devices - 2, most - 2);
	if ((spec->queue_size && spec->queue_size != QUEUE_SIZE) ||
	    (spec->disk_queue_size && spec->disk_queue_size != QUEUE_SIZE))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: its queues have %d entries, always",
		    QUEUE_SIZE);
	for (size_t i = 0; i < spec->data_disks.n; i++)
		if (data[i].directio && !strcmp(data[i].directio, "on"))
			return err_set(err, ERR_UNSUPPORTED,
			    "backend fc: cannot bypass the host's page cache "
			    "for data disk %s",
			    data[i].name);
	return 0;
}

static int fc_check(const struct doc_spec *spec, const struct doc_image *image,
    struct doc_plan *plan, struct err *err)
{
	struct doc_disk *d = plan->disks.v;

	if (version_number(plan->version) < VERSION(1, 12, 0))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend fc: Firecracker %s %s; 1.16.1 or later is the "
		    "one to have",
		    plan->version, fc_fault(plan->version));
	if (check_wishes(spec, plan, err) < 0)
		return -1;
	for (size_t i = 0; i < plan->disks.n; i++)
		d[i].direct = false;
	return choose_kernel(image, plan, err);
}

static void fc_argv(
    const struct vm *vm, const struct vmm_fds *fds, struct strv *out)
{
	(void)fds;
	strv_add(out, vm->plan.binary);
	strv_add(out, "--api-sock");
	strv_add(out, "api.sock");
	strv_add(out, "--log-path");
	strv_add(out, "vmm.fifo");
	strv_add(out, "--level");
	strv_add(out, "Warning");
	if (vm->plan.pci)
		strv_add(out, "--enable-pci");
}

static struct json_object *machine(const struct vm *vm)
{
	struct json_object *o = jval_object();

	jval_set_int(o, "vcpu_count", (int64_t)vm->plan.cpu);
	jval_set_int(o, "mem_size_mib", (int64_t)(vm->plan.memory / MIB));
	return o;
}

static struct json_object *boot_source(const struct vm *vm)
{
	struct json_object *o = jval_object();

	jval_set_str(o, "kernel_image_path", "kernel");
	if (vm->image.initrd.path)
		jval_set_str(o, "initrd_path", "initrd");
	/* Absent, it would take words of its own: nomodule among them. */
	jval_set_str(o, "boot_args", vm->boot.cmdline ? vm->boot.cmdline : "");
	return o;
}

static struct json_object *drive(const struct doc_disk *d, size_t i)
{
	AUTO_FREE char *id = xasprintf("disk%zu", i);
	struct json_object *o = jval_object();

	jval_set_str(o, "drive_id", id);
	jval_set_str(o, "path_on_host", d->file);
	jval_set_bool(o, "is_root_device", false);
	jval_set_bool(o, "is_read_only", d->ro);
	/* Else a flush of the guest would reach nothing. */
	jval_set_str(o, "cache_type", d->ro ? "Unsafe" : "Writeback");
	return o;
}

static struct json_object *nic(
    const struct doc_nic *n, size_t i, unsigned int version)
{
	AUTO_FREE char *id = xasprintf("eth%zu", i);
	struct json_object *o = jval_object();

	jval_set_str(o, "iface_id", id);
	jval_set_str(o, "host_dev_name", n->tap);
	jval_set_str(o, "guest_mac", n->mac);
	/* Unknown fields are refused: `mtu` is of 1.16. */
	if (n->mtu && version >= VERSION(1, 16, 0))
		jval_set_int(o, "mtu", (int64_t)n->mtu);
	return o;
}

static struct json_object *balloon(uint64_t bytes, unsigned int version)
{
	struct json_object *o = jval_object();

	jval_set_int(o, "amount_mib", (int64_t)(bytes / MIB));
	jval_set_bool(o, "deflate_on_oom", true);
	if (version >= VERSION(1, 14, 0))
		jval_set_bool(o, "free_page_reporting", true);
	return o;
}

/* One PUT; takes body over. */
static int put(struct vmm_link *l, const char *path, struct json_object *body,
    int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *owned = body;

	return fc_request(&l->api, "PUT", path, owned, timeout_ms, err);
}

static int put_drives(const struct vm *vm, size_t from, struct vmm_link *l,
    int timeout_ms, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;

	for (size_t i = from; i < vm->plan.disks.n; i++) {
		AUTO_FREE char *path = xasprintf("/drives/disk%zu", i);

		if (put(l, path, drive(&d[i], i), timeout_ms, err) < 0)
			return err_wrap(err, "%s", d[i].file);
	}
	return 0;
}

static int put_nics(const struct vm *vm, size_t from, struct vmm_link *l,
    int timeout_ms, struct err *err)
{
	unsigned int version = version_number(vm->plan.version);
	const struct doc_nic *n = vm->net.nics.v;

	for (size_t i = from; i < vm->net.nics.n; i++) {
		AUTO_FREE char *path =
		    xasprintf("/network-interfaces/eth%zu", i);

		if (put(l, path, nic(&n[i], i, version), timeout_ms, err) < 0)
			return err_wrap(err, "%s", n[i].tap);
	}
	return 0;
}

static int fc_configure(const struct vm *vm, const struct vmm_fds *fds,
    struct vmm_link *l, int timeout_ms, struct err *err)
{
	unsigned int version = version_number(vm->plan.version);

	(void)fds;
	l->fresh = true;
	if (put(l, "/machine-config", machine(vm), timeout_ms, err) < 0 ||
	    put(l, "/boot-source", boot_source(vm), timeout_ms, err) < 0 ||
	    put_drives(vm, 0, l, timeout_ms, err) < 0 ||
	    put_nics(vm, 0, l, timeout_ms, err) < 0 ||
	    put(l, "/balloon", balloon(0, version), timeout_ms, err) < 0)
		return -1;
	return put(l, "/entropy", jval_object(), timeout_ms, err);
}

/* While it stands still, from 1.16 on; its guest looks for them by itself. */
int fc_plug(
    struct vmm_link *l, const struct vm *vm, int timeout_ms, struct err *err)
{
	return put_drives(
		   vm, vm->plan.disks.n - vm->new_disks, l, timeout_ms, err) < 0
		   ? -1
		   : put_nics(
			 vm, vm->net.nics.n - vm->new_nics, l, timeout_ms, err);
}

static bool fc_adds(const struct doc_plan *plan, unsigned int cap)
{
	return plan->pci && cap & (VMM_ADDS_NICS | VMM_ADDS_DISKS) &&
	       version_number(plan->version) >= VERSION(1, 16, 0);
}

/* It binds the socket itself: until that is there, look again. */
static int fc_ready(struct vmm_link *l, int timeout_ms, struct err *err)
{
	int64_t until = now_ms() + timeout_ms;

	for (;;) {
		struct err e = {0};

		if (rest_connect(
			&l->api, l->run_fd, "api.sock", timeout_ms, &e) == 0)
			break;
		if (e.sys != ENOENT && e.sys != ECONNREFUSED) {
			*err = e;
			return -1;
		}
		/* Ended, or a millisecond later. */
		if (proc_pidfd_wait(l->pidfd, 1))
			return err_set(err, ERR_FAILED,
			    "ended before its socket was there");
		if (now_ms() >= until)
			return err_set(err, ERR_TIMEOUT,
			    "does not answer within %d s", timeout_ms / 1000);
	}
	return rest_request(&l->api,
	    &(struct rest_call){
		.method = "GET", .path = "/", .timeout_ms = timeout_ms},
	    NULL, err);
}

/* A guest that is paused would not see the keys. */
static int press(struct vmm_link *l, int timeout_ms, struct err *err)
{
	struct json_object *keys = jval_object();

	jval_set_str(keys, "action_type", "SendCtrlAltDel");
	if (put(l, "/actions", keys, timeout_ms, err) < 0)
		return -1;
	return fc_resume(l, timeout_ms, err);
}

static int fc_stop(struct vmm_link *l, struct err *err)
{
	if (l->api.fd < 0 &&
	    rest_connect(&l->api, l->run_fd, "api.sock", STOP_MS, err) < 0)
		return -1;
	return press(l, STOP_MS, err);
}

static int fc_powerdown(int run_fd, int timeout_ms, struct err *err)
{
	struct vmm_link l = {.api = REST_NONE};
	int r;

	if (rest_connect(&l.api, run_fd, "api.sock", timeout_ms, err) < 0)
		return -1;
	r = press(&l, timeout_ms, err);
	rest_close(&l.api);
	return r;
}

/* A guest cannot switch it off, only reset it: that is its shutdown. */
static const char *fc_reason(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "shutdown"
							     : NULL;
}

/* The same bodies, in the file that --config-file reads. */
static void fc_script(
    const struct vm *vm, const struct vmm_script *o, struct buf *out)
{
	unsigned int version = version_number(vm->plan.version);
	AUTO_JSON struct json_object *config = jval_object();
	struct json_object *drives = jval_array();
	const struct doc_disk *d = vm->plan.disks.v;

	for (size_t i = 0; i < vm->plan.disks.n; i++)
		jval_push(drives, drive(&d[i], i));
	jval_set(config, "machine-config", machine(vm));
	jval_set(config, "boot-source", boot_source(vm));
	jval_set(config, "drives", drives);
	jval_set(config, "balloon", balloon(o->balloon, version));
	jval_set(config, "entropy", jval_object());
	/* Its parts are paths and the command line; no line is just END. */
	buf_str(out, "cat >vm.json <<'END'\n");
	jval_pretty(config, out);
	buf_str(out, "\nEND\n");
	/* Before 1.14 the log had to be there. */
	buf_str(out, ": >vmm.log\nexec ");
	buf_shell(out, vm->plan.binary);
	buf_addf(out,
	    " --no-api --config-file vm.json%s \\\n"
	    "    --log-path vmm.log --level Warning\n",
	    vm->plan.pci ? " --enable-pci" : "");
}

const struct vmm vmm_fc = {
    .name = "fc",
    .title = "Firecracker",
    .program = "firecracker",
    .remedy = "put it into PATH, or its path into COCOON_FC_BINARY",
    .console = "ttyS0",
    .caps = VMM_OCI | VMM_TAP_NAMES | VMM_LOG_FIFO | VMM_SNAPSHOT | VMM_MERGES,
    .max_disks = MAX_DEVICES - 2,
    /* It sizes its table of descriptors by this. */
    .max_files = 2048,
    .version = fc_version,
    .fault = fc_fault,
    .adds = fc_adds,
    .check = fc_check,
    .argv = fc_argv,
    .script = fc_script,
    .ready = fc_ready,
    .configure = fc_configure,
    .resume = fc_resume,
    .pause = fc_pause,
    .stop = fc_stop,
    .reason = fc_reason,
    .prepare = fc_prepare,
    .capture = fc_capture,
    .settle = fc_settle,
    .load = fc_load,
    .check_load = fc_check_load,
    .files = fc_files,
    .powerdown = fc_powerdown,
};
