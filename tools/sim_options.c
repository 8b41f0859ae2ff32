/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_options.h"

#include <string.h>

#include "sim/guest_sim.h"
#include "units.h"

#define NS_PER_SECOND ((uint64_t)1000000000)
#define LARGEST_MEMORY_BLOCK ((uint64_t)2 << 30)

G_GNUC_PRINTF(2, 3)
static bool refuse(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(G_OPTION_ERROR,
                                                G_OPTION_ERROR_BAD_VALUE,
                                                format, args));
    va_end(args);
    return false;
}

/* The number whose name is text. */
static bool find_name(const char *(*name_of)(uint64_t), const char *text,
                      uint64_t *value)
{
    for (uint64_t i = 0; name_of(i) != NULL; i++) {
        if (strcmp(name_of(i), text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

bool sim_options_parse_guest(struct sim_options *options, const char *text,
                             GError **error)
{
    return find_name(vmem_guest_kind_name, text, &options->kind) ||
           refuse(error, "unknown guest \"%s\"", text);
}

bool sim_options_parse_pattern(struct sim_options *options, const char *text,
                               GError **error)
{
    return find_name(vmem_guest_pattern_name, text, &options->pattern) ||
           refuse(error, "unknown pattern \"%s\"", text);
}

bool sim_options_parse_steps(struct sim_options *options, const char *text,
                             GError **error)
{
    static const struct {
        const char *word;
        enum sim_step_kind kind;
    } words[] = {
        { "reboot", SIM_STEP_REBOOT },
        { "kexec", SIM_STEP_KEXEC },
        { "reload", SIM_STEP_RELOAD },
    };
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    for (unsigned i = 0; parts[i] != NULL; i++) {
        struct sim_step step = { .kind = SIM_STEP_RESIZE };

        for (unsigned k = 0; k < G_N_ELEMENTS(words); k++) {
            if (strcmp(parts[i], words[k].word) == 0) {
                step.kind = words[k].kind;
            }
        }
        if (step.kind == SIM_STEP_RESIZE &&
            !units_parse_size(parts[i], &step.size)) {
            return refuse(error, "not a size, reboot, kexec or reload: \"%s\"",
                          parts[i]);
        }
        g_array_append_val(options->steps, step);
    }
    return true;
}

/* "T1-T2" in seconds. */
static bool parse_busy(struct sim_options *options, const char *text)
{
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    uint64_t from = 0;
    uint64_t until = 0;

    if (g_strv_length(ends) != 2 || !units_parse_number(ends[0], &from) ||
        !units_parse_number(ends[1], &until) || until <= from ||
        until > UINT64_MAX / NS_PER_SECOND / 2) {
        return false;
    }
    options->busy_from_ns = from * NS_PER_SECOND;
    options->busy_until_ns = until * NS_PER_SECOND;
    return true;
}

bool sim_options_parse_fail(struct sim_options *options, const char *text,
                            GError **error)
{
    bool good = false;

    if (g_str_has_prefix(text, "listener:")) {
        good = units_parse_number(text + strlen("listener:"),
                                  &options->veto_populate) &&
               options->veto_populate > 0;
    } else if (g_str_has_prefix(text, "discard:")) {
        good = units_parse_number(text + strlen("discard:"),
                                  &options->rig.fail_discard) &&
               options->rig.fail_discard > 0;
    } else if (g_str_has_prefix(text, "busy:")) {
        good = parse_busy(options, text + strlen("busy:"));
    }
    return good || refuse(error,
                          "not listener:K, discard:K or busy:T1-T2 with T1 < "
                          "T2 in seconds: \"%s\"",
                          text);
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

bool sim_options_check(const struct sim_options *options, GError **error)
{
    if (!is_power_of_two(options->block_size)) {
        return refuse(error, "the block size is not a power of two");
    }
    if (options->size == 0 || options->size % options->block_size != 0) {
        return refuse(error, "the size is not a multiple of the block size");
    }
    if (!is_power_of_two(options->memory_block) ||
        options->memory_block > LARGEST_MEMORY_BLOCK) {
        return refuse(error, "the memory block is not a power of two of at "
                             "most 2G");
    }
    for (unsigned i = 0; i < options->steps->len; i++) {
        const struct sim_step *step =
            &g_array_index(options->steps, struct sim_step, i);

        if (step->size > options->size ||
            step->size % options->block_size != 0) {
            g_autofree char *size = units_format_bytes(step->size);

            return refuse(error,
                          "cannot resize to %s: larger than the region, or "
                          "not a multiple of the block size",
                          size);
        }
    }
    return true;
}
