/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define MAX_WORDS 5
#define BLOCKS "/sys/devices/system/memory"

static FILE *console;

void answer(const char *format, ...)
{
    va_list args;

    fputc('\n', console);
    va_start(args, format);
    vfprintf(console, format, args);
    va_end(args);
    fputc('\n', console);
    fflush(console);
}

void answer_errno(const char *what)
{
    answer("@fail %s: %s", what, strerror(errno));
}

char *read_whole(const char *path, size_t *size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = NULL;
    size_t room = 0;
    ssize_t got = 1;

    *size = 0;
    while (fd >= 0 && got > 0) {
        if (*size + 1 >= room) {
            room = room == 0 ? 65536 : 2 * room;
            bytes = realloc(bytes, room);
            if (bytes == NULL) {
                break;
            }
        }
        got = read(fd, bytes + *size, room - *size - 1);
        *size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (bytes != NULL) {
        bytes[*size] = '\0';
    }
    return bytes;
}

int write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    const ssize_t written = write(fd, text, strlen(text));
    const int saved = errno;
    close(fd);
    errno = saved;
    return written < 0 ? -1 : 0;
}

/* The number behind a name in a file of the form "name: number kB". */
static uint64_t number_behind(const char *path, const char *name)
{
    size_t size;
    char *text = read_whole(path, &size);
    const char *at = text != NULL ? strstr(text, name) : NULL;
    const uint64_t number =
        at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;

    free(text);
    return number;
}

static void say_meminfo(void)
{
    answer("@ok %llu %llu",
           (unsigned long long)number_behind("/proc/meminfo", "MemTotal:"),
           (unsigned long long)number_behind("/proc/meminfo", "MemAvailable:"));
}

static void say_node(const char *node)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/devices/system/node/node%s/meminfo",
             node);
    answer("@ok %llu", (unsigned long long)number_behind(path, "MemTotal:"));
}

/* How many of Linux's memory blocks start at these addresses. */
static void say_blocks(uint64_t gpa, uint64_t range)
{
    size_t size;
    char *text = read_whole(BLOCKS "/block_size_bytes", &size);
    const uint64_t block = text != NULL ? strtoull(text, NULL, 16) : 1;
    DIR *folder = opendir(BLOCKS);
    unsigned nr_online = 0;
    unsigned nr_offline = 0;

    free(text);
    for (const struct dirent *entry;
         folder != NULL && (entry = readdir(folder)) != NULL;) {
        unsigned number;
        char path[sizeof(BLOCKS) + 300];

        if (sscanf(entry->d_name, "memory%u", &number) == 1 &&
            number * block >= gpa && number * block - gpa < range) {
            snprintf(path, sizeof(path), BLOCKS "/%s/state", entry->d_name);
            text = read_whole(path, &size);
            nr_online += text != NULL && strcmp(text, "online\n") == 0;
            nr_offline += text != NULL && strcmp(text, "offline\n") == 0;
            free(text);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    answer("@ok %u %u", nr_online, nr_offline);
}

/* How many lines of the kernel's log have a word, and the last of them. */
static void say_log(const char *word)
{
    static char log[1 << 20];
    const int size = klogctl(3, log, sizeof(log) - 1);
    const char *last = "";
    unsigned nr_lines = 0;
    char *rest = NULL;

    log[size > 0 ? size : 0] = '\0';
    for (const char *line = strtok_r(log, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, word) != NULL) {
            nr_lines++;
            last = line;
        }
    }
    answer("@ok %u %s", nr_lines, last);
}

/* How many lines of the kernel's log are complaints of virtio_mem, and the last. */
static void say_complaints(void)
{
    static const char *const words[] = { "error", "failed", "invalid",
                                         "unexpected", "broken" };
    static char log[1 << 20];
    const int size = klogctl(3, log, sizeof(log) - 1);
    const char *last = "";
    unsigned nr_lines = 0;
    char *rest = NULL;

    if (size < 0) {
        answer_errno("log");
        return;
    }
    log[size] = '\0';
    for (const char *line = strtok_r(log, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        bool complains = false;

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            complains = complains || strcasestr(line, words[i]) != NULL;
        }
        if (complains && strstr(line, "virtio_mem") != NULL) {
            nr_lines++;
            last = line;
        }
    }
    answer("@ok %u %s", nr_lines, last);
}

/* What the lab's builder put into /lab.steps; all but those that are there. */
static int load_modules(void)
{
    FILE *steps = fopen("/lab.steps", "re");
    char line[512];
    int ret = steps != NULL ? 0 : -1;

    while (steps != NULL && fgets(line, sizeof(line), steps) != NULL) {
        char *rest = line;
        const char *kind = strsep(&rest, "\t\n");
        const char *path = strsep(&rest, "\t\n");

        if (strcmp(kind, "module") != 0 || path == NULL) {
            continue;
        }
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
            ret = -1;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (steps != NULL) {
        fclose(steps);
    }
    return ret;
}

static void done(int ret, const char *what)
{
    if (ret == 0) {
        answer("@ok");
    } else {
        answer_errno(what);
    }
}

static void say_reboot(const char *type)
{
    if (write_text("/sys/kernel/reboot/type", type) != 0) {
        answer_errno("reboot type");
        return;
    }
    answer("@ok");
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
            LINUX_REBOOT_CMD_RESTART, NULL);
}

/* To idle: the kernel has no deeper state here. What comes on the console wakes it
 * up, if its driver of virtio-mem lets it sleep at all. */
static void say_suspend(void)
{
    write_text("/sys/class/tty/ttyS0/power/wakeup", "enabled");
    done(write_text("/sys/power/state", "freeze"), "suspend");
}

static void say_sleeps(void)
{
    size_t size;
    char *text = read_whole("/sys/power/suspend_stats/success", &size);

    answer("@ok %llu", text != NULL ? strtoull(text, NULL, 10) : 0ULL);
    free(text);
}

static bool run_plain(char **words, uint64_t number)
{
    const char *word = words[0];

    if (strcmp(word, "meminfo") == 0) {
        say_meminfo();
    } else if (strcmp(word, "cpus") == 0) {
        answer("@ok %ld", sysconf(_SC_NPROCESSORS_ONLN));
    } else if (strcmp(word, "load") == 0) {
        done(load_modules(), "load");
    } else if (strcmp(word, "unload") == 0) {
        done((int)syscall(SYS_delete_module, "virtio_mem", O_NONBLOCK),
             "unload");
    } else if (strcmp(word, "check") == 0) {
        memory_check();
    } else if (strcmp(word, "complaints") == 0) {
        say_complaints();
    } else if (strcmp(word, "prepare") == 0) {
        kernel_prepare();
    } else if (strcmp(word, "shrink") == 0) {
        kernel_shrink();
    } else if (strcmp(word, "suspend") == 0) {
        say_suspend();
    } else if (strcmp(word, "sleeps") == 0) {
        say_sleeps();
    } else if (strcmp(word, "hibernate") == 0) {
        done(write_text("/sys/power/state", "disk"), "hibernate");
    } else if (strcmp(word, "crash") == 0) {
        kexec_crash();
    } else if (words[1] == NULL) {
        return false;
    } else if (strcmp(word, "keep") == 0) {
        memory_keep(number);
        answer("@ok");
    } else if (strcmp(word, "vmcore") == 0) {
        kexec_read_vmcore(number);
    } else if (strcmp(word, "tmpfs") == 0) {
        memory_tmpfs(number);
    } else if (strcmp(word, "pin") == 0) {
        memory_pin(number);
    } else if (strcmp(word, "pipes") == 0) {
        kernel_pipes(number);
    } else {
        return false;
    }
    return true;
}

static bool run_worded(char **words)
{
    const char *word = words[0];

    if (words[1] == NULL) {
        return false;
    }
    if (strcmp(word, "node") == 0) {
        say_node(words[1]);
    } else if (strcmp(word, "log") == 0) {
        say_log(words[1]);
    } else if (strcmp(word, "online") == 0) {
        done(write_text(BLOCKS "/auto_online_blocks", words[1]), "online");
    } else if (strcmp(word, "reboot") == 0) {
        say_reboot(words[1]);
    } else if (strcmp(word, "unbind") == 0) {
        done(write_text("/sys/bus/platform/drivers/virtio-mmio/unbind",
                        words[1]),
             "unbind");
    } else if (strcmp(word, "bind") == 0) {
        done(write_text("/sys/bus/platform/drivers/virtio-mmio/bind", words[1]),
             "bind");
    } else if (strcmp(word, "kexec") == 0) {
        kexec_start(words[1]);
    } else {
        return false;
    }
    return true;
}

static void run(char *line)
{
    char *words[MAX_WORDS + 1] = { NULL };
    uint64_t numbers[MAX_WORDS + 1] = { 0 };
    char *rest = NULL;
    unsigned nr = 0;

    for (char *word = strtok_r(line, " \r\n", &rest);
         word != NULL && nr < MAX_WORDS;
         word = strtok_r(NULL, " \r\n", &rest)) {
        numbers[nr] = strtoull(word, NULL, 0);
        words[nr++] = word;
    }
    if (nr == 0) {
        return;
    }
    if (strcmp(words[0], "fill") == 0 && nr == 5) {
        memory_fill(numbers[1], numbers[2], numbers[3], numbers[4]);
    } else if (strcmp(words[0], "lies") == 0 && nr == 3) {
        memory_lies(numbers[1], numbers[2]);
    } else if (strcmp(words[0], "blocks") == 0 && nr == 3) {
        say_blocks(numbers[1], numbers[2]);
    } else if (strcmp(words[0], "held") == 0 && nr == 4) {
        kernel_held(numbers[1], numbers[2], numbers[3]);
    } else if (strcmp(words[0], "edu") == 0 && nr == 4) {
        edu_copy(numbers[1], numbers[2], numbers[3]);
    } else if (strcmp(words[0], "poke") == 0 && nr == 3) {
        edu_poke(numbers[1], numbers[2]);
    } else if (strcmp(words[0], "hostile") == 0 && nr == 3) {
        hostile_run(numbers[1], numbers[2]);
    } else if (!run_plain(words, numbers[1]) && !run_worded(words)) {
        answer("@fail no such command: %s", words[0]);
    }
}

static void mount_all(void)
{
    static const char *const types[][2] = { { "devtmpfs", "/dev" },
                                            { "proc", "/proc" },
                                            { "sysfs", "/sys" },
                                            { "tmpfs", "/tmp" } };

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        mkdir(types[i][1], 0755);
        mount(types[i][0], types[i][1], types[i][0], 0,
              strcmp(types[i][0], "tmpfs") == 0 ? "size=0" : NULL);
    }
}

int main(void)
{
    struct termios mode;
    char line[256];

    mount_all();
    console = fopen("/dev/ttyS0", "r+e");
    if (console == NULL) {
        return 1;
    }
    if (tcgetattr(fileno(console), &mode) == 0) {
        cfmakeraw(&mode);
        tcsetattr(fileno(console), TCSANOW, &mode);
    }
    /* In a kernel that was started by a crash there is only this to do. */
    if (getenv("agent") != NULL && strcmp(getenv("agent"), "vmcore") == 0) {
        load_modules();
    }
    answer("@ready");
    while (fgets(line, sizeof(line), console) != NULL) {
        run(line);
    }
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
            LINUX_REBOOT_CMD_POWER_OFF, NULL);
    return 0;
}
