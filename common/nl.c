/* SPDX-License-Identifier: MIT */
#include "nl.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What the kernel allocates for a dump (netlink_dump: up to 32 KiB); a
 * smaller buffer would truncate. */
#define RECEIVE_SIZE 32768
#define DUMP_TRIES 10

int nl_open(struct nl *nl, int bus, struct err *err)
{
	static const int options[] = {
	    NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
	int on = 1;

	nl->len = 0;
	nl->seq = 0;
	nl->first_seq = 1;
	nl->end_seq = 0;
	nl->last = NULL;
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock)
		return err_sys(err, errno, "netlink: open");
	/* Old kernels do without: only the texts get poorer. */
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		mnl_socket_setsockopt(nl->sock, options[i], &on, sizeof(on));
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_sys(err, errno, "netlink: bind");
		nl_close(nl);
		return -1;
	}
	return 0;
}

void nl_close(struct nl *nl)
{
	int saved = errno;

	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
	errno = saved;
}

/* The queue's length including the message that is still growing. */
static size_t queued(const struct nl *nl)
{
	return nl->last ? (size_t)((char *)nl->last - nl->out) +
			      MNL_ALIGN(nl->last->nlmsg_len)
			: 0;
}

struct nlmsghdr *nl_msg(
    struct nl *nl, int type, int flags, const char *fmt, ...)
{
	va_list ap;

	nl->len = queued(nl);
	nl->seq++;
	assert(nl->seq - nl->first_seq < NL_MSGS);
	assert(NL_BATCH - nl->len >= 1024);
	nl->last = mnl_nlmsg_put_header(nl->out + nl->len);
	nl->last->nlmsg_type = (uint16_t)type;
	nl->last->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nl->last->nlmsg_seq = nl->seq;
	va_start(ap, fmt);
	vsnprintf(
	    nl->what[nl->seq - nl->first_seq], sizeof(nl->what[0]), fmt, ap);
	va_end(ap);
	return nl->last;
}

void nl_put(struct nl *nl, int type, const void *data, size_t len)
{
	bool fits = mnl_attr_put_check(
	    nl->last, NL_BATCH - nl->len, (uint16_t)type, len, data);

	assert(fits);
}

void nl_put_str(struct nl *nl, int type, const char *s)
{
	nl_put(nl, type, s, strlen(s) + 1);
}

void nl_put_u32(struct nl *nl, int type, uint32_t v)
{
	nl_put(nl, type, &v, sizeof(v));
}

struct nlattr *nl_nest(struct nl *nl, int type)
{
	return mnl_attr_nest_start(nl->last, (uint16_t)type);
}

void nl_nest_end(struct nl *nl, struct nlattr *nest)
{
	mnl_attr_nest_end(nl->last, nest);
}

/* Sends what is queued and empties the queue; the labels stay. */
static int send_queue(struct nl *nl, struct err *err)
{
	size_t len = queued(nl);
	ssize_t n;

	do
		n = mnl_socket_sendto(nl->sock, nl->out, len);
	while (n < 0 && errno == EINTR);
	nl->last = NULL;
	nl->len = 0;
	return n < 0 ? err_sys(err, errno, "netlink: send") : 0;
}

static void end_batch(struct nl *nl)
{
	nl->first_seq = nl->seq + 1;
	nl->end_seq = 0;
}

static ssize_t receive(struct nl *nl, char buf[RECEIVE_SIZE], struct err *err)
{
	ssize_t n;

	do
		n = mnl_socket_recvfrom(nl->sock, buf, RECEIVE_SIZE);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(err, errno, "netlink: receive") : n;
}

static int find_text(const struct nlattr *attr, void *arg)
{
	char *text = arg;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
		snprintf(text, 128, "%s", mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

int nl_parse_error(const struct nlmsghdr *msg, int *errnum, char text[128])
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(msg);
	size_t skip = sizeof(*e);

	text[0] = '\0';
	if (msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*e))
		return -1;
	*errnum = e->error < 0 ? -e->error : e->error;
	if (!(msg->nlmsg_flags & NLM_F_ACK_TLVS))
		return 0;
	/* Without the cap the whole request is quoted first. */
	if (!(msg->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < MNL_NLMSG_HDRLEN ||
		    e->msg.nlmsg_len > msg->nlmsg_len)
			return 0;
		skip += MNL_ALIGN(e->msg.nlmsg_len) - MNL_NLMSG_HDRLEN;
	}
	if (msg->nlmsg_len > MNL_NLMSG_HDRLEN + skip)
		mnl_attr_parse(msg, (unsigned int)skip, find_text, text);
	return 0;
}

/* The error message msg becomes err, with what its request was for. */
static int say(const struct nl *nl, const struct nlmsghdr *msg, int errnum,
    const char *text, struct err *err)
{
	unsigned int i = msg->nlmsg_seq - nl->first_seq;
	const char *what = i < NL_MSGS ? nl->what[i] : "netlink";

	if (text[0])
		return err_sys(err, errnum, "%s (kernel: %s)", what, text);
	return err_sys(err, errnum, "%s", what);
}

/* One message of the answer to a batch: 1 when it was the last. */
static int take_ack(const struct nl *nl, const struct nlmsghdr *msg,
    bool *failed, struct err *err)
{
	char text[128];
	int errnum;

	if (msg->nlmsg_type != NLMSG_ERROR || msg->nlmsg_seq < nl->first_seq ||
	    nl_parse_error(msg, &errnum, text) < 0)
		return 0;
	if (errnum && !*failed) {
		*failed = true;
		say(nl, msg, errnum, text, err);
	}
	return msg->nlmsg_seq == nl->end_seq;
}

static int wait_acks(struct nl *nl, struct err *err)
{
	_Alignas(8) char buf[RECEIVE_SIZE];
	bool failed = false, last = false;

	while (!last) {
		const struct nlmsghdr *msg = (void *)buf;
		ssize_t n = receive(nl, buf, err);
		int left = (int)n;

		if (n < 0)
			return -1;
		for (; mnl_nlmsg_ok(msg, left);
		     msg = mnl_nlmsg_next(msg, &left))
			last |= take_ack(nl, msg, &failed, err) == 1;
	}
	return failed ? -1 : 0;
}

int nl_do(struct nl *nl, struct err *err)
{
	int r;

	if (!nl->last)
		return 0;
	/* Failures are always told; the end of the batch only so. */
	if (!nl->end_seq) {
		nl->last->nlmsg_flags |= NLM_F_ACK;
		nl->end_seq = nl->seq;
	}
	r = send_queue(nl, err);
	if (r == 0)
		r = wait_acks(nl, err);
	end_batch(nl);
	return r;
}

static int one_answer(struct nl *nl, nl_fn *fn, void *arg, struct err *err)
{
	_Alignas(8) char buf[RECEIVE_SIZE];
	const struct nlmsghdr *msg = (void *)buf;
	char text[128];
	int errnum;

	do {
		ssize_t n = receive(nl, buf, err);

		if (n < 0)
			return -1;
		if (!mnl_nlmsg_ok(msg, (int)n))
			return err_set(
			    err, ERR_FAILED, "netlink: a torn answer");
	} while (msg->nlmsg_seq != nl->seq);
	if (msg->nlmsg_type != NLMSG_ERROR) {
		fn(msg, arg);
		return 1;
	}
	if (nl_parse_error(msg, &errnum, text) < 0)
		return err_set(err, ERR_FAILED, "netlink: a torn error");
	if (errnum == ENODEV || errnum == ENOENT)
		return 0;
	return say(nl, msg, errnum, text, err);
}

int nl_get(struct nl *nl, nl_fn *fn, void *arg, struct err *err)
{
	int r = send_queue(nl, err);

	if (r == 0)
		r = one_answer(nl, fn, arg, err);
	end_batch(nl);
	return r;
}

/* One datagram of a dump: 1 more to come, 0 done, -1; *again: it changed. */
static int take_dump(const struct nl *nl, const char *buf, int left, nl_fn *fn,
    void *arg, bool *again, struct err *err)
{
	const struct nlmsghdr *msg = (const void *)buf;
	char text[128];
	int errnum;

	for (; mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left)) {
		if (msg->nlmsg_seq != nl->seq)
			continue;
		*again |= (msg->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (msg->nlmsg_type == NLMSG_DONE)
			return 0;
		if (msg->nlmsg_type != NLMSG_ERROR)
			fn(msg, arg);
		else if (nl_parse_error(msg, &errnum, text) == 0 && errnum)
			return say(nl, msg, errnum, text, err);
		else
			return 0;
	}
	return 1;
}

static int dump_once(
    struct nl *nl, nl_fn *fn, void *arg, bool *again, struct err *err)
{
	_Alignas(8) char buf[RECEIVE_SIZE];
	int r = 1;

	while (r == 1) {
		ssize_t n = receive(nl, buf, err);

		if (n < 0)
			return -1;
		r = take_dump(nl, buf, (int)n, fn, arg, again, err);
	}
	return r;
}

int nl_dump(struct nl *nl, nl_fn *fn, void *arg, struct err *err)
{
	size_t len = queued(nl);

	for (int i = 0; i < DUMP_TRIES; i++) {
		bool again = false;
		int r;

		/* The queue is rebuilt: its bytes are still there. */
		nl->last = (void *)nl->out;
		assert(MNL_ALIGN(nl->last->nlmsg_len) == len);
		r = send_queue(nl, err);
		if (r == 0)
			r = dump_once(nl, fn, arg, &again, err);
		if (r < 0 || !again) {
			end_batch(nl);
			return r;
		}
		fn(NULL, arg);
	}
	end_batch(nl);
	return err_set(err, ERR_FAILED,
	    "netlink: the list kept changing while it was read");
}
