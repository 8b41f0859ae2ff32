/* SPDX-License-Identifier: BSD-3-Clause */
/* Plugged by the guest, mapped by libvmem through VFIO, reached by a device that the
 * guest drives; and not any more when it is unplugged. */
#include "guest/checks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>

#include "lab/result.h"

#define REGISTERS "0xd0100000"
#define PLUGGED (256 * MIB)
#define BLOCK (2 * MIB)

static uint64_t pass_number(const char *name)
{
    const char *text = monitor("info pass");
    const char *at = text != NULL ? strstr(text, name) : NULL;

    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : UINT64_MAX;
}

/* Faults that the IOMMU has told this machine's kernel. */
static unsigned count_faults(void)
{
    static char log[1 << 20];
    const int size = klogctl(3, log, sizeof(log) - 1);
    unsigned nr = 0;

    log[size > 0 ? size : 0] = '\0';
    for (const char *at = log; (at = strstr(at, "fault addr")) != NULL; at++) {
        nr++;
    }
    return nr;
}

void check_chain(void)
{
    const uint64_t gpa = device_number("vmem0", "memaddr");
    const uint64_t nr_cpus = guest_number(0, "cpus");
    const uint64_t before = pass_number("\nmappings: ");
    bool fine = expect(nr_cpus == 2, "%" PRIu64 " CPUs", nr_cpus) &&
                guest("online online_movable") != NULL &&
                resize("vmem0", PLUGGED) && fill("vmem0", 200) >= 100 * MIB;
    const uint64_t plugged = pass_number("\nmappings: ");

    fine =
        fine && expect(before == 1 && plugged == 1 + PLUGGED / BLOCK,
                       "%" PRIu64 " mappings, then %" PRIu64, before, plugged);
    const uint64_t target =
        fine ? guest_number(0, "edu " REGISTERS " %" PRIu64 " %" PRIu64, gpa,
                            PLUGGED)
             : UINT64_MAX;
    fine = fine &&
           expect(target >= gpa && target - gpa < PLUGGED, "%s", guest_why()) &&
           guest("keep 0") != NULL && resize("vmem0", 0);
    const uint64_t after = pass_number("\nmappings: ");
    fine = fine &&
           expect(after == 1 && pass_number("\nstuck: ") == 0,
                  "%" PRIu64 " mappings stay", after) &&
           expect(device_resident("vmem0") == 0, "%s", "memory stays");

    /* The device still has the address. */
    const unsigned nr_faults = count_faults();
    fine = fine && guest("poke " REGISTERS " %" PRIu64, target) != NULL &&
           expect(device_resident("vmem0") == 0, "%s",
                  "the device has reached unplugged memory") &&
           expect(count_faults() > nr_faults, "%s",
                  "the IOMMU has told of no fault");
    /* And when it is plugged again there is nothing of the old. */
    fine = fine && resize("vmem0", PLUGGED) &&
           fill("vmem0", 200) >= 100 * MIB &&
           guest_number(0, "edu " REGISTERS " %" PRIu64 " %" PRIu64, gpa,
                        PLUGGED) != UINT64_MAX &&
           guest("keep 0") != NULL && resize("vmem0", 0);
    result(fine, "chain",
           "DMA of the device of a guest with 2 CPUs landed at 0x%" PRIx64
           " in a block that it plugged; %" PRIu64 " mappings became %" PRIu64
           ", and %" PRIu64 " when it unplugged; DMA to the same address then "
           "faulted, with nothing resident",
           target, before, plugged, after);
}
