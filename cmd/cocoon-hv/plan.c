/* SPDX-License-Identifier: MIT */
/*
 * plan: which hypervisor, which disks, and every refusal that can be made
 * before the host is changed. A function from document to document.
 */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "hv.h"
#include "log.h"
#include "proc.h"
#include "vmm.h"

const struct vmm *const vmms[] = {&vmm_qemu, NULL};

const struct vmm *vmm_find(const char *name)
{
	for (size_t i = 0; vmms[i]; i++)
		if (!strcmp(vmms[i]->name, name))
			return vmms[i];
	return NULL;
}

struct planning {
	struct doc_spec spec;
	struct doc_image image;
	struct doc_plan plan;
	const struct vmm *vmm;
	char *binary, why[256];
	char version[64];
};

/* The program of a backend: an environment variable, else PATH. */
char *plan_program(const struct vmm *v)
{
	AUTO_FREE char *var = xasprintf("COCOON_%s_BINARY", v->name);

	for (char *p = var; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	return proc_find(getenv(var) ? getenv(var) : v->program);
}

static int choose(struct planning *p, struct err *err)
{
	const char *want = p->spec.backend ? p->spec.backend : "auto";
	bool any = !strcmp(want, "auto");

	if (!any && !vmm_find(want))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build has no driver for it; it drives "
		    "qemu",
		    want);
	for (size_t i = 0; vmms[i]; i++) {
		if (!any && strcmp(vmms[i]->name, want))
			continue;
		p->binary = plan_program(vmms[i]);
		if (!p->binary)
			continue;
		p->vmm = vmms[i];
		snprintf(p->why, sizeof(p->why),
		    any ? "%s is the first of what is installed"
			: "%s was asked for",
		    p->vmm->name);
		return p->vmm->version(p->binary, p->version, err);
	}
	return err_set(err, ERR_UNSUPPORTED,
	    "no hypervisor is installed: try `apt-get install "
	    "qemu-system-x86`");
}

static int check_image(const struct planning *p, struct err *err)
{
	bool oci = !strcmp(p->image.type, "oci");

	if (p->spec.windows && oci)
		return err_set(err, ERR_USAGE,
		    "--windows requires cloudimg (UEFI boot), not an OCI "
		    "image");
	if (p->spec.windows && !(p->vmm->caps & VMM_WINDOWS))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: cannot run Windows guests in this build",
		    p->vmm->name);
	if (!oci && !(p->vmm->caps & VMM_CLOUDIMG))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: cannot boot cloud images in this build",
		    p->vmm->name);
	if (oci && (!p->image.kernel.path || !p->image.initrd.path))
		return err_set(err, ERR_UNSUPPORTED,
		    "image %s: has no kernel and initrd in /boot: it cannot "
		    "be booted",
		    p->image.name ? p->image.name : p->image.digest);
	return 0;
}

static int check_host(const struct planning *p, struct err *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t disks = p->image.layers.n + p->spec.data_disks.n + 2;

	if (cpus > 0 && p->spec.cpu > (uint64_t)cpus)
		return err_set(err, ERR_UNSUPPORTED,
		    "requested %llu vCPUs exceeds host cores (%ld)",
		    (unsigned long long)p->spec.cpu, cpus);
	if (!p->spec.cpu || !p->spec.memory || !p->spec.storage)
		return err_set(err, ERR_INPUT,
		    ".spec: cpu, memory and storage must be given");
	if (disks > p->vmm->max_disks)
		return err_set(err, ERR_UNSUPPORTED,
		    "image %s: %zu layers and disks; backend %s takes %u",
		    p->image.digest, disks, p->vmm->name, p->vmm->max_disks);
	return 0;
}

/* KVM if a stock kernel runs on it, found out once per boot of the host. */
static void choose_accel(struct planning *p)
{
	char why[200];
	size_t at = strlen(p->why);

	if (probe_kvm(p->binary, p->image.kernel.path, why)) {
		p->plan.accel = "kvm";
		return;
	}
	p->plan.accel = "tcg";
	snprintf(p->why + at, sizeof(p->why) - at, "; without KVM: %s", why);
}

static bool direct(const struct planning *p, const char *wish)
{
	if (wish && strcmp(wish, "auto"))
		return !strcmp(wish, "on");
	return !p->spec.no_direct_io;
}

static void plan_disks(struct planning *p)
{
	const struct doc_blob *layer = p->image.layers.v;
	const struct doc_data_disk *data = p->spec.data_disks.v;
	size_t n = p->image.layers.n, i;
	struct doc_disk *d = xcalloc(n + p->spec.data_disks.n + 2, sizeof(*d));
	bool serials = p->vmm->caps & VMM_SERIALS;

	for (i = 0; i < n; i++)
		d[i] = (struct doc_disk){.role = "layer",
		    .format = "raw",
		    .file = xasprintf("layers/%zu.erofs", i),
		    .serial = serials ? xasprintf("cocoon-layer%zu", i) : NULL,
		    .source = layer[i].path,
		    .size = layer[i].size,
		    .fstype = "erofs",
		    .ro = true};
	d[i++] = (struct doc_disk){.role = "cow",
	    .format = "raw",
	    .file = "cow.raw",
	    .serial = serials ? "cocoon-cow" : NULL,
	    .fstype = "ext4",
	    .size = p->spec.storage,
	    .direct = direct(p, NULL)};
	for (size_t k = 0; k < p->spec.data_disks.n; k++)
		d[i++] = (struct doc_disk){.role = "data",
		    .format = "raw",
		    .file = xasprintf("data-%s.raw", data[k].name),
		    .serial = serials ? data[k].name : NULL,
		    .fstype = data[k].fstype,
		    .mount = data[k].mount,
		    .size = data[k].size,
		    .direct = direct(p, data[k].directio)};
	if (!p->spec.windows)
		d[i++] = (struct doc_disk){.role = "cidata",
		    .format = "raw",
		    .file = "seed.iso",
		    .fstype = "iso9660",
		    .ro = true};
	p->plan.disks.v = d;
	p->plan.disks.n = i;
}

static int plan_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct plan_opts *o = call->opts;
	struct planning p = {0};

	if (o->clone || o->revert)
		return plan_snap(call, doc, err);
	if (doc_bind(doc, "spec", &doc_spec_table, &p.spec, err) < 0 ||
	    doc_bind(doc, "image", &doc_image_table, &p.image, err) < 0 ||
	    choose(&p, err) < 0 || check_image(&p, err) < 0 ||
	    check_host(&p, err) < 0)
		return -1;
	p.plan.backend = p.vmm->name;
	p.plan.binary = p.binary;
	p.plan.version = p.version;
	p.plan.console = "ttyS0";
	p.plan.cpu = p.spec.cpu;
	p.plan.memory = p.spec.memory;
	p.plan.privileged = p.spec.privileged;
	choose_accel(&p);
	p.plan.why = p.why;
	plan_disks(&p);
	doc_put(doc, "plan", &doc_plan_table, &p.plan);
	return 0;
}

const struct verb verb_plan = {
    .name = "plan",
    .summary = "Choose hypervisor and disks; refuse what cannot work.",
    .opts = plan_snap_opts,
    .n_opts = PLAN_SNAP_OPTS,
    .opts_size = sizeof(struct plan_opts),
    .defaults = &plan_snap_defaults,
    .emits = true,
    .filter = plan_filter,
};
