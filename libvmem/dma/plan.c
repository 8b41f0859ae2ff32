/* SPDX-License-Identifier: BSD-3-Clause */
/* The calculation without a mapper. */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "dma/mapper.h"

static int check(const struct vmem_dma_plan_config *config,
                 struct vmem_error *err)
{
    if (config->region_size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_plan: the region is empty");
    }
    if (!vmemi_is_power_of_two(config->block_size)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "vmem_dma_plan: block size 0x%" PRIx64
                          " is not a power of two",
                          config->block_size);
    }
    if (config->requested_size > config->region_size) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "vmem_dma_plan: 0x%" PRIx64
                          " bytes are requested, the region has 0x%" PRIx64,
                          config->requested_size, config->region_size);
    }
    return 0;
}

int vmem_dma_plan(const struct vmem_dma_plan_config *host_config,
                  struct vmem_dma_verdict *host_verdict, struct vmem_error *err)
{
    struct vmem_dma_verdict verdict = { 0 };
    struct vmem_dma_plan_config config;
    struct vmem_range requested = { 0 };
    struct vmem_range all = { 0 };
    uint64_t nr_containers;
    int ret;

    ret = vmemi_sized_read(
        &config, sizeof(config),
        VMEMI_SIZE_THROUGH(struct vmem_dma_plan_config, nr_containers),
        host_config, "vmem_dma_plan_config", err);
    if (ret == 0) {
        ret = check(&config, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (vmemi_sized_check_out(host_verdict,
                              VMEMI_SIZE_THROUGH(struct vmem_dma_verdict,
                                                 worst_case_pinned_size)) < 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_STRUCT_SIZE, NULL,
                          "vmem_dma_plan: verdict is NULL or too short");
    }
    nr_containers = vmemi_max(config.nr_containers, 1);
    all.size = config.region_size;
    requested.size =
        config.requested_size != 0 ? config.requested_size : all.size;
    verdict.granularity = config.block_size;
    verdict.max_mappings = config.max_mappings;
    verdict.nr_taken = config.nr_taken;
    verdict.nr_requested =
        vmemi_dma_count_chunks(&requested, config.block_size);
    verdict.nr_now = verdict.nr_requested;
    verdict.nr_worst_case = vmemi_dma_count_chunks(&all, config.block_size);
    verdict.max_pinned_size = config.max_pinned_size != 0
                                  ? config.max_pinned_size
                                  : VMEM_DMA_UNLIMITED;
    verdict.pinned_size = config.pinned_size;
    verdict.requested_pinned_size =
        vmemi_multiply_saturating(requested.size, nr_containers);
    verdict.worst_case_pinned_size =
        vmemi_multiply_saturating(all.size, nr_containers);
    vmemi_dma_judge(&verdict, &all);
    vmemi_sized_write(host_verdict, &verdict, sizeof(verdict));
    return 0;
}
