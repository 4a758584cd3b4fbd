/* SPDX-License-Identifier: MIT */
/* IPv4 networks and addresses, in host byte order, and MACs; pure. */
#ifndef COCOON_SUBNET_H
#define COCOON_SUBNET_H

#include <stdbool.h>
#include <stdint.h>

struct subnet {
	uint32_t base;
	int prefix;
};
int subnet_parse(const char *text, struct subnet *out); /* -1: is none */
bool subnet_has(const struct subnet *s, uint32_t ip);   /* for a guest */
bool subnet_overlap(const struct subnet *a, const struct subnet *b);
uint32_t subnet_gateway(const struct subnet *s); /* the first address */
uint32_t subnet_last(const struct subnet *s);    /* the last of a guest */
void format_ip(uint32_t ip, char out[16]);
int parse_ip(const char *text, uint32_t *out);
void format_cidr(uint32_t ip, int prefix, char out[20]);
void format_mac(const unsigned char mac[6], char out[18]);
int parse_mac(const char *text, unsigned char mac[6]);

#endif
