/* SPDX-License-Identifier: MIT */
/*
 * A lease is a file named like the address, with "ID\r\nIFNAME" in it, as the
 * CNI plugin host-local has it. Whoever changes them holds the lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "net.h"

#define LAST_FILE "last_reserved_ip.0"

static uint32_t last_reserved(struct net *n)
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	uint32_t ip;

	if (file_read(n->lease_fd, LAST_FILE, &text, 64, &ignored) < 0 ||
	    !text.len || parse_ip(text.data, &ip) < 0)
		return 0;
	return ip;
}

/* Only a hint where to go on: a torn one costs nothing but the hint. */
void lease_set_last(struct net *n, uint32_t ip)
{
	AUTO_FD int fd = openat(n->lease_fd, LAST_FILE,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char text[16];

	format_ip(ip, text);
	if (fd < 0 || write_all(fd, text, strlen(text)) < 0)
		return;
}

static bool is_free(struct net *n, uint32_t ip)
{
	char name[16];

	format_ip(ip, name);
	return faccessat(n->lease_fd, name, F_OK, 0) < 0;
}

int lease_pick(struct net *n, const struct subnet *s, size_t count,
    uint32_t *out, struct err *err)
{
	uint32_t first = subnet_gateway(s) + 1, last = subnet_last(s);
	uint32_t ip = last_reserved(n);
	size_t found = 0;

	if (!subnet_has(s, ip))
		ip = last;
	for (uint32_t i = first; i <= last && found < count; i++) {
		ip = ip == last ? first : ip + 1;
		if (is_free(n, ip))
			out[found++] = ip;
	}
	if (found < count) {
		char text[20];

		format_cidr(s->base, s->prefix, text);
		return err_set(err, ERR_FAILED,
		    "subnet %s: no free address left; `cocoon-net gc` frees "
		    "what nobody uses",
		    text);
	}
	return 0;
}

int lease_owner(struct net *n, uint32_t ip, char id[STATE_ID_LEN + 1])
{
	AUTO_BUF struct buf text = {0};
	struct err ignored;
	char name[16];
	size_t len;

	format_ip(ip, name);
	id[0] = '\0';
	if (n->lease_fd < 0)
		return 0;
	if (file_read(n->lease_fd, name, &text, 4096, &ignored) < 0)
		return ignored.code != ERR_NOTFOUND;
	len = text.len ? strcspn(text.data, "\r\n") : 0;
	if (len == STATE_ID_LEN) {
		memcpy(id, text.data, len);
		id[len] = '\0';
	} else if (len) {
		/* Somebody else's: host-local's container ids. */
		id[0] = '?';
		id[1] = '\0';
	}
	return 1;
}

int lease_take(struct net *n, uint32_t ip, const char *id, const char *ifname,
    struct err *err)
{
	char name[16], text[64], other[STATE_ID_LEN + 1];
	AUTO_FD int fd = -1;
	int len;

	format_ip(ip, name);
	if (lease_owner(n, ip, other) && other[0] && strcmp(other, id))
		return err_set(err, ERR_STATE,
		    "address %s: leased to %s meanwhile", name, other);
	if (!strcmp(other, id))
		return 0;
	/* Empty: killed between the two steps below, and nobody's. */
	fd = openat(n->lease_fd, name,
	    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	len = snprintf(text, sizeof(text), "%s\r\n%s", id, ifname);
	if (fd < 0 || write_all(fd, text, (size_t)len) < 0 || fsync(fd) < 0)
		return err_sys(err, errno, "lease %s: write", name);
	return 0;
}

int lease_drop(struct net *n, uint32_t ip, const char *id, struct err *err)
{
	char name[16], owner[STATE_ID_LEN + 1];

	format_ip(ip, name);
	if (!lease_owner(n, ip, owner) || (owner[0] && strcmp(owner, id)))
		return 0;
	if (unlinkat(n->lease_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "lease %s: unlink", name);
	return 0;
}

int lease_each(struct net *n, int (*fn)(uint32_t ip, const char *id, void *arg),
    void *arg, struct err *err)
{
	int fd, r = 0;
	struct dirent *de;
	DIR *d;

	if (n->lease_fd < 0)
		return 0;
	fd = openat(n->lease_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		close_fd(&fd);
		return err_sys(err, errno, "leases: open");
	}
	while (r == 0 && (de = readdir(d))) {
		char id[STATE_ID_LEN + 1];
		uint32_t ip;

		if (parse_ip(de->d_name, &ip) == 0 && lease_owner(n, ip, id))
			r = fn(ip, id, arg);
	}
	closedir(d);
	return r;
}
