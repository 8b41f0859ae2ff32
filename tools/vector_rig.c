/* SPDX-License-Identifier: BSD-3-Clause */
#include "vector_rig.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

#include <vmem/backing.h>
#include <vmem/region.h>
#include <vmem/vm.h>

#include "wire.h"

/* The pages of the pretended memory: the smallest block of any vector, also on
 * a host whose pages are larger. */
#define PAGE_SIZE 4096

/* Most blocks of one request. */
#define MAX_REQUEST_BLOCKS 65535

static int discard(const struct vmem_range *range, void *opaque)
{
    struct vector_rig *rig = opaque;

    (void)range;
    if (!rig->fails_discard) {
        return 0;
    }
    rig->has_failed = true;
    return -EAGAIN;
}

static int populate(const struct vmem_range *range, void *opaque)
{
    struct vector_rig *rig = opaque;

    (void)range;
    if (!rig->fails_populate) {
        return 0;
    }
    rig->has_failed = true;
    return -ENOMEM;
}

static int zero(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void on_config_changed(void *opaque)
{
    struct vector_rig *rig = opaque;

    rig->nr_notifications++;
}

static int make_backing(struct vector_rig *rig, struct vmem_error *err)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "pretended",
        .size = rig->vector->device.region_size,
        .page_size = PAGE_SIZE,
        .flags = VMEM_BACKING_POPULATE,
    };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = discard,
        .populate = populate,
        .zero = zero,
    };

    if (custom.size == 0) {
        return 0;
    }
    return vmem_backing_new_custom(rig->vm, &custom, &ops, rig, &rig->backing,
                                   err);
}

static int make_region(struct vector_rig *rig, struct vmem_error *err)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = rig->vector->id,
        .size = rig->vector->device.region_size,
        .backing = rig->backing,
    };

    return vmem_region_new(rig->vm, &config, &rig->region, err);
}

static int make_device(struct vector_rig *rig, struct vmem_error *err)
{
    const struct vector_device *from = &rig->vector->device;
    const struct vector_policy *policy = &rig->vector->policy;
    struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = rig->vector->id,
        .gpa = from->addr,
        .block_size = from->block_size,
        .requested_size = from->requested_size,
        .usable_region_size = from->usable_region_size,
        .usable_policy = VMEM_USABLE_EXTENT,
        .usable_headroom = policy->extent,
        .features = from->features,
        .node_id = from->node_id,
    };
    const struct vmem_device_ops ops = {
        .struct_size = sizeof(ops),
        .config_changed = on_config_changed,
    };

    /* The library has no usable region that is smaller than the region and
     * never shrinks; vectors have none that would tell. */
    if (from->has_usable_region_size && !policy->shrink_on_unplug_all &&
        from->usable_region_size == from->region_size) {
        config.usable_policy = VMEM_USABLE_ALL;
        config.usable_headroom = 0;
    }
    if ((from->features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0) {
        config.flags |= VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
    } else if (policy->require_unplugged_inaccessible) {
        config.flags |= VMEM_DEVICE_REQUIRE_INACCESSIBLE;
    }
    return vmem_device_new(rig->region, &config, &ops, rig, &rig->device, err);
}

static int plug_run(struct vector_rig *rig, const struct vector_run *run)
{
    const struct vector_device *device = &rig->vector->device;
    uint64_t first = run->first;
    uint64_t left = run->nr_blocks;

    while (left > 0) {
        uint16_t nr_blocks = (uint16_t)MIN(left, MAX_REQUEST_BLOCKS);
        uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

        wire_encode_request(request, VMEM_REQUEST_PLUG,
                            device->addr + first * device->block_size,
                            nr_blocks);
        if (vmem_device_handle_request(rig->device, request, sizeof(request),
                                       response, sizeof(response),
                                       NULL) != VMEM_REQUEST_RESPOND ||
            wire_response_type(response) != VMEM_RESPONSE_ACK) {
            return -EPROTO;
        }
        first += nr_blocks;
        left -= nr_blocks;
    }
    return 0;
}

/* The way a guest would have got there, so that nothing but requests and
 * resizes is needed: asks for enough, plugs, and asks for the vector's size. */
static int plug_initial(struct vector_rig *rig, struct vmem_error *err)
{
    const struct vector *vector = rig->vector;
    uint64_t requested_size = vector->device.requested_size;
    uint64_t plugged_size = 0;
    int ret = 0;

    for (unsigned i = 0; i < vector->initial_plugged->len; i++) {
        plugged_size +=
            g_array_index(vector->initial_plugged, struct vector_run, i)
                .nr_blocks *
            vector->device.block_size;
    }
    if (plugged_size > requested_size) {
        ret = vmem_device_resize(rig->device, plugged_size, err);
    }
    for (unsigned i = 0; ret == 0 && i < vector->initial_plugged->len; i++) {
        ret = plug_run(
            rig, &g_array_index(vector->initial_plugged, struct vector_run, i));
    }
    if (ret == 0 && plugged_size > requested_size) {
        ret = vmem_device_resize(rig->device, requested_size, err);
    }
    return ret;
}

int vector_rig_init(struct vector_rig *rig, const struct vector *vector,
                    struct report *report, bool *refused,
                    struct vmem_error *err)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vmemctl",
        .log = report_log,
        .opaque = report,
    };
    int ret;

    memset(rig, 0, sizeof(*rig));
    rig->vector = vector;
    *refused = false;
    ret = vmem_vm_new(&config, &rig->vm, err);
    if (ret == 0) {
        ret = make_backing(rig, err);
    }
    if (ret == 0) {
        ret = make_region(rig, err);
        ret = ret == 0 ? make_device(rig, err) : ret;
        *refused = ret < 0 && ret != -ENOMEM;
    }
    if (ret == 0 && vector->device.region_size > 0) {
        ret = shadow_add(&rig->shadow, rig->region, "shadow",
                         vector->device.block_size, true, err);
    }
    if (ret == 0) {
        ret = plug_initial(rig, err);
    }
    if (ret < 0) {
        (void)vector_rig_dismantle(rig, NULL);
        shadow_clear(&rig->shadow);
    }
    return ret;
}

int vector_rig_dismantle(struct vector_rig *rig, struct vmem_error *err)
{
    int ret = 0;

    if (rig->frozen) {
        ret = vmem_region_thaw(rig->region, VECTOR_RIG_FREEZER, err);
        rig->frozen = false;
    }
    if (rig->shadow.listener != NULL && ret == 0) {
        ret = shadow_remove(&rig->shadow, err);
    }
    ret = ret == 0 ? vmem_device_free(rig->device, err) : ret;
    ret = ret == 0 ? vmem_region_free(rig->region, err) : ret;
    ret = ret == 0 ? vmem_backing_free(rig->backing, err) : ret;
    return ret == 0 ? vmem_vm_free(rig->vm, err) : ret;
}
