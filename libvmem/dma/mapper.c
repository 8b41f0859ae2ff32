/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/mapper.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"

int vmemi_dma_read_config(struct vmem_vm *vm,
                          const struct vmem_dma_config *host_config,
                          struct vmem_dma *const *out, const char *what,
                          struct vmem_dma_config *config,
                          struct vmem_error *err)
{
    const uint64_t known = VMEM_DMA_MEASURE_LATENCY | VMEM_DMA_NO_CLAIM;
    struct vmemi_name name;
    int ret;

    ret = vmemi_sized_read(config, sizeof(*config),
                           VMEMI_SIZE_THROUGH(struct vmem_dma_config, flags),
                           host_config, "vmem_dma_config", err);
    if (ret < 0) {
        return ret;
    }
    if (vm == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s: vm or out is NULL", what);
    }
    ret = vmemi_name_set(&name, config->name, "mapper name", err);
    if (ret < 0) {
        return ret;
    }
    if ((config->flags & ~known) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "mapper \"%s\": unknown flags 0x%" PRIx64, name.text,
                          config->flags & ~known);
    }
    return vmemi_vm_check_unlocked(vm, what, err);
}

static uint64_t or_unlimited(uint64_t limit)
{
    return limit != 0 ? limit : VMEM_DMA_UNLIMITED;
}

static int set_limits(struct vmem_dma *dma,
                      const struct vmem_dma_config *config,
                      struct vmem_error *err)
{
    const struct vmemi_dma_backend *backend = &dma->backend;

    dma->page_size = backend->page_sizes & -backend->page_sizes;
    dma->max_mappings = config->max_mappings != 0 ? config->max_mappings
                                                  : backend->max_mappings;
    dma->reserved_mappings = config->reserved_mappings;
    dma->max_pinned_size = or_unlimited(config->max_pinned_size);
    dma->max_guest_mappings = config->max_guest_mappings != 0
                                  ? config->max_guest_mappings
                                  : VMEM_DMA_GUEST_MAPPINGS;
    if (dma->reserved_mappings > dma->max_mappings) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "mapper \"%s\": %" PRIu64
                          " mappings are reserved, there are %" PRIu64,
                          dma->name.text, dma->reserved_mappings,
                          dma->max_mappings);
    }
    if (backend->max_size < dma->page_size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_RANGE, NULL,
                          "mapper \"%s\": the largest mapping 0x%" PRIx64
                          " is below the smallest page 0x%" PRIx64,
                          dma->name.text, backend->max_size, dma->page_size);
    }
    return 0;
}

int vmemi_dma_new(struct vmem_vm *vm, const struct vmem_dma_config *config,
                  const struct vmemi_dma_backend *backend,
                  struct vmem_dma **out, struct vmem_error *err)
{
    struct vmem_dma *dma = vmemi_alloc0(sizeof(*dma));
    int ret;

    if (dma == NULL) {
        return vmemi_fail_no_memory(err, "a mapper");
    }
    dma->vm = vm;
    dma->backend = *backend;
    dma->is_timed = (config->flags & VMEM_DMA_MEASURE_LATENCY) != 0;
    dma->takes_claims = (config->flags & VMEM_DMA_NO_CLAIM) == 0;
    vmemi_dma_init_guests(dma);
    /* It was checked when the config was read. */
    vmemi_name_set(&dma->name, config->name, "mapper name", NULL);
    ret = set_limits(dma, config, err);
    if (ret == 0) {
        ret = vmemi_mutex_init(&dma->lock);
        if (ret < 0) {
            vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                       "mapper \"%s\": no lock: %s (errno %d)", dma->name.text,
                       vmemi_errno_text(ret), -ret);
        }
    }
    if (ret < 0) {
        vmemi_free(dma);
        return ret;
    }
    vmemi_vm_link(vm, VMEMI_CHILD_DMA, &dma->child, dma->name.text, dma);
    *out = dma;
    return 0;
}

/* -EBUSY with the names of what is attached; or, with_orphans, of all that is
 * listed, which attaches that failed left behind. */
static int check_unused(struct vmem_dma *dma, bool with_orphans,
                        struct vmem_error *err)
{
    struct vmemi_name_list names = { 0 };
    struct vmemi_log_queue log;

    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (GList *link = dma->attachments.head; link != NULL; link = link->next) {
        const struct vmem_dma_attachment *attachment = link->data;

        if (with_orphans || attachment->stage != VMEMI_DMA_ORPHAN) {
            vmemi_name_list_add(&names, attachment->name.text);
        }
    }
    vmemi_dma_unlock(dma);
    if (names.nr_names + names.nr_dropped == 0) {
        return 0;
    }
    vmemi_name_list_finish(&names);
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "mapper \"%s\" still has %s%s", dma->name.text,
                      names.text, with_orphans ? ", which is stuck" : "");
}

int vmem_dma_free(struct vmem_dma *dma, struct vmem_error *err)
{
    int ret;

    if (dma == NULL) {
        return 0;
    }
    ret = vmemi_vm_check_may_free(dma->vm, "vmem_dma_free", err);
    if (ret < 0) {
        return ret;
    }
    ret = check_unused(dma, false, err);
    if (ret < 0) {
        return ret;
    }
    /* What attaches left behind that failed, and those themselves. */
    vmem_dma_retry_unmaps(dma, NULL);
    ret = check_unused(dma, true, err);
    if (ret < 0) {
        return ret;
    }
    vmemi_vm_unlink(dma->vm, VMEMI_CHILD_DMA, &dma->child);
    if (dma->backend.ops.destroy != NULL) {
        dma->backend.ops.destroy(dma->backend.opaque);
    }
    vmemi_mutex_destroy(&dma->lock);
    vmemi_free(dma);
    return 0;
}

int vmem_dma_get_info(const struct vmem_dma *dma,
                      struct vmem_dma_info *host_info)
{
    struct vmem_dma_info info = { 0 };

    if (dma == NULL || vmemi_sized_check_out(
                           host_info, VMEMI_SIZE_THROUGH(struct vmem_dma_info,
                                                         reserved)) < 0) {
        return -EINVAL;
    }
    info.name = dma->name.text;
    info.page_sizes = dma->backend.page_sizes;
    info.max_size = dma->backend.max_size;
    info.max_mappings = dma->max_mappings;
    info.reserved_mappings = dma->reserved_mappings;
    info.max_pinned_size = dma->max_pinned_size;
    info.max_guest_mappings = dma->max_guest_mappings;
    info.properties = dma->backend.flags;
    info.nr_attachments = atomic_load(&dma->nr_attachments);
    info.kind = dma->backend.kind;
    vmemi_sized_write(host_info, &info, sizeof(info));
    return 0;
}

int vmem_dma_get_stats(const struct vmem_dma *dma,
                       struct vmem_dma_stats *host_stats)
{
    struct vmem_dma_stats stats = { 0 };

    if (dma == NULL || vmemi_sized_check_out(
                           host_stats, VMEMI_SIZE_THROUGH(struct vmem_dma_stats,
                                                          max_unmap_ns)) < 0) {
        return -EINVAL;
    }
    stats.nr_mappings = atomic_load(&dma->nr_mappings);
    stats.peak_mappings = atomic_load(&dma->peak_mappings);
    stats.pinned_size = atomic_load(&dma->pinned_size);
    stats.peak_pinned_size = atomic_load(&dma->peak_pinned_size);
    stats.nr_static_mappings = atomic_load(&dma->nr_static_mappings);
    stats.nr_guest_mappings = atomic_load(&dma->nr_guest_mappings);
    stats.nr_stuck = atomic_load(&dma->nr_stuck);
    stats.stuck_size = atomic_load(&dma->stuck_size);
    stats.nr_maps = atomic_load(&dma->nr_maps);
    stats.nr_unmaps = atomic_load(&dma->nr_unmaps);
    stats.nr_map_errors = atomic_load(&dma->nr_map_errors);
    stats.nr_unmap_errors = atomic_load(&dma->nr_unmap_errors);
    stats.nr_commit_errors = atomic_load(&dma->nr_commit_errors);
    stats.nr_budget_refusals = atomic_load(&dma->nr_budget_refusals);
    stats.nr_stuck_refusals = atomic_load(&dma->nr_stuck_refusals);
    stats.nr_forced_unmaps = atomic_load(&dma->nr_forced_unmaps);
    stats.map_ns = atomic_load(&dma->map_ns);
    stats.unmap_ns = atomic_load(&dma->unmap_ns);
    stats.max_map_ns = atomic_load(&dma->max_map_ns);
    stats.max_unmap_ns = atomic_load(&dma->max_unmap_ns);
    vmemi_sized_write(host_stats, &stats, sizeof(stats));
    return 0;
}
