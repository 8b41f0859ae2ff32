/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/frame.h"
#include "base/gate.h"

static int vm_a;
static int vm_b;
static int object_a;
static int object_b;

static void outside_of_everything_a_thread_is_inside_nothing(void **state)
{
    (void)state;
    assert_false(vmemi_frame_is_inside(NULL, UINT32_MAX));
    assert_int_equal(vmemi_frame_count(&object_a), 0);
    assert_int_equal(vmemi_frame_count(NULL), 0);
}

static void frames_know_their_vm_kind_and_object(void **state)
{
    struct vmemi_frame outer;
    struct vmemi_frame inner;

    (void)state;
    vmemi_frame_enter(&outer, &vm_a, &object_a, VMEMI_FRAME_CHANGE);
    assert_true(vmemi_frame_is_inside(&vm_a, VMEMI_FRAME_CHANGE));
    assert_true(vmemi_frame_is_inside(&vm_a, VMEMI_FRAME_LOCKED));
    assert_true(vmemi_frame_is_inside(NULL, VMEMI_FRAME_LOCKED));
    assert_false(vmemi_frame_is_inside(&vm_a, VMEMI_FRAME_NOTIFY));
    assert_false(vmemi_frame_is_inside(&vm_b, VMEMI_FRAME_LOCKED));

    vmemi_frame_enter(&inner, &vm_b, &object_b, VMEMI_FRAME_NOTIFY);
    assert_true(vmemi_frame_is_inside(&vm_b, VMEMI_FRAME_NOTIFY));
    assert_false(vmemi_frame_is_inside(&vm_b, VMEMI_FRAME_LOCKED));
    assert_true(vmemi_frame_is_inside(&vm_a, VMEMI_FRAME_CHANGE));
    assert_int_equal(vmemi_frame_count(&object_a), 1);
    assert_int_equal(vmemi_frame_count(&object_b), 1);

    vmemi_frame_leave(&inner);
    assert_int_equal(vmemi_frame_count(&object_b), 0);
    vmemi_frame_leave(&outer);
    assert_false(vmemi_frame_is_inside(NULL, UINT32_MAX));
}

static void nested_frames_of_one_object_are_counted(void **state)
{
    struct vmemi_frame frames[5];

    (void)state;
    for (unsigned int i = 0; i < 5; i++) {
        vmemi_frame_enter(&frames[i], &vm_a, &object_a, VMEMI_FRAME_NOTIFY);
        assert_int_equal(vmemi_frame_count(&object_a), i + 1);
    }
    for (unsigned int i = 5; i-- > 0;) {
        vmemi_frame_leave(&frames[i]);
        assert_int_equal(vmemi_frame_count(&object_a), i);
    }
}

static void a_notification_is_no_lock(void **state)
{
    (void)state;
    assert_int_equal(VMEMI_FRAME_LOCKED & VMEMI_FRAME_NOTIFY, 0);
    assert_int_equal(VMEMI_FRAME_LOCKED,
                     VMEMI_FRAME_CHANGE | VMEMI_FRAME_INVENTORY |
                         VMEMI_FRAME_POLICY | VMEMI_FRAME_DMA);
}

/* The innermost of the machine that has one. */
static void the_log_of_an_operation_is_found(void **state)
{
    struct vmemi_log_queue *log = (struct vmemi_log_queue *)&object_b;
    struct vmemi_frame outer;
    struct vmemi_frame middle;
    struct vmemi_frame inner;

    (void)state;
    assert_null(vmemi_frame_log(&vm_a));
    vmemi_frame_enter(&outer, &vm_a, &object_a, VMEMI_FRAME_CHANGE);
    assert_null(vmemi_frame_log(&vm_a));
    outer.log = log;
    vmemi_frame_enter(&middle, &vm_b, &object_a, VMEMI_FRAME_CHANGE);
    vmemi_frame_enter(&inner, &vm_a, &object_a, VMEMI_FRAME_DMA);
    assert_ptr_equal(vmemi_frame_log(&vm_a), log);
    assert_null(vmemi_frame_log(&vm_b));
    vmemi_frame_leave(&inner);
    vmemi_frame_leave(&middle);
    vmemi_frame_leave(&outer);
    assert_null(vmemi_frame_log(&vm_a));
}

static void *look_for_frames(void *opaque)
{
    *(bool *)opaque = vmemi_frame_is_inside(NULL, UINT32_MAX);
    return NULL;
}

static void frames_are_those_of_the_own_thread(void **state)
{
    struct vmemi_frame frame;
    bool inside = true;
    pthread_t thread;

    (void)state;
    vmemi_frame_enter(&frame, &vm_a, &object_a, VMEMI_FRAME_CHANGE);
    assert_int_equal(pthread_create(&thread, NULL, look_for_frames, &inside),
                     0);
    pthread_join(thread, NULL);
    vmemi_frame_leave(&frame);
    assert_false(inside);
}

/* An object behind a gate; static, so that it can be looked at afterwards. */
static struct vmemi_gate gate;
static _Atomic int nr_releases;

static void release(struct vmemi_gate *released)
{
    assert_ptr_equal(released, &gate);
    atomic_fetch_add(&nr_releases, 1);
}

static int open_gate(void **state)
{
    (void)state;
    atomic_store(&nr_releases, 0);
    return vmemi_gate_init(&gate, release);
}

static void closing_an_empty_gate_releases_at_once(void **state)
{
    (void)state;
    assert_true(vmemi_gate_is_open(&gate));
    vmemi_gate_close(&gate);
    assert_int_equal(atomic_load(&nr_releases), 1);
}

static void a_gate_can_be_entered_many_times(void **state)
{
    struct vmemi_frame frames[3];

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        assert_true(vmemi_gate_enter(&gate, &frames[i], &vm_a));
    }
    assert_int_equal(vmemi_frame_count(&gate), 3);
    assert_true(vmemi_frame_is_inside(&vm_a, VMEMI_FRAME_NOTIFY));
    for (unsigned int i = 3; i-- > 0;) {
        vmemi_gate_leave(&gate, &frames[i]);
    }
    assert_int_equal(atomic_load(&nr_releases), 0);
    vmemi_gate_close(&gate);
    assert_int_equal(atomic_load(&nr_releases), 1);
}

static void closing_from_inside_releases_when_the_last_one_leaves(void **state)
{
    struct vmemi_frame outer;
    struct vmemi_frame inner;
    struct vmemi_frame late;

    (void)state;
    assert_true(vmemi_gate_enter(&gate, &outer, &vm_a));
    assert_true(vmemi_gate_enter(&gate, &inner, &vm_a));
    vmemi_gate_close(&gate);
    assert_int_equal(atomic_load(&nr_releases), 0);
    assert_false(vmemi_gate_is_open(&gate));
    assert_false(vmemi_gate_enter(&gate, &late, &vm_a));
    assert_int_equal(vmemi_frame_count(&gate), 2);
    vmemi_gate_leave(&gate, &inner);
    assert_int_equal(atomic_load(&nr_releases), 0);
    vmemi_gate_leave(&gate, &outer);
    assert_int_equal(atomic_load(&nr_releases), 1);
}

static void destroying_an_unpublished_gate_releases_nothing(void **state)
{
    (void)state;
    vmemi_gate_destroy(&gate);
    assert_int_equal(atomic_load(&nr_releases), 0);
}

/* Stays inside until it is told to leave. */
static _Atomic int stage;

static void *stay_inside(void *opaque)
{
    struct vmemi_frame frame;

    (void)opaque;
    if (!vmemi_gate_enter(&gate, &frame, &vm_a)) {
        return NULL;
    }
    atomic_store(&stage, 1);
    /* Until the closing thread has shut the gate. */
    while (vmemi_gate_is_open(&gate)) {
        usleep(100);
    }
    usleep(20000);
    atomic_store(&stage, 2);
    vmemi_gate_leave(&gate, &frame);
    return NULL;
}

static void wait_for(int wanted)
{
    while (atomic_load(&stage) != wanted) {
        usleep(100);
    }
}

static void closing_waits_for_other_threads(void **state)
{
    pthread_t thread;

    (void)state;
    atomic_store(&stage, 0);
    assert_int_equal(pthread_create(&thread, NULL, stay_inside, NULL), 0);
    wait_for(1);
    vmemi_gate_close(&gate);
    /* The other thread had said that it is done. */
    assert_int_equal(atomic_load(&stage), 2);
    assert_int_equal(atomic_load(&nr_releases), 1);
    pthread_join(thread, NULL);
}

static void closing_from_inside_still_waits_for_other_threads(void **state)
{
    struct vmemi_frame frame;
    pthread_t thread;

    (void)state;
    atomic_store(&stage, 0);
    assert_true(vmemi_gate_enter(&gate, &frame, &vm_a));
    assert_int_equal(pthread_create(&thread, NULL, stay_inside, NULL), 0);
    wait_for(1);
    vmemi_gate_close(&gate);
    assert_int_equal(atomic_load(&stage), 2);
    assert_int_equal(atomic_load(&nr_releases), 0);
    vmemi_gate_leave(&gate, &frame);
    assert_int_equal(atomic_load(&nr_releases), 1);
    pthread_join(thread, NULL);
}

#define GATE_TEST(name) cmocka_unit_test_setup(name, open_gate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_of_everything_a_thread_is_inside_nothing),
        cmocka_unit_test(frames_know_their_vm_kind_and_object),
        cmocka_unit_test(nested_frames_of_one_object_are_counted),
        cmocka_unit_test(a_notification_is_no_lock),
        cmocka_unit_test(the_log_of_an_operation_is_found),
        cmocka_unit_test(frames_are_those_of_the_own_thread),
        GATE_TEST(closing_an_empty_gate_releases_at_once),
        GATE_TEST(a_gate_can_be_entered_many_times),
        GATE_TEST(closing_from_inside_releases_when_the_last_one_leaves),
        GATE_TEST(destroying_an_unpublished_gate_releases_nothing),
        GATE_TEST(closing_waits_for_other_threads),
        GATE_TEST(closing_from_inside_still_waits_for_other_threads),
    };

    return cmocka_run_group_tests_name("frame and gate", tests, NULL, NULL);
}
