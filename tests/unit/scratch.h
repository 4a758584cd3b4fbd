/* SPDX-License-Identifier: MIT */
/* A directory of the test's own, removed when it exits. */
#ifndef COCOON_SCRATCH_H
#define COCOON_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_path[PATH_MAX];
static pid_t scratch_owner;

static inline int scratch_remove_one(
    const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void scratch_remove(void)
{
	if (getpid() == scratch_owner)
		nftw(
		    scratch_path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes it, enters it, returns a descriptor of it. */
static inline int scratch(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(scratch_path, sizeof(scratch_path), "%s/unit-XXXXXX",
	    base ? base : "/tmp");
	if (!mkdtemp(scratch_path) || chdir(scratch_path) < 0) {
		perror(scratch_path);
		exit(1);
	}
	scratch_owner = getpid();
	atexit(scratch_remove);
	return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A file with a text; mode 0600. */
static inline void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static inline void put_link(const char *to, const char *path)
{
	if (symlink(to, path) < 0) {
		perror(path);
		exit(1);
	}
}

#endif
