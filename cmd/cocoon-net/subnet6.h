/* SPDX-License-Identifier: MIT */
/* The IPv6 side of the built-in network: a /64, and what the host says. */
#ifndef COCOON_SUBNET6_H
#define COCOON_SUBNET6_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct subnet6 {
	bool on;
	unsigned char net[8];
};

/* "fd00:1:2:3::/64"; -1 if it is none that guests can have. */
int subnet6_parse(const char *text, struct subnet6 *out);
void subnet6_format(const struct subnet6 *s, char out[52]);
/* One of this host and root that nobody is likely to have (RFC 4193). */
void subnet6_choose(const char *owner, struct subnet6 *out);
/* The address whose lease is the IPv4 one: no second one is kept. */
void subnet6_addr(const struct subnet6 *s, uint32_t ip, unsigned char out[16]);
void subnet6_gateway(const struct subnet6 *s, unsigned char out[16]);
void format_ip6(const unsigned char addr[16], char out[46]);
/*
 * Can the host forward IPv6 for guests? NULL, or why not. It cannot without
 * IPv6, and must not where it has its own route from router advertisements,
 * which a host that forwards does not accept.
 */
const char *subnet6_refusal(bool forwarding);
/* ERR_STATE if a route of the host is in the way. */
int subnet6_survey(const struct subnet6 *s, struct err *err);

#endif
