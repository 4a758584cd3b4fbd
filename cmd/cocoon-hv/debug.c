/* SPDX-License-Identifier: MIT */
/* debug: the VM of a planned document, by hand, as a shell script. */
#include <string.h>

#include "hv.h"
#include "vmm.h"

static void link_line(const char *source, const char *name, struct buf *out)
{
	buf_str(out, "ln -sf ");
	script_quote(source, out);
	buf_addf(out, " %s\n", name);
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
	const struct vmm *v;
	struct buf *out = &call->out;

	if (vm_bind(&vm, err) < 0)
		return -1;
	v = vm.plan.backend ? vmm_find(vm.plan.backend) : NULL;
	if (!v)
		return err_set(err, ERR_INPUT,
		    ".plan: missing: `cocoon-hv plan` writes it");
	drop_seed(&vm);
	buf_addf(out,
	    "#!/bin/sh\n# %s by hand: %s %s, console on this terminal, no "
	    "NIC.\nset -e\ndir=${1:-$(mktemp -d)}\ncd \"$dir\"\n"
	    "echo \"in $dir\" >&2\n",
	    vm.vm.name, vm.plan.backend,
	    vm.plan.version ? vm.plan.version : "");
	disk_lines(&vm, out);
	if (vm.image.kernel.path)
		link_line(vm.image.kernel.path, "kernel", out);
	if (vm.image.initrd.path)
		link_line(vm.image.initrd.path, "initrd", out);
	buf_str(out, "exec ");
	v->script(&vm, out);
	return 0;
}

const struct verb verb_debug = {
    .name = "debug",
    .summary = "Print a shell script that starts the VM by hand.",
    .filter = debug_filter,
};
