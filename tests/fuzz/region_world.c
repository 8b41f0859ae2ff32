/* SPDX-License-Identifier: BSD-3-Clause */
#include "region_world.h"

#include <errno.h>

#include "base/alloc.h"
#include "core/bitmap.h"
#include "core/source.h"
#include "support/quiet.h"

#define OTHER_UNITS 8

const char *const region_world_owners[NR_OWNERS] = { "migration", "snapshot",
                                                     "debugger" };

static struct region_world *allocating;

static bool may_allocate(size_t size)
{
    (void)size;
    if (allocating->alloc_fails > 0 && --allocating->alloc_fails == 0) {
        allocating->fail_alloc = true;
    }
    if (!allocating->fail_alloc) {
        return true;
    }
    allocating->fail_alloc = false;
    allocating->failed_alloc = true;
    return false;
}

static void swallow(const struct vmem_log_record *record, void *opaque)
{
    struct region_world *world = opaque;

    /* Any call is legal in here. */
    region_world_note(world, record->message[0] != '\0', "empty log record");
    if (world->is_nosy && world->region != NULL && !world->fail_alloc) {
        region_world_note(world,
                          vmem_region_freeze(world->region, "log", NULL) == 0,
                          "freeze");
        region_world_note(
            world, vmem_region_thaw(world->region, "log", NULL) == 0, "thaw");
    }
}

static uint64_t read_clock(void *opaque)
{
    return ((struct region_world *)opaque)->now_ns;
}

void region_world_note(struct region_world *world, bool condition,
                       const char *what)
{
    if (!condition && world->broken == NULL) {
        world->broken = what;
    }
}

struct vmem_range region_world_range(const struct region_world *world,
                                     uint64_t first, uint64_t nr)
{
    return (struct vmem_range){ first << world->unit_shift,
                                nr << world->unit_shift };
}

void region_world_update(struct region_world *world)
{
    for (unsigned i = 0; i < world->nr_units; i++) {
        world->populated[i] = model_is_populated(world->model, i);
    }
}

/* First byte in [pos, end) that is populated, or is not; else end. */
static uint64_t next_byte(const struct region_world *world, uint64_t pos,
                          uint64_t end, bool populated)
{
    unsigned unit = (unsigned)(pos >> world->unit_shift);

    if (pos >= end || world->populated[unit] == populated) {
        return pos < end ? pos : end;
    }
    while (unit < world->nr_units && world->populated[unit] != populated) {
        unit++;
    }
    pos = (uint64_t)unit << world->unit_shift;
    return pos < end ? pos : end;
}

struct walk {
    struct region_world *world;
    uint64_t at;
    uint64_t end;
    bool populated;
    unsigned nr_left; /* runs until it is stopped; 0: never */
};

static int visit(const struct vmem_range *range, void *opaque)
{
    struct walk *walk = opaque;
    uint64_t first =
        next_byte(walk->world, walk->at, walk->end, walk->populated);
    uint64_t end = next_byte(walk->world, first, walk->end, !walk->populated);

    if (range->size == 0 || range->offset != first ||
        range->size != end - first) {
        region_world_note(walk->world, false, "a walk shows a wrong run");
        return -EPROTO;
    }
    walk->at = end;
    return walk->nr_left > 0 && --walk->nr_left == 0 ? 11 : 0;
}

static void check_walk(struct region_world *world,
                       const struct vmem_range *window, bool populated,
                       unsigned stop_at)
{
    struct walk walk = { .world = world,
                         .at = window->offset,
                         .end = window->offset + window->size,
                         .populated = populated,
                         .nr_left = stop_at };
    int ret = populated ? vmem_region_for_each_populated(world->region, window,
                                                         visit, &walk)
                        : vmem_region_for_each_discarded(world->region, window,
                                                         visit, &walk);

    if (stop_at > 0 && walk.nr_left == 0) {
        region_world_note(world, ret == 11, "a walk did not stop");
        return;
    }
    region_world_note(world, ret == 0, "what a walk returned");
    region_world_note(
        world, next_byte(world, walk.at, walk.end, populated) == walk.end,
        "a walk left out a run");
}

void region_world_check_walks(struct region_world *world,
                              const struct vmem_range *window, unsigned stop_at)
{
    check_walk(world, window, true, stop_at);
    check_walk(world, window, false, stop_at);
}

struct other_walk {
    struct region_world *world;
    unsigned nr_runs;
};

static int visit_other(const struct vmem_range *range, void *opaque)
{
    struct other_walk *walk = opaque;

    region_world_note(walk->world,
                      range->offset == walk->nr_runs * 2 && range->size == 1,
                      "another region's run");
    walk->nr_runs++;
    return 0;
}

static int never(const struct vmem_range *range, void *opaque)
{
    (void)range;
    region_world_note(opaque, false, "called without the lock");
    return 0;
}

/* What may not be made or freed while a region is locked. */
static void try_to_make(struct region_world *world)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "x",
        .size = 1,
        .page_size = 1,
    };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = quiet_accept,
    };
    const struct vmem_region_config region = {
        .struct_size = sizeof(region),
        .name = "x",
    };
    const struct vmem_device_config device = {
        .struct_size = sizeof(device),
        .name = "x",
        .block_size = 1,
    };
    const struct vmem_source_config source = {
        .struct_size = sizeof(source),
        .name = "x",
        .block_size = world->unit,
    };
    struct vmem_backing *new_backing = NULL;
    struct vmem_region *new_region = NULL;
    struct vmem_device *new_device = NULL;
    struct vmem_source *new_source = NULL;

    if (world->fail_alloc || world->alloc_fails > 0) {
        return;
    }
    region_world_note(world,
                      vmem_backing_new_custom(world->vm, &custom, &ops, NULL,
                                              &new_backing, NULL) == -EDEADLK,
                      "a backing in a callback");
    region_world_note(world,
                      vmem_region_new(world->vm, &region, &new_region, NULL) ==
                          -EDEADLK,
                      "a region in a callback");
    region_world_note(world,
                      vmem_device_new(world->region, &device, NULL, NULL,
                                      &new_device, NULL) == -EDEADLK,
                      "a device in a callback");
    region_world_note(
        world,
        vmem_source_add(world->region, &source, &new_source, NULL) == -EDEADLK,
        "a source in a callback");
    region_world_note(world,
                      new_backing == NULL && new_region == NULL &&
                          new_device == NULL && new_source == NULL,
                      "touched on failure");
}

/* From a callback under the region's lock: everything may be asked, nothing may
 * be changed. */
static void pry(struct region_world *world, const struct vmem_range *range)
{
    const struct vmem_range one = { 0, 1 };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct other_walk walk = { .world = world };
    uint64_t word = 0;

    for (unsigned i = 0; i < NR_SOURCES; i++) {
        if (world->sources[i] != NULL) {
            region_world_note(
                world,
                vmem_source_populate(world->sources[i], range, NULL) ==
                        -EDEADLK ||
                    (vmemi_source_block_size(world->sources[i]) - 1) &
                        (range->offset | range->size),
                "populated in a callback");
            region_world_note(
                world, vmem_source_remove(world->sources[i], NULL) == -EDEADLK,
                "removed in a callback");
        }
    }
    region_world_note(world,
                      vmem_region_freeze(world->region, "x", NULL) == -EDEADLK,
                      "frozen in a callback");
    region_world_note(world,
                      vmem_region_thaw(world->region, "x", NULL) == -EDEADLK,
                      "thawed in a callback");
    region_world_note(
        world, vmem_region_retry_discards(world->region, NULL) == -EDEADLK,
        "retried in a callback");
    region_world_note(world, vmem_region_free(world->region, NULL) == -EDEADLK,
                      "freed in a callback");
    region_world_note(world,
                      vmem_backing_free(world->memory.backing, NULL) ==
                          (world->has_memory ? -EDEADLK : 0),
                      "freed the backing in a callback");
    try_to_make(world);
    region_world_note(world, vmem_vm_free(world->vm, NULL) == -EDEADLK,
                      "freed the machine in a callback");
    region_world_note(world, vmem_region_get_info(world->region, &info) == 0,
                      "info in a callback");
    if (world->other == NULL) {
        return;
    }
    region_world_note(world,
                      vmem_region_for_each_populated(world->other, NULL,
                                                     visit_other, &walk) == 0 &&
                          walk.nr_runs == OTHER_UNITS / 2,
                      "a walk over another region");
    region_world_note(
        world,
        vmem_region_get_page_bitmap(world->other, NULL, 1, &word) == 0 &&
            word == 0x55,
        "pages of another region");
    region_world_note(world,
                      vmem_region_with_populated(world->other, &one, never,
                                                 world, NULL) == -EDEADLK,
                      "waited for another region");
    region_world_note(
        world, vmem_source_discard(world->other_source, &one, NULL) == -EDEADLK,
        "changed another region");
}

static void inside_listener(struct recorder *recorder, enum recorder_call call,
                            const struct vmem_range *range)
{
    struct region_world *world = recorder->inside_opaque;
    const struct vmem_range all = region_world_all(world);
    uint64_t words[(MAX_UNITS + 63) / 64];

    if (call == RECORDER_DESTROY) {
        return;
    }
    pry(world, range);
    region_world_note(world,
                      vmem_region_get_page_bitmap(world->region, &all,
                                                  world->unit, words) == 0 &&
                          (words[0] & 1) == world->populated[0],
                      "pages in a callback");
    if (recorder->listener != NULL) {
        region_world_note(
            world, vmem_listener_remove(recorder->listener, NULL) == -EDEADLK,
            "a listener removed itself");
    }
    /* Nothing is committed while listeners are being asked or told. */
    region_world_check_walks(world, &all, 0);
}

static void inside_memory(struct fake_backing *memory, char what,
                          const struct vmem_range *range)
{
    if (what != '~') {
        pry(memory->inside_opaque, range);
    }
}

static void open_other(struct region_world *world)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "other",
        .size = OTHER_UNITS,
    };
    const struct vmem_source_config source = {
        .struct_size = sizeof(source),
        .name = "stripes",
        .block_size = 1,
    };
    int ret = vmem_region_new(world->vm, &config, &world->other, NULL);

    fuzz_check(ret == 0, "ret %d", ret);
    ret = vmem_source_add(world->other, &source, &world->other_source, NULL);
    for (uint64_t i = 0; ret == 0 && i < OTHER_UNITS; i += 2) {
        const struct vmem_range one = { i, 1 };

        ret = vmem_source_populate(world->other_source, &one, NULL);
    }
    fuzz_check(ret == 0, "ret %d", ret);
}

static void open_memory(struct region_world *world, uint64_t flags,
                        bool no_zero)
{
    int ret;

    fake_backing_init(&world->memory, "memory",
                      (uint64_t)world->nr_units << world->unit_shift,
                      world->unit, NULL);
    world->memory.page_size = (uint64_t)world->page_units << world->unit_shift;
    world->memory.flags = flags;
    world->memory.no_zero = no_zero;
    if (world->is_nosy) {
        world->memory.inside = inside_memory;
        world->memory.inside_opaque = world;
    }
    ret = fake_backing_make(&world->memory, world->vm, NULL);
    fuzz_check(ret == 0, "ret %d", ret);
}

void region_world_open(struct region_world *world, struct fuzz_input *input)
{
    static const uint8_t shifts[] = { 12, 0, 21, 57 };
    static struct model model;
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = swallow,
        .clock_ns = read_clock,
        .opaque = world,
    };
    struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "region",
    };
    uint8_t options = fuzz_u8(input);
    int ret;

    *world = (struct region_world){ .model = &model };
    world->unit_shift = shifts[options & 3];
    world->has_memory = (options & 4) != 0;
    world->is_nosy = (options & 8) != 0;
    world->page_units = (options & 16) != 0 ? 2 : 1;
    world->unit = UINT64_C(1) << world->unit_shift;
    world->nr_units = 1 + fuzz_below(input, MAX_UNITS - 1);
    if (world->has_memory && world->nr_units > 1) {
        world->nr_units &= ~(world->page_units - 1);
    } else {
        world->page_units = 1;
    }
    model_init(&model, world->nr_units);
    allocating = world;
    vmemi_alloc_set_hook(may_allocate);
    ret = vmem_vm_new(&vm_config, &world->vm, NULL);
    fuzz_check(ret == 0, "ret %d", ret);
    if (world->has_memory) {
        open_memory(world, (options & 32) != 0 ? VMEM_BACKING_POPULATE : 0,
                    (options & 64) != 0);
        config.backing = world->memory.backing;
    } else {
        config.size = (uint64_t)world->nr_units << world->unit_shift;
    }
    ret = vmem_region_new(world->vm, &config, &world->region, NULL);
    fuzz_check(ret == 0, "ret %d", ret);
    if ((options & 128) != 0) {
        open_other(world);
    }
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        static const char *const names[NR_LISTENERS] = { "l0", "l1", "l2",
                                                         "l3" };

        recorder_init(&world->listeners[i], names[i],
                      (uint64_t)world->nr_units << world->unit_shift,
                      world->unit, NULL);
        if (world->has_memory && (options & 32) == 0) {
            /* Otherwise what was never plugged need not be there. */
            world->listeners[i].memory = &world->memory;
        }
        if (world->is_nosy) {
            world->listeners[i].inside = inside_listener;
            world->listeners[i].inside_opaque = world;
        }
    }
    region_world_update(world);
}

static void close_other(struct region_world *world)
{
    fuzz_check(vmem_source_remove(world->other_source, NULL) == 0, "source");
    fuzz_check(vmem_region_free(world->other, NULL) == 0, "region");
}

void region_world_close(struct region_world *world)
{
    world->fail_alloc = false;
    world->alloc_fails = 0;
    region_world_begin(world);
    for (unsigned i = 0; i < NR_OWNERS; i++) {
        if (world->frozen_by[i]) {
            vmem_region_thaw(world->region, region_world_owners[i], NULL);
        }
    }
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        struct recorder *listener = &world->listeners[i];

        if (listener->listener != NULL) {
            fuzz_check(recorder_remove(listener, NULL) == 0, "remove");
            fuzz_check(listener->nr_destroys == 1, "destroys");
        }
        fuzz_check(listener->nr_complaints == 0, "%s", listener->complaint);
        recorder_destroy(listener);
    }
    world->memory.discards.nr_fails = 0;
    if (world->has_memory) {
        world->memory.watched->len = 0;
    }
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        fuzz_check(vmem_source_remove(world->sources[i], NULL) == 0, "remove");
        world->sources[i] = NULL;
    }
    fuzz_check(vmem_region_free(world->region, NULL) == 0, "region");
    world->region = NULL;
    if (world->other != NULL) {
        close_other(world);
    }
    if (world->has_memory) {
        fuzz_check(vmem_backing_free(world->memory.backing, NULL) == 0,
                   "backing");
        fuzz_check(world->memory.nr_destroys == 1, "destroys");
        fuzz_check(world->memory.nr_complaints == 0, "%s",
                   world->memory.complaint);
        fake_backing_destroy(&world->memory);
    }
    fuzz_check(vmem_vm_free(world->vm, NULL) == 0, "vm");
    fuzz_check(world->broken == NULL, "%s", world->broken);
    vmemi_alloc_set_hook(NULL);
}

void region_world_begin(struct region_world *world)
{
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        struct recorder *listener = &world->listeners[i];

        world->nr_populates += listener->nr_populates;
        world->nr_discards += listener->nr_discards;
        world->nr_vetoes += listener->nr_vetoes + listener->nr_keeps;
        recorder_forget_calls(listener);
    }
    world->failed_alloc = false;
}

bool region_world_is_retained(const struct region_world *world, unsigned unit)
{
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        const struct vmem_source *source = world->sources[i];
        uint64_t pos = (uint64_t)unit << world->unit_shift;

        if (source != NULL && source->retained != NULL &&
            vmem_bitmap_is_set(source->retained, pos >> source->block_shift)) {
            return true;
        }
    }
    return false;
}

/* I1: exactly the populated state of the window. */
static void check_listeners(const struct region_world *world)
{
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        const struct recorder *listener = &world->listeners[i];
        uint64_t first = listener->window.offset >> world->unit_shift;
        uint64_t end = first + (listener->window.size >> world->unit_shift);

        fuzz_check(listener->nr_complaints == 0, "%s", listener->complaint);
        for (unsigned unit = 0; unit < world->nr_units; unit++) {
            bool has = listener->listener != NULL && unit >= first &&
                       unit < end && world->populated[unit];

            fuzz_check((listener->shadow[unit] != 0) == has, "%s %s unit %u",
                       listener->name, has ? "does not have" : "still has",
                       unit);
        }
    }
}

/* Every source's own bits, and that nothing is both wanted and retained. */
static void check_sources(const struct region_world *world)
{
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        const struct model_source *model = &world->model->sources[i];
        const struct vmem_source *source = world->sources[i];
        struct vmem_source_info info = { .struct_size = sizeof(info) };
        uint64_t nr_units = 0;

        if (source == NULL) {
            continue;
        }
        for (unsigned unit = 0; unit < world->nr_units; unit++) {
            uint64_t block =
                ((uint64_t)unit << world->unit_shift) >> source->block_shift;

            nr_units += model->has[unit];
            fuzz_check(vmem_bitmap_is_set(source->blocks, block) ==
                           model->has[unit],
                       "source %u, unit %u", i, unit);
            fuzz_check(source->retained == NULL || !model->has[unit] ||
                           !vmem_bitmap_is_set(source->retained, block),
                       "source %u wants unit %u and retains it", i, unit);
        }
        fuzz_check(vmemi_bitmap_is_consistent(source->blocks), "bitmap");
        fuzz_check(vmem_source_get_info(world->sources[i], &info) == 0, "info");
        fuzz_check(info.populated_size == nr_units << world->unit_shift,
                   "populated");
        fuzz_check(info.block_size == (uint64_t)model->block_units
                                          << world->unit_shift,
                   "block size");
    }
}

static void check_info(const struct region_world *world)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t nr_populated = 0;
    uint64_t nr_retained = 0;
    uint64_t min_units = world->nr_units;
    uint64_t nr_sources = 0;

    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        nr_populated += world->populated[unit];
        nr_retained += region_world_is_retained(world, unit);
    }
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        const struct model_source *source = &world->model->sources[i];

        nr_sources += source->used;
        if (source->used && source->block_units < min_units) {
            min_units = source->block_units;
        }
    }
    fuzz_check(vmem_region_get_info(world->region, &info) == 0, "info");
    fuzz_check(info.size == (uint64_t)world->nr_units << world->unit_shift,
               "size");
    fuzz_check(info.populated_size == nr_populated << world->unit_shift,
               "populated");
    fuzz_check(info.retained_size == nr_retained << world->unit_shift,
               "retained");
    fuzz_check(info.min_granularity == min_units << world->unit_shift,
               "granularity");
    fuzz_check(info.nr_sources == nr_sources, "sources");
    fuzz_check(info.nr_listeners == world->nr_listeners, "listeners");
    fuzz_check(info.nr_freezers == world->nr_frozen, "freezers");
    fuzz_check(vmem_region_is_frozen(world->region) == (world->nr_frozen > 0),
               "frozen");
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        info.nr_populate_calls -= world->listeners[i].nr_populates;
        info.nr_discard_calls -= world->listeners[i].nr_discards;
        info.nr_vetoes -=
            world->listeners[i].nr_vetoes + world->listeners[i].nr_keeps;
    }
    fuzz_check(info.nr_populate_calls == world->nr_populates, "populates");
    fuzz_check(info.nr_discard_calls == world->nr_discards, "discards");
    fuzz_check(info.nr_vetoes == world->nr_vetoes, "vetoes");
}

/* I6: what nobody wants is gone or retained; what somebody wrote stays, and what
 * nobody wrote is zero. */
static void check_memory(const struct region_world *world)
{
    const struct fake_backing *memory = &world->memory;
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };

    fuzz_check(memory->nr_complaints == 0, "%s", memory->complaint);
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        if (model_is_wanted(world->model, unit)) {
            fuzz_check((memory->content[unit] == FAKE_DIRTY) ==
                           world->model->written[unit],
                       "unit %u holds %s", unit,
                       world->model->written[unit] ? "nothing" : "old bytes");
        } else {
            fuzz_check(memory->content[unit] == FAKE_ABSENT ||
                           region_world_is_retained(world, unit),
                       "unit %u is there and not retained", unit);
        }
    }
    fuzz_check(vmem_backing_get_stats(memory->backing, &stats) == 0, "stats");
    fuzz_check(stats.nr_discards == memory->discards.nr_calls &&
                   stats.nr_discard_errors == memory->discards.nr_failed &&
                   stats.nr_populates == memory->populates.nr_calls &&
                   stats.nr_populate_errors == memory->populates.nr_failed,
               "counts of memory calls");
}

void region_world_check(struct region_world *world)
{
    const struct vmem_range all = region_world_all(world);

    fuzz_check(world->broken == NULL, "%s", world->broken);
    check_listeners(world);
    check_sources(world);
    check_info(world);
    region_world_check_walks(world, &all, 0);
    fuzz_check(world->broken == NULL, "%s", world->broken);
    if (world->has_memory) {
        check_memory(world);
    }
}
