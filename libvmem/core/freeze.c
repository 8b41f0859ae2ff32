/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/freeze.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "core/driver.h"

/* One owner that holds a region still. */
struct vmemi_freezer {
    GList link;
    struct vmemi_name owner;
};

void vmemi_freezers_list(const struct vmem_region *region,
                         struct vmemi_name_list *names)
{
    for (GList *link = region->freezers.head; link != NULL; link = link->next) {
        vmemi_name_list_add(names,
                            ((struct vmemi_freezer *)link->data)->owner.text);
    }
}

int vmemi_region_fail_frozen(const struct vmem_region *region, const char *what,
                             struct vmemi_change *change,
                             struct vmem_error *err)
{
    const struct vmemi_freezer *first = region->freezers.head->data;
    struct vmemi_name_list names = { 0 };

    if (change != NULL) {
        change->cause.code = -EBUSY;
        change->cause.reason = VMEM_REASON_FROZEN;
        change->cause.by = first->owner.text;
    }
    if (err == NULL) {
        return -EBUSY;
    }
    vmemi_freezers_list(region, &names);
    vmemi_name_list_finish(&names);
    return vmemi_fail(err, -EBUSY, VMEM_REASON_FROZEN, NULL,
                      "%s: region \"%s\" is frozen by %s", what,
                      region->name.text, names.text);
}

static struct vmemi_freezer *find(const struct vmem_region *region,
                                  const char *owner)
{
    for (GList *link = region->freezers.head; link != NULL; link = link->next) {
        struct vmemi_freezer *freezer = link->data;

        if (strcmp(freezer->owner.text, owner) == 0) {
            return freezer;
        }
    }
    return NULL;
}

static int fail_not_frozen_by(const struct vmem_region *region,
                              const char *owner, struct vmem_error *err)
{
    struct vmemi_name_list names = { 0 };

    vmemi_freezers_list(region, &names);
    vmemi_name_list_finish(&names);
    return vmemi_fail(err, -ENOENT, VMEM_REASON_NOT_FOUND, NULL,
                      "region \"%s\" is not frozen by \"%s\", but by %s",
                      region->name.text, owner,
                      names.nr_names > 0 ? names.text : "nobody");
}

/* Devices hear that the region was frozen or has thawed. */
struct turn {
    struct vmemi_date date;
    struct vmemi_drivers drivers;
};

static void tell_frozen(struct vmemi_source_driver *driver, const void *date)
{
    driver->frozen(driver, date);
}

static void tell_thawed(struct vmemi_source_driver *driver, const void *date)
{
    driver->thawed(driver, date);
}

/* Under the change lock. */
static void link_freezer(struct vmem_region *region,
                         struct vmemi_freezer *freezer, struct turn *turn)
{
    vmemi_mutex_lock(&region->state);
    g_queue_push_tail_link(&region->freezers, &freezer->link);
    atomic_store(&region->nr_freezers, region->freezers.length);
    if (region->freezers.length == 1) {
        vmemi_region_date(region, &turn->date);
    }
    vmemi_mutex_unlock(&region->state);
    if (region->freezers.length == 1) {
        vmemi_drivers_collect(&turn->drivers, region);
    }
}

static void unlink_freezer(struct vmem_region *region,
                           struct vmemi_freezer *freezer, struct turn *turn)
{
    vmemi_mutex_lock(&region->state);
    g_queue_unlink(&region->freezers, &freezer->link);
    atomic_store(&region->nr_freezers, region->freezers.length);
    if (region->freezers.length == 0) {
        vmemi_region_date(region, &turn->date);
    }
    vmemi_mutex_unlock(&region->state);
    if (region->freezers.length == 0) {
        vmemi_drivers_collect(&turn->drivers, region);
    }
}

int vmem_region_freeze(struct vmem_region *region, const char *owner,
                       struct vmem_error *err)
{
    struct turn turn = { .drivers.nr_drivers = 0 };
    struct vmemi_freezer *freezer;
    int ret;

    if (region == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_region_freeze: region is NULL");
    }
    ret = vmemi_vm_check_unlocked(region->vm, "vmem_region_freeze", err);
    if (ret < 0) {
        return ret;
    }
    freezer = vmemi_alloc0(sizeof(*freezer));
    if (freezer == NULL) {
        return vmemi_fail_no_memory(err, "a freezer");
    }
    freezer->link.data = freezer;
    ret = vmemi_name_set(&freezer->owner, owner, "freezing owner", err);
    if (ret < 0) {
        vmemi_free(freezer);
        return ret;
    }
    vmemi_mutex_lock(&region->change);
    if (find(region, owner) == NULL) {
        link_freezer(region, freezer, &turn);
        freezer = NULL;
    }
    vmemi_mutex_unlock(&region->change);
    vmemi_drivers_tell(&turn.drivers, tell_frozen, &turn.date);
    if (freezer != NULL) {
        vmemi_free(freezer);
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "region \"%s\" is already frozen by \"%s\"",
                          region->name.text, owner);
    }
    return 0;
}

int vmem_region_thaw(struct vmem_region *region, const char *owner,
                     struct vmem_error *err)
{
    struct turn turn = { .drivers.nr_drivers = 0 };
    struct vmemi_freezer *freezer;
    int ret;

    if (region == NULL || owner == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_region_thaw: NULL argument");
    }
    ret = vmemi_vm_check_unlocked(region->vm, "vmem_region_thaw", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_mutex_lock(&region->change);
    freezer = find(region, owner);
    if (freezer == NULL) {
        ret = fail_not_frozen_by(region, owner, err);
        vmemi_mutex_unlock(&region->change);
        return ret;
    }
    unlink_freezer(region, freezer, &turn);
    vmemi_mutex_unlock(&region->change);
    vmemi_free(freezer);
    vmemi_drivers_tell(&turn.drivers, tell_thawed, &turn.date);
    return 0;
}

bool vmem_region_is_frozen(const struct vmem_region *region)
{
    return region != NULL && atomic_load(&region->nr_freezers) > 0;
}
