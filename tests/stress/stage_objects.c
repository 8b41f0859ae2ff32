/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/stage_parts.h"
#include "support/quiet.h"

int stage_source_add(struct stage *it)
{
    struct vmem_source *source;
    int ret =
        stage_make_source(it->region, "new", VMEM_SOURCE_POPULATED, &source);

    return ret < 0 ? ret : vmem_source_remove(source, NULL);
}

int stage_source_remove(struct stage *it)
{
    int ret = vmem_source_remove(it->spare_source, NULL);

    if (ret == 0) {
        it->spare_source = NULL;
    }
    return ret;
}

int stage_listener_add(struct stage *it)
{
    struct vmem_listener *listener;
    int ret = stage_make_listener(it, it->region, "new",
                                  &stage_quiet_listener_ops, &listener);

    return ret < 0 ? ret : vmem_listener_remove(listener, NULL);
}

int stage_listener_remove(struct stage *it)
{
    int ret = vmem_listener_remove(it->spare_listener, NULL);

    if (ret == 0) {
        it->spare_listener = NULL;
    }
    return ret;
}

int stage_listener_remove_own(struct stage *it)
{
    int ret = vmem_listener_remove(it->listener, NULL);

    if (ret == 0) {
        it->listener = NULL;
    }
    return ret;
}

int stage_vm_new(struct stage *it)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "new" };

    return vmem_vm_new(&config, &it->made_vm, NULL);
}

int stage_region_new(struct stage *it)
{
    return stage_make_region(it->vm, "new", NULL, &it->made_region);
}

int stage_backing_custom(struct stage *it)
{
    return stage_make_backing(it, "new", NULL, &it->made_backings[0]);
}

int stage_backing_mapped(struct stage *it)
{
    const struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "new",
        .hva = it->mapped,
        .size = STAGE_SIZE,
    };

    return vmem_backing_new_mapped(it->vm, &mapping, &it->made_backings[1],
                                   NULL);
}

int stage_backing_allocated(struct stage *it)
{
    const struct vmem_backing_config memory_request = {
        .struct_size = sizeof(memory_request),
        .name = "new",
        .size = STAGE_SIZE,
        .kind = VMEM_BACKING_ANON,
    };

    return vmem_backing_new_allocated(it->vm, &memory_request,
                                      &it->made_backings[2], NULL);
}

int stage_device_new(struct stage *it)
{
    return stage_make_device(it, it->spare_region, "new", 2 * STAGE_SIZE, NULL,
                             &it->made_device);
}

/* Its children are there: where it is allowed, this is refused for them. */
int stage_vm_free(struct stage *it)
{
    return vmem_vm_free(it->vm, NULL);
}

int stage_region_free(struct stage *it)
{
    int ret = vmem_region_free(it->spare_region, NULL);

    if (ret == 0) {
        it->spare_region = NULL;
    }
    return ret;
}

int stage_backing_free(struct stage *it)
{
    int ret = vmem_backing_free(it->spare_backing, NULL);

    if (ret == 0) {
        it->spare_backing = NULL;
    }
    return ret;
}

int stage_device_free(struct stage *it)
{
    int ret = vmem_device_free(it->spare_device, NULL);

    if (ret == 0) {
        it->spare_device = NULL;
    }
    return ret;
}

int stage_claim_take(struct stage *it)
{
    struct vmem_discard_claim *claim;
    int ret = vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_COORDINATED,
                                      "new", &claim, NULL);

    return ret < 0 ? ret : vmem_discard_claim_release(claim, NULL);
}

int stage_claim_release(struct stage *it)
{
    int ret = vmem_discard_claim_release(it->spare_claim, NULL);

    if (ret == 0) {
        it->spare_claim = NULL;
    }
    return ret;
}

int stage_watcher_add(struct stage *it)
{
    struct vmem_discard_watcher *watcher;
    int ret =
        vmem_discard_watcher_add(it->vm, quiet_claims, NULL, &watcher, NULL);

    return ret < 0 ? ret : vmem_discard_watcher_remove(watcher, NULL);
}

int stage_watcher_remove(struct stage *it)
{
    int ret = vmem_discard_watcher_remove(it->spare_watcher, NULL);

    if (ret == 0) {
        it->spare_watcher = NULL;
    }
    return ret;
}

int stage_other_vm(struct stage *it)
{
    struct vmem_discard_claim *claim;
    struct vmem_region *region;
    int ret = vmem_source_populate(it->other_vm_source, &stage_low, NULL);

    if (ret == 0) {
        ret = vmem_source_discard(it->other_vm_source, &stage_low, NULL);
    }
    if (ret == 0) {
        ret = vmem_region_freeze(it->other_vm_region, "a", NULL);
    }
    if (ret == 0) {
        ret = vmem_region_thaw(it->other_vm_region, "a", NULL);
    }
    if (ret == 0) {
        ret = stage_make_region(it->other_vm, "new", NULL, &region);
    }
    if (ret == 0) {
        ret = vmem_region_free(region, NULL);
    }
    if (ret == 0) {
        ret = vmem_discard_claim_take(
            it->other_vm, VMEM_CLAIM_NEED_UNCOORDINATED, "new", &claim, NULL);
    }
    return ret < 0 ? ret : vmem_discard_claim_release(claim, NULL);
}
