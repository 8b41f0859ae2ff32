/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_state.h"

#include <errno.h>

#include <vmem/listener.h>
#include <vmem/vm.h>

#include "touch.h"

/* Where guests have it: above 4 GiB, aligned for the largest memory block. */
#define GPA ((uint64_t)4 << 30)
#define LARGEST_UNIT ((uint64_t)2 << 30)
#define NS_PER_SECOND 1e9

static uint64_t clock_ns(void *opaque)
{
    const struct sim *sim = opaque;

    return sim->guest != NULL ? vmem_guest_get_now_ns(sim->guest) : 0;
}

static void sim_log(const struct vmem_log_record *record, void *opaque)
{
    const struct sim *sim = opaque;

    report_log(record, sim->report);
}

static void on_config_changed(void *opaque)
{
    struct sim *sim = opaque;

    vmem_guest_interrupt(sim->guest);
}

static void on_trace(const struct vmem_trace_event *event, void *opaque)
{
    struct sim *sim = opaque;

    trace_writer_event(sim->traced, event);
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct sim *sim = opaque;

    (void)range;
    return ++sim->nr_populates == sim->options->veto_populate ? -ENOSPC : 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

static int add_veto(struct sim *sim, struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "veto",
    };
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
    };

    return sim->options->veto_populate == 0
               ? 0
               : vmem_listener_add(sim->rig.region, &config, &ops, sim,
                                   &sim->veto, err);
}

/* Windows plugs anywhere in the region, so all of it must be usable; Linux needs
 * room for a memory block above the requested size. */
static void shape_device(struct sim *sim)
{
    const struct sim_options *options = sim->options;

    sim->shape = (struct trace_device){
        .name = (char *)"vmem0",
        .gpa = GPA,
        .region_size = options->size,
        .block_size = options->block_size,
        .usable_policy = options->kind == VMEM_GUEST_WINDOWS ? VMEM_USABLE_ALL
                                                             : VMEM_USABLE_UNIT,
        .usable_extent = options->kind == VMEM_GUEST_WINDOWS ? 0 : LARGEST_UNIT,
    };
}

static int make_device(struct sim *sim, struct vmem_error *err)
{
    const struct vmem_vm_config config = {
        .struct_size = sizeof(config),
        .name = "vmemctl",
        .log = sim_log,
        .clock_ns = clock_ns,
        .opaque = sim,
    };
    const struct vmem_device_ops ops = {
        .struct_size = sizeof(ops),
        .config_changed = on_config_changed,
        .trace = sim->options->trace != NULL ? on_trace : NULL,
    };
    struct rig_options rig = sim->options->rig;
    int ret = vmem_vm_new(&config, &sim->vm, err);

    rig.ops = &ops;
    rig.opaque = sim;
    sim->writer = trace_writer_new();
    sim->traced = trace_writer_add(sim->writer);
    if (ret == 0) {
        ret = rig_init(&sim->rig, sim->vm, &sim->shape, &rig, 0, err);
    }
    if (ret == 0) {
        trace_writer_describe(sim->traced, sim->rig.device,
                              sim->shape.usable_policy,
                              sim->shape.usable_extent);
        ret = add_veto(sim, err);
    }
    if (ret == 0 && sim->options->touch) {
        touch_prepare(sim->rig.hva, sim->shape.region_size,
                      sim->shape.block_size);
    }
    return ret;
}

bool sim_assemble(struct sim *sim)
{
    const struct sim_options *options = sim->options;
    const struct vmem_guest_config config = {
        .struct_size = sizeof(config),
        .kind = options->kind,
        .memory_block_size = options->memory_block,
        .pattern = options->pattern,
        .seed = options->seed,
        .request_ns = 1000000,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    shape_device(sim);
    ret = vmem_guest_new(&config, &sim_guest_ops, sim, &sim->guest);
    if (ret == 0) {
        ret = make_device(sim, &err);
    }
    if (ret == 0) {
        ret = watch_begin(options->watch, &sim->rig, 1, 0, &err);
    }
    if (ret < 0) {
        sim_fail_host(sim, "the host cannot: %s",
                      err.message[0] != '\0' ? err.message : g_strerror(-ret));
    }
    return ret == 0;
}

void sim_tell_watch(struct sim *sim, enum watch_what what)
{
    const struct watch_step step = {
        .what = what,
        .seconds = (double)clock_ns(sim) / NS_PER_SECOND,
        .nr_requests = sim->nr_answers,
    };

    watch_step(sim->options->watch, &step);
}

void sim_dismantle(struct sim *sim)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    watch_end(sim->options->watch);
    if (sim->veto != NULL && vmem_listener_remove(sim->veto, &err) < 0) {
        sim_fail(sim, "listener", "cannot remove a listener: %s", err.message);
    }
    if (rig_dismantle(&sim->rig, &err) < 0) {
        sim_fail(sim, "listener", "cannot take the device apart: %s",
                 err.message);
    }
    if (vmem_vm_free(sim->vm, &err) < 0) {
        sim_fail(sim, "listener", "cannot free the machine: %s", err.message);
    }
    for (unsigned i = 0; i < RIG_NR_SHADOWS; i++) {
        if (sim->rig.shadows[i].nr_complaints > 0) {
            sim_fail(sim, "listener", "listener told wrongly: %s",
                     sim->rig.shadows[i].complaint);
        }
    }
}

static void free_failure(void *item)
{
    struct sim_failure *failure = item;

    g_free(failure->message);
    g_free(failure);
}

void sim_init(struct sim *sim, const struct sim_options *options,
              struct report *report)
{
    *sim = (struct sim){ .options = options, .report = report };
    sim->failures = g_ptr_array_new_with_free_func(free_failure);
}

void sim_clear(struct sim *sim)
{
    rig_clear(&sim->rig);
    trace_writer_free(sim->writer);
    vmem_guest_free(sim->guest);
    g_ptr_array_unref(sim->failures);
}

void sim_follow_clock(struct sim *sim)
{
    const struct sim_options *options = sim->options;
    const uint64_t now_ns = vmem_guest_get_now_ns(sim->guest);
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = 0;

    if (options->busy_until_ns == 0 || sim->was_busy) {
        return;
    }
    if (!sim->rig.frozen && now_ns >= options->busy_from_ns) {
        ret = vmem_region_freeze(sim->rig.region, RIG_FREEZER, &err);
        sim->rig.frozen = ret == 0;
        sim_tell_watch(sim, WATCH_BUSY);
    }
    if (sim->rig.frozen && now_ns >= options->busy_until_ns) {
        ret = vmem_region_thaw(sim->rig.region, RIG_FREEZER, &err);
        sim->rig.frozen = false;
        sim->was_busy = true;
        sim_tell_watch(sim, WATCH_READY);
    }
    if (ret < 0) {
        sim_fail(sim, "host", "cannot freeze or thaw: %s", err.message);
    }
}
