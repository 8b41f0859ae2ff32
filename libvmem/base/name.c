/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* Room kept for ", and NUMBER more". */
#define REST_SIZE 32

int vmemi_name_set(struct vmemi_name *name, const char *text, const char *what,
                   struct vmem_error *err)
{
    size_t length;

    if (text == NULL || text[0] == '\0') {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s is missing", what);
    }
    length = strnlen(text, VMEM_NAME_MAX + 1);
    if (length > VMEM_NAME_MAX) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "%s \"%.16s...\" is longer than %d bytes", what, text,
                          VMEM_NAME_MAX);
    }
    memset(name, 0, sizeof(*name));
    memcpy(name->text, text, length);
    return 0;
}

void vmemi_name_list_add(struct vmemi_name_list *list, const char *name)
{
    size_t used = strlen(list->text);
    size_t length = strlen(name);

    if (list->nr_dropped > 0 ||
        used + length + 2 + REST_SIZE > sizeof(list->text)) {
        list->nr_dropped++;
        return;
    }
    snprintf(list->text + used, sizeof(list->text) - used, "%s%s",
             list->nr_names > 0 ? ", " : "", name);
    list->nr_names++;
}

void vmemi_name_list_finish(struct vmemi_name_list *list)
{
    size_t used = strlen(list->text);

    if (list->nr_dropped > 0) {
        snprintf(list->text + used, sizeof(list->text) - used, "%s%zu more",
                 list->nr_names > 0 ? ", and " : "", list->nr_dropped);
    }
}

const char *vmemi_name_of(const char *const *names, size_t nr_names,
                          uint32_t number)
{
    return number < nr_names && names[number] != NULL ? names[number]
                                                      : "unknown";
}
