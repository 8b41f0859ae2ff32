/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes: what the policies make of a request, who is told, and how the tracker
 * judges what the guest does about it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define BUSY VMEM_RESPONSE_BUSY
#define ERROR VMEM_RESPONSE_ERROR
#define SECOND ((uint64_t)1000000000)

static void each_policy_gives_the_usable_size_it_promises(void **u)
{
    static const uint64_t tib = (uint64_t)1 << 40;
    static const uint64_t huge = 0xffff000000000000;
    static const struct {
        uint64_t region_size;
        uint64_t block_size;
        uint64_t policy;
        uint64_t n;
        uint64_t requested;
        uint64_t usable;
    } cases[] = {
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_ALL, 0, 0, RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_ALL, 12345, RIG_BLOCK,
          RIG_REGION },
        /* n that is no multiple of anything */
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, 0x300005, 0, 0x400000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, 0x300005, 0x400000,
          0xa00000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, 1, 0x400000, 0x600000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, 1, 0x400000, 0x600000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, 1, 0, 0 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, 0x200000, 0x400000,
          0x600000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, 0x200001, 0x400000,
          0x800000 },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, 0, 0x400000, 0x400000 },
        /* limited by the region */
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, 0, RIG_BLOCK, RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, RIG_REGION, RIG_BLOCK,
          RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, 128 * RIG_MIB, RIG_REGION,
          RIG_REGION },
        { 4 * tib, RIG_GIB, VMEM_USABLE_UNIT, 2 * RIG_GIB, 3 * RIG_GIB,
          6 * RIG_GIB },
        /* sums that would wrap */
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, UINT64_MAX, RIG_BLOCK,
          RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, UINT64_MAX, 0, RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, UINT64_MAX, RIG_BLOCK,
          RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_EXTENT, UINT64_MAX - RIG_BLOCK + 1,
          RIG_BLOCK, RIG_REGION },
        { RIG_REGION, RIG_BLOCK, VMEM_USABLE_UNIT, (uint64_t)1 << 63, RIG_BLOCK,
          RIG_REGION },
        { huge, (uint64_t)1 << 48, VMEM_USABLE_UNIT, (uint64_t)1 << 63,
          ((uint64_t)1 << 63) + ((uint64_t)1 << 48), huge },
        { huge, (uint64_t)1 << 48, VMEM_USABLE_EXTENT, (uint64_t)1 << 48, huge,
          huge },
        { huge, (uint64_t)1 << 48, VMEM_USABLE_UNIT, 0, (uint64_t)1 << 48,
          (uint64_t)2 << 48 },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig_options options = {
            .exact_config = true,
            .region_size = cases[i].region_size,
            .config = { .block_size = cases[i].block_size,
                        .requested_size = cases[i].requested,
                        .usable_policy = cases[i].policy,
                        .usable_headroom = cases[i].n },
        };
        struct rig *rig = rig_new(&options);

        if (rig_config(rig).usable_region_size != cases[i].usable) {
            fail_msg("case %zu: usable 0x%" G_GINT64_MODIFIER
                     "x, not 0x%" G_GINT64_MODIFIER "x",
                     i, rig_config(rig).usable_region_size, cases[i].usable);
        }
        rig_check(rig);
        rig_free(rig);
        /* The same by a resize from nothing. */
        options.config.requested_size = 0;
        rig = rig_new(&options);
        rig_resize(rig, cases[i].requested);
        assert_true(rig_config(rig).usable_region_size == cases[i].usable);
        rig_free(rig);
    }
}

static void an_explicit_usable_size_holds_until_the_policy_wants_more(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .config = { .usable_region_size = 300 * RIG_BLOCK } });

    (void)u;
    assert_true(rig_config(rig).usable_region_size == 300 * RIG_BLOCK);
    rig_resize(rig, 150 * RIG_BLOCK);
    assert_true(rig_config(rig).usable_region_size == 300 * RIG_BLOCK);
    rig_resize(rig, 200 * RIG_BLOCK);
    assert_true(rig_config(rig).usable_region_size == 328 * RIG_BLOCK);
    rig_resize(rig, 10 * RIG_BLOCK);
    assert_true(rig_config(rig).usable_region_size == 328 * RIG_BLOCK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_config(rig).usable_region_size == 138 * RIG_BLOCK);
    rig_free(rig);
}

static void resize_counts_notifies_and_works_while_frozen(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_freeze(rig, "migration");
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, 0);
    rig_resize(rig, 0);
    assert_int_equal(rig->nr_config_changed, 3);
    assert_int_equal(rig_stats(rig).nr_resizes, 3);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    rig_thaw(rig, "migration");
    assert_int_equal(vmem_device_resize(NULL, 0, NULL), -EINVAL);
    rig_free(rig);
}

/* Both sizes in one step: a reader never sees half a resize. */

struct reader {
    struct rig *rig;
    _Atomic int stop;
    uint64_t nr_torn;
    _Atomic uint64_t nr_reads;
};

static void *keep_reading(void *opaque)
{
    struct reader *reader = opaque;

    while (atomic_load(&reader->stop) == 0) {
        struct rig_config config = { 0 };
        struct vmem_device_info info = { .struct_size = sizeof(info) };
        uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

        vmem_device_read_config(reader->rig->device, 0, bytes, sizeof(bytes));
        memcpy(&config.usable_region_size, bytes + 32, 8);
        memcpy(&config.plugged_size, bytes + 40, 8);
        memcpy(&config.requested_size, bytes + 48, 8);
        vmem_device_get_info(reader->rig->device, &info);
        reader->nr_torn += GUINT64_FROM_LE(config.requested_size) >
                           GUINT64_FROM_LE(config.usable_region_size);
        reader->nr_torn += GUINT64_FROM_LE(config.plugged_size) >
                           GUINT64_FROM_LE(config.usable_region_size);
        reader->nr_torn += info.requested_size > info.usable_region_size ||
                           info.plugged_size > info.usable_region_size;
        reader->nr_reads++;
    }
    return NULL;
}

static void a_reader_never_sees_half_a_resize(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .quiet = true, .config = { .usable_policy = VMEM_USABLE_EXTENT } });
    struct reader reader = { .rig = rig };
    pthread_t thread;

    (void)u;
    assert_int_equal(pthread_create(&thread, NULL, keep_reading, &reader), 0);
    /* On a busy machine the reader may take longer to start than all this. */
    for (uint64_t i = 0; i < 20000 || atomic_load(&reader.nr_reads) < 100;
         i++) {
        rig_resize(rig, (i * 97 % 512) * RIG_BLOCK);
        rig_plug(rig, i * 31 % 512, 1);
        if (i % 3 == 0) {
            rig_unplug_all(rig);
        } else if (i % 7 == 0) {
            vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
        }
    }
    atomic_store(&reader.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(reader.nr_torn, 0);
    rig_free(rig);
}

/* A plug that hangs in a listener. */

struct hanging {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered;
    bool may_go;
    bool timed_out;
    uint16_t response;
};

static void hang(struct rig *rig)
{
    struct hanging *hanging = rig->user;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&hanging->lock);
    hanging->entered = true;
    pthread_cond_broadcast(&hanging->changed);
    while (!hanging->may_go && !hanging->timed_out) {
        hanging->timed_out =
            pthread_cond_timedwait(&hanging->changed, &hanging->lock, &until) ==
            ETIMEDOUT;
    }
    pthread_mutex_unlock(&hanging->lock);
}

static void *plug_thread(void *opaque)
{
    struct rig *rig = opaque;
    struct hanging *hanging = rig->user;
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE] = { 0xee };

    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 4);
    vmem_device_handle_request(rig->device, request, sizeof(request), response,
                               sizeof(response), NULL);
    hanging->response = response[0];
    return NULL;
}

static void resize_and_queries_do_not_wait_for_a_plug_that_hangs(void **u)
{
    struct rig *rig = rig_new_default();
    struct hanging hanging = { .lock = PTHREAD_MUTEX_INITIALIZER,
                               .changed = PTHREAD_COND_INITIALIZER };
    pthread_t thread;

    (void)u;
    rig_listen(rig, "slow");
    rig->user = &hanging;
    rig->on_populate = hang;
    assert_int_equal(pthread_create(&thread, NULL, plug_thread, rig), 0);
    pthread_mutex_lock(&hanging.lock);
    while (!hanging.entered) {
        pthread_cond_wait(&hanging.changed, &hanging.lock);
    }
    pthread_mutex_unlock(&hanging.lock);
    /* All of this while the plug holds the change lock. */
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    assert_int_equal(rig->nr_config_changed, 2);
    assert_int_equal(rig_config(rig).plugged_size, 0);
    assert_true(rig_info(rig).requested_size == RIG_BLOCK);
    assert_int_equal(rig_status(rig).requested_size, RIG_BLOCK);
    assert_int_equal(rig_state(rig, 0, 4), VMEM_STATE_UNPLUGGED);
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    pthread_mutex_lock(&hanging.lock);
    hanging.may_go = true;
    pthread_cond_broadcast(&hanging.changed);
    pthread_mutex_unlock(&hanging.lock);
    pthread_join(thread, NULL);
    assert_false(hanging.timed_out);
    /* It was judged by the size that held when it came. */
    assert_int_equal(hanging.response, ACK);
    rig->on_populate = NULL;
    rig_free(rig);
}

/* The tracker. */

static void assert_status(struct rig *rig, uint32_t state, uint32_t reason)
{
    struct vmem_resize_status status = rig_status(rig);
    struct vmem_device_info info = rig_info(rig);

    assert_int_equal(status.state, state);
    assert_int_equal(status.reason, reason);
    assert_true(status.requested_size == info.requested_size);
    assert_true(status.plugged_size == info.plugged_size);
    if (reason != VMEM_STALL_HOST_BUSY) {
        assert_int_equal(status.busy_reason, 0);
        assert_int_equal(status.busy_errno, 0);
        assert_string_equal(status.busy_by, "");
    }
}

static void with_all_plugged_it_is_idle_whatever_else(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, 0);
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig->now_ns += 1000 * SECOND;
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig_resize(rig, 4 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_unplug(rig, 0, 1), BUSY);
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig_thaw(rig, "migration");
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig_free(rig);
}

static void without_a_driver_it_is_stalled_at_once(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_NO_DRIVER);
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_NO_DRIVER);
    /* A driver that negotiated before we were asked shows by a request. */
    rig_state(rig, 0, 1);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig_free(rig);
}

static void a_clock_that_goes_back_stalls_nobody(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    rig->now_ns += 5 * SECOND;
    rig_resize(rig, RIG_REGION);
    rig->now_ns -= 2 * SECOND;
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig->now_ns += 2 * SECOND + VMEM_DEVICE_STALL_AFTER_NS;
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_SILENT);
    rig_free(rig);
}

static void a_silent_guest_stalls_after_exactly_the_limit(void **u)
{
    static const uint64_t limits[] = { 0, 1, 3 * SECOND };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        const uint64_t limit =
            limits[i] != 0 ? limits[i] : VMEM_DEVICE_STALL_AFTER_NS;
        struct rig *rig = rig_new(
            &(struct rig_options){ .config = { .stall_after_ns = limits[i] } });

        assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
        rig->now_ns += 5 * SECOND;
        rig_resize(rig, RIG_REGION);
        assert_true(rig_status(rig).requested_ns == rig->now_ns);
        rig->now_ns += limit - 1;
        assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
        rig->now_ns += 1;
        assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_SILENT);
        /* Asking again starts anew. */
        rig_resize(rig, RIG_REGION);
        assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
        rig_free(rig);
    }
}

static void a_guest_that_stops_half_way_has_refused(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 64), ACK);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    assert_true(rig_status(rig).last_progress_ns == rig->now_ns);
    rig->now_ns += 9 * SECOND;
    assert_int_equal(rig_plug(rig, 64, 1), ACK);
    rig->now_ns += 10 * SECOND - 1;
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig->now_ns += 1;
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_REFUSED);
    assert_int_equal(rig_plug(rig, 65, 1), ACK);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    /* The same on the way down. */
    rig_resize(rig, RIG_BLOCK);
    assert_status(rig, VMEM_RESIZE_SHRINKING, VMEM_STALL_NONE);
    rig->now_ns += 10 * SECOND;
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_SILENT);
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    assert_status(rig, VMEM_RESIZE_SHRINKING, VMEM_STALL_NONE);
    rig->now_ns += 10 * SECOND;
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_REFUSED);
    assert_int_equal(rig_unplug(rig, 1, 64), ACK);
    assert_status(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    rig_free(rig);
}

static void answers_that_change_no_size_are_no_progress(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t started_ns;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    started_ns = rig->now_ns;
    for (int i = 0; i < 4; i++) {
        rig->now_ns += SECOND;
        assert_int_equal(rig_plug(rig, 0, 1), ERROR);
        assert_int_equal(rig_plug(rig, 1, 200), NACK);
        rig_state(rig, 0, 1);
        assert_true(rig_status(rig).last_progress_ns == started_ns);
    }
    assert_int_equal(rig_unplug_all(rig), ACK);
    started_ns = rig->now_ns;
    rig->now_ns += SECOND;
    assert_int_equal(rig_unplug_all(rig), ACK); /* of nothing */
    assert_true(rig_status(rig).last_progress_ns == started_ns);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_true(rig_status(rig).last_progress_ns == started_ns);
    rig_free(rig);
}

static void a_busy_answer_names_who_and_why(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct rig_listener *listener = rig_listen(rig, "vfio");
    struct vmem_resize_status status;

    (void)u;
    rig_freeze(rig, "migration");
    rig_freeze(rig, "snapshot");
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    status = rig_status(rig);
    assert_int_equal(status.state, VMEM_RESIZE_STALLED);
    assert_int_equal(status.reason, VMEM_STALL_HOST_BUSY);
    assert_int_equal(status.busy_reason, VMEM_REASON_FROZEN);
    assert_int_equal(status.busy_errno, -EBUSY);
    assert_string_equal(status.busy_by, "migration");
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_BUSY)->blame,
                     VMEM_BLAME_HOST);
    assert_non_null(
        strstr(rig_last_log(rig, VMEM_LOG_CODE_BUSY)->message, "migration"));
    rig_thaw(rig, "migration");
    assert_status(rig, VMEM_RESIZE_STALLED, VMEM_STALL_HOST_BUSY);
    rig_thaw(rig, "snapshot");
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);

    listener->fail_at = 1;
    listener->fail_code = -ENOSPC;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    status = rig_status(rig);
    assert_int_equal(status.busy_reason, VMEM_REASON_LISTENER_VETO);
    assert_int_equal(status.busy_errno, -ENOSPC);
    assert_string_equal(status.busy_by, "vfio");
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);

    rig->memory.populate.error = -ENOMEM;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    status = rig_status(rig);
    assert_int_equal(status.busy_reason, VMEM_REASON_POPULATE_FAILED);
    assert_int_equal(status.busy_errno, -ENOMEM);
    assert_string_equal(status.busy_by, "");
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_BUSY)->blame,
                     VMEM_BLAME_OS);
    rig->memory.populate.error = 0;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig_free(rig);
}

/* As a thaw does: whoever leaves is no cause any more, and Linux would wait. */
static void
a_listener_that_refused_lets_the_guest_try_again_when_it_leaves(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener = rig_listen(rig, "vfio");

    (void)u;
    listener->fail_at = 1;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    assert_string_equal(rig_status(rig).busy_by, "vfio");
    assert_int_equal(rig->nr_config_changed, 0);
    rig_unlisten(listener);
    assert_int_equal(rig->nr_config_changed, 1);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_free(rig);
}

static void a_listener_that_is_no_cause_leaves_silently(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *never = rig_listen(rig, "never");
    struct rig_listener *once = rig_listen(rig, "once");
    struct rig_listener *last = rig_listen(rig, "last");

    (void)u;
    once->fail_at = 1;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    last->fail_at = 1;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    rig_unlisten(never);
    rig_unlisten(once);
    assert_int_equal(rig->nr_config_changed, 0);
    assert_string_equal(rig_status(rig).busy_by, "last");
    /* Nor is it when something else was the cause since, or nothing. */
    rig_freeze(rig, "last");
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    rig_unlisten(last);
    assert_int_equal(rig->nr_config_changed, 0);
    assert_int_equal(rig_status(rig).busy_reason, VMEM_REASON_FROZEN);
    rig_thaw(rig, "last");
    assert_int_equal(rig->nr_config_changed, 1);
    last = rig_listen(rig, "last");
    last->fail_at = 1;
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_unlisten(last);
    assert_int_equal(rig->nr_config_changed, 1);
    rig_free(rig);
}

static void busy_is_over_when_the_next_answer_is_another(void **u)
{
    static const struct {
        uint16_t first_block;
        uint16_t nr_blocks;
        uint16_t response;
    } cases[] = { { 0, 1, ACK }, { 0, 200, NACK }, { 0, 0, ERROR } };

    (void)u;
    for (size_t i = 0; i <= G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new_default();
        struct rig_listener *listener = rig_listen(rig, "vfio");

        listener->fail_at = 1;
        assert_int_equal(rig_plug(rig, 0, 1), BUSY);
        assert_int_equal(rig_status(rig).reason, VMEM_STALL_HOST_BUSY);
        if (i < G_N_ELEMENTS(cases)) {
            assert_int_equal(
                rig_plug(rig, cases[i].first_block, cases[i].nr_blocks),
                cases[i].response);
        } else {
            assert_int_equal(rig_unplug_all(rig), ACK);
        }
        assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
        rig_free(rig);
    }
}

static void asking_for_a_size_forgets_the_last_busy(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_freeze(rig, "migration");
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    assert_int_equal(rig_status(rig).reason, VMEM_STALL_HOST_BUSY);
    rig_resize(rig, RIG_REGION);
    assert_status(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

static void resize_changed_is_told_once_for_each_change(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig->nr_resize_changed, 0);
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(rig->nr_resize_changed, 1); /* idle -> no driver */
    assert_int_equal(rig->told_status.state, VMEM_RESIZE_STALLED);
    assert_int_equal(rig->told_status.reason, VMEM_STALL_NO_DRIVER);
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(rig->nr_resize_changed, 1);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig->nr_resize_changed, 2); /* growing */
    assert_int_equal(rig->told_status.state, VMEM_RESIZE_GROWING);
    assert_int_equal(rig_plug(rig, 1, 1), ACK);
    rig_state(rig, 0, 1);
    assert_int_equal(rig->nr_resize_changed, 2);
    rig->now_ns += 10 * SECOND;
    assert_int_equal(rig->nr_resize_changed, 2); /* nobody looked */
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(rig->nr_resize_changed, 3);
    assert_int_equal(rig->told_status.reason, VMEM_STALL_GUEST_REFUSED);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_plug(rig, 2, 1), BUSY);
    assert_int_equal(rig->nr_resize_changed, 4);
    assert_int_equal(rig->told_status.reason, VMEM_STALL_HOST_BUSY);
    assert_string_equal(rig->told_status.busy_by, "migration");
    assert_int_equal(rig_plug(rig, 2, 1), BUSY);
    assert_int_equal(rig->nr_resize_changed, 4);
    rig_thaw(rig, "migration");
    assert_int_equal(rig->nr_resize_changed, 5);
    rig_resize(rig, 2 * RIG_BLOCK);
    assert_int_equal(rig->nr_resize_changed, 6); /* idle */
    assert_int_equal(rig->told_status.state, VMEM_RESIZE_IDLE);
    rig_resize(rig, RIG_BLOCK);
    assert_int_equal(rig->nr_resize_changed, 7); /* shrinking */
    assert_int_equal(rig->told_status.state, VMEM_RESIZE_SHRINKING);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(rig->nr_resize_changed,
                     8); /* nothing plugged, no driver */
    assert_int_equal(rig->told_status.reason, VMEM_STALL_NO_DRIVER);
    assert_int_equal(rig->told_status.struct_size,
                     sizeof(struct vmem_resize_status));
    rig_free(rig);
}

static void poll_and_kick_refuse_null(void **u)
{
    (void)u;
    assert_int_equal(vmem_device_poll_resize(NULL), -EINVAL);
    assert_int_equal(vmem_device_notify_config(NULL), -EINVAL);
}

static void only_the_last_thaw_notifies_and_only_once(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_freeze(rig, "a");
    rig_freeze(rig, "b");
    rig_freeze(rig, "c");
    rig_thaw(rig, "b");
    rig_thaw(rig, "a");
    assert_int_equal(rig->nr_config_changed, 0);
    rig_thaw(rig, "c");
    assert_int_equal(rig->nr_config_changed, 1);
    assert_int_equal(vmem_region_thaw(rig->region, "c", NULL), -ENOENT);
    assert_int_equal(rig->nr_config_changed, 1);
    rig_free(rig);
}

static void freeze_again_in_the_thaw_notification(struct rig *rig)
{
    rig->on_config_changed = NULL;
    *(int *)rig->user = vmem_region_freeze(rig->region, "again", NULL);
}

static void a_thaw_notification_may_freeze_again(void **u)
{
    struct rig *rig = rig_new_default();
    int ret = 1;

    (void)u;
    rig->user = &ret;
    rig->on_config_changed = freeze_again_in_the_thaw_notification;
    rig_freeze(rig, "migration");
    rig_thaw(rig, "migration");
    assert_int_equal(ret, 0);
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    rig_thaw(rig, "again");
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_gives_the_usable_size_it_promises),
        cmocka_unit_test(
            an_explicit_usable_size_holds_until_the_policy_wants_more),
        cmocka_unit_test(resize_counts_notifies_and_works_while_frozen),
        cmocka_unit_test(a_reader_never_sees_half_a_resize),
        cmocka_unit_test(resize_and_queries_do_not_wait_for_a_plug_that_hangs),
        cmocka_unit_test(with_all_plugged_it_is_idle_whatever_else),
        cmocka_unit_test(without_a_driver_it_is_stalled_at_once),
        cmocka_unit_test(a_clock_that_goes_back_stalls_nobody),
        cmocka_unit_test(a_silent_guest_stalls_after_exactly_the_limit),
        cmocka_unit_test(a_guest_that_stops_half_way_has_refused),
        cmocka_unit_test(answers_that_change_no_size_are_no_progress),
        cmocka_unit_test(a_busy_answer_names_who_and_why),
        cmocka_unit_test(
            a_listener_that_refused_lets_the_guest_try_again_when_it_leaves),
        cmocka_unit_test(a_listener_that_is_no_cause_leaves_silently),
        cmocka_unit_test(busy_is_over_when_the_next_answer_is_another),
        cmocka_unit_test(asking_for_a_size_forgets_the_last_busy),
        cmocka_unit_test(resize_changed_is_told_once_for_each_change),
        cmocka_unit_test(poll_and_kick_refuse_null),
        cmocka_unit_test(only_the_last_thaw_notifies_and_only_once),
        cmocka_unit_test(a_thaw_notification_may_freeze_again),
    };

    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
