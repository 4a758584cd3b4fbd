/* SPDX-License-Identifier: MIT */
#include "hint.h"

#define OPT(m, n, k, meta, h)                                               \
	{                                                                   \
		.name = (n), .kind = (k),                                   \
		.offset = offsetof(struct boot_opts, m), .metavar = (meta), \
		.help = (h)                                                 \
	}

static const struct opt boot_options[] = {
    OPT(user, "user", OPT_STRING, "NAME", "who may log in (default: root)"),
    OPT(password_file, "password-file", OPT_STRING, "FILE",
	"password: the first line of FILE"),
    {.name = "password-fd",
	.kind = OPT_U64,
	.offset = offsetof(struct boot_opts, password_fd),
	.min = 3,
	.max = 65535,
	.metavar = "N",
	.help = "password: the first line of descriptor N"},
    OPT(password, "password", OPT_STRING, "TEXT",
	"password, for every process here to see"),
    OPT(key_files, "ssh-key-file", OPT_LIST, "FILE",
	"public keys, one a line; repeatable"),
    OPT(user_data_file, "user-data", OPT_STRING, "FILE",
	"user-data for cloud-init, beside ours"),
};

static const struct verb boot = {
    .name = "boot",
    .summary = "adds .boot: kernel command line and seed of the guest",
    .opts = boot_options,
    .n_opts = ARRAY_LEN(boot_options),
    .opts_size = sizeof(struct boot_opts),
    .emits = true,
    .filter = boot_filter,
};

static const struct verb doctor = {
    .name = "doctor",
    .summary = "checks what this tool needs of the host",
    .run = doctor_run,
};

static const struct verb *const verbs[] = {&boot, &doctor, NULL};

int main(int argc, char **argv)
{
	static const struct tool tool = {
	    .name = "cocoon-hint",
	    .summary = "Says what a guest is told: command line, seed, login.",
	    .verbs = verbs,
	};

	return tool_main(&tool, argc, argv);
}
