/* SPDX-License-Identifier: BSD-3-Clause */
/* How many calls a request makes: allocations, listeners, memory, clock. */
#include <errno.h>

#include "support/allocations.h"
#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK

static void requests_resizes_and_resets_never_allocate(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct rig_listener *listener = rig_listen(rig, "l");
    uint8_t nonsense[VMEM_DEVICE_REQUEST_SIZE] = { 99 };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    (void)u;
    rig_freeze(rig, "migration");
    allocations_count();
    rig_plug(rig, 0, 4);
    assert_true(allocations_end() == 0);
    rig_thaw(rig, "migration");
    allocations_count();
    for (int round = 0; round < 4; round++) {
        listener->fail_always = round == 1;
        rig->memory.discard.error = round == 2 ? -EIO : 0;
        rig->memory.populate.error = round == 3 ? -ENOMEM : 0;
        for (uint64_t block = 0; block < 40; block += 2) {
            rig_plug(rig, block, 1);
        }
        rig_plug(rig, 0, 10);
        rig_plug(rig, 0, 0);
        rig_plug(rig, 100, 200);
        rig_state(rig, 0, 100);
        rig_unplug(rig, 2, 1);
        rig_unplug(rig, 2, 1);
        vmem_device_handle_request(rig->device, nonsense, sizeof(nonsense),
                                   bytes, 10, NULL);
        rig_resize(rig, RIG_REGION);
        rig_unplug_all(rig);
        rig_plug(rig, 5, 5);
        vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
        vmem_device_notify_config(rig->device);
        vmem_device_poll_resize(rig->device);
        vmem_device_read_config(rig->device, 0, bytes, sizeof(bytes));
        vmem_device_write_config(rig->device, 0, bytes, sizeof(bytes));
        vmem_device_set_driver_features(rig->device, 1);
        vmem_region_retry_discards(rig->region, NULL);
    }
    assert_true(allocations_end() == 0);
    rig_free(rig);
}

struct counts {
    uint64_t populates;
    uint64_t discards;
    uint64_t mem_populates;
    uint64_t mem_discards;
    uint64_t mem_zeros;
};

static struct counts count(struct rig *rig)
{
    struct counts counts = {
        .mem_populates = rig->memory.populate.nr_calls,
        .mem_discards = rig->memory.discard.nr_calls,
        .mem_zeros = rig->memory.zero.nr_calls,
    };

    for (guint i = 0; i < rig->listeners->len; i++) {
        const struct rig_listener *listener = rig->listeners->pdata[i];

        counts.populates += listener->nr_populates;
        counts.discards += listener->nr_discards;
    }
    return counts;
}

static void assert_calls(struct rig *rig, struct counts *before,
                         struct counts expected)
{
    struct counts now = count(rig);

    assert_int_equal(now.populates - before->populates, expected.populates);
    assert_int_equal(now.discards - before->discards, expected.discards);
    assert_int_equal(now.mem_populates - before->mem_populates,
                     expected.mem_populates);
    assert_int_equal(now.mem_discards - before->mem_discards,
                     expected.mem_discards);
    assert_int_equal(now.mem_zeros - before->mem_zeros, expected.mem_zeros);
    *before = now;
}

static void a_range_costs_one_call_to_each_whatever_its_length(void **u)
{
    static const uint16_t lengths[] = { 1, 2, 63, 64, 65, 1000, 65535 };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .populates = true,
            .region_size = 70000 * RIG_BLOCK,
            .config = { .requested_size = 70000 * RIG_BLOCK } });
        struct counts counts;

        rig_listen(rig, "a");
        rig_listen(rig, "b");
        counts = count(rig);
        assert_int_equal(rig_plug(rig, 1, lengths[i]), ACK);
        assert_calls(rig, &counts, (struct counts){ 2, 0, 1, 0, 0 });
        assert_int_equal(rig_unplug(rig, 1, lengths[i]), ACK);
        assert_calls(rig, &counts, (struct counts){ 0, 2, 0, 1, 0 });
        rig_free(rig);
    }
}

static void memory_that_is_not_populated_on_plug_is_not_called(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts = count(rig);

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    assert_int_equal(rig_unplug(rig, 10, 10), ACK);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 1, 0 });
    rig_free(rig);
}

static void chunks_cost_a_call_each_where_a_listener_asks_for_them(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts;

    (void)u;
    rig_listen_to(rig, "exact", (struct vmem_range){ 0, 0 }, RIG_BLOCK,
                  VMEM_LISTENER_EXACT_DISCARD);
    rig_listen_to(rig, "chunks", (struct vmem_range){ 0, 0 }, RIG_BLOCK, 0);
    counts = count(rig);
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_calls(rig, &counts, (struct counts){ 200, 0, 0, 0, 0 });
    assert_int_equal(rig_unplug(rig, 0, 100), ACK);
    assert_calls(rig, &counts, (struct counts){ 0, 101, 0, 1, 0 });
    rig_free(rig);
}

static void a_listener_is_not_called_for_what_it_cannot_see(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts;

    (void)u;
    rig_listen_to(rig, "high",
                  (struct vmem_range){ 100 * RIG_BLOCK, 10 * RIG_BLOCK }, 0, 0);
    counts = count(rig);
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    assert_int_equal(rig_plug(rig, 110, 5), ACK);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    assert_int_equal(rig_plug(rig, 100, 1), ACK);
    assert_calls(rig, &counts, (struct counts){ 1, 0, 0, 0, 0 });
    rig_free(rig);
}

static void unplug_all_and_reset_cost_one_call_for_each_run(void **u)
{
    (void)u;
    for (int reset = 0; reset < 2; reset++) {
        for (uint64_t nr_runs = 1; nr_runs <= 64; nr_runs *= 4) {
            struct rig *rig = rig_new_default();
            struct counts counts;

            rig_listen(rig, "a");
            rig_listen(rig, "b");
            for (uint64_t run = 0; run < nr_runs; run++) {
                assert_int_equal(rig_plug(rig, 4 * run, 2), ACK);
            }
            counts = count(rig);
            if (reset != 0) {
                assert_int_equal(
                    vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL), 0);
            } else {
                assert_int_equal(rig_unplug_all(rig), ACK);
            }
            assert_calls(rig, &counts,
                         (struct counts){ 0, 2 * nr_runs, 0, nr_runs, 0 });
            rig_free(rig);
        }
    }
}

static void requests_that_change_nothing_call_nobody(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct counts counts;

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    counts = count(rig);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 300, 1), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_unplug(rig, 4, 1), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 4, 200), VMEM_RESPONSE_NACK);
    rig_state(rig, 0, 10);
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_REQUESTED);
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_plug(rig, 4, 1), VMEM_RESPONSE_BUSY);
    assert_int_equal(rig_unplug(rig, 0, 1), VMEM_RESPONSE_BUSY);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_BUSY);
    vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
    rig_thaw(rig, "migration");
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    rig_free(rig);
}

static void an_empty_unplug_all_calls_nobody_however_often(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts = count(rig);

    (void)u;
    rig_listen(rig, "l");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rig_unplug_all(rig), ACK);
    }
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    rig_free(rig);
}

static void a_second_system_reset_calls_nobody(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts;

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
    counts = count(rig);
    vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    rig_free(rig);
}

static void retained_blocks_cost_a_discard_for_each_run(void **u)
{
    struct rig *rig = rig_new_default();
    struct counts counts;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 1, 2), ACK);
    assert_int_equal(rig_unplug(rig, 5, 1), ACK);
    rig->memory.discard.error = 0;
    counts = count(rig);
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 2, 0 });
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_calls(rig, &counts, (struct counts){ 0, 0, 0, 0, 0 });
    rig_free(rig);
}

/* With nobody to tell resize changes to and latencies off, a request reads the
 * clock for its progress only. */
static void a_request_reads_the_clock_once_at_most(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_ops = true });
    uint64_t nr_clock;

    (void)u;
    nr_clock = rig->nr_clock;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_int_equal(rig_unplug(rig, 0, 4), ACK);
    assert_int_equal(rig->nr_clock - nr_clock, 2);
    nr_clock = rig->nr_clock;
    rig_state(rig, 0, 4);
    assert_int_equal(rig->nr_clock - nr_clock, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_resizes_and_resets_never_allocate),
        cmocka_unit_test(a_range_costs_one_call_to_each_whatever_its_length),
        cmocka_unit_test(memory_that_is_not_populated_on_plug_is_not_called),
        cmocka_unit_test(
            chunks_cost_a_call_each_where_a_listener_asks_for_them),
        cmocka_unit_test(a_listener_is_not_called_for_what_it_cannot_see),
        cmocka_unit_test(unplug_all_and_reset_cost_one_call_for_each_run),
        cmocka_unit_test(requests_that_change_nothing_call_nobody),
        cmocka_unit_test(an_empty_unplug_all_calls_nobody_however_often),
        cmocka_unit_test(a_second_system_reset_calls_nobody),
        cmocka_unit_test(retained_blocks_cost_a_discard_for_each_run),
        cmocka_unit_test(a_request_reads_the_clock_once_at_most),
    };

    return cmocka_run_group_tests_name("device_counts", tests, NULL, NULL);
}
