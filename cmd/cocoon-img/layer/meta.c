/* SPDX-License-Identifier: MIT */
#include "layer.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ID_MAX_ 0xfffffffeL /* (uid_t)-1 means "leave it" */

/*
 * What is kept. Others (security.selinux, security.ima ...) belong to the host
 * that packed the layer and are dropped, as other unpackers do.
 */
bool xattr_kept(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
	       !strcmp(name, "security.capability") ||
	       !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

static int set_xattr(const char *path, const char *base, const char *name,
    const void *value, size_t size, struct err *err)
{
	/*
	 * Refused, not dropped: overlayfs obeys these (redirect, metacopy), a
	 * tar says what it means by whiteouts, and who writes them anyway
	 * must not get an image that differs from what was packed.
	 */
	if (!strncmp(name, "trusted.overlay.", 16))
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: extended attribute %.60s", base,
		    name);
	if (!xattr_kept(name) || lsetxattr(path, name, value, size, 0) == 0)
		return 0;
	err_sys(err, errno, "%s: set %.100s", base, name);
	if (err->sys == EOPNOTSUPP)
		err_wrap(err, "the store's file system");
	return -1;
}

static int set_xattrs(
    int dir_fd, const char *base, struct archive_entry *e, struct err *err)
{
	AUTO_FREE char *path = NULL;
	const char *name;
	const void *value;
	size_t size;

	if (archive_entry_xattr_reset(e) == 0)
		return 0;
	/* setxattrat(2) is younger than any stable distribution. */
	path = xasprintf("/proc/self/fd/%d/%s", dir_fd, base);
	while (archive_entry_xattr_next(e, &name, &value, &size) == 0)
		if (set_xattr(path, base, name, value, size, err) < 0)
			return -1;
	return 0;
}

int meta_apply(
    int dir_fd, const char *base, struct archive_entry *e, struct err *err)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
	    {archive_entry_mtime(e), archive_entry_mtime_nsec(e)}};
	mode_t mode = archive_entry_perm(e) & 07777;

	/* An EROFS image has no time before 1970. */
	if (times[1].tv_sec < 0)
		times[1] = (struct timespec){0};
	if (uid < 0 || gid < 0 || uid > ID_MAX_ || gid > ID_MAX_)
		return err_set(err, ERR_INPUT,
		    "entry \"%.200s\": refused: owner out of range", base);
	if (fchownat(
		dir_fd, base, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: chown", base);
	/* After the owner: chown clears set-uid bits and capabilities. We made
	 * this name just now, so chmod follows no symlink. */
	if (archive_entry_filetype(e) != AE_IFLNK &&
	    fchmodat(dir_fd, base, mode, 0) < 0)
		return err_sys(err, errno, "%s: chmod", base);
	if (set_xattrs(dir_fd, base, e, err) < 0)
		return -1;
	if (utimensat(dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: set its time", base);
	return 0;
}
