/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations on a device and on a naive model of one, compared after
 * each: config space, blocks, retained memory, answers, notifications, features,
 * and what every listener believes.
 *
 * usage: prop_device [seeds] [ops] [first seed] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/device_model.h"
#include "support/device_rig.h"

static uint64_t nr_seeds = 1000;
static uint64_t nr_ops = 1100;
static uint64_t first_seed = 1;

struct pair {
    struct rig *rig;
    struct device_model model;
    struct rig_listener *listeners[MODEL_MAX_LISTENERS];
    uint64_t seed;
    uint64_t random;
    uint64_t op;
    bool frozen[3];
    uint8_t *bytes;
    uint64_t answers[4][5]; /* [type][response], malformed last */
    uint64_t loads[2];      /* refused, and done */
};

/* What the failure message of an assertion does not say. */
static struct pair *present;

static uint64_t below(struct pair *pair, uint64_t limit)
{
    return rig_random(&pair->random) % limit;
}

static bool one_in(struct pair *pair, uint64_t n)
{
    return below(pair, n) == 0;
}

static struct vmem_device_config random_config(struct pair *pair,
                                               uint64_t *region_size)
{
    static const unsigned int shifts[] = { 12, 21, 21, 27, 30, 48 };
    static const uint64_t lengths[] = { 1, 2, 7, 63, 64, 65, 200, 1000 };
    const uint64_t block = (uint64_t)1 << shifts[below(pair, 6)];
    const uint64_t nr_blocks = lengths[below(pair, 8)];
    struct vmem_device_config config = {
        .block_size = block,
        .requested_size = below(pair, nr_blocks + 1) * block,
        .usable_policy = below(pair, 4),
        .features = below(pair, 8),
        .flags = below(pair, 2) * VMEM_DEVICE_REQUIRE_INACCESSIBLE |
                 below(pair, 2) * VMEM_DEVICE_KEEP_MEMORY,
    };

    if ((config.features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0 &&
        config.flags == 0) {
        config.flags = VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
    }

    *region_size = nr_blocks * block;
    switch (below(pair, 3)) {
    case 0:
        break;
    case 1:
        config.gpa = block * (1 + below(pair, 16));
        break;
    default: /* up to 2^64 */
        config.gpa = 0 - *region_size;
        break;
    }
    switch (below(pair, 4)) {
    case 0:
        config.usable_headroom = 0;
        break;
    case 1:
        config.usable_headroom = below(pair, 5) * block + below(pair, 3);
        break;
    case 2:
        config.usable_headroom = UINT64_MAX - below(pair, 3);
        break;
    default:
        config.usable_headroom = 3 * block / 2 + 1;
        break;
    }
    /* The model adds up units in a loop. */
    if (config.usable_headroom != 0 &&
        *region_size / config.usable_headroom > 5000) {
        config.usable_headroom = block;
    }
    if (config.usable_policy != VMEM_USABLE_ALL && block > RIG_GIB) {
        config.usable_policy = VMEM_USABLE_EXTENT;
    }
    if (one_in(pair, 4)) {
        config.usable_region_size =
            config.requested_size +
            below(pair, (*region_size - config.requested_size) / block + 1) *
                block;
    }
    return config;
}

static struct pair *pair_new(uint64_t seed)
{
    struct pair *pair = g_new0(struct pair, 1);
    struct rig_options options = { .quiet = true, .exact_config = true };

    pair->seed = seed;
    pair->random = seed;
    present = pair;
    options.config = random_config(pair, &options.region_size);
    options.has_memory = !one_in(pair, 4);
    options.populates = options.has_memory && one_in(pair, 2);
    pair->rig = rig_new(&options);
    model_init(&pair->model, &pair->rig->config, options.region_size);
    pair->model.has_memory = options.has_memory;
    pair->model.populates = options.populates;
    if (options.has_memory &&
        (options.config.flags & VMEM_DEVICE_KEEP_MEMORY) != 0) {
        model_keep(&pair->model);
    }
    pair->bytes = g_malloc0(pair->model.nr_blocks + 1);
    return pair;
}

static void pair_free(struct pair *pair)
{
    static const char *const owners[] = { "a", "b", "c" };

    for (int i = 0; i < 3; i++) {
        if (pair->frozen[i]) {
            rig_thaw(pair->rig, owners[i]);
        }
    }
    rig_free(pair->rig);
    model_clear(&pair->model);
    g_free(pair->bytes);
    g_free(pair);
    present = NULL;
}

/* Requests. */

static void make_request(struct pair *pair,
                         uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE])
{
    static const uint16_t counts[] = { 0, 1, 1, 1, 2, 3, 64, 65535 };
    const struct device_model *model = &pair->model;
    const uint64_t roll = below(pair, 100);
    uint16_t type = roll < 45   ? VMEM_REQUEST_PLUG
                    : roll < 78 ? VMEM_REQUEST_UNPLUG
                    : roll < 97 ? VMEM_REQUEST_STATE
                                : VMEM_REQUEST_UNPLUG_ALL;
    uint64_t block = below(pair, model->nr_blocks + 2) - 1;
    uint64_t gpa = model->gpa + block * model->block_size;
    uint16_t nr_blocks = one_in(pair, 3)
                             ? (uint16_t)below(pair, model->nr_blocks + 2)
                             : counts[below(pair, 8)];

    if (type == VMEM_REQUEST_UNPLUG && model->nr_blocks > 0 &&
        !one_in(pair, 3)) {
        /* A run that is plugged, most likely. */
        block = below(pair, model->nr_blocks);
        while (block < model->nr_blocks - 1 && !model->plugged[block]) {
            block++;
        }
        gpa = model->gpa + block * model->block_size;
        for (nr_blocks = 1; nr_blocks < 9 &&
                            block + nr_blocks < model->nr_blocks &&
                            model->plugged[block + nr_blocks];) {
            nr_blocks++;
        }
    }
    if (one_in(pair, 20)) {
        gpa += below(pair, 2 * model->block_size);
    }
    for (size_t i = 0; i < VMEM_DEVICE_REQUEST_SIZE; i++) {
        bytes[i] = (uint8_t)below(pair, 256);
    }
    if (one_in(pair, 25)) {
        bytes[0] &= 7; /* garbage with a known type now and then */
        bytes[1] = one_in(pair, 2) ? 0 : bytes[1];
        return;
    }
    bytes[0] = (uint8_t)type;
    bytes[1] = 0;
    for (size_t i = 0; i < 8; i++) {
        bytes[8 + i] = (uint8_t)(gpa >> (8 * i));
    }
    bytes[16] = (uint8_t)nr_blocks;
    bytes[17] = (uint8_t)(nr_blocks >> 8);
}

/* Cuts a buffer into random pieces, some of them empty. */
static size_t cut(struct pair *pair, uint8_t *bytes, size_t size,
                  struct iovec pieces[80])
{
    size_t nr_pieces = 0;
    size_t start = 0;

    while (start < size) {
        size_t part = one_in(pair, 2) ? size - start
                                      : (size_t)below(pair, size - start + 1);

        pieces[nr_pieces].iov_base = bytes + start;
        pieces[nr_pieces++].iov_len = part;
        start += part;
        if (nr_pieces == 79) {
            pieces[nr_pieces].iov_base = bytes + start;
            pieces[nr_pieces++].iov_len = size - start;
            break;
        }
    }
    return nr_pieces;
}

/* A listener that will refuse one call of this request. */
static void arm_veto(struct pair *pair)
{
    int who = (int)below(pair, MODEL_MAX_LISTENERS);

    pair->model.veto_by = -1;
    if (one_in(pair, 6) && pair->listeners[who] != NULL) {
        pair->model.veto_by = who;
        pair->model.veto_at = 1 + below(pair, 4);
        pair->listeners[who]->fail_at =
            pair->listeners[who]->nr_populates + pair->model.veto_at;
    }
    pair->model.keep_by = -1;
    who = (int)below(pair, MODEL_MAX_LISTENERS);
    if (one_in(pair, 8) && pair->listeners[who] != NULL) {
        pair->model.keep_by = who;
        pair->model.keep_at = 1;
        pair->model.keep_code = -EPERM;
        pair->listeners[who]->keep_code = -EPERM;
    }
}

static void disarm(struct pair *pair)
{
    pair->model.veto_by = -1;
    pair->model.keep_by = -1;
    for (int i = 0; i < MODEL_MAX_LISTENERS; i++) {
        if (pair->listeners[i] != NULL) {
            pair->listeners[i]->fail_at = 0;
            pair->listeners[i]->keep_code = 0;
        }
    }
}

static void do_request(struct pair *pair)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE + 8];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE + 8];
    uint8_t expected[VMEM_DEVICE_RESPONSE_SIZE + 8];
    struct iovec readable[80];
    struct iovec writable[80];
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    size_t size = 24;
    size_t room = 10;
    size_t nr_readable;
    size_t nr_writable;
    int verdict;

    make_request(pair, request);
    if (one_in(pair, 20)) {
        size = below(pair, sizeof(request) + 1);
        room = below(pair, sizeof(response) + 1);
    }
    arm_veto(pair);
    memset(response, 0xee, sizeof(response));
    memset(expected, 0xee, sizeof(expected));
    verdict = model_request(&pair->model, request, size, room, expected);
    nr_readable = cut(pair, request, size, readable);
    nr_writable = cut(pair, response, room, writable);
    assert_int_equal(vmem_device_handle_request_iov(pair->rig->device, readable,
                                                    nr_readable, writable,
                                                    nr_writable, &result),
                     verdict);
    assert_memory_equal(response, expected, sizeof(response));
    assert_int_equal(result.used_size, verdict == 0 ? 10 : 0);
    assert_int_equal(result.malformed != 0, verdict != 0);
    if (verdict == 0) {
        assert_int_equal(result.response, expected[0]);
        assert_int_equal(result.type, request[0]);
    }
    if (verdict == 0) {
        model_note_answer(&pair->model, &result);
    }
    pair->answers[request[0] & 3][verdict == 0 ? expected[0] : 4]++;
    disarm(pair);
}

/* The host's side. */

static void do_resize(struct pair *pair)
{
    uint64_t size =
        below(pair, pair->model.nr_blocks + 2) * pair->model.block_size;

    if (one_in(pair, 10)) {
        size += below(pair, pair->model.block_size);
    }
    if (one_in(pair, 30)) {
        size = rig_random(&pair->random);
    }
    assert_int_equal(vmem_device_resize(pair->rig->device, size, NULL),
                     model_resize(&pair->model, size));
}

static void do_reset(struct pair *pair)
{
    uint32_t kind = (uint32_t)below(pair, 5);

    arm_veto(pair);
    assert_int_equal(vmem_device_reset(pair->rig->device, kind, NULL),
                     model_reset(&pair->model, kind));
    disarm(pair);
}

/* Some of what is plugged is not, and the other way round; now and then a bit is
 * wrong, which is refused before anything else. */
static void do_load(struct pair *pair)
{
    struct device_model *model = &pair->model;
    const size_t nr_words = (size_t)(model->nr_blocks + 63) / 64;
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct model_saved wanted = { .has_driver = one_in(pair, 2) };
    g_autofree uint64_t *blocks = g_new0(uint64_t, nr_words);
    g_autofree bool *plugged = g_new0(bool, model->nr_blocks);
    bool broken = one_in(pair, 10);
    uint64_t end = 0;
    int expected;

    assert_int_equal(
        vmem_device_save(pair->rig->device, &saved, blocks, nr_words), 0);
    for (uint64_t n = below(pair, 4); n > 0; n--) {
        const uint64_t first = below(pair, model->nr_blocks);
        const uint64_t nr = 1 + below(pair, model->nr_blocks - first);
        const uint64_t value = below(pair, 2);

        for (uint64_t i = first; i < first + nr; i++) {
            blocks[i / 64] &= ~(UINT64_C(1) << (i % 64));
            blocks[i / 64] |= value << (i % 64);
        }
    }
    saved.plugged_size = 0;
    for (uint64_t i = 0; i < model->nr_blocks; i++) {
        plugged[i] = (blocks[i / 64] >> (i % 64) & 1) != 0;
        saved.plugged_size += plugged[i] ? model->block_size : 0;
        end = plugged[i] ? i + 1 : end;
    }
    end += below(pair, model->nr_blocks - end + 1);
    saved.usable_region_size = end * model->block_size;
    saved.requested_size = below(pair, end + 1) * model->block_size;
    saved.has_driver = wanted.has_driver;
    saved.driver_features = wanted.has_driver ? model->features : 0;
    wanted.requested_size = saved.requested_size;
    wanted.usable_region_size = saved.usable_region_size;
    wanted.driver_features = saved.driver_features;
    wanted.plugged = plugged;
    if (broken) {
        (&saved.gpa)[below(pair, 4)] += 1 + below(pair, 3);
    }
    arm_veto(pair);
    expected = broken ? -EINVAL : model_load(model, &wanted);
    if (expected == MODEL_REFUSED) {
        expected = pair->model.populates && pair->model.populate_fails
                       ? -ENOMEM
                       : -ENOSPC;
    }
    assert_int_equal(
        vmem_device_load(pair->rig->device, &saved, blocks, nr_words, &err),
        expected);
    pair->loads[expected == 0]++;
    disarm(pair);
}

static void do_freeze(struct pair *pair)
{
    static const char *const owners[] = { "a", "b", "c" };
    uint64_t who = below(pair, 3);

    /* Mostly thawed. */
    if (!pair->frozen[who] && one_in(pair, 3)) {
        rig_freeze(pair->rig, owners[who]);
        model_freeze(&pair->model);
        pair->frozen[who] = true;
    } else if (pair->frozen[who]) {
        rig_thaw(pair->rig, owners[who]);
        model_thaw(&pair->model);
        pair->frozen[who] = false;
    }
}

static void do_break(struct pair *pair)
{
    struct rig_memory *memory = &pair->rig->memory;

    pair->model.discard_fails = one_in(pair, 4);
    pair->model.populate_fails = one_in(pair, 6);
    pair->model.zero_fails = one_in(pair, 3);
    memory->discard.error = pair->model.discard_fails ? -EIO : 0;
    memory->populate.error = pair->model.populate_fails ? -ENOMEM : 0;
    memory->zero.error = pair->model.zero_fails ? -EIO : 0;
}

static void do_listener(struct pair *pair)
{
    static const char *const names[] = { "l0", "l1", "l2", "l3" };
    struct device_model *model = &pair->model;
    uint64_t who = below(pair, MODEL_MAX_LISTENERS);
    struct model_listener *wanted = &model->listeners[who];
    uint64_t first = below(pair, model->nr_blocks);

    if (pair->listeners[who] != NULL) {
        rig_unlisten(pair->listeners[who]);
        pair->listeners[who] = NULL;
        model_listener_leaves(model, (int)who);
        return;
    }
    wanted->is_there = true;
    wanted->offset = first * model->block_size;
    wanted->size =
        (1 + below(pair, model->nr_blocks - first)) * model->block_size;
    wanted->granularity =
        one_in(pair, 3) ? 0 : model->block_size >> below(pair, 2);
    pair->listeners[who] =
        rig_listen_to(pair->rig, names[who],
                      (struct vmem_range){ wanted->offset, wanted->size },
                      wanted->granularity,
                      wanted->granularity != 0 && one_in(pair, 2)
                          ? VMEM_LISTENER_EXACT_DISCARD
                          : 0);
}

static void do_features(struct pair *pair)
{
    uint64_t features =
        one_in(pair, 2) ? below(pair, 8) : rig_random(&pair->random);

    assert_int_equal(
        vmem_device_set_driver_features(pair->rig->device, features),
        model_set_features(&pair->model, features));
}

static void do_config(struct pair *pair)
{
    uint8_t all[VMEM_DEVICE_CONFIG_SIZE + 16] = { 0 };
    uint8_t part[16];
    size_t offset = below(pair, VMEM_DEVICE_CONFIG_SIZE);
    size_t size = below(pair, sizeof(part) + 1);

    model_config(&pair->model, all);
    vmem_device_write_config(pair->rig->device, offset, part, size);
    assert_int_equal(
        vmem_device_read_config(pair->rig->device, offset, part, size), 0);
    assert_memory_equal(part, all + offset, size);
}

static void do_operation(struct pair *pair)
{
    uint64_t roll = below(pair, 1000);

    if (roll < 850) {
        do_request(pair);
    } else if (roll < 910) {
        do_resize(pair);
    } else if (roll < 916) {
        do_reset(pair);
    } else if (roll < 936) {
        do_freeze(pair);
    } else if (roll < 951) {
        do_break(pair);
    } else if (roll < 956) {
        do_listener(pair);
    } else if (roll < 966) {
        assert_int_equal(vmem_region_retry_discards(pair->rig->region, NULL),
                         model_retry(&pair->model));
    } else if (roll < 974) {
        do_features(pair);
    } else if (roll < 982) {
        do_load(pair);
    } else if (roll < 990) {
        do_config(pair);
    } else {
        pair->rig->now_ns += below(pair, 20) * 1000000000;
        vmem_device_poll_resize(pair->rig->device);
        vmem_device_notify_config(pair->rig->device);
        model_kick(&pair->model);
    }
}

static int mark_run(const struct vmem_range *range, void *opaque)
{
    struct pair *pair = opaque;

    memset(pair->bytes + range->offset / pair->model.block_size, 1,
           range->size / pair->model.block_size);
    return 0;
}

static void compare(struct pair *pair, uint8_t *last_config,
                    uint32_t *last_generation)
{
    const struct device_model *model = &pair->model;
    struct rig *rig = pair->rig;
    struct vmem_device_info info = rig_info(rig);
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t expected[VMEM_DEVICE_CONFIG_SIZE];

    model_config(model, expected);
    vmem_device_read_config(rig->device, 0, config, sizeof(config));
    assert_memory_equal(config, expected, sizeof(config));
    if (memcmp(config, last_config, sizeof(config)) != 0) {
        assert_int_not_equal(info.config_generation, *last_generation);
        memcpy(last_config, config, sizeof(config));
    }
    *last_generation = (uint32_t)info.config_generation;
    memset(pair->bytes, 0, model->nr_blocks);
    vmem_region_for_each_populated(rig->region, NULL, mark_run, pair);
    assert_memory_equal(pair->bytes, model->plugged, model->nr_blocks);
    assert_true(info.retained_size == model_retained_size(model));
    assert_true(info.plugged_size == model_plugged_size(model));
    assert_true(info.driver_features == model->driver_features);
    assert_int_equal(info.has_driver, model->has_driver);
    assert_int_equal(rig->nr_config_changed, model->nr_config_changed);
    assert_int_equal(rig->nr_size_changed, model->nr_size_changed);
    /* The listeners, and CFG-03, CFG-05, CFG-06 and CFG-08. */
    rig_check(rig);
}

static void random_operations_agree_with_the_model(void **state)
{
    uint64_t answers[4][5] = { { 0 } };
    uint64_t loads[2] = { 0 };

    (void)state;
    printf("seeds %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
           ", %" G_GUINT64_FORMAT " operations each\n",
           first_seed, first_seed + nr_seeds - 1, nr_ops);
    for (uint64_t i = 0; i < nr_seeds; i++) {
        struct pair *pair = pair_new(first_seed + i);
        uint8_t last_config[VMEM_DEVICE_CONFIG_SIZE];
        uint32_t last_generation =
            vmem_device_get_config_generation(pair->rig->device);

        vmem_device_read_config(pair->rig->device, 0, last_config,
                                sizeof(last_config));
        compare(pair, last_config, &last_generation);
        for (pair->op = 0; pair->op < nr_ops; pair->op++) {
            do_operation(pair);
            compare(pair, last_config, &last_generation);
        }
        for (size_t j = 0; j < 20; j++) {
            answers[j / 5][j % 5] += pair->answers[j / 5][j % 5];
        }
        loads[0] += pair->loads[0];
        loads[1] += pair->loads[1];
        pair_free(pair);
    }
    printf("loads: %" G_GUINT64_FORMAT " done, %" G_GUINT64_FORMAT " refused\n",
           loads[1], loads[0]);
    for (size_t type = 0; type < 4; type++) {
        printf("type %zu: %" G_GUINT64_FORMAT " ACK, %" G_GUINT64_FORMAT
               " NACK, %" G_GUINT64_FORMAT " BUSY, %" G_GUINT64_FORMAT
               " ERROR, %" G_GUINT64_FORMAT " malformed\n",
               type, answers[type][0], answers[type][1], answers[type][2],
               answers[type][3], answers[type][4]);
    }
}

static int say_where(void **state)
{
    (void)state;
    if (present != NULL) {
        fprintf(stderr,
                "failed: seed %" G_GUINT64_FORMAT
                ", operation %" G_GUINT64_FORMAT "; again with: prop_device 1 "
                "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                present->seed, present->op, present->op + 1, present->seed);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(random_operations_agree_with_the_model,
                                  say_where),
    };

    nr_seeds = argc > 1 ? strtoull(argv[1], NULL, 0) : nr_seeds;
    nr_ops = argc > 2 ? strtoull(argv[2], NULL, 0) : nr_ops;
    first_seed = argc > 3 ? strtoull(argv[3], NULL, 0) : first_seed;
    return cmocka_run_group_tests_name("device model", tests, NULL, NULL);
}
