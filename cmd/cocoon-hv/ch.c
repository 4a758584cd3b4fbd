/* SPDX-License-Identifier: MIT */
/*
 * Cloud Hypervisor: started bare, with its API's listening socket and a
 * socket for events as descriptors, then told of the VM. Not by argv: there
 * the VM could be seen in ps, and an error would be an exit.
 */
#include "ch.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "disks.h"
#include "file.h"
#include "jtext.h"

#define STOP_MS 2000
#define PATH "/api/v1/"

static int ch_version(const char *binary, char out[64], struct err *err)
{
	/* "cloud-hypervisor v53.0", also "v53.0-12-gabc123-dirty". */
	return probe_version(binary, "cloud-hypervisor v", out, err);
}

static void ch_argv(
    const struct vm *vm, const struct vmm_fds *fds, struct strv *out)
{
	strv_add(out, vm->plan.binary);
	strv_add(out, "--api-socket");
	strv_addf(out, "fd=%d", fds->api);
	strv_add(out, "--event-monitor");
	strv_addf(out, "fd=%d", fds->events);
	/* Else the guest's nonsense, of which it warns, filled the disk. */
	strv_add(out, "--log-file");
	strv_add(out, "vmm.fifo");
	strv_add(out, "--seccomp");
	strv_add(out, "true");
}

/* Options of one argument each stand on a line of their own. */
static void ch_script(
    const struct vm *vm, const struct vmm_script *o, struct buf *out)
{
	AUTO_STRV struct strv argv = {0};

	ch_options(vm, o, &argv);
	buf_str(out, "exec ");
	for (size_t i = 0; i < argv.n; i++) {
		if (i)
			buf_str(out,
			    !strncmp(argv.v[i], "--", 2) ? " \\\n    " : " ");
		buf_shell(out, argv.v[i]);
	}
	buf_ch(out, '\n');
}

static int call(struct rest *api, const char *method, const char *path,
    const char *body, int timeout_ms, struct err *err)
{
	struct rest_call c = {.method = method,
	    .path = path,
	    .body = body,
	    .timeout_ms = timeout_ms};

	return rest_request(api, &c, NULL, err);
}

static int ch_ready(struct vmm_link *l, int timeout_ms, struct err *err)
{
	int64_t until = now_ms() + timeout_ms;

	if (rest_connect(&l->api, l->run_fd, "api.sock", timeout_ms, err) < 0)
		return -1;
	return call(&l->api, "GET", PATH "vmm.ping", NULL,
	    (int)(until - now_ms()), err);
}

static int ch_configure(const struct vm *vm, const struct vmm_fds *fds,
    struct vmm_link *l, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *config = ch_config(vm);
	AUTO_BUF struct buf body = {0};

	(void)fds;
	l->fresh = true;
	jval_print(config, &body);
	return call(
	    &l->api, "PUT", PATH "vm.create", body.data, timeout_ms, err);
}

static int ch_stop(struct vmm_link *l, struct err *err)
{
	return call(&l->api, "PUT", PATH "vm.power-button", NULL, STOP_MS, err);
}

static int ch_powerdown(int run_fd, int timeout_ms, struct err *err)
{
	AUTO_REST struct rest api = REST_NONE;

	if (rest_connect(&api, run_fd, "api.sock", timeout_ms, err) < 0)
		return -1;
	return call(&api, "PUT", PATH "vm.power-button", NULL, timeout_ms, err);
}

/* Its words for the end of a VM in ours. A reset is not an end: the VM boots
 * again in the same process. */
static void take_event(const char *text, size_t len, const char **reason)
{
	struct err ignored;
	AUTO_JSON struct json_object *v = jval_parse(text, len, &ignored);
	const char *source = jval_str(v, "source");
	const char *event = jval_str(v, "event");

	if (!source || !event || strcmp(source, "vm"))
		return;
	if (!strcmp(event, "shutdown"))
		*reason = "shutdown";
	else if (!strcmp(event, "booted") || !strcmp(event, "rebooted"))
		*reason = NULL;
}

/* It drops events when nobody reads them: all that is there is taken. */
static int ch_event(struct vmm_link *l, const char **reason)
{
	char chunk[4096];
	size_t start, end;
	ssize_t n;

	while ((n = recv(l->events, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0) {
		buf_add(&l->in, chunk, (size_t)n);
		while (jtext_split(l->in.data, l->in.len, &start, &end) > 0) {
			take_event(l->in.data + start, end - start, reason);
			buf_consume(&l->in, end);
		}
		/* No event is as long as that: it is not one. */
		if (l->in.len > 65536)
			buf_consume(&l->in, l->in.len);
	}
	return n == 0 ? -1 : 0;
}

static const char *ch_reason(int status)
{
	/* 0 without a word of the guest's end: SIGTERM before it ran. */
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "stopped" : NULL;
}

const struct vmm vmm_ch = {
    .name = "ch",
    .title = "Cloud Hypervisor",
    .program = "cloud-hypervisor",
    .remedy = "install cloud-hypervisor v53.0 from its project's releases",
    .console = "ttyS0",
    .caps = VMM_OCI | VMM_CLOUDIMG | VMM_WINDOWS | VMM_SERIALS | VMM_HUGEPAGES |
	    VMM_API_FD | VMM_EVENTS | VMM_TAP_NAMES | VMM_LOG_FIFO |
	    VMM_SNAPSHOT | VMM_ADDS_CPU | VMM_ADDS_MEMORY | VMM_ADDS_NICS |
	    VMM_ADDS_DISKS,
    /* 32 slots of a PCI bus, less the bridge, rng, balloon, watchdog. */
    .max_disks = 24,
    .max_files = 16384,
    .version = ch_version,
    .fault = ch_fault,
    .max_memory = ch_max_memory,
    .check = ch_check,
    .argv = ch_argv,
    .script = ch_script,
    .ready = ch_ready,
    .configure = ch_configure,
    .resume = ch_resume,
    .pause = ch_pause,
    .stop = ch_stop,
    .event = ch_event,
    .reason = ch_reason,
    .check_save = ch_check_save,
    .check_load = ch_check_load,
    .capture = ch_capture,
    .settle = ch_settle,
    .load = ch_load,
    .files = ch_files,
    .powerdown = ch_powerdown,
    .resize = ch_resize,
};
