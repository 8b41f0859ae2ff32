/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_option.h"

#include "sim/guest_sim.h"
#include "units.h"

#define DEFAULT_RESIZE "0,32G,8G,48G,0"

void guest_texts_clear(struct guest_texts *texts)
{
    g_free(texts->guest);
    g_free(texts->pattern);
    g_free(texts->size);
    g_free(texts->block_size);
    g_free(texts->memory_block);
    g_free(texts->resize);
    g_strfreev(texts->fail);
}

bool guest_texts_is_given(const struct guest_texts *texts)
{
    const struct guest_texts none = GUEST_TEXTS_INIT;

    return texts->guest != NULL || texts->pattern != NULL ||
           texts->size != NULL || texts->block_size != NULL ||
           texts->memory_block != NULL || texts->resize != NULL ||
           texts->fail != NULL || texts->seed != none.seed;
}

static bool parse_size(const char *what, const char *text, uint64_t *size,
                       GError **error)
{
    if (text == NULL || units_parse_size(text, size)) {
        return true;
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s is not a size: \"%s\"", what, text);
    return false;
}

static bool read_fail(const struct guest_texts *texts,
                      struct sim_options *options, GError **error)
{
    for (unsigned i = 0; texts->fail != NULL && texts->fail[i] != NULL; i++) {
        if (!sim_options_parse_fail(options, texts->fail[i], error)) {
            return false;
        }
    }
    return true;
}

bool guest_option_read(const struct guest_texts *texts,
                       struct sim_options *options, GError **error)
{
    options->size = (uint64_t)64 << 30;
    options->block_size = (uint64_t)2 << 20;
    options->memory_block = (uint64_t)128 << 20;
    options->seed = (uint64_t)texts->seed;
    options->steps = g_array_new(FALSE, FALSE, sizeof(struct sim_step));
    return read_fail(texts, options, error) &&
           sim_options_parse_guest(
               options, texts->guest != NULL ? texts->guest : "linux", error) &&
           sim_options_parse_pattern(
               options, texts->pattern != NULL ? texts->pattern : "movable",
               error) &&
           parse_size("--size", texts->size, &options->size, error) &&
           parse_size("--block-size", texts->block_size, &options->block_size,
                      error) &&
           parse_size("--memory-block", texts->memory_block,
                      &options->memory_block, error) &&
           sim_options_parse_steps(
               options, texts->resize != NULL ? texts->resize : DEFAULT_RESIZE,
               error) &&
           sim_options_check(options, error);
}

void guest_option_clear(struct sim_options *options)
{
    if (options->steps != NULL) {
        g_array_unref(options->steps);
    }
}

char *guest_option_describe(const struct sim_options *options)
{
    return g_strdup_printf(
        "Simulated %s guest, pattern %s, seed %" G_GUINT64_FORMAT,
        vmem_guest_kind_name(options->kind),
        vmem_guest_pattern_name(options->pattern), options->seed);
}
