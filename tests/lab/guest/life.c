/* SPDX-License-Identifier: BSD-3-Clause */
/* e: freezing; f: objections; g, j: resets of every kind; i: a hostile driver. */
#include "guest/checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/result.h"

#define READY_S 180
#define FILL_MIB 200U             /* before a crash */
#define VIRTIO_1_GPA "0xd0001000" /* the registers of vmem1 */
#define VIRTIO_1_NAME "LNRO0005:01"

/* The driver has not given up. */
static bool is_driver_well(void)
{
    const uint64_t nr = guest_number(0, "log broken");

    return expect(nr == 0, "\"broken\" is in %" PRIu64 " lines of the log", nr);
}

void check_busy(void)
{
    double waited_s = 0;
    bool fine = guest("online online_movable") != NULL;

    forget_events();
    fine = fine && monitor("resize vmem0 %" PRIu64, DEVICE_SIZE) != NULL &&
           wait_event("size-changed", "vmem0", 60) && monitor("freeze") != NULL;
    const uint64_t frozen_size = device_number("vmem0", "size");
    fine = fine &&
           expect(frozen_size > 0 && frozen_size < DEVICE_SIZE,
                  "frozen at %" PRIu64 " MiB", frozen_size / MIB) &&
           wait_stat("vmem0", "plug-busy", 1, 60);
    sleep(3);
    fine = fine && expect(device_number("vmem0", "size") == frozen_size,
                          "a frozen device has changed");
    forget_events();
    const double start_s = now_s();
    if (monitor("thaw") != NULL && fine) {
        fine = wait_event("size-changed", "vmem0", 60);
        waited_s = now_s() - start_s;
    }
    fine = fine && settle("vmem0", DEVICE_SIZE, 60) && is_driver_well() &&
           resize("vmem0", 0);
    result(fine && waited_s < 5, "e",
           "frozen at %" PRIu64 " MiB with BUSY; the first PLUG came %.2f s "
           "after the thaw",
           frozen_size / MIB, waited_s);
}

void check_objections(void)
{
    bool fine = resize("vmem0", 64 * MIB) &&
                monitor("attach veto vmem0") != NULL &&
                monitor("resize vmem0 256M") != NULL &&
                wait_stat("vmem0", "vetoes", 1, 60);

    fine = fine && expect(device_number("vmem0", "size") == 64 * MIB &&
                              device_says("vmem0", "stall", "host-busy") &&
                              device_says("vmem0", "busy", "listener-veto") &&
                              device_says("vmem0", "busy-by", "veto"),
                          "%s", "the veto is not the reason");
    const uint64_t nr_vetoes = device_stat("vmem0", "vetoes");
    double start_s = now_s();
    fine = monitor("detach veto vmem0") != NULL && fine &&
           settle("vmem0", 256 * MIB, 60);
    const double settled_s = now_s() - start_s;

    /* A mapping for each block of 2 MiB: 160 of them are 320 MiB. */
    const uint64_t nr_busy = device_stat("vmem0", "plug-busy");
    fine = fine && monitor("attach dma vmem0 160") != NULL &&
           monitor("resize vmem0 512M") != NULL &&
           wait_stat("vmem0", "plug-busy", nr_busy + 1, 60);
    const uint64_t nr_refusals = device_number("vmem0", "dma-refusals");
    const uint64_t nr_mappings = device_number("vmem0", "dma-mappings");
    fine = fine &&
           expect(nr_refusals > 0 && nr_mappings <= 160 &&
                      device_number("vmem0", "dma-size") ==
                          device_number("vmem0", "size") &&
                      nr_mappings * 2 * MIB == device_number("vmem0", "size") &&
                      device_number("vmem0", "size") < 512 * MIB,
                  "%" PRIu64 " mappings, %" PRIu64 " refusals", nr_mappings,
                  nr_refusals);
    start_s = now_s();
    fine = monitor("detach dma vmem0") != NULL && fine &&
           settle("vmem0", 512 * MIB, 60);
    const double budget_s = now_s() - start_s;
    fine = fine && is_driver_well() && resize("vmem0", 0);
    result(fine, "f",
           "%" PRIu64
           " vetoes, BUSY by \"veto\"; 256 MiB %.2f s after it left; "
           "a budget of 160 mappings spent at %" PRIu64 " with %" PRIu64
           " refusals, 512 MiB %.2f s after it left; the driver goes on",
           nr_vetoes, settled_s, nr_mappings, nr_refusals, budget_s);
}

void check_hostile(void)
{
    const unsigned nr_rounds = 2000;
    bool fine = guest("unbind " VIRTIO_1_NAME) != NULL;

    /* vmem0 grows meanwhile. */
    fine = fine && monitor("resize vmem0 %" PRIu64, DEVICE_SIZE) != NULL;
    const char *said =
        fine ? guest("hostile " VIRTIO_1_GPA " %u", nr_rounds) : NULL;
    unsigned nr_answered = 0;
    unsigned nr_broken = 0;
    unsigned nr_neither = 0;
    if (said != NULL) {
        sscanf(said, "%u %u %u", &nr_answered, &nr_broken, &nr_neither);
    }
    fine = fine && expect(nr_answered > 0 && nr_broken > 0 && nr_neither == 0 &&
                              nr_answered + nr_broken == nr_rounds,
                          "%u answered, %u broken, %u neither", nr_answered,
                          nr_broken, nr_neither);
    fine = fine && expect(host_is_alive(), "%s", "minivmm has died") &&
           expect(device_number("vmem1", "size") == 0, "%s",
                  "garbage has plugged memory");
    fine = fine && settle("vmem0", DEVICE_SIZE, 60) && resize("vmem0", 0) &&
           guest("bind " VIRTIO_1_NAME) != NULL && resize("vmem1", 64 * MIB) &&
           resize("vmem1", 0);
    result(
        fine, "i",
        "%u rounds of garbage: %u answered, %u marked broken; the VMM lives, "
        "vmem0 grew to 1 GiB meanwhile, vmem1 works again",
        nr_rounds, nr_answered, nr_broken);
}

static unsigned count_boots(void)
{
    const char *stats = monitor("stats");
    unsigned nr_boots = 0;

    if (stats != NULL) {
        sscanf(stats, "\nboots: %u", &nr_boots);
    }
    return nr_boots;
}

/* A guest that has just booted takes memory only with both. */
static bool load_driver(void)
{
    return guest("online online_movable") != NULL && guest("load") != NULL;
}

/* Back after a system reset, still without the driver: j. */
static bool is_reset(unsigned nr_boots, bool *without_driver)
{
    bool fine = guest_is_ready(READY_S) &&
                expect(device_number("vmem0", "size") == 0, "%s",
                       "plugged memory has survived") &&
                expect(device_resident("vmem0") == 0, "%s",
                       "memory of the old guest is resident");
    fine = fine && expect(count_boots() == nr_boots, "%u boots, not %u",
                          count_boots(), nr_boots);
    if (fine) {
        const uint64_t kib = guest_number(0, "meminfo");
        const uint64_t nr_blocks =
            guest_number(0, "blocks %" PRIu64 " %" PRIu64,
                         device_number("vmem0", "memaddr"), 8 * GIB);
        const bool has_driver = device_says("vmem0", "driver", "yes");

        *without_driver =
            expect(kib == base_kib && nr_blocks == 0 && !has_driver,
                   "without a driver: %" PRIu64 " KiB, %" PRIu64 " blocks", kib,
                   nr_blocks) &&
            *without_driver;
    }
    return fine && load_driver() && settle("vmem0", 256 * MIB, 120);
}

static bool reset_by_monitor(bool *without_driver)
{
    const unsigned nr_boots = count_boots();

    return monitor("resize vmem0 256M") != NULL && monitor("reset") != NULL &&
           is_reset(nr_boots + 1, without_driver);
}

static bool check_reboots(bool *without_driver)
{
    static const char *const types[] = { "kbd", "acpi", "triple" };
    const unsigned nr_boots = count_boots();
    bool fine = monitor("resize vmem0 256M") != NULL;

    for (unsigned i = 0; fine && i < 3; i++) {
        fine = guest("reboot %s", types[i]) != NULL &&
               is_reset(nr_boots + 1 + i, without_driver);
        result_note("reboot %s: %s", types[i], fine ? "ok" : "not ok");
    }
    return fine;
}

static bool check_kexec(void)
{
    const uint64_t nr_before = device_stat("vmem0", "unplug_all-ack");

    return resize("vmem0", 256 * MIB) && guest("kexec again") != NULL &&
           guest_is_ready(READY_S) && load_driver() &&
           wait_stat("vmem0", "unplug_all-ack", nr_before + 1, 60) &&
           settle("vmem0", 256 * MIB, 120);
}

/* Without the driver the memory stays, and the driver cannot come back to it;
 * with nothing plugged it can. */
static bool check_reload(void)
{
    bool fine = resize("vmem0", 0) && guest("unload") != NULL &&
                expect(device_says("vmem0", "driver", "no"), "%s",
                       "a driver is there") &&
                guest("load") != NULL && resize("vmem0", 128 * MIB) &&
                guest("unload") != NULL;

    fine = fine && expect(device_number("vmem0", "size") == 128 * MIB, "%s",
                          "unloading has unplugged");
    guest("load");
    return fine && expect(device_number("vmem0", "size") == 128 * MIB, "%s",
                          "loading has unplugged");
}

/* Whatever the kernel says to it, nothing changes. Hibernation needs half of the
 * memory for its image, and in a zone of the kernel's. */
static bool check_sleep(const char *command, const char *zone, uint64_t size,
                        bool *allowed)
{
    bool fine = guest("online %s", zone) != NULL && resize("vmem0", size) &&
                fill("vmem0", 16) == 16 * MIB;
    const uint64_t nr_plugs = device_stat("vmem0", "plug-ack");
    const uint64_t nr_lines = guest_number(0, "log restore");

    *allowed = strcmp(command, "suspend") == 0 ? guest_sleep()
                                               : guest("%s", command) != NULL;
    if (!*allowed) {
        fine = expect(strstr(guest_why(), "not permitted") != NULL &&
                          guest_number(0, "log restore") > nr_lines,
                      "it is not virtio_mem that refuses: %s", guest_why()) &&
               fine;
    }
    return fine &&
           expect(device_number("vmem0", "size") == size &&
                      device_stat("vmem0", "plug-ack") == nr_plugs,
                  "%s has changed something", command) &&
           guest("check") != NULL && guest("keep 0") != NULL &&
           resize("vmem0", size + 64 * MIB);
}

/* What a crash kernel has of the one before. */
struct dump {
    uint64_t nr_states; /* STATE requests it took */
    uint64_t vmcore;
    uint64_t filled; /* of FILL_MIB, in the vmcore */
    uint64_t lies;   /* of FILL_MIB, in the device */
};

static bool check_kdump(struct dump *dump)
{
    const uint64_t nr_before = device_stat("vmem0", "state-ack");
    bool fine = resize("vmem0", 256 * MIB);

    dump->lies = fine ? fill("vmem0", FILL_MIB) : 0;
    fine =
        fine &&
        expect(dump->lies != UINT64_MAX && dump->lies >= 64 * MIB,
               "%" PRIu64 " bytes of the fill are the device's", dump->lies) &&
        guest("crash") != NULL && guest_is_ready(READY_S);
    const char *said = fine ? guest("vmcore %u", FILL_MIB) : NULL;

    fine = fine && expect(said != NULL &&
                              sscanf(said, "%" SCNu64 " %" SCNu64,
                                     &dump->vmcore, &dump->filled) == 2 &&
                              dump->vmcore > 256 * MIB,
                          "no vmcore: %s", guest_why());
    dump->nr_states = device_stat("vmem0", "state-ack") - nr_before;
    return fine &&
           expect(dump->filled == FILL_MIB * MIB,
                  "%" PRIu64 " bytes of the fill are in it", dump->filled) &&
           expect(dump->nr_states >= 128, "%" PRIu64 " STATE requests",
                  dump->nr_states) &&
           expect(device_number("vmem0", "size") == 256 * MIB, "%s",
                  "the crash kernel has changed the size");
}

void check_resets(void)
{
    bool without_driver = true;
    bool may_suspend = false;
    bool may_hibernate = false;
    struct dump dump = { 0 };
    /* So that nothing of the other checks is left. */
    const bool fresh = reset_by_monitor(&without_driver);
    const bool suspends = fresh && check_sleep("suspend", "online_movable",
                                               128 * MIB, &may_suspend);
    const bool reloads = suspends && check_reload();
    const bool hibernates =
        reset_by_monitor(&without_driver) &&
        check_sleep("hibernate", "online_kernel", 768 * MIB, &may_hibernate) &&
        expect(!may_hibernate, "%s", "it hibernated");
    const bool reboots = fresh && check_reboots(&without_driver);
    const bool kexecs = reboots && check_kexec();
    const bool dumps =
        kexecs && reset_by_monitor(&without_driver) && check_kdump(&dump);

    result(
        reboots && kexecs && reloads && dumps && suspends && hibernates, "g",
        "reboot by i8042, ACPI, triple fault %s; kexec %s; driver reload %s; "
        "kdump %s (%" PRIu64 " STATE, vmcore %" PRIu64
        " MiB, which has %" PRIu64 " of the pattern's %u MiB, %" PRIu64
        " MiB of them in vmem0); suspend %s (%s); hibernation refused %s",
        reboots ? "ok" : "not ok", kexecs ? "ok" : "not ok",
        reloads ? "ok" : "not ok", dumps ? "ok" : "not ok", dump.nr_states,
        dump.vmcore / MIB, dump.filled / MIB, FILL_MIB, dump.lies / MIB,
        suspends ? "ok" : "not ok",
        may_suspend ? "allowed" : "refused by the kernel",
        hibernates ? "ok" : "not ok");
    result(reboots && without_driver, "j",
           "after a reboot with 256 MiB plugged a guest without the driver has "
           "%" PRIu64 " KiB, and nothing is plugged or resident",
           base_kib);
}
