/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of examples/minivmm that need no KVM: options, monitor, ACPI tables,
 * and a virtqueue whose bytes are a hostile guest's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instruments/instruments.h>

#define BLOCK (2 * MIB)
#define DESC 0x100000
#define AVAIL 0x110000
#define USED 0x120000
#define BUFFERS 0x130000
#define QUEUE_SIZE 8

static struct options options;
static struct vm vm;

static int setup(void **state)
{
    (void)state;
    options = (struct options){ .memory_size = 64 * MIB,
                                .nr_cpus = 2,
                                .nr_devices = 2 };
    for (unsigned i = 0; i < options.nr_devices; i++) {
        char text[64];

        snprintf(text, sizeof(text), "size=64M,block=2M,node=%u", i);
        if (parse_device(text, &options.devices[i]) != 0) {
            return -1;
        }
    }
    memset(&vm, 0, sizeof(vm));
    vm.options = &options;
    vm.machine_fd = -1;
    vm.demand_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return memory_open(&vm);
}

static int teardown(void **state)
{
    (void)state;
    memory_close(&vm);
    close(vm.demand_fd);
    return 0;
}

static void test_sizes_are_read(void **state)
{
    static const struct {
        const char *text;
        bool is_size;
        uint64_t size;
    } cases[] = {
        { "0", true, 0 },
        { "1", true, 1 },
        { "4K", true, 4096 },
        { "2M", true, 2 * MIB },
        { "3G", true, 3 * GIB },
        { "1T", true, 1024 * GIB },
        { "16777215T", true, 16777215 * (1024 * GIB) },
        { "16777216T", false, 0 },
        { "99999999999999999999", false, 0 },
        { "", false, 0 },
        { "M", false, 0 },
        { "-1", false, 0 },
        { "1MM", false, 0 },
        { "1 M", false, 0 },
        { "0x10", false, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t size = 0;

        assert_int_equal(parse_size(cases[i].text, &size), cases[i].is_size);
        if (cases[i].is_size) {
            assert_int_equal(size, cases[i].size);
        }
    }
}

static void test_a_device_is_read(void **state)
{
    char text[] = "size=1G,block=4M,node=1,backing=file:/x,inaccessible=off";
    struct device_options device;

    (void)state;
    assert_int_equal(parse_device(text, &device), 0);
    assert_int_equal(device.backing.size, GIB);
    assert_int_equal(device.backing.kind, VMEM_BACKING_FILE);
    assert_string_equal(device.backing.path, "/x");
    assert_int_equal(device.device.block_size, 4 * MIB);
    assert_int_equal(device.device.node_id, 1);
    assert_int_equal(device.device.flags,
                     VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE);
}

/* What the monitor answers, which is g_free()d; *ret is what it returned. */
static char *command(const char *words, bool json, int *ret)
{
    char *line = g_strdup(words);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct report report;

    report_start(&report, out, json);
    *ret = monitor_command(&vm, line, &report);
    report_finish(&report);
    fclose(out);
    g_free(line);
    return text;
}

static void test_every_command_answers_in_text_and_json(void **state)
{
    static const struct {
        const char *words;
        const char *has; /* in the text */
    } cases[] = {
        { "info memory-devices", "memaddr: 0x100000000" },
        { "info numa", "node 1" },
        { "info virtio-mem vmem1", "block-size: 2097152" },
        { "info records vmem0", "records:" },
        { "info pass", "device: none" },
        { "stats", "populate-calls: 0" },
        { "map vmem0", "plugged:" },
        { "resize vmem0 4M", "" },
        { "attach recorder vmem0", "" },
        { "detach recorder vmem0", "" },
        { "attach veto vmem0", "" },
        { "detach veto vmem0", "" },
        { "attach dma vmem0 4", "" },
        { "info virtio-mem vmem0", "dma-mappings: 0" },
        { "detach dma vmem0", "" },
        { "freeze", "" },
        { "thaw", "" },
        { "  help\t", "info numa" },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int ret;
        char *text = command(cases[i].words, false, &ret);

        assert_int_equal(ret, 0);
        assert_non_null(strstr(text, cases[i].has));
        free(text);
        if (g_str_has_prefix(cases[i].words, "attach") ||
            g_str_has_prefix(cases[i].words, "detach") ||
            strcmp(cases[i].words, "freeze") == 0 ||
            strcmp(cases[i].words, "thaw") == 0) {
            continue; /* not twice */
        }
        text = command(cases[i].words, true, &ret);
        g_autoptr(JsonParser) parser = json_parser_new();
        assert_true(json_parser_load_from_data(parser, text, -1, NULL));
        assert_int_equal(strchr(text, '\n') - text, (long)strlen(text) - 1);
        free(text);
    }
}

static void test_wrong_commands_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *words;
        const char *has;
    } cases[] = {
        { "", "no such command" },
        { "nonsense", "no such command" },
        { "info", "\"info\" is none of \"info memory-devices\", " },
        { "info nonsense", "\"info pass\"" },
        { "information", "no such command" },
        { "stats now", "the command is \"stats\"" },
        { "resize vmem0", "the command is \"resize DEV SIZE\"" },
        { "resize vmem0 1M 2M", "the command is \"resize DEV SIZE\"" },
        { "statsnow", "no such command" },
        { "resize vmem9 1M", "no device \"vmem9\"" },
        { "resize vmem0 much", "\"much\" is not a size" },
        { "resize vmem0 1M", "block size" },
        { "resize vmem0 1G", "vmem0" },
        { "thaw", "monitor" },
        { "attach nonsense vmem0",
          "\"attach nonsense vmem0\" is none of \"attach recorder\", "
          "\"attach veto\", \"attach dma\"" },
        { "attach dma vmem0", "the command is \"attach dma DEV LIMIT\"" },
        { "attach dma vmem0 x", "not a number" },
        { "detach veto vmem0", "not attached" },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int ret;
        char *text = command(cases[i].words, false, &ret);

        if (ret == 0 || strstr(text, cases[i].has) == NULL) {
            print_message("\"%s\": %s", cases[i].words, text);
        }
        assert_int_equal(ret, -1);
        assert_non_null(strstr(text, cases[i].has));
        free(text);
    }
}

static void test_quit_and_reset_reach_the_main_thread(void **state)
{
    int ret;

    (void)state;
    free(command("reset", false, &ret));
    assert_int_equal(vm.demand, DEMAND_RESET);
    free(command("quit", false, &ret));
    assert_int_equal(vm.demand, DEMAND_RESET); /* the first one counts */
}

/* What the main loop does when there is something from a client. */
static void serve(void)
{
    struct pollfd poll_fd = { monitor_fd(), POLLIN, 0 };

    assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    monitor_serve(&vm);
}

/* What minivmm --ctl prints for those words; *status is its exit status. */
static char *ctl(const char *path, bool json, const char *words, int *status)
{
    int ends[2];
    char *text = g_malloc0(4096);
    size_t used = 0;
    ssize_t got;

    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        char **argv = g_strsplit(words, " ", -1);

        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        const int ret =
            monitor_client(path, json, (int)g_strv_length(argv), argv);
        fflush(stdout);
        _exit(ret);
    }
    close(ends[1]);
    serve(); /* it connects */
    serve(); /* it asks */
    while ((got = read(ends[0], text + used, 4095 - used)) > 0) {
        used += (size_t)got;
    }
    close(ends[0]);
    waitpid(pid, status, 0);
    *status = WEXITSTATUS(*status);
    serve(); /* it hangs up */
    return text;
}

static void test_the_client_prints_answers_of_the_monitor(void **state)
{
    static const struct {
        const char *words;
        bool json;
        int status;
        const char *text;
    } cases[] = {
        { "info pass", false, 0, "device: none\n" },
        { "info pass", true, 0, "{\"device\": \"none\"}\n" },
        { "freeze", true, 0, "{}\n" },
        { "thaw", false, 0, "" },
        { "map vmem9", false, 1, "error: there is no device \"vmem9\"\n" },
        { "map vmem9", true, 1,
          "{\"error\": \"there is no device \\u0022vmem9\\u0022\"}\n" },
    };
    char *folder = g_dir_make_tmp("minivmm-XXXXXX", NULL);
    char *path = g_build_filename(folder, "monitor", NULL);

    (void)state;
    options.monitor = path;
    assert_int_equal(monitor_open(&vm), 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status;
        char *text = ctl(path, cases[i].json, cases[i].words, &status);

        assert_string_equal(text, cases[i].text);
        assert_int_equal(status, cases[i].status);
        g_free(text);
    }
    monitor_close(&vm);
    assert_int_equal(g_rmdir(folder), 0);
    options.monitor = NULL;
    g_free(path);
    g_free(folder);
}

/* A path that is taken may be the monitor of another, which goes on. */
static void test_a_path_that_is_taken_stays(void **state)
{
    g_autofree char *folder = g_dir_make_tmp("minivmm-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "monitor", NULL);

    (void)state;
    assert_true(g_file_set_contents(path, "", 0, NULL));
    options.monitor = path;
    assert_int_equal(monitor_open(&vm), -1);
    assert_int_equal(monitor_fd(), -1);
    monitor_close(&vm);
    options.monitor = NULL;
    assert_int_equal(g_unlink(path), 0);
    assert_int_equal(g_rmdir(folder), 0);
}

/* --- ACPI ------------------------------------------------------------------ */

static uint64_t number_at(uint64_t gpa, size_t size)
{
    uint64_t number = 0;

    assert_int_equal(memory_read(&vm, gpa, &number, size), 0);
    return number;
}

static uint64_t find_table(const char *name)
{
    const uint64_t rsdp = acpi_write(&vm);
    const uint64_t xsdt = number_at(rsdp + 24, 8);
    const uint64_t size = number_at(xsdt + 4, 4);

    for (uint64_t at = 36; at < size; at += 8) {
        const uint64_t table = number_at(xsdt + at, 8);
        char signature[5] = "";

        assert_int_equal(memory_read(&vm, table, signature, 4), 0);
        if (strcmp(signature, name) == 0) {
            return table;
        }
        if (strcmp(signature, "FACP") == 0 && strcmp(name, "DSDT") == 0) {
            return number_at(table + 140, 8);
        }
    }
    return 0;
}

static uint8_t sum(uint64_t gpa, uint64_t size)
{
    uint8_t total = 0;

    for (uint64_t i = 0; i < size; i++) {
        total = (uint8_t)(total + number_at(gpa + i, 1));
    }
    return total;
}

static void test_acpi_tables_add_up(void **state)
{
    static const char *const names[] = { "FACP", "DSDT", "APIC", "SRAT" };

    (void)state;
    const uint64_t rsdp = acpi_write(&vm);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const uint64_t table = find_table(names[i]);

        assert_int_not_equal(table, 0);
        assert_int_equal(sum(table, number_at(table + 4, 4)), 0);
    }
    assert_int_equal(number_at(find_table("FACP") + 4, 4), 276);
}

static void test_srat_names_the_node_of_each_device(void **state)
{
    const uint64_t srat = find_table("SRAT");
    const uint64_t end = srat + number_at(srat + 4, 4);
    unsigned nr_found = 0;

    (void)state;
    for (uint64_t at = srat + 48; at < end; at += number_at(at + 1, 1)) {
        for (unsigned i = 0; i < vm.nr_devices; i++) {
            if (number_at(at, 1) == 1 &&
                number_at(at + 8, 8) == vm.devices[i].gpa) {
                assert_int_equal(number_at(at + 2, 4), i);
                assert_int_equal(number_at(at + 16, 8), 64 * MIB);
                assert_int_equal(number_at(at + 28, 4), 3);
                nr_found++;
            }
        }
    }
    assert_int_equal(nr_found, vm.nr_devices);
}

static void test_iasl_understands_the_dsdt(void **state)
{
    g_autofree char *folder = g_dir_make_tmp("minivmm-XXXXXX", NULL);
    g_autofree char *aml = g_build_filename(folder, "dsdt.aml", NULL);
    g_autofree char *dsl = g_build_filename(folder, "dsdt.dsl", NULL);
    g_autofree char *iasl = g_find_program_in_path("iasl");
    g_autofree char *text = NULL;
    g_autofree char *ignored = NULL;
    const uint64_t dsdt = find_table("DSDT");
    const uint64_t size = number_at(dsdt + 4, 4);
    uint8_t bytes[4096];
    int status = -1;

    (void)state;
    if (iasl == NULL) {
        g_rmdir(folder);
        print_message("SKIP: iasl of acpica-tools is not there\n");
        skip();
    }
    assert_true(size <= sizeof(bytes));
    assert_int_equal(memory_read(&vm, dsdt, bytes, size), 0);
    assert_true(
        g_file_set_contents(aml, (const char *)bytes, (gssize)size, NULL));
    char option[] = "-d";
    char *words[] = { iasl, option, aml, NULL };
    assert_true(g_spawn_sync(folder, words, NULL, 0, NULL, NULL, &ignored, NULL,
                             &status, NULL));
    assert_int_equal(status, 0);
    assert_true(g_file_get_contents(dsl, &text, NULL, NULL));
    assert_non_null(strstr(text, "\"LNRO0005\""));
    assert_non_null(strstr(text, "EisaId (\"PNP0501\")"));
    assert_non_null(strstr(text, "0xD0001000"));
    assert_non_null(strstr(text, "Level, ActiveHigh, Exclusive"));
    assert_non_null(strstr(text, "Name (_S5, Package (0x04)"));
    unlink(aml);
    unlink(dsl);
    g_rmdir(folder);
}

/* --- a virtqueue ----------------------------------------------------------- */

static void put_memory(uint64_t gpa, const void *bytes, size_t size)
{
    assert_int_equal(memory_write(&vm, gpa, bytes, size), 0);
}

static void set_register(unsigned device, uint64_t offset, uint32_t value)
{
    virtio_access(&vm.devices[device].virtio, offset, &value, 4, true);
}

/* The rings of each device in memory of its own. */
static uint64_t place(unsigned device)
{
    return device * UINT64_C(0x100000);
}

/* What a driver does up to DRIVER_OK. */
static void start_driver(unsigned device)
{
    static const uint32_t features[] = { 0, 1 << (VIRTIO_F_VERSION_1 - 32) };

    static const uint8_t empty[4096];

    put_memory(AVAIL + place(device), empty, sizeof(empty));
    put_memory(USED + place(device), empty, sizeof(empty));
    set_register(device, VIRTIO_MMIO_STATUS, 0);
    set_register(device, VIRTIO_MMIO_STATUS, 3);
    for (uint32_t i = 0; i < 2; i++) {
        set_register(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        set_register(device, VIRTIO_MMIO_DRIVER_FEATURES, features[i]);
    }
    set_register(device, VIRTIO_MMIO_STATUS, 11);
    set_register(device, VIRTIO_MMIO_QUEUE_SEL, 0);
    set_register(device, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
    set_register(device, VIRTIO_MMIO_QUEUE_DESC_LOW,
                 (uint32_t)(DESC + place(device)));
    set_register(device, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                 (uint32_t)(AVAIL + place(device)));
    set_register(device, VIRTIO_MMIO_QUEUE_USED_LOW,
                 (uint32_t)(USED + place(device)));
    set_register(device, VIRTIO_MMIO_QUEUE_READY, 1);
    set_register(device, VIRTIO_MMIO_STATUS, 15);
}

static uint64_t get_register(unsigned device, uint64_t offset)
{
    uint32_t value = 0;

    virtio_access(&vm.devices[device].virtio, offset, &value, 4, false);
    return value;
}

static bool is_broken(unsigned device)
{
    return (get_register(device, VIRTIO_MMIO_STATUS) &
            VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

static void put_desc(unsigned device, unsigned index, uint64_t gpa,
                     uint32_t size, uint16_t flags, uint16_t next)
{
    const struct vring_desc desc = { gpa, size, flags, next };

    put_memory(DESC + place(device) + index * sizeof(desc), &desc,
               sizeof(desc));
}

/* Makes head available as entry number index, and notifies. */
static void submit(unsigned device, uint16_t index, uint16_t head)
{
    const uint16_t next = (uint16_t)(index + 1);

    put_memory(AVAIL + place(device) + 4 + 2 * (index % QUEUE_SIZE), &head, 2);
    put_memory(AVAIL + place(device) + 2, &next, 2);
    set_register(device, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

/* Plugs the first block, and expects that answer. */
static void plug(unsigned device, uint16_t index, int response)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { [16] = 1 };
    uint8_t answer[VMEM_DEVICE_RESPONSE_SIZE];
    const uint64_t gpa = BUFFERS + place(device);

    for (unsigned i = 0; i < 8; i++) {
        request[8 + i] = (uint8_t)(vm.devices[device].gpa >> 8 * i);
    }
    memset(answer, 0xff, sizeof(answer));
    put_memory(gpa, request, sizeof(request));
    put_memory(gpa + 64, answer, sizeof(answer));
    put_desc(device, 0, gpa, sizeof(request), VRING_DESC_F_NEXT, 1);
    put_desc(device, 1, gpa + 64, sizeof(answer), VRING_DESC_F_WRITE, 0);
    submit(device, index, 0);
    assert_int_equal(memory_read(&vm, gpa + 64, answer, sizeof(answer)), 0);
    assert_int_equal(answer[0], response);
    assert_int_equal(number_at(USED + place(device) + 2, 2), index + 1);
    assert_int_equal(number_at(USED + place(device) + 4 + 8 * index + 4, 4),
                     VMEM_DEVICE_RESPONSE_SIZE);
}

static uint64_t plugged_size(unsigned device)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(vm.devices[device].device, &info);
    return info.plugged_size;
}

static void test_a_request_is_answered(void **state)
{
    (void)state;
    start_driver(0);
    assert_int_equal(get_register(0, VIRTIO_MMIO_STATUS), 15);
    plug(0, 0, VMEM_RESPONSE_NACK); /* nothing is requested */
    assert_int_equal(vmem_device_resize(vm.devices[0].device, BLOCK, NULL), 0);
    assert_int_equal(get_register(0, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    set_register(0, VIRTIO_MMIO_INTERRUPT_ACK, 3);
    assert_int_equal(get_register(0, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    plug(0, 1, VMEM_RESPONSE_ACK);
    assert_int_equal(plugged_size(0), BLOCK);
    /* The driver's reset unplugs nothing, the system's everything. */
    set_register(0, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(plugged_size(0), BLOCK);
    memory_reset(&vm);
    assert_int_equal(plugged_size(0), 0);
}

static void test_features_that_were_not_offered_do_not_stick(void **state)
{
    (void)state;
    set_register(0, VIRTIO_MMIO_STATUS, 3);
    set_register(0, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set_register(0, VIRTIO_MMIO_DRIVER_FEATURES, 1 << 5);
    set_register(0, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set_register(0, VIRTIO_MMIO_DRIVER_FEATURES, 1);
    set_register(0, VIRTIO_MMIO_STATUS, 11);
    assert_int_equal(get_register(0, VIRTIO_MMIO_STATUS), 3);
}

/* The request split over every descriptor, one byte here, nothing there. */
static void test_any_split_of_a_request_is_understood(void **state)
{
    static const uint8_t unplug_all[VMEM_DEVICE_REQUEST_SIZE] = { 2 };
    uint8_t answer[VMEM_DEVICE_RESPONSE_SIZE];
    const uint16_t next = VRING_DESC_F_NEXT;

    (void)state;
    start_driver(0);
    memset(answer, 0xff, sizeof(answer));
    put_memory(BUFFERS, unplug_all, sizeof(unplug_all));
    put_memory(BUFFERS + 100, answer, sizeof(answer));
    put_desc(0, 7, BUFFERS, 1, next, 6);
    put_desc(0, 6, BUFFERS + 1, 0, next, 5);
    put_desc(0, 5, BUFFERS + 1, 22, next, 4);
    put_desc(0, 4, BUFFERS + 23, 1000, next, 3);
    put_desc(0, 3, BUFFERS + 100, 3, VRING_DESC_F_WRITE | next, 2);
    put_desc(0, 2, BUFFERS + 103, 0, VRING_DESC_F_WRITE | next, 1);
    put_desc(0, 1, BUFFERS + 103, 1000, VRING_DESC_F_WRITE, 0);
    submit(0, 0, 7);
    assert_int_equal(memory_read(&vm, BUFFERS + 100, answer, sizeof(answer)),
                     0);
    assert_int_equal(answer[0], VMEM_RESPONSE_ACK);
    assert_int_equal(answer[9], 0);
    assert_int_equal(number_at(USED + 4, 4), 7);
    assert_int_equal(number_at(USED + 8, 4), VMEM_DEVICE_RESPONSE_SIZE);
}

struct hostile {
    const char *what;
    uint16_t head;
    struct vring_desc desc[3];
};

static void test_hostile_chains_break_one_device_only(void **state)
{
    enum { N = VRING_DESC_F_NEXT, W = VRING_DESC_F_WRITE };
    static const struct hostile cases[] = {
        { "a loop", 0, { { BUFFERS, 24, N, 1 }, { BUFFERS, 1, N, 0 } } },
        { "a loop of one", 0, { { BUFFERS, 0, N, 0 } } },
        { "a head outside the table", QUEUE_SIZE, { { BUFFERS, 24, 0, 0 } } },
        { "a next outside", 0, { { BUFFERS, 24, N, 0xffff } } },
        { "a request outside memory", 0, { { 1ULL << 60, 24, N, 1 } } },
        { "the end of the addresses", 0, { { UINT64_MAX - 3, 24, N, 1 } } },
        { "a request across the end", 0, { { 64 * MIB - 8, 24, N, 1 } } },
        { "an answer outside memory",
          0,
          { { BUFFERS, 24, N, 1 }, { 1ULL << 60, 10, W, 0 } } },
        { "an answer in unplugged memory",
          0,
          { { BUFFERS, 24, N, 1 }, { HIGH_GPA, 10, W, 0 } } },
        { "a request in the device's registers",
          0,
          { { VIRTIO_GPA, 24, N, 1 } } },
        { "a short request",
          0,
          { { BUFFERS, 23, N, 1 }, { BUFFERS + 64, 10, W, 0 } } },
        { "a short answer",
          0,
          { { BUFFERS, 24, N, 1 }, { BUFFERS + 64, 9, W, 0 } } },
        { "no request", 0, { { BUFFERS, 100, W, 0 } } },
        { "readable behind writable",
          0,
          { { BUFFERS, 10, W | N, 1 }, { BUFFERS, 24, 0, 0 } } },
        { "an indirect table", 0, { { BUFFERS, 64, 4, 0 } } },
        { "an unknown type",
          0,
          { { BUFFERS + 128, 24, N, 1 }, { BUFFERS + 64, 10, W, 0 } } },
    };
    static const uint8_t plug_nothing[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    static const uint8_t unknown[VMEM_DEVICE_REQUEST_SIZE] = { 0, 1 };

    (void)state;
    put_memory(BUFFERS, plug_nothing, sizeof(plug_nothing));
    put_memory(BUFFERS + 128, unknown, sizeof(unknown));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint64_t nr_broken = vm.devices[0].virtio.nr_broken;

        start_driver(0);
        assert_false(is_broken(0));
        for (unsigned j = 0; j < 3; j++) {
            const struct vring_desc *desc = &cases[i].desc[j];

            put_desc(0, j, desc->addr, desc->len, desc->flags, desc->next);
        }
        submit(0, 0, cases[i].head);
        if (!is_broken(0)) {
            print_message("not noticed: %s\n", cases[i].what);
        }
        assert_true(is_broken(0));
        assert_int_equal(vm.devices[0].virtio.nr_broken, nr_broken + 1);
        assert_int_equal(plugged_size(0), 0);
        /* Nothing more happens, until a reset. */
        submit(0, 1, 0);
        assert_int_equal(number_at(USED + 2, 2), 0);
    }
    start_driver(1);
    assert_int_equal(vmem_device_resize(vm.devices[1].device, BLOCK, NULL), 0);
    plug(1, 0, VMEM_RESPONSE_ACK);
    start_driver(0);
    plug(0, 0, VMEM_RESPONSE_NACK);
}

static void test_rings_that_cannot_be_break_the_device(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t value;
    } cases[] = {
        { VIRTIO_MMIO_QUEUE_NUM, 0 },
        { VIRTIO_MMIO_QUEUE_NUM, 3 },
        { VIRTIO_MMIO_QUEUE_NUM, 2 * QUEUE_MAX },
        { VIRTIO_MMIO_QUEUE_NUM, UINT32_MAX },
        { VIRTIO_MMIO_QUEUE_DESC_LOW, DESC + 1 },
        { VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL + 1 },
        { VIRTIO_MMIO_QUEUE_USED_LOW, USED + 1 },
        { VIRTIO_MMIO_QUEUE_DESC_HIGH, UINT32_MAX },
        { VIRTIO_MMIO_QUEUE_AVAIL_HIGH, UINT32_MAX },
        { VIRTIO_MMIO_QUEUE_USED_HIGH, UINT32_MAX },
        { VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 1 }, /* not plugged */
        { VIRTIO_MMIO_QUEUE_USED_HIGH, 1 },
        { VIRTIO_MMIO_QUEUE_DESC_HIGH, 1 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static const uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 2 };

        start_driver(0);
        put_memory(BUFFERS, request, sizeof(request));
        put_desc(0, 0, BUFFERS, 24, VRING_DESC_F_NEXT, 1);
        put_desc(0, 1, BUFFERS + 64, 10, VRING_DESC_F_WRITE, 0);
        set_register(0, VIRTIO_MMIO_QUEUE_READY, 0);
        set_register(0, cases[i].offset, cases[i].value);
        set_register(0, VIRTIO_MMIO_QUEUE_READY, 1);
        submit(0, 0, 0);
        assert_true(is_broken(0));
    }
    /* An index that promises more than there can be. */
    start_driver(0);
    submit(0, QUEUE_SIZE, 0);
    assert_true(is_broken(0));
}

/* An answer that would land in the block that its request unplugs. */
static void test_a_request_may_unplug_its_own_answer(void **state)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 1, [16] = 1 };

    (void)state;
    start_driver(0);
    assert_int_equal(vmem_device_resize(vm.devices[0].device, BLOCK, NULL), 0);
    plug(0, 0, VMEM_RESPONSE_ACK);
    for (unsigned i = 0; i < 8; i++) {
        request[8 + i] = (uint8_t)(vm.devices[0].gpa >> 8 * i);
    }
    put_memory(BUFFERS, request, sizeof(request));
    put_desc(0, 1, vm.devices[0].gpa, 10, VRING_DESC_F_WRITE, 0);
    submit(0, 1, 0);
    assert_true(is_broken(0));
    assert_int_equal(plugged_size(0), 0);
}

static void test_random_bytes_are_survived(void **state)
{
    static const uint64_t seed = 20260101;
    GRand *random = g_rand_new_with_seed((guint32)seed);
    unsigned nr_broken = 0;

    (void)state;
    print_message("seed %" G_GUINT64_FORMAT "\n", seed);
    assert_int_equal(vmem_device_resize(vm.devices[0].device, 32 * MIB, NULL),
                     0);
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 8 == 0 || is_broken(0)) {
            start_driver(0);
        }
        for (unsigned j = 0; j < QUEUE_SIZE; j++) {
            const uint64_t places[] = { BUFFERS, vm.devices[0].gpa, DESC, USED,
                                        g_rand_int(random) };

            put_desc(0, j, places[g_rand_int_range(random, 0, 5)],
                     (uint32_t)g_rand_int_range(random, 0, 40),
                     (uint16_t)g_rand_int_range(random, 0, 4),
                     (uint16_t)g_rand_int_range(random, 0, QUEUE_SIZE + 1));
        }
        for (unsigned j = 0; j < 8; j++) {
            uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
            const uint64_t gpa =
                vm.devices[0].gpa +
                BLOCK * (uint64_t)g_rand_int_range(random, 0, 32);

            request[0] = (uint8_t)g_rand_int_range(random, 0, 5);
            request[16] = (uint8_t)g_rand_int_range(random, 0, 4);
            memcpy(request + 8, &gpa, sizeof(gpa));
            put_memory(BUFFERS + 8 * j, request, sizeof(request));
        }
        submit(0, (uint16_t)(i % 8),
               (uint16_t)g_rand_int_range(random, 0, QUEUE_SIZE));
        set_register(0, g_rand_int(random) % (4 * KIB), g_rand_int(random));
        nr_broken += is_broken(0);
        assert_int_equal(plugged_size(0) % BLOCK, 0);
        assert_true(plugged_size(0) <= 32 * MIB);
    }
    g_rand_free(random);
    assert_true(nr_broken > 100);
    start_driver(1);
    assert_int_equal(vmem_device_resize(vm.devices[1].device, BLOCK, NULL), 0);
    plug(1, 0, VMEM_RESPONSE_ACK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_read),
        cmocka_unit_test(test_a_device_is_read),
        TEST(test_every_command_answers_in_text_and_json),
        TEST(test_wrong_commands_are_refused_with_a_reason),
        TEST(test_quit_and_reset_reach_the_main_thread),
        TEST(test_the_client_prints_answers_of_the_monitor),
        TEST(test_a_path_that_is_taken_stays),
        TEST(test_acpi_tables_add_up),
        TEST(test_srat_names_the_node_of_each_device),
        TEST(test_iasl_understands_the_dsdt),
        TEST(test_a_request_is_answered),
        TEST(test_features_that_were_not_offered_do_not_stick),
        TEST(test_any_split_of_a_request_is_understood),
        TEST(test_hostile_chains_break_one_device_only),
        TEST(test_rings_that_cannot_be_break_the_device),
        TEST(test_a_request_may_unplug_its_own_answer),
        TEST(test_random_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
