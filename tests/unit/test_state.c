/* SPDX-License-Identifier: MIT */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doc.h"
#include "file.h"
#include "scratch.h"
#include "tap.h"

#define ID1 "ABCDEFGHIJKLMNOPQRSTUVWX22"
#define ID2 "ABCDEFGHIJKLMNOPQRSTUVWX33"
#define ID3 "ZZZDEFGHIJKLMNOPQRSTUVWX22"

static void make_vm(const char *id, const char *name, bool named)
{
	AUTO_FREE char *dir = xasprintf("root/vm/%s", id);
	AUTO_FREE char *file = xasprintf("root/vm/%s/vm.json", id);
	AUTO_FREE char *text = xasprintf(
	    "{\"v\":1,\"vm\":{\"id\":\"%s\",\"name\":\"%s\"}}\n", id, name);
	AUTO_FREE char *link = xasprintf("root/vm-name/%s", name);
	AUTO_FREE char *to = xasprintf("../vm/%s", id);

	mkdir("root/vm", 0700);
	mkdir("root/vm-name", 0700);
	mkdir(dir, 0700);
	put_file(file, text);
	if (named)
		put_link(to, link);
}

static void ids(void)
{
	char a[STATE_ID_LEN + 1], b[STATE_ID_LEN + 1];
	bool good = true;

	for (int i = 0; i < 200; i++) {
		state_new_id(a);
		good &= valid_id(a);
	}
	ok(good, "200 new ids are ids");
	state_new_id(b);
	ok(strcmp(a, b), "no two are the same");
}

static void no_root(void)
{
	AUTO_STATE struct state st = STATE_NONE;
	char id[STATE_ID_LEN + 1];
	struct err err = {0};

	is_int(state_open(&st, false, &err), 0, "no root is no error");
	is_int(st.root_fd, -1, "and no descriptor");
	is_int(access("root", F_OK), -1, "reading makes nothing");
	is_int(state_find_vm(&st, "web", id, &err), -1, "nothing in it");
	is_int(err.code, ERR_NOTFOUND, "code");
	setenv("COCOON_ROOT_DIR", "relative", 1);
	AUTO_STATE struct state rel = STATE_NONE;
	is_int(state_open(&rel, true, &err), -1, "a relative root");
	is_int(err.code, ERR_USAGE, "code");
}

static void finding(struct state *st)
{
	static const struct {
		const char *ref, *id;
		enum err_code code;
	} cases[] = {
	    {ID1, ID1, 0}, {"web", ID1, 0}, {"ZZZ", ID3, 0}, {"ZZZD", ID3, 0},
	    {"ZZ", NULL, ERR_NOTFOUND}, {"zzz", NULL, ERR_NOTFOUND},
	    {"ABC", NULL, ERR_STATE}, {"ABCDEFGHIJKLMNOPQRSTUVWX3", ID2, 0},
	    {"none", NULL, ERR_NOTFOUND}, {"", NULL, ERR_NOTFOUND},
	    {"../vm/" ID1, NULL, ERR_NOTFOUND}, {".", NULL, ERR_NOTFOUND},
	    {"unnamed", NULL, ERR_NOTFOUND},
	    {"YYYDEFGHIJKLMNOPQRSTUVWX22", NULL, ERR_NOTFOUND},
	    {"wild", NULL, ERR_NOTFOUND},
	    {"ABCDEF", ID3, 0}, /* a name wins over a prefix */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[STATE_ID_LEN + 1] = "";
		struct err err = {0};
		int r = state_find_vm(st, cases[i].ref, id, &err);

		is_int(r, cases[i].id ? 0 : -1, "find \"%s\": %s", cases[i].ref,
		    err.msg);
		if (cases[i].id)
			is_str(id, cases[i].id, "id of \"%s\"", cases[i].ref);
		else
			is_int(err.code, cases[i].code, "code of \"%s\"",
			    cases[i].ref);
	}
}

static int count_vm(const char *id, const char *name, void *arg)
{
	(void)id;
	(void)name;
	return ++*(int *)arg == 2 ? 5 : 0;
}

static int count_all(const char *id, const char *name, void *arg)
{
	(void)id;
	(void)name;
	++*(int *)arg;
	return 0;
}

static void vms(void)
{
	AUTO_STATE struct state st = STATE_NONE;
	struct err err = {0};
	int n = 0;

	make_vm(ID1, "web", true);
	make_vm(ID2, "db", true);
	make_vm(ID3, "ABCDEF", true);
	make_vm("YYYDEFGHIJKLMNOPQRSTUVWX22", "unnamed", false);
	put_link("/etc", "root/vm-name/wild");
	is_int(state_open(&st, false, &err), 0, "open");
	finding(&st);
	is_int(state_each_vm(&st, count_all, &n, &err), 0, "each");
	is_int(n, 3, "only what a name points to");
	n = 0;
	is_int(state_each_vm(&st, count_vm, &n, &err), 5, "each stops");
	ok(state_vm_committed(&st, ID1), "committed");
	ok(!state_vm_committed(&st, "YYYDEFGHIJKLMNOPQRSTUVWX22"),
	    "a directory without a name is not");
	ok(!state_vm_committed(&st, "XXXDEFGHIJKLMNOPQRSTUVWX22"),
	    "nor one that is not there");
}

static void root_locks(void)
{
	AUTO_STATE struct state a = STATE_NONE, b = STATE_NONE;
	struct err err = {0};

	state_open(&a, true, &err);
	state_open(&b, true, &err);
	is_int(state_lock_shared(&a, &err), 0, "shared");
	is_int(state_lock_shared(&b, &err), 0, "shared twice");
	is_int(state_lock_exclusive(&b, 20, &err), -1, "not exclusive then");
	is_int(err.code, ERR_TIMEOUT, "code");
	state_close(&a);
	is_int(state_lock_exclusive(&b, 0, &err), 0, "exclusive: %s", err.msg);
}

/* The dispatcher's descriptor keeps the lock when a stage has ended. */
static void inherited_lock(void)
{
	AUTO_STATE struct state a = STATE_NONE, gc = STATE_NONE;
	AUTO_FD int fd = open("root/lock", O_RDONLY | O_CREAT, 0600);
	AUTO_FD int other = open("root/vm", O_RDONLY);
	struct err err = {0};
	char text[16];

	snprintf(text, sizeof(text), "%d", fd);
	setenv("COCOON_LOCK_FD", text, 1);
	ok(state_by_dispatcher(), "a descriptor came from outside");
	state_open(&a, true, &err);
	is_int(state_lock_shared(&a, &err), 0, "shared through it");
	is_int(a.lock_fd, -1, "no descriptor of its own");
	state_close(&a);
	state_open(&gc, true, &err);
	is_int(state_lock_exclusive(&gc, 0, &err), -1, "held beyond the stage");
	close_fd(&fd);
	is_int(state_lock_exclusive(&gc, 0, &err), 0, "free with the last");
	state_close(&gc);
	snprintf(text, sizeof(text), "%d", other);
	setenv("COCOON_LOCK_FD", text, 1);
	state_open(&a, true, &err);
	is_int(state_lock_shared(&a, &err), 0, "a descriptor of another file");
	ok(a.lock_fd >= 0, "is not taken for the lock");
	unsetenv("COCOON_LOCK_FD");
	ok(!state_by_dispatcher(), "none from outside");
}

static void vm_locks(void)
{
	AUTO_STATE struct state st = STATE_NONE;
	AUTO_FD int vm = -1, held = -1, again = -1;
	struct err err = {0};

	state_open(&st, false, &err);
	vm = state_vm_dir(&st, ID1, &err);
	ok(vm >= 0, "vm/ID: %s", err.msg);
	held = state_vm_lock(&st, vm, ID1, 0, &err);
	ok(held >= 0, "lock: %s", err.msg);
	is_int(state_vm_lock(&st, vm, ID1, 20, &err), -1, "a second");
	is_int(err.code, ERR_TIMEOUT, "code");
	close_fd(&held);
	/* rm wins while we hold a descriptor of the directory. */
	rename("root/vm/" ID1, "root/removed");
	is_int(state_vm_lock(&st, vm, ID1, 20, &err), -1, "removed meanwhile");
	is_int(err.code, ERR_NOTFOUND, "code");
	mkdir("root/vm/" ID1, 0700);
	put_file("root/vm/" ID1 "/vm.json", "{}");
	is_int(
	    state_vm_lock(&st, vm, ID1, 20, &err), -1, "another by its name");
	is_int(err.code, ERR_NOTFOUND, "code");
	rename("root/vm/" ID2 "/vm.json", "root/vm/" ID2 "/gone");
	again = state_vm_dir(&st, ID2, &err);
	is_int(state_vm_lock(&st, again, ID2, 20, &err), -1, "its record gone");
	is_int(err.code, ERR_NOTFOUND, "code");
}

static void records(void)
{
	AUTO_STATE struct state st = STATE_NONE;
	AUTO_JSON struct json_object *doc = NULL, *bad = NULL;
	AUTO_FD int vm = -1;
	AUTO_BUF struct buf b = {0};
	struct err err = {0};

	state_open(&st, false, &err);
	vm = state_vm_dir(&st, ID3, &err);
	doc = state_record(vm, ID3, &err);
	is_str(jval_str(jval_get(doc, "vm"), "name"), "ABCDEF", "the record");
	put_file("root/vm/" ID3 "/vm.json", "{\"v\":1,}");
	bad = state_record(vm, ID3, &err);
	ok(!bad, "a broken record");
	ok(!strncmp(err.msg, "vm " ID3 ": vm.json: ", 39), "names it: %s",
	    err.msg);
	is_int(state_adopt_net(&st, ID3, &err), 0, "no network to adopt");
	mkdir("root/net", 0700);
	put_file(
	    "root/net/" ID3 ".json", "{\"v\":1,\"net\":{\"by\":\"hand\"}}");
	is_int(state_adopt_net(&st, ID3, &err), 0, "adopt: %s", err.msg);
	file_read(AT_FDCWD, "root/net/" ID3 ".json", &b, 1000, &err);
	is_str(b.data, "{\"v\":1,\"net\":{\"by\":\"cocoon\"}}\n", "adopted");
	put_file("root/net/" ID3 ".json", "{\"v\":1}");
	is_int(state_adopt_net(&st, ID3, &err), -1, "a record without net");
}

int main(void)
{
	AUTO_FREE char *root = NULL;
	struct err err = {0};

	close(scratch());
	unsetenv("COCOON_RUN_DIR");
	unsetenv("COCOON_LOCK_FD");
	root = xasprintf("%s/root", scratch_path);
	setenv("COCOON_ROOT_DIR", root, 1);
	ids();
	no_root();
	setenv("COCOON_ROOT_DIR", root, 1);
	AUTO_STATE struct state st = STATE_NONE;
	is_int(state_open(&st, true, &err), 0, "made: %s", err.msg);
	vms();
	root_locks();
	inherited_lock();
	vm_locks();
	records();
	return done();
}
