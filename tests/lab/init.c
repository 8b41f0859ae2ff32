/* SPDX-License-Identifier: BSD-3-Clause */
/* The first process of a lab machine: mounts, does the steps of /lab.steps one
 * after the other, hands out what they left in /out, and powers off.
 *
 * Serial ports: the first is the kernel's console, the second carries what the
 * programs print and this file's own lines, which start with "@init ", the
 * third the files of /out. In a nested machine with one port the kernel's command
 * line says lab_results=/dev/ttyS0, and no files are handed out. A line of /lab.steps is one step, its words separated
 * by tabs:
 *
 *   module  FILE [PARAMETERS]
 *   write   FILE TEXT
 *   run     TIMEOUT_S PROGRAM [ARGUMENT...]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 64

static int results_fd = -1;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    dprintf(results_fd, "@init %s\n", line);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void mount_one(const char *type, const char *target)
{
    mkdir(target, 0755);
    if (mount(type, target, type, 0, NULL) && errno != EBUSY) {
        say("failed mount %s: %s", target, strerror(errno));
    }
}

/* A port on which bytes arrive as they were written. */
static int open_port(const char *path)
{
    const int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios mode;
    if (fd >= 0 && tcgetattr(fd, &mode) == 0) {
        cfmakeraw(&mode);
        tcsetattr(fd, TCSANOW, &mode);
    }
    return fd;
}

static void load_module(const char *path, const char *parameters)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 ||
        (syscall(SYS_finit_module, fd, parameters, 0) && errno != EEXIST)) {
        say("failed module %s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        say("failed write %s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Waits for the program, and ends its process group when its time is over. */
static void await(pid_t pid, double deadline_s, unsigned int number)
{
    for (;;) {
        int status;
        const pid_t found = waitpid(-1, &status, WNOHANG);
        if (found == pid) {
            if (WIFSIGNALED(status)) {
                say("exit %u signal %d", number, WTERMSIG(status));
            } else {
                say("exit %u status %d", number, WEXITSTATUS(status));
            }
            break;
        }
        if (found > 0) {
            continue;
        }
        if (now_s() > deadline_s) {
            say("exit %u timeout", number);
            break;
        }
        usleep(10000);
    }
    kill(-pid, SIGKILL);
}

static void run_program(char **words, unsigned int number)
{
    say("run %u %s", number, words[2]);
    const pid_t pid = fork();
    if (pid == 0) {
        setsid();
        const int null_fd = open("/dev/null", O_RDONLY);
        dup2(null_fd, STDIN_FILENO);
        dup2(results_fd, STDOUT_FILENO);
        dup2(results_fd, STDERR_FILENO);
        const struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        execv(words[2], words + 2);
        dprintf(STDERR_FILENO, "%s: %s\n", words[2], strerror(errno));
        _exit(127);
    }
    if (pid < 0) {
        say("failed fork: %s", strerror(errno));
        return;
    }
    await(pid, now_s() + atof(words[1]), number);
}

static void do_step(char *line, unsigned int *nr_runs)
{
    char *words[MAX_WORDS + 1] = { NULL };
    unsigned int nr_words = 0;
    for (char *rest = line; rest && nr_words < MAX_WORDS;) {
        words[nr_words++] = strsep(&rest, "\t");
    }
    const char *kind = words[0];
    if (strcmp(kind, "module") == 0 && nr_words >= 2) {
        load_module(words[1], nr_words > 2 ? words[2] : "");
    } else if (strcmp(kind, "write") == 0 && nr_words == 3) {
        write_file(words[1], words[2]);
    } else if (strcmp(kind, "run") == 0 && nr_words >= 3) {
        run_program(words, ++*nr_runs);
    } else {
        say("failed step %s", kind);
    }
}

static void do_steps(void)
{
    FILE *steps = fopen("/lab.steps", "re");
    char *line = NULL;
    size_t room = 0;
    unsigned int nr_runs = 0;
    if (!steps) {
        say("failed open /lab.steps: %s", strerror(errno));
        return;
    }
    while (getline(&line, &room, steps) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0') {
            do_step(line, &nr_runs);
        }
    }
    free(line);
    fclose(steps);
}

static void hand_out(const char *name, int port_fd)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/out/%s", name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) || !S_ISREG(about.st_mode)) {
        return;
    }
    dprintf(port_fd, "@file %lld %s\n", (long long)about.st_size, name);
    char bytes[4096];
    ssize_t size;
    while ((size = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t done = 0; done < size;) {
            const ssize_t step =
                write(port_fd, bytes + done, (size_t)(size - done));
            if (step < 0) {
                say("failed to hand out %s: %s", name, strerror(errno));
                close(fd);
                return;
            }
            done += step;
        }
    }
    close(fd);
}

static void hand_out_all(void)
{
    DIR *folder = opendir("/out");
    const int port_fd = open_port("/dev/ttyS2");
    if (!folder || port_fd < 0) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] != '.') {
            hand_out(entry->d_name, port_fd);
        }
    }
    closedir(folder);
    tcdrain(port_fd);
    close(port_fd);
}

int main(void)
{
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    const char *port = getenv("lab_results");
    results_fd = open_port(port ? port : "/dev/ttyS1");
    say("boot %.1f", now_s());
    mount_one("proc", "/proc");
    mount_one("sysfs", "/sys");
    mount_one("tmpfs", "/tmp");
    mount_one("tmpfs", "/out");
    setenv("PATH", "/bin", 1);
    setenv("TMPDIR", "/tmp", 1);

    do_steps();
    if (!port) {
        hand_out_all();
    }
    say("done %.1f", now_s());
    tcdrain(results_fd);
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}
