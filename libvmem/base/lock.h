/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_LOCK_H
#define VMEMI_BASE_LOCK_H

#include <pthread.h>

/* Pthread locks rather than GLib's, because thread sanitizers see through the
 * first and not the second. Every lock of the library is one of these. */
struct vmemi_mutex {
    pthread_mutex_t mutex;
};

struct vmemi_cond {
    pthread_cond_t cond;
};

/* 0 or a negative errno (glibc never fails here, other C libraries may). */
static inline int vmemi_mutex_init(struct vmemi_mutex *mutex)
{
    return -pthread_mutex_init(&mutex->mutex, NULL);
}

static inline void vmemi_mutex_destroy(struct vmemi_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->mutex);
}

static inline void vmemi_mutex_lock(struct vmemi_mutex *mutex)
{
    pthread_mutex_lock(&mutex->mutex);
}

static inline void vmemi_mutex_unlock(struct vmemi_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->mutex);
}

static inline int vmemi_cond_init(struct vmemi_cond *cond)
{
    return -pthread_cond_init(&cond->cond, NULL);
}

static inline void vmemi_cond_destroy(struct vmemi_cond *cond)
{
    pthread_cond_destroy(&cond->cond);
}

static inline void vmemi_cond_wait(struct vmemi_cond *cond,
                                   struct vmemi_mutex *mutex)
{
    pthread_cond_wait(&cond->cond, &mutex->mutex);
}

static inline void vmemi_cond_wake_all(struct vmemi_cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

#endif /* VMEMI_BASE_LOCK_H */
