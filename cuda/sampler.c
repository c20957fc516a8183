/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sampler.c: the thread that asks the device how it is. */
#include "cuda/sampler.h"

#include "base/clock.h"

enum { LOCK_SAMPLER = 760, FRESH_NS = 1000000000 };

void sampler_init(struct sampler *s, struct gpu_runtime *rt)
{
    *s = (struct sampler){ .rt = rt, .last = { -1, -1, -1, -1 } };
    mutex_init(&s->lock, LOCK_SAMPLER);
    cond_init(&s->wanted_cond);
}

static void *sampler_main(void *arg)
{
    struct sampler *s = arg;
    mutex_lock(&s->lock);
    while (!s->stop) {
        if (!s->wanted) {
            mutex_wait(&s->lock, &s->wanted_cond);
            continue;
        }
        struct gpu_sample fresh = { -1, -1, -1, -1 };
        mutex_unlock(&s->lock);
        s->rt->sample(s->rt, &fresh);
        mutex_lock(&s->lock);
        s->last = fresh;
        s->taken_ns = clock_mono_ns();
        s->wanted = false;
    }
    mutex_unlock(&s->lock);
    return NULL;
}

void sampler_get(struct sampler *s, struct gpu_sample *out)
{
    mutex_lock(&s->lock);
    *out = s->last;
    if (!s->taken_ns || clock_mono_ns() - s->taken_ns > FRESH_NS) {
        s->wanted = true;
        if (!s->running)
            s->running = pthread_create(&s->thread, NULL, sampler_main, s) == 0;
        pthread_cond_signal(&s->wanted_cond);
    }
    mutex_unlock(&s->lock);
}

void sampler_fini(struct sampler *s)
{
    mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->wanted_cond);
    mutex_unlock(&s->lock);
    if (s->running)
        pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wanted_cond);
    mutex_fini(&s->lock);
}
