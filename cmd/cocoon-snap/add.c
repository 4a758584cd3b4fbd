/* SPDX-License-Identifier: MIT */
/*
 * add: what `cocoon-hv capture` wrote becomes a snapshot: its bytes made
 * durable, snap.json, the directory renamed into the store, its name. With
 * --release the VM that stands still meanwhile ends when that is so.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "snap.h"
#include "undo.h"

#define END_MS 30000

struct add_opts {
	const char *name, *description;
	bool release;
};

static const struct opt opts[] = {
    {.name = "name",
	.kind = OPT_STRING,
	.metavar = "NAME",
	.offset = offsetof(struct add_opts, name),
	.help = "its name; default: snap- and the id's first letters"},
    {.name = "description",
	.kind = OPT_STRING,
	.metavar = "TEXT",
	.offset = offsetof(struct add_opts, description),
	.help = "free text"},
    {.name = "release",
	.kind = OPT_FLAG,
	.offset = offsetof(struct add_opts, release),
	.help = "let the VM end that `capture --hold` holds"},
};

/* One at a time; the undo list points here. */
static struct adding {
	struct state st;
	struct doc_snap snap;
	char *from; /* the directory to take over; NULL: taken */
	int dir, all, names, hold;
	char name[64];
} adding;

static int undo_from(void *arg, struct err *err)
{
	struct adding *a = arg;

	return a->from ? tree_remove(AT_FDCWD, a->from, err) : 0;
}

static int undo_store(void *arg, struct err *err)
{
	struct adding *a = arg;

	return tree_remove(a->all, a->snap.id, err);
}

static int undo_name(void *arg, struct err *err)
{
	struct adding *a = arg;

	if (unlinkat(a->names, a->name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "snap-name/%s: unlink", a->name);
	return 0;
}

static int choose_name(struct adding *a, const char *wish, struct err *err)
{
	if (wish && state_check_snap_name(&a->st, wish, err) < 0)
		return -1;
	if (wish) {
		snprintf(a->name, sizeof(a->name), "%s", wish);
		return 0;
	}
	snprintf(a->name, sizeof(a->name), "snap-%.8s", a->snap.id);
	for (char *p = a->name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return 0;
}

/* The end of a path that only `capture` makes: .../s-ID, root's. */
static int open_captured(struct adding *a, struct err *err)
{
	const char *dir = a->snap.dir, *base = dir ? strrchr(dir, '/') : NULL;
	struct stat st;

	if (!base || dir[0] != '/' || strncmp(base, "/s-", 3) ||
	    strcmp(base + 3, a->snap.id))
		return err_set(err, ERR_INPUT,
		    ".snap.dir: is not what `cocoon-hv capture` writes");
	a->dir = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a->dir < 0 || fstat(a->dir, &st) < 0)
		return err_sys(err, errno, "%s: open", dir);
	if (st.st_uid != 0 || st.st_mode & 077)
		return err_set(
		    err, ERR_UNSUPPORTED, "%s: is not root's alone", dir);
	a->from = xstrdup(dir);
	undo_push(undo_from, a, "what was captured");
	return 0;
}

/* Before the rename, which moves the socket's name. */
static int take_hold(struct adding *a, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (!a->snap.hold)
		return err_set(err, ERR_INPUT,
		    ".snap.hold: missing: --release is for `cocoon-hv capture "
		    "--hold`");
	snprintf(
	    sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/hold", a->dir);
	a->hold = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->hold < 0 ||
	    connect(a->hold, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "hold: connect");
	if (unlinkat(a->dir, "hold", 0) < 0)
		return err_sys(err, errno, "hold: unlink");
	return 0;
}

static int write_manifest(
    struct adding *a, const struct json_object *doc, struct err *err)
{
	AUTO_JSON struct json_object *m = jval_object(),
				     *source = jval_object();
	AUTO_BUF struct buf text = {0};

	for (const struct jtable *const *t = doc_tables; *t; t++)
		if (*t != &doc_snap_table && jval_get(doc, (*t)->name))
			jval_set(source, (*t)->name,
			    jval_ref(jval_get(doc, (*t)->name)));
	jval_set_int(m, "v", 1);
	a->snap.dir = a->snap.hold = NULL;
	a->snap.name = a->name;
	a->snap.doc = source;
	doc_put(m, "snap", &doc_snap_table, &a->snap);
	a->snap.doc = NULL;
	jval_print(m, &text);
	buf_ch(&text, '\n');
	return file_replace(
	    a->dir, "snap.json", text.data, text.len, true, err);
}

/* On another file system (--run-dir): a copy, which is durable, too. */
static int copy_over(struct adding *a, struct err *err)
{
	const struct doc_file *f = a->snap.files.v;
	AUTO_FD int to = -1;

	if (mkdirat(a->all, a->snap.id, 0700) < 0)
		return err_sys(err, errno, "%s: mkdir", a->snap.id);
	undo_push(undo_store, a, "the snapshot");
	to = dir_open(a->all, a->snap.id, 0, err);
	for (size_t i = 0; to >= 0 && i < a->snap.files.n; i++)
		if (file_clone(a->dir, f[i].name, to, f[i].name, 0400, err) < 0)
			return -1;
	if (to < 0 ||
	    file_clone(a->dir, "snap.json", to, "snap.json", 0600, err) < 0 ||
	    snap_check(&a->snap, to, SNAP_SYNC, err) < 0)
		return -1;
	return tree_remove(AT_FDCWD, a->from, err);
}

static int move_over(struct adding *a, struct err *err)
{
	if (renameat(AT_FDCWD, a->from, a->all, a->snap.id) == 0) {
		undo_push(undo_store, a, "the snapshot");
	} else if (errno != EXDEV) {
		return err_sys(err, errno, "snap/%s: rename", a->snap.id);
	} else if (copy_over(a, err) < 0) {
		return -1;
	}
	free_ptr(&a->from);
	return fsync(a->all) < 0 ? err_sys(err, errno, "snap: fsync") : 0;
}

static int commit(struct adding *a, struct err *err)
{
	AUTO_FREE char *target = xasprintf("../snap/%s", a->snap.id);

	if (symlinkat(target, a->names, a->name) < 0)
		return err_sys(
		    err, errno, "snapshot name \"%s\": claim", a->name);
	undo_push(undo_name, a, "the name");
	if (fsync(a->names) < 0)
		return err_sys(err, errno, "snap-name: fsync");
	return 0;
}

/* As long as nobody was told, the snapshot can be undone. */
static int say_durable(struct adding *a, struct err *err)
{
	if (send(a->hold, "durable\n", 8, MSG_NOSIGNAL) != 8)
		return err_set(err, ERR_FAILED,
		    "who held the VM is gone: it runs on, and was not saved");
	return 0;
}

/* Whatever signals come. -1: a timeout. */
static ssize_t hear(int fd, char *answer, size_t size)
{
	struct pollfd p = {fd, POLLIN, 0};
	int64_t until = now_ms() + END_MS, left;
	ssize_t n;

	while ((left = until - now_ms()) > 0) {
		if (poll(&p, 1, (int)left) != 1)
			continue;
		n = recv(fd, answer, size - 1, 0);
		if (n >= 0 || errno != EINTR)
			return n > 0 ? n : 0;
	}
	return -1;
}

/* The VM ends, or its holder says why not. */
static int await_end(struct adding *a, struct err *err)
{
	char answer[300];
	ssize_t n = hear(a->hold, answer, sizeof(answer));

	if (n <= 0)
		return err_set(err, n < 0 ? ERR_TIMEOUT : ERR_FAILED,
		    "the snapshot %s is safe, but %s", a->name,
		    n < 0 ? "the VM has not ended within 30 seconds"
			  : "the VM runs on: who held it is gone");
	answer[n] = '\0';
	if (strcmp(answer, "ended\n"))
		return err_set(err, ERR_FAILED,
		    "the snapshot %s is safe, but the VM did not end: %s",
		    a->name, answer);
	return 0;
}

static int add_one(const struct add_opts *o, struct adding *a,
    struct json_object *doc, struct err *err)
{
	size_t files = a->snap.files.n;

	a->snap.description = o->description;
	if (!valid_id(a->snap.id) || !files)
		return err_set(err, ERR_INPUT,
		    ".snap: is not what `cocoon-hv capture` writes");
	if (open_captured(a, err) < 0 || choose_name(a, o->name, err) < 0 ||
	    (o->release && take_hold(a, err) < 0))
		return -1;
	a->all = state_dir(&a->st, "snap", true, err);
	a->names = state_dir(&a->st, "snap-name", true, err);
	if (a->all < 0 || a->names < 0 ||
	    snap_check(&a->snap, a->dir, SNAP_SYNC, err) < 0 ||
	    write_manifest(a, doc, err) < 0 || tool_check(err) < 0 ||
	    move_over(a, err) < 0)
		return -1;
	return commit(a, err);
}

static int add_document(
    const struct add_opts *o, struct json_object *doc, struct err *err)
{
	struct adding *a = &adding;
	size_t mark = undo_mark();
	int r;

	*a = (struct adding){
	    .st = STATE_NONE, .dir = -1, .all = -1, .names = -1, .hold = -1};
	if (doc_bind(doc, "snap", &doc_snap_table, &a->snap, err) < 0 ||
	    state_open(&a->st, true, err) < 0 ||
	    state_lock_shared(&a->st, err) < 0)
		return -1;
	r = add_one(o, a, doc, err);
	if (r == 0 && o->release)
		r = say_durable(a, err);
	if (r < 0)
		undo_run(mark);
	else
		undo_forget(mark);
	/* Safe is safe, whatever becomes of the VM. */
	if (r == 0 && o->release)
		r = await_end(a, err);
	if (r == 0) {
		AUTO_FREE char *dir =
		    xasprintf("%s/snap/%s", a->st.root, a->snap.id);

		a->snap.dir = dir;
		doc_put(doc, "snap", &doc_snap_table, &a->snap);
	}
	close_fd(&a->dir);
	close_fd(&a->all);
	close_fd(&a->names);
	close_fd(&a->hold);
	free_ptr(&a->from);
	state_close(&a->st);
	return r;
}

/* Who holds the VM waits for a word, or for the end of its reader. */
static void stop_reading(void)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		close(STDIN_FILENO);
	close_fd(&null);
}

static int add_filter(
    struct call *call, struct json_object *doc, struct err *err)
{
	const struct add_opts *o = call->opts;
	int r = add_document(o, doc, err);

	if (r < 0 && o->release)
		stop_reading();
	return r;
}

const struct verb verb_add = {
    .name = "add",
    .summary = "Keep what `cocoon-hv capture` has saved.",
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct add_opts),
    .emits = true,
    .changes = true,
    .filter = add_filter,
};
