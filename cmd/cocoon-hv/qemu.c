/* SPDX-License-Identifier: MIT */
/* The QEMU backend: needs nothing but a distribution package, no KVM. */
#include "qemu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "file.h"
#include "qmp.h"

#define PORTS 4
#define GIB (UINT64_C(1) << 30)
#define SLOTS 32 /* for DIMMs */
#define TCG_BITS 40

static int qemu_version(const char *binary, char out[64], struct err *err)
{
	return probe_version(binary, "QEMU emulator version ", out, err);
}

static int qemu_ready(struct vmm_link *l, int timeout_ms, struct err *err)
{
	return qmp_hello(l->events, timeout_ms, err);
}

static int qemu_pause(struct vmm_link *l, int timeout_ms, struct err *err)
{
	return qmp_command(l->events, "stop", timeout_ms, NULL, err);
}

static int qemu_stop(struct vmm_link *l, struct err *err)
{
	return qmp_send(l->events, "system_powerdown", err);
}

/* SHUTDOWN's reason (qapi/run-state.json, ShutdownCause) in our words. */
static const char *reason_of(const struct json_object *data)
{
	static const char *const known[][2] = {
	    {"guest-shutdown", "shutdown"},
	    {"guest-reset", "reset"},
	    {"guest-panic", "panic"},
	    {"host-qmp-quit", "stopped"},
	    {"host-signal", "stopped"},
	    {"host-error", "failed"},
	};
	const char *r = jval_str(data, "reason");

	for (size_t i = 0; r && i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i][0], r))
			return known[i][1];
	return "unknown";
}

static int qemu_event(struct vmm_link *l, const char **reason)
{
	struct err err;

	for (;;) {
		AUTO_JSON struct json_object *v =
		    qmp_read(l->events, &l->in, 0, &err);
		const char *event = jval_str(v, "event");

		if (!v)
			return err.code == ERR_TIMEOUT ? 0 : -1;
		if (event && !strcmp(event, "SHUTDOWN"))
			*reason = reason_of(jval_get(v, "data"));
	}
}

static int qemu_powerdown(int run_fd, int timeout_ms, struct err *err)
{
	AUTO_LINK struct vmm_link l = VMM_LINK_NONE;

	l.events = socket_connect(run_fd, "api.sock", err);
	/* A guest that is paused would not see the button. */
	if (l.events < 0 || qmp_hello(l.events, timeout_ms, err) < 0 ||
	    qemu_resume(&l, timeout_ms, err) < 0)
		return -1;
	return qmp_command(l.events, "system_powerdown", timeout_ms, NULL, err);
}

static int qemu_resize(const struct vm *vm, const struct vmm_size *want,
    int run_fd, int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *args = jval_object();
	AUTO_BUF struct buf text = {0}, in = {0};
	struct qmp_call c = {"block_resize", NULL, -1, timeout_ms};
	AUTO_FD int api = -1;
	char id[32];

	if ((want->memory && want->memory < vm->plan.memory) ||
	    (want->cpu && want->cpu < vm->plan.cpu))
		return err_set(err, ERR_UNSUPPORTED,
		    "backend qemu: less memory, or fewer CPUs, only while it "
		    "is stopped");
	api = socket_connect(run_fd, "api.sock", err);
	if (api < 0 || qmp_hello(api, timeout_ms, err) < 0)
		return -1;
	if (want->cpu && qemu_plug_cpus(api, &in, vm, want->cpu, err) < 0)
		return -1;
	if (want->memory &&
	    qemu_plug_memory(api, &in, vm, want->memory, err) < 0)
		return -1;
	if (want->disk < 0)
		return 0;
	snprintf(id, sizeof(id), "d%d", want->disk);
	jval_set_str(args, "device", id);
	jval_set_int(args, "size", (int64_t)want->disk_bytes);
	jval_print(args, &text);
	c.args = text.data;
	return qmp_call(api, &in, &c, NULL, err);
}

/*
 * Memory that may come above 4 GiB makes Linux set 64 MiB aside for devices
 * that cannot reach it. Those that boot a kernel are told that there are none
 * (cocoon-hint's swiotlb=noforce); others would lose them.
 */
static uint64_t qemu_max_memory(
    const struct doc_image *image, const struct doc_plan *plan)
{
	bool kvm = plan->accel && !strcmp(plan->accel, "kvm");
	uint64_t bits = kvm ? host_address_bits() : TCG_BITS;
	uint64_t n = 0, host = host_memory();

	if (host > plan->memory && !strcmp(image->type, "oci"))
		n = (host - plan->memory) / VMM_MEMORY_STEP;
	if (n > SLOTS)
		n = SLOTS;
	/* A slot has 1 GiB of addresses besides the memory in it; the holes
	 * for devices are 4 and 32 GiB. */
	while (n && plan->memory + n * (VMM_MEMORY_STEP + GIB) + 37 * GIB >
			UINT64_C(1) << bits)
		n--;
	return plan->memory + n * VMM_MEMORY_STEP;
}

static int qemu_check(const struct doc_spec *spec,
    const struct doc_image *image, struct doc_plan *plan, struct err *err)
{
	plan->ports = PORTS;
	return cloud_plan(spec, image, plan, err);
}

static const char *const firmware[] = {
    "/usr/share/qemu", "/usr/share/seabios", "/usr/share/OVMF", NULL};

const struct vmm vmm_qemu = {
    .name = "qemu",
    .title = "QEMU",
    .program = "qemu-system-x86_64",
    .remedy = "apt-get install qemu-system-x86",
    .console = "ttyS0",
    .caps = VMM_OCI | VMM_CLOUDIMG | VMM_SERIALS | VMM_TCG | VMM_API_FD |
	    VMM_EVENTS | VMM_CONSOLE_FD | VMM_TAP_FDS | VMM_SNAPSHOT |
	    VMM_PORTS | VMM_ADDS_CPU | VMM_ADDS_MEMORY | VMM_ADDS_NICS |
	    VMM_ADDS_DISKS,
    .max_files = 16384,
    .reads = firmware,
    .max_disks = QEMU_MAX_DISKS,
    .version = qemu_version,
    .max_memory = qemu_max_memory,
    .check = qemu_check,
    .argv = qemu_argv,
    .script = qemu_script,
    .ready = qemu_ready,
    .resume = qemu_resume,
    .pause = qemu_pause,
    .stop = qemu_stop,
    .event = qemu_event,
    .capture = qemu_capture,
    .load = qemu_load,
    .check_load = qemu_check_load,
    .files = qemu_files,
    .powerdown = qemu_powerdown,
    .resize = qemu_resize,
};
