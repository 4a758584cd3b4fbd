/* SPDX-License-Identifier: MIT */
/* The routes of a NIC, as every text for the guest has them. */
#ifndef COCOON_HINT_ROUTE_H
#define COCOON_HINT_ROUTE_H

#include "hint.h"

/*
 * Default routes of the NICs come in the NICs' order: the first NIC has what
 * the guest gives, which is 1024 at most, the others this and their number.
 */
#define NIC_METRIC 1024

/* The priority of a route of that NIC; 0: as the guest has it. */
uint64_t route_metric(size_t nic, const struct doc_route *r);
/* The default route by that gateway. */
struct doc_route gateway_route(const char *gateway);
/* False for a default route that only says again what gateways say. */
bool nic_route_needed(const struct doc_nic *nic, const struct doc_route *r);

#endif
