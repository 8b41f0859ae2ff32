/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/listener.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/driver.h"

void vmemi_listeners_list(const struct vmem_region *region,
                          struct vmemi_name_list *names)
{
    for (const GList *link = region->listeners.head; link != NULL;
         link = link->next) {
        const struct vmem_listener *listener = link->data;

        vmemi_name_list_add(names, listener->name.text);
    }
}

const struct vmem_listener *
vmemi_listeners_find_coarser(const struct vmem_region *region,
                             uint64_t granularity)
{
    for (const GList *link = region->listeners.head; link != NULL;
         link = link->next) {
        const struct vmem_listener *listener = link->data;

        if (listener->granularity > granularity) {
            return listener;
        }
    }
    return NULL;
}

/* What does not depend on the state of the region. */
static int check_config(const struct vmem_region *region,
                        const struct vmem_listener_ops *ops, const char *name,
                        struct vmem_listener_config *config,
                        struct vmem_error *err)
{
    if (ops->populate == NULL || ops->discard == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "listener \"%s\": populate or discard is NULL", name);
    }
    if ((config->flags & ~VMEM_LISTENER_EXACT_DISCARD) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "listener \"%s\": unknown flags 0x%" PRIx64, name,
                          config->flags & ~VMEM_LISTENER_EXACT_DISCARD);
    }
    if ((config->flags & VMEM_LISTENER_EXACT_DISCARD) != 0 &&
        config->granularity == 0) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
            "listener \"%s\": VMEM_LISTENER_EXACT_DISCARD needs a granularity",
            name);
    }
    if (config->granularity != 0 &&
        !vmemi_is_power_of_two(config->granularity)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "listener \"%s\": granularity 0x%" PRIx64
                          " is not a power of two",
                          name, config->granularity);
    }
    if (config->window.offset == 0 && config->window.size == 0) {
        config->window.size = region->size;
    } else if (config->window.size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, &config->window,
                          "listener \"%s\": the window at offset 0x%" PRIx64
                          " is empty",
                          name, config->window.offset);
    }
    return vmemi_range_check(&config->window, region->size, name, err);
}

static int replay(struct vmem_listener *listener, struct vmem_error *err)
{
    struct vmem_region *region = listener->region;
    const uint64_t granularity = vmemi_region_min_granularity(region);
    struct vmemi_terms terms;
    int ret;

    if (region->sources.length > 0 && listener->granularity > granularity) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "listener \"%s\": granularity 0x%" PRIx64
                          " is larger than the smallest block size 0x%" PRIx64
                          " of region \"%s\"",
                          listener->name.text, listener->granularity,
                          granularity, region->name.text);
    }
    vmemi_terms_init(&terms, region, NULL, true);
    ret = vmemi_listener_populate(listener, &terms, listener->window.offset,
                                  vmemi_range_end(&listener->window));
    if (ret < 0) {
        vmemi_add_locked(&region->nr_rollbacks, 1);
        return vmemi_fail(err, ret, VMEM_REASON_LISTENER_VETO, NULL,
                          "listener \"%s\" refused the replay: %s (errno %d)",
                          listener->name.text, vmemi_errno_text(ret), -ret);
    }
    vmemi_mutex_lock(&region->state);
    g_queue_push_tail_link(&region->listeners, &listener->link);
    region->nr_objectors += listener->ops.may_discard != NULL;
    vmemi_mutex_unlock(&region->state);
    return 0;
}

static int add(struct vmem_region *region, struct vmem_listener_config *config,
               const struct vmem_listener_ops *ops, void *opaque,
               struct vmem_listener **out, struct vmem_error *err)
{
    struct vmem_listener *listener;
    struct vmemi_change change;
    struct vmemi_name name;
    int ret;

    ret = vmemi_name_set(&name, config->name, "listener name", err);
    if (ret == 0) {
        ret = check_config(region, ops, name.text, config, err);
    }
    if (ret < 0) {
        return ret;
    }
    listener = vmemi_alloc0(sizeof(*listener));
    if (listener == NULL) {
        return vmemi_fail_no_memory(err, "a listener");
    }
    listener->link.data = listener;
    listener->name = name;
    listener->region = region;
    listener->ops = *ops;
    listener->opaque = opaque;
    listener->window = config->window;
    listener->granularity = config->granularity;
    listener->flags = config->flags;
    ret = vmemi_change_begin(&change, region, "vmem_listener_add", err);
    if (ret == 0) {
        ret = replay(listener, err);
        vmemi_change_end(&change);
    }
    if (ret < 0) {
        vmemi_free(listener);
        return ret;
    }
    *out = listener;
    return 0;
}

int vmem_listener_add(struct vmem_region *region,
                      const struct vmem_listener_config *host_config,
                      const struct vmem_listener_ops *host_ops, void *opaque,
                      struct vmem_listener **out, struct vmem_error *err)
{
    struct vmem_listener_config config;
    struct vmem_listener_ops ops;
    int ret;

    ret =
        vmemi_sized_read(&ops, sizeof(ops),
                         VMEMI_SIZE_THROUGH(struct vmem_listener_ops, destroy),
                         host_ops, "vmem_listener_ops", err);
    if (ret < 0 && ret != -E2BIG) {
        return ret; /* there is no destroy to call */
    }
    if (ret == 0) {
        ret = vmemi_sized_read(
            &config, sizeof(config),
            VMEMI_SIZE_THROUGH(struct vmem_listener_config, flags), host_config,
            "vmem_listener_config", err);
    }
    if (ret == 0 && (region == NULL || out == NULL)) {
        ret = vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                         "vmem_listener_add: region or out is NULL");
    }
    if (ret == 0) {
        ret = add(region, &config, &ops, opaque, out, err);
    }
    /* After the locks are dropped, so that any call is legal in it. */
    if (ret < 0 && ops.destroy != NULL) {
        ops.destroy(opaque);
    }
    return ret;
}

static void tell_eased(struct vmemi_source_driver *driver, const void *by)
{
    driver->eased(driver, by);
}

/* The lock once more: the gates' frames must not outlive that of a change. */
static void tell_that_it_is_gone(struct vmem_region *region,
                                 const struct vmem_listener *listener)
{
    struct vmemi_drivers drivers = { .nr_drivers = 0 };

    vmemi_mutex_lock(&region->change);
    vmemi_drivers_collect(&drivers, region);
    vmemi_mutex_unlock(&region->change);
    vmemi_drivers_tell(&drivers, tell_eased, listener->name.text);
}

int vmem_listener_remove(struct vmem_listener *listener, struct vmem_error *err)
{
    struct vmem_region *region;
    struct vmemi_change change;
    struct vmemi_frame frame;
    struct vmemi_terms terms;
    int ret;

    if (listener == NULL) {
        return 0;
    }
    region = listener->region;
    ret = vmemi_vm_check_may_remove(region->vm, listener,
                                    "vmem_listener_remove", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_frame_enter(&frame, region->vm, listener, VMEMI_FRAME_REMOVE);
    vmemi_change_lock(&change, region);
    vmemi_terms_init(&terms, region, NULL, true);
    vmemi_listener_discard(listener, &terms, listener->window.offset,
                           vmemi_range_end(&listener->window));
    vmemi_mutex_lock(&region->state);
    g_queue_unlink(&region->listeners, &listener->link);
    region->nr_objectors -= listener->ops.may_discard != NULL;
    vmemi_mutex_unlock(&region->state);
    vmemi_change_end(&change);

    if (listener->has_refused) {
        tell_that_it_is_gone(region, listener);
    }
    if (listener->ops.destroy != NULL) {
        listener->ops.destroy(listener->opaque);
    }
    vmemi_frame_leave(&frame);
    vmemi_free(listener);
    return 0;
}
