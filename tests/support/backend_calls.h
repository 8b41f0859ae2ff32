/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_BACKEND_CALLS_H
#define TESTS_SUPPORT_BACKEND_CALLS_H

#include "dma/backend.h"

/* What a mapper asks of a backend, asked without one. */

/* For reading and writing; the memory is 64 GiB above the IOVA, of no file. */
struct vmem_dma_mapping backend_mapping(uint64_t iova, uint64_t size);

int backend_map(const struct vmemi_dma_backend *backend, uint64_t iova,
                uint64_t size);
int backend_unmap(const struct vmemi_dma_backend *backend, uint64_t iova,
                  uint64_t size, uint64_t *unmapped);

#endif /* TESTS_SUPPORT_BACKEND_CALLS_H */
