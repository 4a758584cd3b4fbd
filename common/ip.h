/* SPDX-License-Identifier: MIT */
/* IP addresses and prefixes as text; pure. */
#ifndef COCOON_IP_H
#define COCOON_IP_H

#include <stdbool.h>

struct ip {
	int family; /* AF_INET, AF_INET6 */
	unsigned char addr[16];
	unsigned int prefix; /* bits; all of them where none was given */
};

/* "10.0.0.1", "fd00::1". -1 if it is not that. */
int ip_parse(const char *text, struct ip *out);
/* "10.0.0.1/24": the prefix must be there. */
int ip_parse_cidr(const char *text, struct ip *out);
/* True if a is within the network of net. */
bool ip_within(const struct ip *a, const struct ip *net);
/* "255.255.0.0" of a prefix length. */
void ip_netmask(unsigned int prefix, char out[16]);

#endif
