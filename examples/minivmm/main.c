/* SPDX-License-Identifier: BSD-3-Clause */
/* Starts everything, waits for the monitor, the console's input and the guest's
 * demands, and stops everything in reverse. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "instruments/instruments.h"

#define POLL_MS 1000

static struct options options;
static struct vm vm;

//! [start]
static int start(void)
{
    return kvm_open(&vm) != 0 || memory_open(&vm) != 0 || pass_open(&vm) != 0 ||
                   boot_load(&vm) != 0 || monitor_open(&vm) != 0
               ? -1
               : kvm_start(&vm);
}
//! [start]

/* 0 as long as the machine goes on. */
static int obey(enum demand demand)
{
    if (demand == DEMAND_NONE) {
        /* What was demanded before a reset was done with it: a guest writes to
         * the keyboard controller until it is gone. */
        return 0;
    }
    if (demand == DEMAND_RESET) {
        monitor_event("reset", NULL);
        kvm_stop(&vm);
        memory_reset(&vm);
        serial_reset(&vm);
        return boot_load(&vm) == 0 ? kvm_start(&vm) : -1;
    }
    return demand == DEMAND_OFF ? 1 : -1;
}

//! [stalls]
/* The library has no timer: silence of a guest is noticed by looking. */
static void look_for_stalls(void)
{
    for (unsigned i = 0; i < vm.nr_devices; i++) {
        vmem_device_poll_resize(vm.devices[i].device);
    }
}
//! [stalls]

static int run(int signal_fd)
{
    enum { DEMAND, SIGNAL, MONITOR, CONSOLE, NR_FDS };
    struct pollfd fds[NR_FDS] = {
        [DEMAND] = { vm.demand_fd, POLLIN, 0 },
        [SIGNAL] = { signal_fd, POLLIN, 0 },
        [MONITOR] = { monitor_fd(), POLLIN, 0 },
        [CONSOLE] = { STDIN_FILENO, POLLIN, 0 },
    };
    eventfd_t count;
    int status = 0;

    while (status == 0) {
        fds[CONSOLE].events = serial_room(&vm) > 0 ? POLLIN : 0;
        if (poll(fds, NR_FDS, POLL_MS) < 0 && errno != EINTR) {
            return complain("poll: %s", strerror(errno));
        }
        look_for_stalls();
        if (fds[MONITOR].revents != 0) {
            monitor_serve(&vm);
        }
        if (fds[CONSOLE].revents != 0 && !serial_input(&vm)) {
            fds[CONSOLE].fd = -1; /* nobody types any more */
        }
        if (fds[SIGNAL].revents != 0) {
            return 1;
        }
        if (fds[DEMAND].revents != 0 &&
            eventfd_read(vm.demand_fd, &count) == 0) {
            status = obey((enum demand)atomic_load(&vm.demand));
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    int status = parse_options(argc, argv, &options);

    if (status != 0) {
        return status > 0 ? 0 : 1;
    }
    if (options.ctl != NULL) {
        return monitor_client(options.ctl, options.json, argc - optind,
                              argv + optind);
    }
    if (options.trace != NULL && trace_open(options.trace) != 0) {
        return 1;
    }
    /* Signals come to the main thread only, as something to read. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    vm.options = &options;
    vm.machine_fd = -1;
    vm.demand_fd = eventfd(0, EFD_CLOEXEC);
    serial_reset(&vm);

    status = start();
    if (status == 0) {
        status = run(signalfd(-1, &signals, SFD_CLOEXEC));
    }
    kvm_stop(&vm);
    monitor_close(&vm);
    if (status >= 0 && options.trace != NULL) {
        status = trace_save(&vm, options.trace);
    }
    pass_close(&vm);
    memory_close(&vm);
    return status >= 0 ? 0 : 1;
}
