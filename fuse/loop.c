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
 *
 * An lseek of a file that is open for writing goes to the flusher first, which waits for the kernel to send the file's dirty pages:
 * with a copy of the request, because any number of them may wait while writes need the buffers.
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

enum { SPIN_NS = 50000, QUICK_WRITE_BYTES = 8192, SLOTS_MAX = 48, LOOK_EVERY = 64 };
enum { IN_EARNEST_NS = 1000000000, DRAIN_NS = 2000000000, DRAIN_LOOK_MS = 20 };

struct slot {
    struct slot *next;
    struct fuse_buf buf;
    struct request_notes notes;
    bool copy; /* not one of the buffers */
};

/* Requests of one sort and who serves them. */
struct queue {
    struct loop *loop;
    pthread_cond_t work;
    struct slot *first, **last;
};

struct loop {
    struct mnt *m;
    struct mutex lock; /* queues and free list */
    pthread_cond_t freed;
    struct queue main, flush;
    struct slot *free;
    unsigned n_slots;
    bool stop;
    bool flush_all;             /* the flusher shall have everything written */
    _Atomic bool flushed;       /* it did */
    unsigned asked;             /* to end */
    uint64_t asked_ns, drain_ns;
};

/* Wait for a request: spin while there was one a moment ago and the workers need no core, then sleep. EINTR: look whether to end. */
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
        struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = m->stop_fd, .events = POLLIN } };
        int r = poll(p, 2, m->draining ? DRAIN_LOOK_MS : -1);
        if (r < 0)
            return -1;
        if (r == 0 || p[1].revents) {
            m->reads = 0;
            errno = EINTR;
            return -1;
        }
        until = clock_mono_ns() + SPIN_NS;
    }
}

/* Is this request answered from memory in microseconds? What .holo says is, but for slow files. */
static bool is_quick(struct mnt *m, const struct slot *s)
{
    const struct fuse_in_header *h = s->buf.mem;
    if (virtual_is(h->nodeid) && h->opcode != FUSE_WRITE)
        return h->opcode != FUSE_OPEN || !virtual_is_slow(h->nodeid);
    switch (h->opcode) {
    case FUSE_READ:
    case FUSE_IOCTL:
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
    if (s->copy) {
        free(s->buf.mem);
        free(s);
        return;
    }
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

static void enqueue(struct loop *l, struct queue *q, struct slot *s)
{
    s->next = NULL;
    mutex_lock(&l->lock);
    *q->last = s;
    q->last = &s->next;
    pthread_cond_signal(&q->work);
    mutex_unlock(&l->lock);
}

/* May the kernel know more of this file than we do? Then answer after it was written; a worker does that, for this thread cannot. */
static void flush_one(struct loop *l, struct slot *s)
{
    const struct fuse_in_header *h = s->buf.mem;
    struct holofs_attr a;
    if (holofs_getattr(l->m->fs, h->nodeid, &a) || flush_file(l->m, h->nodeid, a.gen))
        s->notes.unsure = true;
    enqueue(l, &l->main, s);
}

/* Waits for the kernel to write, and answers nothing. */
static void *flusher(void *arg)
{
    struct queue *q = arg;
    struct loop *l = q->loop;
    bool able = flush_prepare(l->m->stop_fd) == 0;
    mutex_lock(&l->lock);
    for (;;) {
        struct slot *s = q->first;
        if (l->stop) /* nobody gets an answer any more */
            break;
        if (!s && !l->flush_all) {
            mutex_wait(&l->lock, &q->work);
            continue;
        }
        if (s) {
            q->first = s->next;
            if (!q->first)
                q->last = &q->first;
        }
        mutex_unlock(&l->lock);
        if (s && able) {
            flush_one(l, s);
        } else if (s) {
            s->notes.unsure = true;
            enqueue(l, &l->main, s);
        } else {
            if (able)
                flush_all(l->m);
            l->flushed = true;
            stop_request(l->m->stop_fd);
        }
        mutex_lock(&l->lock);
        l->flush_all &= s != NULL;
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

static struct slot *copy_of(const struct slot *s)
{
    struct slot *c = calloc(1, sizeof(*c));
    if (!c || !(c->buf.mem = malloc(s->buf.size))) {
        free(c);
        return NULL;
    }
    memcpy(c->buf.mem, s->buf.mem, s->buf.size);
    c->buf.size = s->buf.size;
    c->notes = s->notes;
    c->copy = true;
    return c;
}

/* Hand a request over to the thread for its sort. */
static void hand_over(struct loop *l, struct slot *s)
{
    const struct fuse_in_header *h = s->buf.mem;
    l->m->busy++;
    if (h->opcode == FUSE_LSEEK && !virtual_is(h->nodeid) && holofs_has_writers(l->m->fs, h->nodeid)) {
        struct slot *c = copy_of(s);
        if (c) {
            put_free(l, s);
            enqueue(l, &l->flush, c);
            return;
        }
        s->notes.unsure = true;
    }
    enqueue(l, &l->main, s);
}

/*
 * Asked to end: first everything that the kernel has not sent yet, while it is answered as ever; then what that brought; then the end.
 * Asked again a moment later, at once.
 */
static bool shall_end(struct loop *l)
{
    struct mnt *m = l->m;
    uint64_t now = clock_mono_ns();
    bool flushed = l->flushed;
    if (stop_requests(m->stop_fd) && !m->draining) {
        if (l->asked && !flushed && now - l->asked_ns > IN_EARNEST_NS)
            return true;
        if (!l->asked) {
            l->asked_ns = now;
            mutex_lock(&l->lock);
            l->flush_all = true;
            pthread_cond_signal(&l->flush.work);
            mutex_unlock(&l->lock);
        }
        l->asked++;
    }
    if (!flushed)
        return false;
    if (!m->draining) {
        m->draining = true;
        l->drain_ns = now + DRAIN_NS;
    }
    struct pollfd p = { .fd = fuse_session_fd(m->session), .events = POLLIN };
    return now > l->drain_ns || (m->busy == 0 && poll(&p, 1, 0) == 0);
}

static int receive(struct loop *l)
{
    struct fuse_session *se = l->m->session;
    while (!fuse_session_exited(se)) {
        if ((l->m->draining || l->m->reads++ % LOOK_EVERY == 0) && shall_end(l))
            break;
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
            hand_over(l, s);
        }
    }
    return 0;
}

static void free_slots(struct slot *s)
{
    while (s) {
        struct slot *next = s->next;
        free(s->buf.mem);
        free(s);
        s = next;
    }
}

static void fini(struct loop *l)
{
    free_slots(l->free);
    free_slots(l->main.first);
    free_slots(l->flush.first);
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
    init_queue(&l, &l.flush);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
        return -errno;
    while (n <= m->threads && pthread_create(&thread[n], NULL, n ? worker : flusher, n ? &l.main : &l.flush) == 0)
        n++;
    int e = n > 1 ? receive(&l) : -EAGAIN;
    mutex_lock(&l.lock);
    l.stop = true;
    pthread_cond_broadcast(&l.main.work);
    pthread_cond_broadcast(&l.flush.work);
    mutex_unlock(&l.lock);
    while (n > 1)
        pthread_join(thread[--n], NULL);
    fuse_session_unmount(m->session); /* nobody answers any more: it ends what the flusher may wait for */
    if (n)
        pthread_join(thread[0], NULL);
    fini(&l);
    return e;
}
