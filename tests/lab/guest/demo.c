/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine's side of scripts/demo-guest.sh (../demo.py). Beside the monitor's
 * socket there is another one, "agent": each line is a command for the agent in
 * the guest, and gets its answer; "resident" is answered here, by what the kernel
 * counts. In an emulated machine each of its virtio ports is joined with the socket
 * of the same name, so that somebody outside talks to it as if it were there. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/checks.h"
#include "lab/result.h"

#define POLL_MS 50
#define CONNECT_MS 2000
#define MAX_LINE 256
#define MAX_PORTS 8

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", host_folder(),
             name);
    return address;
}

static int connect_to(const char *name)
{
    const struct sockaddr_un address = address_of(name);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

/* A port whose other end has gone takes nothing more. */
static bool put_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t put = write(fd, bytes, size);
        struct pollfd poll_fd = { fd, POLLOUT, 0 };

        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        } else if (errno != EAGAIN || poll(&poll_fd, 1, -1) < 0 ||
                   (poll_fd.revents & POLLHUP) != 0) {
            return false;
        }
    }
    return true;
}

/* Passes on what is there; false at the end of either. */
static bool pass(int from, int to)
{
    char bytes[4096];
    const ssize_t got = read(from, bytes, sizeof(bytes));

    return got < 0 ? errno == EAGAIN
                   : got > 0 && put_all(to, bytes, (size_t)got);
}

/* What somebody sends may be here before the news that there is somebody; an
 * answer would then be refused. */
static void await_other_end(int port_fd)
{
    struct pollfd poll_fd = { port_fd, POLLIN, 0 };

    for (unsigned i = 0; i < CONNECT_MS / POLL_MS && poll(&poll_fd, 1, 0) > 0 &&
                         (poll_fd.revents & POLLHUP) != 0;
         i++) {
        usleep(POLL_MS * 1000);
    }
}

/* Serves whoever is at the other end of the port, one after the other. A port
 * without anybody is "hung up" all the time. */
static void join(int port_fd, const char *name)
{
    int socket_fd = -1;

    for (;;) {
        struct pollfd fds[] = { { port_fd, POLLIN, 0 },
                                { socket_fd, POLLIN, 0 } };
        bool goes_on = true;

        poll(fds, 2, -1);
        if ((fds[0].revents & POLLIN) != 0 && socket_fd < 0) {
            await_other_end(port_fd);
            socket_fd = connect_to(name);
        }
        if ((fds[0].revents & POLLIN) != 0) {
            goes_on = pass(port_fd, socket_fd);
        } else if ((fds[0].revents & POLLHUP) != 0) {
            goes_on = false;
            usleep(POLL_MS * 1000);
        }
        if (goes_on && fds[1].revents != 0) {
            goes_on = pass(socket_fd, port_fd);
        }
        if (!goes_on && socket_fd >= 0) {
            close(socket_fd);
            socket_fd = -1;
        }
    }
}

/* In a process of its own: nobody waits for anybody else's slow reader. */
static void join_port(const char *path)
{
    char about[128];
    char name[32] = "";
    const int port_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

    snprintf(about, sizeof(about), "/sys/class/virtio-ports/%s/name",
             strrchr(path, '/') + 1);
    FILE *file = fopen(about, "re");
    if (port_fd < 0 || file == NULL ||
        fgets(name, sizeof(name), file) == NULL) {
        result(false, "ports", "%s: %s", path, strerror(errno));
        return;
    }
    fclose(file);
    /* The number behind it tells ports to the same socket apart. */
    name[strcspn(name, "0123456789\n")] = '\0';
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        join(port_fd, name);
    }
    close(port_fd);
}

static void obey(int fd, char *line)
{
    char answer[MAX_LINE + 32];
    int size;

    if (strcmp(line, "resident") == 0) {
        size = snprintf(answer, sizeof(answer), "@ok %" PRIu64 "\n",
                        device_resident("vmem0"));
    } else {
        guest("%s", line);
        size =
            snprintf(answer, sizeof(answer), "%.*s\n", MAX_LINE, guest_why());
    }
    put_all(fd, answer, (size_t)size);
}

static void serve(int listen_fd)
{
    const int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    FILE *in = fd >= 0 ? fdopen(fd, "re") : NULL;
    char line[MAX_LINE];

    if (in == NULL) {
        return;
    }
    setvbuf(in, NULL, _IONBF, 0);
    while (host_is_alive()) {
        struct pollfd poll_fd = { fd, POLLIN, 0 };

        if (poll(&poll_fd, 1, POLL_MS) <= 0) {
            continue;
        }
        if (fgets(line, sizeof(line), in) == NULL) {
            break;
        }
        line[strcspn(line, "\n")] = '\0';
        obey(fd, line);
    }
    fclose(in);
}

void serve_demo(void)
{
    const struct sockaddr_un address = address_of("agent");
    const int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char port[32];

    if (bind(listen_fd, (const struct sockaddr *)&address, sizeof(address)) !=
            0 ||
        listen(listen_fd, 1) != 0) {
        result(false, "agent", "%s: %s", address.sun_path, strerror(errno));
        return;
    }
    for (unsigned i = 1; i <= MAX_PORTS; i++) {
        snprintf(port, sizeof(port), "/dev/vport0p%u", i);
        if (access(port, F_OK) == 0) {
            join_port(port);
        }
    }
    result_note("ready in %s", host_folder());
    while (host_is_alive()) {
        struct pollfd poll_fd = { listen_fd, POLLIN, 0 };

        if (poll(&poll_fd, 1, POLL_MS) > 0) {
            serve(listen_fd);
        }
    }
    close(listen_fd);
    unlink(address.sun_path);
}
