/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_backing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void
complain(struct fake_backing *memory, const char *format, ...)
{
    va_list args;

    if (memory->nr_complaints++ > 0) {
        return;
    }
    va_start(args, format);
    vsnprintf(memory->complaint, sizeof(memory->complaint), format, args);
    va_end(args);
}

/* Counts a call; true if it shall fail. */
static bool fails(struct fake_calls *calls)
{
    const uint64_t call = calls->nr_calls++;
    const bool failed =
        call >= calls->fail_at && call - calls->fail_at < calls->nr_fails;

    calls->nr_failed += failed;
    return failed;
}

void fake_calls_succeed(struct fake_calls *calls)
{
    memset(calls, 0, sizeof(*calls));
}

void fake_calls_fail(struct fake_calls *calls, uint64_t at, uint64_t nr,
                     int code)
{
    fake_calls_succeed(calls);
    calls->fail_at = at;
    calls->nr_fails = nr;
    calls->code = code;
}

static void check_range(struct fake_backing *memory, const char *what,
                        const struct vmem_range *range)
{
    if (range->size == 0 || range->offset > memory->size ||
        range->size > memory->size - range->offset ||
        (range->offset | range->size) % memory->page_size != 0) {
        complain(memory, "%s of [%" PRIu64 ",+%" PRIu64 ")", what,
                 range->offset, range->size);
    }
    if (memory->nr_destroys > 0) {
        complain(memory, "%s after destroy", what);
    }
}

static void check_nobody_has(struct fake_backing *memory, const char *what,
                             const struct vmem_range *range)
{
    for (guint i = 0; i < memory->watched->len; i++) {
        const struct recorder *recorder = memory->watched->pdata[i];

        if (recorder_has_any(recorder, range)) {
            complain(memory, "%s of [%" PRIu64 ",+%" PRIu64 "), which %s has",
                     what, range->offset, range->size, recorder->name);
        }
    }
}

static void fill(struct fake_backing *memory, const struct vmem_range *range,
                 uint64_t nr_units, enum fake_content content)
{
    if (memory->unit > 0) {
        memset(memory->content + range->offset / memory->unit, (int)content,
               MIN(nr_units, range->size / memory->unit));
    }
}

/* Populating leaves what is there. */
static void fill_absent(struct fake_backing *memory,
                        const struct vmem_range *range, uint64_t nr_units)
{
    if (memory->unit == 0) {
        return;
    }
    nr_units = MIN(nr_units, range->size / memory->unit);
    for (uint64_t i = range->offset / memory->unit; nr_units > 0;
         i++, nr_units--) {
        if (memory->content[i] == FAKE_ABSENT) {
            memory->content[i] = FAKE_CLEAN;
        }
    }
}

static int finish(struct fake_backing *memory, char what,
                  const struct vmem_range *range, int ret)
{
    journal_add(memory->journal, memory->name, what, range);
    if (memory->inside != NULL) {
        memory->inside(memory, what, range);
    }
    return ret;
}

static int on_discard(const struct vmem_range *range, void *opaque)
{
    struct fake_backing *memory = opaque;
    const bool failed = fails(&memory->discards);

    check_range(memory, "discard", range);
    check_nobody_has(memory, "discard", range);
    fill(memory, range, failed ? memory->discards.partial : UINT64_MAX,
         FAKE_ABSENT);
    return finish(memory, failed ? '/' : '-', range,
                  failed ? memory->discards.code : 0);
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct fake_backing *memory = opaque;
    const bool failed = fails(&memory->populates);

    check_range(memory, "populate", range);
    check_nobody_has(memory, "populate", range);
    fill_absent(memory, range, failed ? memory->populates.partial : UINT64_MAX);
    return finish(memory, failed ? '!' : '+', range,
                  failed ? memory->populates.code : 0);
}

static int on_zero(const struct vmem_range *range, void *opaque)
{
    struct fake_backing *memory = opaque;
    const bool failed = fails(&memory->zeros);

    check_range(memory, "zero", range);
    check_nobody_has(memory, "zero", range);
    fill(memory, range, failed ? memory->zeros.partial : UINT64_MAX,
         FAKE_CLEAN);
    return finish(memory, failed ? 'z' : '0', range,
                  failed ? memory->zeros.code : 0);
}

static int on_usage(const struct vmem_range *range, uint64_t *resident,
                    void *opaque)
{
    struct fake_backing *memory = opaque;

    *resident = 0;
    for (uint64_t i = 0; memory->unit > 0 && i < range->size / memory->unit;
         i++) {
        if (memory->content[range->offset / memory->unit + i] != FAKE_ABSENT) {
            *resident += memory->unit;
        }
    }
    return 0;
}

static void on_destroy(void *opaque)
{
    struct fake_backing *memory = opaque;

    if (memory->nr_destroys++ > 0) {
        complain(memory, "destroyed twice");
    }
    finish(memory, '~', NULL, 0);
}

const struct vmem_backing_ops *fake_backing_ops(void)
{
    static const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = on_discard,
        .populate = on_populate,
        .zero = on_zero,
        .usage = on_usage,
        .destroy = on_destroy,
    };

    return &ops;
}

void fake_backing_init(struct fake_backing *memory, const char *name,
                       uint64_t size, uint64_t unit, struct journal *journal)
{
    memset(memory, 0, sizeof(*memory));
    memory->name = name;
    memory->size = size;
    memory->unit = unit;
    memory->page_size = unit > 0 ? unit : 4096;
    memory->journal = journal;
    memory->watched = g_ptr_array_new();
    if (unit > 0) {
        memory->content = g_malloc0(size / unit + 1);
    }
}

void fake_backing_destroy(struct fake_backing *memory)
{
    g_ptr_array_free(memory->watched, TRUE);
    g_free(memory->content);
}

int fake_backing_make(struct fake_backing *memory, struct vmem_vm *vm,
                      struct vmem_error *err)
{
    const struct vmem_backing_custom config = {
        .struct_size = sizeof(config),
        .name = memory->name,
        .size = memory->size,
        .page_size = memory->page_size,
        .flags = memory->flags,
    };
    struct vmem_backing_ops ops = *fake_backing_ops();

    if (memory->no_zero) {
        ops.zero = NULL;
    }
    if (memory->no_usage) {
        ops.usage = NULL;
    }
    memory->nr_destroys = 0;
    return vmem_backing_new_custom(vm, &config, &ops, memory, &memory->backing,
                                   err);
}

void fake_backing_watch(struct fake_backing *memory, struct recorder *recorder)
{
    g_ptr_array_add(memory->watched, recorder);
}

void fake_backing_unwatch(struct fake_backing *memory,
                          struct recorder *recorder)
{
    g_ptr_array_remove(memory->watched, recorder);
}

void fake_backing_check_usable(struct fake_backing *memory, const char *who,
                               const struct vmem_range *range)
{
    if (fake_backing_holds(memory, range, FAKE_ABSENT)) {
        complain(memory,
                 "%s is told of [%" PRIu64 ",+%" PRIu64
                 "), which is not populated",
                 who, range->offset, range->size);
    }
}

void fake_backing_touch(struct fake_backing *memory,
                        const struct vmem_range *range)
{
    fill_absent(memory, range, UINT64_MAX);
}

void fake_backing_write(struct fake_backing *memory,
                        const struct vmem_range *range)
{
    fill(memory, range, UINT64_MAX, FAKE_DIRTY);
}

bool fake_backing_holds(const struct fake_backing *memory,
                        const struct vmem_range *range,
                        enum fake_content content)
{
    return memory->unit > 0 &&
           memchr(memory->content + range->offset / memory->unit, (int)content,
                  range->size / memory->unit) != NULL;
}

uint64_t fake_backing_resident(const struct fake_backing *memory)
{
    const struct vmem_range all = { 0, memory->size };
    uint64_t resident;

    on_usage(&all, &resident, (void *)(uintptr_t)memory);
    return resident;
}
