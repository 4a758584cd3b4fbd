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

#define MOST_CPUS 64 /* each that could come has its place in tables */

const struct vmm *const vmms[] = {&vmm_ch, &vmm_fc, &vmm_qemu, NULL};

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
	char *binary;
	char version[64];
	struct buf why;
};

unsigned int version_number(const char *text)
{
	unsigned int v[3] = {0};

	if (sscanf(text, "%3u.%3u.%3u", &v[0], &v[1], &v[2]) < 1)
		return 0;
	return VERSION(v[0], v[1], v[2]);
}

bool vmm_writes(const struct vmm_file *f, const char *version)
{
	return f->name && version_number(version) >= f->since;
}

char *vmm_variable(const struct vmm *v)
{
	char *var = xasprintf("COCOON_%s_BINARY", v->name);

	for (char *p = var; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	return var;
}

char *vmm_program(const struct vmm *v)
{
	AUTO_FREE char *var = vmm_variable(v);

	return proc_find(getenv(var) ? getenv(var) : v->program);
}

int plan_check_cpu(uint64_t n, struct err *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus > 0 && n > (uint64_t)cpus
		   ? err_set(err, ERR_UNSUPPORTED,
			 "requested %llu vCPUs exceeds host cores (%ld)",
			 (unsigned long long)n, cpus)
		   : 0;
}

void vmm_room(
    const struct vmm *v, const struct doc_image *image, struct doc_plan *plan)
{
	uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), max = 0;

	plan->max_cpu = 0;
	if (v->caps & VMM_ADDS_CPU) {
		max = cpus < MOST_CPUS ? cpus : MOST_CPUS;
		plan->max_cpu = max > plan->cpu ? max : plan->cpu;
	}
	max = v->max_memory ? v->max_memory(image, plan) : 0;
	plan->max_memory = max > plan->memory ? max : 0;
}

static int no_room(uint64_t max, uint64_t has, const char *of, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED,
	    "it was started with room for %llu %s: more takes a `vm resize` "
	    "while it is stopped",
	    (unsigned long long)(max > has ? max : has), of);
}

int vmm_check_cpu(const struct doc_plan *plan, uint64_t n, struct err *err)
{
	return n > plan->max_cpu && n > plan->cpu
		   ? no_room(plan->max_cpu, plan->cpu, "CPUs", err)
		   : 0;
}

int vmm_check_memory(
    const struct doc_plan *plan, uint64_t bytes, struct err *err)
{
	uint64_t max = plan->max_memory, has = plan->memory;
	char size[32];

	format_size(has, size);
	if (bytes > has && bytes > max)
		return no_room(max, has, "bytes of memory", err);
	return bytes > has && (bytes - has) % VMM_MEMORY_STEP
		   ? err_set(err, ERR_USAGE,
			 "memory is added in steps of 128MiB to what it has, "
			 "%s",
			 size)
		   : 0;
}

/* What no backend can do. */
static int check_spec(const struct planning *p, struct err *err)
{
	bool oci = !strcmp(p->image.type, "oci");

	if (p->spec.windows && oci)
		return err_set(err, ERR_USAGE,
		    "--windows requires cloudimg (UEFI boot), not an OCI "
		    "image");
	if (oci && (!p->image.kernel.path || !p->image.initrd.path))
		return err_set(err, ERR_UNSUPPORTED,
		    "image %s: has no kernel and initrd in /boot: it cannot "
		    "be booted",
		    p->image.name ? p->image.name : p->image.digest);
	if (plan_check_cpu(p->spec.cpu, err) < 0)
		return -1;
	if (!p->spec.cpu || !p->spec.memory || !p->spec.storage)
		return err_set(err, ERR_INPUT,
		    ".spec: cpu, memory and storage must be given");
	return 0;
}

static int check_backend(const struct planning *p, struct err *err)
{
	const struct vmm *v = p->vmm;
	size_t disks = p->image.layers.n + p->spec.data_disks.n + 2;

	if (p->spec.windows && !(v->caps & VMM_WINDOWS))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: cannot run Windows guests in this build",
		    v->name);
	if (p->spec.pci && v != &vmm_fc)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: --pci is for Firecracker: others have PCI "
		    "anyway",
		    v->name);
	if (p->spec.hugepages && !(v->caps & VMM_HUGEPAGES))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: --hugepages: a snapshot could not be "
		    "restored: use --backend ch",
		    v->name);
	if (strcmp(p->image.type, "oci") && !(v->caps & VMM_CLOUDIMG))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: cannot boot cloud images in this build",
		    v->name);
	if (disks > v->max_disks)
		return err_set(err, ERR_UNSUPPORTED,
		    "image %s: %zu layers and disks; backend %s takes %u",
		    p->image.digest, disks, v->name, v->max_disks);
	return 0;
}

/* KVM if a stock kernel runs on it, found out once per boot of the host. */
static int choose_accel(struct planning *p, char why[200], struct err *err)
{
	AUTO_FREE char *other =
	    p->vmm == &vmm_qemu ? NULL : vmm_program(&vmm_qemu);

	why[0] = '\0';
	if (probe_kvm(p->vmm == &vmm_qemu ? p->binary : other,
		p->image.kernel.path, why)) {
		p->plan.accel = "kvm";
		return 0;
	}
	p->plan.accel = "tcg";
	if (p->vmm->caps & VMM_TCG)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "backend %s: needs KVM: %s",
	    p->vmm->name, why);
}

static bool direct(const struct doc_spec *spec, const char *wish)
{
	if (wish && strcmp(wish, "auto"))
		return !strcmp(wish, "on");
	return !spec->no_direct_io;
}

struct doc_disk disk_plan(
    const struct doc_data_disk *d, const struct doc_spec *spec, bool serials)
{
	return (struct doc_disk){.role = "data",
	    .format = "raw",
	    .file = xasprintf("data-%s.raw", d->name),
	    .serial = serials ? d->name : NULL,
	    .fstype = d->fstype,
	    .mount = d->mount,
	    .size = d->size,
	    .direct = direct(spec, d->directio)};
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
	    .direct = direct(&p->spec, NULL)};
	for (size_t k = 0; k < p->spec.data_disks.n; k++)
		d[i++] = disk_plan(&data[k], &p->spec, serials);
	if (!p->spec.windows)
		d[i++] = (struct doc_disk){.role = "cidata",
		    .format = "raw",
		    .file = "seed.iso",
		    .fstype = "iso9660",
		    .ro = true};
	p->plan.disks.v = d;
	p->plan.disks.n = i;
}

/* The whole plan with this backend, or why it cannot be. */
static int try_backend(
    struct planning *p, const struct vmm *v, char why[200], struct err *err)
{
	p->vmm = v;
	p->plan = (struct doc_plan){.backend = v->name,
	    .binary = p->binary,
	    .version = p->version,
	    .console = v->console,
	    .cpu = p->spec.cpu,
	    .memory = p->spec.memory,
	    .privileged = p->spec.privileged};
	if (check_backend(p, err) < 0 ||
	    v->version(p->binary, p->version, err) < 0)
		return -1;
	plan_disks(p);
	if (v->check && v->check(&p->spec, &p->image, &p->plan, err) < 0)
		return -1;
	if (choose_accel(p, why, err) < 0)
		return -1;
	vmm_room(v, &p->image, &p->plan);
	return 0;
}

static void note(struct planning *p, const char *name, const char *text)
{
	buf_addf(&p->why, "%s%s: %s", p->why.len ? "; " : "", name, text);
}

/* The first backend that can, in the order of vmms[]. */
static int choose_auto(struct planning *p, struct err *err)
{
	size_t installed = 0;
	char why[200];

	for (size_t i = 0; vmms[i]; i++) {
		struct err e = {0};
		const char *said = e.msg;

		p->binary = vmm_program(vmms[i]);
		if (!p->binary) {
			note(p, vmms[i]->name, "not installed");
			continue;
		}
		installed++;
		if (try_backend(p, vmms[i], why, &e) == 0) {
			note(p, vmms[i]->name, "the first that can");
			if (why[0])
				buf_addf(&p->why, "; without KVM: %s", why);
			return 0;
		}
		*err = e;
		if (!strncmp(said, "backend ", 8))
			said += strcspn(said, ":") + 2;
		note(p, vmms[i]->name, said);
	}
	if (!installed)
		return err_set(err, ERR_UNSUPPORTED,
		    "no hypervisor is installed: try `%s`", vmm_qemu.remedy);
	/* One was there: it has said why. Several: each of them. */
	if (installed > 1)
		err_set(err, err->code, "no hypervisor can do it: %.400s",
		    p->why.data);
	return -1;
}

static int choose_named(struct planning *p, const char *want, struct err *err)
{
	const struct vmm *v = vmm_find(want);
	char why[200];

	if (!v)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: this build has no driver for it", want);
	p->binary = vmm_program(v);
	if (!p->binary)
		return err_set(err, ERR_UNSUPPORTED,
		    "backend %s: %s is not installed: %s", want, v->program,
		    v->remedy);
	if (try_backend(p, v, why, err) < 0)
		return -1;
	note(p, v->name, "asked for");
	if (why[0])
		buf_addf(&p->why, "; without KVM: %s", why);
	return 0;
}

static int plan_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct plan_opts *o = call->opts;
	struct planning p = {0};
	const char *want;

	if (o->clone || o->revert)
		return plan_snap(call, doc, err);
	if (doc_bind(doc, "spec", &doc_spec_table, &p.spec, err) < 0 ||
	    doc_bind(doc, "image", &doc_image_table, &p.image, err) < 0 ||
	    check_spec(&p, err) < 0)
		return -1;
	want = p.spec.backend ? p.spec.backend : "auto";
	if (strcmp(want, "auto") ? choose_named(&p, want, err) < 0
				 : choose_auto(&p, err) < 0)
		return -1;
	p.plan.why = p.why.data;
	doc_put(doc, "plan", &doc_plan_table, &p.plan);
	buf_release(&p.why);
	return 0;
}

const struct verb verb_plan = {
    .name = "plan",
    .summary = "Choose hypervisor and disks; refuse what cannot work.",
    .emits = true,
    .filter = plan_filter,
    .opts = plan_snap_opts,
    .n_opts = PLAN_SNAP_OPTS,
    .opts_size = sizeof(struct plan_opts),
    .defaults = &plan_snap_defaults,
};
