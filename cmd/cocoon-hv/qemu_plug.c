/* SPDX-License-Identifier: MIT */
/*
 * Devices and processors for a QEMU that stands still, or runs: device_add
 * (qapi/qdev.json), query-hotpluggable-cpus (qapi/machine.json).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu.h"
#include "qmp.h"

#define API_MS 20000

/* What a query answers; NULL: an error. */
struct json_object *qemu_ask(
    int fd, struct buf *in, const char *query, struct err *err)
{
	struct qmp_call c = {query, "{}", -1, API_MS};
	struct json_object *answer = NULL;

	return qmp_call(fd, in, &c, &answer, err) < 0 ? NULL : answer;
}

static int call(int fd, struct buf *in, const char *command,
    const struct json_object *args, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct qmp_call c = {command, NULL, -1, API_MS};

	jval_print(args, &text);
	c.args = text.data;
	return qmp_call(fd, in, &c, NULL, err);
}

static int plug(
    int fd, struct buf *in, const struct json_object *args, struct err *err)
{
	return call(fd, in, "device_add", args, err);
}

/* Numbers and switches: QEMU 10 does not read them from strings. */
static void set_property(
    struct json_object *args, const char *name, const char *value)
{
	bool on = !strcmp(value, "on");

	if (on || !strcmp(value, "off"))
		jval_set_bool(args, name, on);
	else if (strcmp(name, "serial") && value[0] &&
		 strspn(value, "0123456789") == strlen(value))
		jval_set_int(args, name, atoll(value));
	else
		jval_set_str(args, name, value);
}

/* "DRIVER,name=value,..." as the arguments of device_add. */
static int plug_text(
    int fd, struct buf *in, const char *properties, struct err *err)
{
	AUTO_JSON struct json_object *args = jval_object();
	AUTO_FREE char *text = xstrdup(properties);
	char *save = NULL, *word = strtok_r(text, ",", &save);

	jval_set_str(args, "driver", word);
	while ((word = strtok_r(NULL, ",", &save))) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		set_property(args, word, value);
	}
	return plug(fd, in, args, err);
}

int qemu_plug(int fd, struct buf *in, const struct vm *vm, struct err *err)
{
	size_t disks = vm->plan.disks.n, nics = vm->net.nics.n;

	for (size_t i = disks - vm->new_disks; i < disks; i++) {
		AUTO_FREE char *disk = qemu_disk(vm, i);

		if (plug_text(fd, in, disk, err) < 0)
			return err_wrap(err, "disk %zu", i);
	}
	for (size_t i = nics - vm->new_nics; i < nics; i++) {
		AUTO_FREE char *nic = qemu_nic(vm, i);

		if (plug_text(fd, in, nic, err) < 0)
			return err_wrap(err, "NIC %zu", i);
	}
	return 0;
}

/* One that is not there yet, with the lowest core: QEMU lists the last first,
 * and a VM of as many is started with the first. */
static struct json_object *free_cpu(const struct json_object *list)
{
	struct json_object *best = NULL;
	int64_t lowest = 0;

	for (size_t i = 0; i < jval_len(list); i++) {
		struct json_object *cpu = jval_at(list, i);
		struct json_object *at = jval_get(cpu, "props");
		int64_t n = jval_int(at, "socket-id", 0) * 1000000 +
			    jval_int(at, "core-id", 0) * 1000 +
			    jval_int(at, "thread-id", 0);

		if (jval_get(cpu, "qom-path") || (best && n >= lowest))
			continue;
		best = cpu;
		lowest = n;
	}
	return best;
}

static uint64_t count_cpus(const struct json_object *list)
{
	uint64_t n = 0;

	for (size_t i = 0; i < jval_len(list); i++)
		n += jval_get(jval_at(list, i), "qom-path") != NULL;
	return n;
}

static int plug_cpu(
    int fd, struct buf *in, const struct json_object *cpu, struct err *err)
{
	static const char *const props[] = {
	    "node-id", "socket-id", "die-id", "core-id", "thread-id"};
	AUTO_JSON struct json_object *args = jval_object();

	if (!cpu)
		return err_set(
		    err, ERR_UNSUPPORTED, "it has no room for another CPU");
	jval_set_str(args, "driver", jval_str(cpu, "type"));
	for (size_t i = 0; i < ARRAY_LEN(props); i++)
		if (jval_get(jval_get(cpu, "props"), props[i]))
			jval_set_int(args, props[i],
			    jval_int(jval_get(cpu, "props"), props[i], 0));
	return plug(fd, in, args, err);
}

/* Who did it may have been killed before he recorded it. */
static int has_more(uint64_t n, const char *of, struct err *err)
{
	return err_set(err, ERR_STATE,
	    "it has %llu %s, which is not recorded: `vm resize` it to that",
	    (unsigned long long)n, of);
}

static int check_cpus(
    const struct json_object *list, uint64_t n, struct err *err)
{
	uint64_t has = count_cpus(list);

	return has > n ? has_more(has, "CPUs", err) : 0;
}

int qemu_plug_cpus(
    int fd, struct buf *in, const struct vm *vm, uint64_t n, struct err *err)
{
	if (vmm_check_cpu(&vm->plan, n, err) < 0)
		return -1;
	for (;;) {
		AUTO_JSON struct json_object *list =
		    qemu_ask(fd, in, "query-hotpluggable-cpus", err);

		if (!list || check_cpus(list, n, err) < 0)
			return -1;
		if (count_cpus(list) == n)
			return 0;
		if (plug_cpu(fd, in, free_cpu(list), err) < 0)
			return err_wrap(err, "CPU");
	}
}

/* By their names: the guest may have ejected any of them. */
static bool has_dimm(const struct json_object *list, int64_t i)
{
	char id[32];

	snprintf(id, sizeof(id), "dimm%lld", (long long)i);
	for (size_t k = 0; k < jval_len(list); k++) {
		const char *other =
		    jval_str(jval_get(jval_at(list, k), "data"), "id");

		if (other && !strcmp(other, id))
			return true;
	}
	return false;
}

static int64_t missing_dimms(const struct json_object *list, int64_t n)
{
	int64_t missing = 0;

	for (int64_t i = 0; i < n; i++)
		missing += !has_dimm(list, i);
	return missing;
}

/* Memory without a place in the guest yet. One that was left over, by who was
 * killed here, gives way; one in use does not. */
static int make_memory(int fd, struct buf *in, int64_t i, struct err *err)
{
	AUTO_JSON struct json_object *args = jval_object();
	struct err ignored;
	char id[32];

	snprintf(id, sizeof(id), "mem%lld", (long long)i);
	jval_set_str(args, "id", id);
	(void)call(fd, in, "object-del", args, &ignored);
	jval_set_str(args, "qom-type", "memory-backend-ram");
	jval_set_int(args, "size", (int64_t)VMM_MEMORY_STEP);
	return call(fd, in, "object-add", args, err);
}

static int plug_dimm(int fd, struct buf *in, int64_t i, struct err *err)
{
	AUTO_FREE char *dimm = qemu_dimm(i);

	return plug_text(fd, in, dimm, err);
}

static int check_dimms(const struct vm *vm, const struct json_object *list,
    int64_t n, struct err *err)
{
	int64_t has = (int64_t)jval_len(list);

	return has + missing_dimms(list, n) > n
		   ? has_more(
			 qemu_boot_memory(vm) + (uint64_t)has * VMM_MEMORY_STEP,
			 "bytes of memory", err)
		   : 0;
}

int qemu_plug_memory(int fd, struct buf *in, const struct vm *vm,
    uint64_t bytes, struct err *err)
{
	int64_t n = qemu_dimms(vm, bytes);
	AUTO_JSON struct json_object *list =
	    vmm_check_memory(&vm->plan, bytes, err) < 0
		? NULL
		: qemu_ask(fd, in, "query-memory-devices", err);

	if (!list || check_dimms(vm, list, n, err) < 0)
		return -1;
	/* All of it, before the guest sees any. */
	for (int64_t i = 0; i < n; i++)
		if (!has_dimm(list, i) && make_memory(fd, in, i, err) < 0)
			return err_wrap(err, "memory");
	for (int64_t i = 0; i < n; i++)
		if (!has_dimm(list, i) && plug_dimm(fd, in, i, err) < 0)
			return err_wrap(err, "memory");
	return 0;
}

int qemu_check_plugged(
    int fd, struct buf *in, const struct vm *vm, struct err *err)
{
	AUTO_JSON struct json_object *cpus =
	    qemu_ask(fd, in, "query-hotpluggable-cpus", err);
	AUTO_JSON struct json_object *list =
	    cpus ? qemu_ask(fd, in, "query-memory-devices", err) : NULL;
	int64_t n = qemu_dimms(vm, vm->plan.memory);

	if (!list || check_cpus(cpus, vm->plan.cpu, err) < 0 ||
	    check_dimms(vm, list, n, err) < 0)
		return -1;
	if (count_cpus(cpus) == vm->plan.cpu && !missing_dimms(list, n))
		return 0;
	return err_set(err, ERR_STATE,
	    "its guest has ejected CPUs or memory: `vm resize` it to the %llu "
	    "CPUs and %llu bytes that are recorded",
	    (unsigned long long)vm->plan.cpu,
	    (unsigned long long)vm->plan.memory);
}
