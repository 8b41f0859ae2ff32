/* SPDX-License-Identifier: BSD-3-Clause */
/* a, b: growing and shrinking, and what the host gets back; d: odd sizes; h: the
 * feature bit. */
#include "guest/checks.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lab/result.h"

/* Of the pattern, while the device shrinks to 0. */
#define MOVED_MIB 16

/* The largest distance between what is touched and what is resident. */
static uint64_t worst_distance;

/* b: `least` and `most` bytes must be resident, one block either way. */
static bool is_resident(const struct sized *test, uint64_t least, uint64_t most)
{
    const uint64_t resident = device_resident(test->device);
    const uint64_t distance = resident > most    ? resident - most
                              : resident < least ? least - resident
                                                 : 0;

    if (distance > worst_distance) {
        worst_distance = distance;
    }
    result_note("%s: %" PRIu64 " KiB are resident", test->device,
                resident / 1024);
    return expect(distance <= test->block,
                  "%s: %" PRIu64 " KiB are resident, not %" PRIu64
                  " to %" PRIu64,
                  test->device, resident / 1024, least / 1024, most / 1024);
}

/* The guest onlines what it plugged, and that takes it a moment. */
static uint64_t wait_guest_kib(uint64_t kib)
{
    const double end_s = now_s() + 60;
    uint64_t found;

    do {
        found = guest_number(0, "meminfo");
    } while (found != kib && now_s() < end_s);
    return found;
}

/* Everybody agrees: monitor, the sum of what a listener was told, and the guest's own
 * files. */
static bool is_size(const struct sized *test, uint64_t size)
{
    const uint64_t gpa = device_number(test->device, "memaddr");
    const uint64_t kib = wait_guest_kib(base_kib + size / 1024);
    const uint64_t nr_blocks =
        guest_number(0, "blocks %" PRIu64 " %" PRIu64, gpa, test->size);
    const uint64_t told = device_number(test->device, "recorded-size");

    bool fine = expect(kib == base_kib + size / 1024,
                       "the guest has %" PRIu64 " KiB more, not %" PRIu64,
                       kib - base_kib, size / 1024);
    fine = expect(nr_blocks == (size + 128 * MIB - 1) / (128 * MIB),
                  "the guest has %" PRIu64 " memory blocks for %" PRIu64 " MiB",
                  nr_blocks, size / MIB) &&
           fine;
    return expect(told == size, "the listener has %" PRIu64 " bytes", told) &&
           fine;
}

uint64_t take_worst_distance(void)
{
    const uint64_t distance = worst_distance;

    worst_distance = 0;
    return distance;
}

uint64_t count_complaints(void)
{
    return guest_number(0, "complaints");
}

bool is_quiet_since(uint64_t nr_complaints)
{
    const uint64_t nr = count_complaints();

    return expect(nr != UINT64_MAX && nr == nr_complaints,
                  "virtio_mem in the guest has complained: %s", guest_why());
}

static bool fill_it(const struct sized *test)
{
    const uint64_t touched = fill(test->device, test->fill_mib);
    const uint64_t most =
        test->is_movable && !test->is_populated ? touched : test->size;

    result_note("%" PRIu64 " MiB of the fill are the device's", touched / MIB);
    bool fine =
        expect(touched != UINT64_MAX && touched >= 128 * MIB,
               "the fill took %" PRIu64 " bytes of the device", touched);
    fine = guest("check") != NULL && fine;
    return is_resident(test, test->is_populated ? test->size : touched, most) &&
           fine;
}

/* A quarter is left, and so is a part of the pattern, some of it in the device. */
static bool is_shrunk(const struct sized *test, uint64_t size)
{
    const uint64_t gpa = device_number(test->device, "memaddr");
    const uint64_t kept =
        guest_number(0, "lies %" PRIu64 " %" PRIu64, gpa, test->size);

    result_note("%" PRIu64 " MiB of the pattern are the device's", kept / MIB);
    return guest("check") != NULL &&
           expect(kept <= size, "%" PRIu64 " bytes of the pattern are there",
                  kept) &&
           is_resident(test, test->is_populated ? size : kept, size) &&
           (!test->is_movable || is_size(test, size));
}

/* All of the pattern that is left must move to the boot RAM. */
static bool give_back_movable(const struct sized *test)
{
    return guest("keep %u", MOVED_MIB) != NULL && resize(test->device, 0) &&
           is_size(test, 0) && is_resident(test, 0, 0) &&
           expect(guest_number(0, "check") == MOVED_MIB * MIB,
                  "the pattern at 0: %s", guest_why()) &&
           guest("keep 0") != NULL;
}

/* The kernel may have put something into its zone that cannot move. */
static bool give_back_kernel(const struct sized *test)
{
    struct kept kept = { 0 };

    bool fine = guest("keep 0") != NULL &&
                (give_back(test->device) || explain_kept(test->device, &kept));
    fine = expect(kept.size <= 128 * MIB, "%" PRIu64 " MiB stay",
                  kept.size / MIB) &&
           fine;
    return is_resident(test, 0, kept.size) && fine;
}

bool grow_and_shrink(const struct sized *test)
{
    const uint64_t some = test->size / 4;
    const uint64_t least = test->is_populated ? test->size : 0;
    bool fine = guest("online %s", test->zone) != NULL &&
                monitor("attach recorder %s", test->device) != NULL;

    fine =
        fine && resize(test->device, test->size) && is_size(test, test->size);
    if (test->is_movable) {
        fine = fine && is_resident(test, least, least);
    }
    /* What stays must move away from what goes. */
    fine = fine && fill_it(test) &&
           guest("keep %" PRIu64, test->fill_mib / 8) != NULL &&
           resize(test->device, some) && is_shrunk(test, some);
    fine = fine && (test->is_movable ? give_back_movable(test)
                                     : give_back_kernel(test));
    monitor("detach recorder %s", test->device);
    return fine;
}

void check_sizes(void)
{
    static const struct sized tests[] = {
        { "vmem0", "online_movable", DEVICE_SIZE, 2 * MIB, 960, true, false },
        { "vmem2", "online_movable", DEVICE_SIZE, 128 * MIB, 300, true, false },
        { "vmem1", "online_kernel", DEVICE_SIZE, 4 * MIB, 300, false, false },
    };
    const uint64_t nr_complaints = count_complaints();
    bool fine[3];

    for (unsigned i = 0; i < 3; i++) {
        fine[i] = grow_and_shrink(&tests[i]) && is_quiet_since(nr_complaints);
    }
    /* The kernel zone may keep a little; the next checks start from nothing. */
    const uint64_t left = device_number("vmem1", "size");
    result(fine[0] && fine[1] && fine[2], "a",
           "0, 1 GiB, 256 MiB, 0 in blocks of 2 MiB (%s, movable), 128 MiB "
           "(%s, movable), 4 MiB (%s, kernel zone, %" PRIu64
           " MiB stay); patterns intact, %u MiB of them at 0 too (movable); no "
           "complaint in the guest's log",
           fine[0] ? "ok" : "not ok", fine[1] ? "ok" : "not ok",
           fine[2] ? "ok" : "not ok", left / MIB, MOVED_MIB);
    result(
        fine[0] && fine[1] && fine[2], "b",
        "resident memory was at most %" PRIu64
        " KiB off what was touched when empty, filled and at 0 (movable), and "
        "off the range from the pattern's pages to what is plugged at 256 MiB "
        "and in the kernel zone",
        take_worst_distance() / 1024);
}

void check_odd_sizes(void)
{
    static const uint64_t sizes[] = { 300, 514, 130, 2, 1022, 16 };
    const uint64_t nr_complaints = count_complaints();
    bool fine = guest("online online_movable") != NULL;
    unsigned nr_asked = 0;

    for (unsigned i = 0; fine && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fine = resize("vmem0", sizes[i] * MIB);
    }
    srand(25);
    for (; fine && nr_asked < 25; nr_asked++) {
        fine = monitor("resize vmem0 %d", rand() % 512 * 2 * (int)MIB) != NULL;
    }
    const double start_s = now_s();
    fine = fine && resize("vmem0", 128 * MIB);
    const double settled_s = now_s() - start_s;

    /* Both nodes at once; the guest knows which is which. */
    const uint64_t node0 = guest_number(0, "node 0");
    fine = fine && monitor("resize vmem0 256M") != NULL &&
           resize("vmem1", 384 * MIB) && settle("vmem0", 256 * MIB, 60);
    const uint64_t more = guest_number(0, "node 0") - node0;
    const uint64_t other = guest_number(0, "node 1");
    fine = fine &&
           expect(more == 128 * 1024 && other == 384 * 1024,
                  "node 0 has %" PRIu64 " KiB more, node 1 %" PRIu64 " KiB",
                  more, other) &&
           resize("vmem0", 0) && resize("vmem1", 0) &&
           is_quiet_since(nr_complaints);
    result(fine, "d",
           "300, 514, 130, 2, 1022, 16 MiB; %u changes at once, settled in "
           "%.1f s; node 0 +%" PRIu64 " MiB, node 1 %" PRIu64
           " MiB; no complaint in the guest's log",
           nr_asked, settled_s, more / 1024, other / 1024);
}

void check_features(void)
{
    const uint64_t with = device_number("vmem0", "driver-features");
    const uint64_t without = device_number("vmem1", "driver-features");
    const bool fine =
        guest("online online_movable") != NULL && resize("vmem0", 128 * MIB) &&
        resize("vmem1", 128 * MIB) && resize("vmem0", 0) && resize("vmem1", 0);

    result(fine && (with & 2) != 0 && (without & 2) == 0 && (without & 1) != 0,
           "h",
           "vmem0 negotiated UNPLUGGED_INACCESSIBLE (0x%" PRIx64
           "), vmem1 not (0x%" PRIx64 "), both went to 128 MiB and 0",
           with, without);
}
