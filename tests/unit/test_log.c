/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#define SECOND_NS ((uint64_t)1000000000)

/* A log with a clock that the test moves, and what came out. */
struct fixture {
    struct vmemi_log log;
    struct vmemi_log_queue queue;
    uint64_t now_ns;
    unsigned int nr_records;
    struct vmem_log_record last;
    char object[VMEM_NAME_MAX + 1];
    char message[512];
};

static uint64_t read_clock(void *opaque)
{
    return ((struct fixture *)opaque)->now_ns;
}

static void sink(const struct vmem_log_record *record, void *opaque)
{
    struct fixture *it = opaque;

    it->nr_records++;
    it->last = *record;
    snprintf(it->object, sizeof(it->object), "%s", record->object);
    snprintf(it->message, sizeof(it->message), "%s", record->message);
    errno = EXDEV;
}

static int set_up(void **state)
{
    static struct fixture it;

    memset(&it, 0, sizeof(it));
    it.now_ns = 5;
    it.log.sink = sink;
    it.log.opaque = &it;
    it.log.clock_ns = read_clock;
    it.log.clock_opaque = &it;
    *state = &it;
    return vmemi_log_init(&it.log);
}

static int tear_down(void **state)
{
    vmemi_log_destroy(&((struct fixture *)*state)->log);
    return 0;
}

/* One record of a code, sent at once. */
static void say(struct fixture *it, uint32_t code)
{
    vmemi_log_add(&it->log, &it->queue, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
                  code, "dog", "bit %d", 7);
    vmemi_log_send(&it->log, &it->queue);
}

static void a_record_arrives_whole(void **state)
{
    struct fixture *it = *state;

    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->nr_records, 1);
    assert_int_equal(it->last.struct_size, sizeof(it->last));
    assert_int_equal(it->last.level, VMEM_LOG_WARNING);
    assert_int_equal(it->last.blame, VMEM_BLAME_GUEST);
    assert_int_equal(it->last.code, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->last.suppressed, 0);
    assert_string_equal(it->object, "dog");
    assert_string_equal(it->message, "bit 7");
}

static void nothing_is_sent_before_the_locks_are_dropped(void **state)
{
    struct fixture *it = *state;

    vmemi_log_add(&it->log, &it->queue, VMEM_LOG_ERROR, VMEM_BLAME_OS,
                  VMEM_LOG_CODE_RETAINED, "dog", "x");
    assert_int_equal(it->nr_records, 0);
    vmemi_log_send(&it->log, &it->queue);
    assert_int_equal(it->nr_records, 1);
    vmemi_log_send(&it->log, &it->queue);
    assert_int_equal(it->nr_records, 1);
}

/* QEMU's B49: log lines that a guest causes at any rate. */
static void a_burst_passes_and_the_rest_of_the_second_does_not(void **state)
{
    struct fixture *it = *state;

    for (unsigned int i = 0; i < 1000; i++) {
        say(it, VMEM_LOG_CODE_MALFORMED);
        it->now_ns += SECOND_NS / 1001;
    }
    assert_int_equal(it->nr_records, VMEM_LOG_BURST);
}

static void the_next_record_says_how_many_were_suppressed(void **state)
{
    struct fixture *it = *state;

    for (unsigned int i = 0; i < VMEM_LOG_BURST + 37; i++) {
        say(it, VMEM_LOG_CODE_MALFORMED);
    }
    assert_int_equal(it->last.suppressed, 0);
    it->now_ns += SECOND_NS;
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->nr_records, VMEM_LOG_BURST + 1);
    assert_int_equal(it->last.suppressed, 37);
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->last.suppressed, 0);
}

static void a_nanosecond_less_than_a_second_is_the_same_second(void **state)
{
    struct fixture *it = *state;

    for (unsigned int i = 0; i < VMEM_LOG_BURST; i++) {
        say(it, VMEM_LOG_CODE_MALFORMED);
    }
    it->now_ns += SECOND_NS - 1;
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->nr_records, VMEM_LOG_BURST);
    it->now_ns += 1;
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->nr_records, VMEM_LOG_BURST + 1);
}

/* Threads read the clock before they get to the lock. */
static void a_late_reading_of_the_clock_opens_no_new_second(void **state)
{
    struct fixture *it = *state;

    for (unsigned int i = 0; i < VMEM_LOG_BURST; i++) {
        say(it, VMEM_LOG_CODE_MALFORMED);
    }
    it->now_ns -= 1;
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(it->nr_records, VMEM_LOG_BURST);
}

static void the_count_of_suppressed_records_does_not_wrap(void **state)
{
    struct fixture *it = *state;

    for (unsigned int i = 0; i < VMEM_LOG_BURST; i++) {
        say(it, VMEM_LOG_CODE_UNVERIFIED);
    }
    it->log.codes[VMEM_LOG_CODE_UNVERIFIED].nr_suppressed = UINT32_MAX - 1;
    for (unsigned int i = 0; i < 3; i++) {
        say(it, VMEM_LOG_CODE_UNVERIFIED);
    }
    it->now_ns += SECOND_NS;
    say(it, VMEM_LOG_CODE_UNVERIFIED);
    assert_int_equal(it->last.suppressed, UINT32_MAX);
}

static void each_code_has_a_limit_of_its_own(void **state)
{
    struct fixture *it = *state;

    for (uint32_t code = 1; code <= VMEM_LOG_CODE_UNVERIFIED; code++) {
        for (unsigned int i = 0; i < 2 * VMEM_LOG_BURST; i++) {
            say(it, code);
        }
        assert_int_equal(it->nr_records, code * VMEM_LOG_BURST);
    }
}

static void a_full_queue_counts_what_it_drops(void **state)
{
    struct fixture *it = *state;
    const unsigned int room =
        sizeof(it->queue.records) / sizeof(it->queue.records[0]);

    for (unsigned int i = 0; i < room + 1; i++) {
        vmemi_log_add(&it->log, &it->queue, VMEM_LOG_ERROR, VMEM_BLAME_OS,
                      VMEM_LOG_CODE_RETAINED, "dog", "x");
    }
    vmemi_log_send(&it->log, &it->queue);
    assert_int_equal(it->nr_records, room);
    say(it, VMEM_LOG_CODE_RETAINED);
    assert_int_equal(it->nr_records, room + 1);
    assert_int_equal(it->last.suppressed, 1);
}

static void long_texts_are_cut(void **state)
{
    struct fixture *it = *state;
    char text[1000];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    vmemi_log_add(&it->log, &it->queue, VMEM_LOG_ERROR, VMEM_BLAME_OS,
                  VMEM_LOG_CODE_RETAINED, text, "%s", text);
    vmemi_log_send(&it->log, &it->queue);
    assert_int_equal(strlen(it->object), VMEM_NAME_MAX);
    assert_int_equal(strlen(it->message),
                     sizeof(it->queue.records[0].message) - 1);
}

static void the_sink_does_not_change_errno_of_the_caller(void **state)
{
    struct fixture *it = *state;

    errno = ENOENT;
    say(it, VMEM_LOG_CODE_MALFORMED);
    assert_int_equal(errno, ENOENT);
}

/* Runs the default sink and returns what it printed. */
static const char *print(struct fixture *it, uint32_t level, unsigned int nr)
{
    static char text[2000];
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    size_t size;

    assert_non_null(file);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    it->log.sink = NULL;
    for (unsigned int i = 0; i < nr; i++) {
        vmemi_log_add(&it->log, &it->queue, level, VMEM_BLAME_OS,
                      VMEM_LOG_CODE_RETAINED, "dog", "hello");
        vmemi_log_send(&it->log, &it->queue);
    }
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void without_a_sink_warnings_and_errors_are_printed(void **state)
{
    assert_string_equal(print(*state, VMEM_LOG_WARNING, 1),
                        "vmem: os: dog: hello\n");
    assert_string_equal(print(*state, VMEM_LOG_ERROR, 1),
                        "vmem: os: dog: hello\n");
}

static void without_a_sink_the_normal_is_silent(void **state)
{
    assert_string_equal(print(*state, VMEM_LOG_DEBUG, 1), "");
    assert_string_equal(print(*state, VMEM_LOG_INFO, 1), "");
}

static void the_printed_line_says_how_many_were_suppressed(void **state)
{
    struct fixture *it = *state;

    print(it, VMEM_LOG_ERROR, VMEM_LOG_BURST + 3);
    it->now_ns += SECOND_NS;
    assert_string_equal(print(it, VMEM_LOG_ERROR, 1),
                        "vmem: os: dog: hello (3 similar suppressed)\n");
}

static void every_blame_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(vmem_blame_name(0), "unknown");
    assert_string_equal(vmem_blame_name(VMEM_BLAME_GUEST), "guest");
    assert_string_equal(vmem_blame_name(VMEM_BLAME_HOST), "host");
    assert_string_equal(vmem_blame_name(VMEM_BLAME_OS), "os");
    assert_string_equal(vmem_blame_name(VMEM_BLAME_VMEM), "vmem");
    assert_string_equal(vmem_blame_name(VMEM_BLAME_VMEM + 1), "unknown");
    assert_string_equal(vmem_blame_name(UINT32_MAX), "unknown");
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_record_arrives_whole),
        LOG_TEST(nothing_is_sent_before_the_locks_are_dropped),
        LOG_TEST(a_burst_passes_and_the_rest_of_the_second_does_not),
        LOG_TEST(the_next_record_says_how_many_were_suppressed),
        LOG_TEST(a_nanosecond_less_than_a_second_is_the_same_second),
        LOG_TEST(a_late_reading_of_the_clock_opens_no_new_second),
        LOG_TEST(the_count_of_suppressed_records_does_not_wrap),
        LOG_TEST(each_code_has_a_limit_of_its_own),
        LOG_TEST(a_full_queue_counts_what_it_drops),
        LOG_TEST(long_texts_are_cut),
        LOG_TEST(the_sink_does_not_change_errno_of_the_caller),
        LOG_TEST(without_a_sink_warnings_and_errors_are_printed),
        LOG_TEST(without_a_sink_the_normal_is_silent),
        LOG_TEST(the_printed_line_says_how_many_were_suppressed),
        cmocka_unit_test(every_blame_has_a_name),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
