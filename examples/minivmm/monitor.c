/* SPDX-License-Identifier: BSD-3-Clause */
/* What can be asked of the running machine: a table of commands, and those that
 * change something. Where a line comes from, and how an answer is written, is in
 * instruments/. */
#include <string.h>

#include "instruments/instruments.h"

#define MAX_WORDS 4

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

static int freeze(const struct request *request, bool on)
{
    struct vm *vm = request->vm;

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

static int freeze_all(const struct request *request)
{
    return freeze(request, true);
}

static int thaw_all(const struct request *request)
{
    return freeze(request, false);
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
    { "freeze", "", freeze_all },
    { "thaw", "", thaw_all },
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
    char text[1024] = "events";
    size_t used = strlen(text);

    for (unsigned i = 0; i < NR_TABLES; i++) {
        for (const struct command *it = tables[i]; it->name != NULL; it++) {
            used += (size_t)snprintf(
                text + used, sizeof(text) - used, ", %s%s%s", it->name,
                it->arguments[0] != '\0' ? " " : "", it->arguments);
        }
    }
    report_text(request->report, "commands", text);
    return 0;
}

static unsigned count_words(const char *text)
{
    unsigned nr = text[0] != '\0';

    for (; *text != '\0'; text++) {
        nr += *text == ' ';
    }
    return nr;
}

/* The words of its name, or 0 if these are not that command. */
static unsigned match(const struct command *command, char *const *words,
                      unsigned nr)
{
    const unsigned of_name = count_words(command->name);
    const size_t first = strcspn(command->name, " ");

    return nr == of_name + count_words(command->arguments) &&
                   strlen(words[0]) == first &&
                   strncmp(command->name, words[0], first) == 0 &&
                   (of_name == 1 ||
                    strcmp(command->name + first + 1, words[1]) == 0)
               ? of_name
               : 0;
}

static int run(const struct command *command, struct request *request,
               unsigned of_name)
{
    const char *name = request->words[of_name];

    if (command->arguments[0] != '\0') {
        request->memory = memory_find(request->vm, name);
        request->argument = request->words[of_name + 1];
        if (request->memory == NULL) {
            return report_error(request->report, "there is no device \"%s\"",
                                name);
        }
    }
    return command->run(request);
}

int monitor_command(struct vm *vm, char *line, struct report *report)
{
    char *words[MAX_WORDS + 1] = { NULL };
    struct request request = { .vm = vm, .words = words, .report = report };
    char *rest = NULL;
    unsigned nr = 0;

    for (char *word = strtok_r(line, " \t\r", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r", &rest)) {
        if (nr == MAX_WORDS) {
            return report_error(report, "too many words; \"help\" lists them");
        }
        words[nr++] = word;
    }
    for (unsigned i = 0; nr > 0 && i < NR_TABLES; i++) {
        for (const struct command *it = tables[i]; it->name != NULL; it++) {
            const unsigned of_name = match(it, words, nr);

            if (of_name > 0) {
                return run(it, &request, of_name);
            }
        }
    }
    return report_error(report, "no such command; \"help\" lists them");
}
