/* SPDX-License-Identifier: MIT */
/*
 * snap/ID is a snapshot: snap.json, which names every other file, the state of
 * the hypervisor, the disks, and links to the files of the image. The symlink
 * in snap-name/ is the commit, as with VMs. Who reads a snapshot holds a shared
 * flock on the directory, so that rm waits for a clone that copies from it.
 */
#ifndef COCOON_SNAP_H
#define COCOON_SNAP_H

#include "doc.h"
#include "state.h"
#include "tool.h"

struct snap {
	struct state st;
	int fd; /* the directory */
	char id[STATE_ID_LEN + 1];
	char *dir; /* its absolute path */
	struct json_object *doc;
	struct doc_snap snap; /* snap.dir is set */
};
#define SNAP_NONE                          \
	{                                  \
		.st = STATE_NONE, .fd = -1 \
	}

int snap_open(struct snap *s, const char *ref, struct err *err);
/* A directory anywhere: a copy of one, say. */
int snap_open_dir(struct snap *s, const char *path, struct err *err);
void snap_close(struct snap *s);
#define AUTO_SNAP CLEANUP(snap_close)

/* Every file is there, plain, root's, as long as it was. */
enum snap_check {
	SNAP_WHOLE,
	SNAP_SYNC, /* made durable, too */
	SNAP_LOAD, /* the image's may be missing: they can be had elsewhere */
};
int snap_check(
    const struct doc_snap *snap, int dir, enum snap_check how, struct err *err);

extern const struct verb verb_add, verb_get, verb_list, verb_inspect,
    verb_verify, verb_rm, verb_gc, verb_doctor;

#endif
