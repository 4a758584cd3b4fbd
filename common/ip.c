/* SPDX-License-Identifier: MIT */
#include "ip.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ip_parse(const char *text, struct ip *out)
{
	*out = (struct ip){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	out->prefix = out->family == AF_INET ? 32 : 128;
	return inet_pton(out->family, text, out->addr) == 1 ? 0 : -1;
}

int ip_parse_cidr(const char *text, struct ip *out)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	char addr[INET6_ADDRSTRLEN];
	unsigned long prefix;

	if (!len || len >= sizeof(addr))
		return -1;
	memcpy(addr, text, len);
	addr[len] = '\0';
	if (ip_parse(addr, out) < 0)
		return -1;
	if (strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
	    strlen(slash + 1) > 3 || !slash[1])
		return -1;
	prefix = strtoul(slash + 1, NULL, 10);
	if (prefix > out->prefix)
		return -1;
	out->prefix = (unsigned int)prefix;
	return 0;
}

bool ip_within(const struct ip *a, const struct ip *net)
{
	unsigned int bytes = net->prefix / 8, bits = net->prefix % 8;
	unsigned int mask = 0xff00U >> bits & 0xff;

	if (a->family != net->family || memcmp(a->addr, net->addr, bytes))
		return false;
	return !bits || !((a->addr[bytes] ^ net->addr[bytes]) & mask);
}

void ip_netmask(unsigned int prefix, char out[16])
{
	uint32_t m = prefix ? ~0U << (32 - prefix) : 0;

	snprintf(out, 16, "%u.%u.%u.%u", m >> 24, m >> 16 & 255, m >> 8 & 255,
	    m & 255);
}
