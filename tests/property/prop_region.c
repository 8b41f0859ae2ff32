/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations on a region and on the naive model of support/model.h, which
 * must agree after every one. usage: prop_region [SEEDS [OPS [FIRST_SEED]]] */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "core/bitmap.h"
#include "core/source.h"
#include "support/fake_backing.h"
#include "support/model.h"
#include "support/quiet.h"

#define PAGE 8
#define NR_LISTENERS 4
#define NR_SOURCES 3
#define VETO (-ENOSPC)
#define NO_MEMORY (-ENOMEM)
#define STUCK (-EIO)
#define UNZEROED (-EFAULT)

/* Everything counts bytes: the region is small, so that a model with one element
 * a byte, and windows of any alignment, cost nothing. */
struct run {
    GRand *rand;
    guint32 seed;
    unsigned int op;
    const char *what; /* the operation */
    size_t size;
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct fake_backing memory;
    struct vmem_source *sources[NR_SOURCES];
    struct recorder listeners[NR_LISTENERS];
    size_t order[NR_LISTENERS]; /* of registration */
    size_t nr_listeners;
    struct model model;
    uint8_t before[MODEL_MAX_UNITS]; /* populated before the operation */
    uint8_t now[MODEL_MAX_UNITS];    /* as the model says */
    bool frozen[2];
};

/* What has happened, over all seeds: a run in which nothing does is no test. */
static struct {
    uint64_t nr_done;
    uint64_t nr_frozen;
    uint64_t nr_vetoed;
    uint64_t nr_kept;
    uint64_t nr_without_memory;
    uint64_t nr_unzeroed;
    uint64_t nr_discards_failed;
    uint64_t nr_calls;
} totals;

static const char *const source_names[NR_SOURCES] = { "s0", "s1", "s2" };
static const char *const listener_names[NR_LISTENERS] = { "l0", "l1", "l2",
                                                          "l3" };
static const char *const freezers[2] = { "f0", "f1" };

__attribute__((format(printf, 2, 3), noreturn)) static void
disagree(const struct run *run, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "prop_region: seed %u, operation %u (%s): ", run->seed,
            run->op, run->what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

#define AGREE(run, condition)                                                  \
    do {                                                                       \
        if (!(condition)) {                                                    \
            disagree(run, "line %d: %s", __LINE__, #condition);                \
        }                                                                      \
    } while (0)

static size_t up_to(struct run *run, size_t limit)
{
    return (size_t)g_rand_int_range(run->rand, 0, (gint32)limit + 1);
}

static bool one_in(struct run *run, size_t n)
{
    return up_to(run, n - 1) == 0;
}

static bool is_frozen(const struct run *run)
{
    return run->frozen[0] || run->frozen[1];
}

/* ---- faults ---- */

static void set_faults(struct run *run)
{
    fake_calls_succeed(&run->memory.discards);
    fake_calls_succeed(&run->memory.populates);
    fake_calls_succeed(&run->memory.zeros);
    for (size_t i = 0; i < NR_LISTENERS; i++) {
        run->listeners[i].veto_at = UINT64_MAX;
        run->listeners[i].keep_at = UINT64_MAX;
        recorder_forget_calls(&run->listeners[i]);
    }
    if (one_in(run, 4)) {
        fake_calls_fail(&run->memory.discards, up_to(run, 3) / 2,
                        one_in(run, 2) ? UINT64_MAX : 1, STUCK);
        run->memory.discards.partial = up_to(run, 20);
    }
    if (one_in(run, 6)) {
        fake_calls_fail(&run->memory.populates, up_to(run, 3) / 2, 1,
                        NO_MEMORY);
        run->memory.populates.partial = up_to(run, 20);
    }
    if (one_in(run, 3)) {
        fake_calls_fail(&run->memory.zeros, up_to(run, 3) / 3, UINT64_MAX,
                        UNZEROED);
        run->memory.zeros.partial = up_to(run, 20);
    }
    if (one_in(run, 3) && run->nr_listeners > 0) {
        const size_t i = up_to(run, run->nr_listeners - 1);

        run->listeners[run->order[i]].veto_at = up_to(run, 4) / 2;
    }
    for (size_t i = 0; i < run->nr_listeners; i++) {
        if (one_in(run, 8)) {
            run->listeners[run->order[i]].keep_at = up_to(run, 4) / 2;
        }
    }
    for (size_t i = 0; i < NR_LISTENERS; i++) {
        if (run->listeners[i].listener == NULL && one_in(run, 3)) {
            run->listeners[i].veto_at = up_to(run, 4);
        }
    }
}

static uint64_t count_vetoes(const struct run *run)
{
    uint64_t nr_vetoes = 0;

    for (size_t i = 0; i < NR_LISTENERS; i++) {
        nr_vetoes += run->listeners[i].nr_vetoes;
    }
    return nr_vetoes;
}

/* Who is asked, how often, and does somebody refuse, when all that is populated
 * now and not in the model of afterwards goes? In the order of registration, until
 * the first refusal. */
static bool predict_refusal(const struct run *run, const struct model *after,
                            uint64_t *nr_asks)
{
    bool vanishing[MODEL_MAX_UNITS];
    bool refused = false;

    for (size_t i = 0; i < run->size; i++) {
        vanishing[i] = run->now[i] && !model_is_populated(after, i);
    }
    for (size_t i = 0; i < run->nr_listeners; i++) {
        const struct recorder *it = &run->listeners[run->order[i]];
        const bool exact = (it->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;
        const size_t first = it->window.offset;

        nr_asks[i] = 0;
        if (it->may_object && !refused && !is_frozen(run)) {
            nr_asks[i] =
                model_count_calls(vanishing, first, first + it->window.size,
                                  exact ? it->granularity : 0);
            refused = it->keep_at < nr_asks[i];
            nr_asks[i] = refused ? it->keep_at + 1 : nr_asks[i];
        }
    }
    return refused;
}

/* And they were, before anybody was told. */
static void check_asks(const struct run *run, const uint64_t *nr_asks)
{
    uint64_t last_ask = 0;

    for (size_t i = 0; i < run->nr_listeners; i++) {
        const struct recorder *it = &run->listeners[run->order[i]];

        if (it->nr_asks != nr_asks[i]) {
            disagree(run, "%s was asked %" PRIu64 " times, not %" PRIu64,
                     it->name, it->nr_asks, nr_asks[i]);
        }
        if (it->nr_asks > 0) {
            AGREE(run, it->last_ask_sequence > last_ask);
            last_ask = it->last_ask_sequence;
        }
    }
    for (size_t i = 0; i < run->nr_listeners; i++) {
        const struct recorder *it = &run->listeners[run->order[i]];

        AGREE(run, it->nr_discards == 0 || it->first_sequence > last_ask);
    }
}

/* What a change that can fail must return, given what went wrong in it. */
static void check_code(struct run *run, int ret, bool refused)
{
    int expected = 0;

    if (is_frozen(run)) {
        expected = -EBUSY;
        totals.nr_frozen++;
    } else if (refused) {
        expected = VETO;
        totals.nr_kept++;
    } else if (run->memory.zeros.nr_failed > 0) {
        expected = UNZEROED;
        totals.nr_unzeroed++;
    } else if (run->memory.populates.nr_failed > 0) {
        expected = NO_MEMORY;
        totals.nr_without_memory++;
    } else if (count_vetoes(run) > 0) {
        expected = VETO;
        totals.nr_vetoed++;
    } else {
        totals.nr_done++;
    }
    if (ret != expected) {
        disagree(run, "returned %d, expected %d", ret, expected);
    }
}

/* ---- agreement ---- */

static void evaluate_model(const struct run *run, uint8_t *populated)
{
    for (size_t i = 0; i < run->size; i++) {
        populated[i] = model_is_populated(&run->model, i);
    }
}

/* I1: each listener has exactly the populated state of its window. */
static void check_listeners(const struct run *run)
{
    for (size_t i = 0; i < run->nr_listeners; i++) {
        const struct recorder *listener = &run->listeners[run->order[i]];
        const size_t first = listener->window.offset;

        if (listener->nr_complaints > 0) {
            disagree(run, "%s", listener->complaint);
        }
        if (memcmp(listener->shadow + first, run->now + first,
                   listener->window.size) != 0) {
            disagree(run, "%s does not have what is populated", listener->name);
        }
    }
}

/* The calls of an operation that succeeded: I7 whole runs and chunks, and the
 * order of listeners. */
static void check_calls(const struct run *run)
{
    bool appeared[MODEL_MAX_UNITS];
    bool vanished[MODEL_MAX_UNITS];
    uint64_t last_populate = 0;
    uint64_t last_discard = UINT64_MAX;

    for (size_t i = 0; i < run->size; i++) {
        appeared[i] = run->now[i] && !run->before[i];
        vanished[i] = run->before[i] && !run->now[i];
    }
    totals.nr_discards_failed += run->memory.discards.nr_failed;
    for (size_t i = 0; i < run->nr_listeners; i++) {
        const struct recorder *it = &run->listeners[run->order[i]];
        const size_t first = it->window.offset;
        const size_t end = first + it->window.size;
        const bool exact = (it->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;

        if (it->nr_populates !=
                model_count_calls(appeared, first, end, it->granularity) ||
            it->nr_discards != model_count_calls(vanished, first, end,
                                                 exact ? it->granularity : 0)) {
            disagree(run, "%s got %" PRIu64 " + %" PRIu64 " calls", it->name,
                     it->nr_populates, it->nr_discards);
        }
        totals.nr_calls += it->nr_populates + it->nr_discards;
        if (it->nr_populates > 0) {
            AGREE(run, it->first_sequence > last_populate);
            last_populate = it->last_sequence;
        }
        if (it->nr_discards > 0) {
            AGREE(run, it->last_sequence < last_discard);
            last_discard = it->first_sequence;
        }
    }
}

static bool is_retained(const struct run *run, size_t pos)
{
    for (size_t i = 0; i < NR_SOURCES; i++) {
        const struct vmem_source *source = run->sources[i];

        if (source != NULL && source->retained != NULL &&
            vmem_bitmap_is_set(source->retained, pos >> source->block_shift)) {
            return true;
        }
    }
    return false;
}

/* Nothing old is visible, nothing wanted is lost, and nothing that is not wanted
 * stays without being retained (I6). */
static void check_memory(const struct run *run)
{
    for (size_t i = 0; i < run->size; i++) {
        const uint8_t content = run->memory.content[i];

        if (model_is_wanted(&run->model, i)) {
            if ((content == FAKE_DIRTY) != run->model.written[i]) {
                disagree(run, "byte %zu holds %u, %s", i, content,
                         run->model.written[i] ? "but was written"
                                               : "but was not");
            }
        } else if (content != FAKE_ABSENT && !is_retained(run, i)) {
            disagree(run, "byte %zu is unwanted, allocated and not retained",
                     i);
        }
    }
    if (run->memory.nr_complaints > 0) {
        disagree(run, "%s", run->memory.complaint);
    }
}

static void check_sources(const struct run *run)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t nr_populated = 0;
    uint64_t nr_retained = 0;
    uint64_t nr_sources = 0;

    for (size_t i = 0; i < NR_SOURCES; i++) {
        const struct vmem_source *source = run->sources[i];
        const struct model_source *model = &run->model.sources[i];

        AGREE(run, (source != NULL) == model->used);
        if (source == NULL) {
            continue;
        }
        nr_sources++;
        for (size_t pos = 0; pos < run->size; pos += model->block_units) {
            const uint64_t block = pos / model->block_units;
            const bool set = vmem_bitmap_is_set(source->blocks, block);

            AGREE(run, set == model->has[pos]);
            AGREE(run, !set || source->retained == NULL ||
                           !vmem_bitmap_is_set(source->retained, block));
        }
    }
    for (size_t i = 0; i < run->size; i++) {
        nr_populated += run->now[i];
        nr_retained += is_retained(run, i);
    }
    AGREE(run, vmem_region_get_info(run->region, &info) == 0);
    AGREE(run, info.populated_size == nr_populated);
    AGREE(run, info.retained_size == nr_retained);
    AGREE(run, info.nr_sources == nr_sources);
    AGREE(run, info.nr_listeners == run->nr_listeners);
    AGREE(run, info.nr_freezers ==
                   (uint64_t)run->frozen[0] + (uint64_t)run->frozen[1]);
}

static void check_all(struct run *run, bool succeeded)
{
    evaluate_model(run, run->now);
    check_listeners(run);
    check_memory(run);
    check_sources(run);
    if (succeeded) {
        check_calls(run);
    }
}

/* ---- operations ---- */

/* A random range of whole blocks; sometimes empty. Large ones are populated more
 * often than discarded, for otherwise three sources would hardly ever agree. */
static struct vmem_range random_blocks(struct run *run, size_t block,
                                       bool populate)
{
    const size_t nr_blocks = run->size / block;
    const size_t first =
        one_in(run, 2) ? up_to(run, nr_blocks) : up_to(run, nr_blocks / 4);
    const size_t nr =
        up_to(run, one_in(run, populate ? 2 : 6) ? nr_blocks - first
                                                 : MIN(nr_blocks - first, 4));

    return (struct vmem_range){ first * block, nr * block };
}

static struct vmem_range random_bytes(struct run *run)
{
    const size_t first = up_to(run, run->size);

    return (struct vmem_range){ first, up_to(run, run->size - first) };
}

/* With VMEM_BACKING_POPULATE, what has become wanted is allocated. */
static void check_populated(const struct run *run, const bool *wanted_before)
{
    if ((run->memory.flags & VMEM_BACKING_POPULATE) == 0) {
        return;
    }
    for (size_t i = 0; i < run->size; i++) {
        AGREE(run, wanted_before[i] || !model_is_wanted(&run->model, i) ||
                       run->memory.content[i] != FAKE_ABSENT);
    }
}

static void change_source(struct run *run, bool populate)
{
    const size_t which = up_to(run, NR_SOURCES - 1);
    struct vmem_source *source = run->sources[which];
    uint64_t nr_asks[NR_LISTENERS] = { 0 };
    bool wanted_before[MODEL_MAX_UNITS];
    struct model after = run->model;
    struct vmem_range range;
    bool refused;
    int ret;

    if (source == NULL) {
        return;
    }
    for (size_t i = 0; i < run->size; i++) {
        wanted_before[i] = model_is_wanted(&run->model, i);
    }
    range = random_blocks(run, run->model.sources[which].block_units, populate);
    model_set(&after, which, range.offset, range.size, populate);
    refused = predict_refusal(run, &after, nr_asks);
    ret = populate ? vmem_source_populate(source, &range, NULL)
                   : vmem_source_discard(source, &range, NULL);
    check_asks(run, nr_asks);
    check_code(run, ret, refused);
    if (ret == 0) {
        run->model = after;
    }
    check_all(run, ret == 0);
    if (ret == 0 && populate) {
        check_populated(run, wanted_before);
    }
}

static size_t smallest_block(const struct run *run)
{
    size_t smallest = run->size;

    for (size_t i = 0; i < NR_SOURCES; i++) {
        if (run->model.sources[i].used) {
            smallest = MIN(smallest, run->model.sources[i].block_units);
        }
    }
    return smallest;
}

static size_t largest_granularity(const struct run *run)
{
    size_t largest = 0;

    for (size_t i = 0; i < run->nr_listeners; i++) {
        largest = MAX(largest, run->listeners[run->order[i]].granularity);
    }
    return largest;
}

static void add_source(struct run *run)
{
    const size_t which = up_to(run, NR_SOURCES - 1);
    const bool discards = one_in(run, 2);
    const bool populated = one_in(run, 2);
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = source_names[which],
        .block_size = (uint64_t)PAGE << up_to(run, 4),
        .flags = (discards ? VMEM_SOURCE_DISCARDS : 0) |
                 (populated ? VMEM_SOURCE_POPULATED : 0),
    };
    struct vmem_source *source = NULL;
    uint64_t nr_asks[NR_LISTENERS] = { 0 };
    struct model after = run->model;
    int expected = 0;
    int ret = vmem_source_add(run->region, &config, &source, NULL);

    model_source_add(&after, which, config.block_size, discards, populated);
    if (is_frozen(run)) {
        expected = -EBUSY;
    } else if (run->sources[which] != NULL) {
        expected = -EEXIST;
    } else if (config.block_size < largest_granularity(run)) {
        expected = -EBUSY;
    } else if (predict_refusal(run, &after, nr_asks)) {
        expected = VETO;
        totals.nr_kept++;
    }
    AGREE(run, ret == expected);
    check_asks(run, nr_asks);
    if (ret == 0) {
        run->sources[which] = source;
        run->model = after;
    }
    check_all(run, ret == 0);
}

static void remove_source(struct run *run)
{
    const size_t which = up_to(run, NR_SOURCES - 1);
    int ret;

    if (run->sources[which] == NULL) {
        return;
    }
    ret = vmem_source_remove(run->sources[which], NULL);
    check_asks(run, (const uint64_t[NR_LISTENERS]){ 0 });
    check_code(run, ret, false);
    if (ret == 0) {
        run->sources[which] = NULL;
        model_source_remove(&run->model, which);
    }
    check_all(run, ret == 0);
}

static void add_listener(struct run *run)
{
    const size_t which = up_to(run, NR_LISTENERS - 1);
    struct recorder *it = &run->listeners[which];
    const uint64_t veto_at = it->veto_at;
    bool has_chunk_that_fits;
    int ret;

    if (it->listener != NULL) {
        return;
    }
    recorder_destroy(it);
    recorder_init(it, listener_names[which], run->size, 1, NULL);
    it->veto_at = veto_at;
    do {
        it->window = random_bytes(run);
    } while (it->window.size == 0 && it->window.offset != 0);
    if (one_in(run, 3)) {
        it->window = (struct vmem_range){ 0, 0 };
    }
    it->granularity = one_in(run, 2) ? 0 : (uint64_t)1 << up_to(run, 6);
    it->flags = it->granularity != 0 && one_in(run, 2)
                    ? VMEM_LISTENER_EXACT_DISCARD
                    : 0;
    it->memory = &run->memory;
    it->touches = one_in(run, 2);
    it->may_object = one_in(run, 2);
    has_chunk_that_fits =
        smallest_block(run) == run->size || /* without sources any will do */
        it->granularity <= smallest_block(run);
    ret = recorder_add(it, run->region, NULL);
    if (it->nr_complaints > 0) {
        disagree(run, "%s", it->complaint);
    }
    if (!has_chunk_that_fits) {
        AGREE(run, ret == -EINVAL);
    } else {
        AGREE(run, ret == (it->nr_vetoes > 0 ? VETO : 0));
    }
    AGREE(run, it->nr_destroys == (ret < 0));
    if (ret == 0) {
        /* It got the replay, the others nothing. */
        run->order[run->nr_listeners++] = which;
        fake_backing_watch(&run->memory, it);
        AGREE(run, it->nr_discards == 0);
        recorder_forget_calls(it);
    } else {
        const struct vmem_range all = { 0, run->size };

        AGREE(run, !recorder_has_any(it, &all));
        recorder_forget_calls(it);
    }
    check_all(run, true);
}

static void remove_listener(struct run *run)
{
    const size_t i = up_to(run, NR_LISTENERS - 1);
    struct recorder *it;

    if (i >= run->nr_listeners) {
        return;
    }
    it = &run->listeners[run->order[i]];
    AGREE(run, recorder_remove(it, NULL) == 0);
    AGREE(run,
          it->nr_destroys == 1 && it->nr_populates == 0 && it->nr_asks == 0);
    if (it->nr_complaints > 0) {
        disagree(run, "%s", it->complaint);
    }
    fake_backing_unwatch(&run->memory, it);
    run->nr_listeners--;
    memmove(&run->order[i], &run->order[i + 1],
            (run->nr_listeners - i) * sizeof(run->order[0]));
    check_all(run, true);
}

static void freeze(struct run *run)
{
    const size_t which = up_to(run, 1);
    int ret = vmem_region_freeze(run->region, freezers[which], NULL);

    AGREE(run, ret == (run->frozen[which] ? -EEXIST : 0));
    run->frozen[which] = true;
    check_all(run, true);
}

static void thaw(struct run *run)
{
    const size_t which = up_to(run, 1);
    int ret = vmem_region_thaw(run->region, freezers[which], NULL);

    AGREE(run, ret == (run->frozen[which] ? 0 : -ENOENT));
    run->frozen[which] = false;
    AGREE(run, vmem_region_is_frozen(run->region) == is_frozen(run));
    check_all(run, true);
}

static void retry(struct run *run)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_region_retry_discards(run->region, &err);
    bool is_left = false;

    check_all(run, true);
    if (is_frozen(run)) {
        AGREE(run, ret == -EBUSY && run->memory.discards.nr_calls == 0);
        return;
    }
    /* What failed for one source may have worked for another one. */
    AGREE(run, ret == 0 || run->memory.discards.nr_failed > 0);
    for (size_t i = 0; i < run->size; i++) {
        is_left |= is_retained(run, i);
    }
    AGREE(run, ret == (is_left ? STUCK : 0));
    if (ret < 0) {
        AGREE(run, err.range.size > 0 && is_retained(run, err.range.offset));
    }
}

/* Somebody uses memory that is populated. */
static void use_memory(struct run *run)
{
    const struct vmem_range range = random_bytes(run);

    for (size_t i = range.offset; i < range.offset + range.size; i++) {
        if (!run->now[i]) {
            return;
        }
    }
    fake_backing_write(&run->memory, &range);
    model_write(&run->model, range.offset, range.size);
}

/* ---- queries ---- */

struct walk {
    const struct run *run;
    size_t pos;
    size_t end;
    bool populated;
};

/* Runs must be maximal, ascending, and miss nothing. */
static int visit(const struct vmem_range *range, void *opaque)
{
    struct walk *walk = opaque;
    const struct run *run = walk->run;

    AGREE(run, range->size > 0 && range->offset >= walk->pos &&
                   range->offset + range->size <= walk->end);
    for (; walk->pos < range->offset; walk->pos++) {
        AGREE(run, run->now[walk->pos] != walk->populated);
    }
    for (; walk->pos < range->offset + range->size; walk->pos++) {
        AGREE(run, run->now[walk->pos] == walk->populated);
    }
    AGREE(run,
          walk->pos == walk->end || run->now[walk->pos] != walk->populated);
    return 0;
}

static int touch_nothing(const struct vmem_range *range, void *opaque)
{
    *(struct vmem_range *)opaque = *range;
    return 55;
}

static void query(struct run *run)
{
    const struct vmem_range range = random_bytes(run);
    const size_t end = range.offset + range.size;
    struct walk walk = { run, range.offset, end, one_in(run, 2) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range seen = { 0, 0 };
    size_t hole = range.offset;
    size_t hole_end;
    int ret;

    ret = (walk.populated ? vmem_region_for_each_populated
                          : vmem_region_for_each_discarded)(run->region, &range,
                                                            visit, &walk);
    AGREE(run, ret == 0);
    for (; walk.pos < end; walk.pos++) {
        AGREE(run, run->now[walk.pos] != walk.populated);
    }
    while (hole < end && run->now[hole]) {
        hole++;
    }
    AGREE(run, vmem_region_is_populated(run->region, &range) == (hole == end));
    if (range.size == 0) {
        return;
    }
    ret = vmem_region_with_populated(run->region, &range, touch_nothing, &seen,
                                     &err);
    if (hole == end) {
        AGREE(run, ret == 55 && seen.size == range.size);
        return;
    }
    for (hole_end = hole; hole_end < end && !run->now[hole_end]; hole_end++) {
    }
    AGREE(run, ret == -ENXIO && seen.size == 0);
    AGREE(run, err.range.offset == hole && err.range.size == hole_end - hole);
}

/* ---- one seed ---- */

static void open_run(struct run *run, guint32 seed)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm",
                                              .log = quiet_log };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "r" };

    memset(run, 0, sizeof(*run));
    run->rand = g_rand_new_with_seed(seed);
    run->seed = seed;
    run->what = "opening";
    /* A multiple of the largest block, 128. */
    run->size = 128 * (1 + up_to(run, 3));
    model_init(&run->model, run->size);
    fake_backing_init(&run->memory, "mem", run->size, 1, NULL);
    run->memory.page_size = PAGE;
    run->memory.flags = one_in(run, 2) ? VMEM_BACKING_POPULATE : 0;
    AGREE(run, vmem_vm_new(&vm_config, &run->vm, NULL) == 0);
    AGREE(run, fake_backing_make(&run->memory, run->vm, NULL) == 0);
    config.backing = run->memory.backing;
    AGREE(run, vmem_region_new(run->vm, &config, &run->region, NULL) == 0);
    /* All of it is populated now, and allocated by who uses it. */
    for (size_t i = 0; i < run->size; i++) {
        run->memory.content[i] = FAKE_CLEAN;
    }
    for (size_t i = 0; i < NR_LISTENERS; i++) {
        recorder_init(&run->listeners[i], listener_names[i], run->size, 1,
                      NULL);
    }
    evaluate_model(run, run->now);
}

/* Everything leaves, nothing stays retained, nobody has anything left. */
static void close_run(struct run *run)
{
    run->what = "closing";
    set_faults(run);
    fake_calls_succeed(&run->memory.discards);
    fake_calls_succeed(&run->memory.zeros);
    for (size_t i = 0; i < 2; i++) {
        if (run->frozen[i]) {
            AGREE(run, vmem_region_thaw(run->region, freezers[i], NULL) == 0);
            run->frozen[i] = false;
        }
    }
    AGREE(run, vmem_region_retry_discards(run->region, NULL) == 0);
    check_all(run, false);
    for (size_t i = 0; i < run->size; i++) {
        AGREE(run, model_is_wanted(&run->model, i) ||
                       run->memory.content[i] == FAKE_ABSENT);
    }
}

static void free_run(struct run *run)
{
    for (size_t i = 0; i < NR_LISTENERS; i++) {
        struct recorder *it = &run->listeners[i];

        if (it->listener != NULL) {
            AGREE(run, recorder_remove(it, NULL) == 0);
            AGREE(run, it->nr_destroys == 1);
        }
        if (it->nr_complaints > 0) {
            disagree(run, "%s", it->complaint);
        }
        recorder_destroy(it);
    }
    g_ptr_array_set_size(run->memory.watched, 0);
    for (size_t i = 0; i < NR_SOURCES; i++) {
        AGREE(run, vmem_source_remove(run->sources[i], NULL) == 0);
    }
    AGREE(run, vmem_region_free(run->region, NULL) == 0);
    AGREE(run, vmem_backing_free(run->memory.backing, NULL) == 0);
    AGREE(run, run->memory.nr_destroys == 1);
    fake_backing_destroy(&run->memory);
    AGREE(run, vmem_vm_free(run->vm, NULL) == 0);
    g_rand_free(run->rand);
}

static void step(struct run *run)
{
    static const struct {
        const char *what;
        unsigned int weight; /* of 100 */
        void (*run)(struct run *run);
    } rest[] = {
        { "adding a source", 4, add_source },
        { "removing a source", 5, remove_source },
        { "adding a listener", 5, add_listener },
        { "removing a listener", 3, remove_listener },
        { "freezing", 1, freeze },
        { "thawing", 8, thaw },
        { "retrying", 4, retry },
        { "using memory", 9, use_memory },
        { "querying", 5, query },
    };
    size_t dice = up_to(run, 99);

    memcpy(run->before, run->now, run->size);
    set_faults(run);
    if (dice < 56) {
        run->what = dice < 30 ? "populating" : "discarding";
        change_source(run, dice < 30);
        return;
    }
    dice -= 56;
    for (size_t i = 0; i < G_N_ELEMENTS(rest); i++) {
        if (dice < rest[i].weight) {
            run->what = rest[i].what;
            rest[i].run(run);
            return;
        }
        dice -= rest[i].weight;
    }
}

static unsigned long argument(int argc, char **argv, int i, unsigned long value)
{
    return argc > i ? strtoul(argv[i], NULL, 0) : value;
}

int main(int argc, char **argv)
{
    const unsigned long nr_seeds = argument(argc, argv, 1, 1000);
    const unsigned long nr_ops = argument(argc, argv, 2, 2000);
    const unsigned long first_seed = argument(argc, argv, 3, 1);

    for (unsigned long i = 0; i < nr_seeds; i++) {
        static struct run run;

        open_run(&run, (guint32)(first_seed + i));
        for (run.op = 0; run.op < nr_ops; run.op++) {
            step(&run);
        }
        close_run(&run);
        free_run(&run);
    }
    printf("%lu seeds from %lu on, %lu operations each: all agree\n", nr_seeds,
           first_seed, nr_ops);
    printf("changes: %" PRIu64 " done, %" PRIu64 " frozen, %" PRIu64
           " vetoed, %" PRIu64 " kept, %" PRIu64 " without memory, %" PRIu64
           " not zeroed; %" PRIu64 " calls, %" PRIu64 " discards failed\n",
           totals.nr_done, totals.nr_frozen, totals.nr_vetoed, totals.nr_kept,
           totals.nr_without_memory, totals.nr_unzeroed, totals.nr_calls,
           totals.nr_discards_failed);
    /* Small runs, made to reproduce something, may miss the rare ones. */
    return nr_seeds * nr_ops < 100000 ||
                   (totals.nr_done > 0 && totals.nr_frozen > 0 &&
                    totals.nr_vetoed > 0 && totals.nr_kept > 0 &&
                    totals.nr_without_memory > 0 && totals.nr_unzeroed > 0 &&
                    totals.nr_discards_failed > 0)
               ? 0
               : 1;
}
