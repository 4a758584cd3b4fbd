/* SPDX-License-Identifier: MIT */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"

/* Rights that came after Debian 12's header (linux/landlock.h of 6.10). */
#define ACCESS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define ACCESS_IOCTL_DEV (1ULL << 15) /* ABI 5 */

#define ACCESS_ALL_ABI1 ((1ULL << 13) - 1)
#define ACCESS_REFER (1ULL << 13) /* ABI 2 */

#define FILE_RIGHTS                                                   \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	    LANDLOCK_ACCESS_FS_READ_FILE | ACCESS_TRUNCATE | ACCESS_IOCTL_DEV)

int confine_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static __u64 handled(int abi)
{
	__u64 all = ACCESS_ALL_ABI1;

	if (abi >= 2)
		all |= ACCESS_REFER;
	if (abi >= 3)
		all |= ACCESS_TRUNCATE;
	if (abi >= 5)
		all |= ACCESS_IOCTL_DEV;
	return all;
}

int confine_init(struct confine *c, struct err *err)
{
	struct landlock_ruleset_attr attr = {0};

	*c = (struct confine){.ruleset_fd = -1, .abi = confine_landlock_abi()};
	if (!c->abi)
		return 0;
	attr.handled_access_fs = handled(c->abi);
	c->ruleset_fd =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (c->ruleset_fd < 0)
		return err_sys(err, errno, "landlock: create a ruleset");
	fcntl(c->ruleset_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

void confine_release(struct confine *c)
{
	close_fd(&c->ruleset_fd);
}

static __u64 rights(const struct confine *c, unsigned int access, bool dir)
{
	__u64 r = 0;

	if (access & CONFINE_READ)
		r |= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (access & CONFINE_WRITE)
		r |= handled(c->abi) &
		     ~(LANDLOCK_ACCESS_FS_EXECUTE |
			 LANDLOCK_ACCESS_FS_READ_FILE |
			 LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_MAKE_CHAR |
			 LANDLOCK_ACCESS_FS_MAKE_BLOCK | ACCESS_IOCTL_DEV);
	if (access & CONFINE_MKNOD)
		r |= LANDLOCK_ACCESS_FS_MAKE_CHAR |
		     LANDLOCK_ACCESS_FS_MAKE_BLOCK;
	if (access & CONFINE_EXEC)
		r |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (access & CONFINE_IOCTL)
		r |= ACCESS_IOCTL_DEV;
	return r & handled(c->abi) & (dir ? ~0ULL : FILE_RIGHTS);
}

int confine_allow_fd(struct confine *c, int fd, unsigned int access,
    const char *what, struct err *err)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (c->ruleset_fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s: stat", what);
	rule.allowed_access = rights(c, access, S_ISDIR(st.st_mode));
	if (syscall(SYS_landlock_add_rule, c->ruleset_fd,
		LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(err, errno, "%s: landlock rule", what);
	return 0;
}

int confine_allow(
    struct confine *c, const char *path, unsigned int access, struct err *err)
{
	AUTO_FD int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return 0;
	return confine_allow_fd(c, fd, access, path, err);
}

int confine_allow_libraries(struct confine *c, struct err *err)
{
	static const char *const paths[] = {"/lib", "/lib64", "/usr/lib",
	    "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (confine_allow(
			c, paths[i], CONFINE_READ | CONFINE_EXEC, err) < 0)
			return -1;
	return 0;
}

void confine_limit(struct confine *c, int resource, rlim_t value)
{
	if (c->n_limits == ARRAY_LEN(c->limits))
		return;
	c->limits[c->n_limits].resource = resource;
	c->limits[c->n_limits++].limit = (struct rlimit){value, value};
}

void confine_drop(struct confine *c, uid_t uid, gid_t gid)
{
	c->drop = true;
	c->uid = uid;
	c->gid = gid;
}

void confine_group(struct confine *c, gid_t gid)
{
	if (c->n_groups < ARRAY_LEN(c->groups))
		c->groups[c->n_groups++] = gid;
}

/* From uid 0 to the plan's: all capability sets end up empty. */
static int drop_uid(const struct confine *c)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL)
			return errno;
	if (syscall(SYS_setgroups, c->n_groups, c->groups) < 0 ||
	    syscall(SYS_setresgid, c->gid, c->gid, c->gid) < 0 ||
	    syscall(SYS_setresuid, c->uid, c->uid, c->uid) < 0)
		return errno;
	return 0;
}

int confine_enter(void *arg)
{
	const struct confine *c = arg;
	int e;

	for (size_t i = 0; i < c->n_limits; i++)
		if (setrlimit(c->limits[i].resource, &c->limits[i].limit) < 0)
			return errno;
	if (c->drop && (e = drop_uid(c)))
		return e;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	if (c->ruleset_fd >= 0 &&
	    syscall(SYS_landlock_restrict_self, c->ruleset_fd, 0) < 0)
		return errno;
	return 0;
}
