/* SPDX-License-Identifier: MIT */
/* A bar on a terminal; elsewhere nothing, the verb says one line at its end. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "opt.h"

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

int progress_start(
    const char *name, uint64_t total, uint64_t (*done)(void *), void *arg)
{
	struct progress p;
	pid_t caller = getpid(), pid;

	progress_begin(&p, name, total);
	pid = p.tty ? fork() : 0;
	if (pid || !p.tty)
		return pid < 0 ? 0 : pid;
	/* What the caller holds open must not outlive it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(STDOUT_FILENO);
	while (getppid() == caller) {
		sleep_ms(EVERY_MS);
		progress_show(&p, done(arg));
	}
	_exit(0);
}

void progress_stop(int *pid)
{
	struct progress p = {.shown = true};

	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
	progress_end(&p);
}
