/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "hold.h"
#include "hv.h"
#include "live.h"
#include "proc.h"

#define END_MS 10000

/* True when fd can be read; false when our reader left, or on a signal. */
static bool await(int fd)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {STDOUT_FILENO, 0, 0}};

	while (!tool_interrupted()) {
		if (poll(p, 2, 1000) < 0)
			continue;
		if (p[0].revents)
			return true;
		if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			return false;
	}
	return false;
}

/* The connection of who has said it; -1: nobody has. */
static int hear_durable(int listen_fd)
{
	AUTO_FD int fd = -1;
	char word[8];

	if (!await(listen_fd))
		return -1;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || !await(fd))
		return -1;
	return recv(fd, word, sizeof(word), 0) == 8 &&
		       !memcmp(word, "durable\n", 8)
		   ? take_fd(&fd)
		   : -1;
}

bool vm_hibernates(const struct vm *vm)
{
	const struct live l = live_check(vm->fd, vm->hv.generation);
	struct json_object *keep = NULL;
	struct doc_ended ended;
	bool yes;

	yes = vm->hv.resume &&
	      !strcmp(
		  live_state(vm->fd, &l, &vm->hv, &ended, &keep), "hibernated");
	jval_put(keep);
	return yes;
}

/*
 * The record first: start believes it only if the monitor has said that this
 * is how the VM ended.
 */
static int end_vm(struct vm *vm, int *hold, const char *id, struct err *err)
{
	struct live l = live_check(vm->fd, vm->hv.generation);
	AUTO_FD int pidfd = live_pidfd(&l);

	vm->hv.resume = id;
	if (vm_save(vm, true, err) < 0 || hold_end(hold, err) < 0)
		return -1;
	if (pidfd >= 0 && !proc_pidfd_wait(pidfd, END_MS))
		return err_set(
		    err, ERR_TIMEOUT, "process %d does not end", (int)l.pid);
	vm_record_end(vm, true);
	vm_tidy(vm, l.uid);
	taps_rest(vm);
	return 0;
}

int hibernate(
    struct vm *vm, int listen_fd, int *hold, const char *id, struct err *err)
{
	AUTO_FD int fd = hear_durable(listen_fd);
	const char *answer = "ended\n";
	int r;

	if (fd < 0)
		return err_set(err, ERR_FAILED, "it was not saved");
	r = end_vm(vm, hold, id, err);
	if (r < 0)
		answer = err->msg;
	if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
		return err_sys(err, errno, "answer");
	return r;
}
