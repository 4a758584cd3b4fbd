/* SPDX-License-Identifier: MIT */
/* Between who asks for VMs (jobs.c) and the process of one (launch.c). */
#ifndef COCOON_JOBS_H
#define COCOON_JOBS_H

#include "hv.h"

/* What a VM's process has to say; a text follows where it is done. */
struct report {
	struct err err;
	bool loaded; /* it waits for a byte: then the VM is committed */
	size_t text_len;
};

struct launch {
	int fd; /* to who asked */
};

int launch_report(int fd, const struct report *r, const char *text);
/* How it ends where all is well: with the document. */
int launch_document(int fd, const struct buf *text);

#endif
