/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_MODEL_H
#define TESTS_SUPPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The region once more, as naively as can be: one array element for each unit,
 * no locks, no runs, no bits. What is right here is what the headers say. */
#define MODEL_MAX_UNITS 1024
#define MODEL_MAX_SOURCES 4

struct model_source {
    bool used;
    bool discards;
    size_t block_units;
    bool has[MODEL_MAX_UNITS]; /* this source says populated */
};

struct model {
    size_t nr_units;
    struct model_source sources[MODEL_MAX_SOURCES];
    bool written[MODEL_MAX_UNITS]; /* somebody wrote, and it is still wanted */
};

/* Inline, because the model of a device has a function of this name. */
static inline void model_init(struct model *model, size_t nr_units)
{
    memset(model, 0, sizeof(*model));
    model->nr_units = nr_units;
}

/* Is this unit populated, as the listeners and queries see it? */
bool model_is_populated(const struct model *model, size_t unit);

/* Does every source that discards want the memory of this unit? */
bool model_is_wanted(const struct model *model, size_t unit);

void model_source_add(struct model *model, size_t source, size_t block_units,
                      bool discards, bool populated);
void model_source_remove(struct model *model, size_t source);
void model_set(struct model *model, size_t source, size_t first, size_t nr,
               bool populated);
void model_write(struct model *model, size_t first, size_t nr);

/* How many calls tell a listener of the units that are set in changed: one for
 * each run in the window, or for each chunk of a run (chunk_units not 0). */
size_t model_count_calls(const bool *changed, size_t window_first,
                         size_t window_end, size_t chunk_units);

#endif /* TESTS_SUPPORT_MODEL_H */
