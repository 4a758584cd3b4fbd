/* SPDX-License-Identifier: MIT */
/* Sizes of a running Cloud Hypervisor. */
#include <stdio.h>
#include <string.h>

#include "ch.h"

int ch_put(struct rest *api, const char *path, const struct json_object *body,
    int timeout_ms, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct rest_call c = {
	    .method = "PUT", .path = path, .timeout_ms = timeout_ms};

	if (body) {
		jval_print(body, &text);
		c.body = text.data;
	}
	return rest_request(api, &c, NULL, err);
}

int ch_resize_cpu(const struct vm *vm, uint64_t n, struct rest *api,
    int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	if (vmm_check_cpu(&vm->plan, n, err) < 0)
		return -1;
	jval_set_int(body, "desired_vcpus", (int64_t)n);
	return ch_put(api, "/api/v1/vm.resize", body, timeout_ms, err);
}

int ch_add_memory(const struct vm *vm, uint64_t bytes, struct rest *api,
    int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	if (vmm_check_memory(&vm->plan, bytes, err) < 0)
		return -1;
	jval_set_int(body, "desired_ram", (int64_t)bytes);
	return ch_put(api, "/api/v1/vm.resize", body, timeout_ms, err);
}

/* Below what it was started with, by the balloon. */
static int resize_memory(const struct vm *vm, uint64_t bytes, struct rest *api,
    int timeout_ms, struct err *err)
{
	AUTO_JSON struct json_object *body = jval_object();

	if (bytes > vm->plan.memory)
		return ch_add_memory(vm, bytes, api, timeout_ms, err);
	jval_set_int(
	    body, "desired_balloon", (int64_t)(vm->plan.memory - bytes));
	return ch_put(api, "/api/v1/vm.resize", body, timeout_ms, err);
}

int ch_resize_disk(const struct vm *vm, const struct vmm_size *want,
    struct rest *api, int timeout_ms, struct err *err)
{
	const struct doc_disk *d = vm->plan.disks.v;
	AUTO_JSON struct json_object *body = jval_object();
	char id[32];

	/* An overlay is refused by every version. */
	if (strcmp(d[want->disk].format, "raw"))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: overlays cannot be resized: import the image as a raw "
		    "disk",
		    d[want->disk].file);
	if (!ch_can_resize_disk(version_number(vm->hv.version)))
		return err_set(err, ERR_UNSUPPORTED,
		    "cloud-hypervisor v%s does not resize disks that run: "
		    "stop it first, or use v52.0 and later",
		    vm->hv.version);
	snprintf(id, sizeof(id), "disk%d", want->disk);
	jval_set_str(body, "id", id);
	jval_set_int(body, "desired_size", (int64_t)want->disk_bytes);
	return ch_put(api, "/api/v1/vm.resize-disk", body, timeout_ms, err);
}

int ch_resize(const struct vm *vm, const struct vmm_size *want, int run_fd,
    int timeout_ms, struct err *err)
{
	AUTO_REST struct rest api = REST_NONE;

	if (rest_connect(&api, run_fd, "api.sock", timeout_ms, err) < 0)
		return -1;
	if (want->cpu &&
	    ch_resize_cpu(vm, want->cpu, &api, timeout_ms, err) < 0)
		return -1;
	if (want->memory &&
	    resize_memory(vm, want->memory, &api, timeout_ms, err) < 0)
		return -1;
	if (want->disk >= 0 &&
	    ch_resize_disk(vm, want, &api, timeout_ms, err) < 0)
		return -1;
	return 0;
}
