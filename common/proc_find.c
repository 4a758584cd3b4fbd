/* SPDX-License-Identifier: MIT */
/* Where programs are. */
#include "proc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef COCOON_LIBEXECDIR
#define COCOON_LIBEXECDIR "/usr/local/libexec"
#endif

char *proc_find(const char *name)
{
	const char *path = getenv("PATH"), *p;

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	AUTO_FREE char *all = xasprintf("%s:/usr/local/sbin:/usr/sbin:/sbin",
	    path ? path : "/usr/local/bin:/usr/bin:/bin");
	for (p = all; *p; p += strcspn(p, ":"), p += *p == ':') {
		int len = (int)strcspn(p, ":");
		AUTO_FREE char *try = xasprintf("%.*s/%s", len, p, name);
		struct stat st;

		if (len > 0 && *p == '/' && stat(try, &st) == 0 &&
		    S_ISREG(st.st_mode) && access(try, X_OK) == 0)
			return xstrdup(try);
	}
	return NULL;
}

char *proc_helper(const char *name)
{
	const char *dir = getenv("COCOON_LIBEXEC");
	char exe[PATH_MAX];
	ssize_t n;
	char *slash;

	if (dir)
		return xasprintf("%s/%s", dir, name);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		*slash = '\0';
		AUTO_FREE char *beside = xasprintf("%s/libexec/%s", exe, name);
		if (access(beside, X_OK) == 0)
			return xstrdup(beside);
	}
	return xasprintf("%s/cocoon/%s", COCOON_LIBEXECDIR, name);
}
