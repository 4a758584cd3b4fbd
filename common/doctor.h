/* SPDX-License-Identifier: MIT */
/* The JSON lines of every tool's `doctor`. */
#ifndef COCOON_DOCTOR_H
#define COCOON_DOCTOR_H

struct call;

/*
 * Writes {check,status,detail,remedy}: status is ok, warn or fail; remedy is
 * left out where it is NULL or all is well. A fail makes the exit status 7.
 */
void doctor_say(struct call *call, const char *check, const char *status,
    const char *detail, const char *remedy);

#endif
