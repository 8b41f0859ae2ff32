/* SPDX-License-Identifier: BSD-3-Clause */
/* A mapper of the host program's callbacks. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sized.h"
#include "dma/mapper.h"

static int read_properties(const struct vmem_dma_properties *host_properties,
                           struct vmemi_dma_backend *backend,
                           struct vmem_error *err)
{
    const uint64_t known =
        VMEM_DMA_EXACT_UNMAP | VMEM_DMA_NEEDS_FD | VMEM_DMA_NO_PARTS;
    struct vmem_dma_properties properties = { 0 };
    int ret;

    if (host_properties != NULL) {
        ret = vmemi_sized_read(
            &properties, sizeof(properties),
            VMEMI_SIZE_THROUGH(struct vmem_dma_properties, mapping_limit),
            host_properties, "vmem_dma_properties", err);
        if (ret < 0) {
            return ret;
        }
    }
    if ((properties.flags & ~known) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_dma_properties: unknown flags 0x%" PRIx64,
                          properties.flags & ~known);
    }
    backend->flags = properties.flags;
    backend->page_sizes = properties.page_sizes != 0
                              ? properties.page_sizes
                              : (uint64_t)sysconf(_SC_PAGESIZE);
    backend->max_size =
        properties.max_size != 0 ? properties.max_size : VMEM_DMA_UNLIMITED;
    backend->max_mappings = properties.mapping_limit != 0
                                ? properties.mapping_limit
                                : VMEM_DMA_UNLIMITED;
    return 0;
}

static int make(struct vmem_vm *vm, const struct vmem_dma_config *host_config,
                const struct vmem_dma_properties *properties,
                struct vmemi_dma_backend *backend, struct vmem_dma **out,
                struct vmem_error *err)
{
    struct vmem_dma_config config;
    int ret = vmemi_dma_read_config(vm, host_config, out, "vmem_dma_new_custom",
                                    &config, err);

    if (ret == 0) {
        ret = read_properties(properties, backend, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (backend->ops.map == NULL || backend->ops.unmap == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "mapper \"%s\": map or unmap is NULL", config.name);
    }
    return vmemi_dma_new(vm, &config, backend, out, err);
}

int vmem_dma_new_custom(struct vmem_vm *vm,
                        const struct vmem_dma_config *config,
                        const struct vmem_dma_properties *properties,
                        const struct vmem_dma_ops *host_ops, void *opaque,
                        struct vmem_dma **out, struct vmem_error *err)
{
    struct vmemi_dma_backend backend = {
        .kind = VMEM_DMA_CUSTOM,
        .opaque = opaque,
    };
    int ret;

    ret = vmemi_sized_read(&backend.ops, sizeof(backend.ops),
                           VMEMI_SIZE_THROUGH(struct vmem_dma_ops, destroy),
                           host_ops, "vmem_dma_ops", err);
    if (ret < 0 && ret != -E2BIG) {
        return ret; /* there is no destroy to call */
    }
    if (ret == 0) {
        ret = make(vm, config, properties, &backend, out, err);
    }
    if (ret < 0 && backend.ops.destroy != NULL) {
        backend.ops.destroy(opaque);
    }
    return ret;
}
