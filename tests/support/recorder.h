/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_RECORDER_H
#define TESTS_SUPPORT_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <vmem/listener.h>

struct fake_backing;

/* What happened, in the order in which it did, over all fakes that share it.
 * An event reads "name+[0,4)": populate (+), veto (!), discard (-), may be
 * discarded (?), may not (x), failed discard (/), zeroed (0), not zeroed (z),
 * destroyed (~). Offsets count units. */
struct journal {
    GString *text;
    uint64_t unit; /* bytes */
    uint64_t nr_events;
    bool muted;
};

void journal_init(struct journal *journal, uint64_t unit);
void journal_destroy(struct journal *journal);
void journal_add(struct journal *journal, const char *who, char what,
                 const struct vmem_range *range);

/* What was added since the last call; valid until the next event. */
const char *journal_take(struct journal *journal);

/* Counts up over the whole process; orders calls of different fakes. */
uint64_t next_sequence(void);

enum recorder_call {
    RECORDER_POPULATE,
    RECORDER_DISCARD,
    RECORDER_MAY_DISCARD,
    RECORDER_DESTROY
};

/* A listener that keeps a shadow of what it was told, and complains of every
 * call that it should not have got (I1, I7). It never asserts: look at
 * complaint afterwards. */
struct recorder {
    /* Set by recorder_init(); change before recorder_add(). */
    const char *name;
    uint64_t region_size;
    struct vmem_range window; /* size 0: the region */
    uint64_t granularity;
    uint64_t flags;
    uint64_t unit; /* bytes for each byte of the shadow; 0: no shadow */
    struct journal *journal;     /* or NULL */
    struct fake_backing *memory; /* or NULL: what populate looks at */
    bool touches;                /* populate makes memory resident */
    bool wants_memory;           /* ... and complains if it was not */
    uint64_t veto_at;            /* which populate call refuses, from 0 */
    /* Or NULL: counts down at each populate call, also of others that share it;
     * the one that finds 0 refuses, and leaves UINT64_MAX. */
    uint64_t *veto_countdown;
    int veto_code;
    bool tells_batches;    /* begin, commit and its veto are events { } # */
    uint64_t no_commit_at; /* which commit refuses, from 0 */
    bool may_object;       /* has a may_discard, which tells events ? x */
    uint64_t keep_at;      /* which may_discard refuses, from 0 */
    /* Called inside each callback, after it was recorded. */
    void (*inside)(struct recorder *recorder, enum recorder_call call,
                   const struct vmem_range *range);
    void *inside_opaque;

    /* What it knows. */
    struct vmem_listener *listener; /* or NULL */
    uint8_t *shadow;
    uint64_t nr_populates; /* calls, vetoes included */
    uint64_t nr_discards;
    uint64_t nr_vetoes;
    uint64_t nr_destroys;
    uint64_t nr_commits;
    uint64_t nr_asks;  /* calls of may_discard, refusals included */
    uint64_t nr_keeps; /* refusals */
    bool in_batch;
    uint64_t nr_in_batch;    /* calls in this batch */
    uint64_t first_sequence; /* of the calls since recorder_forget_calls() */
    uint64_t last_sequence;
    uint64_t last_ask_sequence;
    uint64_t nr_complaints;
    char complaint[256]; /* the first one */
};

/* One shadow byte for each unit of the region. */
void recorder_init(struct recorder *recorder, const char *name,
                   uint64_t region_size, uint64_t unit,
                   struct journal *journal);

/* Frees the shadow; the listener must be gone. */
void recorder_destroy(struct recorder *recorder);

/* vmem_listener_add() and vmem_listener_remove(). */
int recorder_add(struct recorder *recorder, struct vmem_region *region,
                 struct vmem_error *err);
int recorder_remove(struct recorder *recorder, struct vmem_error *err);

/* Starts the counts and the sequence anew; the shadow stays. */
void recorder_forget_calls(struct recorder *recorder);

bool recorder_has_any(const struct recorder *recorder,
                      const struct vmem_range *range);

/* Its callbacks, for tests that register it themselves; opaque is the
 * recorder. */
const struct vmem_listener_ops *recorder_ops(void);

#endif /* TESTS_SUPPORT_RECORDER_H */
