/* SPDX-License-Identifier: MIT */
/*
 * What a guest does behind its tap, in 200 lines: answers ARP and ICMP echo
 * for its address; or sends one echo and waits for the answer.
 *     tapguest TAP MAC IP                 until it is killed
 *     tapguest TAP MAC IP ping TARGET [GATEWAY]    0 when it was answered
 *     tapguest TAP MAC IP waiting         how many frames were there before us
 * Frames carry a virtio-net header, as the VMMs want it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VNET 10
#define ETH (VNET)
#define PAYLOAD (VNET + 14)
#define TRIES 20
#define WAIT_MS 100

static unsigned char my_mac[6];
static unsigned char my_ip[4];
static unsigned char frame[65536];
static int fd;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void open_tap(const char *name)
{
	struct ifreq ifr = {0};

	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		die(name);
}

static void parse(const char *mac, const char *ip)
{
	for (int i = 0; i < 6; i++)
		my_mac[i] = (unsigned char)strtoul(mac + 3 * i, NULL, 16);
	if (inet_pton(AF_INET, ip, my_ip) != 1)
		die(ip);
}

static uint16_t checksum(const unsigned char *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_checksum(unsigned char *p, size_t len, size_t at)
{
	uint16_t sum;

	p[at] = p[at + 1] = 0;
	sum = checksum(p, len);
	p[at] = (unsigned char)(sum >> 8);
	p[at + 1] = (unsigned char)sum;
}

static void send_frame(size_t len)
{
	memset(frame, 0, VNET);
	memcpy(frame + ETH + 6, my_mac, 6);
	if (write(fd, frame, len) < 0)
		perror("write");
}

static int is_type(uint16_t type)
{
	return frame[ETH + 12] == type >> 8 && frame[ETH + 13] == (type & 0xff);
}

static void answer_arp(void)
{
	unsigned char *a = frame + PAYLOAD;

	if (a[7] != 1 || memcmp(a + 24, my_ip, 4))
		return;
	a[7] = 2;
	memcpy(frame + ETH, a + 8, 6);
	memcpy(a + 18, a + 8, 10);
	memcpy(a + 8, my_mac, 6);
	memcpy(a + 14, my_ip, 4);
	send_frame(PAYLOAD + 28);
}

static void answer_echo(size_t len)
{
	unsigned char *ip = frame + PAYLOAD, *icmp = ip + 20, other[4];
	size_t total = (size_t)ip[2] << 8 | ip[3];

	if (ip[0] != 0x45 || ip[9] != 1 || icmp[0] != 8 ||
	    memcmp(ip + 16, my_ip, 4) || total < 28 || PAYLOAD + total > len)
		return;
	memcpy(frame + ETH, frame + ETH + 6, 6);
	memcpy(other, ip + 12, 4);
	memcpy(ip + 12, my_ip, 4);
	memcpy(ip + 16, other, 4);
	icmp[0] = 0;
	put_checksum(icmp, total - 20, 2);
	put_checksum(ip, 20, 10);
	send_frame(PAYLOAD + total);
}

/* A frame for us within the time, or 0. */
static size_t next_frame(int wait_ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return 0;
	n = read(fd, frame, sizeof(frame));
	if (n < 0)
		die("read");
	if (n < PAYLOAD + 28)
		memset(frame + n, 0, (size_t)(PAYLOAD + 28 - n));
	return (size_t)n;
}

static void ask_arp(const unsigned char target[4])
{
	static const unsigned char head[] = {0, 1, 8, 0, 6, 4, 0, 1};
	unsigned char *a = frame + PAYLOAD;

	memset(frame, 0, PAYLOAD + 28);
	memset(frame + ETH, 0xff, 6);
	frame[ETH + 12] = ETH_P_ARP >> 8;
	frame[ETH + 13] = ETH_P_ARP & 0xff;
	memcpy(a, head, sizeof(head));
	memcpy(a + 8, my_mac, 6);
	memcpy(a + 14, my_ip, 4);
	memcpy(a + 24, target, 4);
	send_frame(PAYLOAD + 28);
}

static int find_mac(const unsigned char target[4], unsigned char mac[6])
{
	unsigned char *a = frame + PAYLOAD;

	for (int i = 0; i < TRIES; i++) {
		ask_arp(target);
		while (next_frame(WAIT_MS))
			if (is_type(ETH_P_ARP) && a[7] == 2 &&
			    !memcmp(a + 14, target, 4)) {
				memcpy(mac, a + 8, 6);
				return 0;
			}
	}
	return -1;
}

static void ask_echo(const unsigned char mac[6], const unsigned char to[4])
{
	static const unsigned char head[] = {0x45, 0, 0, 84, 0, 1, 0, 0, 64, 1};
	unsigned char *ip = frame + PAYLOAD;

	memset(frame, 0, PAYLOAD + 84);
	memcpy(frame + ETH, mac, 6);
	frame[ETH + 12] = ETH_P_IP >> 8;
	memcpy(ip, head, sizeof(head));
	memcpy(ip + 12, my_ip, 4);
	memcpy(ip + 16, to, 4);
	put_checksum(ip, 20, 10);
	ip[20] = 8;
	ip[24] = 0x12;
	put_checksum(ip + 20, 64, 2);
	send_frame(PAYLOAD + 84);
}

static int ping(const char *target, const char *gateway)
{
	unsigned char to[4], next[4], mac[6];
	unsigned char *ip = frame + PAYLOAD;

	if (inet_pton(AF_INET, target, to) != 1 ||
	    inet_pton(AF_INET, gateway, next) != 1)
		die(target);
	if (find_mac(next, mac) < 0) {
		fprintf(stderr, "%s: no answer to ARP\n", gateway);
		return 1;
	}
	for (int i = 0; i < TRIES; i++) {
		size_t n;

		ask_echo(mac, to);
		while ((n = next_frame(WAIT_MS))) {
			if (is_type(ETH_P_ARP))
				answer_arp();
			else if (is_type(ETH_P_IP) && ip[9] == 1 &&
				 ip[20] == 0 && !memcmp(ip + 12, to, 4))
				return 0;
		}
	}
	fprintf(stderr, "%s: no answer\n", target);
	return 1;
}

static int waiting(void)
{
	int n = 0;

	while (next_frame(0))
		n++;
	printf("%d\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	open_tap(argv[1]);
	parse(argv[2], argv[3]);
	if (argc == 5)
		return waiting();
	if (argc > 5)
		return ping(argv[5], argc > 6 ? argv[6] : argv[5]);
	for (;;) {
		size_t n = next_frame(-1);

		if (is_type(ETH_P_ARP))
			answer_arp();
		else if (is_type(ETH_P_IP))
			answer_echo(n);
	}
}
