/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vmem/device.h>

#include "trace_line.h"

/* Longest time, in characters: nanoseconds for three centuries. */
#define SECONDS_MAX 20

static const struct {
    const char *name;
    enum trace_op op;
} ops[] = {
    { "resize", TRACE_RESIZE },
    { "plug", TRACE_PLUG },
    { "unplug", TRACE_UNPLUG },
    { "unplug_all", TRACE_UNPLUG_ALL },
    { "state", TRACE_STATE },
    { "system_reset", TRACE_SYSTEM_RESET },
    { "driver_reset", TRACE_DRIVER_RESET },
    { "wakeup", TRACE_WAKEUP },
    { "busy", TRACE_BUSY_ON },
    { "busy", TRACE_BUSY_OFF },
};

const char *trace_op_name(enum trace_op op)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        if (ops[i].op == op) {
            return ops[i].name;
        }
    }
    return "?";
}

/* Digits with at most one point between them. */
static bool read_seconds(const struct trace_line *line, const char *word,
                         double *seconds)
{
    const char *end = word + strspn(word, "0123456789");

    if (end > word && *end == '.' && g_ascii_isdigit(end[1])) {
        end++;
        end += strspn(end, "0123456789");
    }
    if (end == word || *end != '\0' || end - word > SECONDS_MAX) {
        return trace_line_refuse_word(line, "not a time in seconds", word);
    }
    *seconds = g_ascii_strtod(word, NULL);
    return true;
}

/* The last word of a request. */
static bool read_answer(const struct trace_line *line,
                        struct trace_record *record, const char *word)
{
    static const struct {
        const char *name;
        uint16_t response;
        int state;
        unsigned ops; /* set of 1 << enum trace_op */
    } answers[] = {
        { "ack", VMEM_RESPONSE_ACK, TRACE_NO_STATE,
          1 << TRACE_PLUG | 1 << TRACE_UNPLUG | 1 << TRACE_UNPLUG_ALL },
        { "nack", VMEM_RESPONSE_NACK, TRACE_NO_STATE,
          1 << TRACE_PLUG | 1 << TRACE_UNPLUG },
        { "busy", VMEM_RESPONSE_BUSY, TRACE_NO_STATE,
          1 << TRACE_PLUG | 1 << TRACE_UNPLUG | 1 << TRACE_UNPLUG_ALL },
        { "error", VMEM_RESPONSE_ERROR, TRACE_NO_STATE,
          1 << TRACE_PLUG | 1 << TRACE_UNPLUG | 1 << TRACE_STATE },
        { "ack:plugged", VMEM_RESPONSE_ACK, VMEM_STATE_PLUGGED,
          1 << TRACE_STATE },
        { "ack:unplugged", VMEM_RESPONSE_ACK, VMEM_STATE_UNPLUGGED,
          1 << TRACE_STATE },
        { "ack:mixed", VMEM_RESPONSE_ACK, VMEM_STATE_MIXED, 1 << TRACE_STATE },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
        if (answers[i].ops & 1U << record->op &&
            strcmp(answers[i].name, word) == 0) {
            record->response = answers[i].response;
            record->state = answers[i].state;
            return true;
        }
    }

    g_autofree char *what =
        g_strdup_printf("not an answer to %s", trace_op_name(record->op));

    return trace_line_refuse_word(line, what, word);
}

static bool read_resize(const struct trace_line *line,
                        struct trace_record *record, char **words,
                        unsigned nr_words)
{
    if (nr_words < 1 || nr_words > 2) {
        return trace_line_refuse(line, "resize takes BYTES [refused]");
    }
    if (nr_words == 2) {
        if (strcmp(words[1], "refused") != 0) {
            return trace_line_refuse_word(line, "not \"refused\"", words[1]);
        }
        record->refused = true;
    }
    return trace_line_read_number(line, "the size", words[0], UINT64_MAX,
                                  &record->size);
}

static bool read_range_request(const struct trace_line *line,
                               struct trace_record *record, char **words,
                               unsigned nr_words)
{
    uint64_t nr_blocks = 0;

    if (nr_words != 3) {
        return trace_line_refuse(line, "%s takes GPA NR_BLOCKS ANSWER",
                                 trace_op_name(record->op));
    }
    if (!trace_line_read_number(line, "the address", words[0], UINT64_MAX,
                                &record->gpa) ||
        !trace_line_read_number(line, "the number of blocks", words[1],
                                UINT16_MAX, &nr_blocks)) {
        return false;
    }
    record->nr_blocks = (uint16_t)nr_blocks;
    return read_answer(line, record, words[2]);
}

/* The words behind the operation. */
static bool read_arguments(const struct trace_line *line,
                           struct trace_record *record, char **words,
                           unsigned nr_words)
{
    const char *name = trace_op_name(record->op);

    switch (record->op) {
    case TRACE_RESIZE:
        return read_resize(line, record, words, nr_words);
    case TRACE_PLUG:
    case TRACE_UNPLUG:
    case TRACE_STATE:
        return read_range_request(line, record, words, nr_words);
    case TRACE_UNPLUG_ALL:
        return nr_words == 1
                   ? read_answer(line, record, words[0])
                   : trace_line_refuse(line, "unplug_all takes an ANSWER");
    case TRACE_SYSTEM_RESET:
    case TRACE_DRIVER_RESET:
    case TRACE_WAKEUP:
        return nr_words == 0 ||
               trace_line_refuse(line, "words behind %s", name);
    case TRACE_BUSY_ON:
    case TRACE_BUSY_OFF:
        if (nr_words == 1 && strcmp(words[0], "off") == 0) {
            record->op = TRACE_BUSY_OFF;
            return true;
        }
        return (nr_words == 1 && strcmp(words[0], "on") == 0) ||
               trace_line_refuse(line, "busy takes \"on\" or \"off\"");
    }
    return false;
}

static bool read_subject(const struct trace_line *line,
                         struct trace_record *record, const char *name)
{
    if (strcmp(name, "*") == 0) {
        record->device = TRACE_ALL_DEVICES;
        return record->op == TRACE_SYSTEM_RESET ||
               record->op == TRACE_DRIVER_RESET || record->op == TRACE_WAKEUP ||
               trace_line_refuse(line, "%s needs the name of one device",
                                 trace_op_name(record->op));
    }

    const struct trace_device *device =
        trace_line_find_device(line->trace, name, &record->device);

    if (device == NULL) {
        return trace_line_refuse_word(line, "unknown device", name);
    }
    return device->end_line == 0 ||
           trace_line_refuse(line, "a record of %s behind its end line %u",
                             name, device->end_line);
}

bool trace_record_read(const struct trace_line *line, char **words,
                       unsigned nr_words)
{
    struct trace_record record = { .line = line->number,
                                   .state = TRACE_NO_STATE };

    if (!read_seconds(line, words[0], &record.seconds)) {
        return false;
    }
    if (nr_words < 3) {
        return trace_line_refuse(line,
                                 "a record is \"SECONDS NAME OPERATION ...\"");
    }
    for (unsigned i = 0; record.op == 0 && i < G_N_ELEMENTS(ops); i++) {
        if (strcmp(ops[i].name, words[2]) == 0) {
            record.op = ops[i].op;
        }
    }
    if (record.op == 0) {
        return trace_line_refuse_word(line, "unknown operation", words[2]);
    }
    if (!read_subject(line, &record, words[1]) ||
        !read_arguments(line, &record, words + 3, nr_words - 3)) {
        return false;
    }
    g_array_append_val(line->trace->records, record);
    return true;
}
