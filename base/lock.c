/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lock.c: mutexes whose order is checked in debug builds by a small stack of held ranks in each thread. */
#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#ifndef NDEBUG
enum { HELD_MAX = 16 };
static _Thread_local int held[HELD_MAX];
static _Thread_local int n_held;

static void rank_push(int rank)
{
    assert(n_held < HELD_MAX);
    if (n_held > 0) {
        int top = held[n_held - 1];
        assert((rank & ~LOCK_SAME_RANK_OK) > (top & ~LOCK_SAME_RANK_OK) || (rank == top && (rank & LOCK_SAME_RANK_OK)));
    }
    held[n_held++] = rank;
}

static void rank_pop(int rank)
{
    for (int i = n_held - 1; i >= 0; i--) {
        if (held[i] != rank)
            continue;
        for (; i < n_held - 1; i++)
            held[i] = held[i + 1];
        n_held--;
        return;
    }
    abort(); /* unlocked a mutex that is not held */
}
#else
static void rank_push(int rank)
{
    (void)rank;
}

static void rank_pop(int rank)
{
    (void)rank;
}
#endif

void mutex_init(struct mutex *l, int rank)
{
    pthread_mutex_init(&l->m, NULL);
    l->rank = rank;
}

void mutex_fini(struct mutex *l)
{
    pthread_mutex_destroy(&l->m);
}

void mutex_lock(struct mutex *l)
{
    rank_push(l->rank);
    pthread_mutex_lock(&l->m);
}

void mutex_unlock(struct mutex *l)
{
    pthread_mutex_unlock(&l->m);
    rank_pop(l->rank);
}

void mutex_wait(struct mutex *l, pthread_cond_t *c)
{
    pthread_cond_wait(c, &l->m);
}

int mutex_timedwait(struct mutex *l, pthread_cond_t *c, uint64_t timeout_ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_nsec + timeout_ns;
    t.tv_sec += (time_t)(ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    return pthread_cond_timedwait(c, &l->m, &t) == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}
