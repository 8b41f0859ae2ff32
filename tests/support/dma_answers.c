/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/dma_answers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dma/kernel.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define MAX_LINE 512
#define MAX_WORDS 24
#define MAX_RANGES 32

/* ---- memory to map ---- */

enum memory { RAM, READONLY, PROTECTED, HOLED, SHORT, NOTHING, NR_MEMORIES };

static const struct {
    const char *name;
    uint64_t size;
    uint64_t file_size; /* 0: anonymous */
    int protection;
} memories[NR_MEMORIES] = {
    [RAM] = { "ram", MIB(64), MIB(64), PROT_READ | PROT_WRITE },
    [READONLY] = { "readonly", MIB(4), 0, PROT_READ },
    [PROTECTED] = { "protected", MIB(4), 0, PROT_NONE },
    [HOLED] = { "holed", MIB(4), 0, PROT_READ | PROT_WRITE },
    [SHORT] = { "short", MIB(4), MIB(2), PROT_READ | PROT_WRITE },
    [NOTHING] = { "null", 0, 0, PROT_NONE },
};

struct asker {
    const struct dma_answers_target *target;
    struct dma_answers_result *result;
    FILE *report;
    const char *name;
    unsigned line;
    const char *text; /* of the line */
    bool is_skipping; /* this scene */
    char *hva[NR_MEMORIES];
};

static char *make_memory(enum memory memory)
{
    const uint64_t file_size = memories[memory].file_size;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    int fd = -1;
    char *hva;

    if (file_size != 0) {
        fd = memfd_create("ram", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)file_size) < 0) {
            return MAP_FAILED;
        }
        flags = MAP_SHARED;
    }
    hva = mmap(NULL, memories[memory].size, memories[memory].protection,
               flags | MAP_NORESERVE, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    if (memory == HOLED && hva != MAP_FAILED) {
        munmap(hva + MIB(1), MIB(1));
    }
    return hva;
}

static int make_memories(struct asker *asker)
{
    for (enum memory memory = 0; memory < NOTHING; memory++) {
        asker->hva[memory] = make_memory(memory);
        if (asker->hva[memory] == MAP_FAILED) {
            asker->hva[memory] = NULL;
            return -errno;
        }
    }
    return 0;
}

static void free_memories(struct asker *asker)
{
    for (enum memory memory = 0; memory < NOTHING; memory++) {
        if (asker->hva[memory] != NULL) {
            munmap(asker->hva[memory], memories[memory].size);
        }
    }
}

/* ---- words ---- */

static const struct {
    const char *name;
    int code;
} errors[] = {
    { "E2BIG", E2BIG },           { "EACCES", EACCES },
    { "EBADF", EBADF },           { "EBUSY", EBUSY },
    { "EEXIST", EEXIST },         { "EFAULT", EFAULT },
    { "EINVAL", EINVAL },         { "EMSGSIZE", EMSGSIZE },
    { "ENOENT", ENOENT },         { "ENOMEM", ENOMEM },
    { "ENOSPC", ENOSPC },         { "ENOTTY", ENOTTY },
    { "EOPNOTSUPP", EOPNOTSUPP }, { "EOVERFLOW", EOVERFLOW },
    { "EPERM", EPERM },
};

static const char *name_of(int code)
{
    static char text[32];

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (code == -errors[i].code) {
            return errors[i].name;
        }
    }
    snprintf(text, sizeof(text), "%d", code);
    return code == 0 ? "ok" : text;
}

static void complain(struct asker *asker, const char *what, const char *wanted)
{
    fprintf(asker->report, "%s:%u: %s: %s, expected %s\n", asker->name,
            asker->line, asker->text, what, wanted);
    asker->result->nr_wrong++;
}

static bool parse_number(const char *word, uint64_t *number)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;

    if (word == NULL || *word < '0' || *word > '9') {
        return false;
    }
    *number = strtoull(word, &end, 0);
    unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit != NULL) {
        *number <<= 10 * (unit - units + 1);
        end++;
    }
    return *end == '\0';
}

/* "name", or "name+number". */
static bool parse_memory(const struct asker *asker, const char *word,
                         uint64_t *hva)
{
    uint64_t offset = 0;
    const char *plus;

    if (word == NULL) {
        return false;
    }
    plus = strchr(word, '+');
    if (plus != NULL && !parse_number(plus + 1, &offset)) {
        return false;
    }
    for (enum memory memory = 0; memory < NR_MEMORIES; memory++) {
        const char *name = memories[memory].name;
        const size_t length =
            plus != NULL ? (size_t)(plus - word) : strlen(word);

        if (strlen(name) == length && memcmp(word, name, length) == 0) {
            *hva = (uint64_t)(uintptr_t)asker->hva[memory] + offset;
            return true;
        }
    }
    return false;
}

/* One question: words before "=", and words behind it. */
struct question {
    char *words[MAX_WORDS];
    unsigned nr_words;
    char *answer;              /* "ok", a number, or an errno */
    char *expected[MAX_WORDS]; /* "key=value" */
    unsigned nr_expected;
};

static bool split(char *line, struct question *question)
{
    bool is_behind = false;

    memset(question, 0, sizeof(*question));
    for (char *word = strtok(line, " \t\n"); word != NULL;
         word = strtok(NULL, " \t\n")) {
        if (question->nr_words == MAX_WORDS ||
            question->nr_expected == MAX_WORDS) {
            return false;
        }
        if (strcmp(word, "=") == 0) {
            is_behind = true;
        } else if (!is_behind) {
            question->words[question->nr_words++] = word;
        } else if (question->answer == NULL) {
            question->answer = word;
        } else {
            question->expected[question->nr_expected++] = word;
        }
    }
    return question->nr_words > 0;
}

/* The value of "key=value" among these, or NULL. */
static const char *find_value(char *const *words, unsigned nr_words,
                              const char *key)
{
    const size_t length = strlen(key);

    for (unsigned i = 0; i < nr_words; i++) {
        if (strncmp(words[i], key, length) == 0 && words[i][length] == '=') {
            return words[i] + length + 1;
        }
    }
    return NULL;
}

/* A number that the question may carry. */
static bool read_option(const struct question *question, const char *key,
                        uint64_t *number)
{
    const char *value = find_value(question->words, question->nr_words, key);

    return value == NULL || parse_number(value, number);
}

static bool expect_code(struct asker *asker, const struct question *question,
                        int code)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", code);
    if (strcmp(question->answer, name_of(code)) == 0 ||
        (code > 0 && strcmp(question->answer, text) == 0)) {
        return true;
    }
    complain(asker, name_of(code), question->answer);
    return false;
}

/* Compares with a number behind "=", if it is there. */
static bool expect_number(struct asker *asker, const struct question *question,
                          const char *key, uint64_t number)
{
    const char *value =
        find_value(question->expected, question->nr_expected, key);
    uint64_t wanted;
    char what[64];

    if (value == NULL) {
        return true;
    }
    if (!parse_number(value, &wanted)) {
        return false;
    }
    if (wanted != number) {
        snprintf(what, sizeof(what), "%s=0x%" PRIx64, key, number);
        complain(asker, what, value);
    }
    return true;
}

static void expect_text(struct asker *asker, const struct question *question,
                        const char *key, const char *text)
{
    const char *value =
        find_value(question->expected, question->nr_expected, key);

    if (value != NULL && strcmp(value, text) != 0) {
        complain(asker, text, value);
    }
}

/* ---- questions; false: the line is malformed ---- */

static int ask(const struct asker *asker, unsigned long request, void *argument)
{
    return asker->target->ioctl(request, argument, asker->target->opaque);
}

static bool is_iommufd(const struct asker *asker)
{
    return strcmp(asker->target->interface, "iommufd") == 0;
}

static bool ask_api(struct asker *asker, const struct question *question)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", ask(asker, VFIO_GET_API_VERSION, NULL));
    if (strcmp(text, question->answer) != 0) {
        complain(asker, text, question->answer);
    }
    return question->nr_words == 1;
}

static bool ask_extension(struct asker *asker, const struct question *question)
{
    uint64_t extension;
    char text[16];

    if (question->nr_words != 2 ||
        !parse_number(question->words[1], &extension)) {
        return false;
    }
    snprintf(text, sizeof(text), "%d",
             ask(asker, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)extension));
    if (strcmp(text, question->answer) != 0) {
        complain(asker, text, question->answer);
    }
    return true;
}

static bool ask_track_dirty(struct asker *asker,
                            const struct question *question)
{
    struct vfio_iommu_type1_dirty_bitmap dirty = { .argsz = 0 };

    expect_code(asker, question, ask(asker, VFIO_IOMMU_DIRTY_PAGES, &dirty));
    return question->nr_words == 1;
}

static void put_range(char *text, size_t size, uint64_t start, uint64_t last)
{
    const size_t length = strlen(text);

    snprintf(text + length, size - length, "%s0x%" PRIx64 "-0x%" PRIx64,
             length > 0 ? "," : "", start, last);
}

/* One capability that the tables ask about. */
static bool expect_cap(struct asker *asker, const struct question *question,
                       const uint8_t *bytes, uint32_t offset, uint32_t size)
{
    struct vfio_info_cap_header header;
    struct vfio_iommu_type1_info_dma_avail avail;
    struct vfio_iommu_type1_info_cap_iova_range ranges;
    char text[MAX_LINE] = "";

    memcpy(&header, bytes + offset, sizeof(header));
    if (header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
        size - offset >= sizeof(avail)) {
        memcpy(&avail, bytes + offset, sizeof(avail));
        return expect_number(asker, question, "avail", avail.avail);
    }
    if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE &&
        size - offset >= sizeof(ranges)) {
        memcpy(&ranges, bytes + offset, sizeof(ranges));
        for (uint32_t i = 0; i < ranges.nr_iovas && i < MAX_RANGES; i++) {
            struct vfio_iova_range range;

            memcpy(&range, bytes + offset + sizeof(ranges) + i * sizeof(range),
                   sizeof(range));
            put_range(text, sizeof(text), range.start, range.end);
        }
        expect_text(asker, question, "ranges", text);
    }
    return true;
}

static bool ask_info(struct asker *asker, const struct question *question)
{
    union {
        struct vfio_iommu_type1_info info;
        uint8_t bytes[4096];
    } answer = { .info = { 0 } };
    uint64_t argsz = sizeof(answer);
    uint32_t offset;
    bool ret = true;

    if (!read_option(question, "argsz", &argsz) || argsz > sizeof(answer)) {
        return false;
    }
    answer.info.argsz = (uint32_t)argsz;
    if (!expect_code(asker, question,
                     ask(asker, VFIO_IOMMU_GET_INFO, &answer))) {
        return true;
    }
    ret = expect_number(asker, question, "page",
                        answer.info.iova_pgsizes & -answer.info.iova_pgsizes);
    offset = (answer.info.flags & VFIO_IOMMU_INFO_CAPS) != 0
                 ? answer.info.cap_offset
                 : 0;
    for (int i = 0;
         i < 16 && offset != 0 && ret &&
         offset <= sizeof(answer) - sizeof(struct vfio_info_cap_header);
         i++) {
        struct vfio_info_cap_header header;

        memcpy(&header, answer.bytes + offset, sizeof(header));
        ret = expect_cap(asker, question, answer.bytes, offset, sizeof(answer));
        offset = header.next;
    }
    return ret;
}

static bool ask_ranges(struct asker *asker, const struct question *question)
{
    struct iommu_iova_range ranges[MAX_RANGES] = { 0 };
    uint64_t room = MAX_RANGES;
    uint64_t ioas = asker->target->ioas_id;
    struct iommu_ioas_iova_ranges argument = { .size = sizeof(argument) };
    char text[MAX_LINE] = "";

    if (!read_option(question, "room", &room) || room > MAX_RANGES ||
        !read_option(question, "ioas", &ioas)) {
        return false;
    }
    argument.ioas_id = (uint32_t)ioas;
    argument.num_iovas = (uint32_t)room;
    argument.allowed_iovas = (uint64_t)(uintptr_t)ranges;
    if (!expect_code(asker, question,
                     ask(asker, IOMMU_IOAS_IOVA_RANGES, &argument))) {
        return true;
    }
    for (uint32_t i = 0; i < argument.num_iovas && i < room; i++) {
        put_range(text, sizeof(text), ranges[i].start, ranges[i].last);
    }
    expect_text(asker, question, "ranges", text);
    return expect_number(asker, question, "count", argument.num_iovas) &&
           expect_number(asker, question, "align", argument.out_iova_alignment);
}

/* What a map or unmap carries. */
struct parameters {
    uint64_t iova;
    uint64_t size;
    uint64_t hva;
    bool is_readable;
    bool is_writable;
    uint64_t flags; /* more of them */
    uint64_t argsz; /* 0: as it should be */
    uint64_t ioas;
    uint64_t many;
};

static int map_once(const struct asker *asker,
                    const struct parameters *parameters)
{
    struct vfio_iommu_type1_dma_map type1 = {
        .argsz = parameters->argsz != 0 ? (uint32_t)parameters->argsz
                                        : sizeof(type1),
        .flags = (parameters->is_readable ? VFIO_DMA_MAP_FLAG_READ : 0) |
                 (parameters->is_writable ? VFIO_DMA_MAP_FLAG_WRITE : 0) |
                 (uint32_t)parameters->flags,
        .vaddr = parameters->hva,
        .iova = parameters->iova,
        .size = parameters->size,
    };
    struct iommu_ioas_map ioas = {
        .size =
            parameters->argsz != 0 ? (uint32_t)parameters->argsz : sizeof(ioas),
        .flags = IOMMU_IOAS_MAP_FIXED_IOVA |
                 (parameters->is_readable ? IOMMU_IOAS_MAP_READABLE : 0) |
                 (parameters->is_writable ? IOMMU_IOAS_MAP_WRITEABLE : 0) |
                 (uint32_t)parameters->flags,
        .ioas_id = (uint32_t)parameters->ioas,
        .user_va = parameters->hva,
        .length = parameters->size,
        .iova = parameters->iova,
    };

    return is_iommufd(asker) ? ask(asker, IOMMU_IOAS_MAP, &ioas)
                             : ask(asker, VFIO_IOMMU_MAP_DMA, &type1);
}

static bool ask_map(struct asker *asker, const struct question *question)
{
    struct parameters parameters = {
        .ioas = asker->target->ioas_id,
        .many = 1,
    };
    const char *protection = question->words[4];

    if (question->nr_words < 5 ||
        !parse_number(question->words[1], &parameters.iova) ||
        !parse_number(question->words[2], &parameters.size) ||
        !parse_memory(asker, question->words[3], &parameters.hva) ||
        strspn(protection, "rw-") != strlen(protection) ||
        !read_option(question, "flags", &parameters.flags) ||
        !read_option(question, "argsz", &parameters.argsz) ||
        !read_option(question, "ioas", &parameters.ioas) ||
        !read_option(question, "many", &parameters.many)) {
        return false;
    }
    parameters.is_readable = strchr(protection, 'r') != NULL;
    parameters.is_writable = strchr(protection, 'w') != NULL;
    for (uint64_t i = 0; i < parameters.many; i++) {
        if (!expect_code(asker, question, map_once(asker, &parameters))) {
            break;
        }
        parameters.iova += parameters.size;
        parameters.hva += parameters.size;
    }
    return true;
}

/* *size: of the range, and what the kernel made of it. */
static int unmap_once(const struct asker *asker, uint64_t iova, uint64_t *size,
                      uint64_t flags, uint64_t argsz, uint64_t ioas_id)
{
    struct vfio_iommu_type1_dma_unmap type1 = {
        .argsz = argsz != 0 ? (uint32_t)argsz : sizeof(type1),
        .flags = (uint32_t)flags,
        .iova = iova,
        .size = *size,
    };
    struct iommu_ioas_unmap ioas = {
        .size = argsz != 0 ? (uint32_t)argsz : sizeof(ioas),
        .ioas_id = (uint32_t)ioas_id,
        .iova = iova,
        .length = *size,
    };
    int ret;

    if (is_iommufd(asker)) {
        ret = ask(asker, IOMMU_IOAS_UNMAP, &ioas);
        *size = ioas.length;
    } else {
        ret = ask(asker, VFIO_IOMMU_UNMAP_DMA, &type1);
        *size = type1.size;
    }
    return ret;
}

static bool ask_unmap(struct asker *asker, const struct question *question)
{
    uint64_t ioas_id = asker->target->ioas_id;
    uint64_t iova;
    uint64_t size;
    uint64_t flags = 0;
    uint64_t argsz = 0;
    int ret;

    if (question->nr_words < 3 || !parse_number(question->words[1], &iova) ||
        !parse_number(question->words[2], &size) ||
        !read_option(question, "flags", &flags) ||
        !read_option(question, "argsz", &argsz) ||
        !read_option(question, "ioas", &ioas_id)) {
        return false;
    }
    ret = unmap_once(asker, iova, &size, flags, argsz, ioas_id);
    return !expect_code(asker, question, ret) ||
           expect_number(asker, question, "size", size);
}

static void unmap_everything(struct asker *asker)
{
    uint64_t size = is_iommufd(asker) ? UINT64_MAX : 0;
    int ret = unmap_once(asker, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL, 0,
                         asker->target->ioas_id);

    if (ret != 0) {
        complain(asker, "cannot unmap everything", name_of(ret));
    }
}

/* ---- lines ---- */

static bool start_scene(struct asker *asker)
{
    asker->result->nr_scenes++;
    asker->is_skipping = false;
    unmap_everything(asker);
    return true;
}

static bool check_needs(struct asker *asker, const struct question *line)
{
    uint64_t has;
    uint64_t wanted;

    if (line->nr_words != 3 || !parse_number(line->words[2], &wanted)) {
        return false;
    }
    if (strcmp(line->words[1], "limit") == 0) {
        has = asker->target->limit;
    } else if (strcmp(line->words[1], "memlock") == 0) {
        has = asker->target->memlock;
    } else {
        return false;
    }
    if (has != wanted && !asker->is_skipping) {
        asker->is_skipping = true;
        asker->result->nr_skipped_scenes++;
    }
    return true;
}

static bool check_interface(const struct asker *asker,
                            const struct question *line)
{
    return line->nr_words == 2 &&
           strcmp(line->words[1], asker->target->interface) == 0;
}

static const struct {
    const char *word;
    bool (*ask)(struct asker *asker, const struct question *question);
} questions[] = {
    { "api", ask_api },
    { "extension", ask_extension },
    { "track-dirty", ask_track_dirty },
    { "info", ask_info },
    { "ranges", ask_ranges },
    { "map", ask_map },
    { "unmap", ask_unmap },
};

static bool read_line(struct asker *asker, char *line)
{
    struct question question;

    if (!split(line, &question)) {
        return false;
    }
    if (strcmp(question.words[0], "interface") == 0) {
        return check_interface(asker, &question);
    }
    if (strcmp(question.words[0], "scene") == 0) {
        return start_scene(asker);
    }
    if (strcmp(question.words[0], "needs") == 0) {
        return check_needs(asker, &question);
    }
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        if (strcmp(question.words[0], questions[i].word) == 0 &&
            question.answer != NULL) {
            if (asker->is_skipping) {
                return true;
            }
            asker->result->nr_questions++;
            return questions[i].ask(asker, &question);
        }
    }
    return false;
}

static void read_table(struct asker *asker, FILE *table)
{
    char line[MAX_LINE];
    char text[MAX_LINE];

    while (fgets(line, sizeof(line), table) != NULL) {
        asker->line++;
        line[strcspn(line, "#\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0') {
            continue;
        }
        memcpy(text, line, sizeof(text));
        asker->text = text;
        if (!read_line(asker, line)) {
            fprintf(asker->report, "%s:%u: not understood: %s\n", asker->name,
                    asker->line, text);
            asker->result->nr_malformed++;
        }
    }
}

int dma_answers_run(FILE *table, const char *name,
                    const struct dma_answers_target *target, FILE *report,
                    struct dma_answers_result *result)
{
    struct asker asker = {
        .target = target,
        .result = result,
        .report = report,
        .name = name,
        .text = "",
    };
    int ret;

    memset(result, 0, sizeof(*result));
    ret = make_memories(&asker);
    if (ret == 0) {
        read_table(&asker, table);
        unmap_everything(&asker);
    }
    free_memories(&asker);
    return ret;
}
