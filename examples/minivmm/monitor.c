/* SPDX-License-Identifier: BSD-3-Clause */
/* What can be asked of the running machine: a table of commands, and those that
 * change something. Where a line comes from, and how an answer is written, is in
 * instruments/. */
#include <string.h>

#include "instruments/instruments.h"

#define SPACE " \t\r"

static int reset(const struct request *request)
{
    kvm_demand(request->vm, DEMAND_RESET);
    return 0;
}

static int quit(const struct request *request)
{
    kvm_demand(request->vm, DEMAND_OFF);
    return 0;
}

/* And thaw. */
static int freeze(const struct request *request)
{
    struct vm *vm = request->vm;
    const bool on = strcmp(request->command->name, "freeze") == 0;

    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_region *region = vm->devices[i].region;
        const int ret = on ? vmem_region_freeze(region, "monitor", &err)
                           : vmem_region_thaw(region, "monitor", &err);

        if (ret != 0) {
            return report_error(request->report, "%s", err.message);
        }
    }
    return 0;
}

//! [resize]
static int resize(const struct request *request)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t size;

    if (!parse_size(request->argument, &size)) {
        return report_error(request->report, "\"%s\" is not a size",
                            request->argument);
    }
    if (vmem_device_resize(request->memory->device, size, &err) != 0) {
        return report_error(request->report, "%s", err.message);
    }
    return 0;
}
//! [resize]

static int help(const struct request *request);

static const struct command own_commands[] = {
    { "resize", "DEV SIZE", resize },
    { "freeze", "", freeze },
    { "thaw", "", freeze },
    { "reset", "", reset },
    { "quit", "", quit },
    { "help", "", help },
    { NULL, NULL, NULL },
};

static const struct command *const tables[] = { own_commands, info_commands,
                                                follow_commands,
                                                pass_commands };
#define NR_TABLES (sizeof(tables) / sizeof(tables[0]))

static int help(const struct request *request)
{
    report_text(request->report, "events", "");
    for (unsigned i = 0; i < NR_TABLES; i++) {
        for (const struct command *it = tables[i]; it->name != NULL; it++) {
            report_text(request->report, it->name, it->arguments);
        }
    }
    return 0;
}

/* text is what is behind the command's name. */
static int run(struct request *request, char *text)
{
    const struct command *command = request->command;
    struct vm *vm = request->vm;
    char *rest = NULL;
    const char *name = strtok_r(text, SPACE, &rest);

    request->argument = strtok_r(NULL, SPACE, &rest);
    if ((name != NULL) != (command->arguments[0] != '\0') ||
        (request->argument != NULL) !=
            (strchr(command->arguments, ' ') != NULL) ||
        strtok_r(NULL, SPACE, &rest) != NULL) {
        return report_error(
            request->report, "the command is \"%s%s%s\"", command->name,
            command->arguments[0] != '\0' ? " " : "", command->arguments);
    }
    for (unsigned i = 0; name != NULL && i < vm->nr_devices; i++) {
        if (strcmp(vm->devices[i].name, name) == 0) {
            request->memory = &vm->devices[i];
        }
    }
    return name == NULL || request->memory != NULL
               ? command->run(request)
               : report_error(request->report, "there is no device \"%s\"",
                              name);
}

/* The first word may be that of commands of two words. */
static int refuse(const char *line, struct report *report)
{
    const size_t size = strcspn(line, SPACE);
    char text[128] = "";

    for (unsigned i = 0; i < NR_TABLES; i++) {
        for (const struct command *it = tables[i]; it->name != NULL; it++) {
            const size_t used = strlen(text);

            if (strncmp(it->name, line, size) == 0 && it->name[size] == ' ') {
                snprintf(text + used, sizeof(text) - used, "%s\"%s\"",
                         used > 0 ? ", " : "", it->name);
            }
        }
    }
    return text[0] == '\0'
               ? report_error(report, "no such command; \"help\" lists them")
               : report_error(report, "\"%.60s\" is none of %s", line, text);
}

int monitor_command(struct vm *vm, char *line, struct report *report)
{
    struct request request = { .vm = vm, .report = report };

    line += strspn(line, SPACE);
    for (unsigned i = 0; i < NR_TABLES; i++) {
        for (const struct command *it = tables[i]; it->name != NULL; it++) {
            const size_t size = strlen(it->name);

            if (strncmp(line, it->name, size) == 0 &&
                (line[size] == '\0' || strchr(SPACE, line[size]) != NULL)) {
                request.command = it;
                return run(&request, line + size);
            }
        }
    }
    return refuse(line, report);
}
