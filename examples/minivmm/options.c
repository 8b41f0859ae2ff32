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
    device->flags &= ~(VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE |
                       VMEM_DEVICE_REQUIRE_INACCESSIBLE);
    if (strcmp(text, "off") == 0) {
        device->flags |= VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
        return true;
    }
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
        .features = VMEM_DEVICE_F_ACPI_PXM | VMEM_DEVICE_F_PERSISTENT_SUSPEND,
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

static int parse_number_option(const char *name, const char *text,
                               uint64_t most, uint64_t *number)
{
    return parse_number(text, most, number) && *number > 0
               ? 0
               : complain("--%s %s: not a number from 1 to %u", name, text,
                          (unsigned)most);
}

static int parse_memory(const char *text, uint64_t *size)
{
    return parse_size(text, size) && *size >= LEAST_MEMORY &&
                   *size <= MOST_MEMORY && *size % (2 * MIB) == 0
               ? 0
               : complain("--memory %s: not a multiple of 2M from 64M to 512G",
                          text);
}

/* What the rest of the line and the options must be to each other. */
static int check_options(const struct options *options, bool ctl, int argc,
                         char **argv)
{
    if (ctl) {
        return options->kernel == NULL
                   ? 0
                   : complain("--kernel and --ctl are two different things");
    }
    if (optind < argc) {
        return complain("\"%s\" is not an option", argv[optind]);
    }
    return options->kernel != NULL
               ? 0
               : complain("--kernel is missing; --help tells more");
}

int parse_options(int argc, char **argv, struct options *options)
{
    enum { KERNEL, INITRD, APPEND, MONITOR, CTL, TRACE, PASS, NR_TEXTS };
    enum { MEMORY = NR_TEXTS, CPUS, STALL, DEVICE, JSON, HELP };
    static const struct option names[] = {
        { "kernel", required_argument, NULL, KERNEL },
        { "initrd", required_argument, NULL, INITRD },
        { "append", required_argument, NULL, APPEND },
        { "memory", required_argument, NULL, MEMORY },
        { "cpus", required_argument, NULL, CPUS },
        { "stall", required_argument, NULL, STALL },
        { "device", required_argument, NULL, DEVICE },
        { "monitor", required_argument, NULL, MONITOR },
        { "ctl", required_argument, NULL, CTL },
        { "trace", required_argument, NULL, TRACE },
        { "pass", required_argument, NULL, PASS },
        { "json", no_argument, NULL, JSON },
        { "help", no_argument, NULL, HELP },
        { NULL, 0, NULL, 0 },
    };
    const char **texts[NR_TEXTS] = {
        &options->kernel,  &options->initrd,  &options->command_line,
        &options->monitor, &options->monitor, &options->trace,
        &options->pass,
    };
    bool ctl = false;
    int ret = 0;
    int option;

    *options = (struct options){ .command_line = "console=ttyS0",
                                 .memory_size = DEFAULT_MEMORY,
                                 .nr_cpus = 1 };
    opterr = 0;
    /* "+": what follows --ctl SOCKET is a command, not options. */
    while (ret == 0 &&
           (option = getopt_long(argc, argv, "+:", names, NULL)) != -1) {
        if (option < NR_TEXTS) {
            *texts[option] = optarg;
            ctl = ctl || option == CTL;
        } else if (option == MEMORY) {
            ret = parse_memory(optarg, &options->memory_size);
        } else if (option == CPUS) {
            ret = parse_number_option("cpus", optarg, MAX_CPUS,
                                      &options->nr_cpus);
        } else if (option == STALL) {
            ret = parse_number_option("stall", optarg, 3600,
                                      &options->stall_after_ns);
            options->stall_after_ns *= 1000000000;
        } else if (option == DEVICE) {
            ret = add_device(optarg, options);
        } else if (option == JSON) {
            options->json = true;
        } else if (option == HELP) {
            fputs(usage, stdout);
            return 1;
        } else {
            return complain(option == ':' ? "%s needs a value"
                                          : "there is no option %s",
                            argv[optind - 1]);
        }
    }
    return ret != 0 ? ret : check_options(options, ctl, argc, argv);
}
