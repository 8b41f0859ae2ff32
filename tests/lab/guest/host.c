/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab/result.h"

#define GUEST_TIMEOUT_S 180
#define MONITOR_TIMEOUT_S 30
#define SETTLE_TIMEOUT_S 180
#define POLL_MS 100
#define LINE 512
#define MAX_START_WORDS 64

/* Lines that come from somewhere, with what is not a whole line yet. */
struct lines {
    int fd;
    size_t used;
    char bytes[65536];
};

static char own_folder[90];
static char monitor_path[sizeof(own_folder) + sizeof("/monitor")];
static pid_t pid = -1;
static int console_in = -1;
static struct lines console = { .fd = -1 };
static struct lines commands = { .fd = -1 };
static struct lines events = { .fd = -1 };
static char guest_answer[LINE];

double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Takes what is there: minivmm does not wait for those who do not read. */
static void pump_events(void)
{
    struct pollfd poll_fd = { events.fd, POLLIN, 0 };

    while (poll(&poll_fd, 1, 0) > 0) {
        if (events.used > sizeof(events.bytes) / 2) {
            events.used = 0; /* nobody has asked for them */
        }
        const ssize_t got = read(events.fd, events.bytes + events.used,
                                 sizeof(events.bytes) - events.used);
        if (got <= 0) {
            return;
        }
        events.used += (size_t)got;
    }
}

/* The next line, without its end; false when the time is over. */
static bool read_line(struct lines *from, char *line, size_t room,
                      double deadline_s)
{
    for (;;) {
        char *end = memchr(from->bytes, '\n', from->used);

        if (end != NULL || from->used == sizeof(from->bytes)) {
            const size_t size =
                end != NULL ? (size_t)(end - from->bytes) : from->used - 1;
            const size_t kept = size < room - 1 ? size : room - 1;

            memcpy(line, from->bytes, kept);
            line[kept] = '\0';
            from->used -= size + 1;
            memmove(from->bytes, from->bytes + size + 1, from->used);
            line[strcspn(line, "\r")] = '\0';
            return true;
        }
        struct pollfd poll_fd = { from->fd, POLLIN, 0 };
        if (deadline_s < now_s()) {
            return false;
        }
        if (from != &events) {
            pump_events();
        }
        if (poll(&poll_fd, 1, POLL_MS) <= 0) {
            continue;
        }
        const ssize_t got = read(from->fd, from->bytes + from->used,
                                 sizeof(from->bytes) - from->used);
        if (got <= 0) {
            return false;
        }
        from->used += (size_t)got;
    }
}

static int connect_monitor(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    memcpy(address.sun_path, monitor_path, sizeof(monitor_path));
    for (double end_s = now_s() + MONITOR_TIMEOUT_S; now_s() < end_s;) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
            return fd;
        }
        close(fd);
        usleep(20000);
    }
    return -1;
}

bool host_start(const char *const *words)
{
    const char *all[MAX_START_WORDS + 3];
    unsigned nr = 0;
    int in[2];
    int out[2];

    signal(SIGPIPE, SIG_IGN);
    snprintf(own_folder, sizeof(own_folder), "%s/guest-XXXXXX",
             getenv("TMPDIR"));
    if (mkdtemp(own_folder) == NULL) {
        return false;
    }
    snprintf(monitor_path, sizeof(monitor_path), "%s/monitor", own_folder);
    for (; nr < MAX_START_WORDS && words[nr] != NULL; nr++) {
        all[nr] = words[nr];
    }
    all[nr++] = "--monitor";
    all[nr++] = monitor_path;
    all[nr] = NULL;
    if (pipe(in) != 0 || pipe(out) != 0 || (pid = fork()) < 0) {
        return false;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        close(out[0]);
        execv(all[0], (char *const *)all);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    console_in = in[1];
    console = (struct lines){ .fd = out[0] };
    commands = (struct lines){ .fd = connect_monitor() };
    events = (struct lines){ .fd = connect_monitor() };
    if (write(events.fd, "events\n", 7) != 7) {
        return false;
    }
    return guest_is_ready(GUEST_TIMEOUT_S);
}

const char *host_folder(void)
{
    return own_folder;
}

bool host_is_alive(void)
{
    siginfo_t ended = { .si_pid = 0 };

    /* Its status is left for host_stop(). */
    return pid > 0 &&
           waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0;
}

bool host_stop(void)
{
    int status = 1;

    monitor("quit");
    for (double end_s = now_s() + MONITOR_TIMEOUT_S;
         waitpid(pid, &status, WNOHANG) == 0;) {
        if (now_s() > end_s) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return false;
        }
        usleep(10000);
    }
    close(console_in);
    close(console.fd);
    close(commands.fd);
    close(events.fd);
    rmdir(own_folder);
    return status == 0;
}

/* The next line of the agent; the kernel's are kept for people. */
static bool read_agent(double timeout_s)
{
    const double end_s = now_s() + timeout_s;

    while (read_line(&console, guest_answer, sizeof(guest_answer), end_s)) {
        if (guest_answer[0] == '@') {
            return true;
        }
        if (guest_answer[0] != '\0') {
            result_note("guest: %s", guest_answer);
        }
    }
    snprintf(guest_answer, sizeof(guest_answer), "no answer in %.0f s",
             timeout_s);
    return false;
}

bool guest_is_ready(double timeout_s)
{
    const double end_s = now_s() + timeout_s;

    while (read_agent(end_s - now_s())) {
        if (strcmp(guest_answer, "@ready") == 0) {
            return true;
        }
    }
    return false;
}

__attribute__((format(printf, 1, 0))) static const char *
ask_guest(const char *format, va_list args)
{
    char line[256];

    vsnprintf(line, sizeof(line) - 1, format, args);
    result_note("> %s", line);
    strcat(line, "\n");
    if (write(console_in, line, strlen(line)) < 0 ||
        !read_agent(GUEST_TIMEOUT_S)) {
        return NULL;
    }
    result_note("< %s", guest_answer);
    return strncmp(guest_answer, "@ok", 3) == 0 ? guest_answer + 3 : NULL;
}

const char *guest(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *said = ask_guest(format, args);
    va_end(args);
    return said;
}

const char *guest_why(void)
{
    return guest_answer;
}

/* What comes on the console wakes a guest up; what comes before it sleeps does
 * not, so it comes again. */
bool guest_sleep(void)
{
    const double end_s = now_s() + GUEST_TIMEOUT_S;
    bool answered = write(console_in, "suspend\n", 8) == 8 && read_agent(3);

    while (!answered && now_s() < end_s && write(console_in, "\n", 1) == 1) {
        answered = read_agent(3);
    }
    result_note("suspend: %s", guest_answer);
    return answered && strncmp(guest_answer, "@ok", 3) == 0;
}

uint64_t guest_number(unsigned index, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *said = ask_guest(format, args);
    va_end(args);
    for (; said != NULL && index > 0; index--) {
        said = strchr(said + 1, ' ');
    }
    return said != NULL && said[0] == ' ' ? strtoull(said, NULL, 10)
                                          : UINT64_MAX;
}

const char *monitor(const char *format, ...)
{
    static char text[65536];
    const double end_s = now_s() + MONITOR_TIMEOUT_S;
    char line[LINE];
    size_t used = 0;
    va_list args;

    va_start(args, format);
    const int size = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    strcat(line, "\n");
    if (write(commands.fd, line, (size_t)size + 1) < 0) {
        return NULL;
    }
    text[0] = '\0';
    while (read_line(&commands, line, sizeof(line), end_s)) {
        if (strcmp(line, "ok") == 0) {
            return text;
        }
        if (strncmp(line, "error:", 6) == 0) {
            result_note("monitor: %s", line);
            return NULL;
        }
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "\n%s", line);
        if (used >= sizeof(text)) {
            used = sizeof(text) - 1;
        }
    }
    return NULL;
}

/* What is behind "name:" at that depth. */
static const char *find(const char *text, const char *name)
{
    char wanted[80];

    snprintf(wanted, sizeof(wanted), "\n%s: ", name);
    const char *at = text != NULL ? strstr(text, wanted) : NULL;
    return at != NULL ? at + strlen(wanted) : NULL;
}

uint64_t device_number(const char *device, const char *name)
{
    const char *value = find(monitor("info virtio-mem %s", device), name);

    return value != NULL ? strtoull(value, NULL, 0) : 0;
}

bool device_says(const char *device, const char *name, const char *value)
{
    const char *said = find(monitor("info virtio-mem %s", device), name);

    return said != NULL && strncmp(said, value, strlen(value)) == 0;
}

uint64_t device_stat(const char *device, const char *name)
{
    char section[80];
    char member[80];
    const char *text = monitor("stats");

    snprintf(section, sizeof(section), "\n%s:\n", device);
    snprintf(member, sizeof(member), "\n  %s: ", name);
    const char *at = text != NULL ? strstr(text, section) : NULL;
    const char *end =
        at != NULL ? strstr(at + strlen(section), "\nvmem") : NULL;
    at = at != NULL ? strstr(at + strlen(section) - 1, member) : NULL;
    return at != NULL && (end == NULL || at < end)
               ? strtoull(at + strlen(member), NULL, 10)
               : 0;
}

/* Of the only mapping of that size. */
static uint64_t mapping_resident(uint64_t size)
{
    char path[64];
    char line[LINE];
    uint64_t found = 0;
    uint64_t resident = UINT64_MAX;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    FILE *smaps = fopen(path, "re");
    while (smaps != NULL && fgets(line, sizeof(line), smaps) != NULL) {
        if (strncmp(line, "Size:", 5) == 0) {
            found = strtoull(line + 5, NULL, 10) * 1024;
        } else if (strncmp(line, "Rss:", 4) == 0 && found == size) {
            resident = strtoull(line + 4, NULL, 10) * 1024;
        }
    }
    if (smaps != NULL) {
        fclose(smaps);
    }
    return resident;
}

uint64_t device_resident(const char *device)
{
    char folder[64];
    char wanted[80];
    uint64_t resident = UINT64_MAX;

    if (device_says(device, "memdev", "anon")) {
        return mapping_resident(device_number(device, "max-size"));
    }
    snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
    snprintf(wanted, sizeof(wanted), "/memfd:%s ", device);
    DIR *fds = opendir(folder);
    for (const struct dirent *entry;
         fds != NULL && (entry = readdir(fds)) != NULL;) {
        char path[400];
        char target[128] = "";
        struct stat about;

        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (readlink(path, target, sizeof(target) - 1) > 0 &&
            strncmp(target, wanted, strlen(wanted)) == 0 &&
            stat(path, &about) == 0) {
            resident = (uint64_t)about.st_blocks * 512;
        }
    }
    if (fds != NULL) {
        closedir(fds);
    }
    return resident;
}

uint64_t fill(const char *device, uint64_t mib)
{
    const uint64_t gpa = device_number(device, "memaddr");
    const uint64_t size = device_number(device, "max-size");

    return guest_number(0, "fill %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                        mib, gpa, size, device_number(device, "node"));
}

bool settle(const char *device, uint64_t size, double timeout_s)
{
    const double end_s = now_s() + timeout_s;

    while (now_s() < end_s) {
        if (device_number(device, "size") == size &&
            device_says(device, "resize", "idle")) {
            return true;
        }
        usleep(50000);
    }
    result_note("%s has %" PRIu64 " MiB, not %" PRIu64 " MiB: %s", device,
                device_number(device, "size") / MIB, size / MIB,
                monitor("info virtio-mem %s", device));
    return false;
}

bool resize(const char *device, uint64_t size)
{
    result_note("resize %s to %" PRIu64 " MiB", device, size / MIB);
    return monitor("resize %s %" PRIu64, device, size) != NULL &&
           settle(device, size, SETTLE_TIMEOUT_S);
}

bool wait_stat(const char *device, const char *name, uint64_t least,
               double timeout_s)
{
    const double end_s = now_s() + timeout_s;

    while (device_stat(device, name) < least) {
        if (now_s() > end_s) {
            return false;
        }
        usleep(20000);
    }
    return true;
}

bool wait_event(const char *event, const char *text, double timeout_s)
{
    const double end_s = now_s() + timeout_s;
    char line[LINE];

    while (read_line(&events, line, sizeof(line), end_s)) {
        if (strstr(line, event) != NULL && strstr(line, text) != NULL) {
            return true;
        }
    }
    return false;
}

void forget_events(void)
{
    pump_events();
    events.used = 0;
}
