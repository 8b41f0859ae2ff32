/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "minivmm.h"

#define DEFAULT_MEMORY (512 * MIB)
#define LEAST_MEMORY (64 * MIB)
#define MOST_MEMORY (512 * GIB)

static const char usage[] =
    "usage: minivmm --kernel FILE [OPTION]...\n"
    "       minivmm --ctl SOCKET [--json] COMMAND...\n"
    "\n"
    "Boots a Linux kernel under KVM, with its console on standard output and\n"
    "virtio-mem devices from libvmem.\n"
    "\n"
    "  --kernel FILE      a bzImage or the ELF file in it\n"
    "  --initrd FILE      its initramfs\n"
    "  --append TEXT      its command line (console=ttyS0)\n"
    "  --memory SIZE      boot RAM (512M)\n"
    "  --cpus N           CPUs (1)\n"
    "  --device KEY=VALUE,...  a virtio-mem device; may be repeated:\n"
    "      size=SIZE          how much it may have at most; required\n"
    "      block=SIZE         block size (what suits the backing)\n"
    "      requested=SIZE     to start with (0)\n"
    "      node=N             NUMA node (0)\n"
    "      backing=KIND       memfd (default), anon, anon-shared, hugetlb,\n"
    "                         file:PATH\n"
    "      inaccessible=MODE  UNPLUGGED_INACCESSIBLE: on (default), off, or\n"
    "                         require\n"
    "      name=NAME          (vmem0, vmem1, ...)\n"
    "  --stall SECONDS    silence of a guest that counts as stalled (10)\n"
    "  --monitor SOCKET   commands and events on a Unix socket; \"help\" "
    "lists\n"
    "                     them\n"
    "  --trace FILE       write the requests, for vmemctl replay\n"
    "  --pass ADDRESS     give the guest a PCI device, such as 0000:00:04.0, "
    "that\n"
    "                     is bound to vfio-pci\n"
    "  --json             the monitor, or --ctl, speaks JSON\n"
    "  --ctl SOCKET       run a command of the monitor of another minivmm\n";

int complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("minivmm: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}

bool parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "KMGT";
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 18) {
        return false;
    }
    uint64_t value = strtoull(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit != NULL) {
        const unsigned shift = 10 * (unsigned)(unit - units + 1);

        if (value > UINT64_MAX >> shift) {
            return false;
        }
        value <<= shift;
        end++;
    }
    *size = value;
    return *end == '\0';
}

static bool parse_number(const char *text, uint64_t most, uint64_t *number)
{
    return parse_size(text, number) && *number <= most;
}

static bool parse_backing(const char *text, struct device_options *device)
{
    static const uint32_t kinds[] = { VMEM_BACKING_MEMFD, VMEM_BACKING_ANON,
                                      VMEM_BACKING_ANON_SHARED,
                                      VMEM_BACKING_HUGETLB_MEMFD };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(vmem_backing_kind_name(kinds[i]), text) == 0) {
            device->backing = kinds[i];
            return true;
        }
    }
    if (strncmp(text, "file:", 5) != 0 || text[5] == '\0') {
        return false;
    }
    device->backing = VMEM_BACKING_FILE;
    device->path = text + 5;
    return true;
}

static bool parse_inaccessible(const char *text, struct device_options *device)
{
    if (strcmp(text, "off") == 0) {
        device->features &= ~VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE;
        return true;
    }
    device->features |= VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE;
    if (strcmp(text, "require") == 0) {
        device->flags |= VMEM_DEVICE_REQUIRE_INACCESSIBLE;
        return true;
    }
    return strcmp(text, "on") == 0;
}

static bool parse_name(const char *text, struct device_options *device)
{
    const size_t length = strlen(text);

    /* A word on monitor and trace lines. */
    if (length == 0 || length > VMEM_NAME_MAX ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_.-") != length) {
        return false;
    }
    memcpy(device->name, text, length + 1);
    return true;
}

static bool parse_pair(const char *key, const char *value,
                       struct device_options *device)
{
    return strcmp(key, "size") == 0    ? parse_size(value, &device->size)
           : strcmp(key, "block") == 0 ? parse_size(value, &device->block_size)
           : strcmp(key, "requested") == 0
               ? parse_size(value, &device->requested_size)
           : strcmp(key, "node") == 0
               ? parse_number(value, MAX_NODES - 1, &device->node)
           : strcmp(key, "backing") == 0 ? parse_backing(value, device)
           : strcmp(key, "inaccessible") == 0
               ? parse_inaccessible(value, device)
           : strcmp(key, "name") == 0 ? parse_name(value, device)
                                      : false;
}

int parse_device(char *text, unsigned index, struct device_options *device)
{
    char *rest = NULL;

    *device = (struct device_options){
        .backing = VMEM_BACKING_MEMFD,
        .features = VMEM_DEVICE_F_ACPI_PXM |
                    VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE |
                    VMEM_DEVICE_F_PERSISTENT_SUSPEND,
    };
    snprintf(device->name, sizeof(device->name), "vmem%u", index);
    for (char *key = strtok_r(text, ",", &rest); key != NULL;
         key = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(key, '=');

        if (value == NULL) {
            return complain("--device: \"%s\" has no value", key);
        }
        *value++ = '\0';
        if (!parse_pair(key, value, device)) {
            return complain("--device: there is no %s=%s", key, value);
        }
    }
    return device->size > 0 ? 0 : complain("--device: size is missing");
}

static int add_device(char *text, struct options *options)
{
    struct device_options *device = &options->devices[options->nr_devices];

    if (options->nr_devices == MAX_DEVICES) {
        return complain("more than %d devices", MAX_DEVICES);
    }
    if (parse_device(text, options->nr_devices, device) != 0) {
        return -1;
    }
    for (unsigned i = 0; i < options->nr_devices; i++) {
        if (strcmp(options->devices[i].name, device->name) == 0) {
            return complain("two devices have the name %s", device->name);
        }
    }
    options->nr_devices++;
    return 0;
}

static int parse_option(int option, char *text, struct options *options)
{
    uint64_t seconds;

    switch (option) {
    case 'k':
        options->kernel = text;
        return 0;
    case 'i':
        options->initrd = text;
        return 0;
    case 'a':
        options->command_line = text;
        return 0;
    case 'm':
        return parse_size(text, &options->memory_size) &&
                       options->memory_size >= LEAST_MEMORY &&
                       options->memory_size <= MOST_MEMORY &&
                       options->memory_size % (2 * MIB) == 0
                   ? 0
                   : complain(
                         "--memory %s: not a multiple of 2M from 64M to 512G",
                         text);
    case 'c':
        return parse_number(text, MAX_CPUS, &options->nr_cpus) &&
                       options->nr_cpus > 0
                   ? 0
                   : complain("--cpus %s: not a number from 1 to %d", text,
                              MAX_CPUS);
    case 's':
        if (!parse_number(text, 3600, &seconds) || seconds == 0) {
            return complain("--stall %s: not a number from 1 to 3600", text);
        }
        options->stall_after_ns = seconds * 1000000000;
        return 0;
    case 'd':
        return add_device(text, options);
    case 'M':
    case 'C':
        options->monitor = text;
        return 0;
    case 't':
        options->trace = text;
        return 0;
    case 'p':
        options->pass = text;
        return 0;
    default:
        options->json = true;
        return 0;
    }
}

int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        { "kernel", required_argument, NULL, 'k' },
        { "initrd", required_argument, NULL, 'i' },
        { "append", required_argument, NULL, 'a' },
        { "memory", required_argument, NULL, 'm' },
        { "cpus", required_argument, NULL, 'c' },
        { "stall", required_argument, NULL, 's' },
        { "device", required_argument, NULL, 'd' },
        { "monitor", required_argument, NULL, 'M' },
        { "ctl", required_argument, NULL, 'C' },
        { "trace", required_argument, NULL, 't' },
        { "pass", required_argument, NULL, 'p' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    bool ctl = false;
    int option;

    *options = (struct options){ .command_line = "console=ttyS0",
                                 .memory_size = DEFAULT_MEMORY,
                                 .nr_cpus = 1 };
    opterr = 0;
    /* "+": what follows --ctl SOCKET is a command, not options. */
    while ((option = getopt_long(argc, argv, "+:", names, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (option == '?') {
            return complain("there is no option %s", argv[optind - 1]);
        }
        if (option == ':') {
            return complain("%s needs a value", argv[optind - 1]);
        }
        if (parse_option(option, optarg, options) != 0) {
            return -1;
        }
        ctl = ctl || option == 'C';
    }
    if (ctl) {
        return options->kernel == NULL
                   ? 0
                   : complain("--kernel and --ctl are two different things");
    }
    if (optind < argc) {
        return complain("\"%s\" is not an option", argv[optind]);
    }
    if (options->kernel == NULL) {
        return complain("--kernel is missing; --help tells more");
    }
    return 0;
}
