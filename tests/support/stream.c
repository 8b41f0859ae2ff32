/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/stream.h"

#include <string.h>

void stream_save(struct rig *rig, struct stream *stream)
{
    memset(stream, 0xee, sizeof(*stream));
    stream->saved.struct_size = sizeof(stream->saved);
    assert_int_equal(vmem_device_save(rig->device, &stream->saved,
                                      stream->blocks, STREAM_WORDS),
                     0);
}

int stream_load(struct rig *rig, const struct stream *stream,
                struct vmem_error *err)
{
    return vmem_device_load(rig->device, &stream->saved, stream->blocks,
                            STREAM_WORDS, err);
}

void stream_assert(struct rig *rig, const struct stream *stream)
{
    struct stream now;

    stream_save(rig, &now);
    assert_memory_equal(&now, stream, sizeof(now));
}

void stream_set_blocks(struct stream *stream, uint64_t first, uint64_t nr,
                       bool plugged)
{
    stream->saved.plugged_size = 0;
    for (uint64_t i = 0; i < STREAM_BLOCKS; i++) {
        const uint64_t bit = UINT64_C(1) << (i % 64);

        if (i >= first && i < first + nr) {
            stream->blocks[i / 64] &= ~bit;
            stream->blocks[i / 64] |= plugged ? bit : 0;
        }
        stream->saved.plugged_size +=
            (stream->blocks[i / 64] & bit) != 0 ? RIG_BLOCK : 0;
    }
}

struct rig *stream_source(void)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = STREAM_FEATURES } });

    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     0);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 3, 4), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 60, 10), VMEM_RESPONSE_ACK);
    rig_resize(rig, 64 * RIG_MIB);
    return rig;
}

void stream_save_source(struct stream *stream)
{
    struct rig *rig = stream_source();

    stream_save(rig, stream);
    rig_free(rig);
}

struct stream_target stream_target_new(void)
{
    struct stream_target target = {
        .rig = rig_new(&(struct rig_options){
            .populates = true, .config = { .features = STREAM_FEATURES } })
    };
    const struct vmem_range some = { 2 * RIG_BLOCK, 63 * RIG_BLOCK };

    target.listeners[0] = rig_listen(target.rig, "whole");
    target.listeners[1] =
        rig_listen_to(target.rig, "chunks", (struct vmem_range){ 0, 0 },
                      RIG_BLOCK, VMEM_LISTENER_EXACT_DISCARD);
    target.listeners[2] = rig_listen_to(target.rig, "window", some, 0, 0);
    return target;
}

void stream_plug_others(struct rig *rig)
{
    assert_int_equal(rig_plug(rig, 2, 2), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 62, 20), VMEM_RESPONSE_ACK);
    rig_clear_events(rig);
}
