/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hv.h"

void ips_add(struct ips *ips, const char *address)
{
	struct buf *out = strchr(address, ':') ? &ips->six : &ips->four;

	if (out->len)
		buf_ch(out, ',');
	buf_add(out, address, strcspn(address, "/"));
}

const char *ips_text(const struct ips *ips)
{
	if (ips->four.len)
		return ips->four.data;
	return ips->six.len ? ips->six.data : "-";
}

void ips_release(struct ips *ips)
{
	buf_release(&ips->four);
	buf_release(&ips->six);
}

void show_ips(const struct doc_net *net, struct buf *out)
{
	const struct doc_nic *nic = net->nics.v;
	struct ips ips = {0};

	for (size_t i = 0; i < net->nics.n; i++)
		for (size_t k = 0; k < nic[i].addresses.n; k++)
			ips_add(&ips, nic[i].addresses.v[k]);
	buf_str(out, ips_text(&ips));
	ips_release(&ips);
}

void show_time(uint64_t ms, char out[32])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!ms || !localtime_r(&t, &tm))
		snprintf(out, 32, "-");
	else
		strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
}
