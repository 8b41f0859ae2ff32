/* SPDX-License-Identifier: BSD-3-Clause */
/* The monitor's socket: commands come in, one a line, their answers and events go
 * out. An answer is what was asked for and then a line "ok", or a line "error: ...";
 * behind "--json" it is one line of JSON. "events" asks for a line for each event
 * from then on. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "instruments.h"

#define MAX_CLIENTS 8
#define LINE_SIZE 256

struct client {
    int fd; /* -1: there is none */
    bool json;
    bool events;
    unsigned len;
    char line[LINE_SIZE];
};

static int listen_fd = -1;
static int epoll_fd = -1; /* of listen_fd, without data, and of the clients */
static struct client clients[MAX_CLIENTS];
static pthread_mutex_t clients_lock = PTHREAD_MUTEX_INITIALIZER;

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

void monitor_event(const char *event, ...)
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
        pthread_mutex_lock(&clients_lock);
        for (unsigned i = 0; i < MAX_CLIENTS; i++) {
            if (clients[i].events && clients[i].json == (json == 1)) {
                send_to(&clients[i], text, size);
            }
        }
        pthread_mutex_unlock(&clients_lock);
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
    pthread_mutex_lock(&clients_lock);
    client->json = json || vm->options->json;
    pthread_mutex_unlock(&clients_lock);
    report_start(&report, out, client->json);
    line += json ? strlen(json_word) : 0;
    const bool events = strcmp(line, "events") == 0;
    const int ret = events ? 0 : monitor_command(vm, line, &report);
    report_finish(&report);
    if (!client->json && ret == 0) {
        fputs("ok\n", out);
    }
    fclose(out);
    pthread_mutex_lock(&clients_lock);
    client->events = client->events || events;
    send_to(client, text, size);
    pthread_mutex_unlock(&clients_lock);
    free(text);
}

static void drop(struct client *client)
{
    pthread_mutex_lock(&clients_lock);
    close(client->fd);
    *client = (struct client){ .fd = -1 };
    pthread_mutex_unlock(&clients_lock);
}

static void take_input(struct vm *vm, struct client *client)
{
    const ssize_t got = read(client->fd, client->line + client->len,
                             sizeof(client->line) - client->len);
    char *end;

    if (got <= 0) {
        drop(client);
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
        drop(client);
    }
}

static int watch(int fd, struct client *client)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void take_client(void)
{
    const int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
        if (clients[i].fd < 0 && watch(fd, &clients[i]) == 0) {
            pthread_mutex_lock(&clients_lock);
            clients[i].fd = fd;
            pthread_mutex_unlock(&clients_lock);
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

void monitor_serve(struct vm *vm)
{
    struct epoll_event events[MAX_CLIENTS + 1];
    const int nr = epoll_wait(epoll_fd, events, MAX_CLIENTS + 1, 0);

    for (int i = 0; i < nr; i++) {
        if (events[i].data.ptr == NULL) {
            take_client();
        } else {
            take_input(vm, events[i].data.ptr);
        }
    }
}

int monitor_fd(void)
{
    return epoll_fd;
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
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        clients[i].fd = -1;
    }
    if (monitor_address(path, &address) != 0) {
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        complain("no monitor at %s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    listen_fd = fd; /* from here on the path is ours to remove */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return listen(listen_fd, MAX_CLIENTS) == 0 && watch(listen_fd, NULL) == 0
               ? 0
               : complain("no monitor at %s: %s", path, strerror(errno));
}

void monitor_close(struct vm *vm)
{
    if (listen_fd < 0) {
        return;
    }
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        if (clients[i].fd >= 0) {
            drop(&clients[i]);
        }
    }
    close(listen_fd);
    close(epoll_fd);
    listen_fd = epoll_fd = -1;
    unlink(vm->options->monitor);
}
