/* SPDX-License-Identifier: MIT */
/*
 * The state directory: HACKING.md, "State on disk". The file system is the
 * database; there is no index.
 */
#ifndef COCOON_STATE_H
#define COCOON_STATE_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

struct json_object;

#define STATE_ID_LEN 26
#define STATE_ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

struct state {
	int root_fd; /* $root */
	int base_fd; /* where vm/ is: --run-dir, else $root */
	char *root;  /* absolute path, for messages and records */
	int lock_fd; /* of $root/lock once it was taken */
};

/*
 * Opens $root (COCOON_ROOT_DIR, else /var/lib/cocoon) and, with create, makes
 * it and its directories. Without create a missing root is fine: root_fd is
 * then -1 and nothing is found in it. Reading commands do not create.
 */
int state_open(struct state *st, bool create, struct err *err);
void state_close(struct state *st);
#define AUTO_STATE CLEANUP(state_close)
#define STATE_NONE                                          \
	{                                                   \
		.root_fd = -1, .base_fd = -1, .lock_fd = -1 \
	}

/*
 * The root lock. Creators hold it shared until they exit: an inherited
 * COCOON_LOCK_FD is used where there is one (and made CLOEXEC by tool_main).
 * gc takes it exclusive, up to timeout_ms (ERR_TIMEOUT).
 */
int state_lock_shared(struct state *st, struct err *err);
int state_lock_exclusive(struct state *st, int timeout_ms, struct err *err);
/* Before a fork of what outlives this command. */
void state_lock_forget(struct state *st);
/* True if the lock came from the dispatcher: the document is its. */
bool state_by_dispatcher(void);

/* A directory below the root (or the base), opened; ERR_NOTFOUND. */
int state_dir(struct state *st, const char *name, bool create, struct err *err);

/* A new random id: 26 characters of A-Z2-7, 130 bits. */
void state_new_id(char id[STATE_ID_LEN + 1]);

/*
 * VM of a reference: exact id, exact name, unique prefix of an id of at
 * least 3 characters. Only what a name points to exists. ERR_NOTFOUND
 * "vm X: not found", ERR_STATE when ambiguous.
 */
int state_find_vm(struct state *st, const char *ref, char id[STATE_ID_LEN + 1],
    struct err *err);
/* Opened; ERR_NOTFOUND. */
int state_vm_dir(struct state *st, const char *id, struct err *err);
/* Calls fn with (id, name) of every VM that a name points to. */
int state_each_vm(struct state *st,
    int (*fn)(const char *id, const char *name, void *arg), void *arg,
    struct err *err);
/* True if vm/ID is there and the name in its record points to it. */
bool state_vm_committed(struct state *st, const char *id);

/* The same for snapshots: snap/ID, snap-name/NAME, snap.json. */
/* A snapshot may be called so: -1 with ERR_USAGE, or ERR_STATE if one is. */
int state_check_snap_name(struct state *st, const char *name, struct err *err);
int state_find_snap(struct state *st, const char *ref,
    char id[STATE_ID_LEN + 1], struct err *err);
int state_snap_dir(struct state *st, const char *id, struct err *err);
int state_each_snap(struct state *st,
    int (*fn)(const char *id, const char *name, void *arg), void *arg,
    struct err *err);
bool state_snap_committed(struct state *st, const char *id);
/* snap/ID/snap.json, of a directory anywhere. */
struct json_object *state_manifest(
    int snap_fd, const char *id, struct err *err);

/*
 * Takes vm/ID/lock, waiting up to timeout_ms; checks that rm has not won
 * meanwhile (ERR_NOTFOUND). The lock is an OFD's: it ends with the returned
 * descriptor.
 */
int state_vm_lock(struct state *st, int vm_fd, const char *id, int timeout_ms,
    struct err *err);

/* vm/ID/vm.json. The caller owns the result. */
struct json_object *state_record(int vm_fd, const char *id, struct err *err);

/* Marks net/ID.json as the dispatcher's; a missing file is fine. */
int state_adopt_net(struct state *st, const char *id, struct err *err);

/* The host's, not one root's: /run/cocoon (COCOON_STATE_RUN), made. */
int state_host_dir(struct err *err);

#endif
