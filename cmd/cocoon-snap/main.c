/* SPDX-License-Identifier: MIT */
#include "snap.h"

static const struct verb *const verbs[] = {&verb_add, &verb_get, &verb_list,
    &verb_inspect, &verb_verify, &verb_rm, &verb_gc, &verb_doctor, NULL};

static const struct tool tool = {
    .name = "cocoon-snap",
    .summary = "Keeps snapshots of VMs.",
    .verbs = verbs,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
