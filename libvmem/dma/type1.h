/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_TYPE1_H
#define VMEMI_DMA_TYPE1_H

#include "dma/backend.h"

/* The backend of a VFIO container whose IOMMU is set to type1, version 2. It is
 * ended by ops.destroy, which leaves the container as it is. 0 or a negative
 * errno. */
int vmemi_type1_open(int container_fd, struct vmemi_dma_backend *backend,
                     struct vmem_error *err);

#endif /* VMEMI_DMA_TYPE1_H */
