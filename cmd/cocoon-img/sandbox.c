/* SPDX-License-Identifier: MIT */
/*
 * What a child may do that reads bytes from outside: its files by landlock,
 * few capabilities or none, and by seccomp no system call by which uid 0 gets
 * at the rest of the host (CAP_SYS_ADMIN, needed for trusted.* attributes,
 * opens many).
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "file.h"
#include "proc.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

#define NOBODY 65534

struct sandbox {
	struct confine confine;
	uint64_t caps;
	bool net; /* may open sockets */
	pid_t parent;
};

struct sandbox *sandbox_new(uint64_t caps, struct err *err)
{
	struct sandbox *b = xcalloc(1, sizeof(*b));

	b->caps = caps;
	b->confine.ruleset_fd = -1;
	if (confine_init(&b->confine, err) < 0 ||
	    confine_allow_libraries(&b->confine, err) < 0) {
		sandbox_free(&b);
		return NULL;
	}
#ifdef __SANITIZE_ADDRESS__
	/* Where its runtime reads its options. */
	if (confine_allow(&b->confine, "/proc", CONFINE_READ, err) < 0) {
		sandbox_free(&b);
		return NULL;
	}
#endif
	/* The first landlock cannot allow a hard link between directories. */
	if (b->confine.abi == 1)
		confine_release(&b->confine);
	confine_limit(&b->confine, RLIMIT_CORE, 0);
	/* mkfs.erofs of 1.8 opens some hundred files ahead. */
	confine_limit(&b->confine, RLIMIT_NOFILE, 4096);
	return b;
}

void sandbox_free(struct sandbox **b)
{
	if (*b)
		confine_release(&(*b)->confine);
	free_ptr(b);
}

int sandbox_allow_fd(struct sandbox *b, int fd, unsigned int access,
    const char *what, struct err *err)
{
	return confine_allow_fd(&b->confine, fd, access, what, err);
}

int sandbox_allow(
    struct sandbox *b, const char *path, unsigned int access, struct err *err)
{
	return b->confine.ruleset_fd < 0
		   ? 0
		   : confine_allow(&b->confine, path, access, err);
}

void sandbox_drop(struct sandbox *b)
{
	confine_drop(&b->confine, NOBODY, NOBODY);
}

void sandbox_net(struct sandbox *b)
{
	b->net = true;
	if (!geteuid())
		confine_drop(&b->confine, NOBODY, NOBODY);
}

void sandbox_limit(struct sandbox *b, int resource, uint64_t value)
{
	confine_limit(&b->confine, resource, value);
}

#ifdef ARCH
#define DENY(nr)                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##nr, 0, 1), \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static const struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    /* x32 has other numbers for the same calls. */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    /* File systems can be frozen and shut down by ioctl. */
    DENY(ioctl),
    DENY(mount),
    DENY(umount2),
    DENY(pivot_root),
    DENY(chroot),
    DENY(open_tree),
    DENY(move_mount),
    DENY(fsopen),
    DENY(fsconfig),
    DENY(fsmount),
    DENY(fspick),
    DENY(mount_setattr),
    DENY(setns),
    DENY(unshare),
    DENY(bpf),
    DENY(perf_event_open),
    DENY(init_module),
    DENY(finit_module),
    DENY(delete_module),
    DENY(kexec_load),
    DENY(reboot),
    DENY(swapon),
    DENY(swapoff),
    DENY(acct),
    DENY(quotactl),
    DENY(quotactl_fd),
    DENY(sethostname),
    DENY(setdomainname),
    DENY(settimeofday),
    DENY(clock_settime),
    DENY(clock_adjtime),
    DENY(adjtimex),
    DENY(syslog),
    DENY(keyctl),
    DENY(add_key),
    DENY(request_key),
    DENY(userfaultfd),
    DENY(io_uring_setup),
    DENY(process_vm_readv),
    DENY(process_vm_writev),
    DENY(open_by_handle_at),
    DENY(fanotify_init),
    DENY(kill),
    DENY(pidfd_send_signal),
    DENY(rt_sigqueueinfo),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
#endif

#ifdef ARCH
#define LOAD_NR \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define FAMILY(nr)                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static const struct sock_filter no_socket[] = {
    LOAD_NR,
    DENY(socket),
    DENY(socketpair),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
/* What talks to the network has no business with sockets of this host. */
static const struct sock_filter inet_socket[] = {
    LOAD_NR,
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
    FAMILY(AF_INET),
    FAMILY(AF_INET6),
    FAMILY(AF_NETLINK),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
};

static int load(const struct sock_filter *code, size_t n)
{
	struct sock_fprog prog = {
	    .len = (unsigned short)n,
	    .filter = (struct sock_filter *)code,
	};

	/* A kernel without seccomp: the rest still holds. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 &&
		       errno != EINVAL
		   ? errno
		   : 0;
}
#endif

static int enter_seccomp(bool net)
{
#ifdef ARCH
	int e = net ? load(inet_socket, ARRAY_LEN(inet_socket))
		    : load(no_socket, ARRAY_LEN(no_socket));

	return e ? e : load(filter, ARRAY_LEN(filter));
#else
	(void)net;
	return 0;
#endif
}

/* A program that uid 0 starts gets what the bounding set still has. */
static int enter_caps(uint64_t caps)
{
	struct __user_cap_header_struct h = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return errno;
	for (int cap = 0; cap < 64; cap++)
		if (!(caps >> cap & 1) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return errno;
	for (int i = 0; i < 2; i++) {
		d[i].permitted &= (uint32_t)(caps >> (32 * i));
		d[i].effective = d[i].permitted;
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) < 0 ? errno : 0;
}

static int enter(void *arg)
{
	struct sandbox *b = arg;
	int e;

	/* Did the parent end before this child asked to die with it? */
	if (getppid() != b->parent)
		return ESRCH;
	e = confine_enter(&b->confine);
	/* Another uid has nothing left to give up. */
	if (!e && !b->confine.drop)
		e = enter_caps(b->caps);
	return e ? e : enter_seccomp(b->net);
}

void sandbox_use(struct sandbox *b, struct proc *p)
{
	b->parent = getpid();
	p->confine = enter;
	p->confine_arg = b;
	p->die_with_us = true;
}

int sandbox_nodev(int dir_fd)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV |
					      MOUNT_ATTR_NOEXEC |
					      MOUNT_ATTR_NOSUID};
	AUTO_FD int fd = (int)syscall(SYS_open_tree, dir_fd, "",
	    AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int out;

	if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr,
			  sizeof(attr)) < 0)
		return -1;
	/* That one is O_PATH; futimens wants a directory that is open. */
	out = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out;
}
