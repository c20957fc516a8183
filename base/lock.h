/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.h: mutexes with ranks.
 *
 * A thread takes mutexes in ascending rank only (equal ranks: never two, except where LOCK_SAME_RANK_OK is
 * given and the caller orders them by address or number). Debug builds assert it. The ranks of the program
 * are listed in docs/DESIGN.md, «Locking».
 */
#ifndef HOLO_BASE_LOCK_H
#define HOLO_BASE_LOCK_H

#include <pthread.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t m;
    int rank;
};

enum { LOCK_SAME_RANK_OK = 0x10000 };

void mutex_init(struct mutex *l, int rank);
void mutex_fini(struct mutex *l);
void mutex_lock(struct mutex *l);
void mutex_unlock(struct mutex *l);

/* Waits on a condition; the mutex is the caller's and must be the last one it took. */
void mutex_wait(struct mutex *l, pthread_cond_t *c);

/* The same for at most timeout_ns; the condition must come from cond_init(). Returns 0 or -ETIMEDOUT. */
int mutex_timedwait(struct mutex *l, pthread_cond_t *c, uint64_t timeout_ns);

/* A condition variable on the monotonic clock. */
void cond_init(pthread_cond_t *c);

#endif
