/* SPDX-License-Identifier: BSD-3-Clause */
/* A region, its sources and listeners against a naive model: sources of
 * different block sizes, windows, chunks, vetoes, failing memory, freezing. */
#include <errno.h>

#include "region_change.h"

/* Ranges in units, now and then with an end that is none. */
static struct vmem_range take_range(struct region_world *world,
                                    struct fuzz_input *input)
{
    uint8_t first = fuzz_u8(input);
    uint8_t nr = fuzz_u8(input);
    struct vmem_range range;

    if (nr == 255) {
        range.offset = fuzz_number(input);
        range.size = fuzz_number(input);
        return range;
    }
    if (first >= 248) {
        return region_world_range(world, first, nr);
    }
    first = (uint8_t)(first % world->nr_units);
    return region_world_range(world, first, nr % (world->nr_units - first + 1));
}

static int check_range(const struct region_world *world,
                       const struct vmem_range *range, uint64_t granularity)
{
    uint64_t end;

    if (__builtin_add_overflow(range->offset, range->size, &end)) {
        return -EOVERFLOW;
    }
    if (end > (uint64_t)world->nr_units << world->unit_shift) {
        return -ERANGE;
    }
    return ((range->offset | range->size) & (granularity - 1)) != 0 ? -EINVAL
                                                                    : 0;
}

static int check_source_change(const struct region_world *world,
                               unsigned source, const struct vmem_range *range)
{
    int ret = check_range(world, range,
                          (uint64_t)world->model->sources[source].block_units
                              << world->unit_shift);

    return ret == 0 && world->nr_frozen > 0 ? -EBUSY : ret;
}

/* Is any unit of the range retained by that source's memory? */
static bool any_retained(const struct region_world *world,
                         const struct vmem_range *range)
{
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        uint64_t pos = (uint64_t)unit << world->unit_shift;

        if (pos >= range->offset && pos - range->offset < range->size &&
            region_world_is_retained(world, unit)) {
            return true;
        }
    }
    return false;
}

static void set_model(struct region_world *world, unsigned source,
                      const struct vmem_range *range, bool populated)
{
    model_set(world->model, source, range->offset >> world->unit_shift,
              range->size >> world->unit_shift, populated);
    region_world_update(world);
}

/* With VMEM_BACKING_POPULATE what was plugged is there. */
static void check_present(const struct region_world *world,
                          const struct vmem_range *range,
                          const bool *was_wanted)
{
    if (!world->has_memory ||
        (world->memory.flags & VMEM_BACKING_POPULATE) == 0) {
        return;
    }
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        uint64_t pos = (uint64_t)unit << world->unit_shift;

        fuzz_check(pos < range->offset || pos - range->offset >= range->size ||
                       was_wanted[unit] ||
                       !model_is_wanted(world->model, unit) ||
                       world->memory.content[unit] != FAKE_ABSENT,
                   "unit %u is not there", unit);
    }
}

/* Retained memory could neither be given back nor zeroed. */
static void check_clean_failed(const struct region_world *world,
                               const struct fake_backing *before,
                               bool was_retained)
{
    const struct fake_backing *memory = &world->memory;

    fuzz_check(was_retained &&
                   before->discards.nr_failed < memory->discards.nr_failed &&
                   (memory->no_zero ||
                    before->zeros.nr_failed < memory->zeros.nr_failed),
               "nothing has failed");
    region_change_check_quiet(world);
}

static void populate(struct region_world *world, unsigned source,
                     const struct vmem_range *range)
{
    const struct fake_backing memory = world->memory;
    struct vmem_error err = VMEM_ERROR_INIT;
    bool was_wanted[MAX_UNITS] = { false };
    struct region_change change;
    bool was_retained;
    int expected;
    int ret;

    expected = check_source_change(world, source, range);
    was_retained = expected == 0 && any_retained(world, range);
    region_change_find(world, source, expected == 0 ? range : NULL, true,
                       &change);
    region_change_find_vetoer(world, &change);
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        was_wanted[unit] = model_is_wanted(world->model, unit);
    }
    ret = vmem_source_populate(world->sources[source], range, &err);
    if (expected != 0) {
        fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
        region_change_check_quiet(world);
        return;
    }
    if (ret < 0 && err.reason == VMEM_REASON_DISCARD_FAILED) {
        check_clean_failed(world, &memory, was_retained);
        return;
    }
    if (ret < 0 && err.reason == VMEM_REASON_POPULATE_FAILED) {
        fuzz_check(memory.populates.nr_failed <
                       world->memory.populates.nr_failed,
                   "nothing has failed");
        region_change_check_quiet(world);
        return;
    }
    if (change.vetoer >= 0) {
        region_change_check_veto(world, change.vetoer, ret, &err);
    } else {
        fuzz_check(ret == 0, "ret %d: %s", ret, err.message);
        set_model(world, source, range, true);
        check_present(world, range, was_wanted);
    }
    region_change_check_populate(world, &change);
}

static void discard(struct region_world *world, unsigned source,
                    const struct vmem_range *range)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct region_change change;
    int expected;
    int ret;

    expected = check_source_change(world, source, range);
    region_change_find(world, source, range, false, &change);
    region_change_find_keeper(world, &change);
    ret = vmem_source_discard(world->sources[source], range, &err);
    if (expected < 0) {
        fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
        region_change_check_quiet(world);
        return;
    }
    region_change_check_asks(world, &change);
    if (change.keeper >= 0) {
        region_change_check_veto(world, change.keeper, ret, &err);
        return;
    }
    fuzz_check(ret == 0, "ret %d: %s", ret, err.message);
    set_model(world, source, range, false);
    region_change_check_discard(world, &change);
}

static void add_source(struct region_world *world, unsigned i,
                       uint64_t block_size, uint64_t flags)
{
    static const char *const names[NR_SOURCES] = { "s0", "s1", "s2", "s3" };
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = names[i],
        .block_size = block_size,
        .flags = flags,
    };
    const uint64_t size = (uint64_t)world->nr_units << world->unit_shift;
    struct vmem_source *source = NULL;
    struct region_change change = { .vetoer = -1, .keeper = -1 };
    struct vmem_error err = VMEM_ERROR_INIT;
    int expected = 0;
    int ret;

    if (flags > 3 || block_size == 0 || (block_size & (block_size - 1)) != 0 ||
        size % block_size != 0 ||
        ((flags & VMEM_SOURCE_DISCARDS) != 0 && world->has_memory &&
         block_size < world->memory.page_size)) {
        expected = -EINVAL;
    } else if (size / block_size > VMEM_BITMAP_MAX_BLOCKS) {
        expected = -ERANGE;
    } else if (world->fail_alloc) {
        expected = -ENOMEM;
    } else if (world->nr_frozen > 0) {
        expected = -EBUSY;
    } else if (world->sources[i] != NULL) {
        expected = -EEXIST;
    } else {
        for (unsigned j = 0; j < world->nr_listeners; j++) {
            if (world->listeners[world->order[j]].granularity > block_size) {
                expected = -EBUSY;
            }
        }
    }
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        change.units[unit] =
            world->populated[unit] && (flags & VMEM_SOURCE_POPULATED) == 0;
    }
    region_change_find_keeper(world, &change);
    ret = vmem_source_add(world->region, &config, &source, &err);
    fuzz_check((source == NULL) == (ret < 0), "touched on failure");
    if (expected < 0) {
        fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
        region_change_check_quiet(world);
        return;
    }
    region_change_check_asks(world, &change);
    if (change.keeper >= 0) {
        region_change_check_veto(world, change.keeper, ret, &err);
        return;
    }
    fuzz_check(ret == 0, "ret %d: %s", ret, err.message);
    world->sources[i] = source;
    model_source_add(world->model, i, block_size >> world->unit_shift,
                     (flags & VMEM_SOURCE_DISCARDS) != 0,
                     (flags & VMEM_SOURCE_POPULATED) != 0);
    region_world_update(world);
    region_change_check_discard(world, &change);
}

static void remove_source(struct region_world *world, unsigned i)
{
    const struct fake_backing memory = world->memory;
    const struct vmem_range all = region_world_all(world);
    struct vmem_error err = VMEM_ERROR_INIT;
    bool was_retained = any_retained(world, &all);
    struct region_change change;
    int ret;

    if (world->sources[i] == NULL) {
        fuzz_check(vmem_source_remove(NULL, NULL) == 0, "NULL");
        return;
    }
    region_change_find(world, i, NULL, true, &change);
    region_change_find_vetoer(world, &change);
    ret = vmem_source_remove(world->sources[i], &err);
    if (world->nr_frozen > 0) {
        fuzz_check(ret == -EBUSY && err.reason == VMEM_REASON_FROZEN, "ret %d",
                   ret);
        region_change_check_quiet(world);
        return;
    }
    if (ret < 0 && err.reason == VMEM_REASON_DISCARD_FAILED) {
        check_clean_failed(world, &memory, was_retained);
        return;
    }
    if (change.vetoer >= 0) {
        region_change_check_veto(world, change.vetoer, ret, &err);
    } else {
        fuzz_check(ret == 0, "ret %d: %s", ret, err.message);
        world->sources[i] = NULL;
        model_source_remove(world->model, i);
        region_world_update(world);
    }
    region_change_check_populate(world, &change);
}

/* The most that fit, all populated, which nobody notices. */
static void fill_sources(struct region_world *world)
{
    struct vmem_source *more[VMEM_REGION_MAX_SOURCES + 1] = { NULL };
    char name[] = "a";
    struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .block_size = world->unit << 3,
        .flags = VMEM_SOURCE_POPULATED,
    };
    unsigned nr_sources = 0;
    unsigned nr_more = 0;
    int ret = 0;

    if (world->nr_units % 8 != 0) {
        return;
    }
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        nr_sources += world->sources[i] != NULL;
    }
    while (ret == 0 && nr_more <= VMEM_REGION_MAX_SOURCES) {
        ret = vmem_source_add(world->region, &config, &more[nr_more], NULL);
        nr_more += ret == 0;
        name[0]++;
    }
    fuzz_check(
        ret == -EBUSY || ret == -ENOMEM ||
            (ret == -ERANGE && nr_sources + nr_more == VMEM_REGION_MAX_SOURCES),
        "ret %d after %u sources", ret, nr_more);
    while (nr_more-- > 0) {
        fuzz_check(vmem_source_remove(more[nr_more], NULL) == 0, "remove");
    }
    region_change_check_quiet(world);
}

static int check_listener(const struct region_world *world,
                          const struct recorder *listener)
{
    struct vmem_range window = listener->window;
    uint64_t smallest = UINT64_MAX;

    if (listener->flags > VMEM_LISTENER_EXACT_DISCARD ||
        (listener->flags != 0 && listener->granularity == 0) ||
        (listener->granularity & (listener->granularity - 1)) != 0 ||
        (window.size == 0 && window.offset != 0)) {
        return -EINVAL;
    }
    if (check_range(world, &window, 1) < 0) {
        return check_range(world, &window, 1);
    }
    if (world->fail_alloc) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        uint64_t size = (uint64_t)world->model->sources[i].block_units
                        << world->unit_shift;

        if (world->model->sources[i].used && size < smallest) {
            smallest = size;
        }
    }
    return listener->granularity > smallest ? -EINVAL : 0;
}

static void add_listener(struct region_world *world, struct fuzz_input *input,
                         unsigned i)
{
    struct recorder *listener = &world->listeners[i];
    struct vmem_error err = VMEM_ERROR_INIT;
    struct region_change change;
    uint8_t options = fuzz_u8(input);
    int expected;
    int ret;

    listener->window = take_range(world, input);
    if (check_range(world, &listener->window, world->unit) == -EINVAL) {
        listener->window = (struct vmem_range){ 0, 0 };
    }
    /* Half of them: 0. Then up to 64 units, or the largest there is. */
    listener->granularity =
        (options & 1) != 0 ? world->unit << (options >> 1 & 7) : 0;
    if ((options >> 1 & 7) == 7 && listener->granularity != 0) {
        listener->granularity = (options & 128) != 0
                                    ? UINT64_C(1) << 63
                                    : listener->granularity - 1;
    }
    listener->flags = (options & 16) != 0 ? VMEM_LISTENER_EXACT_DISCARD : 0;
    listener->flags += (options & 96) == 96 ? 2 : 0;
    listener->touches = (options & 32) != 0;
    listener->may_object = (options & 96) == 64;

    expected = check_listener(world, listener);
    if (expected == 0 && listener->window.size == 0) {
        listener->window = region_world_all(world);
    }
    ret = recorder_add(listener, world->region, &err);
    if (expected != 0) {
        fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
        fuzz_check(listener->nr_destroys == 1, "destroys");
        listener->window = (struct vmem_range){ 0, 0 };
        region_change_check_quiet(world);
        return;
    }
    change.vetoer = region_change_find_veto(world, listener, world->populated) <
                            world->nr_units
                        ? 0
                        : -1;
    if (change.vetoer >= 0) {
        fuzz_check(
            ret == (listener->veto_code < 0 ? listener->veto_code : -EINVAL),
            "ret %d", ret);
        fuzz_check(err.reason == VMEM_REASON_LISTENER_VETO, "reason");
        fuzz_check(listener->nr_destroys == 1, "destroys");
        fuzz_check(listener->listener == NULL, "touched on failure");
        return;
    }
    fuzz_check(ret == 0, "ret %d: %s", ret, err.message);
    fuzz_check(listener->nr_populates ==
                   region_change_nr_calls(world, listener, world->populated,
                                          world->nr_units, true),
               "populates");
    world->order[world->nr_listeners++] = i;
    if (world->has_memory) {
        fake_backing_watch(&world->memory, listener);
    }
}

static void remove_listener(struct region_world *world, unsigned i)
{
    struct recorder *listener = &world->listeners[i];
    unsigned at = 0;

    if (world->has_memory) {
        fake_backing_unwatch(&world->memory, listener);
    }
    fuzz_check(recorder_remove(listener, NULL) == 0, "remove");
    fuzz_check(listener->nr_destroys == 1, "destroys");
    fuzz_check(listener->nr_discards ==
                   region_change_nr_calls(world, listener, world->populated,
                                          world->nr_units,
                                          region_change_is_exact(listener)),
               "discards");
    fuzz_check(listener->nr_asks == 0, "asked");
    while (world->order[at] != i) {
        at++;
    }
    world->nr_listeners--;
    memmove(&world->order[at], &world->order[at + 1],
            (world->nr_listeners - at) * sizeof(world->order[0]));
}

static void toggle_freeze(struct region_world *world, unsigned i, bool wrong)
{
    const char *owner = region_world_owners[i];
    bool thaw = world->frozen_by[i] != wrong;
    int ret = thaw ? vmem_region_thaw(world->region, owner, NULL)
                   : vmem_region_freeze(world->region, owner, NULL);

    if (!thaw && ret == -ENOMEM) {
        fuzz_check(world->failed_alloc, "out of memory");
        return;
    }
    if (wrong) {
        fuzz_check(ret == (thaw ? -ENOENT : -EEXIST), "ret %d", ret);
        return;
    }
    fuzz_check(ret == 0, "ret %d", ret);
    world->frozen_by[i] = !thaw;
    world->nr_frozen = thaw ? world->nr_frozen - 1 : world->nr_frozen + 1;
    region_change_check_quiet(world);
}

static int count_call(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned *)opaque;
    return 5;
}

/* One source's bits of the pages, each of units that the model has. */
static void expand_source(struct region_world *world, unsigned source,
                          const struct vmem_range *window, uint64_t page_size,
                          int expected)
{
    const struct model_source *model = &world->model->sources[source];
    uint64_t words[MAX_UNITS * 8 / 64 + 1];
    uint64_t nr_pages = expected == 0 ? window->size / page_size : 0;
    int ret;

    memset(words, 0xa5, sizeof(words));
    ret = vmem_source_get_page_bitmap(world->sources[source], window, page_size,
                                      words);
    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
    for (uint64_t i = 0; i < (nr_pages + 63) / 64 * 64; i++) {
        uint64_t start = window->offset + i * page_size;
        bool has = i < nr_pages;

        for (uint64_t unit = start >> world->unit_shift;
             has && unit <= (start + (page_size - 1)) >> world->unit_shift;
             unit++) {
            has = model->has[unit];
        }
        fuzz_check((words[i / 64] >> (i % 64) & 1) == has, "page %llu of %u",
                   (unsigned long long)i, source);
    }
    fuzz_check(words[(nr_pages + 63) / 64] == UINT64_C(0xa5a5a5a5a5a5a5a5),
               "written behind the end");
}

/* One bit for each page, any size of page. */
static void expand(struct region_world *world, const struct vmem_range *window,
                   uint64_t page_size)
{
    uint64_t words[MAX_UNITS * 8 / 64 + 1];
    uint64_t nr_pages = 0;
    int expected = -EINVAL;
    int ret;

    memset(words, 0xa5, sizeof(words));
    if (page_size != 0 && (page_size & (page_size - 1)) == 0) {
        expected = check_range(world, window, page_size);
        nr_pages = window->size / page_size;
    }
    if (expected == 0 && nr_pages > MAX_UNITS * 8) {
        return;
    }
    ret = vmem_region_get_page_bitmap(world->region, window, page_size, words);
    fuzz_check(ret == expected, "ret %d, not %d", ret, expected);
    nr_pages = expected == 0 ? nr_pages : 0;
    for (uint64_t i = 0; i < (nr_pages + 63) / 64 * 64; i++) {
        const struct vmem_range page = { window->offset + i * page_size,
                                         page_size };
        bool populated =
            i < nr_pages && vmem_region_is_populated(world->region, &page);

        fuzz_check((words[i / 64] >> (i % 64) & 1) == populated, "page %llu",
                   (unsigned long long)i);
    }
    fuzz_check(words[(nr_pages + 63) / 64] == UINT64_C(0xa5a5a5a5a5a5a5a5),
               "written behind the end");
    for (unsigned i = 0; i < NR_SOURCES; i++) {
        if (world->sources[i] != NULL) {
            expand_source(world, i, window, page_size, expected);
        }
    }
}

/* Any alignment, any numbers. */
static void query(struct region_world *world, const struct vmem_range *range)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t end = range->offset + range->size;
    int inside = check_range(world, range, 1);
    bool populated = inside == 0;
    uint64_t first_hole = 0;
    unsigned called = 0;
    int ret;

    for (unsigned unit = world->nr_units; inside == 0 && unit-- > 0;) {
        uint64_t start = (uint64_t)unit << world->unit_shift;

        if (range->size > 0 && start < end &&
            start + (world->unit - 1) >= range->offset &&
            !world->populated[unit]) {
            populated = false;
            first_hole = start > range->offset ? start : range->offset;
        }
    }
    fuzz_check(vmem_region_is_populated(world->region, range) == populated,
               "is_populated");
    ret = vmem_region_with_populated(world->region, range, count_call, &called,
                                     &err);
    if (range->size == 0) {
        fuzz_check(ret == -EINVAL && called == 0, "ret %d", ret);
    } else if (inside < 0) {
        fuzz_check(ret == inside && called == 0, "ret %d", ret);
    } else if (populated) {
        fuzz_check(ret == 5 && called == 1, "ret %d", ret);
    } else {
        fuzz_check(ret == -ENXIO && called == 0, "ret %d", ret);
        fuzz_check(
            err.range.offset == first_hole && err.range.size > 0 &&
                err.range.size <= end - first_hole &&
                !vmem_region_is_populated(
                    world->region, &(struct vmem_range){ first_hole, 1 }),
            "hole");
    }
    if (inside < 0) {
        fuzz_check(vmem_region_for_each_populated(
                       world->region, range, count_call, &called) == inside,
                   "walk outside");
        return;
    }
    region_world_check_walks(world, range, 0);
}

/* Makes memory, a listener or an allocation fail soon. */
static void arm(struct region_world *world, struct fuzz_input *input)
{
    static const int codes[] = { -EIO, -ENOMEM, -EBUSY, 1 };
    struct fake_calls *calls[] = { &world->memory.discards,
                                   &world->memory.populates,
                                   &world->memory.zeros };
    uint8_t what = fuzz_u8(input);
    uint8_t at = fuzz_u8(input);
    unsigned kind = what & 7;

    if (kind < 3) {
        calls[kind]->fail_at = calls[kind]->nr_calls + (at & 3);
        calls[kind]->nr_fails = (what & 128) != 0 ? UINT64_MAX / 2 : at >> 6;
        calls[kind]->code = codes[what >> 3 & 3];
        calls[kind]->partial = at >> 2 & 15;
    } else if (kind < 7) {
        world->listeners[kind - 3].veto_at =
            (what & 128) != 0 ? UINT64_MAX : at & 15;
        world->listeners[kind - 3].keep_at =
            (what & 128) != 0 ? UINT64_MAX : at >> 4;
        world->listeners[kind - 3].veto_code = codes[what >> 3 & 3];
    } else {
        world->fail_alloc = !world->fail_alloc;
    }
}

static void retry(struct region_world *world)
{
    const struct fake_calls before = world->memory.discards;
    const struct vmem_range all = region_world_all(world);
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_region_retry_discards(world->region, &err);

    if (world->nr_frozen > 0) {
        fuzz_check(ret == -EBUSY &&
                       before.nr_calls == world->memory.discards.nr_calls,
                   "ret %d", ret);
        return;
    }
    fuzz_check((ret < 0) == any_retained(world, &all), "ret %d", ret);
    if (ret < 0) {
        fuzz_check(err.reason == VMEM_REASON_DISCARD_FAILED &&
                       any_retained(world, &err.range),
                   "range");
    }
    region_change_check_quiet(world);
}

/* The guest writes, or reads, where it may. */
static void touch(struct region_world *world, const struct vmem_range *range,
                  bool writes)
{
    if (!world->has_memory || range->size == 0 ||
        check_range(world, range, world->unit) < 0 ||
        !vmem_region_is_populated(world->region, range)) {
        return;
    }
    if (!writes) {
        fake_backing_touch(&world->memory, range);
        return;
    }
    fake_backing_write(&world->memory, range);
    model_write(world->model, range->offset >> world->unit_shift,
                range->size >> world->unit_shift);
}

static int stop_at_region(struct vmem_region *region, void *opaque)
{
    return region == ((struct region_world *)opaque)->region ? 3 : 0;
}

static void ask_backing(struct region_world *world,
                        const struct vmem_range *range)
{
    struct vmem_backing *backing = world->memory.backing;
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    int inside = check_range(world, range, 1);
    int aligned = check_range(world, range, world->memory.page_size);

    fuzz_check(vmem_backing_get_info(backing, &info) == 0, "info");
    fuzz_check(info.kind == VMEM_BACKING_CUSTOM && info.fd == -1, "info");
    fuzz_check(vmem_backing_get_usage(backing, NULL, &usage, NULL) == 0 &&
                   usage.resident == fake_backing_resident(&world->memory),
               "usage");
    fuzz_check(vmem_backing_get_usage(backing, range, &usage, NULL) == inside,
               "usage of a range");
    /* The region's, and nobody else's. */
    fuzz_check(vmem_backing_discard(backing, range, NULL) ==
                   (aligned < 0 ? aligned : -EBUSY),
               "discard");
    fuzz_check(vmem_backing_populate(backing, range, NULL) ==
                   (aligned < 0 ? aligned : -EBUSY),
               "populate");
    fuzz_check(vmem_backing_free(backing, NULL) == -EBUSY, "free");
}

static void misuse(struct region_world *world, const struct vmem_range *range)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "second",
        .backing = world->has_memory ? world->memory.backing : NULL,
    };
    struct vmem_region *region = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    bool has_children = world->nr_listeners + world->nr_frozen > 0;
    int ret;

    for (unsigned i = 0; i < NR_SOURCES; i++) {
        has_children |= world->sources[i] != NULL;
    }
    if (has_children) {
        fuzz_check(vmem_region_free(world->region, &err) == -EBUSY, "free");
    }
    fuzz_check(vmem_vm_free(world->vm, &err) == -EBUSY, "free");
    fuzz_check(vmem_vm_for_each_region(world->vm, stop_at_region, world) == 3,
               "regions");
    fuzz_check(vmem_vm_for_each_region(NULL, stop_at_region, world) == -EINVAL,
               "NULL");
    fuzz_check(vmem_vm_for_each_device(world->vm, NULL, world) == -EINVAL,
               "NULL");
    ret = vmem_region_new(world->vm, &config, &region, &err);
    if (world->has_memory) {
        fuzz_check(ret == (world->failed_alloc ? -ENOMEM : -EBUSY), "ret %d",
                   ret);
        ask_backing(world, range);
    } else if (ret == 0) {
        fuzz_check(vmem_region_free(region, &err) == 0, "free");
    } else {
        fuzz_check(ret == -ENOMEM && world->failed_alloc, "ret %d", ret);
    }
    fuzz_check(vmem_source_populate(NULL, range, &err) == -EINVAL, "NULL");
    fuzz_check(vmem_source_discard(world->sources[0], NULL, &err) == -EINVAL,
               "NULL");
    fuzz_check(!vmem_region_is_populated(world->region, NULL), "NULL");
    fuzz_check(vmem_region_for_each_populated(NULL, range, count_call, NULL) ==
                   -EINVAL,
               "NULL");
    fuzz_check(vmem_region_retry_discards(NULL, &err) == -EINVAL, "NULL");
    fuzz_check(vmem_region_freeze(NULL, "x", &err) == -EINVAL, "NULL");
    fuzz_check(vmem_region_thaw(world->region, NULL, &err) == -EINVAL, "NULL");
    fuzz_check(
        vmem_region_freeze(world->region, "", &err) ==
            (world->failed_alloc && err.code == -ENOMEM ? -ENOMEM : -EINVAL),
        "no owner");
    fuzz_check(vmem_source_add(NULL, NULL, NULL, &err) == -EINVAL, "NULL");
    fuzz_check(vmem_listener_remove(NULL, &err) == 0, "NULL");
    region_change_check_quiet(world);
}

static void free_all(struct vmem_vm *vm, struct vmem_backing *backing,
                     struct vmem_region *region)
{
    fuzz_check(vmem_region_free(region, NULL) == 0, "region");
    fuzz_check(vmem_backing_free(backing, NULL) == 0, "backing");
    fuzz_check(vmem_vm_free(vm, NULL) == 0, "vm");
}

static void use_backing(const struct fake_backing *memory,
                        const struct vmem_range *range)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing = memory->backing;
    int ret;

    ret = vmem_backing_populate(backing, range, &err);
    fuzz_check(ret == (memory->populates.nr_failed > 0 ? -ENOMEM : 0), "ret %d",
               ret);
    ret = vmem_backing_get_usage(backing, range, &usage, &err);
    fuzz_check(ret == (memory->no_usage ? -ENOTSUP : 0), "ret %d", ret);
    ret = vmem_backing_discard(backing, range, &err);
    fuzz_check(ret == (memory->discards.nr_failed > 0 ? -EIO : 0), "ret %d",
               ret);
    fuzz_check(vmem_backing_discard(backing, NULL, &err) == -EINVAL, "NULL");
}

/* A second machine, made while memory runs out, its parts mixed up with those of
 * the first. */
static void other_machine(struct region_world *world, struct fuzz_input *input)
{
    static struct fake_backing memory;
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "second" };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "region" };
    uint8_t options = fuzz_u8(input);
    const struct vmem_range page = { 0, 4096 };
    struct vmem_region *region = NULL;
    struct vmem_vm *vm = NULL;
    int ret;

    world->fail_alloc = false;
    world->alloc_fails = options & 7;
    fake_backing_init(&memory, "memory", 2 * page.size, page.size, NULL);
    memory.no_usage = (options & 8) != 0;
    memory.no_zero = true;
    fake_calls_fail(&memory.discards, 0, options >> 4 & 1, -EIO);
    fake_calls_fail(&memory.populates, 0, options >> 5 & 1, -ENOMEM);
    ret = vmem_vm_new(&vm_config, &vm, NULL);
    if (ret == 0) {
        ret = fake_backing_make(&memory, vm, NULL);
        fuzz_check(ret == 0 || memory.nr_destroys == 1, "destroys");
    }
    if (ret == 0) {
        use_backing(&memory, &page);
        config.backing = memory.backing;
        config.size = options >= 192 ? page.size : 0;
        ret = vmem_region_new((options & 64) != 0 ? world->vm : vm, &config,
                              &region, NULL);
        if (options >= 192 || (options & 64) != 0) {
            fuzz_check(ret == -EINVAL || world->failed_alloc, "ret %d", ret);
            ret = 0;
        }
    }
    fuzz_check(ret == 0 || (ret == -ENOMEM && world->failed_alloc), "ret %d",
               ret);
    fuzz_check(region == NULL ||
                   (vmem_region_get_size(region) == 2 * page.size &&
                    vmem_region_get_backing(region) == memory.backing &&
                    strcmp(vmem_region_get_name(region), "region") == 0 &&
                    strcmp(vmem_vm_get_name(vm), "second") == 0),
               "getters");
    free_all(vm, memory.backing, region);
    fake_backing_destroy(&memory);
    world->fail_alloc = false;
    world->alloc_fails = 0;
}

static void change_sources(struct region_world *world, struct fuzz_input *input,
                           unsigned arg)
{
    unsigned i = arg % NR_SOURCES;
    uint8_t options = fuzz_u8(input);
    uint64_t block_size = world->unit << (options & 3);

    if (options == 255) {
        fill_sources(world);
        return;
    }
    if (world->sources[i] != NULL && (options & 128) == 0) {
        remove_source(world, i);
        return;
    }
    if ((options & 64) != 0) {
        block_size = fuzz_number(input);
        /* Blocks below a unit are more than the model has. */
        if (block_size < world->unit && block_size != 0 &&
            (block_size & (block_size - 1)) == 0 &&
            ((uint64_t)world->nr_units << world->unit_shift) / block_size <=
                VMEM_BITMAP_MAX_BLOCKS) {
            block_size = 0;
        }
    }
    add_source(world, i, block_size, options >> 2 & ((options & 32) ? 7 : 3));
}

static void step(struct region_world *world, struct fuzz_input *input)
{
    uint8_t op = fuzz_u8(input);
    unsigned arg = op >> 4;
    struct vmem_range range;

    region_world_begin(world);
    switch (op & 15) {
    case 0:
    case 1:
        change_sources(world, input, arg);
        break;
    case 2:
    case 3:
    case 4:
        range = take_range(world, input);
        if (world->sources[arg % NR_SOURCES] != NULL) {
            populate(world, arg % NR_SOURCES, &range);
        }
        break;
    case 5:
    case 6:
        range = take_range(world, input);
        if (world->sources[arg % NR_SOURCES] != NULL) {
            discard(world, arg % NR_SOURCES, &range);
        }
        break;
    case 7:
    case 8:
        if (world->listeners[arg % NR_LISTENERS].listener != NULL) {
            remove_listener(world, arg % NR_LISTENERS);
        } else {
            add_listener(world, input, arg % NR_LISTENERS);
        }
        break;
    case 9:
        toggle_freeze(world, arg % NR_OWNERS, arg >= 12);
        break;
    case 10:
        range = take_range(world, input);
        query(world, &range);
        expand(world, &range,
               arg < 8 ? world->unit << arg >> 2 : fuzz_number(input));
        break;
    case 11:
        arm(world, input);
        break;
    case 12:
        retry(world);
        break;
    case 13:
        range = take_range(world, input);
        if (arg < 8) {
            misuse(world, &range);
        } else {
            other_machine(world, input);
        }
        break;
    case 14:
        range = take_range(world, input);
        touch(world, &range, (arg & 1) != 0);
        break;
    default:
        range = region_world_all(world);
        region_world_check_walks(world, &range, 1 + arg);
        world->now_ns += fuzz_number(input) << 20;
        break;
    }
    region_world_check(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    static struct region_world world;

    region_world_open(&world, &input);
    while (fuzz_more(&input)) {
        step(&world, &input);
    }
    region_world_close(&world);
    return 0;
}
