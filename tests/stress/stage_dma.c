/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/stage_dma.h"

#include <errno.h>
#include <stdatomic.h>

#include "stress/stage_parts.h"
#include "support/quiet.h"

static int on_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    struct stage *stage = opaque;

    (void)mapping;
    if (stage->inside != NULL) {
        stage->inside(stage, STAGE_DMA_MAP);
    }
    return 0;
}

static int make(struct stage *stage, const char *name, bool is_quiet,
                struct vmem_dma **dma)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = name,
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .page_sizes = UNIT,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = is_quiet ? quiet_map : on_map,
        .unmap = quiet_unmap,
    };

    return vmem_dma_new_custom(stage->vm, &config, &properties, &ops, stage,
                               dma, NULL);
}

/* The region "other", for guests. */
static int attach_target(struct stage *stage, struct vmem_dma *dma,
                         struct vmem_dma_attachment **target)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "target",
        .region = stage->other,
        .hva = stage->mapped,
        .flags = VMEM_DMA_VIOMMU,
    };

    return vmem_dma_attach(dma, &config, NULL, target, NULL);
}

static int attach_memory(struct stage *stage, struct vmem_dma *dma,
                         uint64_t iova, struct vmem_dma_attachment **memory)
{
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "memory",
        .iova = iova,
        .size = STAGE_SIZE,
        .hva = stage->mapped,
    };

    return vmem_dma_attach_static(dma, &config, NULL, memory, NULL);
}

bool stage_open_dma(struct stage *it)
{
    return make(it, "mapper", false, &it->dma) == 0 &&
           make(it, "quiet", true, &it->quiet_dma) == 0 &&
           make(it, "late", true, &it->late_dma) == 0 &&
           make(it, "spare", true, &it->spare_dma) == 0;
}

bool stage_attach(struct stage *it)
{
    return attach_target(it, it->quiet_dma, &it->target) == 0 &&
           attach_target(it, it->late_dma, &it->spare_target) == 0;
}

bool stage_close_dma(struct stage *it)
{
    bool ok = true;

    ok &= vmem_dma_detach(it->target, NULL) == 0;
    ok &= vmem_dma_detach(it->spare_target, NULL) == 0;
    ok &= vmem_dma_free(it->dma, NULL) == 0;
    ok &= vmem_dma_free(it->quiet_dma, NULL) == 0;
    ok &= vmem_dma_free(it->late_dma, NULL) == 0;
    ok &= vmem_dma_free(it->spare_dma, NULL) == 0;
    ok &= vmem_dma_free(it->made_dma, NULL) == 0;
    return ok;
}

void stage_enter_map(struct stage *it)
{
    struct vmem_dma_attachment *memory;
    /* Of several threads at once. */
    const uint64_t iova = atomic_fetch_add(&it->next_iova, STAGE_SIZE);

    if (attach_memory(it, it->dma, iova, &memory) == 0) {
        vmem_dma_detach(memory, NULL);
    }
}

/* ---- the calls ---- */

int stage_dma_info(struct stage *it)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    int ret = vmem_dma_get_info(it->dma, &info);

    return ret < 0 ? ret : vmem_dma_get_stats(it->dma, &stats);
}

int stage_dma_plan(struct stage *it)
{
    const struct vmem_dma_plan_config config = {
        .struct_size = sizeof(config),
        .region_size = STAGE_SIZE,
        .block_size = UNIT,
        .max_mappings = VMEM_DMA_UNLIMITED,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    (void)it;
    return vmem_dma_plan(&config, &verdict, NULL);
}

static int ignore_run(const struct vmem_dma_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return 0;
}

int stage_dma_each(struct stage *it)
{
    return vmem_dma_for_each_mapped(it->dma, NULL, ignore_run, NULL);
}

int stage_dma_attach(struct stage *it)
{
    struct vmem_dma_attachment *attachment;
    int ret = attach_target(it, it->quiet_dma, &attachment);

    return ret < 0 ? ret : vmem_dma_detach(attachment, NULL);
}

int stage_dma_attach_static(struct stage *it)
{
    struct vmem_dma_attachment *attachment;
    int ret = attach_memory(it, it->quiet_dma,
                            atomic_fetch_add(&it->next_iova, STAGE_SIZE),
                            &attachment);

    return ret < 0 ? ret : vmem_dma_detach(attachment, NULL);
}

int stage_dma_retry(struct stage *it)
{
    return vmem_dma_retry_unmaps(it->dma, NULL);
}

int stage_dma_guest_unmap(struct stage *it)
{
    return vmem_dma_viommu_unmap(it->quiet_dma, 0, UINT64_MAX, NULL, NULL);
}

/* Where attaching is allowed there may be no attachment yet. */
int stage_dma_guest(struct stage *it)
{
    struct vmem_dma_attachment *made = NULL;
    int ret = 0;

    if (it->target == NULL) {
        ret = attach_target(it, it->quiet_dma, &made);
    }
    if (ret == 0) {
        ret = vmem_dma_viommu_map(made != NULL ? made : it->target, 0,
                                  &stage_high, VMEM_DMA_READ, NULL);
    }
    if (ret == 0) {
        ret = stage_dma_guest_unmap(it);
    }
    if (made != NULL && ret == 0) {
        ret = vmem_dma_detach(made, NULL);
    }
    return ret;
}

int stage_dma_replay(struct stage *it)
{
    return vmem_dma_viommu_replay(it->late_dma, it->quiet_dma, NULL);
}

/* Last of its group: the attachment is gone afterwards. */
int stage_dma_detach(struct stage *it)
{
    int ret = 0;

    if (it->spare_target == NULL) {
        ret = attach_target(it, it->late_dma, &it->spare_target);
    }
    if (ret == 0) {
        ret = vmem_dma_detach(it->spare_target, NULL);
    }
    if (ret == 0) {
        it->spare_target = NULL;
    }
    return ret;
}

int stage_dma_new(struct stage *it)
{
    return make(it, "new", true, &it->made_dma);
}

int stage_dma_new_type1(struct stage *it)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "new",
    };

    return vmem_dma_new_type1(it->vm, &config, -1, &it->made_dma, NULL);
}

int stage_dma_new_iommufd(struct stage *it)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "new",
    };

    return vmem_dma_new_iommufd(it->vm, &config, -1, 0, &it->made_dma, NULL);
}

int stage_dma_free(struct stage *it)
{
    int ret = vmem_dma_free(it->spare_dma, NULL);

    if (ret == 0) {
        it->spare_dma = NULL;
    }
    return ret;
}
