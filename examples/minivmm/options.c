/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "minivmm.h"

#define DEFAULT_MEMORY (512 * MIB)
#define LEAST_MEMORY (64 * MIB)

static const char usage[] =
    "usage: minivmm --kernel FILE [OPTION]...\n"
    "       minivmm --ctl SOCKET [--json] COMMAND...\n"
    "\n"
    "Boots a Linux kernel under KVM, with its console on standard output and\n"
    "virtio-mem devices from libvmem, which it calls vmem0, vmem1, ...\n"
    "\n"
    "  --kernel FILE      a bzImage or the ELF file in it\n"
    "  --initrd FILE      its initramfs\n"
    "  --append TEXT      its command line (console=ttyS0)\n"
    "  --memory SIZE      boot RAM (512M)\n"
    "  --cpus N           CPUs (1)\n"
    "  --device KEY=VALUE,...  a virtio-mem device; may be repeated:\n"
    "      size=SIZE          how much it may have at most; required\n"
    "      block=SIZE         block size (what suits the backing)\n"
    "      node=N             NUMA node (0)\n"
    "      backing=KIND       memfd (default), anon, anon-shared, hugetlb,\n"
    "                         file:PATH\n"
    "      inaccessible=off   without UNPLUGGED_INACCESSIBLE\n"
    "  --stall SECONDS    silence of a guest that counts as stalled (10)\n"
    "  --monitor SOCKET   commands (\"help\" lists them) and events\n"
    "  --trace FILE       write the requests, for vmemctl replay\n"
    "  --pass ADDRESS     a PCI device of vfio-pci, such as 0000:00:04.0\n"
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

static bool parse_number(const char *text, uint64_t least, uint64_t most,
                         uint64_t *number)
{
    return parse_size(text, number) && *number >= least && *number <= most;
}

static bool parse_backing(const char *text, struct vmem_backing_config *backing)
{
    static const uint32_t kinds[] = { VMEM_BACKING_MEMFD, VMEM_BACKING_ANON,
                                      VMEM_BACKING_ANON_SHARED,
                                      VMEM_BACKING_HUGETLB_MEMFD };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(vmem_backing_kind_name(kinds[i]), text) == 0) {
            backing->kind = kinds[i];
            return true;
        }
    }
    if (strncmp(text, "file:", 5) != 0) {
        return false;
    }
    backing->kind = VMEM_BACKING_FILE;
    backing->path = text + 5;
    return true;
}

//! [options]
int parse_device(char *text, struct device_options *options)
{
    struct vmem_backing_config *backing = &options->backing;
    struct vmem_device_config *device = &options->device;

    *backing = (struct vmem_backing_config){ .struct_size = sizeof(*backing),
                                             .kind = VMEM_BACKING_MEMFD };
    *device = (struct vmem_device_config){
        .struct_size = sizeof(*device),
        .features = VMEM_DEVICE_F_ACPI_PXM | VMEM_DEVICE_F_PERSISTENT_SUSPEND,
    };
    //! [options]
    while (*text != '\0') {
        enum { SIZE, BLOCK, NODE, BACKING, INACCESSIBLE };
        static const char *const allowed[] = {
            "a size above 0, such as 512M", "a size above 0, such as 2M",
            "a number from 0 to 7",
            "memfd, anon, anon-shared, hugetlb or file:PATH", "off"
        };
        static const char *const keys[] = { "size",    "block",        "node",
                                            "backing", "inaccessible", NULL };
        const char *pair = text;
        char *found = NULL;
        const int key = getsubopt(&text, (char *const *)keys, &found);
        const char *value = found != NULL ? found : "";
        bool ok = false;

        if (key == SIZE) {
            ok = parse_number(value, 1, UINT64_MAX, &backing->size);
        } else if (key == BLOCK) {
            ok = parse_number(value, 1, UINT64_MAX, &device->block_size);
        } else if (key == NODE) {
            ok = parse_number(value, 0, MAX_NODES - 1, &device->node_id);
        } else if (key == BACKING) {
            ok = parse_backing(value, backing);
        } else if (key == INACCESSIBLE) {
            device->flags = VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
            ok = strcmp(value, "off") == 0;
        }
        if (!ok) {
            return key >= 0 ? complain("--device %s: it takes %s", pair,
                                       allowed[key])
                            : complain("--device %s: the keys are size, block, "
                                       "node, backing and inaccessible",
                                       pair);
        }
    }
    return backing->size > 0 ? 0 : complain("--device: size is missing");
}

static int parse_option(const char *name, const char *text, unsigned most,
                        uint64_t *number)
{
    return parse_number(text, 1, most, number)
               ? 0
               : complain("--%s %s: not a number from 1 to %u", name, text,
                          most);
}

static int parse_memory(const char *text, uint64_t *size)
{
    return parse_number(text, LEAST_MEMORY, BOOT_RAM_END, size) &&
                   *size % (2 * MIB) == 0
               ? 0
               : complain("--memory %s: not a multiple of 2M from 64M to 3G",
                          text);
}

/* The first ones are text as it is. */
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

int parse_options(int argc, char **argv, struct options *options)
{
    const char **texts[NR_TEXTS] = {
        &options->kernel,  &options->initrd, &options->command_line,
        &options->monitor, &options->ctl,    &options->trace,
        &options->pass,
    };
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
        } else if (option == MEMORY) {
            ret = parse_memory(optarg, &options->memory_size);
        } else if (option == CPUS) {
            ret = parse_option("cpus", optarg, MAX_CPUS, &options->nr_cpus);
        } else if (option == STALL) {
            ret = parse_option("stall", optarg, 3600, &options->stall_after_ns);
            options->stall_after_ns *= 1000000000;
        } else if (option == DEVICE) {
            ret = options->nr_devices < MAX_DEVICES
                      ? parse_device(optarg,
                                     &options->devices[options->nr_devices++])
                      : complain("more than %d devices", MAX_DEVICES);
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
    if (ret != 0) {
        return ret;
    }
    if (options->ctl != NULL && options->kernel != NULL) {
        return complain("--kernel and --ctl are two different things");
    }
    if (options->ctl == NULL && optind < argc) {
        return complain("\"%s\" is not an option", argv[optind]);
    }
    return options->ctl != NULL || options->kernel != NULL
               ? 0
               : complain("--kernel is missing; --help tells more");
}
