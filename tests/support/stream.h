/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_STREAM_H
#define TESTS_SUPPORT_STREAM_H

#include "support/device_rig.h"

/* What a device of a rig is, as it goes from one to another. */

#define STREAM_BLOCKS (RIG_REGION / RIG_BLOCK)
#define STREAM_WORDS (STREAM_BLOCKS / 64)
#define STREAM_FEATURES                                                        \
    (VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE | VMEM_DEVICE_F_PERSISTENT_SUSPEND)

struct stream {
    struct vmem_device_saved saved;
    uint64_t blocks[STREAM_WORDS];
};

void stream_save(struct rig *rig, struct stream *stream);
int stream_load(struct rig *rig, const struct stream *stream,
                struct vmem_error *err);

/* The device is what was saved. */
void stream_assert(struct rig *rig, const struct stream *stream);

/* Blocks of a stream that was saved, and the size that goes with them. */
void stream_set_blocks(struct stream *stream, uint64_t first, uint64_t nr,
                       bool plugged);

/* A device that offers features, with fragments plugged: 0+1 3+4 60+10. */
struct rig *stream_source(void);
void stream_save_source(struct stream *stream);

/* Three listeners of different kinds, on memory that is populated. */
struct stream_target {
    struct rig *rig;
    struct rig_listener *listeners[3];
};

struct stream_target stream_target_new(void);

/* 2+2 and 62+20 are plugged: some of it stays, some goes, some comes. */
void stream_plug_others(struct rig *rig);

#endif /* TESTS_SUPPORT_STREAM_H */
