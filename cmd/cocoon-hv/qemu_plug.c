/* SPDX-License-Identifier: MIT */
/*
 * Devices and processors for a QEMU that stands still, or runs: device_add
 * (qapi/qdev.json), query-hotpluggable-cpus (qapi/machine.json).
 */
#include <stdlib.h>
#include <string.h>

#include "qmp.h"
#include "vmm.h"

#define API_MS 20000

static int plug(
    int fd, struct buf *in, const struct json_object *args, struct err *err)
{
	AUTO_BUF struct buf text = {0};
	struct qmp_call c = {"device_add", NULL, -1, API_MS};

	jval_print(args, &text);
	c.args = text.data;
	return qmp_call(fd, in, &c, NULL, err);
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

static int plug_cpu(int fd, struct buf *in, struct err *err)
{
	static const char *const props[] = {
	    "node-id", "socket-id", "die-id", "core-id", "thread-id"};
	struct qmp_call ask = {"query-hotpluggable-cpus", "{}", -1, API_MS};
	AUTO_JSON struct json_object *list = NULL, *args = jval_object();
	struct json_object *cpu;

	if (qmp_call(fd, in, &ask, &list, err) < 0)
		return -1;
	cpu = free_cpu(list);
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

int qemu_plug_cpus(int fd, struct buf *in, uint64_t n, struct err *err)
{
	for (; n; n--)
		if (plug_cpu(fd, in, err) < 0)
			return err_wrap(err, "CPU");
	return 0;
}
