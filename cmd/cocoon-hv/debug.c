/* SPDX-License-Identifier: MIT */
/* debug: the VM of a planned document, by hand, as a shell script. */
#include <string.h>

#include "disks.h"
#include "hv.h"
#include "vmm.h"

static void link_line(const char *source, const char *name, struct buf *out)
{
	buf_str(out, "ln -sf ");
	buf_shell(out, source);
	buf_addf(out, " %s\n", name);
}

struct debug_opts {
	struct vmm_script script;
	const char *cow, *ch;
};

static const struct opt opts[] = {
    {.name = "max-cpu",
	.kind = OPT_U64,
	.max = 1024,
	.metavar = "N",
	.offset = offsetof(struct debug_opts, script.max_cpu),
	.help = "CPUs that could be added (default: none)"},
    {.name = "balloon",
	.kind = OPT_SIZE,
	.metavar = "SIZE",
	.offset = offsetof(struct debug_opts, script.balloon),
	.help = "with a balloon; its size is set by hand"},
    {.name = "cow",
	.kind = OPT_STRING,
	.metavar = "PATH",
	.offset = offsetof(struct debug_opts, cow),
	.help = "the writable disk (default: cow.raw)"},
    {.name = "ch",
	.kind = OPT_STRING,
	.metavar = "PATH",
	.offset = offsetof(struct debug_opts, ch),
	.help = "Cloud Hypervisor's binary; others ignore it"},
};

/* A path stands in the script and in QEMU's option: no quotes, no commas. */
static int set_cow(struct vm *vm, const char *path, struct err *err)
{
	struct doc_disk *d = vm->plan.disks.v;

	if (path[0] != '/' || strpbrk(path, ", \t\n'\"\\$`;&|<>()*?[]#~"))
		return err_set(err, ERR_USAGE,
		    "--cow %.80s: want an absolute path of plain characters",
		    path);
	for (size_t i = 0; i < vm->plan.disks.n; i++)
		if (!strcmp(d[i].role, "cow"))
			d[i].file = path;
	return 0;
}

/* The writable disk of a cloud image: an overlay above its base, or a copy. */
static void cloud_lines(
    const struct vm *vm, const struct doc_disk *d, struct buf *out)
{
	const char *base = cloud_base(&vm->image);

	if (!cloud_is_overlay(&vm->image, &vm->plan)) {
		buf_str(out, "cp --reflink=auto --sparse=always ");
		buf_shell(out, vm->image.disk.path);
		buf_addf(out, " %s\nchmod 600 %s\ntruncate -s %llu %s\n",
		    d->file, d->file, (unsigned long long)d->size, d->file);
		return;
	}
	buf_str(out, "mkdir -p layers\n");
	link_line(vm->image.disk.path, base, out);
	buf_addf(out, "qemu-img create -q -u -f qcow2 -F %s -b %s %s %llu\n",
	    vm->image.disk.format, base, d->file, (unsigned long long)d->size);
}

static void firmware_lines(const struct doc_firmware *f, struct buf *out)
{
	if (f->code)
		link_line(f->code, "firmware", out);
	if (!f->vars)
		return;
	buf_str(out, "cp ");
	buf_shell(out, f->vars);
	buf_str(out, " " CLOUD_VARS "\n");
}

static void disk_lines(const struct vm *vm, struct buf *out)
{
	const struct doc_disk *d = vm->plan.disks.v;
	bool has_layers = false;

	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		if (d[i].source) {
			if (!has_layers)
				buf_str(out, "mkdir -p layers\n");
			has_layers = true;
			link_line(d[i].source, d[i].file, out);
		} else if (vm->image.disk.path && vm->image.disk.format &&
			   !strcmp(d[i].role, "cow")) {
			cloud_lines(vm, &d[i], out);
		} else if (strcmp(d[i].role, "cidata") != 0) {
			buf_addf(out, "truncate -s %llu %s\n",
			    (unsigned long long)d[i].size, d[i].file);
			if (d[i].fstype && !strcmp(d[i].fstype, "ext4"))
				buf_addf(
				    out, "mkfs.ext4 -F -q -m0 %s\n", d[i].file);
		}
	}
}

/* The hand-made VM has no seed disk and no NIC: both need the other tools. */
static void drop_seed(struct vm *vm)
{
	struct doc_disk *d = vm->plan.disks.v;

	while (
	    vm->plan.disks.n && !strcmp(d[vm->plan.disks.n - 1].role, "cidata"))
		vm->plan.disks.n--;
}

static int debug_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	struct vm vm = {.doc = doc, .st = STATE_NONE, .fd = -1, .lock_fd = -1};
	const struct debug_opts *o = call->opts;
	const struct vmm *v;
	struct buf *out = &call->out;

	if (vm_bind(&vm, err) < 0)
		return -1;
	v = vm.plan.backend ? vmm_find(vm.plan.backend) : NULL;
	if (!v)
		return err_set(err, ERR_INPUT,
		    ".plan: missing: `cocoon-hv plan` writes it");
	drop_seed(&vm);
	if (o->cow && set_cow(&vm, o->cow, err) < 0)
		return -1;
	buf_addf(out,
	    "#!/bin/sh\n# %s by hand: %s %s, console on this terminal, no "
	    "NIC.\nset -e\ndir=${1:-$(mktemp -d)}\ncd \"$dir\"\n"
	    "echo \"in $dir\" >&2\n",
	    vm.vm.name, vm.plan.backend,
	    vm.plan.version ? vm.plan.version : "");
	disk_lines(&vm, out);
	if (vm.plan.kernel || vm.image.kernel.path)
		link_line(
		    vm.plan.kernel ? vm.plan.kernel : vm.image.kernel.path,
		    "kernel", out);
	if (vm.image.initrd.path)
		link_line(vm.image.initrd.path, "initrd", out);
	firmware_lines(&vm.plan.firmware, out);
	if (o->ch && !strcmp(v->name, "ch"))
		vm.plan.binary = o->ch;
	v->script(&vm, &o->script, out);
	return 0;
}

const struct verb verb_debug = {
    .name = "debug",
    .summary = "Print a shell script that starts the VM by hand.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct debug_opts),
    .filter = debug_filter,
};
