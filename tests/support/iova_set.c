/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/iova_set.h"

#include <inttypes.h>

void iova_set_init(struct iova_set *set)
{
    set->mappings = g_array_new(FALSE, FALSE, sizeof(struct iova_mapping));
    set->size = 0;
}

void iova_set_destroy(struct iova_set *set)
{
    g_array_unref(set->mappings);
    set->mappings = NULL;
}

uint64_t iova_set_nr(const struct iova_set *set)
{
    return set->mappings->len;
}

const struct iova_mapping *iova_set_at(const struct iova_set *set, uint64_t i)
{
    return &g_array_index(set->mappings, struct iova_mapping, i);
}

static uint64_t last_of(const struct iova_mapping *mapping)
{
    return mapping->iova + (mapping->size - 1);
}

/* The first mapping that ends at or behind this address. */
static unsigned find(const struct iova_set *set, uint64_t iova)
{
    unsigned low = 0;
    unsigned high = set->mappings->len;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (last_of(iova_set_at(set, middle)) < iova) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool iova_set_overlaps(const struct iova_set *set, uint64_t iova, uint64_t last)
{
    unsigned i = find(set, iova);

    return i < set->mappings->len && iova_set_at(set, i)->iova <= last;
}

void iova_set_add(struct iova_set *set, const struct iova_mapping *mapping)
{
    g_array_insert_vals(set->mappings, find(set, mapping->iova), mapping, 1);
    set->size += mapping->size;
}

static bool is_inside(const struct iova_set *set, uint64_t iova)
{
    unsigned i = find(set, iova);

    return i < set->mappings->len && iova_set_at(set, i)->iova < iova;
}

bool iova_set_cuts(const struct iova_set *set, uint64_t iova, uint64_t last)
{
    return is_inside(set, iova) ||
           (last != UINT64_MAX && is_inside(set, last + 1));
}

uint64_t iova_set_remove(struct iova_set *set, uint64_t iova, uint64_t last)
{
    const unsigned first = find(set, iova);
    unsigned end = first;
    uint64_t size = 0;

    while (end < set->mappings->len) {
        const struct iova_mapping *mapping = iova_set_at(set, end);

        if (mapping->iova > last || mapping->iova < iova ||
            last_of(mapping) > last) {
            break;
        }
        size += mapping->size;
        end++;
    }
    if (end > first) {
        g_array_remove_range(set->mappings, first, end - first);
    }
    set->size -= size;
    return size;
}

void iova_set_split(struct iova_set *set, uint64_t iova)
{
    struct iova_mapping *head;
    struct iova_mapping tail;
    unsigned i;

    if (!is_inside(set, iova)) {
        return;
    }
    i = find(set, iova);
    head = &g_array_index(set->mappings, struct iova_mapping, i);
    tail = *head;
    head->size = iova - head->iova;
    tail.iova += head->size;
    tail.size -= head->size;
    tail.hva += head->size;
    tail.fd_offset += head->size;
    g_array_insert_vals(set->mappings, i + 1, &tail, 1);
}

char *iova_set_runs(const struct iova_set *set, uint64_t base, uint64_t unit)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < set->mappings->len;) {
        const uint64_t start = iova_set_at(set, i)->iova;
        uint64_t end = start;

        while (i < set->mappings->len && iova_set_at(set, i)->iova == end) {
            end += iova_set_at(set, i++)->size;
        }
        g_string_append_printf(text, "%s%" PRIu64 "+%" PRIu64,
                               text->len > 0 ? " " : "", (start - base) / unit,
                               (end - start) / unit);
    }
    return g_string_free(text, FALSE);
}
