/* SPDX-License-Identifier: MIT */
#include "hv.h"

static const struct verb *const verbs[] = {
    &verb_spec,
    &verb_plan,
    &verb_get,
    &verb_create,
    &verb_start,
    &verb_stop,
    &verb_pause,
    &verb_resume,
    &verb_capture,
    &verb_load,
    &verb_revert,
    &verb_wait,
    &verb_list,
    &verb_inspect,
    &verb_status,
    &verb_console,
    &verb_logs,
    &verb_rm,
    &verb_debug,
    &verb_gc,
    &verb_doctor,
    &verb_resize,
    &verb_report,
    NULL,
};

static const struct tool tool = {
    .name = "cocoon-hv",
    .summary = "Drives the hypervisor: VMs from creation to removal.",
    .verbs = verbs,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
