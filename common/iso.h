/* SPDX-License-Identifier: MIT */
/*
 * ISO 9660 (ECMA-119) images of one flat directory, with Rock Ridge names
 * for Linux and Joliet ones for Windows. Two descriptors, four path tables of
 * one entry, two directories and the files: writing that takes less code than
 * telling a library about it, needs no temporary file, clock or file system,
 * and starts five times as fast. The same files give the same bytes.
 */
#ifndef COCOON_ISO_H
#define COCOON_ISO_H

#include <stddef.h>

#define ISO_SECTOR 2048
#define ISO_MAX_FILES 8 /* so that a directory fits one sector */
#define ISO_MAX_NAME 28
#define ISO_SEED_LABEL "CIDATA" /* by which NoCloud finds its seed */

struct iso_file {
	const char *name; /* [a-z0-9][a-z0-9.-]*, at most ISO_MAX_NAME */
	const void *data;
	size_t len;
};

/* The size of the image in bytes, a multiple of 4096. */
size_t iso_size(const struct iso_file *files, size_t n);
/* NULL, or what is wrong with a name among the others. */
const char *iso_bad_name(const struct iso_file *files, size_t n);
/* Writes it to out, iso_size bytes that are zero. label: at most 16 of A-Z. */
void iso_write(const struct iso_file *files, size_t n, const char *label,
    unsigned char *out);

#endif
