/* SPDX-License-Identifier: BSD-3-Clause */
/* What the monitor shows of memory: all of it asked of libvmem. */
#include <string.h>

#include "instruments.h"

//! [resident]
static void put_resident(struct vmem_backing *backing, struct report *report)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    if (vmem_backing_get_usage(backing, NULL, &usage, NULL) == 0) {
        report_number(report, "resident", usage.resident);
    }
}
//! [resident]

static void put_device(struct memory *memory, struct report *report)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };

    vmem_device_get_info(memory->device, &info);
    vmem_backing_get_info(memory->backing, &backing);
    report_gpa(report, "memaddr", info.gpa);
    report_number(report, "node", info.node_id);
    report_number(report, "requested-size", info.requested_size);
    report_number(report, "size", info.plugged_size);
    report_number(report, "max-size", info.region_size);
    report_number(report, "block-size", info.block_size);
    report_text(report, "memdev", vmem_backing_kind_name(backing.kind));
}

static int info_memory_devices(const struct request *request)
{
    struct report *report = request->report;
    struct vm *vm = request->vm;

    for (unsigned i = 0; i < vm->nr_devices; i++) {
        report_open(report, vm->devices[i].name);
        report_text(report, "type", "virtio-mem");
        put_device(&vm->devices[i], report);
        report_close(report);
    }
    return 0;
}

static int info_numa(const struct request *request)
{
    struct report *report = request->report;
    struct vm *vm = request->vm;

    for (uint64_t node = 0; node < MAX_NODES; node++) {
        uint64_t size = node == 0 ? vm->options->memory_size : 0;
        uint64_t plugged = 0;
        bool is_there = node == 0;
        char name[32];

        for (unsigned i = 0; i < vm->nr_devices; i++) {
            struct vmem_device_info info = { .struct_size = sizeof(info) };

            vmem_device_get_info(vm->devices[i].device, &info);
            if (info.node_id == node) {
                plugged += info.plugged_size;
                is_there = true;
            }
        }
        if (is_there) {
            snprintf(name, sizeof(name), "node %u", (unsigned)node);
            report_open(report, name);
            report_number(report, "cpus", node == 0 ? vm->options->nr_cpus : 0);
            report_number(report, "size", size + plugged);
            report_number(report, "plugged", plugged);
            report_close(report);
        }
    }
    return 0;
}

static int info_virtio_mem(const struct request *request)
{
    struct memory *memory = request->memory;
    struct report *report = request->report;
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_resize_status resize = { .struct_size = sizeof(resize) };
    struct virtio *virtio = &memory->virtio;

    vmem_device_get_info(memory->device, &info);
    vmem_device_get_resize_status(memory->device, &resize);
    put_device(memory, report);
    report_number(report, "usable-region-size", info.usable_region_size);
    report_number(report, "retained", info.retained_size);
    put_resident(memory->backing, report);
    report_number(report, "features", info.features);
    report_number(report, "driver-features", info.driver_features);
    report_text(report, "driver", info.has_driver ? "yes" : "no");
    report_text(report, "frozen",
                vmem_region_is_frozen(memory->region) ? "yes" : "no");
    report_text(report, "resize", vmem_resize_state_name(resize.state));
    report_text(report, "stall", vmem_resize_stall_name(resize.reason));
    report_text(report, "busy", vmem_reason_name(resize.busy_reason));
    report_text(report, "busy-by", resize.busy_by);
    pthread_mutex_lock(&virtio->lock);
    report_gpa(report, "virtio-status", virtio->status);
    report_number(report, "broken", virtio->nr_broken);
    pthread_mutex_unlock(&virtio->lock);
    follow_report(memory, report);
    return 0;
}

static void put_requests(struct memory *memory, struct report *report)
{
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    char name[32];

    vmem_device_get_stats(memory->device, &stats);
    for (unsigned type = 0; type < 4; type++) {
        for (unsigned answer = 0; answer < 4; answer++) {
            if (stats.nr_requests[type][answer] > 0) {
                snprintf(name, sizeof(name), "%s-%s",
                         vmem_request_type_name(type),
                         vmem_response_type_name(answer));
                report_number(report, name, stats.nr_requests[type][answer]);
            }
        }
    }
    report_number(report, "malformed",
                  stats.nr_malformed[VMEM_MALFORMED_SHORT_REQUEST] +
                      stats.nr_malformed[VMEM_MALFORMED_SHORT_RESPONSE] +
                      stats.nr_malformed[VMEM_MALFORMED_TYPE] +
                      stats.nr_malformed[VMEM_MALFORMED_ADDRESS]);
    report_number(report, "plugged-bytes", stats.plugged_bytes);
    report_number(report, "unplugged-bytes", stats.unplugged_bytes);
    report_number(report, "resizes", stats.nr_resizes);
    report_number(report, "driver-resets", stats.nr_resets[VMEM_RESET_DRIVER]);
    report_number(report, "system-resets", stats.nr_resets[VMEM_RESET_SYSTEM]);
}

static int info_stats(const struct request *request)
{
    struct report *report = request->report;
    struct vm *vm = request->vm;

    report_number(report, "boots", vm->nr_boots);
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct memory *memory = &vm->devices[i];
        struct vmem_region_info region = { .struct_size = sizeof(region) };
        struct vmem_backing_stats backing = { .struct_size = sizeof(backing) };

        vmem_region_get_info(memory->region, &region);
        vmem_backing_get_stats(memory->backing, &backing);
        report_open(report, memory->name);
        put_requests(memory, report);
        report_number(report, "populated", region.populated_size);
        report_number(report, "retained", region.retained_size);
        put_resident(memory->backing, report);
        report_number(report, "listeners", region.nr_listeners);
        report_number(report, "populate-calls", region.nr_populate_calls);
        report_number(report, "discard-calls", region.nr_discard_calls);
        report_number(report, "vetoes", region.nr_vetoes);
        report_number(report, "rollbacks", region.nr_rollbacks);
        report_number(report, "discarded-bytes", backing.discarded_bytes);
        report_number(report, "discard-errors", backing.nr_discard_errors);
        report_close(report);
    }
    return 0;
}

static int put_run(const struct vmem_range *range, void *opaque)
{
    struct report *report = opaque;

    report_open(report, NULL);
    report_gpa(report, "offset", range->offset);
    report_number(report, "size", range->size);
    report_close(report);
    return 0;
}

static int info_map(const struct request *request)
{
    report_open_list(request->report, "plugged");
    vmem_region_for_each_populated(request->memory->region, NULL, put_run,
                                   request->report);
    report_close_list(request->report);
    return 0;
}

const struct command info_commands[] = {
    { "info memory-devices", "", info_memory_devices },
    { "info numa", "", info_numa },
    { "info virtio-mem", "DEV", info_virtio_mem },
    { "stats", "", info_stats },
    { "map", "DEV", info_map },
    { NULL, NULL, NULL },
};
