/* SPDX-License-Identifier: MIT */
/*
 * console: a terminal on the guest's serial port. Several may look at once.
 * The escape character, then: `.` leaves, `?` lists the commands, `s` shows a
 * status line, the character itself is sent.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"
#include "live.h"

struct console_opts {
	const char *escape_char;
};

static const struct console_opts defaults = {.escape_char = "^]"};
static const struct opt opts[] = {
    {.name = "escape-char",
	.kind = OPT_STRING,
	.metavar = "C",
	.offset = offsetof(struct console_opts, escape_char),
	.help = "a character, or ^X (default ^])"},
};

struct session {
	struct vm *vm;
	const char *shown; /* the escape character as it was given */
	char escape;
	bool escaped, leave, tty;
	int fd;
	struct termios saved;
};

/* "^]", "^a", "~": not NUL, CR, LF, DEL. */
static int parse_escape(const char *s, char *out, struct err *err)
{
	if (s[0] == '^' && s[1] && !s[2] &&
	    strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_",
		s[1]))
		*out = (char)(s[1] & 0x1f);
	else if (s[0] && !s[1] && s[0] > 0 && s[0] < 0x7f)
		*out = s[0];
	else
		*out = 0;
	if (*out && *out != '\r' && *out != '\n')
		return 0;
	return err_set(err, ERR_USAGE,
	    "invalid --escape-char \"%.20s\": want a character or ^X", s);
}

static void say(const char *text)
{
	/* stderr: what the guest says has stdout to itself. */
	if (write_all(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

static void say_status(struct session *s)
{
	AUTO_FREE char *line = NULL;
	AUTO_BUF struct buf ips = {0};

	live_derive(s->vm);
	show_ips(&s->vm->net, &ips);
	line = xasprintf("\r\n[%s: %s, pid %llu, ip %s, %s]\r\n",
	    s->vm->vm.name, s->vm->hv.state, (unsigned long long)s->vm->hv.pid,
	    ips.data, s->vm->plan.backend);
	say(line);
}

static void say_help(struct session *s)
{
	AUTO_FREE char *text = xasprintf(
	    "\r\n%s.  leave the console\r\n%ss  show a status line\r\n"
	    "%s?  this list\r\n%s%s  send the escape character\r\n",
	    s->shown, s->shown, s->shown, s->shown, s->shown);

	say(text);
}

/* What was typed, escapes taken out; false: the VM is gone. */
static bool send_input(struct session *s, const char *in, ssize_t n)
{
	char out[1024];
	size_t len = 0;

	for (ssize_t i = 0; i < n && !s->leave; i++) {
		bool was = s->escaped;

		s->escaped = false;
		if (!was && in[i] == s->escape) {
			s->escaped = true;
		} else if (was && in[i] == '.') {
			s->leave = true;
		} else if (was && in[i] == '?') {
			say_help(s);
		} else if (was && in[i] == 's') {
			say_status(s);
		} else {
			if (was && in[i] != s->escape)
				out[len++] = s->escape;
			out[len++] = in[i];
		}
	}
	return !len || send(s->fd, out, len, MSG_NOSIGNAL) >= 0;
}

/* Until either side ends. */
static int converse(struct session *s, struct err *err)
{
	while (!s->leave) {
		struct pollfd p[] = {
		    {STDIN_FILENO, POLLIN, 0}, {s->fd, POLLIN, 0}};
		char data[512];
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents) {
			n = recv(s->fd, data, sizeof(data), 0);
			if (n <= 0)
				return 0;
			if (write_all(STDOUT_FILENO, data, (size_t)n) < 0)
				return err_sys(err, errno, "stdout: write");
		}
		if (p[0].revents) {
			n = read(STDIN_FILENO, data, sizeof(data));
			if (n <= 0 || !send_input(s, data, n))
				return 0;
		}
	}
	return 0;
}

static int raw_mode(struct session *s, struct err *err)
{
	struct termios raw;

	s->tty = isatty(STDIN_FILENO);
	if (!s->tty)
		return 0;
	if (tcgetattr(STDIN_FILENO, &s->saved) < 0)
		return err_sys(err, errno, "terminal: read its mode");
	raw = s->saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return err_sys(err, errno, "terminal: raw mode");
	return 0;
}

static int console_run(struct call *call, struct err *err)
{
	const struct console_opts *o = call->opts;
	struct session s = {.shown = o->escape_char};
	AUTO_FD int fd = -1;
	AUTO_VM struct vm vm = VM_NONE;
	AUTO_FREE char *hello = NULL, *bye = NULL;
	int r;

	if (parse_escape(o->escape_char, &s.escape, err) < 0 ||
	    vm_open(&vm, call->args.v[0], -1, err) < 0)
		return -1;
	if (!live_check(vm.fd, vm.hv.generation).alive)
		return err_set(
		    err, ERR_STATE, "vm %s: VM not running", vm.vm.name);
	fd = socket_connect(vm.fd, "console.sock", err);
	if (fd < 0)
		return err_set(err, ERR_STATE,
		    "vm %s: nobody serves its console: its monitor is gone; "
		    "`cocoon vm logs` shows what was said until then",
		    vm.vm.name);
	s.fd = fd;
	s.vm = &vm;
	hello = xasprintf("Connected to %s (escape sequence: %s.).\r\n",
	    call->args.v[0], o->escape_char);
	bye = xasprintf("\r\nDisconnected from %s.\r\n", call->args.v[0]);
	if (raw_mode(&s, err) < 0)
		return -1;
	say(hello);
	r = converse(&s, err);
	if (s.tty)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &s.saved);
	say(bye);
	return r;
}

const struct verb verb_console = {
    .name = "console",
    .summary = "Look at the guest's console and type into it.",
    .operands = "VM",
    .min_args = 1,
    .max_args = 1,
    .opts = opts,
    .n_opts = ARRAY_LEN(opts),
    .opts_size = sizeof(struct console_opts),
    .defaults = &defaults,
    .run = console_run,
};
