/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel that knows PERSISTENT_SUSPEND: suspend; memory that is no memfd: anon,
 * hugetlb; and what a kernel that clears what it allocates does: init. */
#include "guest/checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "lab/result.h"

#define SIZE (256 * MIB)
#define POLL_US 20000

static void check_backing(const char *name, const struct sized *test)
{
    const bool fine = grow_and_shrink(test);

    result(fine, name,
           "0, %" PRIu64 ", %" PRIu64 ", 0 MiB; resident memory was at most "
           "%" PRIu64 " KiB off what was %s; patterns intact",
           test->size / MIB, test->size / 4 / MIB, take_worst_distance() / 1024,
           test->is_populated
               ? "plugged"
               : "touched (at a quarter: off the range from the pattern's "
                 "pages to what is plugged)");
}

static void check_suspend(void)
{
    bool fine = guest("online online_movable") != NULL &&
                resize("vmem0", SIZE) && fill("vmem0", 200) != UINT64_MAX;
    const uint64_t nr_plugs = device_stat("vmem0", "plug-ack");
    const uint64_t nr_unplugs = device_stat("vmem0", "unplug-ack");
    const uint64_t nr_resets = device_stat("vmem0", "driver-resets");
    const uint64_t nr_sleeps = guest_number(0, "sleeps");
    const uint64_t resident = device_resident("vmem0");
    const uint64_t features = device_number("vmem0", "driver-features");
    const bool slept = fine && guest_sleep();

    if (!slept) {
        result_note("the kernel says: %s", guest_why());
    }
    const uint64_t nr_slept = guest_number(0, "sleeps") - nr_sleeps;
    const uint64_t nr_later = device_stat("vmem0", "driver-resets") - nr_resets;
    fine = fine && expect((features & 4) != 0, "no PERSISTENT_SUSPEND") &&
           expect(slept && nr_slept == 1, "it slept %" PRIu64 " times",
                  nr_slept) &&
           expect(device_number("vmem0", "size") == SIZE &&
                      device_stat("vmem0", "plug-ack") == nr_plugs &&
                      device_stat("vmem0", "unplug-ack") == nr_unplugs &&
                      device_resident("vmem0") >= resident - 2 * MIB,
                  "sleeping has changed something") &&
           guest("check") != NULL && guest("keep 0") != NULL &&
           resize("vmem0", SIZE + 64 * MIB) && resize("vmem0", 0);
    result(fine, "suspend",
           "to idle with PERSISTENT_SUSPEND and %" PRIu64
           " MiB plugged: woken by the console, patterns and plugged state "
           "intact after %" PRIu64 " resets of the driver, no request; grows "
           "and shrinks again",
           SIZE / MIB, nr_later);
}

/* What the host sees while the guest gives back what it has not touched. */
static void measure_init(const char *setting)
{
    uint64_t most = 0;
    uint64_t before = 0;
    bool fine = guest("online online_movable") != NULL && resize("vmem0", SIZE);

    before = device_resident("vmem0");
    const double start_s = now_s();
    fine = fine && monitor("resize vmem0 0") != NULL;
    while (fine && device_number("vmem0", "size") > 0 &&
           now_s() - start_s < 120) {
        const uint64_t resident = device_resident("vmem0");

        most = resident > most ? resident : most;
        usleep(POLL_US);
    }
    const double took_s = now_s() - start_s;
    fine = fine && expect(device_number("vmem0", "size") == 0, "it stays") &&
           expect(device_resident("vmem0") == 0, "it is resident");
    char name[16];
    snprintf(name, sizeof(name), "init-%s", setting);
    result(fine, name,
           "init_on_alloc %s: %" PRIu64 " MiB that nobody touched had %" PRIu64
           " KiB resident, up to %" PRIu64
           " KiB while the guest gave them back, which took %.1f s, and 0 then",
           setting, SIZE / MIB, before / 1024, most / 1024, took_s);
}

void check_newer(void)
{
    static const struct sized anon = {
        "vmem1", "online_movable", SIZE, 2 * MIB, 200, true, false
    };
    static const struct sized hugetlb = {
        "vmem2", "online_movable", SIZE, 2 * MIB, 200, true, true
    };

    take_worst_distance();
    check_backing("anon", &anon);
    check_backing("hugetlb", &hugetlb);
    check_suspend();
    measure_init("off");
}

void check_init(void)
{
    measure_init("on");
}
