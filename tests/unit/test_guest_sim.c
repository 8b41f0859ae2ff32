/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "guest_sim.h"
#include "trace_write.h"

/* The simulated guests on a device of this file, which can be made wrong; what
 * they send is written down as "P0+64 U2+1 A S0+1", in blocks. */

#define BLOCK ((uint64_t)2 << 20)
#define GPA ((uint64_t)4 << 30)
#define GIB ((uint64_t)1 << 30)
#define SECOND_NS ((uint64_t)1000000000)
#define NR_BLOCKS 2048

enum wrong {
    RIGHT,
    WRONG_BLOCK_SIZE,
    WRONG_ALIGNMENT,
    WRONG_RANGE,
    WRONG_CONSTANT,
    WRONG_PLUGGED,
    WRONG_SHRANK,
    WRONG_UNANSWERED,
    WRONG_ANSWER,
    WRONG_ERROR,
    WRONG_NACK,
    WRONG_ACK,
    WRONG_STATE
};

struct fake {
    struct vmem_guest *guest;
    enum wrong wrong;
    uint8_t has[NR_BLOCKS];
    uint64_t plugged;   /* blocks */
    uint64_t requested; /* blocks */
    bool busy;
    int add_result;
    bool keep_empty; /* Linux cannot remove memory blocks */
    unsigned nr_resets;
    unsigned nr_config_reads;
    unsigned nr_findings;
    uint64_t rule; /* of the first finding */
    GString *sent;
};

static uint64_t get_le(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void put_le(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static void read_config(uint8_t *config, void *opaque)
{
    struct fake *fake = opaque;
    const bool late = ++fake->nr_config_reads > 3;

    put_le(config, fake->wrong == WRONG_BLOCK_SIZE ? 3 * BLOCK : BLOCK);
    put_le(config + 16,
           fake->wrong == WRONG_CONSTANT && late ? GPA + BLOCK : GPA);
    put_le(config + 24, fake->wrong == WRONG_RANGE ? BLOCK : NR_BLOCKS * BLOCK);
    put_le(config + 32, fake->wrong == WRONG_SHRANK && late
                            ? (NR_BLOCKS - 1) * BLOCK
                            : NR_BLOCKS * BLOCK);
    put_le(config + 40, fake->plugged * BLOCK +
                            (fake->wrong == WRONG_PLUGGED && late ? BLOCK : 0));
    put_le(config + 48, fake->requested * BLOCK +
                            (fake->wrong == WRONG_ALIGNMENT ? 4096 : 0));
}

static unsigned count(const struct fake *fake, uint64_t first, uint64_t nr)
{
    unsigned found = 0;

    for (uint64_t i = first; i < first + nr; i++) {
        found += fake->has[i];
    }
    return found;
}

static unsigned change(struct fake *fake, bool plug, uint64_t first,
                       uint64_t nr)
{
    if (nr == 0 || first >= NR_BLOCKS || nr > NR_BLOCKS - first ||
        count(fake, first, nr) != (plug ? 0 : nr) ||
        fake->wrong == WRONG_ERROR) {
        return fake->wrong == WRONG_ACK ? VMEM_GUEST_ACK : VMEM_GUEST_ERROR;
    }
    if (fake->wrong == WRONG_NACK ||
        (plug && fake->plugged + nr > fake->requested)) {
        return VMEM_GUEST_NACK;
    }
    memset(fake->has + first, plug, nr);
    fake->plugged += plug ? nr : -nr;
    return VMEM_GUEST_ACK;
}

static int request(const uint8_t *bytes, uint8_t *response, void *opaque)
{
    struct fake *fake = opaque;
    const unsigned type = (unsigned)get_le(bytes, 2);
    const uint64_t first = (get_le(bytes + 8, 8) - GPA) / BLOCK;
    const uint64_t nr = get_le(bytes + 16, 2);
    unsigned answer = VMEM_GUEST_ACK;

    g_string_append_c(fake->sent, "PUAS"[type]);
    if (type != VMEM_GUEST_UNPLUG_ALL) {
        g_string_append_printf(fake->sent, "%u+%u", (unsigned)first,
                               (unsigned)nr);
    }
    g_string_append_c(fake->sent, ' ');
    if (fake->wrong == WRONG_UNANSWERED) {
        return -1;
    }
    memset(response, 0, VMEM_GUEST_RESPONSE_SIZE);
    if (fake->wrong == WRONG_ANSWER) {
        answer = 7;
    } else if (type == VMEM_GUEST_STATE) {
        const unsigned found = count(fake, first, nr);

        response[8] = found == nr ? 0 : found == 0 ? 1 : 2;
        response[8] ^= fake->wrong == WRONG_STATE;
    } else if (fake->busy) {
        answer = VMEM_GUEST_BUSY;
    } else if (type == VMEM_GUEST_UNPLUG_ALL) {
        memset(fake->has, 0, sizeof(fake->has));
        fake->plugged = 0;
    } else {
        answer = change(fake, type == VMEM_GUEST_PLUG, first, nr);
    }
    response[0] = (uint8_t)answer;
    return 0;
}

static void reset(void *opaque)
{
    struct fake *fake = opaque;

    fake->nr_resets++;
}

static int add_memory(uint64_t gpa, uint64_t size, void *opaque)
{
    const struct fake *fake = opaque;

    (void)gpa;
    (void)size;
    return fake->add_result;
}

static int remove_memory(uint64_t gpa, uint64_t size, void *opaque)
{
    const struct fake *fake = opaque;

    (void)gpa;
    (void)size;
    return fake->keep_empty ? -EBUSY : 0;
}

static void finding(const struct vmem_guest_finding *found, void *opaque)
{
    struct fake *fake = opaque;

    if (fake->nr_findings++ == 0) {
        fake->rule = found->rule;
    }
}

static const struct vmem_guest_ops ops = {
    .struct_size = sizeof(ops),
    .request = request,
    .read_config = read_config,
    .reset = reset,
    .add_memory = add_memory,
    .remove_memory = remove_memory,
    .finding = finding,
};

static struct fake *make(const struct vmem_guest_config *shape)
{
    struct fake *fake = g_new0(struct fake, 1);
    struct vmem_guest_config config = { .struct_size = sizeof(config) };

    if (shape != NULL) {
        config = *shape;
        config.struct_size = sizeof(config);
    }
    fake->sent = g_string_new(NULL);
    assert_int_equal(vmem_guest_new(&config, &ops, fake, &fake->guest), 0);
    return fake;
}

static struct fake *make_and_boot(const struct vmem_guest_config *shape)
{
    struct fake *fake = make(shape);

    assert_int_equal(vmem_guest_boot(fake->guest), VMEM_GUEST_IDLE);
    return fake;
}

static void finish(struct fake *fake)
{
    vmem_guest_free(fake->guest);
    g_string_free(fake->sent, TRUE);
    g_free(fake);
}

static int ask(struct fake *fake, uint64_t nr_blocks)
{
    fake->requested = nr_blocks;
    vmem_guest_interrupt(fake->guest);
    return vmem_guest_run(fake->guest);
}

static void assert_sent(struct fake *fake, const char *expected)
{
    g_strchomp(fake->sent->str);
    assert_string_equal(fake->sent->str, expected);
    g_string_truncate(fake->sent, 0);
}

static struct vmem_guest_stats stats_of(const struct fake *fake)
{
    struct vmem_guest_stats stats = { .struct_size = sizeof(stats) };

    assert_int_equal(vmem_guest_get_stats(fake->guest, &stats), 0);
    return stats;
}

static void linux_grows_and_shrinks_by_memory_blocks(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    assert_int_equal(ask(fake, 150), VMEM_GUEST_IDLE);
    assert_sent(fake, "P0+64 P64+64 P128+22");
    assert_int_equal(ask(fake, 200), VMEM_GUEST_IDLE);
    assert_sent(fake, "P150+42 P192+8");
    assert_int_equal(ask(fake, 62), VMEM_GUEST_IDLE);
    assert_sent(fake, "U199+1 U198+1 U197+1 U196+1 U195+1 U194+1 U193+1 U192+1 "
                      "U128+64 U64+64 U63+1 U62+1");
    finish(fake);
}

static void linux_skips_what_is_pinned_and_comes_back(void **state)
{
    struct fake *fake = make_and_boot(NULL);
    uint64_t before = 0;

    (void)state;
    (void)ask(fake, 64);
    g_string_truncate(fake->sent, 0);
    vmem_guest_pin(fake->guest, GPA + 3 * BLOCK, 2 * BLOCK);
    assert_int_equal(ask(fake, 0), VMEM_GUEST_WAITING);
    assert_int_equal(fake->plugged, 2);
    for (unsigned i = 0; i < 6; i++) {
        static const unsigned seconds[] = { 50, 100, 200, 300, 300, 300 };
        const uint64_t wait = stats_of(fake).retry_at_ns - before;

        assert_int_equal(wait, seconds[i] * SECOND_NS);
        before += wait;
        (void)vmem_guest_advance(fake->guest, wait);
    }
    g_string_truncate(fake->sent, 0);
    vmem_guest_unpin(fake->guest, 0, UINT64_MAX);
    assert_int_equal(vmem_guest_advance(fake->guest, 300 * SECOND_NS),
                     VMEM_GUEST_IDLE);
    assert_sent(fake, "U4+1 U3+1");
    finish(fake);
}

static void linux_retries_busy_at_once_when_notified(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    fake->busy = true;
    assert_int_equal(ask(fake, 64), VMEM_GUEST_WAITING);
    assert_int_equal(vmem_guest_advance(fake->guest, 49 * SECOND_NS),
                     VMEM_GUEST_WAITING);
    assert_sent(fake, "P0+64");
    assert_int_equal(vmem_guest_advance(fake->guest, SECOND_NS),
                     VMEM_GUEST_WAITING);
    assert_sent(fake, "P0+64");
    fake->busy = false;
    vmem_guest_interrupt(fake->guest);
    assert_int_equal(vmem_guest_run(fake->guest), VMEM_GUEST_IDLE);
    assert_sent(fake, "P0+64");
    finish(fake);
}

static void linux_takes_back_what_it_cannot_add(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    fake->add_result = -ENOMEM;
    assert_int_equal(ask(fake, 100), VMEM_GUEST_WAITING);
    assert_sent(fake, "P0+64 U0+64");
    fake->add_result = 0;
    assert_int_equal(vmem_guest_advance(fake->guest, 50 * SECOND_NS),
                     VMEM_GUEST_IDLE);
    assert_sent(fake, "P0+64 P64+36");
    fake->add_result = -EEXIST;
    assert_int_equal(ask(fake, 200), VMEM_GUEST_BROKEN);
    finish(fake);
}

static void linux_removes_empty_blocks_later(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    (void)ask(fake, 64);
    fake->keep_empty = true;
    assert_int_equal(ask(fake, 0), VMEM_GUEST_WAITING);
    fake->keep_empty = false;
    assert_int_equal(vmem_guest_advance(fake->guest, 50 * SECOND_NS),
                     VMEM_GUEST_IDLE);
    assert_sent(fake, "P0+64 U0+64");
    finish(fake);
}

static void linux_adds_no_more_than_a_gib_offline(void **state)
{
    const struct vmem_guest_config shape = { .online =
                                                 VMEM_GUEST_ONLINE_OFFLINE };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    assert_int_equal(ask(fake, 768), VMEM_GUEST_STUCK);
    assert_int_equal(stats_of(fake).offline_size, GIB);
    assert_int_equal(
        vmem_guest_online(fake->guest, 0, UINT64_MAX, VMEM_GUEST_ONLINE_KERNEL),
        8);
    assert_int_equal(vmem_guest_run(fake->guest), VMEM_GUEST_IDLE);
    assert_int_equal(fake->plugged, 768);
    g_string_truncate(fake->sent, 0);
    (void)ask(fake, 764);
    assert_sent(fake, "U764+4"); /* offline: one request for a run */
    finish(fake);
}

static void big_blocks_are_all_or_nothing(void **state)
{
    const struct vmem_guest_config shape = { .kind = VMEM_GUEST_LINUX_BBM };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    (void)ask(fake, 200);
    assert_sent(fake, "P0+64 P64+64 P128+64");
    vmem_guest_pin(fake->guest, GPA + 100 * BLOCK, BLOCK);
    assert_int_equal(ask(fake, 0), VMEM_GUEST_WAITING);
    assert_sent(fake, "U128+64 U0+64");
    finish(fake);
}

static void two_gib_memory_blocks_need_room(void **state)
{
    const struct vmem_guest_config shape = { .memory_block_size = 2 * GIB };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    (void)ask(fake, 1100);
    assert_sent(fake, "P0+1024 P1024+76");
    assert_int_equal(stats_of(fake).capacity, 4 * GIB);
    finish(fake);
}

static void windows_plugs_in_one_request_and_never_pauses(void **state)
{
    const struct vmem_guest_config shape = { .kind = VMEM_GUEST_WINDOWS,
                                             .max_refusals = 5 };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    (void)ask(fake, 1000);
    assert_sent(fake, "P0+1000");
    vmem_guest_pin(fake->guest, GPA + 10 * BLOCK, BLOCK);
    (void)ask(fake, 0);
    assert_sent(fake, "U0+10 U11+989");
    fake->busy = true;
    assert_int_equal(ask(fake, 3), VMEM_GUEST_SPINNING);
    assert_sent(fake, "P11+2 P11+2 P11+2 P11+2 P11+2");
    fake->busy = false;
    assert_int_equal(vmem_guest_run(fake->guest), VMEM_GUEST_IDLE);
    finish(fake);
}

static void a_new_kernel_cleans_up(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    (void)ask(fake, 3);
    g_string_truncate(fake->sent, 0);
    assert_int_equal(vmem_guest_kexec(fake->guest), VMEM_GUEST_IDLE);
    assert_sent(fake, "A P0+3");
    fake->busy = true;
    assert_int_equal(vmem_guest_kexec(fake->guest), VMEM_GUEST_WAITING);
    assert_sent(fake, "A");
    fake->busy = false;
    assert_int_equal(vmem_guest_advance(fake->guest, 50 * SECOND_NS),
                     VMEM_GUEST_IDLE);
    assert_sent(fake, "A P0+3");
    assert_int_equal(fake->nr_findings, 0);
    finish(fake);
}

static void a_driver_cannot_be_reloaded_while_memory_is_used(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    (void)ask(fake, 3);
    vmem_guest_unload(fake->guest);
    assert_int_equal(vmem_guest_run(fake->guest), VMEM_GUEST_ABSENT);
    assert_int_equal(vmem_guest_load(fake->guest), -EBUSY);
    assert_int_equal(vmem_guest_boot(fake->guest), VMEM_GUEST_IDLE);
    (void)ask(fake, 0);
    vmem_guest_unload(fake->guest);
    assert_int_equal(vmem_guest_load(fake->guest), VMEM_GUEST_IDLE);
    assert_sent(fake, "P0+3 A P0+3 U2+1 U1+1 U0+1");
    /* boot, unload, the refused load, boot, unload, load */
    assert_int_equal(fake->nr_resets, 6);
    finish(fake);
}

static void windows_asks_for_the_state_of_what_it_finds(void **state)
{
    const struct vmem_guest_config shape = { .kind = VMEM_GUEST_WINDOWS };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    (void)ask(fake, 2);
    vmem_guest_unload(fake->guest);
    g_string_truncate(fake->sent, 0);
    assert_int_equal(vmem_guest_load(fake->guest), VMEM_GUEST_IDLE);
    assert_true(g_str_has_prefix(fake->sent->str, "S0+1 S1+1 S2+1 "));
    assert_int_equal(
        stats_of(fake).nr_requests[VMEM_GUEST_STATE][VMEM_GUEST_ACK],
        NR_BLOCKS);
    (void)ask(fake, 0);
    assert_true(g_str_has_suffix(fake->sent->str, "S2047+1 U0+2 "));
    finish(fake);
}

static void a_dump_asks_block_by_block(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    assert_int_equal(vmem_guest_kdump(fake->guest, GPA, GIB, 0), 0);
    assert_sent(fake, "");
    assert_int_equal(vmem_guest_boot(fake->guest), VMEM_GUEST_IDLE);
    (void)ask(fake, 2);
    g_string_truncate(fake->sent, 0);
    assert_int_equal(
        vmem_guest_kdump(fake->guest, GPA + BLOCK + 1, 2 * BLOCK, 2 * GIB), 0);
    assert_sent(fake, "S0+1024 S1024+1024 S1+1 S2+1 S3+1");
    assert_int_equal(ask(fake, 0), VMEM_GUEST_ABSENT);
    finish(fake);
}

static void loads_pin_and_release(void **state)
{
    for (uint64_t pattern = VMEM_GUEST_PATTERN_IDLE;
         pattern <= VMEM_GUEST_PATTERN_RANDOM; pattern++) {
        const struct vmem_guest_config shape = { .pattern = pattern,
                                                 .seed = 3 };
        const bool releases = pattern != VMEM_GUEST_PATTERN_IDLE &&
                              pattern != VMEM_GUEST_PATTERN_CHECKER;
        struct fake *fake = make_and_boot(&shape);
        uint64_t pinned;

        (void)ask(fake, NR_BLOCKS);
        pinned = stats_of(fake).pinned_size;
        assert_true(pinned > 0 && pinned <= NR_BLOCKS * BLOCK * 6 / 10);
        assert_int_equal(ask(fake, 0), VMEM_GUEST_WAITING);
        assert_int_equal(fake->plugged * BLOCK, pinned);
        (void)vmem_guest_advance(fake->guest, 20000 * SECOND_NS);
        assert_int_equal(fake->plugged > 0, !releases);
        finish(fake);
    }
    (void)state;
}

static void every_rule_is_noticed(void **state)
{
    static const struct {
        enum wrong wrong;
        uint64_t rule;
        int status; /* after a resize */
    } cases[] = {
        { WRONG_ALIGNMENT, VMEM_GUEST_RULE_ALIGNMENT, VMEM_GUEST_IDLE },
        { WRONG_RANGE, VMEM_GUEST_RULE_RANGE, VMEM_GUEST_STUCK },
        { WRONG_CONSTANT, VMEM_GUEST_RULE_CONSTANT, VMEM_GUEST_IDLE },
        { WRONG_PLUGGED, VMEM_GUEST_RULE_PLUGGED, VMEM_GUEST_IDLE },
        { WRONG_SHRANK, VMEM_GUEST_RULE_SHRANK, VMEM_GUEST_IDLE },
        { WRONG_UNANSWERED, VMEM_GUEST_RULE_UNANSWERED, VMEM_GUEST_BROKEN },
        { WRONG_ANSWER, VMEM_GUEST_RULE_ANSWER, VMEM_GUEST_WAITING },
        { WRONG_ERROR, VMEM_GUEST_RULE_ERROR, VMEM_GUEST_BROKEN },
        { WRONG_NACK, VMEM_GUEST_RULE_NACK, VMEM_GUEST_SPINNING },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct fake *fake = make(NULL);

        fake->wrong = cases[i].wrong;
        (void)vmem_guest_boot(fake->guest);
        assert_int_equal(ask(fake, 64), cases[i].status);
        assert_int_equal(fake->rule, cases[i].rule);
        assert_true(stats_of(fake).nr_findings[cases[i].rule] > 0);
        finish(fake);
    }
}

static void a_wrong_block_size_is_no_device(void **state)
{
    struct fake *fake = make(NULL);

    (void)state;
    fake->wrong = WRONG_BLOCK_SIZE;
    assert_int_equal(vmem_guest_boot(fake->guest), -EINVAL);
    assert_int_equal(fake->rule, VMEM_GUEST_RULE_BLOCK_SIZE);
    assert_int_equal(vmem_guest_run(fake->guest), VMEM_GUEST_ABSENT);
    finish(fake);
}

static void a_silent_change_is_noticed(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    fake->requested = 64;
    (void)vmem_guest_run(fake->guest);
    assert_int_equal(fake->nr_findings, 1);
    assert_int_equal(fake->rule, VMEM_GUEST_RULE_SILENT);
    finish(fake);
}

static void a_wrong_state_is_noticed(void **state)
{
    struct fake *fake = make_and_boot(NULL);

    (void)state;
    (void)ask(fake, 64);
    fake->wrong = WRONG_STATE;
    assert_int_equal(vmem_guest_kdump(fake->guest, GPA, BLOCK, 0), 0);
    assert_int_equal(fake->rule, VMEM_GUEST_RULE_STATE);
    finish(fake);
}

/* Windows after a resume plugs what is plugged: a device that lets it is
 * wrong. */
static void a_lax_device_is_noticed(void **state)
{
    const struct vmem_guest_config shape = { .kind = VMEM_GUEST_WINDOWS,
                                             .max_refusals = 3 };
    struct fake *fake = make_and_boot(&shape);

    (void)state;
    (void)ask(fake, 64);
    fake->requested = 128;
    assert_int_equal(vmem_guest_resume(fake->guest), VMEM_GUEST_SPINNING);
    assert_int_equal(fake->nr_findings, 0);
    fake->wrong = WRONG_ACK;
    (void)vmem_guest_run(fake->guest);
    assert_int_equal(fake->rule, VMEM_GUEST_RULE_ACK);
    finish(fake);
}

static void arguments_are_checked(void **state)
{
    struct vmem_guest_config config = { .struct_size = sizeof(config) };
    struct vmem_guest_ops bad_ops = ops;
    struct vmem_guest_stats stats = { .struct_size = sizeof(stats) - 1 };
    struct vmem_guest *guest = NULL;
    struct {
        struct vmem_guest_config config;
        uint64_t more;
    } longer = { .config = { .struct_size = sizeof(longer) } };

    (void)state;
    assert_int_equal(vmem_guest_new(NULL, &ops, NULL, &guest), -EINVAL);
    assert_int_equal(vmem_guest_new(&config, NULL, NULL, &guest), -EINVAL);
    assert_int_equal(vmem_guest_new(&config, &ops, NULL, NULL), -EINVAL);
    bad_ops.request = NULL;
    assert_int_equal(vmem_guest_new(&config, &bad_ops, NULL, &guest), -EINVAL);
    config.memory_block_size = 3 * BLOCK;
    assert_int_equal(vmem_guest_new(&config, &ops, NULL, &guest), -EINVAL);
    config.memory_block_size = 4 * GIB;
    assert_int_equal(vmem_guest_new(&config, &ops, NULL, &guest), -EINVAL);
    config.memory_block_size = 0;
    config.pattern = VMEM_GUEST_PATTERN_RANDOM + 1;
    assert_int_equal(vmem_guest_new(&config, &ops, NULL, &guest), -EINVAL);
    assert_int_equal(vmem_guest_new(&longer.config, &ops, NULL, &guest), 0);
    assert_int_equal(vmem_guest_get_stats(guest, &stats), -EINVAL);
    assert_int_equal(vmem_guest_kdump(guest, GPA, GIB, 0), -EINVAL);
    vmem_guest_free(guest);
    longer.more = 1;
    assert_int_equal(vmem_guest_new(&longer.config, &ops, NULL, &guest),
                     -E2BIG);
    vmem_guest_free(NULL);
    assert_string_equal(vmem_guest_kind_name(VMEM_GUEST_WINDOWS), "windows");
    assert_null(vmem_guest_pattern_name(VMEM_GUEST_PATTERN_RANDOM + 1));
    assert_string_equal(vmem_guest_status_name(VMEM_GUEST_ABSENT), "absent");
    assert_string_equal(vmem_guest_rule_clause(VMEM_GUEST_RULE_SILENT),
                        "CFG-10");
    assert_null(vmem_guest_rule_name(VMEM_GUEST_NR_RULES));
}

/* Events in any order come out by their numbers, and BUSY without a freeze in
 * a busy period of its own. */
static void a_trace_is_written_in_order(void **state)
{
    static const struct vmem_trace_event events[] = {
        { .kind = VMEM_TRACE_REQUEST,
          .sequence = 2,
          .time_ns = 2500000000,
          .gpa = GPA,
          .nr_blocks = 3,
          .response = VMEM_RESPONSE_BUSY,
          .reason = VMEM_REASON_LISTENER_VETO },
        { .kind = VMEM_TRACE_RESIZE,
          .sequence = 1,
          .time_ns = 1000000000,
          .size = 2 * BLOCK },
        { .kind = VMEM_TRACE_RESIZE,
          .sequence = 3,
          .time_ns = 3000000000,
          .size = 1,
          .code = -EINVAL },
        { .kind = VMEM_TRACE_FREEZE,
          .sequence = 4,
          .time_ns = 3000000000,
          .frozen = 1 },
        { .kind = VMEM_TRACE_REQUEST,
          .sequence = 5,
          .time_ns = 3000000000,
          .type = VMEM_REQUEST_UNPLUG_ALL,
          .response = VMEM_RESPONSE_BUSY,
          .reason = VMEM_REASON_FROZEN },
        { .kind = VMEM_TRACE_FREEZE, .sequence = 6, .time_ns = 3000000000 },
        { .kind = VMEM_TRACE_REQUEST,
          .sequence = 7,
          .time_ns = 4000000000,
          .type = VMEM_REQUEST_STATE,
          .gpa = GPA,
          .nr_blocks = 1,
          .state = VMEM_STATE_UNPLUGGED },
        { .kind = VMEM_TRACE_REQUEST,
          .sequence = 8,
          .time_ns = 4000000000,
          .gpa = GPA,
          .nr_blocks = 2 },
        { .kind = VMEM_TRACE_RESET,
          .sequence = 9,
          .time_ns = 4000000000,
          .type = VMEM_RESET_DRIVER },
        { .kind = VMEM_TRACE_LOAD,
          .sequence = 10,
          .time_ns = 5000000000,
          .size = 7 * BLOCK },
    };
    struct trace_writer *writer = trace_writer_new();
    struct trace_writer_device *device = trace_writer_add(writer);
    g_autofree char *text = NULL;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
        struct vmem_trace_event event = events[i];

        event.struct_size = sizeof(event);
        trace_writer_event(device, &event);
    }
    text = trace_writer_format(writer, "two\nlines");
    assert_non_null(strstr(text, "# vmem-trace 1\n# two\n# lines\ndevice "));
    assert_non_null(strstr(text, "\n1.000000 vmem0 resize 4194304\n"
                                 "2.500000 vmem0 busy on\n"
                                 "2.500000 vmem0 plug 0x100000000 3 busy\n"
                                 "2.500000 vmem0 busy off\n"
                                 "3.000000 vmem0 resize 1 refused\n"
                                 "3.000000 vmem0 busy on\n"
                                 "3.000000 vmem0 unplug_all busy\n"
                                 "3.000000 vmem0 busy off\n"
                                 "4.000000 vmem0 state 0x100000000 1 "
                                 "ack:unplugged\n"
                                 "4.000000 vmem0 plug 0x100000000 2 ack\n"
                                 "4.000000 vmem0 driver_reset\n"
                                 "# 5.000000 vmem0 loaded 14680064: a replay "
                                 "cannot follow\n"
                                 "end "));
    assert_non_null(strstr(text, " plugged_size=14680064\n"));
    trace_writer_free(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_grows_and_shrinks_by_memory_blocks),
        cmocka_unit_test(linux_skips_what_is_pinned_and_comes_back),
        cmocka_unit_test(linux_retries_busy_at_once_when_notified),
        cmocka_unit_test(linux_takes_back_what_it_cannot_add),
        cmocka_unit_test(linux_removes_empty_blocks_later),
        cmocka_unit_test(linux_adds_no_more_than_a_gib_offline),
        cmocka_unit_test(big_blocks_are_all_or_nothing),
        cmocka_unit_test(two_gib_memory_blocks_need_room),
        cmocka_unit_test(windows_plugs_in_one_request_and_never_pauses),
        cmocka_unit_test(a_new_kernel_cleans_up),
        cmocka_unit_test(a_driver_cannot_be_reloaded_while_memory_is_used),
        cmocka_unit_test(windows_asks_for_the_state_of_what_it_finds),
        cmocka_unit_test(a_dump_asks_block_by_block),
        cmocka_unit_test(loads_pin_and_release),
        cmocka_unit_test(every_rule_is_noticed),
        cmocka_unit_test(a_wrong_block_size_is_no_device),
        cmocka_unit_test(a_silent_change_is_noticed),
        cmocka_unit_test(a_wrong_state_is_noticed),
        cmocka_unit_test(a_lax_device_is_noticed),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(a_trace_is_written_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
