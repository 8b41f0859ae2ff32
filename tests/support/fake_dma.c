/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_dma.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define AT(fake, i) g_array_index((fake)->mappings, struct vmem_dma_mapping, i)

__attribute__((format(printf, 2, 3))) static void
complain(struct fake_dma *fake, const char *format, ...)
{
    va_list args;

    if (fake->nr_complaints++ > 0) {
        return;
    }
    va_start(args, format);
    vsnprintf(fake->complaint, sizeof(fake->complaint), format, args);
    va_end(args);
}

static bool fails(struct fake_dma_fault *fault)
{
    const uint64_t call = fault->nr_calls++;

    return call >= fault->at && call - fault->at < fault->nr_fails;
}

/* Index of the first mapping that ends behind an IOVA. */
static guint lower_bound(const struct fake_dma *fake, uint64_t iova)
{
    guint low = 0;
    guint high = fake->mappings->len;

    while (low < high) {
        const guint middle = low + (high - low) / 2;

        if (AT(fake, middle).iova + (AT(fake, middle).size - 1) < iova) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void check_call(struct fake_dma *fake, const char *what, uint64_t iova,
                       uint64_t size)
{
    if (size == 0 || iova + size < iova ||
        ((iova | size) & (fake->page_size - 1)) != 0) {
        complain(fake, "%s of 0x%" PRIx64 " + 0x%" PRIx64, what, iova, size);
    }
    if (fake->has_batches && !fake->in_batch) {
        complain(fake, "%s outside of a batch", what);
    }
    if (fake->nr_destroys > 0) {
        complain(fake, "%s after destroy", what);
    }
    if (fake->inside != NULL) {
        fake->inside(fake);
    }
}

static int on_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct fake_dma *fake = opaque;
    const guint at = lower_bound(fake, mapping->iova);

    check_call(fake, "map", mapping->iova, mapping->size);
    if (fails(&fake->map)) {
        return fake->map.code;
    }
    if (at < fake->mappings->len &&
        AT(fake, at).iova < mapping->iova + mapping->size) {
        complain(fake, "map of 0x%" PRIx64 " + 0x%" PRIx64 " twice",
                 mapping->iova, mapping->size);
        return -EEXIST;
    }
    if (mapping->struct_size != sizeof(*mapping) || mapping->protection == 0 ||
        (mapping->hva == NULL && mapping->fd < 0) ||
        mapping->size > (fake->max_size != 0 ? fake->max_size : UINT64_MAX)) {
        complain(fake, "map of 0x%" PRIx64 " is malformed", mapping->iova);
    }
    g_array_insert_val(fake->mappings, at, *mapping);
    return 0;
}

static int on_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                    void *opaque)
{
    struct fake_dma *fake = opaque;
    const guint first = lower_bound(fake, iova);
    const bool failing = fails(&fake->unmap);
    guint nr = 0;
    uint64_t bytes = 0;

    check_call(fake, "unmap", iova, size);
    if (*unmapped != size) {
        complain(fake, "unmapped is 0x%" PRIx64 " at first", *unmapped);
    }
    if (fake->is_gone) {
        *unmapped = 0;
        return 0;
    }
    while (first + nr < fake->mappings->len &&
           AT(fake, first + nr).iova < iova + size) {
        const struct vmem_dma_mapping *mapping = &AT(fake, first + nr);

        if (mapping->iova < iova ||
            mapping->iova + mapping->size > iova + size) {
            complain(fake, "unmap of 0x%" PRIx64 " + 0x%" PRIx64 " cuts", iova,
                     size);
        }
        bytes += mapping->size;
        nr++;
    }
    if (fake->is_exact && nr > 1) {
        complain(fake, "unmap of %u mappings at once", nr);
    }
    if (failing && fake->unmap.code != 0) {
        if (fake->fails_halfway && nr > 1) {
            g_array_remove_range(fake->mappings, first, nr / 2);
        }
        *unmapped = 0;
        return fake->unmap.code;
    }
    if (failing && !fake->fails_halfway) {
        *unmapped = 0;
        return 0;
    }
    if (failing) {
        nr /= 2;
        bytes /= 2;
    }
    if (nr > 0) {
        g_array_remove_range(fake->mappings, first, nr);
    }
    *unmapped = bytes;
    return nr == 0 && fake->says_enoent ? -ENOENT : 0;
}

static void on_begin(void *opaque)
{
    struct fake_dma *fake = opaque;

    if (fake->in_batch) {
        complain(fake, "begin in a batch");
    }
    fake->in_batch = true;
    fake->nr_batches++;
    g_array_set_size(fake->before, 0);
    g_array_append_vals(fake->before, fake->mappings->data,
                        fake->mappings->len);
}

static int on_commit(void *opaque)
{
    struct fake_dma *fake = opaque;

    if (!fake->in_batch) {
        complain(fake, "commit outside of a batch");
    }
    fake->in_batch = false;
    if (!fails(&fake->commit)) {
        return 0;
    }
    if (fake->undoes) {
        GArray *failed = fake->mappings;

        fake->mappings = fake->before;
        fake->before = failed;
    }
    return fake->commit.code;
}

static void on_destroy(void *opaque)
{
    struct fake_dma *fake = opaque;

    if (fake->nr_destroys++ > 0) {
        complain(fake, "destroyed twice");
    }
}

void fake_dma_init(struct fake_dma *fake, uint64_t page_size)
{
    memset(fake, 0, sizeof(*fake));
    fake->page_size = page_size;
    fake->mappings = g_array_new(FALSE, FALSE, sizeof(struct vmem_dma_mapping));
    fake->before = g_array_new(FALSE, FALSE, sizeof(struct vmem_dma_mapping));
    fake->config.struct_size = sizeof(fake->config);
}

int fake_dma_make(struct fake_dma *fake, struct vmem_vm *vm,
                  struct vmem_error *err)
{
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .flags = fake->flags | (fake->is_exact ? VMEM_DMA_EXACT_UNMAP : 0),
        .page_sizes = fake->page_size,
        .max_size = fake->max_size,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = on_map,
        .unmap = on_unmap,
        .begin = fake->has_batches ? on_begin : NULL,
        .commit = fake->has_batches ? on_commit : NULL,
        .destroy = on_destroy,
    };

    if (fake->config.name == NULL) {
        fake->config.name = "fake";
    }
    return vmem_dma_new_custom(vm, &fake->config, &properties, &ops, fake,
                               &fake->dma, err);
}

void fake_dma_destroy(struct fake_dma *fake)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_dma_free(fake->dma, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(fake->nr_destroys, fake->dma != NULL);
    if (fake->nr_complaints > 0) {
        fail_msg("%" PRIu64 " complaints: %s", fake->nr_complaints,
                 fake->complaint);
    }
    assert_int_equal(fake->mappings->len, 0);
    fake_dma_forget(fake);
}

void fake_dma_forget(struct fake_dma *fake)
{
    g_array_free(fake->mappings, TRUE);
    g_array_free(fake->before, TRUE);
    fake->mappings = NULL;
    fake->before = NULL;
}

void fake_dma_fail(struct fake_dma_fault *fault, uint64_t at, uint64_t nr,
                   int code)
{
    fault->at = at;
    fault->nr_fails = nr;
    fault->code = code;
    fault->nr_calls = 0;
}

const char *fake_dma_mapped(const struct fake_dma *fake)
{
    static GString *text;

    if (text == NULL) {
        text = g_string_new(NULL);
    }
    g_string_truncate(text, 0);
    for (guint i = 0; i < fake->mappings->len; i++) {
        const struct vmem_dma_mapping *mapping = &AT(fake, i);

        g_string_append_printf(
            text, "[%" PRIu64 ",%" PRIu64 ")%s",
            mapping->iova / fake->page_size,
            (mapping->iova + mapping->size) / fake->page_size,
            (mapping->protection & VMEM_DMA_WRITE) != 0 ? "" : "r");
    }
    return text->str;
}

const struct vmem_dma_mapping *fake_dma_find(const struct fake_dma *fake,
                                             uint64_t iova)
{
    const guint at = lower_bound(fake, iova);

    return at < fake->mappings->len && AT(fake, at).iova <= iova ? &AT(fake, at)
                                                                 : NULL;
}

struct vmem_dma_stats fake_dma_stats(const struct fake_dma *fake)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_dma_get_stats(fake->dma, &stats), 0);
    return stats;
}
