/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/frame.h"
#include "base/name.h"

#define WINDOW_NS ((int64_t)1000000000)

int vmemi_log_init(struct vmemi_log *log)
{
    return vmemi_mutex_init(&log->lock);
}

void vmemi_log_destroy(struct vmemi_log *log)
{
    vmemi_mutex_destroy(&log->lock);
}

/* Level and code were checked by the compiler: they are constants. is_kept: one that
 * is not allowed now comes again. */
static bool is_allowed(struct vmemi_log *log, uint32_t code, bool has_room,
                       bool is_kept, uint32_t *suppressed)
{
    uint64_t now_ns = log->clock_ns(log->clock_opaque);
    bool allowed;

    vmemi_mutex_lock(&log->lock);
    /* Signed: another thread may have read the clock later and got here first;
     * that must not open a new window. */
    if (log->codes[code].nr_passed == 0 ||
        (int64_t)(now_ns - log->codes[code].window_start_ns) >= WINDOW_NS) {
        log->codes[code].window_start_ns = now_ns;
        log->codes[code].nr_passed = 0;
    }
    allowed = has_room && log->codes[code].nr_passed < VMEM_LOG_BURST;
    if (allowed) {
        log->codes[code].nr_passed++;
        *suppressed = log->codes[code].nr_suppressed;
        log->codes[code].nr_suppressed = 0;
    } else if (!is_kept && log->codes[code].nr_suppressed < UINT32_MAX) {
        log->codes[code].nr_suppressed++;
    }
    vmemi_mutex_unlock(&log->lock);
    return allowed;
}

/* Where a record of this code goes; -1: nowhere. */
static int take_place(struct vmemi_log *log, struct vmemi_log_queue *queue,
                      uint32_t level, uint32_t blame, uint32_t code,
                      bool is_kept, const char *object)
{
    const uint32_t room = sizeof(queue->records) / sizeof(queue->records[0]);
    const uint32_t i = queue->nr_records;
    uint32_t suppressed = 0;

    if (!is_allowed(log, code, i < room, is_kept, &suppressed)) {
        return -1;
    }
    queue->nr_records++;
    queue->records[i].level = level;
    queue->records[i].blame = blame;
    queue->records[i].code = code;
    queue->records[i].suppressed = suppressed;
    snprintf(queue->records[i].object.text,
             sizeof(queue->records[i].object.text), "%s", object);
    return (int)i;
}

void vmemi_log_add(struct vmemi_log *log, struct vmemi_log_queue *queue,
                   uint32_t level, uint32_t blame, uint32_t code,
                   const char *object, const char *format, ...)
{
    const int i = take_place(log, queue, level, blame, code, false, object);
    va_list args;

    if (i >= 0) {
        va_start(args, format);
        vsnprintf(queue->records[i].message, sizeof(queue->records[i].message),
                  format, args);
        va_end(args);
    }
}

bool vmemi_log_offer(struct vmemi_log *log, struct vmemi_log_queue *queue,
                     uint32_t level, uint32_t blame, uint32_t code,
                     const char *object, const char *message)
{
    const int i = take_place(log, queue, level, blame, code, true, object);

    if (i >= 0) {
        snprintf(queue->records[i].message, sizeof(queue->records[i].message),
                 "%s", message);
    }
    return i >= 0;
}

void vmemi_log_drop(struct vmemi_log *log, uint32_t code)
{
    vmemi_mutex_lock(&log->lock);
    if (log->codes[code].nr_suppressed < UINT32_MAX) {
        log->codes[code].nr_suppressed++;
    }
    vmemi_mutex_unlock(&log->lock);
}

static void print(const struct vmem_log_record *record)
{
    if (record->level < VMEM_LOG_WARNING) {
        return;
    }
    if (record->suppressed > 0) {
        fprintf(stderr, "vmem: %s: %s: %s (%u similar suppressed)\n",
                vmem_blame_name(record->blame), record->object, record->message,
                record->suppressed);
    } else {
        fprintf(stderr, "vmem: %s: %s: %s\n", vmem_blame_name(record->blame),
                record->object, record->message);
    }
}

void vmemi_log_send(struct vmemi_log *log, struct vmemi_log_queue *queue)
{
    const int saved_errno = errno;
    struct vmemi_frame frame;

    /* The operation that logs is not over: what it is about must not be freed
     * in the sink. */
    vmemi_frame_enter(&frame, log->vm, log, VMEMI_FRAME_LOG);
    for (uint32_t i = 0; i < queue->nr_records; i++) {
        const struct vmem_log_record record = {
            .struct_size = sizeof(record),
            .level = queue->records[i].level,
            .blame = queue->records[i].blame,
            .code = queue->records[i].code,
            .suppressed = queue->records[i].suppressed,
            .object = queue->records[i].object.text,
            .message = queue->records[i].message,
        };

        if (log->sink != NULL) {
            log->sink(&record, log->opaque);
        } else {
            print(&record);
        }
    }
    vmemi_frame_leave(&frame);
    queue->nr_records = 0;
    errno = saved_errno;
}

const char *vmem_blame_name(uint32_t blame)
{
    static const char *const names[] = {
        [VMEM_BLAME_GUEST] = "guest",
        [VMEM_BLAME_HOST] = "host",
        [VMEM_BLAME_OS] = "os",
        [VMEM_BLAME_VMEM] = "vmem",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), blame);
}

const char *vmem_log_level_name(uint32_t level)
{
    static const char *const names[] = {
        [VMEM_LOG_DEBUG] = "debug",
        [VMEM_LOG_INFO] = "info",
        [VMEM_LOG_WARNING] = "warning",
        [VMEM_LOG_ERROR] = "error",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), level);
}
