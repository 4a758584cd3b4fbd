/* SPDX-License-Identifier: MIT */
/*
 * tapwire NETNS_A TAP_A NETNS_B NAME_B MAC: hands frames to and fro between
 * the tap TAP_A of one namespace, as a hypervisor does, and a new tap NAME_B of
 * another: so that namespace's kernel is the guest.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_mac(int fd, const char *text)
{
	struct ifreq ifr = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
	unsigned char *m = (unsigned char *)ifr.ifr_hwaddr.sa_data;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &m[0], &m[1],
		&m[2], &m[3], &m[4], &m[5]) != 6 ||
	    ioctl(fd, SIOCSIFHWADDR, &ifr) < 0)
		err(1, "%s", text);
}

static int open_tap(const char *netns, const char *name, const char *mac)
{
	int ns = open(netns, O_RDONLY), fd;
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		err(1, "%s", netns);
	fd = open("/dev/net/tun", O_RDWR);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		err(1, "%s", name);
	if (mac)
		set_mac(fd, mac);
	return fd;
}

int main(int argc, char **argv)
{
	static char buf[70000];
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};

	if (argc != 6)
		errx(2, "usage: tapwire NETNS_A TAP_A NETNS_B NAME_B MAC");
	fds[0].fd = open_tap(argv[1], argv[2], NULL);
	fds[1].fd = open_tap(argv[3], argv[4], argv[5]);
	while (poll(fds, 2, -1) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t n = fds[i].revents & POLLIN
					? read(fds[i].fd, buf, sizeof(buf))
					: 0;

			/* What the other end does not take is lost, as on a
			 * wire. */
			if (n > 0 && write(fds[!i].fd, buf, (size_t)n) < 0)
				continue;
		}
	}
	return 1;
}
