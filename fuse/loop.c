/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.c: one receiver, a few workers.
 *
 * Waking a thread costs more than most operations: the receiver answers what is in memory itself and hands
 * requests that move data or wait for the disk to workers. While there is traffic it looks for the next request
 * for a moment before it sleeps (a single spinning thread: several would take the cores from the users).
 *
 *   receiver: free buffer ─▶ read ─▶ quick? answer, buffer free again
 *                                    else ─▶ queue ─▶ worker: answer ─▶ free buffers
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "fuse/fuse.h"

enum { SPIN_NS = 50000, QUICK_WRITE_BYTES = 8192, SLOTS_MAX = 48 };

struct slot {
    struct slot *next;
    struct fuse_buf buf;
    struct request_notes notes;
};

/* Requests of one sort and who serves them. */
struct queue {
    struct loop *loop;
    pthread_cond_t work;
    struct slot *first, **last;
};

/*
 * lseek has a thread of its own: it may ask the kernel to write dirty pages back and wait for that, so it must
 * not take a worker away from those writes.
 */
struct loop {
    struct mnt *m;
    struct mutex lock; /* queues and free list */
    pthread_cond_t freed;
    struct queue main, lseek;
    struct slot *free;
    unsigned n_slots;
    bool stop;
};

/* Wait for a request: spin while there was one a moment ago and the workers need no core, then sleep. */
ssize_t loop_read(struct mnt *m, int fd, void *buf, size_t len)
{
    uint64_t until = clock_mono_ns() + SPIN_NS;
    for (;;) {
        ssize_t n = read(fd, buf, len);
        if (n >= 0 || errno != EAGAIN)
            return n;
        if (m->busy == 0 && clock_mono_ns() < until) {
            for (int i = 0; i < 40; i++)
                __builtin_ia32_pause();
            continue;
        }
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, -1) < 0)
            return -1;
        until = clock_mono_ns() + SPIN_NS;
    }
}

/* Is this request answered from memory in microseconds? What .holo says always is. */
static bool is_quick(struct mnt *m, const struct slot *s)
{
    const struct fuse_in_header *h = s->buf.mem;
    if (virtual_is(h->nodeid) && h->opcode != FUSE_WRITE)
        return true;
    switch (h->opcode) {
    case FUSE_READ:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_READDIRPLUS:
    case FUSE_READDIR:
    case FUSE_LSEEK:
        return false;
    case FUSE_OPEN:
    case FUSE_SETATTR:
        return !s->notes.resizes && !holofs_is_congested(m->fs);
    case FUSE_WRITE:
        return s->buf.size <= QUICK_WRITE_BYTES && !virtual_is(h->nodeid) && !holofs_is_congested(m->fs);
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case FUSE_GETXATTR:
    case FUSE_STATFS:
    case FUSE_INIT:
        return true;
    default:
        return !holofs_is_congested(m->fs);
    }
}

static void answer(struct loop *l, struct slot *s)
{
    session_set_notes(&s->notes);
    fuse_session_process_buf(l->m->session, &s->buf);
}

static void put_free(struct loop *l, struct slot *s)
{
    mutex_lock(&l->lock);
    s->next = l->free;
    l->free = s;
    pthread_cond_signal(&l->freed);
    mutex_unlock(&l->lock);
}

static void *worker(void *arg)
{
    struct queue *q = arg;
    struct loop *l = q->loop;
    mutex_lock(&l->lock);
    for (;;) {
        struct slot *s = q->first;
        if (!s && l->stop)
            break;
        if (!s) {
            mutex_wait(&l->lock, &q->work);
            continue;
        }
        q->first = s->next;
        if (!q->first)
            q->last = &q->first;
        mutex_unlock(&l->lock);
        answer(l, s);
        l->m->busy--;
        put_free(l, s);
        mutex_lock(&l->lock);
    }
    mutex_unlock(&l->lock);
    return NULL;
}

/* A buffer for the next request. */
static struct slot *get_free(struct loop *l)
{
    mutex_lock(&l->lock);
    while (!l->free && l->n_slots >= SLOTS_MAX)
        mutex_wait(&l->lock, &l->freed);
    struct slot *s = l->free;
    if (s)
        l->free = s->next;
    else
        l->n_slots++;
    mutex_unlock(&l->lock);
    return s ? s : calloc(1, sizeof(*s));
}

static void enqueue(struct loop *l, struct slot *s)
{
    struct queue *q = s->notes.opcode == FUSE_LSEEK ? &l->lseek : &l->main;
    s->next = NULL;
    l->m->busy++;
    mutex_lock(&l->lock);
    *q->last = s;
    q->last = &s->next;
    pthread_cond_signal(&q->work);
    mutex_unlock(&l->lock);
}

static int receive(struct loop *l)
{
    struct fuse_session *se = l->m->session;
    while (!fuse_session_exited(se)) {
        struct slot *s = get_free(l);
        if (!s)
            return -ENOMEM;
        int n = fuse_session_receive_buf(se, &s->buf);
        if (n <= 0) {
            put_free(l, s);
            if (n == 0)
                break;
            if (n != -EINTR && n != -EAGAIN)
                return n;
            continue;
        }
        session_get_notes(&s->notes);
        if (is_quick(l->m, s)) {
            answer(l, s);
            put_free(l, s);
        } else {
            enqueue(l, s);
        }
    }
    return 0;
}

static void fini(struct loop *l)
{
    while (l->free) {
        struct slot *s = l->free;
        l->free = s->next;
        free(s->buf.mem);
        free(s);
    }
    mutex_fini(&l->lock);
}

static void init_queue(struct loop *l, struct queue *q)
{
    q->loop = l;
    q->last = &q->first;
    cond_init(&q->work);
}

int loop_run(struct mnt *m)
{
    struct loop l = { .m = m };
    pthread_t thread[65];
    unsigned n = 0;
    int fd = fuse_session_fd(m->session);
    mutex_init(&l.lock, 1);
    cond_init(&l.freed);
    init_queue(&l, &l.main);
    init_queue(&l, &l.lseek);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
        return -errno;
    while (n <= m->threads && pthread_create(&thread[n], NULL, worker, n ? &l.main : &l.lseek) == 0)
        n++;
    int e = n > 1 ? receive(&l) : -EAGAIN;
    mutex_lock(&l.lock);
    l.stop = true;
    pthread_cond_broadcast(&l.main.work);
    pthread_cond_broadcast(&l.lseek.work);
    mutex_unlock(&l.lock);
    while (n)
        pthread_join(thread[--n], NULL);
    fini(&l);
    return e;
}
