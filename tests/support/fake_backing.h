/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_FAKE_BACKING_H
#define TESTS_SUPPORT_FAKE_BACKING_H

#include <vmem/vmem.h>

#include "support/recorder.h"

/* What a unit of fake memory holds. */
enum fake_content {
    FAKE_ABSENT = 0, /* not allocated, reads as zero */
    FAKE_CLEAN = 1,  /* allocated, reads as zero */
    FAKE_DIRTY = 2   /* allocated, holds what somebody wrote */
};

/* One kind of callback: how often it was called, and which calls fail. */
struct fake_calls {
    uint64_t fail_at;  /* number of the first call that fails, from 0 */
    uint64_t nr_fails; /* how many do in a row */
    int code;
    uint64_t partial; /* units done by a call that fails */
    uint64_t nr_calls;
    uint64_t nr_failed;
};

/* Memory that exists only as one byte for each unit. It complains when it is
 * discarded or zeroed while a listener that it watches still has it (I5). */
struct fake_backing {
    const char *name;
    uint64_t size;
    uint64_t unit;      /* bytes for each byte of content; 0: none is kept */
    uint64_t page_size; /* as vmem_backing_custom; 0 is the unit */
    uint64_t flags;     /* as vmem_backing_custom */
    bool no_zero;       /* there is no zero callback */
    bool no_usage;
    struct journal *journal; /* or NULL */

    struct vmem_backing *backing; /* or NULL */
    uint8_t *content;
    GPtrArray *watched; /* of struct recorder, not owned */
    struct fake_calls discards;
    struct fake_calls populates;
    struct fake_calls zeros;
    void (*inside)(struct fake_backing *memory, char what,
                   const struct vmem_range *range);
    void *inside_opaque;
    uint64_t nr_destroys;
    uint64_t nr_complaints;
    char complaint[256]; /* the first one */
};

void fake_backing_init(struct fake_backing *memory, const char *name,
                       uint64_t size, uint64_t unit, struct journal *journal);
void fake_backing_destroy(struct fake_backing *memory);

/* vmem_backing_new_custom() into memory->backing. */
int fake_backing_make(struct fake_backing *memory, struct vmem_vm *vm,
                      struct vmem_error *err);

const struct vmem_backing_ops *fake_backing_ops(void);

/* The recorder must have let go of memory before that is discarded. */
void fake_backing_watch(struct fake_backing *memory, struct recorder *recorder);
void fake_backing_unwatch(struct fake_backing *memory,
                          struct recorder *recorder);

/* Complains if any of the range is absent. */
void fake_backing_check_usable(struct fake_backing *memory, const char *who,
                               const struct vmem_range *range);

/* Somebody reads, or writes, the range. */
void fake_backing_touch(struct fake_backing *memory,
                        const struct vmem_range *range);
void fake_backing_write(struct fake_backing *memory,
                        const struct vmem_range *range);

/* Is any unit of the range of this content? */
bool fake_backing_holds(const struct fake_backing *memory,
                        const struct vmem_range *range,
                        enum fake_content content);
uint64_t fake_backing_resident(const struct fake_backing *memory);

/* Makes calls fail: none, or the nr calls from number at on, counted anew. */
void fake_calls_succeed(struct fake_calls *calls);
void fake_calls_fail(struct fake_calls *calls, uint64_t at, uint64_t nr,
                     int code);

#endif /* TESTS_SUPPORT_FAKE_BACKING_H */
