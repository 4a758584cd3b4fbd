/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "file.h"
#include "hv.h"

int vm_bind(struct vm *vm, struct err *err)
{
	const struct json_object *d = vm->doc;

	if (doc_bind(d, "vm", &doc_vm_table, &vm->vm, err) < 0 ||
	    doc_bind_optional(d, "spec", &doc_spec_table, &vm->spec, err) < 0 ||
	    doc_bind_optional(d, "image", &doc_image_table, &vm->image, err) <
		0 ||
	    doc_bind_optional(d, "plan", &doc_plan_table, &vm->plan, err) < 0 ||
	    doc_bind_optional(d, "net", &doc_net_table, &vm->net, err) < 0 ||
	    doc_bind_optional(d, "boot", &doc_boot_table, &vm->boot, err) < 0 ||
	    doc_bind_optional(d, "hv", &doc_hv_table, &vm->hv, err) < 0)
		return err_wrap(err, "vm %s", vm->id);
	return 0;
}

int vm_open(struct vm *vm, const char *ref, int lock_ms, struct err *err)
{
	*vm = (struct vm)VM_NONE;
	if (state_open(&vm->st, false, err) < 0 ||
	    state_find_vm(&vm->st, ref, vm->id, err) < 0)
		return -1;
	vm->fd = state_vm_dir(&vm->st, vm->id, err);
	if (vm->fd < 0)
		return -1;
	if (lock_ms >= 0) {
		vm->lock_fd =
		    state_vm_lock(&vm->st, vm->fd, vm->id, lock_ms, err);
		if (vm->lock_fd < 0)
			return -1;
	}
	vm->doc = state_record(vm->fd, vm->id, err);
	return vm->doc ? vm_bind(vm, err) : -1;
}

void vm_close(struct vm *vm)
{
	jval_put(vm->doc);
	vm->doc = NULL;
	close_fd(&vm->fd);
	close_fd(&vm->lock_fd);
	state_close(&vm->st);
}

int vm_save(struct vm *vm, bool durable, struct err *err)
{
	static const char *const derived[] = {
	    "state", "pid", "uid", "unattended", "ended"};
	AUTO_BUF struct buf text = {0};
	struct json_object *hv;

	doc_put(vm->doc, "hv", &doc_hv_table, &vm->hv);
	hv = jval_get(vm->doc, "hv");
	for (size_t i = 0; i < ARRAY_LEN(derived); i++)
		jval_del(hv, derived[i]);
	jval_print(vm->doc, &text);
	buf_ch(&text, '\n');
	if (file_replace(vm->fd, "vm.json", text.data, text.len, durable, err) <
	    0)
		return err_wrap(err, "vm %s", vm->id);
	/* What pointed into the old hv is gone with it. */
	return doc_bind(vm->doc, "hv", &doc_hv_table, &vm->hv, err);
}

int vm_resolve_all(const struct strv *refs, struct strv *ids, struct err *err)
{
	AUTO_STATE struct state st = STATE_NONE;

	if (!refs->n)
		return err_set(err, ERR_USAGE, "which VM?");
	if (state_open(&st, false, err) < 0)
		return -1;
	for (size_t i = 0; i < refs->n; i++) {
		char id[STATE_ID_LEN + 1];

		if (state_find_vm(&st, refs->v[i], id, err) < 0)
			return -1;
		strv_add(ids, id);
	}
	return 0;
}

bool vm_seen_before(const struct strv *ids, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(ids->v[k], ids->v[i]))
			return true;
	return false;
}

int vm_run_dir(const struct vm *vm, struct err *err)
{
	char name[24];

	snprintf(
	    name, sizeof(name), "%llu", (unsigned long long)vm->hv.generation);
	return dir_open(vm->fd, name, 0, err);
}

int vm_pin_dir(const struct vm *vm, struct err *err)
{
	char name[32] = "pin";

	if (vm->hv.generation)
		snprintf(name, sizeof(name), "pin.%llu",
		    (unsigned long long)vm->hv.generation);
	return dir_open(vm->fd, name, 0, err);
}

/* A path to NAME in dirfd that fits sun_path however deep the root is. */
static int socket_address(
    int dirfd, const char *name, struct sockaddr_un *a, struct err *err)
{
	int n;

	a->sun_family = AF_UNIX;
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s",
	    dirfd, name);
	if (n >= (int)sizeof(a->sun_path))
		return err_set(err, ERR_FAILED, "%s: name too long", name);
	return 0;
}

int socket_connect(int dirfd, const char *name, struct err *err)
{
	AUTO_FD int fd = -1, node = -1;
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	/* By O_PATH: the directory's owner could swap in a symlink. */
	node = open_beneath(dirfd, name, O_PATH, 0, err);
	if (node < 0)
		return -1;
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", node);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_sys(err, errno, "%s: connect", name);
	return take_fd(&fd);
}

int socket_listen(int dirfd, const char *name, struct err *err)
{
	AUTO_FD int fd = -1;
	struct sockaddr_un a;

	if (socket_address(dirfd, name, &a, err) < 0)
		return -1;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s: remove the old one", name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 16) < 0)
		return err_sys(err, errno, "%s: listen", name);
	return take_fd(&fd);
}
