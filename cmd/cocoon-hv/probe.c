/* SPDX-License-Identifier: MIT */
/*
 * What is found out once per host: versions of binaries, and whether KVM runs
 * a stock kernel (its presence says nothing: nested and para-virtualised
 * hosts have one that interprets guests). Cached in /run/cocoon/cache.
 */
#ifdef __x86_64__
#include <cpuid.h>
#endif
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "disks.h"
#include "file.h"
#include "hv.h"
#include "log.h"
#include "proc.h"

#define PROBE_MS 3000
#define PROBE_UID (SLOT_UID_BASE + SLOT_COUNT) /* of no VM */

static int cache_get(const char *key, struct buf *out)
{
	struct err ignored;
	AUTO_FD int dir = host_dir("cache", &ignored);

	return dir >= 0 && faccessat(dir, key, F_OK, 0) == 0
		   ? file_read(dir, key, out, 4096, &ignored)
		   : -1;
}

static void cache_put(const char *key, const char *text)
{
	struct err ignored;
	AUTO_FD int dir = host_dir("cache", &ignored);

	if (dir >= 0 &&
	    file_replace(dir, key, text, strlen(text), false, &ignored) < 0)
		log_debug("cache %s: %s", key, ignored.msg);
}

/* A binary by what changes when it does. */
static int binary_key(
    const char *what, const char *path, char out[120], struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(err, errno, "%s: stat", path);
	snprintf(out, 120, "%s-%llx-%llx-%llx.%lx-%llx", what,
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
	    (unsigned long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
	    (unsigned long long)st.st_size);
	return 0;
}

/* Copies the version number that follows pattern. */
static int cut_version(const char *text, const char *pattern, char out[64])
{
	const char *p = strstr(text, pattern);
	size_t n;

	if (!p)
		return -1;
	p += strlen(pattern);
	n = strcspn(p, " \n\t(,");
	if (!n || n > 63 || !isdigit((unsigned char)*p))
		return -1;
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

uint64_t host_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

unsigned int host_address_bits(void)
{
#ifdef __x86_64__
	unsigned int a = 0, b, c, d;

	/* Intel's manual, CPUID: 80000008H, EAX. */
	if (__get_cpuid(0x80000008, &a, &b, &c, &d) && (a & 0xff))
		return a & 0xff;
#endif
	return 36;
}

int probe_version(
    const char *binary, const char *pattern, char out[64], struct err *err)
{
	AUTO_BUF struct buf text = {0};
	AUTO_PROC struct proc p = PROC_NONE;
	char key[120];

	if (binary_key("version", binary, key, err) < 0)
		return -1;
	if (cache_get(key, &text) == 0 &&
	    cut_version(text.data, pattern, out) == 0)
		return 0;
	strv_add(&p.argv, binary);
	strv_add(&p.argv, "--version");
	if (proc_run(&p, NULL, 0, &text, 4096, 10000, err) < 0)
		return -1;
	if (!text.data || cut_version(text.data, pattern, out) < 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s --version: says \"%.60s\": not understood", binary,
		    text.data ? text.data : "");
	cache_put(key, text.data);
	return 0;
}

bool probe_node(const char *path, gid_t *group)
{
	struct stat st;

	*group = (gid_t)-1;
	if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode))
		return false;
	if ((st.st_mode & 06) == 06)
		return true;
	if ((st.st_mode & 060) != 060 || st.st_gid == 0)
		return false;
	*group = st.st_gid;
	return true;
}

/* What QEMU said in place of the kernel, for people. */
static void explain(const struct buf *text, bool ended, char why[200])
{
	const char *line = text->len ? text->data : "";

	if (!ended)
		snprintf(why, 200,
		    "a stock kernel said nothing on /dev/kvm within %d s",
		    PROBE_MS / 1000);
	else
		snprintf(why, 200, "QEMU ended at once: %.*s",
		    (int)strcspn(line, "\r\n"), line);
}

/* Reads the guest's console until it shows a kernel, or time is up. */
static bool kernel_speaks(int fd, pid_t pid, char why[200])
{
	AUTO_BUF struct buf text = {0};
	int64_t until = now_ms() + PROBE_MS;
	bool found = false, ended = false;

	while (!found && !ended && now_ms() < until) {
		char chunk[512];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n > 0) {
			buf_add(&text, chunk, (size_t)n);
			found = memmem(text.data, text.len, "Linux version",
				    13) != NULL;
		} else if (n == 0) {
			ended = true;
		} else {
			sleep_ms(5);
		}
	}
	if (!found)
		explain(&text, ended, why);
	kill(pid, SIGKILL); /* our child, not yet waited for */
	waitpid(pid, NULL, 0);
	return found;
}

static int confine_probe(struct confine *c, const char *qemu,
    const char *kernel, gid_t kvm, struct err *err)
{
	if (confine_init(c, err) < 0 || confine_allow_libraries(c, err) < 0 ||
	    confine_allow(c, qemu, CONFINE_READ | CONFINE_EXEC, err) < 0 ||
	    confine_allow(c, "/usr/share", CONFINE_READ, err) < 0 ||
	    confine_allow(c, kernel, CONFINE_READ, err) < 0 ||
	    confine_allow(c, "/dev/kvm",
		CONFINE_READ | CONFINE_WRITE | CONFINE_IOCTL, err) < 0)
		return -1;
	confine_drop(c, PROBE_UID, PROBE_UID);
	if (kvm != (gid_t)-1)
		confine_group(c, kvm);
	return 0;
}

/* Boots the kernel itself, as nobody, for at most PROBE_MS. */
static bool try_kvm(
    const char *qemu, const char *kernel, gid_t group, char why[200])
{
	static const char *const args[] = {"-nodefaults", "-no-user-config",
	    "-display", "none", "-machine", "q35", "-accel", "kvm", "-cpu",
	    "host", "-m", "128", "-serial", "stdio", "-append",
	    "console=ttyS0 earlyprintk=ttyS0 panic=-1", "-no-reboot",
	    "-kernel"};
	AUTO_CONFINE struct confine c = {.ruleset_fd = -1};
	AUTO_FD int kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	AUTO_FD int rd = -1, wr = -1;
	AUTO_PROC struct proc p = PROC_NONE;
	struct err err = {0};
	int ends[2];
	pid_t pid;

	if (kernel_fd < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    confine_probe(&c, qemu, kernel, group, &err) < 0) {
		snprintf(why, 200, "the trial could not be set up");
		return false;
	}
	rd = ends[0];
	wr = ends[1];
	strv_add(&p.argv, qemu);
	for (size_t i = 0; i < ARRAY_LEN(args); i++)
		strv_add(&p.argv, args[i]);
	strv_addf(&p.argv, "/proc/self/fd/%d", kernel_fd);
	p.keep[p.n_keep++] = kernel_fd;
	p.out = wr;
	p.err = wr;
	p.clean_env = true;
	p.die_with_us = true;
	p.confine = confine_enter;
	p.confine_arg = &c;
	pid = proc_spawn(&p, &err);
	close_fd(&wr);
	if (pid < 0) {
		snprintf(why, 200, "%.190s", err.msg);
		return false;
	}
	return kernel_speaks(rd, pid, why);
}

bool probe_kvm(const char *qemu, const char *kernel, char why[200])
{
	AUTO_BUF struct buf text = {0};
	struct utsname host;
	struct stat st;
	char key[64], own[100];
	gid_t group;
	bool good;

	why[0] = '\0';
	if (stat("/dev/kvm", &st) < 0) {
		snprintf(why, 200, "there is no /dev/kvm");
		return false;
	}
	if (!probe_node("/dev/kvm", &group)) {
		snprintf(why, 200,
		    "/dev/kvm is %04o root: an unprivileged VMM cannot open "
		    "it; `cocoon doctor --fix` sets what udev would",
		    st.st_mode & 07777);
		return false;
	}
	if (getenv("COCOON_KVM")) {
		good = !strcmp(getenv("COCOON_KVM"), "yes");
		if (!good)
			snprintf(why, 200, "COCOON_KVM is not \"yes\"");
		return good;
	}
	snprintf(key, sizeof(key), "kvm-%s", proc_boot_id());
	if (cache_get(key, &text) == 0 && text.len > 2) {
		good = text.data[0] == 'y';
		if (!good)
			snprintf(why, 200, "%.190s", text.data + 2);
		return good;
	}
	/* A cloud image shows none: the host's own is a stock kernel, too. */
	if (!kernel && uname(&host) == 0) {
		snprintf(own, sizeof(own), "/boot/vmlinuz-%s", host.release);
		kernel = access(own, R_OK) == 0 ? own : NULL;
	}
	if (!kernel) {
		snprintf(why, 200,
		    "no kernel to try it with: one VM of an OCI image finds "
		    "out");
		return false;
	}
	/* Who has no QEMU has a hypervisor that needs KVM anyway. */
	if (!qemu)
		return true;
	good = try_kvm(qemu, kernel, group, why);
	AUTO_FREE char *line =
	    xasprintf("%c %s", good ? 'y' : 'n', good ? "it runs" : why);
	cache_put(key, line);
	return good;
}
