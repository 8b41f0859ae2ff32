/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of vectors: the conformance vectors are read, and everything that
 * does not fit the schema is refused with file, line, place and reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "blockmap.h"
#include "vectors_read.h"

/* A file with one vector that has one step, cut where cases differ. */
#define FILE_START                                                             \
    "{\n\"format\": \"libvmem virtio-mem vectors\", \"version\": 1,\n"         \
    "\"vectors\": [\n"
#define FILE_END "]\n}\n"
#define DEVICE                                                                 \
    "\"device\": {\"addr\": 4294967296, \"region_size\": 8192, "               \
    "\"block_size\": 4096, \"requested_size\": 0, \"node_id\": 0, "            \
    "\"features\": [0, 2]}"
#define VECTOR_START                                                           \
    "{\"id\": \"X1\", \"title\": \"t\", " DEVICE ",\n"                         \
    "\"policy\": {}, \"initial_plugged\": [], \"steps\": [\n"
#define VECTOR_END "]}\n"
#define STEP(text) FILE_START VECTOR_START text "\n" VECTOR_END FILE_END
#define REQ "\"op\": \"request\", \"req\": \"00\""
#define RESP "\"resp\": \"00000000000000000000\""
#define MASK "\"resp_mask\": \"ffff0000000000000000\""

static struct vectors *parse(const char *text, GError **error)
{
    return vectors_parse("v", text, strlen(text), error);
}

static const struct vector *vector_at(const struct vectors *vectors, unsigned i)
{
    return &g_array_index(vectors->items, struct vector, i);
}

static const struct vector_step *step_at(const struct vector *vector,
                                         unsigned i)
{
    return &g_array_index(vector->steps, struct vector_step, i);
}

static void every_kind_of_step_is_read(void **state)
{
    static const char text[] =
        STEP("{" REQ ", \"resp_space\": 12, \"expect\": {" RESP ", " MASK
             ", \"used_len\": 10, \"code\": \"ACK\"}, "
             "\"after\": {\"plugged\": [[0, 1], [1, 1]], \"plugged_size\": 1, "
             "\"retained_size\": 2, \"usable_region_size\": 3, "
             "\"requested_size\": 4, \"config_notifications\": 5}},"
             "{" REQ ", \"expect\": {\"any_of\": [\"len0\", \"resp_error\"]}},"
             "{\"op\": \"set_requested_size\", \"value\": 4096, \"ok\": false},"
             "{\"op\": \"set_busy\", \"value\": true, \"after\": {}},"
             "{\"op\": \"fail_next\", \"what\": \"populate\"},"
             "{\"op\": \"fail_next\", \"what\": \"discard\"},"
             "{\"op\": \"device_reset\"},"
             "{\"op\": \"system_reset\"},"
             "{\"op\": \"suspend_resume\"},"
             "{\"op\": \"negotiate\", \"features\": [1, 63], "
             "\"expect\": {\"features_ok\": true}},"
             "{\"op\": \"config_read\", \"off\": 8, \"len\": 2, "
             "\"expect\": {\"data\": \"0aFF\"}},"
             "{\"op\": \"config_write\", \"off\": 9, \"data\": \"\"}");
    static const enum vector_op ops[] = {
        VECTOR_REQUEST,      VECTOR_REQUEST,      VECTOR_SET_REQUESTED_SIZE,
        VECTOR_SET_BUSY,     VECTOR_FAIL_NEXT,    VECTOR_FAIL_NEXT,
        VECTOR_DEVICE_RESET, VECTOR_SYSTEM_RESET, VECTOR_SUSPEND_RESUME,
        VECTOR_NEGOTIATE,    VECTOR_CONFIG_READ,  VECTOR_CONFIG_WRITE,
    };
    g_autoptr(GError) error = NULL;
    struct vectors *vectors = parse(text, &error);

    (void)state;
    assert_null(error);
    assert_int_equal(vectors->items->len, 1);

    const struct vector *vector = vector_at(vectors, 0);

    assert_string_equal(vector->id, "X1");
    assert_int_equal(vector->device.features, 5);
    assert_int_equal(vector->steps->len, G_N_ELEMENTS(ops));
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        assert_int_equal(step_at(vector, i)->op, ops[i]);
    }
    assert_int_equal(step_at(vector, 0)->resp_space, 12);
    assert_int_equal(step_at(vector, 0)->used_len, 10);
    assert_int_equal(step_at(vector, 0)->resp->len, 10);
    assert_int_equal(step_at(vector, 0)->resp_mask->data[1], 0xff);

    const struct vector_after *after = &step_at(vector, 0)->after;

    assert_int_equal(after->plugged->len, 2);
    assert_int_equal(g_array_index(after->plugged, struct vector_run, 1).first,
                     1);
    assert_true(after->has_plugged_size && after->plugged_size == 1);
    assert_true(after->has_retained_size && after->retained_size == 2);
    assert_true(after->has_usable_region_size &&
                after->usable_region_size == 3);
    assert_true(after->has_requested_size && after->requested_size == 4);
    assert_true(after->has_config_notifications &&
                after->config_notifications == 5);
    assert_null(step_at(vector, 1)->resp);
    assert_int_equal(step_at(vector, 1)->any_of,
                     VECTOR_MAY_BE_LEN0 | VECTOR_MAY_BE_ERROR);
    assert_int_equal(step_at(vector, 1)->resp_space, 10);
    assert_false(step_at(vector, 1)->after.has_plugged_size);
    assert_null(step_at(vector, 1)->after.plugged);
    assert_int_equal(step_at(vector, 2)->value, 4096);
    assert_false(step_at(vector, 2)->flag);
    assert_true(step_at(vector, 3)->flag);
    assert_true(step_at(vector, 4)->flag);
    assert_false(step_at(vector, 5)->flag);
    assert_true(step_at(vector, 9)->value == ((uint64_t)1 << 63 | 2));
    assert_int_equal(step_at(vector, 10)->value, 8);
    assert_int_equal(step_at(vector, 10)->bytes->len, 2);
    assert_int_equal(step_at(vector, 10)->bytes->data[1], 0xff);
    assert_int_equal(step_at(vector, 11)->bytes->len, 0);
    vectors_free(vectors);
}

static const struct {
    const char *text;
    const char *message; /* its beginning */
} malformed[] = {
    { "", "v:1: not a JSON object" },
    { "[]", "v:1: not a JSON object" },
    { "{}", "v:1: \"format\" is missing" },
    { "{\n\"format\": 1,\n\"version\": 1}", "v:1: \"format\" is not a string" },
    { "{\"format\": \"x\", \"version\": 1, \"vectors\": []}",
      "v:1: \"format\" is not" },
    { "{\"format\": \"libvmem virtio-mem vectors\", \"version\": 2, "
      "\"vectors\": []}",
      "v:1: \"version\" is not 1" },
    { "{\n\n\"a\": }", "v:3: " },
    { "{\n\"a\": 1,\n\"b\" 2}", "v:3: " },
    { "{\n// no\n}", "v:2: a character that is not JSON" },
    { "{\n'a': 1}", "v:2: a character that is not JSON" },
    { FILE_START "1" FILE_END,
      "v:1: \"element of an array\" is not an object" },
    { FILE_START "{}" FILE_END, "v:4: vector number 0: \"id\" is missing" },
    { FILE_START "{\"id\": \"X1\"}" FILE_END,
      "v:4: vector X1: \"title\" is missing" },
    { FILE_START "{\"id\": \"X1\", \"title\": 1}" FILE_END,
      "v:4: vector X1: \"title\" is not a string" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", \"device\": []}" FILE_END,
      "v:4: vector X1: \"device\" is not an object" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", \"device\": "
                 "{\"adr\": 1}}" FILE_END,
      "v:4: vector X1: unknown member \"adr\"" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", \"device\": "
                 "{\"addr\": -1}}" FILE_END,
      "v:4: vector X1: \"addr\" is negative or exceeds 63 bits" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", \"device\": "
                 "{\"addr\": 1.5}}" FILE_END,
      "v:4: vector X1: \"addr\" is not an integer" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE "}" FILE_END,
      "v:4: vector X1: \"policy\" is missing" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {\"over_request\": 3}}" FILE_END,
      "v:4: vector X1: policy \"over_request\" has one value only" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {\"nack_wins_over_busy\": false}}" FILE_END,
      "v:4: vector X1: policy \"nack_wins_over_busy\" has one value only" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {\"malformed\": \"ignore\"}}" FILE_END,
      "v:4: vector X1: \"malformed\" is neither" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {}, \"initial_plugged\": [[0, 3]], "
                 "\"steps\": []}" FILE_END,
      "v:4: vector X1: \"initial_plugged\": run 0 is empty, out of order" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {}, \"initial_plugged\": [[1, 1], [0, 1]], "
                 "\"steps\": []}" FILE_END,
      "v:4: vector X1: \"initial_plugged\": run 1 is empty, out of order" },
    { FILE_START "{\"id\": \"X1\", \"title\": \"t\", " DEVICE
                 ", \"policy\": {}, \"initial_plugged\": [[0]], "
                 "\"steps\": []}" FILE_END,
      "v:4: vector X1: \"initial_plugged\" is not a list of pairs" },
    { STEP("7"), "v:4: vector X1 step 0: \"element of an array\" is not an" },
    { STEP("{}"), "v:6: vector X1 step 0: \"op\" is missing" },
    { STEP("{\"op\": \"device_reset\"},\n{\"op\": \"explode\"}"),
      "v:7: vector X1 step 1: unknown op \"explode\"" },
    { STEP("{\"op\": \"device_reset\", \"aftr\": {}}"),
      "v:6: vector X1 step 0: unknown member \"aftr\"" },
    { STEP("{\"op\": \"device_reset\", \"after\": {\"pluged\": []}}"),
      "v:6: vector X1 step 0: unknown member \"pluged\"" },
    { STEP("{\"op\": \"device_reset\", \"after\": {\"plugged_size\": true}}"),
      "v:6: vector X1 step 0: \"plugged_size\" is not an integer" },
    { STEP("{\"op\": \"request\", \"req\": \"0g\", \"expect\": {}}"),
      "v:6: vector X1 step 0: \"req\" is not pairs of hexadecimal digits" },
    { STEP("{\"op\": \"request\", \"req\": \"000\", \"expect\": {}}"),
      "v:6: vector X1 step 0: \"req\" is not pairs of hexadecimal digits" },
    { STEP("{" REQ "}"), "v:6: vector X1 step 0: \"expect\" is missing" },
    { STEP("{" REQ ", \"expect\": {}}"),
      "v:6: vector X1 step 0: \"resp\" is missing" },
    { STEP("{" REQ ", \"expect\": {" RESP "}}"),
      "v:6: vector X1 step 0: \"resp_mask\" is missing" },
    { STEP("{" REQ ", \"expect\": {" RESP ", " MASK "}}"),
      "v:6: vector X1 step 0: \"used_len\" is missing" },
    { STEP("{" REQ ", \"expect\": {\"resp\": \"00\", " MASK
           ", \"used_len\": 10}}"),
      "v:6: vector X1 step 0: \"resp\" or \"resp_mask\" is not 10 bytes" },
    { STEP("{" REQ ", \"expect\": {\"any_of\": []}}"),
      "v:6: vector X1 step 0: \"any_of\" is empty" },
    { STEP("{" REQ ", \"expect\": {\"any_of\": [\"x\"]}}"),
      "v:6: vector X1 step 0: \"any_of\": unknown outcome" },
    { STEP("{" REQ ", \"resp_space\": 65537, \"expect\": {}}"),
      "v:6: vector X1 step 0: \"resp_space\" exceeds 65536" },
    { STEP("{\"op\": \"set_requested_size\", \"value\": \"1\"}"),
      "v:6: vector X1 step 0: \"value\" is not an integer" },
    { STEP("{\"op\": \"set_busy\", \"value\": 1}"),
      "v:6: vector X1 step 0: \"value\" is neither true nor false" },
    { STEP("{\"op\": \"fail_next\", \"what\": \"all\"}"),
      "v:6: vector X1 step 0: \"what\" is neither" },
    { STEP("{\"op\": \"negotiate\", \"features\": [64], "
           "\"expect\": {\"features_ok\": true}}"),
      "v:6: vector X1 step 0: \"features\": there is no bit 64" },
    { STEP("{\"op\": \"config_read\", \"off\": 0, \"len\": 3, "
           "\"expect\": {\"data\": \"00\"}}"),
      "v:6: vector X1 step 0: \"len\" and the length of \"data\" differ" },
};

static void what_does_not_fit_is_refused_with_its_place(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(malformed); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(parse(malformed[i].text, &error));
        assert_non_null(error);
        if (!g_str_has_prefix(error->message, malformed[i].message)) {
            fail_msg("got \"%s\", expected \"%s\"", error->message,
                     malformed[i].message);
        }
    }
}

static void deep_nesting_is_refused_before_it_is_descended_into(void **state)
{
    static const size_t depth = 1000 * 1000;
    /* What would hide the brackets from a careless count. */
    static const char *const prefixes[] = { "", "/* \" */",
                                            "{\"\\\"\":", "\"\\\\\"" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        g_autoptr(GError) error = NULL;
        GString *text = g_string_new(prefixes[i]);

        for (size_t n = 0; n < depth; n++) {
            g_string_append_c(text, '[');
        }
        assert_null(vectors_parse("v", text->str, text->len, &error));
        assert_true(g_str_has_prefix(error->message, "v:1: nested too") ||
                    g_str_has_prefix(error->message, "v:1: a character"));
        g_string_free(text, TRUE);
    }
}

/* Spoils the real file in one place after the other: read or refused, never
 * anything else. */
static void a_spoilt_file_is_read_or_refused(void **state)
{
    static const char text[] =
        STEP("{" REQ ", \"expect\": {" RESP ", " MASK ", \"used_len\": 10}, "
             "\"after\": {\"plugged\": [[0, 1]], \"plugged_size\": 4096}}");
    static const char spoils[] = { '\0', '"', '{',    ']', ',',
                                   '0',  '-', '\xff', '\\' };

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        for (unsigned j = 0; j < sizeof(spoils); j++) {
            g_autofree char *copy = g_memdup2(text, sizeof(text));
            g_autoptr(GError) error = NULL;

            copy[i] = spoils[j];

            struct vectors *vectors =
                vectors_parse("v", copy, sizeof(text) - 1, &error);

            assert_true((vectors == NULL) == (error != NULL));
            vectors_free(vectors);
        }
    }
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        g_autofree char *copy = g_memdup2(text, size);
        g_autoptr(GError) error = NULL;
        struct vectors *vectors = vectors_parse("v", copy, size, &error);

        /* Only the newline may be missing. */
        assert_true((vectors != NULL) == (size >= sizeof(text) - 2));
        vectors_free(vectors);
    }
}

static void the_conformance_vectors_are_read(void **state)
{
    const char *data = getenv("VMEM_TEST_DATA");
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    unsigned nr_steps = 0;

    (void)state;
    if (data == NULL) {
        print_message("VMEM_TEST_DATA is not set\n");
        skip();
    }
    path = g_build_filename(data, "vectors", "virtio-mem-vectors.json", NULL);

    struct vectors *vectors = vectors_read(path, &error);

    if (vectors == NULL) {
        fail_msg("%s", error->message);
    }
    for (unsigned i = 0; i < vectors->items->len; i++) {
        nr_steps += vector_at(vectors, i)->steps->len;
    }
    assert_int_equal(vectors->items->len, 77);
    assert_int_equal(nr_steps, 540);
    vectors_free(vectors);
}

static void a_file_that_cannot_be_read_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_null(vectors_read("/nonexistent/v.json", &error));
    assert_true(g_str_has_prefix(error->message, "/nonexistent/v.json: "));
}

/* The map is full or empty only where all or none of a share is plugged. */
static void the_block_map_does_not_flatter(void **state)
{
    static const struct {
        const char *blocks; /* 1: plugged */
        unsigned width;
        const char *map;
    } cases[] = {
        { "", 8, "" },
        { "1", 8, "#" },
        { "0", 8, "." },
        { "0110", 8, ".##." },
        { "1111", 1, "#" },
        { "1110", 1, "*" },
        { "0001", 1, "-" },
        { "0000000000000001", 1, "-" },
        { "1111111111111110", 1, "*" },
        { "101010", 3, "+++" },
        { "1100111", 3, "#.#" },
        { "11111", 2, "##" },
    };
    uint8_t *sparse = g_malloc0(1 << 20);

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t has[32] = { 0 };
        size_t nr_blocks = strlen(cases[i].blocks);

        for (size_t j = 0; j < nr_blocks; j++) {
            has[j] = cases[i].blocks[j] == '1';
        }

        g_autofree char *map =
            blockmap_draw(has, nr_blocks, cases[i].width, false);

        assert_string_equal(map, cases[i].map);
    }
    sparse[(1 << 20) - 1] = 1;
    for (unsigned width = 1; width < 200; width++) {
        g_autofree char *map = blockmap_draw(sparse, 1 << 20, width, false);
        g_autofree char *wide = blockmap_draw(sparse, 1 << 20, width, true);

        assert_int_equal(strlen(map), width);
        assert_int_equal(map[width - 1], '-');
        assert_int_equal(g_utf8_strlen(wide, -1), width);
    }
    g_free(sparse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_step_is_read),
        cmocka_unit_test(what_does_not_fit_is_refused_with_its_place),
        cmocka_unit_test(deep_nesting_is_refused_before_it_is_descended_into),
        cmocka_unit_test(a_spoilt_file_is_read_or_refused),
        cmocka_unit_test(the_conformance_vectors_are_read),
        cmocka_unit_test(a_file_that_cannot_be_read_is_refused),
        cmocka_unit_test(the_block_map_does_not_flatter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
