/* SPDX-License-Identifier: BSD-3-Clause */
#include "json_text.h"

#include <stdbool.h>
#include <string.h>

/* The schema of the vectors needs 7. */
#define MAX_DEPTH 32

/* Walks over text from one bracket, comma or string to the next. */
struct scan {
    const char *text;
    size_t size;
    size_t at;
    unsigned line;
    /* Of the last string. */
    size_t string_start;
    size_t string_size;
};

/* Skips a string whose opening quote is behind us. */
static void skip_string(struct scan *scan)
{
    scan->string_start = scan->at;
    while (scan->at < scan->size && scan->text[scan->at] != '"') {
        scan->line += scan->text[scan->at] == '\n';
        if (scan->text[scan->at] == '\\' && scan->at + 1 < scan->size) {
            scan->at++;
            scan->line += scan->text[scan->at] == '\n';
        }
        scan->at++;
    }
    scan->string_size = scan->at - scan->string_start;
    scan->at++;
}

/* The next of { } [ ] , : or " (a whole string), 0 at the end, or any other
 * character that does not belong. */
static char next_token(struct scan *scan)
{
    while (scan->at < scan->size) {
        char c = scan->text[scan->at++];

        scan->line += c == '\n';
        if (c == '"') {
            skip_string(scan);
            return c;
        }
        /* Numbers, true, false, null. */
        if (c == '\0' || strchr(" \t\r\n0123456789+-.eEtrufalsn", c) == NULL) {
            return c != '\0' ? c : '?';
        }
    }
    return '\0';
}

const char *json_text_check(const char *text, size_t size, unsigned *line)
{
    struct scan scan = { .text = text, .size = size, .line = 1 };
    unsigned depth = 0;

    for (;;) {
        char token = next_token(&scan);

        *line = scan.line;
        switch (token) {
        case '\0':
            return NULL;
        case '[':
        case '{':
            if (++depth > MAX_DEPTH) {
                return "nested too deeply";
            }
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
        case '"':
            break;
        default:
            return "a character that is not JSON";
        }
    }
}

/* One level of the nesting that we are in. */
struct level {
    const char *key; /* last string at this level */
    size_t key_size;
    unsigned index; /* commas so far */
};

static bool is_key(const struct level *level, const char *key)
{
    return level->key != NULL && level->key_size == strlen(key) &&
           memcmp(level->key, key, level->key_size) == 0;
}

/* Root object, its member, element of that, member of that, element of that. */
static bool is_wanted(const struct level *levels, unsigned depth,
                      unsigned vector, int step)
{
    if (depth < 2 || !is_key(&levels[0], "vectors") ||
        levels[1].index != vector) {
        return false;
    }
    if (step < 0) {
        return depth == 2;
    }
    return depth == 4 && is_key(&levels[2], "steps") &&
           levels[3].index == (unsigned)step;
}

unsigned json_text_find_line(const char *text, size_t size, unsigned vector,
                             int step)
{
    struct scan scan = { .text = text, .size = size, .line = 1 };
    struct level levels[MAX_DEPTH + 1] = { 0 };
    unsigned vector_line = 1;
    unsigned depth = 0;

    for (;;) {
        switch (next_token(&scan)) {
        case '\0':
            return vector_line;
        case '[':
        case '{':
            if (is_wanted(levels, depth, vector, step)) {
                return scan.line;
            }
            if (is_wanted(levels, depth, vector, -1)) {
                vector_line = scan.line;
            }
            levels[depth++] = (struct level){ 0 };
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
            if (depth > 0) {
                levels[depth - 1].index++;
            }
            break;
        case '"':
            if (depth > 0) {
                levels[depth - 1].key = text + scan.string_start;
                levels[depth - 1].key_size = scan.string_size;
            }
            break;
        default:
            break;
        }
    }
}
