/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "scratch.h"
#include "tap.h"

static int dir;

static void is_content(int fd, const char *name, const char *want)
{
	AUTO_BUF struct buf b = {0};
	struct err err = {0};

	is_int(file_read(fd, name, &b, 1 << 20, &err), 0, "read %s: %s", name,
	    err.msg);
	is_str(b.data, want, "content of %s", name);
}

/* Names in a directory, without . and .. */
static int entries(const char *path)
{
	AUTO_FREE char *cmd = xasprintf("ls -A '%s' | wc -l", path);
	FILE *p = popen(cmd, "re");
	int n = -1;

	if (!p || fscanf(p, "%d", &n) != 1)
		n = -1;
	if (p)
		pclose(p);
	return n;
}

static void replace(void)
{
	struct err err = {0};
	struct stat st;

	mkdir("r", 0700);
	AUTO_FD int r = dir_open(dir, "r", 0, &err);

	is_int(file_replace(r, "a", "one", 3, true, &err), 0, "new file");
	is_content(r, "a", "one");
	is_int(file_replace(r, "a", "2", 1, false, &err), 0, "replaced");
	is_content(r, "a", "2");
	fstatat(r, "a", &st, 0);
	is_int(st.st_mode & 07777, 0600, "mode");
	is_int(entries("r"), 1, "no temporary is left");
	put_file("r/target", "t");
	put_link("target", "r/link");
	is_int(file_replace(r, "link", "new", 3, false, &err), 0, "a link");
	is_content(r, "link", "new");
	is_content(r, "target", "t");
	mkdirat(r, "d", 0700);
	is_int(file_replace(r, "d", "x", 1, false, &err), -1, "a directory");
	is_int(entries("r"), 4, "no temporary is left after that");
}

static void claim(void)
{
	struct err err = {0};

	mkdir("c", 0700);
	AUTO_FD int c = dir_open(dir, "c", 0, &err);

	is_int(file_claim(c, "a", "1", 1, true, &err), 0, "claimed");
	is_int(file_claim(c, "a", "2", 1, true, &err), -1, "claimed twice");
	is_int(err.code, ERR_STATE, "code");
	is_int(err.sys, EEXIST, "errno");
	is_content(c, "a", "1");
	put_link("nowhere", "c/dangling");
	is_int(file_claim(c, "dangling", "2", 1, false, &err), -1,
	    "a dangling link is a name, too");
	is_int(entries("c"), 2, "no temporary is left");
}

static void reading(void)
{
	AUTO_BUF struct buf b = {0};
	struct err err = {0};

	put_file("ten", "0123456789");
	is_int(file_read(dir, "ten", &b, 10, &err), 0, "as large as allowed");
	is_int(file_read(dir, "ten", &b, 9, &err), -1, "too large");
	is_int(file_read(dir, "none", &b, 9, &err), -1, "none");
	is_int(err.code, ERR_NOTFOUND, "none: code");
	put_link("ten", "ten-link");
	is_int(file_read(dir, "ten-link", &b, 99, &err), -1, "symlink");
	mkfifo("fifo", 0600);
	is_int(file_read(dir, "fifo", &b, 99, &err), -1,
	    "a FIFO neither blocks nor counts as a file");
	is_int(file_read(dir, ".", &b, 99, &err), -1, "a directory");
}

static void beneath(void)
{
	static const char *const refused[] = {"..", "../x", "b/../../x",
	    "/etc/passwd", "up/etc/passwd", "abs", "b/self/in", "b/in-link"};
	struct err err = {0};

	mkdir("b", 0700);
	mkdir("b/b", 0700);
	put_file("b/b/in", "in");
	put_link("../..", "b/up");
	put_link("/etc/passwd", "b/abs");
	put_link(".", "b/b/self");
	put_link("in", "b/b/in-link");
	AUTO_FD int b = dir_open(dir, "b", 0, &err);
	AUTO_FD int fd = open_beneath(b, "b/in", O_RDONLY, 0, &err);

	ok(fd >= 0, "a plain path");
	ok(fcntl(fd, F_GETFD) & FD_CLOEXEC, "is CLOEXEC");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		is_int(open_beneath(b, refused[i], O_RDONLY, 0, &err), -1,
		    "refused: %s", refused[i]);
	is_int(open_beneath(b, "up/new", O_CREAT | O_WRONLY, 0600, &err), -1,
	    "no file is made through a link");
	AUTO_FD int made =
	    open_beneath(b, "b/new", O_CREAT | O_EXCL | O_WRONLY, 0640, &err);
	ok(made >= 0, "a file is made: %s", err.msg);
}

static void dirs(void)
{
	struct err err = {0};
	AUTO_FD int a = dir_open(dir, "dd", 0700, &err);
	AUTO_FD int again = dir_open(dir, "dd", 0700, &err);

	ok(a >= 0 && again >= 0, "made, then opened");
	is_int(dir_open(dir, "no-dir", 0, &err), -1, "not made unasked");
	is_int(err.code, ERR_NOTFOUND, "code");
	put_link("dd", "dd-link");
	is_int(dir_open(dir, "dd-link", 0700, &err), -1, "no symlink");
	put_file("dd-file", "");
	is_int(dir_open(dir, "dd-file", 0700, &err), -1, "no file");
}

static void removing(void)
{
	struct err err = {0};

	mkdir("outside", 0700);
	put_file("outside/keep", "k");
	mkdir("tree", 0700);
	mkdir("tree/a", 0700);
	mkdir("tree/a/b", 0);
	put_file("tree/a/f", "f");
	put_link("../outside", "tree/dir-link");
	put_link("../../outside/keep", "tree/a/file-link");
	put_link("tree", "tree/loop");
	put_link("/", "tree/a/root");
	mkfifo("tree/a/fifo", 0600);
	is_int(tree_remove(dir, "tree", &err), 0, "a tree: %s", err.msg);
	is_int(access("tree", F_OK), -1, "is gone");
	is_content(dir, "outside/keep", "k");
	is_int(tree_remove(dir, "tree", &err), 0, "a tree that is not there");
	put_link("outside", "link");
	is_int(tree_remove(dir, "link", &err), 0, "a link");
	is_content(dir, "outside/keep", "k");
	put_file("plain", "");
	is_int(tree_remove(dir, "plain", &err), 0, "a file");
	is_int(access("plain", F_OK), -1, "is gone");
}

/* An archive may nest deeper than there are descriptors. */
static void removing_deep(void)
{
	struct rlimit was, few = {64, 64};
	struct err err = {0};
	int at = dir_open(dir, "deep", 0700, &err), levels = 0;

	getrlimit(RLIMIT_NOFILE, &was);
	few.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);

	for (; at >= 0 && levels < 3000; levels++) {
		int next;

		mkdirat(at, "sub", 0700);
		if (levels % 100 == 0)
			mkdirat(at, "side", 0700);
		next = openat(at, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	close(at);
	is_int(levels, 3000, "3000 levels");
	is_int(tree_remove(dir, "deep", &err), 0, "are removed: %s", err.msg);
	is_int(access("deep", F_OK), -1, "and gone");
	setrlimit(RLIMIT_NOFILE, &was);
}

/* In a child with mounts of its own. */
static int removing_mounts(void)
{
	struct err err = {0};

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdir("m", 0700);
	mkdir("m/bind", 0700);
	mkdir("m/tmpfs", 0700);
	if (mount("outside", "m/bind", NULL, MS_BIND, NULL) < 0)
		return 77;
	if (tree_remove(dir, "m", &err) == 0 || access("outside/keep", F_OK))
		return 1;
	umount2("m/bind", MNT_DETACH);
	if (mount("tmpfs", "m/tmpfs", "tmpfs", 0, NULL) < 0)
		return 77;
	put_file("m/tmpfs/keep", "");
	if (tree_remove(dir, "m", &err) == 0 || access("m/tmpfs/keep", F_OK))
		return 2;
	umount2("m/tmpfs", MNT_DETACH);
	return tree_remove(dir, "m", &err) == 0 ? 0 : 3;
}

static void mounts(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(removing_mounts());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		ok(true, "mounts # skip no right to mount");
	else
		is_int(status, 0, "what is mounted in a tree is not removed");
}

static void cloning(void)
{
	AUTO_FD int fd = open("sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	AUTO_FREE char *data = xcalloc(1, 100000);
	struct stat a, b;
	struct err err = {0};

	memset(data, 'd', 100000);
	if (ftruncate(fd, 64 << 20) < 0 ||
	    pwrite(fd, data, 100000, 8 << 20) != 100000 ||
	    pwrite(fd, data, 7, (40 << 20) + 3) != 7)
		ok(false, "a sparse file");
	ok(file_clone(dir, "sparse", dir, "copy", 0640, &err) >= FILE_REFLINK,
	    "clone: %s", err.msg);
	stat("sparse", &a);
	stat("copy", &b);
	is_int(b.st_size, a.st_size, "the same size");
	ok(b.st_blocks <= a.st_blocks + 64, "holes stay holes");
	is_int(b.st_mode & 07777, 0640, "the mode asked for");
	ok(b.st_ino != a.st_ino, "bytes of its own");
	is_int(system("cmp sparse copy"), 0, "the same bytes");
	is_int(file_clone(dir, "sparse", dir, "copy", 0600, &err), -1,
	    "nothing is overwritten");
	is_int(err.code, ERR_STATE, "code");
	is_int(file_link_or_copy(dir, "sparse", dir, "hard", 0600, &err),
	    FILE_LINK, "hard link");
	is_int(file_link_or_copy(dir, "sparse", dir, "hard", 0600, &err), -1,
	    "a link overwrites nothing");
	is_int(file_link_or_copy(dir, "nix", dir, "hard2", 0600, &err), -1,
	    "no source");
	is_int(err.code, ERR_NOTFOUND, "code");
}

/* To another file system, where neither links nor copy_file_range go. */
static void cloning_far(void)
{
	char far[] = "/dev/shm/unit-XXXXXX";
	struct err err = {0};
	struct stat a, b;

	if (!mkdtemp(far) || stat(far, &a) < 0 || stat(".", &b) < 0 ||
	    a.st_dev == b.st_dev) {
		ok(true, "far clone # skip no second file system");
		return;
	}
	AUTO_FD int to = open(far, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE char *cmd = xasprintf("cmp sparse %s/copy", far);

	is_int(file_link_or_copy(dir, "sparse", to, "copy", 0400, &err),
	    FILE_COPY, "to another file system: %s", err.msg);
	is_int(system(cmd), 0, "the same bytes there");
	ok(fstatat(to, "copy", &b, 0) == 0 && b.st_blocks < 4096,
	    "holes stay holes there");
	unlinkat(to, "copy", 0);
	rmdir(far);
}

#define MIB (1 << 20)

/* 8 MiB and 100 bytes, of which the first `data` MiB and 7 bytes in the middle
 * are no zeros; not a hole in it. */
static void dense(const char *name, size_t data, struct stat *st)
{
	AUTO_FD int fd =
	    open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	AUTO_FREE char *bytes = xcalloc(1, 8 * MIB + 100);

	memset(bytes, 'd', data * MIB);
	memset(bytes + 5 * MIB + 12, 'd', 7);
	ok(write_all(fd, bytes, 8 * MIB + 100) == 0 && fsync(fd) == 0 &&
		fstat(fd, st) == 0,
	    "a dense file");
}

static void sparse_case(
    const char *name, size_t data, bool replaced, const char *how)
{
	AUTO_FREE char *cmd = xasprintf("cmp %s before", name);
	struct err err = {0};
	struct stat a, b;

	dense("before", data, &a);
	dense(name, data, &a);
	is_int(file_make_sparse(dir, name, false, &err), 0, "%s: %s", how,
	    err.msg);
	stat(name, &b);
	is_int(b.st_size, a.st_size, "%s: the same size", how);
	is_int(b.st_mode, a.st_mode, "%s: the same mode", how);
	is_int(system(cmd), 0, "%s: the same bytes", how);
	ok(b.st_blocks * 512 < (off_t)(data * MIB) + 64 * 1024,
	    "%s: zeros are holes: %lld blocks", how, (long long)b.st_blocks);
	ok((b.st_ino != a.st_ino) == replaced, "%s: its file", how);
}

static void sparse(void)
{
	const struct rlimit small = {MIB, RLIM_INFINITY};
	struct rlimit was;
	struct stat a, b;
	struct err err = {0};

	sparse_case("empty", 0, true, "nearly all zeros");
	sparse_case("some", 1, true, "mostly zeros");
	sparse_case("half", 3, false, "zeros among data");
	/* As on a full disk: no second file can be made. */
	getrlimit(RLIMIT_FSIZE, &was);
	dense("before", 0, &a);
	dense("stays", 0, &a);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	is_int(file_make_sparse(dir, "stays", true, &err), 0, "no room: %s",
	    err.msg);
	setrlimit(RLIMIT_FSIZE, &was);
	stat("stays", &b);
	ok(b.st_ino == a.st_ino && b.st_blocks < 128, "no room: punched out");
	is_int(system("cmp stays before && ! ls -A | grep stays."), 0,
	    "no room: the same bytes, nothing left");
	/* Nothing to do. */
	dense("before", 8, &a);
	is_int(file_make_sparse(dir, "before", false, &err), 0, "no zeros: %s",
	    err.msg);
	stat("before", &b);
	ok(b.st_ino == a.st_ino && b.st_blocks >= 8 * MIB / 512,
	    "no zeros: as it was");
	close(open("nothing", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	is_int(file_make_sparse(dir, "nothing", false, &err), 0, "no bytes");
	is_int(file_make_sparse(dir, "nix", false, &err), -1, "no file");
	is_int(err.code, ERR_NOTFOUND, "code");
}

static void locks(void)
{
	AUTO_FD int a = open("lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	AUTO_FD int b = open("lock", O_RDONLY | O_CLOEXEC);
	struct err err = {0};

	is_int(file_lock(a, LOCK_SH, 0, "x", &err), 0, "shared");
	is_int(file_lock(b, LOCK_SH, 0, "x", &err), 0, "shared twice");
	is_int(file_lock(b, LOCK_EX, 0, "x", &err), -1, "not exclusive");
	is_int(err.code, ERR_TIMEOUT, "code");
	is_str(err.msg, "x: lock: held by another command", "message");
	is_int(file_lock(b, LOCK_EX, 30, "x", &err), -1, "nor after a while");
	close_fd(&a);
	is_int(file_lock(b, LOCK_EX, -1, "x", &err), 0, "then exclusive");
	is_int(a, -1, "close_fd resets");
}

int main(void)
{
	dir = scratch();
	replace();
	claim();
	reading();
	beneath();
	dirs();
	removing();
	mounts();
	removing_deep();
	cloning();
	cloning_far();
	sparse();
	locks();
	is_int(take_fd(&dir) >= 0 && dir == -1, 1, "take_fd");
	return done();
}
