/* SPDX-License-Identifier: MIT */
/* Cloud Hypervisor by version. Numbers are its issues on GitHub. */
#include "ch.h"

#include <string.h>

/*
 * CVE-2026-27211: a guest that writes a qcow2 header onto its raw disk reads
 * the host's files; fixed in v50.1 and v51.0. CVE-2026-45782: use after free
 * in virtio-block; fixed in v51.2 and v52.0.
 */
const char *ch_fault(const char *version)
{
	unsigned int v = version_number(version);

	if (v < CH_OLDEST)
		return "is too old for this driver";
	if (v < VERSION(50, 1, 0))
		return "lets a guest read files of the host (CVE-2026-27211) "
		       "and write into freed memory (CVE-2026-45782)";
	if (v < CH_SOUND)
		return "lets a guest write into freed memory (CVE-2026-45782)";
	return NULL;
}

/*
 * #7849: v51 offers DISCARD with limits of zero, and viostor.sys stops with a
 * blue screen; fixed in v52.0. Before v51 it is not offered. #7925: the
 * control queue of virtio-net answers ERR, and virtio-win from 0.1.271 on
 * gives the NIC up; fixed in v52.0, too. #7930: 4 minutes of hang after a
 * restore; v52.0.
 */
const char *ch_windows_fault(unsigned int v)
{
	if (v >= VERSION(52, 0, 0))
		return NULL;
	if (v >= VERSION(51, 0, 0))
		return "it offers DISCARD without limits, and Windows stops "
		       "with a blue screen (#7849)";
	return "virtio-win from 0.1.271 on has no network with it (#7925)";
}

/* #7849 again: `sparse` off is what keeps v51 from offering it on raw. */
bool ch_can_discard(unsigned int v)
{
	return v >= VERSION(52, 0, 0);
}

/* Without it v51 and later write-protect sector 0 of a raw disk. */
bool ch_has_image_type(unsigned int v)
{
	return v >= VERSION(50, 1, 0);
}

/* v51.2 answers "Unsupported operation" where disks are asynchronous. */
bool ch_can_resize_disk(unsigned int v)
{
	return v >= VERSION(52, 0, 0);
}

/* #8607: until v53 tables of a qcow2 are written when the guest flushes. */
bool ch_saves_overlays(unsigned int v)
{
	return v >= VERSION(54, 0, 0);
}

/*
 * Memory that clones share is a private mapping of the file, from v54 on
 * (#8581), and only of small pages. OnDemand is v52's own way: it fetches what
 * the guest touches by userfaultfd; from v53 on all the rest as well (#8150),
 * in the background, which is a copy that takes longer.
 */
const char *ch_restore_mode(unsigned int v, bool hugepages, const char *wish)
{
	if (wish && !strcmp(wish, "ondemand"))
		return "OnDemand";
	if (wish && !strcmp(wish, "copy"))
		return NULL;
	return v >= VERSION(54, 0, 0) && !hugepages ? "CopyOnWrite" : NULL;
}

const char *ch_no_restore_mode(unsigned int v, bool hugepages, const char *wish)
{
	if (!strcmp(wish, "ondemand") && v < VERSION(52, 0, 0))
		return "v52.0 is the first that can";
	if (strcmp(wish, "mmap"))
		return NULL;
	if (v < VERSION(54, 0, 0))
		return "v54.0 is the first that can";
	return hugepages ? "its memory is of huge pages" : NULL;
}

bool ch_is_lazy(unsigned int v)
{
	return v >= VERSION(52, 0, 0) && v < VERSION(53, 0, 0);
}
