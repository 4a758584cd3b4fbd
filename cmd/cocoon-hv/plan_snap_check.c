/* SPDX-License-Identifier: MIT */
/*
 * What a snapshot cannot become, with the reason. It is all said here, before
 * anything is touched.
 */
#include "plan_snap.h"

#include <stdio.h>
#include <string.h>

#include "disks.h"

/* "7.2.22 (Debian ...)": the state is the same within 7.2. */
static size_t series(const char *version)
{
	size_t n = strcspn(version, ".");

	return version[n] ? n + 1 + strcspn(version + n + 1, ". ") : n;
}

int source_check_vmm(struct source *s, struct err *err)
{
	AUTO_FREE char *qemu = vmm_program(&vmm_qemu);
	char version[64], why[200];
	const char *saved = s->snap.version ? s->snap.version : "?";
	size_t n;

	s->vmm = vmm_find(s->plan.backend);
	if (!s->vmm || !(s->vmm->caps & VMM_SNAPSHOT))
		return err_set(err, ERR_UNSUPPORTED,
		    "snapshot %s: backend %s: this build cannot load its "
		    "snapshots",
		    s->label, s->plan.backend);
	s->plan.binary = vmm_program(s->vmm);
	if (!s->plan.binary)
		return err_set(err, ERR_UNSUPPORTED,
		    "snapshot %s: %s is not installed", s->label,
		    s->vmm->program);
	if (s->vmm->version(s->plan.binary, version, err) < 0)
		return -1;
	n = series(saved);
	if (n != series(version) || strncmp(saved, version, n))
		return err_set(err, ERR_UNSUPPORTED,
		    "snapshot %s: was saved by %s %s; this host has %s, which "
		    "cannot load that: install %s, or name it by "
		    "%s",
		    s->label, s->vmm->name, saved, version, saved,
		    vmm_variable(s->vmm));
	s->plan.version = xstrdup(version);
	if (s->snap.accel && !strcmp(s->snap.accel, "kvm") &&
	    !probe_kvm(qemu, s->image.kernel.path, why))
		return err_set(err, ERR_UNSUPPORTED,
		    "snapshot %s: was saved under KVM: %s", s->label, why);
	s->plan.accel = s->snap.accel;
	s->plan.why =
	    xasprintf("the snapshot %s is of %s", s->label, s->vmm->name);
	return 0;
}

/* Two numbers that must not shrink and cannot grow. */
static int check_fixed(const struct source *s, const char *flag, uint64_t want,
    uint64_t has, const char *why, struct err *err)
{
	if (!want || want == has)
		return 0;
	if (want < has)
		return err_set(err, ERR_USAGE,
		    "%s %llu below snapshot minimum %llu", flag,
		    (unsigned long long)want, (unsigned long long)has);
	return err_set(err, ERR_UNSUPPORTED,
	    "%s %llu: the snapshot %s has %llu: %s", flag,
	    (unsigned long long)want, s->label, (unsigned long long)has, why);
}

static bool can_add(const struct source *s, unsigned int cap)
{
	const struct vmm *v = vmm_find(s->plan.backend);

	return v && ((v->caps & cap) || (v->adds && v->adds(&s->plan, cap)));
}

/* More than the snapshot has, where they are plugged in while it is loaded. */
static int check_cpu(const struct source *s, uint64_t want, struct err *err)
{
	if (want <= s->plan.cpu || !can_add(s, VMM_ADDS_CPU))
		return check_fixed(s, "--cpu", want, s->plan.cpu,
		    "this backend cannot add processors to a guest that runs",
		    err);
	if (vmm_check_cpu(&s->plan, want, err) < 0)
		return err_wrap(err, "snapshot %s: --cpu %llu", s->label,
		    (unsigned long long)want);
	return plan_check_cpu(want, err);
}

static int check_memory(const struct source *s, uint64_t want, struct err *err)
{
	if (want <= s->plan.memory || !can_add(s, VMM_ADDS_MEMORY))
		return check_fixed(s, "--memory", want, s->plan.memory,
		    "this backend cannot add memory to a guest that runs", err);
	return vmm_check_memory(&s->plan, want, err) < 0
		   ? err_wrap(err, "snapshot %s: --memory %llu", s->label,
			 (unsigned long long)want)
		   : 0;
}

int source_check_wishes(
    struct source *s, const struct plan_opts *o, struct err *err)
{
	uint64_t nics;

	if (wires_fill(&o->wires,
		o->nics > s->spec.nics ? o->nics : s->spec.nics, &s->wishes,
		err) < 0)
		return -1;
	nics = s->wishes.nics > s->spec.nics ? s->wishes.nics : o->nics;
	if (check_cpu(s, o->cpu, err) < 0 ||
	    check_memory(s, o->memory, err) < 0 ||
	    (!(nics > s->spec.nics && can_add(s, VMM_ADDS_NICS)) &&
		check_fixed(s, "--nics", nics, s->spec.nics,
		    "Firecracker from 1.16 on adds NICs to a VM that was "
		    "started with --pci, and to no other",
		    err) < 0))
		return -1;
	if (o->storage && o->storage < s->spec.storage)
		return err_set(err, ERR_USAGE,
		    "--storage %llu below snapshot minimum %llu",
		    (unsigned long long)o->storage,
		    (unsigned long long)s->spec.storage);
	if (o->storage % 512)
		return err_set(err, ERR_USAGE,
		    "--storage %llu: want a multiple of 512",
		    (unsigned long long)o->storage);
	return 0;
}

/* Rings, disks: what the guest was frozen with. */
int source_check_disks(
    struct source *s, const struct plan_opts *o, struct err *err)
{
	const struct vmm *v = vmm_find(s->plan.backend);
	static const char why[] = "they are the guest's, which was frozen";
	size_t n = s->plan.disks.n + o->data_disk.n;

	if (check_fixed(s, "--queue-size", o->queue_size, s->spec.queue_size,
		why, err) < 0 ||
	    check_fixed(s, "--disk-queue-size", o->disk_queue_size,
		s->spec.disk_queue_size, why, err) < 0 ||
	    data_disks(&o->data_disk, &s->spec.data_disks, err) < 0)
		return -1;
	if (!o->data_disk.n)
		return 0;
	if (!v || !can_add(s, VMM_ADDS_DISKS))
		return err_set(err, ERR_UNSUPPORTED,
		    "--data-disk: Firecracker from 1.16 on adds disks to a VM "
		    "that was started with --pci, and to no other");
	return n > v->max_disks
		   ? err_set(err, ERR_UNSUPPORTED,
			 "--data-disk: %zu layers and disks; backend %s takes "
			 "%u",
			 n, v->name, v->max_disks)
		   : 0;
}

/* What the VM has must be enough for the snapshot's guest. */
static int check_room(const struct source *s, const char *what, uint64_t flag,
    uint64_t has, uint64_t need, struct err *err)
{
	if (flag || has >= need)
		return 0;
	return err_set(err, ERR_STATE,
	    "snapshot %s: has %s %llu, more than the VM's %llu: give --%s",
	    s->label, what, (unsigned long long)need, (unsigned long long)has,
	    what);
}

/* What it would lose: a disk that came later. */
static int check_kept(
    const struct source *s, const struct vm *vm, struct err *err)
{
	const struct doc_disk *has = vm->plan.disks.v, *d = s->plan.disks.v;

	for (size_t i = 0; i < vm->plan.disks.n; i++) {
		size_t k = 0;

		while (k < s->plan.disks.n && strcmp(d[k].file, has[i].file))
			k++;
		if (disk_is_own(&has[i]) && k == s->plan.disks.n)
			return err_set(err, ERR_STATE,
			    "snapshot %s: lacks %s, which would be lost: clone "
			    "it instead",
			    s->label, has[i].file);
	}
	return 0;
}

/* The taps are there, and have as many as the VM's NICs. */
static int check_queues(
    const struct source *s, const struct vm *vm, struct err *err)
{
	const struct doc_guest *g = s->snap.guest.v;
	const struct doc_nic *nic = vm->net.nics.v;

	for (size_t i = 0; i < vm->net.nics.n; i++)
		if (g[i].queues && nic[i].queues &&
		    g[i].queues != nic[i].queues)
			return err_set(err, ERR_STATE,
			    "snapshot %s: its NIC %zu has %llu queues, the "
			    "VM's has %llu: clone it instead",
			    s->label, i, (unsigned long long)g[i].queues,
			    (unsigned long long)nic[i].queues);
	return 0;
}

int source_check_fit(const struct source *s, const struct plan_opts *o,
    const struct vm *vm, struct err *err)
{
	if (s->snap.guest.n != vm->net.nics.n)
		return err_set(err, ERR_STATE,
		    "snapshot %s: has %zu NICs, the VM %zu: clone it instead",
		    s->label, s->snap.guest.n, vm->net.nics.n);
	if (check_kept(s, vm, err) < 0 || check_queues(s, vm, err) < 0)
		return -1;
	if (check_room(s, "cpu", o->cpu, vm->plan.cpu, s->plan.cpu, err) < 0 ||
	    check_room(s, "memory", o->memory, vm->plan.memory, s->plan.memory,
		err) < 0)
		return -1;
	return check_room(
	    s, "storage", o->storage, vm->spec.storage, s->spec.storage, err);
}
