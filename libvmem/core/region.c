/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/region.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/freeze.h"
#include "core/listener.h"
#include "core/source.h"
#include "core/walk.h"

static int check_backing(struct vmem_vm *vm, struct vmem_region_config *config,
                         struct vmem_error *err)
{
    const struct vmem_backing *backing = config->backing;

    if (backing == NULL) {
        return 0;
    }
    if (backing->vm != vm) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\" belongs to another vm",
                          backing->name.text);
    }
    if (config->size == 0) {
        config->size = backing->size;
    }
    if (config->size != backing->size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_MISMATCH, NULL,
                          "region \"%s\": size 0x%" PRIx64
                          ", but backing \"%s\" has 0x%" PRIx64
                          "; a size of 0 takes that of the backing",
                          config->name, config->size, backing->name.text,
                          backing->size);
    }
    return 0;
}

static int init_locks(struct vmem_region *region)
{
    int ret = vmemi_mutex_init(&region->change);

    if (ret < 0) {
        return ret;
    }
    ret = vmemi_mutex_init(&region->state);
    if (ret < 0) {
        vmemi_mutex_destroy(&region->change);
    }
    return ret;
}

/* A backing has one region at most. */
static int take_backing(struct vmem_region *region, struct vmem_error *err)
{
    const char *nobody = NULL;

    if (region->backing == NULL ||
        atomic_compare_exchange_strong(&region->backing->user, &nobody,
                                       region->name.text)) {
        return 0;
    }
    if (vmemi_backing_check_unused(region->backing, "vmem_region_new", err) <
        0) {
        return -EBUSY;
    }
    /* Let go of between the two looks. */
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "vmem_region_new: backing \"%s\" was used by a region",
                      region->backing->name.text);
}

int vmem_region_new(struct vmem_vm *vm,
                    const struct vmem_region_config *host_config,
                    struct vmem_region **out, struct vmem_error *err)
{
    struct vmem_region_config config;
    struct vmem_region *region;
    int ret;

    ret =
        vmemi_sized_read(&config, sizeof(config),
                         VMEMI_SIZE_THROUGH(struct vmem_region_config, backing),
                         host_config, "vmem_region_config", err);
    if (ret < 0) {
        return ret;
    }
    if (vm == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_region_new: vm or out is NULL");
    }
    ret = vmemi_vm_check_unlocked(vm, "vmem_region_new", err);
    if (ret < 0) {
        return ret;
    }
    region = vmemi_alloc0(sizeof(*region));
    if (region == NULL) {
        return vmemi_fail_no_memory(err, "a region");
    }
    if (config.name == NULL && config.backing != NULL) {
        config.name = config.backing->name.text;
    }
    ret = vmemi_name_set(&region->name, config.name, "region name", err);
    if (ret < 0) {
        goto fail;
    }
    ret = check_backing(vm, &config, err);
    if (ret < 0) {
        goto fail;
    }
    region->vm = vm;
    region->size = config.size;
    region->backing = config.backing;
    ret = init_locks(region);
    if (ret < 0) {
        vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                   "region \"%s\": no locks: %s (errno %d)", region->name.text,
                   vmemi_errno_text(ret), -ret);
        goto fail;
    }
    ret = take_backing(region, err);
    if (ret < 0) {
        goto fail_locks;
    }
    vmemi_vm_link(vm, VMEMI_CHILD_REGION, &region->child, region->name.text,
                  region);
    *out = region;
    return 0;

fail_locks:
    vmemi_mutex_destroy(&region->state);
    vmemi_mutex_destroy(&region->change);
fail:
    vmemi_free(region);
    return ret;
}

/* Under the state lock. */
static void list_children(const struct vmem_region *region,
                          struct vmemi_name_list *names)
{
    for (GList *link = region->sources.head; link != NULL; link = link->next) {
        vmemi_name_list_add(names,
                            ((struct vmem_source *)link->data)->name.text);
    }
    vmemi_listeners_list(region, names);
    vmemi_freezers_list(region, names);
}

int vmem_region_free(struct vmem_region *region, struct vmem_error *err)
{
    struct vmemi_name_list names = { 0 };
    int ret;

    if (region == NULL) {
        return 0;
    }
    ret = vmemi_vm_check_may_free(region->vm, "vmem_region_free", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_mutex_lock(&region->state);
    list_children(region, &names);
    vmemi_mutex_unlock(&region->state);
    if (names.nr_names + names.nr_dropped > 0) {
        vmemi_name_list_finish(&names);
        return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                          "region \"%s\" still has %s", region->name.text,
                          names.text);
    }
    /* First, see vmemi_backing_check_unused(). */
    if (region->backing != NULL) {
        atomic_store(&region->backing->user, NULL);
    }
    vmemi_vm_unlink(region->vm, VMEMI_CHILD_REGION, &region->child);
    vmemi_mutex_destroy(&region->state);
    vmemi_mutex_destroy(&region->change);
    vmemi_free(region);
    return 0;
}

const char *vmem_region_get_name(const struct vmem_region *region)
{
    return region != NULL ? region->name.text : NULL;
}

uint64_t vmem_region_get_size(const struct vmem_region *region)
{
    return region != NULL ? region->size : 0;
}

struct vmem_backing *vmem_region_get_backing(const struct vmem_region *region)
{
    return region != NULL ? region->backing : NULL;
}

uint64_t vmemi_region_min_granularity(const struct vmem_region *region)
{
    uint64_t smallest = region->sources.length > 0 ? UINT64_MAX : region->size;

    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        smallest = vmemi_min(smallest, vmemi_source_block_size(link->data));
    }
    return smallest;
}

uint64_t vmemi_region_populated_size(const struct vmem_region *region)
{
    struct vmemi_terms terms;

    if (region->sources.length == 1) {
        return vmemi_source_size(region->sources.head->data);
    }
    vmemi_terms_init(&terms, region, NULL, true);
    return vmemi_terms_count(&terms, region->size);
}

/* Queries change nothing that a host can see; the lock that they take is the one
 * thing that they write. */
int vmem_region_get_info(const struct vmem_region *host_region,
                         struct vmem_region_info *host_info)
{
    struct vmem_region *region = (struct vmem_region *)host_region;
    struct vmem_region_info info = { 0 };

    if (region == NULL ||
        vmemi_sized_check_out(
            host_info,
            VMEMI_SIZE_THROUGH(struct vmem_region_info, nr_rollbacks)) < 0) {
        return -EINVAL;
    }
    info.name = region->name.text;
    info.size = region->size;
    vmemi_mutex_lock(&region->state);
    info.min_granularity = vmemi_region_min_granularity(region);
    info.populated_size = vmemi_region_populated_size(region);
    info.retained_size = vmemi_region_retained_size(region);
    info.nr_sources = region->sources.length;
    info.nr_listeners = region->listeners.length;
    info.nr_freezers = region->freezers.length;
    vmemi_mutex_unlock(&region->state);
    info.nr_populate_calls = atomic_load(&region->nr_populate_calls);
    info.nr_discard_calls = atomic_load(&region->nr_discard_calls);
    info.nr_vetoes = atomic_load(&region->nr_vetoes);
    info.nr_rollbacks = atomic_load(&region->nr_rollbacks);
    vmemi_sized_write(host_info, &info, sizeof(info));
    return 0;
}

int vmemi_change_begin(struct vmemi_change *change, struct vmem_region *region,
                       const char *what, struct vmem_error *err)
{
    int ret = vmemi_vm_check_unlocked(region->vm, what, err);

    if (ret == 0) {
        vmemi_change_lock(change, region);
    }
    return ret;
}
