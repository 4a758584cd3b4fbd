/* SPDX-License-Identifier: MIT */
#include "clone.h"

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

static const struct clone_opts clone_defaults = {.format = "text"};
static const struct opt clone_options[] = {
    {.name = "format",
	.kind = OPT_ENUM,
	.letter = 'o',
	.metavar = "text|script|json",
	.offset = offsetof(struct clone_opts, format),
	.help = "for people, for a shell, for programs"},
};

static const struct verb clone = {
    .name = "clone",
    .summary = "says what a cloned guest runs to become itself",
    .defaults = &clone_defaults,
    .opts = clone_options,
    .n_opts = ARRAY_LEN(clone_options),
    .opts_size = sizeof(struct clone_opts),
    .filter = clone_filter,
};

static const struct verb doctor = {
    .name = "doctor",
    .summary = "checks what this tool needs of the host",
    .run = doctor_run,
};

static const struct verb *const verbs[] = {&boot, &clone, &doctor, NULL};

int main(int argc, char **argv)
{
	static const struct tool tool = {
	    .name = "cocoon-hint",
	    .summary = "Says what a guest is told: command line, seed, login.",
	    .verbs = verbs,
	};

	return tool_main(&tool, argc, argv);
}
