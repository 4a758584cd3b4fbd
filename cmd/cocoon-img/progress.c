/* SPDX-License-Identifier: MIT */
/* A bar on a terminal; elsewhere nothing, the verb says one line at its end. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "download.h"
#include "log.h"

#define EVERY_MS 200
#define BAR 24

void progress_begin(struct progress *p, const char *name, uint64_t total)
{
	*p = (struct progress){
	    .name = name, .total = total, .tty = isatty(STDERR_FILENO)};
}

void progress_show(struct progress *p, uint64_t done)
{
	char line[160], bar[BAR + 1], have[32], all[32];
	uint64_t part;
	int n;

	if (!p->tty || now_ms() - p->last_ms < EVERY_MS)
		return;
	p->last_ms = now_ms();
	p->shown = true;
	format_size_si(done, have);
	format_size_si(p->total, all);
	part = p->total > done
		   ? (uint64_t)((double)done / (double)p->total * BAR)
		   : BAR;
	memset(bar, ' ', BAR);
	memset(bar, '=', part);
	bar[BAR] = '\0';
	if (p->total)
		n = snprintf(line, sizeof(line), "\r\033[K%.40s [%s] %s of %s",
		    p->name, bar, have, all);
	else
		n = snprintf(
		    line, sizeof(line), "\r\033[K%.40s %s", p->name, have);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
	p->shown = false;
}
