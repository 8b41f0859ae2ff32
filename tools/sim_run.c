/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_run.h"

#include <errno.h>

#include "sim_state.h"
#include "units.h"

#define SECOND_NS ((uint64_t)1000000000)
/* A step takes at least so long ... */
#define STEP_NS (10 * SECOND_NS)
/* ... and at most so long, which is four retries of a Linux guest. */
#define PATIENCE_NS (900 * SECOND_NS)

/* When the host does something next by itself. */
static uint64_t next_edge_ns(const struct sim *sim)
{
    if (sim->options->busy_until_ns == 0 || sim->was_busy) {
        return UINT64_MAX;
    }
    return sim->rig.frozen ? sim->options->busy_until_ns
                           : sim->options->busy_from_ns;
}

/* Lets the guest work until a moment. */
static void pass_time(struct sim *sim, uint64_t until_ns)
{
    uint64_t now_ns = vmem_guest_get_now_ns(sim->guest);

    while (now_ns < until_ns) {
        const uint64_t next_ns = MIN(next_edge_ns(sim), until_ns);

        sim->status = vmem_guest_advance(
            sim->guest, next_ns > now_ns ? next_ns - now_ns : 0);
        sim_follow_clock(sim);
        sim->status = vmem_guest_run(sim->guest);
        now_ns = vmem_guest_get_now_ns(sim->guest);
    }
}

/* Is there anything left to wait for? */
static bool is_settled(const struct sim *sim)
{
    return sim->status != VMEM_GUEST_WAITING && !sim->rig.frozen;
}

static void settle(struct sim *sim)
{
    const uint64_t start_ns = vmem_guest_get_now_ns(sim->guest);
    uint64_t now_ns = start_ns;

    sim->status = vmem_guest_run(sim->guest);
    while (!is_settled(sim) && now_ns - start_ns < PATIENCE_NS &&
           !sim->host_failed) {
        pass_time(sim, now_ns + STEP_NS);
        now_ns = vmem_guest_get_now_ns(sim->guest);
    }
    if (now_ns - start_ns < STEP_NS) {
        pass_time(sim, start_ns + STEP_NS);
    }
}

static void reboot(struct sim *sim)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret = vmem_device_reset(sim->rig.device, VMEM_RESET_SYSTEM, &err);

    if (ret < 0 && !(ret == -EBUSY && sim->rig.frozen)) {
        sim_fail(sim, "reset", "system reset failed: %s", err.message);
    }
    sim_tell_watch(sim, WATCH_RESET);
    sim->status = vmem_guest_boot(sim->guest);
}

/* Does a step and returns its name. */
static char *take_step(struct sim *sim, const struct sim_step *step)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    switch (step->kind) {
    case SIM_STEP_REBOOT:
        reboot(sim);
        return g_strdup("reboot");
    case SIM_STEP_KEXEC:
        sim->status = vmem_guest_kexec(sim->guest);
        return g_strdup("kexec");
    case SIM_STEP_RELOAD:
        vmem_guest_unload(sim->guest);
        sim->status = vmem_guest_load(sim->guest);
        return g_strdup(sim->status == -EBUSY ? "reload, refused by the guest"
                                              : "reload");
    default: {
        g_autofree char *size = units_format_bytes(step->size);

        if (vmem_device_resize(sim->rig.device, step->size, &err) < 0) {
            sim_fail(sim, "resize", "resize failed: %s", err.message);
        }
        sim_tell_watch(sim, WATCH_RESIZE);
        return g_strdup_printf("resize %s", size);
    }
    }
}

static void run_steps(struct sim *sim, struct sim_sample *sample)
{
    const struct sim_options *options = sim->options;

    sim_follow_clock(sim);
    sim->status = vmem_guest_boot(sim->guest);
    for (unsigned i = 0; i < options->steps->len && !sim->host_failed; i++) {
        g_autofree char *event =
            take_step(sim, &g_array_index(options->steps, struct sim_step, i));

        settle(sim);
        sim_measure(sim, sample);
        sim_report_sample(sim, sample, event);
        sim_check(sim, sample, event);
        progress_step(&sim->report->progress, event);
    }
    sim_measure(sim, sample);
    sim_tell_watch(sim, WATCH_END);
}

static void save_trace(struct sim *sim)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *comment = g_strdup_printf(
        "vmemctl sim: guest %s, pattern %s, seed %" G_GUINT64_FORMAT,
        vmem_guest_kind_name(sim->options->kind),
        vmem_guest_pattern_name(sim->options->pattern), sim->options->seed);

    if (sim->options->trace != NULL && !sim->host_failed &&
        !trace_writer_save(sim->writer, sim->options->trace, comment, &error)) {
        report_error(sim->report, error->message);
        sim->host_failed = true;
    }
}

enum exit_code sim_run(const struct sim_options *options, struct report *report)
{
    struct sim_sample sample = { .resident = 0 };
    enum exit_code code;
    struct sim sim;

    sim_init(&sim, options, report);
    progress_start(&report->progress, options->steps->len);
    sim_report_begin(&sim);
    if (sim_assemble(&sim)) {
        run_steps(&sim, &sample);
        save_trace(&sim);
        sim_report_device(&sim, &sample);
    }
    sim_dismantle(&sim);
    sim_report_end(&sim, &sample);
    code = sim.host_failed         ? EXIT_CODE_HOST
           : sim.failures->len > 0 ? EXIT_CODE_DIFFERS
                                   : EXIT_CODE_GOOD;
    sim_clear(&sim);
    return code;
}
