/* SPDX-License-Identifier: MIT */
/* Named network namespaces, /run/netns/cn-ID. */
#ifndef COCOON_NETNS_H
#define COCOON_NETNS_H

#include "err.h"

struct stay {
	int back_fd; /* where we came from; -1: we are there */
};
#define STAY_NONE  \
	{          \
		-1 \
	}
void netns_name(const char *id, char out[40]);
/* The named namespace; -1 with ERR_NOTFOUND. */
int netns_open(const char *id, struct err *err);
/* Makes it and goes into it; its descriptor or -1. */
int netns_make(const char *id, struct stay *stay, struct err *err);
int netns_enter(int fd, struct stay *stay, struct err *err);
/* Cannot fail: a process that is lost in a VM's namespace must not go on. */
void netns_leave(struct stay *stay);
#define AUTO_STAY CLEANUP(netns_leave)
/* 1: it was there, and takes its devices along, in the kernel's time. */
int netns_remove(const char *id, struct err *err);

#endif
