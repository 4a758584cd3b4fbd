/* SPDX-License-Identifier: MIT */
/*
 * /run/cocoon/slot/N: which VM of which root directory has uid
 * 1900000000 + N while it runs. Claimed by symlink(2). Stale when that VM is not
 * live, which only who holds that VM's lock can know for sure: a start that
 * has claimed and not yet started holds it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "hv.h"
#include "live.h"

int host_dir(const char *name, struct err *err)
{
	AUTO_FD int fd = state_host_dir(err);

	return fd < 0 ? -1 : dir_open(fd, name, 0700, err);
}

/* Where the run directories of this root are, as a slot names them. */
static void base_path(const struct state *st, char out[PATH_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", st->base_fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* A slot is a symlink to "ID PATH": made and read whole, or not there. */
static int read_slot(
    int slots, const char *name, char id[STATE_ID_LEN + 1], char path[PATH_MAX])
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(slots, name, text, sizeof(text) - 1);

	if (n < STATE_ID_LEN + 2)
		return -1;
	text[n] = '\0';
	memcpy(id, text, STATE_ID_LEN);
	id[STATE_ID_LEN] = '\0';
	snprintf(path, PATH_MAX, "%s", text + STATE_ID_LEN + 1);
	return valid_id(id) ? 0 : -1;
}

/*
 * True if the slot's VM does not run and nobody is starting it. *lock_fd is
 * its lock then, or -1 if the VM is gone: held until the slot is taken over.
 */
static bool is_stale(int slots, const char *name, int *lock_fd)
{
	char id[STATE_ID_LEN + 1], path[PATH_MAX];
	AUTO_FD int base = -1, vm = -1;
	AUTO_JSON struct json_object *doc = NULL;
	struct err ignored;

	if (read_slot(slots, name, id, path) < 0)
		return true;
	base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return true;
	AUTO_FREE char *sub = xasprintf("vm/%s", id);
	vm = openat(base, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (vm < 0)
		return true;
	*lock_fd = openat(vm, "lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (*lock_fd < 0 || flock(*lock_fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	doc = state_record(vm, id, &ignored);
	return !doc || !live_check(vm, (uint64_t)jval_int(jval_get(doc, "hv"),
					   "generation", 0))
			    .alive;
}

static int claim(
    const struct vm *vm, int slots, const char *name, struct err *err)
{
	char path[PATH_MAX];

	base_path(&vm->st, path);
	AUTO_FREE char *text = xasprintf("%s %s", vm->id, path);

	if (symlinkat(text, slots, name) < 0)
		return err_sys(err, errno, "slot %s: claim", name);
	return 0;
}

static bool is_ours(const struct vm *vm, int slots, const char *name)
{
	char id[STATE_ID_LEN + 1], path[PATH_MAX], own[PATH_MAX];

	base_path(&vm->st, own);
	return read_slot(slots, name, id, path) == 0 && !strcmp(id, vm->id) &&
	       !strcmp(path, own);
}

/* Where the search for a free slot begins: spread by the id. */
static unsigned int first_slot(const char *id)
{
	unsigned int h = 2166136261U;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619U;
	return h % SLOT_COUNT;
}

/* One taker at a time: between the look and the claim nothing changes. */
static bool take_over(
    const struct vm *vm, int slots, const char *name, struct err *err)
{
	AUTO_FD int lock = -1;
	bool taken;

	if (flock(slots, LOCK_EX) < 0)
		return false;
	taken = is_stale(slots, name, &lock) && unlinkat(slots, name, 0) == 0 &&
		claim(vm, slots, name, err) == 0;
	flock(slots, LOCK_UN);
	return taken;
}

int slot_claim(const struct vm *vm, uid_t *uid, struct err *err)
{
	AUTO_FD int slots = host_dir("slot", err);
	unsigned int at = first_slot(vm->id);

	if (slots < 0)
		return -1;
	for (unsigned int tries = 0; tries < SLOT_COUNT; tries++) {
		unsigned int n = (at + tries) % SLOT_COUNT;
		struct err e = {0};
		char name[16];

		snprintf(name, sizeof(name), "%u", n);
		*uid = SLOT_UID_BASE + n;
		if (claim(vm, slots, name, &e) == 0)
			return 0;
		if (e.code != ERR_STATE) {
			*err = e;
			return err_wrap(err, "slot");
		}
		if (is_ours(vm, slots, name) || take_over(vm, slots, name, &e))
			return 0;
	}
	return err_set(
	    err, ERR_FAILED, "no uid is free: %u VMs run", SLOT_COUNT);
}

void slot_release(const struct vm *vm, uid_t uid)
{
	struct err ignored;
	AUTO_FD int slots = -1;
	char name[16];

	if (uid < SLOT_UID_BASE || uid >= SLOT_UID_BASE + SLOT_COUNT)
		return;
	slots = host_dir("slot", &ignored);
	snprintf(name, sizeof(name), "%u", uid - SLOT_UID_BASE);
	if (slots >= 0 && is_ours(vm, slots, name))
		unlinkat(slots, name, 0);
}

int slot_gc(struct state *st, bool dry_run, struct err *err)
{
	int slots = host_dir("slot", err), count = 0;
	DIR *d = slots >= 0 ? fdopendir(slots) : NULL;
	char own[PATH_MAX];
	struct dirent *de;

	if (!d) {
		close_fd(&slots);
		return -1;
	}
	base_path(st, own);
	if (flock(slots, LOCK_EX) < 0)
		err_sys(err, errno, "slots: lock");
	while ((de = readdir(d))) {
		char id[STATE_ID_LEN + 1], path[PATH_MAX];
		AUTO_FD int lock = -1;

		if (de->d_name[0] == '.' ||
		    read_slot(slots, de->d_name, id, path) < 0 ||
		    strcmp(path, own) || !is_stale(slots, de->d_name, &lock))
			continue;
		if (!dry_run)
			unlinkat(slots, de->d_name, 0);
		count++;
	}
	closedir(d);
	return count;
}
