/* SPDX-License-Identifier: MIT */
#include "route.h"

#include <string.h>

#include "ip.h"

uint64_t route_metric(size_t nic, const struct doc_route *r)
{
	struct ip dst;

	if (r->metric || !nic)
		return r->metric;
	if (ip_parse_cidr(r->dst, &dst) < 0 || dst.prefix)
		return 0;
	return NIC_METRIC + nic;
}

struct doc_route gateway_route(const char *gateway)
{
	return (struct doc_route){
	    .dst = strchr(gateway, ':') ? "::/0" : "0.0.0.0/0", .via = gateway};
}

bool nic_route_needed(const struct doc_nic *nic, const struct doc_route *r)
{
	struct ip dst;

	if (!r->via || ip_parse_cidr(r->dst, &dst) < 0 || dst.prefix)
		return true;
	for (size_t i = 0; i < nic->gateways.n; i++)
		if (!strcmp(nic->gateways.v[i], r->via))
			return false;
	return true;
}
