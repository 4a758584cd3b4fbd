/* SPDX-License-Identifier: MIT */
/* Which VMMs live, and how they ended. */
#ifndef COCOON_LIVE_H
#define COCOON_LIVE_H

#include "hv.h"

/* live.c: is generation n of the VM whose directory is vm_fd alive? */
struct live {
	bool alive;
	pid_t pid; /* of the VMM; 0 if it is unknown */
	unsigned long long start_time;
	uid_t uid;
};
struct live live_check(int vm_fd, uint64_t n);
/* A pidfd of what lives; -1 if nothing can be named. */
int live_pidfd(const struct live *l);
/* Opens live.N and takes the lock that the VMM is to inherit. */
int live_lock(int vm_fd, uint64_t n, struct err *err);
/* Child side, before exec: writes run.N. 0 or an errno. */
int live_write_run(int vm_fd, uint64_t n, uid_t uid, const char *boot_id);
/* SIGTERM, grace_ms, SIGKILL; true when it is gone. */
bool live_kill(const struct live *l, int grace_ms);
/* Kills every live generation but `except` (UINT64_MAX: every one). */
int live_kill_others(int vm_fd, uint64_t except, struct err *err);
/* Of a VM that ended: stopped, hibernated or error. */
const char *live_state_after(const char *reason);
/*
 * created, running, paused, stopped, hibernated or error, of what the record
 * says and live_check has found. *ended is how it ended, if that was seen; its
 * strings are borrowed from *keep, which the caller puts.
 */
const char *live_state(int vm_fd, const struct live *l,
    const struct doc_hv *recorded, struct doc_ended *ended,
    struct json_object **keep);
/* Fills hv.state, pid, uid, unattended, ended of a bound VM. */
void live_derive(struct vm *vm);

/* events.c */
void event_append(int events_fd, uint64_t n, const char *event,
    const char *reason, const char *detail, int status);
/* The last "ended" of the file; out->reason NULL if none. Strings are
 * borrowed from *keep, which the caller puts. */
void event_last(
    int vm_fd, uint64_t n, struct doc_ended *out, struct json_object **keep);

#endif
