/* SPDX-License-Identifier: BSD-3-Clause */
/* e: each map call fails once, and each unmap call. */
#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"
#include "result.h"
#include "steps.h"

#define BLOCK (2 * MIB)
#define NR_BLOCKS 32

#define NOBODY 65534
#define MEMLOCK_BLOCKS 4

/* What the kernel says when it cannot. */
static const int map_codes[] = { -ENOMEM, -EFAULT, -ENOSPC };
#define NR_MAP_CODES (sizeof(map_codes) / sizeof(map_codes[0]))

struct tally {
    uint64_t nr_attaches;
    uint64_t nr_plugs;
    uint64_t nr_unplugs;
    bool is_fine;
};

static void expect(struct tally *tally, bool is_true, const char *what,
                   uint64_t number)
{
    if (!is_true) {
        result_note("%s, call %" PRIu64, what, number);
        tally->is_fine = false;
    }
}

/* Eight blocks are plugged; attaching maps each. */
static void fail_attaches(struct world *world, const struct space *space,
                          struct tally *tally)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    world_plug(world, 2, 3);
    world_plug(world, 10, 5);
    for (uint64_t number = 1; number <= 8; number++) {
        const int code = map_codes[number % NR_MAP_CODES];
        inject_arm(INJECT_MAP, number, code);
        const int ret = world_attach(world, 0, 0, NULL, &err);
        const uint64_t nr_maps = inject_end(INJECT_MAP);
        expect(tally,
               ret == code && nr_maps == number &&
                   world_nr_mapped(world, space) == 0 &&
                   world_dma_stats(world).nr_mappings == 0,
               "attach", number);
        tally->nr_attaches++;
    }
    expect(tally,
           world_attach(world, 0, 0, NULL, &err) == 0 &&
               world_nr_wrong(world, space, 0, NR_BLOCKS) == 0,
           "attach that works", 0);
}

static void fail_plugs(struct world *world, const struct space *space,
                       struct tally *tally)
{
    for (uint64_t number = 1; number <= 6; number++) {
        inject_arm(INJECT_MAP, number, map_codes[number % NR_MAP_CODES]);
        const int response = world_plug(world, 20, 6);
        inject_end(INJECT_MAP);
        expect(tally,
               response == VMEM_RESPONSE_BUSY && world_nr_plugged(world) == 8 &&
                   world_dma_stats(world).nr_mappings == 8 &&
                   world_nr_wrong(world, space, 0, NR_BLOCKS) == 0,
               "plug", number);
        tally->nr_plugs++;
    }
    expect(tally,
           world_plug(world, 20, 6) == VMEM_RESPONSE_ACK &&
               world_nr_wrong(world, space, 0, NR_BLOCKS) == 0,
           "plug that works", 0);
}

/* One call fails: if it was for a run each mapping is tried alone, else one is
 * stuck until it is plugged again. All fail: all are stuck, and the blocks cannot
 * be plugged until they are gone. */
static void fail_unplugs(struct world *world, const struct space *space,
                         struct tally *tally)
{
    inject_arm(INJECT_UNMAP, 1, -EIO);
    const int once = world_unplug(world, 20, 6);
    inject_end(INJECT_UNMAP);
    const uint64_t nr_stuck = step_unmaps_runs(space->kind) ? 0 : 1;
    expect(tally,
           once == VMEM_RESPONSE_ACK &&
               world_dma_stats(world).nr_stuck == nr_stuck &&
               world_plug(world, 20, 6) == VMEM_RESPONSE_ACK &&
               world_nr_wrong(world, space, 0, NR_BLOCKS) == 0,
           "unplug with one failure", 1);

    inject_arm(INJECT_UNMAP, 0, -EIO);
    const int response = world_unplug(world, 20, 6);
    const struct vmem_dma_stats stats = world_dma_stats(world);
    const int again = world_plug(world, 20, 6);
    tally->nr_unplugs = inject_end(INJECT_UNMAP);
    expect(tally,
           response == VMEM_RESPONSE_ACK && stats.nr_stuck == 6 &&
               stats.stuck_size == 6 * BLOCK &&
               space_is_mapped(space, world_iova(world, 25)) == 1 &&
               again == VMEM_RESPONSE_BUSY,
           "unplug that is stuck", 0);
    expect(tally,
           vmem_dma_retry_unmaps(world->dma, NULL) == 0 &&
               world_dma_stats(world).nr_stuck == 0 &&
               world_nr_wrong(world, space, 0, NR_BLOCKS) == 0 &&
               world_plug(world, 20, 6) == VMEM_RESPONSE_ACK &&
               world_nr_wrong(world, space, 0, NR_BLOCKS) == 0,
           "retry", 0);
}

/* The kernel itself refuses: a process that may pin four blocks. */
static int fail_really(const struct space *space)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    /* And a page with which the kernel is asked what is mapped. */
    const struct rlimit limit = { MEMLOCK_BLOCKS * BLOCK + PAGE,
                                  MEMLOCK_BLOCKS * BLOCK + PAGE };
    struct world world;
    struct vmem_error err = VMEM_ERROR_INIT;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(NOBODY) || setuid(NOBODY)) {
        return 1;
    }
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, space, NULL);
    world_plug(&world, 0, MEMLOCK_BLOCKS + 1);
    bool is_fine =
        step_check(world_attach(&world, 0, 0, NULL, &err) == -ENOMEM &&
                       world_nr_mapped(&world, space) == 0,
                   "attaching five blocks is refused and undone");
    result_note("attaching: %s", err.message);
    world_unplug(&world, 4, 1);
    is_fine &= step_check(world_attach(&world, 0, 0, NULL, &err) == 0 &&
                              world_plug(&world, 8, 1) == VMEM_RESPONSE_BUSY &&
                              world_nr_wrong(&world, space, 0, NR_BLOCKS) == 0,
                          "the fifth block is BUSY and undone");
    is_fine &= step_check(world_unplug(&world, 0, 1) == VMEM_RESPONSE_ACK &&
                              world_plug(&world, 8, 1) == VMEM_RESPONSE_ACK &&
                              world_nr_wrong(&world, space, 0, NR_BLOCKS) == 0,
                          "an unplug makes room");
    return world_free(&world) && is_fine ? 0 : 1;
}

static bool fails_as_another_user(const struct space *space)
{
    const pid_t pid = fork();
    if (pid == 0) {
        _exit(fail_really(space));
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void step_failure(enum space_kind kind)
{
    const struct vmem_device_config device =
        world_device_config(BLOCK, NR_BLOCKS * BLOCK);
    struct space space;
    struct edu edu;
    struct world world;
    struct tally tally = { .is_fine = true };

    step_open(&space, &edu, kind, 0);
    world_make(&world, NR_BLOCKS * BLOCK, &device);
    world_make_dma(&world, &space, NULL);
    fail_attaches(&world, &space, &tally);
    fail_plugs(&world, &space, &tally);
    fail_unplugs(&world, &space, &tally);
    bool is_fine = step_check(world_detach(&world) == 0 &&
                                  world_nr_mapped(&world, &space) == 0,
                              "nothing is left in the kernel");
    is_fine &=
        step_check(fails_as_another_user(&space), "locked memory runs out");
    is_fine &= step_check(world_free(&world), "everything can be freed");
    result(
        tally.is_fine && is_fine, step_name("e-failure", kind),
        "each of %" PRIu64 " maps of an attach and %" PRIu64
        " of a plug failed once (ENOMEM, EFAULT, ENOSPC): refused, BUSY, and "
        "the kernel had mapped what it had before; %" PRIu64
        " failing unmaps left 6 mappings stuck, whose blocks were BUSY until "
        "a retry unmapped them; the kernel's own ENOMEM at block %d of a "
        "process that may pin %d: the same",
        tally.nr_attaches, tally.nr_plugs, tally.nr_unplugs, MEMLOCK_BLOCKS + 1,
        MEMLOCK_BLOCKS);
    step_close(&space, &edu);
}
