/* SPDX-License-Identifier: MIT */
#include "net.h"

static const struct verb *const verbs[] = {
    &verb_add,
    &verb_del,
    &verb_check,
    &verb_list,
    &verb_stats,
    &verb_gc,
    &verb_doctor,
    NULL,
};

static const struct tool tool = {
    .name = "cocoon-net",
    .summary = "Gives a VM its network: namespace, NICs, addresses.",
    .verbs = verbs,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
