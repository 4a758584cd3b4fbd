/* SPDX-License-Identifier: MIT */
/*
 * VMs of cloud images: UEFI with a store of variables of their own, and an
 * overlay above a base that nobody writes, or a copy of it. The overlay's header depends on
 * nothing but size and format, so it is made once, as file systems are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "log.h"
#include "proc.h"

#define QEMU_IMG_MS 30000

const char *cloud_base(const struct doc_image *image)
{
	return !strcmp(image->disk.format, "raw") ? "layers/base.raw"
						  : "layers/base.qcow2";
}

bool cloud_is_overlay(
    const struct doc_image *image, const struct doc_plan *plan)
{
	const struct doc_disk *d = plan->disks.v;

	if (!image->disk.path || !image->disk.format)
		return false;
	for (size_t i = 0; i < plan->disks.n; i++)
		if (!strcmp(d[i].role, "cow") && !strcmp(d[i].format, "qcow2"))
			return true;
	return false;
}

int cloud_firmware(struct doc_firmware *f, struct err *err)
{
	static const char *const names[][2] = {
	    {"OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"},
	    {"OVMF_CODE.fd", "OVMF_VARS.fd"}};
	const char *dir = getenv("COCOON_FIRMWARE_DIR");

	if (!dir || !*dir)
		dir = "/usr/share/OVMF";
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *code = xasprintf("%s/%s", dir, names[i][0]);
		AUTO_FREE char *vars = xasprintf("%s/%s", dir, names[i][1]);

		if (access(code, R_OK) < 0 || access(vars, R_OK) < 0)
			continue;
		/* Not a link, which the VM's link would be to. */
		f->code = realpath(code, NULL);
		f->vars = realpath(vars, NULL);
		if (f->code && f->vars)
			return 0;
	}
	return err_set(err, ERR_UNSUPPORTED,
	    "UEFI firmware: not found in %s: try `apt-get install ovmf`", dir);
}

static void plan_size(
    const struct doc_image *image, uint64_t size, struct doc_disk *cow)
{
	if (cow->size < size) {
		log_info("image %s: its disk is larger than --storage: %llu "
			 "bytes",
		    image->name ? image->name : image->digest,
		    (unsigned long long)size);
		cow->size = size;
	}
	/* A disk has whole sectors. */
	cow->size = (cow->size + 511) & ~UINT64_C(511);
}

int cloud_plan_disk(const struct doc_image *image, struct doc_plan *plan,
    bool overlay, struct err *err)
{
	const struct doc_base *base = &image->disk;
	struct doc_disk *d = plan->disks.v;
	uint64_t size = base->virtual_size;

	if (!base->path || !base->format || !size)
		return err_set(err, ERR_INPUT,
		    ".image.disk: path, format and virtual_size must be given: "
		    "`cocoon-img resolve` writes them");
	for (size_t i = 0; i < plan->disks.n; i++) {
		if (strcmp(d[i].role, "cow"))
			continue;
		plan_size(image, size, &d[i]);
		d[i].serial = d[i].fstype = NULL;
		if (overlay) {
			d[i].format = "qcow2";
			d[i].file = "overlay.qcow2";
		}
	}
	return 0;
}

int cloud_plan(const struct doc_spec *spec, const struct doc_image *image,
    struct doc_plan *plan, struct err *err)
{
	(void)spec;
	if (!strcmp(image->type, "oci"))
		return 0;
	if (cloud_plan_disk(image, plan, true, err) < 0)
		return -1;
	return cloud_firmware(&plan->firmware, err);
}

/* -u: the base, which came from outside, is not looked into by root. */
static int make_header(int dir, const char *name, const char *base,
    const char *format, uint64_t size, struct err *err)
{
	AUTO_PROC struct proc p = PROC_NONE;
	AUTO_FREE char *tmp = xasprintf(".%s.%d", name, (int)getpid());
	int r;

	strv_add(&p.argv, "qemu-img");
	strv_add(&p.argv, "create");
	strv_add(&p.argv, "-q");
	strv_add(&p.argv, "-u");
	strv_add(&p.argv, "-f");
	strv_add(&p.argv, "qcow2");
	strv_add(&p.argv, "-F");
	strv_add(&p.argv, format);
	strv_add(&p.argv, "-b");
	strv_add(&p.argv, base);
	strv_add(&p.argv, tmp);
	strv_addf(&p.argv, "%llu", (unsigned long long)size);
	p.cwd_fd = dir;
	r = proc_run(&p, NULL, 0, NULL, 0, QEMU_IMG_MS, err);
	if (r == 0 && renameat(dir, tmp, dir, name) < 0)
		r = err_sys(err, errno, "%s: rename", name);
	if (r < 0)
		unlinkat(dir, tmp, 0);
	return r;
}

static int make_overlay(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err)
{
	const struct doc_image *image = &vm->image;
	AUTO_FD int dir =
	    state_dir((struct state *)&vm->st, "template", true, err);
	char name[60];

	if (dir < 0)
		return -1;
	if (!image->disk.path || !image->disk.format || strcmp(d->role, "cow"))
		return err_set(err, ERR_INPUT,
		    ".plan.disks: %s: qcow2 is for what is above a cloud "
		    "image",
		    d->file);
	snprintf(name, sizeof(name), "overlay-%s-%llu", image->disk.format,
	    (unsigned long long)d->size);
	if (faccessat(dir, name, F_OK, 0) < 0 &&
	    make_header(dir, name, cloud_base(image), image->disk.format,
		d->size, err) < 0)
		return -1;
	return file_clone(dir, name, run_fd, d->file, 0600, err) < 0 ? -1 : 0;
}

/* By reflink where that can be, grown to its planned size. */
static int copy_base(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err)
{
	AUTO_FD int fd = -1;

	if (file_clone(
		AT_FDCWD, vm->image.disk.path, run_fd, d->file, 0600, err) < 0)
		return -1;
	fd = openat(run_fd, d->file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)d->size) < 0)
		return err_sys(err, errno, "%s: grow", d->file);
	return 0;
}

int cloud_disk(
    const struct vm *vm, int run_fd, const struct doc_disk *d, struct err *err)
{
	return strcmp(d->format, "qcow2") ? copy_base(vm, run_fd, d, err)
					  : make_overlay(vm, run_fd, d, err);
}

int cloud_vars(const struct vm *vm, int run_fd, struct err *err)
{
	const char *vars = vm->plan.firmware.vars;

	if (!vars)
		return 0;
	return file_clone(AT_FDCWD, vars, run_fd, CLOUD_VARS, 0600, err) < 0
		   ? -1
		   : 0;
}

uint64_t disk_file_limit(const struct doc_disk *d)
{
	/* qcow2's tables: 10 bytes for each cluster of 64 KiB, and a few. */
	return strcmp(d->format, "qcow2")
		   ? d->size
		   : d->size + d->size / 4096 + (UINT64_C(16) << 20);
}
