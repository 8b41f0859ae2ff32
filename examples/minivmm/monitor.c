/* SPDX-License-Identifier: BSD-3-Clause */
/* The monitor: commands on a Unix socket, one a line; "events" asks for a line for
 * each event from then on. An answer is what was asked for and then a line "ok", or a
 * line "error: ..."; behind "--json" it is one line of JSON. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "minivmm.h"

#define MAX_WORDS 4

static const char help[] =
    "info memory-devices | info numa | info virtio-mem DEV | info records DEV "
    "| "
    "info pass, "
    "resize DEV SIZE, stats, map DEV, attach recorder|veto DEV, attach dma DEV "
    "LIMIT, detach recorder|veto|dma DEV, freeze, thaw, reset, events, quit";

static int freeze(struct vm *vm, bool on, struct report *report)
{
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_region *region = vm->devices[i].region;
        const int ret = on ? vmem_region_freeze(region, "monitor", &err)
                           : vmem_region_thaw(region, "monitor", &err);

        if (ret != 0) {
            return report_error(report, "%s", err.message);
        }
    }
    return 0;
}

//! [resize]
static int resize(struct memory_device *memory, const char *text,
                  struct report *report)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t size;

    if (!parse_size(text, &size)) {
        return report_error(report, "\"%s\" is not a size", text);
    }
    if (vmem_device_resize(memory->device, size, &err) != 0) {
        return report_error(report, "%s", err.message);
    }
    return 0;
}
//! [resize]

static int attach(struct memory_device *memory, char **words, bool on,
                  struct report *report)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t limit = 0;

    if (words[3] != NULL && !parse_size(words[3], &limit)) {
        return report_error(report, "\"%s\" is not a number", words[3]);
    }
    const int ret = on ? follow_attach(memory, words[1], limit, &err)
                       : follow_detach(memory, words[1], &err);
    return ret == 0 ? 0 : report_error(report, "%s", err.message);
}

/* Commands about one device; words[at] is its name. */
static int device_command(struct vm *vm, char **words, unsigned at,
                          struct report *report)
{
    struct memory_device *memory = memory_find(vm, words[at]);

    if (memory == NULL) {
        return report_error(report, "there is no device \"%s\"", words[at]);
    }
    if (strcmp(words[0], "resize") == 0) {
        return resize(memory, words[2], report);
    }
    if (strcmp(words[0], "attach") == 0 || strcmp(words[0], "detach") == 0) {
        return attach(memory, words, words[0][0] == 'a', report);
    }
    if (strcmp(words[0], "map") == 0) {
        info_map(memory, report);
    } else if (strcmp(words[1], "virtio-mem") == 0) {
        info_virtio_mem(memory, report);
    } else {
        follow_report_records(memory, report);
    }
    return 0;
}

static int plain_command(struct vm *vm, unsigned index, struct report *report)
{
    switch (index) {
    case 0:
        info_memory_devices(vm, report);
        return 0;
    case 1:
        info_numa(vm, report);
        return 0;
    case 2:
        info_stats(vm, report);
        return 0;
    case 3:
        return freeze(vm, true, report);
    case 4:
        return freeze(vm, false, report);
    case 5:
        kvm_demand(vm, DEMAND_RESET);
        return 0;
    case 6:
        kvm_demand(vm, DEMAND_OFF);
        return 0;
    case 7:
        pass_report(vm, report);
        return 0;
    default:
        report_text(report, "commands", help);
        return 0;
    }
}

int monitor_command(struct vm *vm, char *line, struct report *report)
{
    static const char *const plain[][2] = {
        { "info", "memory-devices" },
        { "info", "numa" },
        { "stats" },
        { "freeze" },
        { "thaw" },
        { "reset" },
        { "quit" },
        { "info", "pass" },
        { "help" },
    };
    /* With the least and most words; 3rd: where the device's name is. */
    static const struct {
        const char *words[2];
        unsigned at, least, most;
    } device[] = {
        { { "info", "virtio-mem" }, 2, 3, 3 },
        { { "info", "records" }, 2, 3, 3 },
        { { "resize" }, 1, 3, 3 },
        { { "map" }, 1, 2, 2 },
        { { "attach" }, 2, 3, 4 },
        { { "detach" }, 2, 3, 3 },
    };
    char *words[MAX_WORDS + 1] = { NULL };
    char *rest = NULL;
    unsigned nr = 0;

    for (char *word = strtok_r(line, " \t\r", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r", &rest)) {
        if (nr == MAX_WORDS) {
            return report_error(report, "too many words; there are: %s", help);
        }
        words[nr++] = word;
    }
    for (unsigned i = 0; nr > 0 && i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(plain[i][0], words[0]) == 0 &&
            nr == (plain[i][1] != NULL ? 2U : 1U) &&
            (nr == 1 || strcmp(plain[i][1], words[1]) == 0)) {
            return plain_command(vm, i, report);
        }
    }
    for (unsigned i = 0; nr > 0 && i < sizeof(device) / sizeof(device[0]);
         i++) {
        if (strcmp(device[i].words[0], words[0]) == 0 &&
            nr >= device[i].least && nr <= device[i].most &&
            (device[i].words[1] == NULL ||
             strcmp(device[i].words[1], words[1]) == 0)) {
            return device_command(vm, words, device[i].at, report);
        }
    }
    return report_error(report, "no such command; there are: %s", help);
}

/* All or nothing: somebody who does not read loses the connection, because the
 * guest must not wait for them. */
static void send_to(struct client *client, const char *text, size_t size)
{
    if (client->fd >= 0 && send(client->fd, text, size,
                                MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) {
        /* The main thread sees the end of it, and closes. */
        shutdown(client->fd, SHUT_RDWR);
    }
}

void monitor_event(struct vm *vm, const char *event, ...)
{
    for (int json = 0; json < 2; json++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        struct report report;
        va_list args;
        const char *name;

        if (out == NULL) {
            return;
        }
        va_start(args, event);
        if (json) {
            report_start(&report, out, true);
            report_text(&report, "event", event);
        } else {
            fprintf(out, "event: %s", event);
        }
        while ((name = va_arg(args, const char *)) != NULL) {
            const char *value = va_arg(args, const char *);

            if (json) {
                report_text(&report, name, value);
            } else {
                fprintf(out, " %s=\"%s\"", name, value);
            }
        }
        va_end(args);
        if (json) {
            report_finish(&report);
        } else {
            fputc('\n', out);
        }
        fclose(out);
        pthread_mutex_lock(&vm->clients_lock);
        for (unsigned i = 0; i < MAX_CLIENTS; i++) {
            if (vm->clients[i].events && vm->clients[i].json == (json == 1)) {
                send_to(&vm->clients[i], text, size);
            }
        }
        pthread_mutex_unlock(&vm->clients_lock);
        free(text);
    }
}

static void answer(struct vm *vm, struct client *client, char *line)
{
    static const char json_word[] = "--json ";
    const bool json = strncmp(line, json_word, strlen(json_word)) == 0;
    struct report report;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return;
    }
    /* Events follow the form of the latest command. */
    pthread_mutex_lock(&vm->clients_lock);
    client->json = json || vm->options->json;
    pthread_mutex_unlock(&vm->clients_lock);
    report_start(&report, out, client->json);
    line += json ? strlen(json_word) : 0;
    const bool events = strcmp(line, "events") == 0;
    const int ret = events ? 0 : monitor_command(vm, line, &report);
    report_finish(&report);
    if (!client->json && ret == 0) {
        fputs("ok\n", out);
    }
    fclose(out);
    pthread_mutex_lock(&vm->clients_lock);
    client->events = client->events || events;
    send_to(client, text, size);
    pthread_mutex_unlock(&vm->clients_lock);
    free(text);
}

static void drop(struct vm *vm, struct client *client)
{
    pthread_mutex_lock(&vm->clients_lock);
    close(client->fd);
    *client = (struct client){ .fd = -1, .json = vm->options->json };
    pthread_mutex_unlock(&vm->clients_lock);
}

void monitor_input(struct vm *vm, unsigned index)
{
    struct client *client = &vm->clients[index];
    const ssize_t got = read(client->fd, client->line + client->len,
                             sizeof(client->line) - client->len);
    char *end;

    if (got <= 0) {
        drop(vm, client);
        return;
    }
    client->len += (unsigned)got;
    while ((end = memchr(client->line, '\n', client->len)) != NULL) {
        const unsigned used = (unsigned)(end - client->line) + 1;

        *end = '\0';
        answer(vm, client, client->line);
        client->len -= used;
        memmove(client->line, client->line + used, client->len);
    }
    if (client->len == sizeof(client->line)) {
        send_to(client, "error: the line is too long\n", 28);
        drop(vm, client);
    }
}

void monitor_accept(struct vm *vm)
{
    const int fd = accept4(vm->monitor_fd, NULL, NULL, SOCK_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
        if (vm->clients[i].fd < 0) {
            pthread_mutex_lock(&vm->clients_lock);
            vm->clients[i].fd = fd;
            pthread_mutex_unlock(&vm->clients_lock);
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

int monitor_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address->sun_path)) {
        return complain(
            "the path of the monitor's socket is longer than %zu bytes",
            sizeof(address->sun_path) - 1);
    }
    memcpy(address->sun_path, path, strlen(path) + 1);
    return 0;
}

int monitor_open(struct vm *vm)
{
    const char *path = vm->options->monitor;
    struct sockaddr_un address;

    if (path == NULL) {
        return 0;
    }
    if (monitor_address(path, &address) != 0) {
        return -1;
    }
    vm->monitor_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (vm->monitor_fd < 0 ||
        bind(vm->monitor_fd, (struct sockaddr *)&address, sizeof(address)) !=
            0 ||
        listen(vm->monitor_fd, MAX_CLIENTS) != 0) {
        return complain("no monitor at %s: %s", path, strerror(errno));
    }
    return 0;
}

void monitor_close(struct vm *vm)
{
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        if (vm->clients[i].fd >= 0) {
            drop(vm, &vm->clients[i]);
        }
    }
    if (vm->monitor_fd >= 0) {
        close(vm->monitor_fd);
        unlink(vm->options->monitor);
    }
}
