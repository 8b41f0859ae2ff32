/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/fake_backing.h"

void journal_init(struct journal *journal, uint64_t unit)
{
    memset(journal, 0, sizeof(*journal));
    journal->text = g_string_new(NULL);
    journal->unit = unit;
}

void journal_destroy(struct journal *journal)
{
    g_string_free(journal->text, TRUE);
    journal->text = NULL;
}

void journal_add(struct journal *journal, const char *who, char what,
                 const struct vmem_range *range)
{
    uint64_t end;

    if (journal == NULL) {
        return;
    }
    journal->nr_events++;
    if (journal->muted) {
        return;
    }
    if (journal->text->len > 0) {
        g_string_append_c(journal->text, ' ');
    }
    g_string_append(journal->text, who);
    if (what != '\0') {
        g_string_append_c(journal->text, what);
    }
    if (range == NULL) {
        return;
    }
    end = range->offset + range->size;
    if ((range->offset | end) % journal->unit != 0) {
        g_string_append_printf(journal->text, "[%" PRIu64 "b,%" PRIu64 "b)",
                               range->offset, end);
    } else {
        g_string_append_printf(journal->text, "[%" PRIu64 ",%" PRIu64 ")",
                               range->offset / journal->unit,
                               end / journal->unit);
    }
}

const char *journal_take(struct journal *journal)
{
    static _Thread_local GString *taken;

    if (taken == NULL) {
        taken = g_string_new(NULL);
    }
    g_string_assign(taken, journal->text->str);
    g_string_truncate(journal->text, 0);
    return taken->str;
}

uint64_t next_sequence(void)
{
    static _Atomic uint64_t sequence;

    return atomic_fetch_add(&sequence, 1) + 1;
}

__attribute__((format(printf, 2, 3))) static void
complain(struct recorder *recorder, const char *format, ...)
{
    va_list args;

    if (recorder->nr_complaints++ > 0) {
        return;
    }
    va_start(args, format);
    vsnprintf(recorder->complaint, sizeof(recorder->complaint), format, args);
    va_end(args);
}

static uint64_t window_end(const struct recorder *recorder)
{
    return recorder->window.offset + recorder->window.size;
}

/* Where a chunk or run may start, and where it may end. */
static bool is_bound(const struct recorder *recorder, uint64_t pos)
{
    return recorder->granularity == 0 || pos % recorder->granularity == 0 ||
           pos == recorder->window.offset || pos == window_end(recorder);
}

static bool is_one_chunk(const struct recorder *recorder,
                         const struct vmem_range *range)
{
    const uint64_t last = range->offset + range->size - 1;

    return is_bound(recorder, range->offset) && is_bound(recorder, last + 1) &&
           range->offset / recorder->granularity ==
               last / recorder->granularity;
}

/* Checks what holds for all callbacks; false if the range is unusable. */
static bool check_bounds(struct recorder *recorder, const char *what,
                         const struct vmem_range *range, bool one_chunk)
{
    const uint64_t end = range->offset + range->size;

    if (recorder->nr_destroys > 0) {
        complain(recorder, "%s: %s after destroy", recorder->name, what);
        return false;
    }
    if (range->size == 0 || end < range->offset ||
        range->offset < recorder->window.offset || end > window_end(recorder)) {
        complain(recorder,
                 "%s: %s [%" PRIu64 ",%" PRIu64 ") is empty or leaves the "
                 "window [%" PRIu64 ",%" PRIu64 ")",
                 recorder->name, what, range->offset, end,
                 recorder->window.offset, window_end(recorder));
        return false;
    }
    if (one_chunk
            ? !is_one_chunk(recorder, range)
            : !is_bound(recorder, range->offset) || !is_bound(recorder, end)) {
        complain(recorder,
                 "%s: %s [%" PRIu64 ",%" PRIu64 ") is no %s of %" PRIu64
                 " bytes",
                 recorder->name, what, range->offset, end,
                 one_chunk ? "chunk" : "run of chunks", recorder->granularity);
    }
    return true;
}

/* Of the two that tell something. */
static bool check_range(struct recorder *recorder, const char *what,
                        const struct vmem_range *range, bool one_chunk)
{
    recorder->nr_in_batch++;
    if (!recorder->in_batch) {
        complain(recorder, "%s: %s outside of a batch", recorder->name, what);
    }
    return check_bounds(recorder, what, range, one_chunk);
}

/* Has to find the opposite in the shadow everywhere. */
static void fill_shadow(struct recorder *recorder, const char *what,
                        const struct vmem_range *range, uint8_t value)
{
    if (recorder->unit == 0) {
        return;
    }
    if ((range->offset | range->size) % recorder->unit != 0) {
        complain(recorder, "%s: %s of parts of a unit", recorder->name, what);
    }
    for (uint64_t i = range->offset / recorder->unit;
         i < (range->offset + range->size) / recorder->unit; i++) {
        if (recorder->shadow[i] == value) {
            complain(recorder, "%s: %s of unit %" PRIu64 ", which it %s",
                     recorder->name, what, i, value ? "has" : "does not have");
        }
        recorder->shadow[i] = value;
    }
}

static void note_call(struct recorder *recorder)
{
    recorder->last_sequence = next_sequence();
    if (recorder->first_sequence == 0) {
        recorder->first_sequence = recorder->last_sequence;
    }
}

static bool is_vetoed(struct recorder *recorder)
{
    if (recorder->nr_populates++ == recorder->veto_at) {
        return true;
    }
    return recorder->veto_countdown != NULL &&
           *recorder->veto_countdown != UINT64_MAX &&
           (*recorder->veto_countdown)-- == 0;
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct recorder *recorder = opaque;
    const bool veto = is_vetoed(recorder);
    bool usable;

    note_call(recorder);
    usable =
        check_range(recorder, "populate", range, recorder->granularity != 0);
    if (usable && recorder->memory != NULL) {
        if (recorder->wants_memory) {
            fake_backing_check_usable(recorder->memory, recorder->name, range);
        }
        if (recorder->touches) {
            fake_backing_touch(recorder->memory, range);
        }
    }
    journal_add(recorder->journal, recorder->name, veto ? '!' : '+', range);
    if (!veto && usable) {
        fill_shadow(recorder, "populate", range, 1);
    }
    recorder->nr_vetoes += veto;
    if (recorder->inside != NULL) {
        recorder->inside(recorder, RECORDER_POPULATE, range);
    }
    return veto ? recorder->veto_code : 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    struct recorder *recorder = opaque;

    note_call(recorder);
    recorder->nr_discards++;
    journal_add(recorder->journal, recorder->name, '-', range);
    if (check_range(recorder, "discard", range,
                    (recorder->flags & VMEM_LISTENER_EXACT_DISCARD) != 0)) {
        fill_shadow(recorder, "discard", range, 0);
    }
    if (recorder->inside != NULL) {
        recorder->inside(recorder, RECORDER_DISCARD, range);
    }
}

/* Asked about what it has, and nothing else. */
static void check_shadow(struct recorder *recorder,
                         const struct vmem_range *range)
{
    if (recorder->unit == 0) {
        return;
    }
    for (uint64_t i = range->offset / recorder->unit;
         i < (range->offset + range->size) / recorder->unit; i++) {
        if (recorder->shadow[i] == 0) {
            complain(recorder,
                     "%s: asked about unit %" PRIu64 ", which it does not have",
                     recorder->name, i);
        }
    }
}

static int on_may_discard(const struct vmem_range *range, void *opaque)
{
    struct recorder *recorder = opaque;
    const bool keep = recorder->nr_asks++ == recorder->keep_at;

    recorder->last_ask_sequence = next_sequence();
    recorder->nr_keeps += keep;
    journal_add(recorder->journal, recorder->name, keep ? 'x' : '?', range);
    if (recorder->in_batch) {
        complain(recorder, "%s: asked in a batch", recorder->name);
    }
    if (check_bounds(recorder, "may_discard", range,
                     (recorder->flags & VMEM_LISTENER_EXACT_DISCARD) != 0)) {
        check_shadow(recorder, range);
    }
    if (recorder->inside != NULL) {
        recorder->inside(recorder, RECORDER_MAY_DISCARD, range);
    }
    return keep ? recorder->veto_code : 0;
}

static void on_destroy(void *opaque)
{
    struct recorder *recorder = opaque;
    const struct vmem_range all = { 0, recorder->region_size };

    if (recorder->nr_destroys++ > 0) {
        complain(recorder, "%s: destroyed twice", recorder->name);
    }
    if (recorder->in_batch) {
        complain(recorder, "%s: destroyed in a batch", recorder->name);
    }
    if (recorder_has_any(recorder, &all)) {
        complain(recorder, "%s: destroyed with something left", recorder->name);
    }
    journal_add(recorder->journal, recorder->name, '~', NULL);
    if (recorder->inside != NULL) {
        recorder->inside(recorder, RECORDER_DESTROY, NULL);
    }
}

static void on_begin(void *opaque)
{
    struct recorder *recorder = opaque;

    if (recorder->in_batch || recorder->nr_destroys > 0) {
        complain(recorder, "%s: begin in a batch or at the end",
                 recorder->name);
    }
    recorder->in_batch = true;
    recorder->nr_in_batch = 0;
    if (recorder->tells_batches) {
        journal_add(recorder->journal, recorder->name, '{', NULL);
    }
}

static int on_commit(void *opaque)
{
    struct recorder *recorder = opaque;
    const bool veto = recorder->nr_commits++ == recorder->no_commit_at;

    if (!recorder->in_batch || recorder->nr_in_batch == 0) {
        complain(recorder, "%s: commit of nothing", recorder->name);
    }
    recorder->in_batch = false;
    if (recorder->tells_batches) {
        journal_add(recorder->journal, recorder->name, veto ? '#' : '}', NULL);
    }
    return veto ? recorder->veto_code : 0;
}

static const struct vmem_listener_ops objecting_ops = {
    .struct_size = sizeof(objecting_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
    .begin = on_begin,
    .commit = on_commit,
    .may_discard = on_may_discard,
};

const struct vmem_listener_ops *recorder_ops(void)
{
    static const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
        .destroy = on_destroy,
        .begin = on_begin,
        .commit = on_commit,
    };

    return &ops;
}

void recorder_init(struct recorder *recorder, const char *name,
                   uint64_t region_size, uint64_t unit, struct journal *journal)
{
    memset(recorder, 0, sizeof(*recorder));
    recorder->name = name;
    recorder->region_size = region_size;
    recorder->unit = unit;
    recorder->journal = journal;
    recorder->veto_at = UINT64_MAX;
    recorder->veto_code = -ENOSPC;
    recorder->no_commit_at = UINT64_MAX;
    recorder->keep_at = UINT64_MAX;
    if (unit > 0) {
        recorder->shadow = g_malloc0(region_size / unit + 1);
    }
}

void recorder_destroy(struct recorder *recorder)
{
    g_free(recorder->shadow);
    recorder->shadow = NULL;
}

int recorder_add(struct recorder *recorder, struct vmem_region *region,
                 struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = recorder->name,
        .window = recorder->window,
        .granularity = recorder->granularity,
        .flags = recorder->flags,
    };

    if (recorder->window.offset == 0 && recorder->window.size == 0) {
        recorder->window.size = recorder->region_size;
    }
    recorder->nr_destroys = 0;
    return vmem_listener_add(
        region, &config, recorder->may_object ? &objecting_ops : recorder_ops(),
        recorder, &recorder->listener, err);
}

int recorder_remove(struct recorder *recorder, struct vmem_error *err)
{
    int ret = vmem_listener_remove(recorder->listener, err);

    if (ret == 0) {
        recorder->listener = NULL;
    }
    return ret;
}

void recorder_forget_calls(struct recorder *recorder)
{
    recorder->nr_populates = 0;
    recorder->nr_discards = 0;
    recorder->nr_vetoes = 0;
    recorder->nr_commits = 0;
    recorder->nr_asks = 0;
    recorder->nr_keeps = 0;
    recorder->first_sequence = 0;
    recorder->last_sequence = 0;
    recorder->last_ask_sequence = 0;
}

bool recorder_has_any(const struct recorder *recorder,
                      const struct vmem_range *range)
{
    if (recorder->unit == 0 || range->size == 0) {
        return false;
    }
    for (uint64_t i = range->offset / recorder->unit;
         i <= (range->offset + range->size - 1) / recorder->unit; i++) {
        if (recorder->shadow[i] != 0) {
            return true;
        }
    }
    return false;
}
