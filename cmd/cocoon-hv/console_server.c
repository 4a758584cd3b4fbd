/* SPDX-License-Identifier: MIT */
/*
 * The monitor's side of the console: what the guest says goes to console.log
 * (capped) and to every client; what a client says goes to the guest. A
 * client that does not read loses output, nobody else waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "monitor.h"

#define LOG_CAP ((uint64_t)4 << 20)
#define LOG_KEEP ((uint64_t)1 << 20)

int console_open(struct console *c, int vm_fd, struct err *err)
{
	struct stat st;

	for (size_t i = 0; i < CONSOLE_CLIENTS; i++)
		c->clients[i] = -1;
	/* Follows the symlink of --log-dir: vm/ID is root's. */
	c->log_fd = openat(vm_fd, "console.log",
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (c->log_fd < 0 || fstat(c->log_fd, &st) < 0)
		return err_sys(err, errno, "console.log: open");
	c->logged = (uint64_t)st.st_size;
	c->listen_fd = socket_listen(vm_fd, "console.sock", err);
	if (c->listen_fd < 0)
		return -1;
	fcntl(c->listen_fd, F_SETFL, O_NONBLOCK);
	fcntl(c->serial_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

/* Keeps the last LOG_KEEP bytes: a guest cannot fill the disk. */
static void cap_log(struct console *c)
{
	AUTO_FREE char *tail = xmalloc(LOG_KEEP);
	ssize_t n =
	    pread(c->log_fd, tail, LOG_KEEP, (off_t)(c->logged - LOG_KEEP));

	if (n < 0 || ftruncate(c->log_fd, 0) < 0)
		return;
	c->logged = 0;
	if (write_all(c->log_fd, tail, (size_t)n) == 0)
		c->logged = (uint64_t)n;
}

static void to_log(struct console *c, const char *data, size_t len)
{
	if (write_all(c->log_fd, data, len) < 0)
		return; /* a full disk costs the log, not the VM */
	c->logged += len;
	if (c->logged > LOG_CAP)
		cap_log(c);
}

static void to_clients(struct console *c, const char *data, size_t len)
{
	for (size_t i = 0; i < CONSOLE_CLIENTS; i++)
		if (c->clients[i] >= 0 &&
		    send(c->clients[i], data, len,
			MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN && errno != EINTR)
			close_fd(&c->clients[i]);
}

/* One read from the guest. False: no more to read now. */
static bool from_guest(struct console *c)
{
	char data[4096];
	ssize_t n = read(c->serial_fd, data, sizeof(data));

	if (n > 0) {
		to_log(c, data, (size_t)n);
		to_clients(c, data, (size_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&c->serial_fd);
	return false;
}

static void to_guest(struct console *c)
{
	/* Not send(2): it may be a pty. SIGPIPE is ignored. */
	ssize_t n = write(c->serial_fd, c->input, c->n_input);

	if (n <= 0)
		return;
	c->n_input -= (size_t)n;
	memmove(c->input, c->input + n, c->n_input);
}

static void from_client(struct console *c, int *client)
{
	ssize_t n = recv(*client, c->input + c->n_input,
	    sizeof(c->input) - c->n_input, MSG_DONTWAIT);

	if (n > 0)
		c->n_input += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(client);
}

static void accept_client(struct console *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < CONSOLE_CLIENTS; i++)
		if (c->clients[i] < 0) {
			c->clients[i] = take_fd(&fd);
			return;
		}
	if (fd >= 0)
		send(fd, "console: too many clients\r\n", 27,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	close_fd(&fd);
}

size_t console_poll(const struct console *c, struct pollfd *out)
{
	bool room = c->n_input < sizeof(c->input);
	size_t n = 0;

	out[n++] = (struct pollfd){
	    c->serial_fd, (short)(POLLIN | (c->n_input ? POLLOUT : 0)), 0};
	out[n++] = (struct pollfd){c->listen_fd, POLLIN, 0};
	for (size_t i = 0; i < CONSOLE_CLIENTS; i++)
		out[n++] = (struct pollfd){
		    c->clients[i], (short)(room ? POLLIN : 0), 0};
	return n;
}

void console_handle(struct console *c, const struct pollfd *fds, size_t n)
{
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
		from_guest(c);
	if (fds[0].revents & POLLOUT && c->serial_fd >= 0)
		to_guest(c);
	for (size_t i = 2; i < n; i++)
		if (fds[i].revents && c->clients[i - 2] == fds[i].fd)
			from_client(c, &c->clients[i - 2]);
	if (fds[1].revents & POLLIN)
		accept_client(c);
}

void console_drain(struct console *c)
{
	while (c->serial_fd >= 0 && from_guest(c))
		;
	for (size_t i = 0; i < CONSOLE_CLIENTS; i++)
		close_fd(&c->clients[i]);
}
