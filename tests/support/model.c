/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/model.h"

bool model_is_populated(const struct model *model, size_t unit)
{
    for (size_t i = 0; i < MODEL_MAX_SOURCES; i++) {
        if (model->sources[i].used && !model->sources[i].has[unit]) {
            return false;
        }
    }
    return true;
}

bool model_is_wanted(const struct model *model, size_t unit)
{
    for (size_t i = 0; i < MODEL_MAX_SOURCES; i++) {
        if (model->sources[i].used && model->sources[i].discards &&
            !model->sources[i].has[unit]) {
            return false;
        }
    }
    return true;
}

/* Memory that is not wanted loses its contents. */
static void forget_unwanted(struct model *model)
{
    for (size_t i = 0; i < model->nr_units; i++) {
        if (!model_is_wanted(model, i)) {
            model->written[i] = false;
        }
    }
}

void model_source_add(struct model *model, size_t source, size_t block_units,
                      bool discards, bool populated)
{
    struct model_source *added = &model->sources[source];

    added->used = true;
    added->discards = discards;
    added->block_units = block_units;
    for (size_t i = 0; i < model->nr_units; i++) {
        added->has[i] = populated;
    }
    forget_unwanted(model);
}

void model_source_remove(struct model *model, size_t source)
{
    model->sources[source].used = false;
}

void model_set(struct model *model, size_t source, size_t first, size_t nr,
               bool populated)
{
    for (size_t i = first; i < first + nr; i++) {
        model->sources[source].has[i] = populated;
    }
    forget_unwanted(model);
}

void model_write(struct model *model, size_t first, size_t nr)
{
    for (size_t i = first; i < first + nr; i++) {
        model->written[i] = true;
    }
}

size_t model_count_calls(const bool *changed, size_t window_first,
                         size_t window_end, size_t chunk_units)
{
    size_t nr_calls = 0;

    for (size_t i = window_first; i < window_end; i++) {
        bool starts = i == window_first || !changed[i - 1] ||
                      (chunk_units != 0 && i % chunk_units == 0);

        nr_calls += changed[i] && starts;
    }
    return nr_calls;
}
