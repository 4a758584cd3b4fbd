/* SPDX-License-Identifier: MIT */
#include "subnet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opt.h"

static uint32_t mask_of(int prefix)
{
	return prefix ? ~0u << (32 - prefix) : 0;
}

int parse_ip(const char *text, uint32_t *out)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return -1;
	*out = ntohl(a.s_addr);
	return 0;
}

int subnet_parse(const char *text, struct subnet *out)
{
	const char *slash = strchr(text, '/');
	char ip[16];
	uint64_t prefix;
	struct subnet s;

	if (!slash || slash - text >= (ptrdiff_t)sizeof(ip))
		return -1;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	if (parse_ip(ip, &s.base) < 0 || parse_u64(slash + 1, &prefix) < 0 ||
	    prefix < 8 || prefix > 29)
		return -1;
	s.prefix = (int)prefix;
	s.base &= mask_of(s.prefix);
	*out = s;
	return 0;
}

uint32_t subnet_gateway(const struct subnet *s)
{
	return s->base + 1;
}

uint32_t subnet_last(const struct subnet *s)
{
	return (s->base | ~mask_of(s->prefix)) - 1;
}

bool subnet_has(const struct subnet *s, uint32_t ip)
{
	return ip > subnet_gateway(s) && ip <= subnet_last(s);
}

bool subnet_overlap(const struct subnet *a, const struct subnet *b)
{
	uint32_t m = mask_of(a->prefix) & mask_of(b->prefix);

	return (a->base & m) == (b->base & m);
}

void format_ip(uint32_t ip, char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255,
	    ip >> 8 & 255, ip & 255);
}

void format_cidr(uint32_t ip, int prefix, char out[20])
{
	char text[16];

	format_ip(ip, text);
	snprintf(out, 20, "%s/%d", text, prefix);
}

void format_mac(const unsigned char m[6], char out[18])
{
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
	    m[3], m[4], m[5]);
}

int parse_mac(const char *text, unsigned char mac[6])
{
	unsigned int v[6];
	char again[18];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2],
		&v[3], &v[4], &v[5], &end) != 6 ||
	    end != 17 || text[end])
		return -1;
	for (int i = 0; i < 6; i++)
		mac[i] = (unsigned char)v[i];
	/* Lower case and nothing that scanf forgave; a unicast address. */
	format_mac(mac, again);
	return strcmp(text, again) || mac[0] & 1 ? -1 : 0;
}
