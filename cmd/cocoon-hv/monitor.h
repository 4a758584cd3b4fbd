/* SPDX-License-Identifier: MIT */
/* The process that stays with a VM: one per generation, the VMM's parent. */
#ifndef COCOON_MONITOR_H
#define COCOON_MONITOR_H

#include "confine.h"
#include "hold.h"
#include "vmm.h"

#define CONSOLE_CLIENTS 16
#define CONSOLE_PENDING 4096

/* console.c of the monitor: the serial port and who looks at it. */
struct console {
	int serial_fd;   /* the VMM's end of the port, ours; -1: it ended */
	int listen_fd;   /* console.sock */
	int log_fd;      /* console.log, append */
	uint64_t logged; /* bytes in console.log */
	int clients[CONSOLE_CLIENTS];
	char input[CONSOLE_PENDING]; /* for the guest, not yet taken */
	size_t n_input;
};

struct monitor {
	struct vm *vm;
	const struct vmm *vmm;
	struct confine confine; /* of the VMM */
	uid_t uid;
	int run_fd, netns_fd, live_fd, events_fd;
	int log_fd;           /* vmm.log */
	int fifo_fd;          /* vmm.fifo, which goes there; -1: none */
	struct vmm_fds fds;   /* the VMM's ends */
	struct vmm_link link; /* ours */
	struct console console;
	struct hold hold;
	const char *reason; /* from the VMM's own event */
	pid_t pid;
	int64_t press_at; /* when to press the power button again */
	int64_t kill_at;  /* a stop was asked for: when to be firm; 0: none */
};

/* taps.c: opens the taps, or gives them to m->uid, in the VM's namespace, whose
 * descriptor stays in m->netns_fd. */
int taps_open(struct monitor *m, struct err *err);
/* spawn.c: opens everything and starts the VMM. */
int monitor_spawn(struct monitor *m, struct err *err);
/* own.c: refuses a VMM that has a file open for writing that is not among its
 * VM's disks (ERR_INPUT). */
int monitor_check_files(const struct monitor *m, struct err *err);
/* What came through vmm.fifo goes to vmm.log, which is kept short. */
void vmm_log_pump(struct monitor *m);
/* The last line of vmm.log: what the VMM said before it ended. */
void vmm_last_words(struct monitor *m, char out[200]);

/* Starts the VMM, which answers its API, knows its VM, and waits. */
int monitor_begin(struct monitor *m, struct err *err);
/* The guest runs. */
int monitor_resume(struct monitor *m, struct err *err);
/* Gives up root. */
int monitor_drop(struct monitor *m, struct err *err);
/* Until the VMM ends. Returns 0 if the guest shut down or was stopped. */
int monitor_serve(struct monitor *m);
/* The VMM goes, at once: nothing was committed. */
void monitor_abort(struct monitor *m);

int console_open(struct console *c, int vm_fd, struct err *err);
struct pollfd;
size_t console_poll(const struct console *c, struct pollfd *out);
void console_handle(struct console *c, const struct pollfd *fds, size_t n);
/* What is still in the pipe after the VMM's end. */
void console_drain(struct console *c);

#endif
