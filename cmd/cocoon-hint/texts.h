/* SPDX-License-Identifier: MIT */
/* The texts of the seed, each appended. */
#ifndef COCOON_HINT_TEXTS_H
#define COCOON_HINT_TEXTS_H

#include "hint.h"

/* seed.c, netconf.c, script.c: the texts of the seed. */
void seed_meta_data(const struct hint *h, struct buf *out);
/* userdata.c: the file of --user-data; what seed_user_data made, and that. */
int user_data_read(const char *file, char **out, struct err *err);
void user_data_merge(
    const struct hint *h, const struct buf *ours, struct buf *out);
void seed_user_data(const struct hint *h, struct buf *out);
void seed_network_config(const struct hint *h, struct buf *out);
void seed_cocoon_conf(const struct hint *h, struct buf *out);
void seed_script(const struct hint *h, struct buf *out);

#endif
