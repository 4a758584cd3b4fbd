/* SPDX-License-Identifier: MIT */
/* What Cloud Hypervisor of a version cannot do, said before anything is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ch.h"
#include "disks.h"
#include "file.h"
#include "log.h"

#define MIB (UINT64_C(1) << 20)
#define HUGE_PAGE (2 * MIB)
#define EDK2_SIZE (1 * MIB) /* smaller is rust-hypervisor-firmware */

static int check_version(
    const struct doc_spec *spec, const struct doc_plan *plan, struct err *err)
{
	unsigned int v = version_number(plan->version);
	const char *fault = ch_fault(plan->version);

	if (v < CH_OLDEST)
		return err_set(err, ERR_UNSUPPORTED,
		    "cloud-hypervisor v%s is too old: " CH_ADVICE,
		    plan->version);
	if (fault && !spec->allow_vulnerable)
		return err_set(err, ERR_UNSUPPORTED,
		    "cloud-hypervisor v%s %s: " CH_ADVICE
		    "; --allow-vulnerable takes it all the same",
		    plan->version, fault);
	fault = spec->windows ? ch_windows_fault(v) : NULL;
	if (fault)
		return err_set(err, ERR_UNSUPPORTED,
		    "--windows on cloud-hypervisor v%s: %s: use v52.0 or later",
		    plan->version, fault);
	return 0;
}

const char *ch_firmware(void)
{
	const char *asked = getenv("COCOON_CH_FIRMWARE");
	const char *root = getenv("COCOON_ROOT_DIR");

	if (asked && *asked)
		return asked;
	return xasprintf(
	    "%s/firmware/CLOUDHV.fd", root && *root ? root : "/var/lib/cocoon");
}

bool ch_is_edk2(const struct stat *st)
{
	return (uint64_t)st->st_size >= EDK2_SIZE;
}

/*
 * GRUB of Ubuntu 24.04, of Debian 13 and of what is newer asks for
 * InstallMultipleProtocolInterfaces and LoadFile2, which
 * rust-hypervisor-firmware 0.5.0 has not (its #333; Cloud Hypervisor's #7356):
 * the kernel comes without its initrd, and panics.
 */
static bool needs_edk2(const char *image)
{
	static const char *const newer[] = {"noble", "oracular", "plucky",
	    "questing", "24.04", "24.10", "25.04", "25.10", "26.04", "trixie",
	    "forky", "debian-13", "debian-14"};

	for (size_t i = 0; image && i < ARRAY_LEN(newer); i++)
		if (strstr(image, newer[i]))
			return true;
	return false;
}

static int choose_firmware(const struct doc_spec *spec,
    const struct doc_image *image, struct doc_plan *plan, struct err *err)
{
	const char *path = ch_firmware();
	struct stat st;

	if (path[0] != '/')
		return err_set(err, ERR_USAGE,
		    "COCOON_CH_FIRMWARE: %s: want an absolute path", path);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_UNSUPPORTED,
		    "firmware not found: %s: put EDK2's CLOUDHV.fd there, or "
		    "name it by COCOON_CH_FIRMWARE",
		    path);
	plan->firmware.code = path;
	if (ch_is_edk2(&st))
		return 0;
	if (spec->windows)
		log_warn("%s is rust-hypervisor-firmware: Windows boots with "
			 "EDK2's CLOUDHV.fd, or with a build of it that has "
			 "ResetSystem",
		    path);
	else if (needs_edk2(image->name))
		return err_set(err, ERR_UNSUPPORTED,
		    "image %s: rust-hypervisor-firmware (%s) loads its kernel "
		    "without the initrd: use EDK2's CLOUDHV.fd",
		    image->name, path);
	return 0;
}

/* What is free of the pool of 2 MiB pages, in bytes. */
static uint64_t huge_free(void)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	AUTO_FD int dir = open("/sys/kernel/mm/hugepages/hugepages-2048kB",
	    O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 ||
	    file_read(dir, "free_hugepages", &text, 64, &ignored) < 0)
		return 0;
	return strtoull(text.data ? text.data : "0", NULL, 10) * HUGE_PAGE;
}

static int check_hugepages(struct doc_plan *plan, struct err *err)
{
	uint64_t have = huge_free();
	char want[32], left[32];

	plan->hugepages = true;
	if (plan->memory % HUGE_PAGE)
		return err_set(err, ERR_USAGE,
		    "--hugepages: --memory must be a multiple of 2MiB");
	if (have >= plan->memory)
		return 0;
	format_size(plan->memory, want);
	format_size(have, left);
	return err_set(err, ERR_UNSUPPORTED,
	    "--hugepages: %s are asked for and %s are free: see "
	    "/proc/sys/vm/nr_hugepages",
	    want, left);
}

uint64_t ch_max_memory(
    const struct doc_image *image, const struct doc_plan *plan)
{
	(void)image;
	(void)plan;
	return host_memory() / VMM_MEMORY_STEP * VMM_MEMORY_STEP;
}

int ch_check(const struct doc_spec *spec, const struct doc_image *image,
    struct doc_plan *plan, struct err *err)
{
	bool overlay;

	if (check_version(spec, plan, err) < 0)
		return -1;
	if (spec->hugepages && check_hugepages(plan, err) < 0)
		return -1;
	if (!strcmp(image->type, "oci"))
		return 0;
	/* A copy of a raw base, or an overlay on a qcow2. */
	overlay = image->disk.format && !strcmp(image->disk.format, "qcow2");
	if (cloud_plan_disk(image, plan, overlay, err) < 0)
		return -1;
	return choose_firmware(spec, image, plan, err);
}
