/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_NAME_H
#define VMEMI_BASE_NAME_H

#include <vmem/error.h>

/* Names live inside their objects, so that diagnostics never allocate. */
struct vmemi_name {
    char text[VMEM_NAME_MAX + 1];
};

/* what: "region name", for the message. 0, -EINVAL or -ERANGE. */
int vmemi_name_set(struct vmemi_name *name, const char *text, const char *what,
                   struct vmem_error *err);

/* Lists names in a fixed buffer, "a, b, and 3 more". Starts empty (zeroed). */
struct vmemi_name_list {
    char text[128];
    size_t nr_names;
    size_t nr_dropped;
};

void vmemi_name_list_add(struct vmemi_name_list *list, const char *name);

/* Call once, before text is used. */
void vmemi_name_list_finish(struct vmemi_name_list *list);

/* Of a table by number, which may have gaps: "unknown" for those and beyond. */
const char *vmemi_name_of(const char *const *names, size_t nr_names,
                          uint32_t number);

#endif /* VMEMI_BASE_NAME_H */
