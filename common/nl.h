/* SPDX-License-Identifier: MIT */
/*
 * Netlink. Operations that change something are queued in the order of the
 * calls and sent by one nl_do: the kernel works through a batch within one
 * system call, so a batch is not torn by SIGKILL, and costs one round trip.
 * It does not stop at a failure, though: what must not happen after a failed
 * step belongs into the next batch. A socket stays in the network namespace
 * in which it was opened. Names are device names of at most 15 characters.
 */
#ifndef COCOON_NL_H
#define COCOON_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "err.h"

struct nlattr;
struct nlmsghdr;
struct mnl_socket;

#define NL_NAME 16
#define NL_BATCH 16384 /* bytes of queued messages */
#define NL_MSGS 48     /* number of them */

struct nl {
	struct mnl_socket *sock;
	unsigned int seq;       /* of the last message queued */
	unsigned int first_seq; /* of the batch */
	size_t len;             /* bytes queued */
	struct nlmsghdr *last;
	unsigned int end_seq;   /* whose answer ends the batch; 0: the last's */
	char what[NL_MSGS][72]; /* for messages: "cn0: add ingress" */
	_Alignas(8) char out[NL_BATCH];
};

typedef int nl_fn(const struct nlmsghdr *msg, void *arg);

/* bus: NETLINK_ROUTE or NETLINK_NETFILTER; in the current namespace. */
int nl_open(struct nl *nl, int bus, struct err *err);
void nl_close(struct nl *nl);
#define AUTO_NL CLEANUP(nl_close)

/* Queues a message; the caller puts header and attributes behind it. */
struct nlmsghdr *nl_msg(
    struct nl *nl, int type, int flags, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Attributes of the last queued message; too long ones are a bug of ours. */
void nl_put(struct nl *nl, int type, const void *data, size_t len);
void nl_put_str(struct nl *nl, int type, const char *s);
void nl_put_u32(struct nl *nl, int type, uint32_t v);
struct nlattr *nl_nest(struct nl *nl, int type);
void nl_nest_end(struct nl *nl, struct nlattr *nest);

/* Sends the batch and waits for its end; the first failure is the error. */
int nl_do(struct nl *nl, struct err *err);
/* Sends the one queued GET. 1: fn got the answer, 0: there is no such thing
 * (ENODEV, ENOENT), -1. */
int nl_get(struct nl *nl, nl_fn *fn, void *arg, struct err *err);
/* Sends the one queued DUMP; fn sees every answer, again from the start when
 * the kernel says that it changed meanwhile (fn gets NULL then). */
int nl_dump(struct nl *nl, nl_fn *fn, void *arg, struct err *err);
/* The errno and the kernel's words of an error message; pure. text may be
 * empty, errno 0 is an acknowledgement. -1: too short to be one. */
int nl_parse_error(const struct nlmsghdr *msg, int *errnum, char text[128]);

#endif
