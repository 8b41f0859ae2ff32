/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of conformance vectors: any bytes are vectors that can be run, or a
 * message. */
#include "fuzz_check.h"
#include "fuzz_input.h"
#include "vectors_read.h"

#define NAME "fuzz.json"

static void check_message(const GError *error)
{
    fuzz_check(error != NULL && error->domain == VECTORS_ERROR, "no error");
    fuzz_check(strncmp(error->message, NAME ":", strlen(NAME ":")) == 0, "%s",
               error->message);
    fuzz_check(g_utf8_validate(error->message, -1, NULL), "not UTF-8: %s",
               error->message);
    fuzz_check(strchr(error->message, '\n') == NULL, "two lines: %s",
               error->message);
}

/* Ascending and inside the region. */
static void check_runs(const GArray *runs, const struct vector_device *device)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < runs->len; i++) {
        const struct vector_run *run =
            &g_array_index(runs, struct vector_run, i);

        fuzz_check(run->nr_blocks > 0 && run->first >= end, "run %u", i);
        end = run->first + run->nr_blocks;
        fuzz_check(end > run->first &&
                       end <= device->region_size / device->block_size,
                   "run %u", i);
    }
}

static void check_step(const struct vector_step *step,
                       const struct vector_device *device)
{
    bool wants_bytes = step->op == VECTOR_REQUEST ||
                       step->op == VECTOR_CONFIG_READ ||
                       step->op == VECTOR_CONFIG_WRITE;

    fuzz_check(step->op >= VECTOR_REQUEST && step->op <= VECTOR_CONFIG_WRITE,
               "op %d", (int)step->op);
    fuzz_check((step->bytes != NULL) == wants_bytes, "bytes");
    if (step->op == VECTOR_REQUEST) {
        fuzz_check((step->resp == NULL) == (step->any_of != 0) &&
                       (step->resp == NULL) == (step->resp_mask == NULL),
                   "resp");
        fuzz_check(step->resp == NULL ||
                       (step->resp->len == 10 && step->resp_mask->len == 10),
                   "resp");
    } else {
        fuzz_check(step->resp == NULL && step->any_of == 0, "resp");
    }
    if (step->after.plugged != NULL) {
        check_runs(step->after.plugged, device);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GError *error = NULL;
    struct vectors *vectors =
        vectors_parse(NAME, (const char *)data, size, &error);

    if (vectors == NULL) {
        check_message(error);
        g_error_free(error);
        return 0;
    }
    fuzz_check(error == NULL, "%s", error->message);
    for (unsigned i = 0; i < vectors->items->len; i++) {
        const struct vector *vector =
            &g_array_index(vectors->items, struct vector, i);

        fuzz_check(vector->id != NULL && vector->title != NULL, "id, title");
        check_runs(vector->initial_plugged, &vector->device);
        for (unsigned n = 0; n < vector->steps->len; n++) {
            check_step(&g_array_index(vector->steps, struct vector_step, n),
                       &vector->device);
        }
    }
    vectors_free(vectors);
    return 0;
}
