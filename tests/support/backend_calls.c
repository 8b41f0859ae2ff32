/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/backend_calls.h"

struct vmem_dma_mapping backend_mapping(uint64_t iova, uint64_t size)
{
    return (struct vmem_dma_mapping){
        .struct_size = sizeof(struct vmem_dma_mapping),
        .iova = iova,
        .size = size,
        .hva = (void *)(uintptr_t)(((uint64_t)64 << 30) + iova),
        .fd = -1,
        .protection = VMEM_DMA_READ | VMEM_DMA_WRITE,
    };
}

int backend_map(const struct vmemi_dma_backend *backend, uint64_t iova,
                uint64_t size)
{
    const struct vmem_dma_mapping mapping = backend_mapping(iova, size);

    return backend->ops.map(&mapping, backend->opaque);
}

int backend_unmap(const struct vmemi_dma_backend *backend, uint64_t iova,
                  uint64_t size, uint64_t *unmapped)
{
    *unmapped = size;
    return backend->ops.unmap(iova, size, unmapped, backend->opaque);
}
