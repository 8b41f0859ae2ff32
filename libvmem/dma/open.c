/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappers of the kernel's interfaces. */
#include "dma/iommufd.h"
#include "dma/type1.h"

/* Takes over what was opened. */
static int make(struct vmem_vm *vm, const struct vmem_dma_config *config,
                const struct vmemi_dma_backend *backend, struct vmem_dma **out,
                struct vmem_error *err)
{
    int ret = vmemi_dma_new(vm, config, backend, out, err);

    if (ret < 0) {
        backend->ops.destroy(backend->opaque);
    }
    return ret;
}

int vmem_dma_new_type1(struct vmem_vm *vm,
                       const struct vmem_dma_config *host_config,
                       int container_fd, struct vmem_dma **out,
                       struct vmem_error *err)
{
    struct vmemi_dma_backend backend;
    struct vmem_dma_config config;
    int ret = vmemi_dma_read_config(vm, host_config, out, "vmem_dma_new_type1",
                                    &config, err);

    if (ret == 0) {
        ret = vmemi_type1_open(container_fd, &backend, err);
    }
    return ret < 0 ? ret : make(vm, &config, &backend, out, err);
}

int vmem_dma_new_iommufd(struct vmem_vm *vm,
                         const struct vmem_dma_config *host_config, int iommufd,
                         uint32_t ioas_id, struct vmem_dma **out,
                         struct vmem_error *err)
{
    struct vmemi_dma_backend backend;
    struct vmem_dma_config config;
    int ret = vmemi_dma_read_config(vm, host_config, out,
                                    "vmem_dma_new_iommufd", &config, err);

    if (ret == 0) {
        ret = vmemi_iommufd_open(iommufd, ioas_id, &backend, err);
    }
    return ret < 0 ? ret : make(vm, &config, &backend, out, err);
}
