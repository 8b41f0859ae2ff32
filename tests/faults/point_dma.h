/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULTS_POINT_DMA_H
#define TESTS_FAULTS_POINT_DMA_H

#include "support/iommufd_model.h"
#include "support/type1_model.h"

/* The ioctls of mappers as fault points, which models answer. */

#define POINT_DMA_TYPE1 0x40000000 /* descriptors */
#define POINT_DMA_IOMMUFD 0x40000001

void point_dma_install(struct type1_model *type1,
                       struct iommufd_model *iommufd);
void point_dma_remove(void);

#endif /* TESTS_FAULTS_POINT_DMA_H */
