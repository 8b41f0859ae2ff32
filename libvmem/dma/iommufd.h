/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_IOMMUFD_H
#define VMEMI_DMA_IOMMUFD_H

#include "dma/backend.h"

/* The backend of an I/O address space (IOAS) of iommufd. It is ended by
 * ops.destroy, which leaves the address space as it is. 0 or a negative errno. */
int vmemi_iommufd_open(int iommufd, uint32_t ioas_id,
                       struct vmemi_dma_backend *backend,
                       struct vmem_error *err);

#endif /* VMEMI_DMA_IOMMUFD_H */
