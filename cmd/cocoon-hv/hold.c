/* SPDX-License-Identifier: MIT */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"

#define ANSWER_MS 5000

/* The words, a byte each. */
#define ARM 'h'
#define ARMED 'k'
#define RESUMED 'r'
#define DURABLE 'd'

int hold_listen(struct hold *h, int vm_fd, struct err *err)
{
	*h = (struct hold)HOLD_NONE;
	h->listen_fd = socket_listen(vm_fd, HOLD_SOCKET, err);
	if (h->listen_fd < 0)
		return -1;
	fcntl(h->listen_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

/* One holder at a time: it has the VM's lock. */
void hold_poll(const struct hold *h, struct pollfd *out)
{
	out[0] =
	    (struct pollfd){h->listen_fd, (short)(h->fd < 0 ? POLLIN : 0), 0};
	out[1] = (struct pollfd){h->fd, POLLIN, 0};
}

static enum hold_said end(struct hold *h, enum hold_said said)
{
	close_fd(&h->fd);
	h->armed = false;
	return said;
}

enum hold_said hold_handle(struct hold *h, const struct pollfd *fds)
{
	char word;
	ssize_t n;

	if (h->fd < 0) {
		if (fds[0].revents)
			h->fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		return HOLD_NOTHING;
	}
	if (!fds[1].revents)
		return HOLD_NOTHING;
	n = recv(h->fd, &word, 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return HOLD_NOTHING;
	if (n != 1)
		return end(h, h->armed ? HOLD_BROKEN : HOLD_NOTHING);
	if (word == RESUMED)
		return end(h, HOLD_NOTHING);
	if (word == DURABLE)
		return end(h, HOLD_DURABLE);
	h->armed = word == ARM;
	word = ARMED;
	if (send(h->fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return end(h, HOLD_NOTHING);
	return HOLD_NOTHING;
}

int hold_take(int vm_fd, bool arm, struct err *err)
{
	AUTO_FD int fd = socket_connect(vm_fd, HOLD_SOCKET, err);
	char word = ARM;
	struct pollfd p = {fd, POLLIN, 0};

	if (fd < 0)
		return err_set(err, ERR_STATE,
		    "its monitor is gone, and without one nobody would resume "
		    "it if this command died: stop it and start it again");
	if (!arm)
		return take_fd(&fd);
	if (send(fd, &word, 1, MSG_NOSIGNAL) != 1 ||
	    poll(&p, 1, ANSWER_MS) != 1 || recv(fd, &word, 1, 0) != 1)
		return err_set(err, ERR_TIMEOUT, "its monitor does not answer");
	return take_fd(&fd);
}

static int say(int *fd, char word)
{
	int r = send(*fd, &word, 1, MSG_NOSIGNAL) == 1 ? 0 : -1;

	close_fd(fd);
	return r;
}

void hold_release(int *fd)
{
	if (*fd >= 0)
		(void)say(fd, RESUMED);
}

int hold_end(int *fd, struct err *err)
{
	if (say(fd, DURABLE) < 0)
		return err_sys(err, errno, "tell the monitor");
	return 0;
}
