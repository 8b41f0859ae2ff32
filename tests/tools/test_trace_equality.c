/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include <vmem/vm.h>

#include "guest_sim.h"
#include "replay_state.h"
#include "rig.h"
#include "support/quiet.h"
#include "trace.h"
#include "wire.h"

/* Is the simulated Linux guest like the real ones?
 *
 *     test_trace_equality FOLDER
 *
 * For each recorded trace a simulated guest drives a real device, and must send
 * the recorded requests: type, address, count and order, and get the recorded
 * answers. It is told
 *
 *   - what the host did: resizes, resets, busy periods, in their place between
 *     the requests;
 *   - which blocks could not be freed in each pass: those that are plugged in
 *     the recording when the pass begins and for which it does not ask. A pass
 *     ends where the host does something, where the recording is silent for
 *     almost a retry period, and where a memory block is come back to, for a
 *     pass visits each one once;
 *   - that Linux had no memory for a memory block's bookkeeping, where the
 *     recording shows a PLUG that is taken back by the next request;
 *   - what a person did in the guest (struct subject). */

#define NS_PER_SECOND 1e9
/* Retries come after 50 s at least. */
#define SILENCE 45.0
#define MEMORY_BLOCK ((uint64_t)128 << 20)
/* Of passes that free nothing and so cannot be seen. */
#define MAX_SILENT_RETRIES 10

/* A recording, and what it cannot say by itself. */
struct subject {
    const char *name;
    uint64_t online;
    const char *exception; /* what else must be told, and why; or NULL */
    bool user_onlines;     /* user space brings blocks online before a shrink */
};

static const struct subject subjects[] = {
    { .name = "basic_kernel_61", .online = VMEM_GUEST_ONLINE_KERNEL },
    { .name = "basic_movable_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "bbm_256m_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "block1m_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "driver_reload_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "frag_kernel_61", .online = VMEM_GUEST_ONLINE_KERNEL },
    { .name = "kdump_61",
      .online = VMEM_GUEST_ONLINE_MOVABLE,
      .exception = "the crash, and which range the dump covers" },
    { .name = "memhog_oom_edge_61",
      .online = VMEM_GUEST_ONLINE_MOVABLE,
      .exception = "no memory for one memory block's bookkeeping" },
    { .name = "migration_busy_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "odd_sizes_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "offline_sysfs_61",
      .online = VMEM_GUEST_ONLINE_OFFLINE,
      .exception = "a person brings the blocks online by hand",
      .user_onlines = true },
    { .name = "qmp_reset_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "reboot_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "size_limit_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "tmpfs_pressure_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
    { .name = "two_nodes_61", .online = VMEM_GUEST_ONLINE_MOVABLE },
};

struct run;

struct side {
    struct run *run;
    int index; /* of the device in the trace */
    const struct trace_device *device;
    struct rig rig;
    struct vmem_guest *guest;
    uint8_t *plugged;    /* by the recording, one byte a block */
    double last_seconds; /* of its last request or host event */
    bool timer_fired;    /* the pass at hand is that of a timer */
};

struct run {
    const struct subject *subject;
    const struct trace *trace;
    struct vmem_vm *vm;
    struct side *sides;
    unsigned next; /* record */
    unsigned nr_requests;
    unsigned nr_passes; /* that sent something after a timer */
    uint64_t memory_block;
    char *difference; /* the first one */
};

G_GNUC_PRINTF(2, 3)
static void differ(struct run *run, const char *format, ...)
{
    va_list args;

    if (run->difference == NULL) {
        va_start(args, format);
        run->difference = g_strdup_vprintf(format, args);
        va_end(args);
    }
}

static const struct trace_record *peek(const struct run *run, unsigned i)
{
    return i < run->trace->records->len ? trace_get_record(run->trace, i)
                                        : NULL;
}

static bool is_request(const struct trace_record *record)
{
    uint16_t type;

    return replay_find_request(record->op, &type);
}

static bool is_reset(const struct trace_record *record)
{
    return record->op == TRACE_SYSTEM_RESET ||
           record->op == TRACE_DRIVER_RESET || record->op == TRACE_WAKEUP;
}

static bool concerns(const struct trace_record *record, const struct side *side)
{
    return record->device == TRACE_ALL_DEVICES || record->device == side->index;
}

/* Follows the recording. */
static void note(struct side *side, const struct trace_record *record)
{
    const uint64_t first =
        (record->gpa - side->device->gpa) / side->device->block_size;
    const uint64_t nr_blocks =
        side->device->region_size / side->device->block_size;

    side->last_seconds = record->seconds;
    if (record->op == TRACE_SYSTEM_RESET ||
        (record->op == TRACE_UNPLUG_ALL &&
         record->response == VMEM_RESPONSE_ACK)) {
        memset(side->plugged, 0, nr_blocks);
    }
    if (record->response == VMEM_RESPONSE_ACK &&
        (record->op == TRACE_PLUG || record->op == TRACE_UNPLUG)) {
        memset(side->plugged + first, record->op == TRACE_PLUG,
               record->nr_blocks);
    }
}

/* Marks what the pass that begins at the next record asks for. */
static void find_wanted(const struct side *side, uint8_t *wanted)
{
    const struct run *run = side->run;
    const struct trace_device *device = side->device;
    g_autoptr(GHashTable) visited = g_hash_table_new(NULL, NULL);
    double seconds = side->last_seconds;
    uint64_t unit = UINT64_MAX;

    for (unsigned i = run->next; i < run->trace->records->len; i++) {
        const struct trace_record *record = peek(run, i);
        const bool may_be_late = i == run->next && side->timer_fired;

        if (!concerns(record, side)) {
            continue;
        }
        if (record->op == TRACE_RESIZE || is_reset(record) ||
            (record->seconds - seconds >= SILENCE && !may_be_late)) {
            return;
        }
        seconds = record->seconds;
        if (record->op != TRACE_UNPLUG) {
            continue;
        }
        if (record->gpa / run->memory_block != unit) {
            unit = record->gpa / run->memory_block;
            if (!g_hash_table_add(visited, (void *)(uintptr_t)unit)) {
                return;
            }
        }
        memset(wanted + (record->gpa - device->gpa) / device->block_size, 1,
               record->nr_blocks);
    }
}

static void on_pass(void *opaque)
{
    struct side *side = opaque;
    const uint64_t block_size = side->device->block_size;
    const uint64_t nr_blocks = side->device->region_size / block_size;
    g_autofree uint8_t *wanted = g_new0(uint8_t, nr_blocks);

    find_wanted(side, wanted);
    side->timer_fired = false;
    vmem_guest_unpin(side->guest, 0, UINT64_MAX);
    for (uint64_t i = 0; i < nr_blocks; i++) {
        if (side->plugged[i] != 0 && wanted[i] == 0) {
            vmem_guest_pin(side->guest, side->device->gpa + i * block_size,
                           block_size);
        }
    }
}

static void apply_resize(struct side *side, const struct trace_record *record)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    if (side->run->subject->user_onlines &&
        record->size < rig_plugged_size(&side->rig)) {
        vmem_guest_online(side->guest, 0, UINT64_MAX,
                          VMEM_GUEST_ONLINE_MOVABLE);
    }
    ret = vmem_device_resize(side->rig.device, record->size, &err);
    if ((ret < 0) != record->refused) {
        differ(side->run, "line %u: %s", record->line,
               ret < 0 ? err.message : "a resize was not refused");
    }
}

static void apply_busy(struct side *side, const struct trace_record *record)
{
    const bool freeze = record->op == TRACE_BUSY_ON;
    int ret = freeze ? vmem_region_freeze(side->rig.region, RIG_FREEZER, NULL)
                     : vmem_region_thaw(side->rig.region, RIG_FREEZER, NULL);

    side->rig.frozen = freeze;
    if (ret < 0) {
        differ(side->run, "line %u: cannot freeze or thaw", record->line);
    }
}

/* What the host does next, but for resets. */
static void apply_host_events(struct run *run)
{
    for (;;) {
        const struct trace_record *record = peek(run, run->next);
        struct side *side;

        if (record == NULL || is_request(record) || is_reset(record)) {
            return;
        }
        run->next++;
        side = &run->sides[record->device];
        note(side, record);
        if (record->op == TRACE_RESIZE) {
            apply_resize(side, record);
        } else {
            apply_busy(side, record);
        }
    }
}

static void apply_reset(struct run *run, const struct trace_record *record)
{
    run->next++;
    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        struct side *side = &run->sides[i];

        if (!concerns(record, side)) {
            continue;
        }
        note(side, record);
        if (record->op == TRACE_SYSTEM_RESET) {
            (void)vmem_device_reset(side->rig.device, VMEM_RESET_SYSTEM, NULL);
            (void)vmem_guest_boot(side->guest);
        } else if (record->op == TRACE_DRIVER_RESET) {
            vmem_guest_unload(side->guest);
            (void)vmem_guest_load(side->guest);
        } else {
            (void)vmem_guest_resume(side->guest);
        }
    }
}

static void compare(struct side *side, const struct trace_record *record,
                    const uint8_t *request)
{
    struct run *run = side->run;
    uint16_t type = 0;
    uint64_t gpa;
    uint16_t nr_blocks;

    wire_request_range(request, &gpa, &nr_blocks);
    if (record == NULL || !replay_find_request(record->op, &type) ||
        record->device != side->index || type != wire_request_type(request) ||
        (type != VMEM_GUEST_UNPLUG_ALL &&
         (record->gpa != gpa || record->nr_blocks != nr_blocks))) {
        differ(run,
               "line %u: recorded is %s 0x%" PRIx64 " %u, simulated request "
               "type %u 0x%" PRIx64 " %u",
               record != NULL ? record->line : 0,
               record != NULL ? trace_op_name(record->op) : "the end",
               record != NULL ? record->gpa : 0,
               record != NULL ? record->nr_blocks : 0,
               wire_request_type(request), gpa, nr_blocks);
    }
}

static void compare_answer(struct run *run, const struct trace_record *record,
                           const uint8_t *response)
{
    const uint16_t type = wire_response_type(response);
    const uint16_t state = wire_response_state(response);

    if (type != record->response) {
        differ(run, "line %u: answered %s, recorded is %s", record->line,
               vmem_response_type_name(type),
               vmem_response_type_name(record->response));
    } else if (record->state != TRACE_NO_STATE && state != record->state) {
        differ(run, "line %u: answered %s, recorded is %s", record->line,
               vmem_block_state_name(state),
               vmem_block_state_name(record->state));
    }
}

static int on_request(const uint8_t *request, uint8_t *response, void *opaque)
{
    struct side *side = opaque;
    struct run *run = side->run;
    const struct trace_record *record = peek(run, run->next);

    compare(side, record, request);
    if (run->difference != NULL) {
        return -1; /* what comes now follows from it */
    }
    (void)vmem_device_handle_request(side->rig.device, request,
                                     VMEM_GUEST_REQUEST_SIZE, response,
                                     VMEM_GUEST_RESPONSE_SIZE, NULL);
    compare_answer(run, record, response);
    note(side, record);
    run->next++;
    run->nr_requests++;
    apply_host_events(run);
    return 0;
}

static void on_read_config(uint8_t *config, void *opaque)
{
    struct side *side = opaque;

    (void)vmem_device_read_config(side->rig.device, 0, config,
                                  VMEM_GUEST_CONFIG_SIZE);
}

/* Right after a PLUG: was it taken back by the next request? */
static int on_add_memory(uint64_t gpa, uint64_t size, void *opaque)
{
    const struct side *side = opaque;
    const struct trace_record *plug = peek(side->run, side->run->next - 1);
    const struct trace_record *unplug = peek(side->run, side->run->next);

    (void)size;
    return plug != NULL && unplug != NULL && plug->op == TRACE_PLUG &&
                   unplug->op == TRACE_UNPLUG && plug->gpa == gpa &&
                   unplug->gpa == gpa && unplug->nr_blocks == plug->nr_blocks
               ? -ENOMEM
               : 0;
}

static void on_finding(const struct vmem_guest_finding *finding, void *opaque)
{
    struct side *side = opaque;

    differ(side->run, "the guest complains: %s", finding->message);
}

static void on_config_changed(void *opaque)
{
    struct side *side = opaque;

    if (side->guest != NULL) {
        vmem_guest_interrupt(side->guest);
    }
}

static void assemble(struct run *run, uint64_t pageblock)
{
    const struct vmem_vm_config machine = {
        .struct_size = sizeof(machine),
        .name = "equality",
        /* A guest that is answered BUSY is what some recordings are about. */
        .log = quiet_log,
    };
    const struct vmem_device_ops device_ops = {
        .struct_size = sizeof(device_ops),
        .config_changed = on_config_changed,
    };
    const struct vmem_guest_ops ops = {
        .struct_size = sizeof(ops),
        .request = on_request,
        .read_config = on_read_config,
        .pass = on_pass,
        .add_memory = on_add_memory,
        .finding = on_finding,
    };
    const struct vmem_guest_config config = {
        .struct_size = sizeof(config),
        .memory_block_size = run->memory_block,
        .pageblock_size = pageblock,
        .online = run->subject->online,
    };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_vm_new(&machine, &run->vm, &err) < 0) {
        g_error("%s", err.message);
    }
    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        struct side *side = &run->sides[i];
        const struct rig_options options = {
            .kind = VMEM_BACKING_MEMFD,
            .ops = &device_ops,
            .opaque = side,
        };

        side->run = run;
        side->index = (int)i;
        side->device = trace_get_device(run->trace, i);
        side->plugged = g_new0(uint8_t, side->device->region_size /
                                            side->device->block_size);
        if (rig_init(&side->rig, run->vm, side->device, &options, 0, &err) <
                0 ||
            vmem_guest_new(&config, &ops, side, &side->guest) < 0) {
            g_error("cannot make a device or a guest: %s", err.message);
        }
    }
}

static void dismantle(struct run *run)
{
    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        struct side *side = &run->sides[i];

        vmem_guest_free(side->guest);
        side->guest = NULL;
        if (rig_dismantle(&side->rig, NULL) < 0) {
            differ(run, "cannot take a device apart");
        }
        rig_clear(&side->rig);
        g_free(side->plugged);
    }
    if (vmem_vm_free(run->vm, NULL) < 0) {
        differ(run, "cannot free the machine");
    }
}

/* A host event may have come while another guest was at work. */
static bool run_guests(struct run *run)
{
    const unsigned before = run->next;

    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        (void)vmem_guest_run(run->sides[i].guest);
    }
    return run->next > before;
}

/* The recorded guest crashed, and its dump was read. */
static void run_kdump(struct run *run, struct side *side,
                      const struct trace_record *first)
{
    uint64_t end = first->gpa;

    for (unsigned i = run->next;
         peek(run, i) != NULL && peek(run, i)->op == TRACE_STATE; i++) {
        end = peek(run, i)->gpa +
              peek(run, i)->nr_blocks * side->device->block_size;
    }
    (void)vmem_guest_kdump(side->guest, first->gpa, end - first->gpa, 0);
}

/* The guest sleeps and the recorded one sent something: its timer expired, once
 * or, seeing nothing that can be freed, several times. */
static void run_timer(struct run *run, struct side *side,
                      const struct trace_record *record)
{
    const unsigned before = run->next;
    const double start = side->last_seconds;
    const uint64_t start_ns = vmem_guest_get_now_ns(side->guest);

    for (unsigned i = 0; i < MAX_SILENT_RETRIES && run->next == before; i++) {
        struct vmem_guest_stats stats = { .struct_size = sizeof(stats) };
        uint64_t now_ns = vmem_guest_get_now_ns(side->guest);

        (void)vmem_guest_get_stats(side->guest, &stats);
        if (stats.retry_at_ns == VMEM_GUEST_NEVER) {
            differ(run, "line %u: the simulated guest sleeps without a timer",
                   record->line);
            return;
        }
        side->timer_fired = true;
        (void)vmem_guest_advance(side->guest, stats.retry_at_ns - now_ns);
        if (run->difference == NULL && run->next > before &&
            record->seconds - start <
                (double)(stats.retry_at_ns - start_ns) / NS_PER_SECOND - 0.1) {
            differ(run, "line %u: the timer of the real guest was shorter",
                   record->line);
        }
    }
    run->nr_passes++;
    if (run->next == before) {
        differ(run, "line %u: the simulated guest is silent", record->line);
    }
}

static void follow(struct run *run)
{
    const struct trace_record *record;

    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        if (vmem_guest_boot(run->sides[i].guest) < 0) {
            differ(run, "the driver cannot be loaded");
        }
    }
    while (run->difference == NULL && (record = peek(run, run->next)) != NULL) {
        if (run_guests(run)) {
            continue;
        }
        if (is_reset(record)) {
            apply_reset(run, record);
        } else if (!is_request(record)) {
            apply_host_events(run);
        } else if (record->op == TRACE_STATE) {
            run_kdump(run, &run->sides[record->device], record);
        } else {
            run_timer(run, &run->sides[record->device], record);
        }
    }
    (void)run_guests(run);
    for (unsigned i = 0; i < run->trace->devices->len; i++) {
        const struct side *side = &run->sides[i];

        if (rig_plugged_size(&side->rig) != side->device->end_plugged_size) {
            differ(run, "%s ends with another size", side->device->name);
        }
    }
}

/* NULL if all is equal; otherwise what is not. */
static char *run_subject(const struct subject *subject,
                         const struct trace *trace, uint64_t memory_block,
                         uint64_t pageblock, struct run *run)
{
    *run = (struct run){
        .subject = subject,
        .trace = trace,
        .memory_block = memory_block,
        .sides = g_new0(struct side, trace->devices->len),
    };
    assemble(run, pageblock);
    follow(run);
    dismantle(run);
    g_free(run->sides);
    return run->difference;
}

static struct trace *read_subject(const char *folder, const char *name)
{
    g_autofree char *file = g_strdup_printf("%s/%s.trace", folder, name);
    g_autoptr(GError) error = NULL;
    struct trace *trace = trace_read(file, &error);

    if (trace == NULL) {
        g_error("%s", error->message);
    }
    return trace;
}

/* A comparison that cannot fail shows nothing: guests with other memory blocks
 * or pageblocks must not pass for the recorded ones. */
static unsigned check_comparison(const char *folder)
{
    static const struct {
        const char *name;
        uint64_t memory_block;
        uint64_t pageblock;
    } wrong[] = {
        { "basic_movable_61", 2 * MEMORY_BLOCK, 0 },
        { "odd_sizes_61", MEMORY_BLOCK, 4 << 20 },
        { "frag_kernel_61", MEMORY_BLOCK, 4 << 20 },
    };
    unsigned nr_wrong = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        const struct subject subject = { .name = wrong[i].name };
        struct trace *trace = read_subject(folder, wrong[i].name);
        struct run run;
        g_autofree char *difference = run_subject(
            &subject, trace, wrong[i].memory_block, wrong[i].pageblock, &run);

        if (difference == NULL) {
            printf("%s: a guest of another shape was not noticed\n",
                   wrong[i].name);
            nr_wrong++;
        }
        trace_free(trace);
    }
    return nr_wrong;
}

/* Every trace in the folder is one of the subjects. */
static unsigned check_complete(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    unsigned nr = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        nr += g_str_has_suffix(name, ".trace");
    }
    if (nr != G_N_ELEMENTS(subjects)) {
        printf("%u traces in %s, %zu are compared\n", nr, folder,
               G_N_ELEMENTS(subjects));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned nr_wrong;

    if (argc != 2) {
        fprintf(stderr, "usage: test_trace_equality FOLDER\n");
        return 2;
    }
    nr_wrong = check_complete(argv[1]) + check_comparison(argv[1]);
    for (unsigned i = 0; i < G_N_ELEMENTS(subjects); i++) {
        const struct subject *subject = &subjects[i];
        struct trace *trace = read_subject(argv[1], subject->name);
        struct run run;
        g_autofree char *difference =
            run_subject(subject, trace, MEMORY_BLOCK, 0, &run);

        printf("%-20s %4u requests %s%s%s\n", subject->name, run.nr_requests,
               difference == NULL ? "identical" : difference,
               subject->exception != NULL ? "; also told: " : "",
               subject->exception != NULL ? subject->exception : "");
        nr_wrong += difference != NULL;
        trace_free(trace);
    }
    return nr_wrong > 0;
}
