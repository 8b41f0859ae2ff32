/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_DMA_ANSWERS_H
#define TESTS_SUPPORT_DMA_ANSWERS_H

#include <stdint.h>
#include <stdio.h>

/* Puts the questions of a table in tests/data/dma/ (the form is in the README
 * there) to a kernel, or to a model of one, and compares the answers. Needs the C
 * library only: it runs inside the lab's virtual machine too. */

/* Who is asked. */
struct dma_answers_target {
    /* ioctl(2): 0 or positive, or a negative errno. */
    int (*ioctl)(unsigned long request, void *argument, void *opaque);
    void *opaque;
    const char *interface; /* "type1", "type1-v1", "compat", "iommufd" */
    uint32_t ioas_id;      /* iommufd */
    uint64_t limit;        /* dma_entry_limit, if it is a small one; or 0 */
    uint64_t memlock;      /* bytes that it may pin, if they are few; or 0 */
};

struct dma_answers_result {
    unsigned nr_scenes;
    unsigned nr_skipped_scenes; /* which need what the target has not */
    unsigned nr_questions;
    unsigned nr_wrong;     /* answers */
    unsigned nr_malformed; /* lines */
};

/* Everything that is mapped is unmapped before each scene and at the end. What is
 * wrong goes to report, a line each. 0, or a negative errno if there is no memory
 * to map. */
int dma_answers_run(FILE *table, const char *name,
                    const struct dma_answers_target *target, FILE *report,
                    struct dma_answers_result *result);

#endif /* TESTS_SUPPORT_DMA_ANSWERS_H */
