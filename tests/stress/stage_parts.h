/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_STAGE_PARTS_H
#define TESTS_STRESS_STAGE_PARTS_H

#include "stress/stage.h"

/* What the files of a stage share. */

#define UNIT STAGE_UNIT

extern const struct vmem_range stage_low;
extern const struct vmem_range stage_high; /* populated in both regions */
extern const struct vmem_range stage_top;

extern const struct vmem_listener_ops stage_listener_ops;
extern const struct vmem_listener_ops stage_quiet_listener_ops;

/* In each callback, with what runs it. */
void stage_inside(struct stage *stage, enum stage_callback callback);

/* memory: whose callbacks the backing has; NULL: none that anybody sees. */
int stage_make_backing(struct stage *stage, const char *name,
                       struct stage_memory *memory,
                       struct vmem_backing **backing);
int stage_make_region(struct vmem_vm *vm, const char *name,
                      struct vmem_backing *backing,
                      struct vmem_region **region);
int stage_make_source(struct vmem_region *region, const char *name,
                      uint64_t flags, struct vmem_source **source);
int stage_make_listener(struct stage *stage, struct vmem_region *region,
                        const char *name, const struct vmem_listener_ops *ops,
                        struct vmem_listener **listener);
int stage_make_device(struct stage *stage, struct vmem_region *region,
                      const char *name, uint64_t gpa,
                      const struct vmem_device_ops *ops,
                      struct vmem_device **device);

/* Of the guest, for the first block. */
int stage_request(struct stage *it, uint16_t type);

/* ---- calls that ask ---- */

int stage_names(struct stage *it);
int stage_bitmap(struct stage *it);
int stage_region_info(struct stage *it);
int stage_source_info(struct stage *it);
int stage_device_info(struct stage *it);
int stage_write_config(struct stage *it);
int stage_backing_info(struct stage *it);
int stage_claims(struct stage *it);
int stage_walk_own(struct stage *it);
int stage_walk_other(struct stage *it);
int stage_hold_own(struct stage *it);
int stage_hold_other(struct stage *it);
int stage_save(struct stage *it);
int stage_lists(struct stage *it);

/* ---- calls that change what is there ---- */

int stage_loose_populate(struct stage *it);
int stage_loose_discard(struct stage *it);
int stage_populate_own(struct stage *it);
int stage_discard_own(struct stage *it);
int stage_populate_other(struct stage *it);
int stage_discard_other(struct stage *it);
int stage_retry(struct stage *it);
int stage_unplug_all(struct stage *it);
int stage_plug(struct stage *it);
int stage_state(struct stage *it);
int stage_unplug_iov(struct stage *it);
int stage_reset_system(struct stage *it);
int stage_reset_driver(struct stage *it);
int stage_resize(struct stage *it);
int stage_kick(struct stage *it);
int stage_poll(struct stage *it);
int stage_load(struct stage *it);
int stage_features(struct stage *it);
int stage_freeze_own(struct stage *it);
int stage_thaw_own(struct stage *it);
int stage_freeze_other(struct stage *it);
int stage_thaw_other(struct stage *it);

/* ---- calls that make, free, join and leave ---- */

int stage_source_add(struct stage *it);
int stage_source_remove(struct stage *it);
int stage_listener_add(struct stage *it);
int stage_listener_remove(struct stage *it);
int stage_listener_remove_own(struct stage *it);
int stage_vm_new(struct stage *it);
int stage_region_new(struct stage *it);
int stage_backing_custom(struct stage *it);
int stage_backing_mapped(struct stage *it);
int stage_backing_allocated(struct stage *it);
int stage_device_new(struct stage *it);
int stage_vm_free(struct stage *it);
int stage_region_free(struct stage *it);
int stage_backing_free(struct stage *it);
int stage_device_free(struct stage *it);
int stage_claim_take(struct stage *it);
int stage_claim_release(struct stage *it);
int stage_watcher_add(struct stage *it);
int stage_watcher_remove(struct stage *it);
int stage_other_vm(struct stage *it);

#endif /* TESTS_STRESS_STAGE_PARTS_H */
