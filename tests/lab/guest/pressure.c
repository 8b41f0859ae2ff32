/* SPDX-License-Identifier: BSD-3-Clause */
/* c: shrinking what is in use, and what keeps the rest. */
#include "guest/checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "lab/result.h"

#define GIVE_UP_S 120
/* How often the guest is asked again for what it could have given. */
#define MAX_LOOKS 3
/* Whatever the kernel does while its zone is there may take a page of it for good:
 * two blocks, of two memory blocks of Linux, and one with the second's memmap. */
#define KERNEL_KEEPS (6 * MIB)

/* How a shrink ended that the guest gave up. */
struct stall {
    uint64_t size; /* still plugged */
    double after_s;
    const char *reason;
};

/* Waits for that; its reason must be the guest's. */
static bool wait_stalled(const char *device, struct stall *stall)
{
    const double start_s = now_s();

    if (!wait_event("resize-stalled", device, 120)) {
        return expect(false, "no stall in 120 s");
    }
    stall->after_s = now_s() - start_s;
    stall->size = device_number(device, "size");
    stall->reason =
        device_says(device, "stall", "guest-refused")  ? "guest-refused"
        : device_says(device, "stall", "guest-silent") ? "guest-silent"
                                                       : "not by the guest";
    return expect(device_says(device, "stall", "guest"),
                  "the reason is not the guest's") &&
           expect(stall->size > 0, "nothing is plugged");
}

bool give_back(const char *device)
{
    const double end_s = now_s() + GIVE_UP_S;

    if (monitor("resize %s 0", device) == NULL) {
        return false;
    }
    while (!device_says(device, "resize", "stalled") && now_s() < end_s) {
        if (device_says(device, "resize", "idle")) {
            return true;
        }
        usleep(50000);
    }
    return false;
}

/* The driver looks at a block once, and what it missed waits for a minute or five,
 * or for the next resize: also to the same size. */
bool explain_kept(const char *device, struct kept *kept)
{
    const uint64_t gpa = device_number(device, "memaddr");
    const uint64_t size = device_number(device, "max-size");
    const uint64_t block = device_number(device, "block-size");
    uint64_t nr_unheld = 1;

    for (kept->nr_looks = 0; nr_unheld > 0 && kept->nr_looks < MAX_LOOKS;
         kept->nr_looks++) {
        if (kept->nr_looks > 0) {
            give_back(device);
        }
        const char *said =
            guest("held %" PRIu64 " %" PRIu64 " %" PRIu64, gpa, size, block);

        if (!expect(said != NULL &&
                        sscanf(said,
                               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                               " %" SCNu64,
                               &kept->nr_blocks, &nr_unheld, &kept->nr_slab,
                               &kept->nr_tables, &kept->nr_other) == 5,
                    "what holds the blocks is not known: %s", guest_why())) {
            return false;
        }
    }
    kept->size = device_number(device, "size");
    bool fine =
        expect(kept->nr_blocks * block == kept->size,
               "the guest has %" PRIu64 " blocks, the device %" PRIu64 " MiB",
               kept->nr_blocks, kept->size / MIB);
    fine = expect(nr_unheld == 0,
                  "%" PRIu64 " blocks stay without a page of the kernel's",
                  nr_unheld) &&
           fine;
    return expect(kept->size == 0 || device_says(device, "stall", "guest"),
                  "no reason for what stays") &&
           fine;
}

/* A shrink to 0 with `command` in the guest before it; true if it stalls. */
static bool shrink_in_vain(const char *command, unsigned mib,
                           struct stall *stall)
{
    const bool is_used = guest("%s %u", command, mib) != NULL;

    forget_events();
    return is_used && monitor("resize vmem0 0") != NULL &&
           wait_stalled("vmem0", stall);
}

/* Memory that is taken until the guest's program gives it back. */
static bool check_movable(struct stall *full, struct stall *pinned)
{
    return guest("online online_movable") != NULL &&
           resize("vmem0", 512 * MIB) && shrink_in_vain("tmpfs", 600, full) &&
           guest("tmpfs 0") != NULL && resize("vmem0", 0) &&
           resize("vmem0", 256 * MIB) && shrink_in_vain("pin", 48, pinned) &&
           guest("pin 0") != NULL && resize("vmem0", 0);
}

/* The same in the kernel's zone, where its caches stay behind. */
static bool check_kernel(struct stall *used, struct kept *closed,
                         struct kept *shrunk)
{
    bool fine =
        guest("prepare") != NULL && guest("online online_kernel") != NULL &&
        resize("vmem0", 256 * MIB) && shrink_in_vain("pipes", 160, used);

    fine = fine && guest("pipes 0") != NULL;
    if (fine) {
        give_back("vmem0");
    }
    fine = fine && explain_kept("vmem0", closed) &&
           expect(closed->size < used->size, "nothing was given back");
    shrunk->size = closed->size;
    for (unsigned i = 0; fine && i < MAX_LOOKS && shrunk->size > 0; i++) {
        fine = guest("shrink") != NULL;
        give_back("vmem0");
        shrunk->size = device_number("vmem0", "size");
    }
    return fine && explain_kept("vmem0", shrunk) &&
           expect(shrunk->size <= KERNEL_KEEPS, "%" PRIu64 " MiB stay",
                  shrunk->size / MIB);
}

void check_pressure(void)
{
    struct stall full = { .reason = "none" };
    struct stall pinned = { .reason = "none" };
    struct stall used = { .reason = "none" };
    struct kept closed = { 0 };
    struct kept shrunk = { 0 };
    const uint64_t nr_complaints = count_complaints();
    const bool fine = check_movable(&full, &pinned) &&
                      check_kernel(&used, &closed, &shrunk) &&
                      is_quiet_since(nr_complaints);

    result(fine, "c",
           "full tmpfs: stalled at %" PRIu64
           " MiB after %.0f s (%s), 0 when it "
           "was freed; 48 MiB that pipes pin: %" PRIu64
           " MiB after %.0f s (%s), 0 when they were freed; 160 MiB of the "
           "kernel's in its zone: %" PRIu64 " MiB after %.0f s (%s), %" PRIu64
           " MiB when they were freed, in each block a page of the kernel's "
           "(%" PRIu64 " of caches, %" PRIu64 " of page tables, %" PRIu64
           " others), %" PRIu64 " MiB when its caches were shrunk; no "
           "complaint in the guest's log",
           full.size / MIB, full.after_s, full.reason, pinned.size / MIB,
           pinned.after_s, pinned.reason, used.size / MIB, used.after_s,
           used.reason, closed.size / MIB, closed.nr_slab, closed.nr_tables,
           closed.nr_other, shrunk.size / MIB);
}
