/* SPDX-License-Identifier: MIT */
#include "confine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "scratch.h"
#include "tap.h"

#define UID 1900000777

/* sh -c SCRIPT below the plan; its stdout. */
static int confined(
    struct confine *c, const char *script, struct buf *out, struct err *err)
{
	AUTO_PROC struct proc p;

	proc_init(&p);
	strv_add(&p.argv, "/bin/sh");
	strv_add(&p.argv, "-c");
	strv_add(&p.argv, script);
	p.confine = confine_enter;
	p.confine_arg = c;
	return proc_run(&p, NULL, 0, out, 4096, 20000, err);
}

static void base(struct confine *c, struct err *err)
{
	is_int(confine_init(c, err), 0, "a plan");
	is_int(confine_allow_libraries(c, err), 0, "libraries");
	is_int(
	    confine_allow(c, "/bin", CONFINE_READ | CONFINE_EXEC, err) |
		confine_allow(c, "/usr/bin", CONFINE_READ | CONFINE_EXEC, err) |
		confine_allow(c, "/proc", CONFINE_READ, err) |
		confine_allow(
		    c, "/dev/null", CONFINE_READ | CONFINE_WRITE, err),
	    0, "programs");
}

static void is_denied(struct confine *c, const char *script)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	is_int(confined(c, script, &out, &err), -1, "denied: %s", script);
}

static void is_allowed(struct confine *c, const char *script)
{
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	is_int(confined(c, script, &out, &err), 0, "allowed: %s %s", script,
	    err.msg);
}

static void files(void)
{
	AUTO_CONFINE struct confine c;
	struct err err = {0};

	base(&c, &err);
	mkdir("yes", 0700);
	put_file("yes/file", "x");
	mkdir("look", 0700);
	put_file("look/file", "x");
	put_file("secret", "s");
	is_int(confine_allow(&c, "yes", CONFINE_READ | CONFINE_WRITE, &err), 0,
	    "yes: %s", err.msg);
	is_int(confine_allow(&c, "look", CONFINE_READ, &err), 0, "look");
	is_int(confine_allow(&c, "not-there", CONFINE_READ, &err), 0,
	    "what is not there is skipped");
	is_allowed(&c, "cat yes/file && echo y >yes/new && rm yes/new && "
		       "mkdir yes/d && mv yes/d yes/e && rmdir yes/e");
	is_allowed(&c, "cat look/file && ls look");
	is_denied(&c, "echo x >look/new");
	is_denied(&c, "echo x >look/file");
	is_denied(&c, "rm look/file");
	is_denied(&c, "cat secret");
	is_denied(&c, "cat yes/../secret");
	is_denied(&c, "cat /etc/passwd");
	is_denied(&c, "ls /etc");
	is_denied(
	    &c, "cp /bin/true yes/prog && chmod 700 yes/prog && yes/prog");
	is_denied(&c, "mknod yes/dev c 1 3");
}

static const char *field(struct buf *status, const char *name)
{
	static char value[100];
	char *at = strstr(status->data ? status->data : "", name);

	value[0] = '\0';
	if (at && sscanf(at + strlen(name), "\t%99[^\n]", value) != 1)
		value[0] = '\0';
	return value;
}

static void ids(void)
{
	AUTO_CONFINE struct confine c;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	base(&c, &err);
	confine_drop(&c, UID, UID + 1);
	confine_group(&c, 777);
	is_int(confined(&c, "cat /proc/self/status", &out, &err), 0,
	    "as another: %s", err.msg);
	is_str(field(&out, "Uid:"),
	    "1900000777\t1900000777\t1900000777\t1900000777", "all four uids");
	is_str(field(&out, "Gid:"),
	    "1900000778\t1900000778\t1900000778\t1900000778", "all four gids");
	is_str(field(&out, "Groups:"), "777 ", "groups");
	is_str(field(&out, "CapEff:"), "0000000000000000", "CapEff");
	is_str(field(&out, "CapPrm:"), "0000000000000000", "CapPrm");
	is_str(field(&out, "CapBnd:"), "0000000000000000", "CapBnd");
	is_str(field(&out, "CapAmb:"), "0000000000000000", "CapAmb");
	is_str(field(&out, "NoNewPrivs:"), "1", "NoNewPrivs");
	is_denied(&c, "setpriv --reuid 0 true");
}

/* A program below directories that its uid may not pass. */
static void out_of_reach(void)
{
	AUTO_CONFINE struct confine c;
	AUTO_PROC struct proc p;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};
	char path[4096], *dir = getcwd(path, sizeof(path) - 8);

	is_int(system("cp /bin/echo prog && chmod 700 . && chmod 755 prog"), 0,
	    "a program");
	base(&c, &err);
	confine_drop(&c, UID, UID);
	proc_init(&p);
	strv_addf(&p.argv, "%s/prog", dir ? dir : "");
	strv_add(&p.argv, "here");
	is_int(
	    confine_allow(&c, p.argv.v[0], CONFINE_READ | CONFINE_EXEC, &err),
	    0, "which landlock lets it read");
	p.confine = confine_enter;
	p.confine_arg = &c;
	is_int(proc_run(&p, NULL, 0, &out, 4096, 20000, &err), 0, "runs: %s",
	    err.msg);
	is_str(out.data, "here\n", "and is that one");
	is_int(chmod("prog", 0700), 0, "its own to others than root");
	is_int(
	    proc_run(&p, NULL, 0, &out, 4096, 20000, &err), -1, "does not run");
	is_int(err.sys, EACCES, "and why: %s", err.msg);
}

static void limits(void)
{
	AUTO_CONFINE struct confine c;
	AUTO_BUF struct buf out = {0};
	struct err err = {0};

	base(&c, &err);
	confine_limit(&c, RLIMIT_NOFILE, 17);
	confine_limit(&c, RLIMIT_CORE, 0);
	is_int(confined(&c, "ulimit -n; ulimit -c", &out, &err), 0, "limits");
	is_str(out.data, "17\n0\n", "are set");
}

int main(void)
{
	close(scratch());
	if (geteuid() != 0) {
		ok(true, "confine # skip root is missing");
		return done();
	}
	if (confine_landlock_abi() > 0)
		files();
	else
		ok(true, "files # skip the kernel has no landlock");
	out_of_reach();
	/* The scratch directory is 0700: ids() starts from the root. */
	if (chdir("/") == 0)
		ids();
	limits();
	return done();
}
