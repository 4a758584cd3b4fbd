/* SPDX-License-Identifier: MIT */
/* The seed disk of a guest. */
#ifndef COCOON_SEED_H
#define COCOON_SEED_H

#include "doc.h"
#include "err.h"

/*
 * Writes the ISO 9660 image, label CIDATA, of the texts in *s to out_fd, a
 * file that is empty and at its start. Texts that are NULL are left out; the
 * same texts give the same bytes. Files in it: meta-data, user-data,
 * network-config, cocoon.conf, cocoon.sh.
 */
int seed_image(const struct doc_seed *s, int out_fd, struct err *err);

#endif
