/* SPDX-License-Identifier: MIT */
/*
 * Taking rights away from a process that reads what strangers made: landlock
 * (landlock(7), linux/landlock.h), no_new_privs, uid, capabilities, rlimits.
 * A plan is built before the fork, where memory may be allocated; entering it
 * makes only async-signal-safe calls, so it fits proc.confine.
 */
#ifndef COCOON_CONFINE_H
#define COCOON_CONFINE_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "err.h"

struct confine {
	int ruleset_fd; /* -1: the kernel has no landlock */
	int abi;
	bool drop; /* become uid, gid and nothing else */
	uid_t uid;
	gid_t gid;
	gid_t groups[4];
	size_t n_groups;
	struct {
		int resource;
		struct rlimit limit;
	} limits[8];
	size_t n_limits;
};

enum confine_access {
	CONFINE_READ = 1,  /* files and directories */
	CONFINE_WRITE = 2, /* also make and remove */
	CONFINE_EXEC = 4,
	CONFINE_IOCTL = 8,  /* of device nodes; from ABI 5 on */
	CONFINE_MKNOD = 16, /* also make device nodes */
};

/* Everything is handled (denied) by default. A kernel without landlock:
 * success, ruleset_fd -1; confine_landlock_abi tells doctors. */
int confine_init(struct confine *c, struct err *err);
void confine_release(struct confine *c);
#define AUTO_CONFINE CLEANUP(confine_release)
int confine_landlock_abi(void);

/* Allows access below path; a path that is not there is skipped. */
int confine_allow(
    struct confine *c, const char *path, unsigned int access, struct err *err);
int confine_allow_fd(struct confine *c, int fd, unsigned int access,
    const char *what, struct err *err);
/* What a dynamically linked program of the distribution reads. */
int confine_allow_libraries(struct confine *c, struct err *err);
void confine_limit(struct confine *c, int resource, rlim_t value);
void confine_drop(struct confine *c, uid_t uid, gid_t gid);
void confine_group(struct confine *c, gid_t gid);

/* In the child: limits, bounding set, groups, uid, no_new_privs, landlock.
 * 0 or an errno. arg is a struct confine *. */
int confine_enter(void *arg);

#endif
