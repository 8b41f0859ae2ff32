/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/guest_sim.h"

#define LOOK_UP(table, i)                                                      \
    ((i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : NULL)

const char *vmem_guest_kind_name(uint64_t kind)
{
    static const char *const names[] = { "linux", "linux-bbm", "windows" };

    return LOOK_UP(names, kind);
}

const char *vmem_guest_pattern_name(uint64_t pattern)
{
    static const char *const names[] = {
        "movable", "idle", "slab", "pressure", "scatter", "checker", "random",
    };

    return LOOK_UP(names, pattern);
}

const char *vmem_guest_status_name(uint64_t status)
{
    static const char *const names[] = {
        "idle", "waiting", "stuck", "spinning", "broken", "absent",
    };

    return LOOK_UP(names, status);
}

static const struct {
    const char *name;
    const char *clause;
} rules[VMEM_GUEST_NR_RULES] = {
    [VMEM_GUEST_RULE_BLOCK_SIZE] = { "block-size", "CFG-02" },
    [VMEM_GUEST_RULE_ALIGNMENT] = { "alignment", "CFG-03" },
    [VMEM_GUEST_RULE_RANGE] = { "range", "CFG-05 CFG-06" },
    [VMEM_GUEST_RULE_CONSTANT] = { "constant", "CFG-07" },
    [VMEM_GUEST_RULE_PLUGGED] = { "plugged-size", "CFG-08 RST-01" },
    [VMEM_GUEST_RULE_SHRANK] = { "usable-shrank", "CFG-09" },
    [VMEM_GUEST_RULE_SILENT] = { "silent", "CFG-10" },
    [VMEM_GUEST_RULE_UNANSWERED] = { "unanswered", "REQ-11" },
    [VMEM_GUEST_RULE_ANSWER] = { "answer", "UNP-09 ALL-06 STA-03" },
    [VMEM_GUEST_RULE_ERROR] = { "error", "PLG-08 UNP-07 STA-02" },
    [VMEM_GUEST_RULE_NACK] = { "nack", "PLG-06" },
    [VMEM_GUEST_RULE_ACK] = { "ack", "PLG-03 PLG-05 PLG-06 UNP-05" },
    [VMEM_GUEST_RULE_STATE] = { "state", "STA-02" },
};

const char *vmem_guest_rule_name(uint64_t rule)
{
    return rule < VMEM_GUEST_NR_RULES ? rules[rule].name : NULL;
}

const char *vmem_guest_rule_clause(uint64_t rule)
{
    return rule < VMEM_GUEST_NR_RULES ? rules[rule].clause : NULL;
}
