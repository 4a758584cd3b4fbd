/* SPDX-License-Identifier: MIT */
/* Parts of the scripts that a guest runs, of checked values alone. */
#ifndef COCOON_HINT_SCRIPT_H
#define COCOON_HINT_SCRIPT_H

#include "hint.h"

#define SCRIPT_NETWORK_DIR "/etc/systemd/network"
/* The first line of our files; contrib/os-image looks for it, too. */
#define SCRIPT_MARK "# Made by cocoon at every boot."

/* The .network file of systemd-networkd for NIC i, and its path. */
void script_unit(const struct hint *h, size_t i, struct buf *out);
void script_unit_path(const struct doc_nic *nic, struct buf *out);
/* Commands that write those of all NICs, and resolv.conf. */
void script_units(const struct hint *h, struct buf *out);
void script_resolv(const struct hint *h, struct buf *out);

#endif
