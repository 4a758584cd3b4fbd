/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hv.h"

static bool is_six(const char *address)
{
	return strchr(address, ':') != NULL;
}

/* IPv4 says it in less; IPv6 where a NIC has nothing else. */
void show_ips(const struct doc_net *net, struct buf *out)
{
	const struct doc_nic *nic = net->nics.v;
	size_t shown = 0;

	for (size_t i = 0; i < net->nics.n; i++)
		for (size_t k = 0; k < nic[i].addresses.n; k++) {
			const char *a = nic[i].addresses.v[k];

			if (is_six(a) && !is_six(nic[i].addresses.v[0]))
				continue;
			buf_addf(out, "%s%.*s", shown++ ? "," : "",
			    (int)strcspn(a, "/"), a);
		}
	if (!shown)
		buf_str(out, "-");
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
