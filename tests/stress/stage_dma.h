/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_STAGE_DMA_H
#define TESTS_STRESS_STAGE_DMA_H

#include "stress/stage.h"

/* The mappers of a stage, and every call on them. */

bool stage_open_dma(struct stage *stage);
bool stage_close_dma(struct stage *stage);

/* Attaches what calls of STAGE_DMA need in callbacks that may not attach. The
 * claims that this takes leave no claim for a watcher to be told of. */
bool stage_attach(struct stage *stage);

/* Does what runs the callback of a backend. */
void stage_enter_map(struct stage *stage);

int stage_dma_info(struct stage *stage);
int stage_dma_plan(struct stage *stage);
int stage_dma_each(struct stage *stage);
int stage_dma_attach(struct stage *stage);
int stage_dma_attach_static(struct stage *stage);
int stage_dma_detach(struct stage *stage);
int stage_dma_retry(struct stage *stage);
int stage_dma_guest(struct stage *stage);
int stage_dma_guest_unmap(struct stage *stage);
int stage_dma_replay(struct stage *stage);
int stage_dma_new(struct stage *stage);
int stage_dma_new_type1(struct stage *stage);
int stage_dma_new_iommufd(struct stage *stage);
int stage_dma_free(struct stage *stage);

#endif /* TESTS_STRESS_STAGE_DMA_H */
