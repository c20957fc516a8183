/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backing_fault.c: faults on purpose, over another backing.
 *
 * What a rule of each kind may act on; other calls pass it by:
 *
 *     READ    pread                            ERROR FLIP
 *     WRITE   pwritev                          ERROR FLIP TORN DROP MISDIRECT SHORT
 *             truncate, preallocate            ERROR
 *     SYNC    datasync                         ERROR DROP SYNC_FORGET
 *             sync_dir                         ERROR DROP
 *     OPEN    open, mkdir                      ERROR
 *     CREATE  open for writing, mkdir          ERROR
 *     UNLINK  unlink, rename (by either name)  ERROR DROP
 *
 * A rule with a range acts on reads, writes, truncations and preallocations only; a flipped bit lies in its
 * range. Changing calls are writes, truncations, preallocations, syncs, unlinks, renames, new directories and
 * opens with CREATE or TRUNC; the cut counts from the creation of the layer.
 *
 * While a SYNC_FORGET rule stands, or tracking is on, each write first saves what it overwrites in the node of its
 * file, until the next successful sync. Nodes are shared by all handles of a name and follow it through renames.
 *
 * Locks: a node's own lock guards its saved bytes and is held while they are taken or put back; `lock`, taken
 * last, guards rules, counts, random numbers, the nodes' names and references.
 */
#include "store/backing.h"

#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lock.h"

enum { RANK_NODE = 899, RANK_FAULT = 900, ALIGN = 4096 };

struct saved {
    struct saved *next; /* older */
    uint64_t off, end;  /* what was written */
    uint64_t file_size; /* before that */
    size_t len;         /* of the old bytes at off */
    uint8_t bytes[];
};

struct fault_node {
    struct fault_node *next;
    char *name;
    unsigned refs;
    bool unlinked;
    struct mutex lock;
    struct saved *saved;
};

struct active_rule {
    struct fault_rule r;
    uint64_t seen, hits;
};

struct fault_backing {
    struct backing b;
    struct backing *lower;
    struct mutex lock;
    struct active_rule *rule;
    size_t n_rules, cap_rules;
    struct fault_node *nodes;
    uint64_t random;
    bool tracking;
    _Atomic uint64_t writes, hits, cut;
};

struct fault_file {
    struct bfile f;
    struct fault_backing *fb;
    struct fault_node *node;
    struct bfile *lower;
    int flags;
};

/* One call as the rules see it. */
struct call {
    unsigned op; /* fault_op bits */
    unsigned kinds; /* bits of the fault_kinds that may act on it */
    bool changing, ranged;
    uint64_t from, to;
};

/* What a call met: hit, and if so the rule (its range cut to the call's) and a random number of its own. */
struct verdict {
    bool hit, saving;
    struct fault_rule rule;
    uint64_t random;
};

static struct fault_backing *fault_of(struct backing *b)
{
    return (struct fault_backing *)b;
}

static struct fault_file *file_of(struct bfile *f)
{
    return (struct fault_file *)f;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_locked(struct fault_backing *fb)
{
    uint64_t x = fb->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool rule_matches(const struct fault_rule *r, const struct call *c, const char *name, const char *name2)
{
    if (!(r->ops & c->op) || !(c->kinds & 1u << r->kind))
        return false;
    if ((r->from || r->to) && (!c->ranged || c->to <= r->from || c->from >= r->to))
        return false;
    return !r->name || fnmatch(r->name, name, 0) == 0 || (name2 && fnmatch(r->name, name2, 0) == 0);
}

/* Count a match. True if the rule acts on this one. */
static bool rule_acts(struct active_rule *a)
{
    if (a->seen++ < a->r.after || (a->r.count && a->hits >= a->r.count))
        return false;
    a->hits++;
    return true;
}

static void judge_locked(struct fault_backing *fb, const struct call *c, const char *name, const char *name2, struct verdict *v)
{
    v->saving = fb->tracking;
    for (size_t i = 0; i < fb->n_rules; i++) {
        struct active_rule *a = &fb->rule[i];
        v->saving |= a->r.kind == FAULT_SYNC_FORGET;
        if (v->hit || !rule_matches(&a->r, c, name, name2) || !rule_acts(a))
            continue;
        v->hit = true;
        atomic_fetch_add(&fb->hits, 1);
        v->rule = a->r;
        v->random = random_locked(fb);
        bool any = !a->r.from && !a->r.to;
        v->rule.from = any || a->r.from < c->from ? c->from : a->r.from;
        v->rule.to = any || a->r.to > c->to ? c->to : a->r.to;
    }
}

static bool cut(struct fault_backing *fb)
{
    return atomic_load(&fb->writes) >= atomic_load(&fb->cut);
}

/* Let a call pass the cut, count it, and look for a rule. An ERROR is the return value already. */
static int admit_locked(struct fault_backing *fb, const struct call *c, const char *name, const char *name2, struct verdict *v)
{
    *v = (struct verdict){ 0 };
    if (cut(fb))
        return -EIO;
    atomic_fetch_add(&fb->writes, c->changing);
    judge_locked(fb, c, name, name2, v);
    return v->hit && v->rule.kind == FAULT_ERROR ? -v->rule.err : 0;
}

static int admit(struct fault_backing *fb, const struct call *c, const char *name, const char *name2, struct verdict *v)
{
    mutex_lock(&fb->lock);
    int rc = admit_locked(fb, c, name, name2, v);
    mutex_unlock(&fb->lock);
    return rc;
}

static int admit_file(struct fault_file *f, const struct call *c, struct verdict *v)
{
    mutex_lock(&f->fb->lock);
    int rc = admit_locked(f->fb, c, f->node->name, NULL, v);
    mutex_unlock(&f->fb->lock);
    return rc;
}

static void flip_bit(uint8_t *data, uint64_t off, const struct verdict *v)
{
    uint64_t bit = v->random % ((v->rule.to - v->rule.from) * 8);
    data[v->rule.from - off + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static int fault_pread(struct bfile *bf, void *buf, size_t len, uint64_t off)
{
    struct fault_file *f = file_of(bf);
    const struct call c = { FAULT_READ, 1u << FAULT_ERROR | 1u << FAULT_FLIP, false, true, off, off + len };
    struct verdict v;
    int rc = admit_file(f, &c, &v);
    if (rc == 0)
        rc = f->lower->ops->pread(f->lower, buf, len, off);
    if (rc == 0 && v.hit && len > 0)
        flip_bit(buf, off, &v);
    return rc;
}

/* The node's file by itself, whatever the handles were opened for. */
static int raw_open(struct fault_backing *fb, const struct fault_node *n, struct bfile **out)
{
    mutex_lock(&fb->lock);
    char *name = n->unlinked ? NULL : strdup(n->name);
    mutex_unlock(&fb->lock);
    if (!name)
        return -ENOENT;
    int rc = fb->lower->ops->open(fb->lower, name, BACKING_WRITE, out);
    free(name);
    return rc;
}

static void save_locked(struct fault_file *f, uint64_t off, uint64_t len)
{
    struct bfile *raw;
    if (raw_open(f->fb, f->node, &raw) != 0)
        return;
    uint64_t size = 0;
    raw->ops->size(raw, &size);
    size_t keep = off >= size ? 0 : (size_t)(len < size - off ? len : size - off);
    struct saved *s = malloc(sizeof(*s) + keep);
    if (s && raw->ops->pread(raw, s->bytes, keep, off) == 0) {
        *s = (struct saved){ .next = f->node->saved, .off = off, .end = off + len, .file_size = size, .len = keep };
        f->node->saved = s;
        s = NULL;
    }
    free(s);
    raw->ops->close(raw);
}

static void saved_drop_locked(struct fault_node *n)
{
    while (n->saved) {
        struct saved *s = n->saved;
        n->saved = s->next;
        free(s);
    }
}

/* Put back what was there at the last sync, newest change first. */
static void saved_restore_locked(struct fault_node *n, struct bfile *raw)
{
    for (const struct saved *s = n->saved; s; s = s->next) {
        bfile_pwrite(raw, s->bytes, s->len, s->off);
        raw->ops->truncate(raw, s->file_size);
    }
    saved_drop_locked(n);
}

static void forget_locked(struct fault_file *f)
{
    struct bfile *raw;
    if (!f->node->saved || raw_open(f->fb, f->node, &raw) != 0)
        return;
    saved_restore_locked(f->node, raw);
    raw->ops->close(raw);
}

/* The old file, and over it those sectors of the new one that a coin lets survive. */
static void lose_locked(struct fault_backing *fb, struct fault_node *n, struct bfile *raw)
{
    uint64_t size = 0, from = UINT64_MAX, to = 0;
    for (const struct saved *s = n->saved; s; s = s->next) {
        from = s->off < from ? s->off : from;
        to = s->end > to ? s->end : to;
    }
    raw->ops->size(raw, &size);
    from -= from % ALIGN;
    to = to < size ? to : size;
    uint8_t *now = from < to ? malloc((size_t)(to - from)) : NULL;
    bool known = now && raw->ops->pread(raw, now, (size_t)(to - from), from) == 0;
    saved_restore_locked(n, raw);
    for (uint64_t off = from; known && off < to; off += ALIGN) {
        mutex_lock(&fb->lock);
        bool survives = random_locked(fb) & 1;
        mutex_unlock(&fb->lock);
        if (survives)
            bfile_pwrite(raw, now + (off - from), to - off < ALIGN ? (size_t)(to - off) : ALIGN, off);
    }
    free(now);
}

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
    uint64_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    return len;
}

/* The whole write in one buffer of the caller's, aligned as a disk demands. */
static uint8_t *iov_gather(const struct iovec *iov, int n, size_t len)
{
    void *p;
    if (posix_memalign(&p, ALIGN, len ? len : 1) != 0)
        return NULL;
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        memcpy((uint8_t *)p + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return p;
}

static int write_spoilt(struct fault_file *f, const struct iovec *iov, int n, uint64_t off, const struct verdict *v)
{
    size_t len = (size_t)iov_bytes(iov, n);
    uint8_t *data = iov_gather(iov, n, len);
    if (!data)
        return -ENOMEM;
    if (v->rule.kind == FAULT_FLIP)
        flip_bit(data, off, v);
    if (v->rule.kind == FAULT_MISDIRECT)
        off += ALIGN;
    bool part = v->rule.kind == FAULT_TORN || v->rule.kind == FAULT_SHORT;
    if (part)
        len = (size_t)(v->random % len);
    if (part && (f->flags & BACKING_DIRECT))
        len -= len % ALIGN;
    int rc = len ? bfile_pwrite(f->lower, data, len, off) : 0;
    free(data);
    return rc == 0 && v->rule.kind == FAULT_SHORT ? -v->rule.err : rc;
}

static int fault_pwritev(struct bfile *bf, const struct iovec *iov, int n, uint64_t off)
{
    struct fault_file *f = file_of(bf);
    const unsigned kinds = 1u << FAULT_ERROR | 1u << FAULT_FLIP | 1u << FAULT_TORN | 1u << FAULT_DROP | 1u << FAULT_MISDIRECT |
                           1u << FAULT_SHORT;
    uint64_t len = iov_bytes(iov, n);
    const struct call c = { FAULT_WRITE, kinds, true, true, off, off + len };
    struct verdict v;
    int rc = admit_file(f, &c, &v);
    if (rc || len == 0 || (v.hit && v.rule.kind == FAULT_DROP))
        return rc;
    if (v.saving) {
        mutex_lock(&f->node->lock);
        save_locked(f, off, v.hit ? len + ALIGN : len);
    }
    rc = v.hit ? write_spoilt(f, iov, n, off, &v) : f->lower->ops->pwritev(f->lower, iov, n, off);
    if (v.saving)
        mutex_unlock(&f->node->lock);
    return rc;
}

static int fault_datasync(struct bfile *bf)
{
    struct fault_file *f = file_of(bf);
    const struct call c = { FAULT_SYNC, 1u << FAULT_ERROR | 1u << FAULT_DROP | 1u << FAULT_SYNC_FORGET, true, false, 0, 0 };
    struct verdict v;
    int rc = admit_file(f, &c, &v);
    if (rc || (v.hit && v.rule.kind == FAULT_DROP))
        return rc;
    mutex_lock(&f->node->lock);
    if (v.hit) {
        forget_locked(f);
        rc = -v.rule.err;
    } else {
        rc = f->lower->ops->datasync(f->lower);
    }
    if (rc == 0)
        saved_drop_locked(f->node);
    mutex_unlock(&f->node->lock);
    return rc;
}

static int fault_size(struct bfile *bf, uint64_t *out_bytes)
{
    struct fault_file *f = file_of(bf);
    return cut(f->fb) ? -EIO : f->lower->ops->size(f->lower, out_bytes);
}

static int resize(struct fault_file *f, uint64_t from, uint64_t to, int (*act)(struct bfile *, uint64_t), uint64_t size_bytes)
{
    const struct call c = { FAULT_WRITE, 1u << FAULT_ERROR, true, true, from, to };
    struct verdict v;
    int rc = admit_file(f, &c, &v);
    if (rc)
        return rc;
    mutex_lock(&f->node->lock);
    if (v.saving)
        save_locked(f, from, to - from);
    rc = act(f->lower, size_bytes);
    mutex_unlock(&f->node->lock);
    return rc;
}

static int fault_truncate(struct bfile *bf, uint64_t size_bytes)
{
    struct fault_file *f = file_of(bf);
    return resize(f, size_bytes, UINT64_MAX, f->lower->ops->truncate, size_bytes);
}

static int fault_preallocate(struct bfile *bf, uint64_t size_bytes)
{
    struct fault_file *f = file_of(bf);
    return resize(f, 0, size_bytes, f->lower->ops->preallocate, size_bytes);
}

static void node_put_locked(struct fault_node *n)
{
    if (--n->refs > 0)
        return;
    saved_drop_locked(n);
    mutex_fini(&n->lock);
    free(n->name);
    free(n);
}

static struct fault_node **node_slot(struct fault_backing *fb, const char *name)
{
    struct fault_node **slot = &fb->nodes;
    while (*slot && strcmp((*slot)->name, name) != 0)
        slot = &(*slot)->next;
    return slot;
}

/* The node of a name, made if missing, with one more reference. NULL when memory is short. */
static struct fault_node *node_get_locked(struct fault_backing *fb, const char *name)
{
    struct fault_node *n = *node_slot(fb, name);
    if (!n) {
        n = calloc(1, sizeof(*n));
        char *copy = strdup(name);
        if (!n || !copy) {
            free(n);
            free(copy);
            return NULL;
        }
        mutex_init(&n->lock, RANK_NODE);
        n->name = copy;
        n->refs = 1;
        n->next = fb->nodes;
        fb->nodes = n;
    }
    n->refs++;
    return n;
}

/* Take a name's node out of the table: the file is gone, or another takes its name. */
static struct fault_node *node_take_locked(struct fault_backing *fb, const char *name)
{
    struct fault_node **slot = node_slot(fb, name), *n = *slot;
    if (n)
        *slot = n->next;
    return n;
}

static void fault_file_close(struct bfile *bf)
{
    struct fault_file *f = file_of(bf);
    f->lower->ops->close(f->lower);
    mutex_lock(&f->fb->lock);
    node_put_locked(f->node);
    mutex_unlock(&f->fb->lock);
    free(f);
}

static const struct bfile_ops fault_file_ops = {
    .pread = fault_pread,
    .pwritev = fault_pwritev,
    .datasync = fault_datasync,
    .size = fault_size,
    .truncate = fault_truncate,
    .preallocate = fault_preallocate,
    .close = fault_file_close,
};

static int file_create(struct fault_backing *fb, const char *name, int flags, struct bfile *lower, struct bfile **out)
{
    struct fault_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    mutex_lock(&fb->lock);
    f->node = node_get_locked(fb, name);
    mutex_unlock(&fb->lock);
    if (!f->node) {
        free(f);
        return -ENOMEM;
    }
    f->f.ops = &fault_file_ops;
    f->fb = fb;
    f->lower = lower;
    f->flags = flags;
    *out = &f->f;
    return 0;
}

static int fault_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    struct fault_backing *fb = fault_of(b);
    unsigned op = FAULT_OPEN | (flags & (BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC) ? FAULT_CREATE : 0u);
    const struct call c = { op, 1u << FAULT_ERROR, flags & (BACKING_CREATE | BACKING_TRUNC), false, 0, 0 };
    struct verdict v;
    int rc = admit(fb, &c, name, NULL, &v);
    struct bfile *lower;
    if (rc == 0)
        rc = fb->lower->ops->open(fb->lower, name, flags, &lower);
    if (rc)
        return rc;
    rc = file_create(fb, name, flags, lower, out);
    if (rc)
        lower->ops->close(lower);
    return rc;
}

static int fault_unlink(struct backing *b, const char *name)
{
    struct fault_backing *fb = fault_of(b);
    const struct call c = { FAULT_UNLINK, 1u << FAULT_ERROR | 1u << FAULT_DROP, true, false, 0, 0 };
    struct verdict v;
    int rc = admit(fb, &c, name, NULL, &v);
    if (rc == 0 && !v.hit)
        rc = fb->lower->ops->unlink(fb->lower, name);
    if (rc || v.hit)
        return rc;
    mutex_lock(&fb->lock);
    struct fault_node *n = node_take_locked(fb, name);
    if (n) {
        n->unlinked = true;
        node_put_locked(n);
    }
    mutex_unlock(&fb->lock);
    return 0;
}

static void node_rename_locked(struct fault_backing *fb, const char *from, char *to)
{
    struct fault_node *old = node_take_locked(fb, to), *n = node_take_locked(fb, from);
    if (old) {
        old->unlinked = true;
        node_put_locked(old);
    }
    if (!n) {
        free(to);
        return;
    }
    free(n->name);
    n->name = to;
    n->next = fb->nodes;
    fb->nodes = n;
}

static int fault_rename(struct backing *b, const char *from, const char *to)
{
    struct fault_backing *fb = fault_of(b);
    const struct call c = { FAULT_UNLINK, 1u << FAULT_ERROR | 1u << FAULT_DROP, true, false, 0, 0 };
    struct verdict v;
    char *copy = strdup(to);
    int rc = copy ? admit(fb, &c, from, to, &v) : -ENOMEM;
    if (rc == 0 && !v.hit)
        rc = fb->lower->ops->rename(fb->lower, from, to);
    if (rc || v.hit || strcmp(from, to) == 0) {
        free(copy);
        return rc;
    }
    mutex_lock(&fb->lock);
    node_rename_locked(fb, from, copy);
    mutex_unlock(&fb->lock);
    return 0;
}

static int fault_mkdir(struct backing *b, const char *name)
{
    struct fault_backing *fb = fault_of(b);
    const struct call c = { FAULT_OPEN | FAULT_CREATE, 1u << FAULT_ERROR, true, false, 0, 0 };
    struct verdict v;
    int rc = admit(fb, &c, name, NULL, &v);
    return rc ? rc : fb->lower->ops->mkdir(fb->lower, name);
}

static int fault_sync_dir(struct backing *b, const char *name)
{
    struct fault_backing *fb = fault_of(b);
    const struct call c = { FAULT_SYNC, 1u << FAULT_ERROR | 1u << FAULT_DROP, true, false, 0, 0 };
    struct verdict v;
    int rc = admit(fb, &c, name, NULL, &v);
    return rc || v.hit ? rc : fb->lower->ops->sync_dir(fb->lower, name);
}

static int fault_list(struct backing *b, const char *dir, int (*cb)(void *arg, const char *name), void *arg)
{
    struct fault_backing *fb = fault_of(b);
    return cut(fb) ? -EIO : fb->lower->ops->list(fb->lower, dir, cb, arg);
}

static int fault_space(struct backing *b, struct backing_space *out)
{
    struct fault_backing *fb = fault_of(b);
    return cut(fb) ? -EIO : fb->lower->ops->space(fb->lower, out);
}

static void fault_close(struct backing *b)
{
    struct fault_backing *fb = fault_of(b);
    while (fb->nodes) {
        struct fault_node *n = fb->nodes;
        fb->nodes = n->next;
        node_put_locked(n);
    }
    mutex_fini(&fb->lock);
    free(fb->rule);
    free(fb);
}

static const struct backing_ops fault_ops = {
    .open = fault_open,
    .unlink = fault_unlink,
    .rename = fault_rename,
    .mkdir = fault_mkdir,
    .sync_dir = fault_sync_dir,
    .list = fault_list,
    .space = fault_space,
    .close = fault_close,
};

int backing_fault_create(struct backing *lower, uint64_t seed, struct backing **out)
{
    struct fault_backing *fb = calloc(1, sizeof(*fb));
    if (!fb)
        return -ENOMEM;
    fb->b.ops = &fault_ops;
    fb->lower = lower;
    fb->random = seed;
    atomic_init(&fb->cut, UINT64_MAX);
    mutex_init(&fb->lock, RANK_FAULT);
    *out = &fb->b;
    return 0;
}

void backing_fault_add(struct backing *fault, const struct fault_rule *rule)
{
    struct fault_backing *fb = fault_of(fault);
    mutex_lock(&fb->lock);
    if (fb->n_rules == fb->cap_rules) {
        size_t cap = fb->cap_rules ? fb->cap_rules * 2 : 8;
        struct active_rule *r = realloc(fb->rule, cap * sizeof(*r));
        if (!r)
            abort(); /* a test that silently lost its fault would pass for the wrong reason */
        fb->rule = r;
        fb->cap_rules = cap;
    }
    fb->rule[fb->n_rules++] = (struct active_rule){ .r = *rule };
    mutex_unlock(&fb->lock);
}

void backing_fault_clear(struct backing *fault)
{
    struct fault_backing *fb = fault_of(fault);
    mutex_lock(&fb->lock);
    fb->n_rules = 0;
    mutex_unlock(&fb->lock);
}

uint64_t backing_fault_writes(const struct backing *fault)
{
    return atomic_load(&((const struct fault_backing *)fault)->writes);
}

uint64_t backing_fault_hits(const struct backing *fault)
{
    return atomic_load(&((const struct fault_backing *)fault)->hits);
}

void backing_fault_cut_after(struct backing *fault, uint64_t writes)
{
    atomic_store(&fault_of(fault)->cut, writes);
}

void backing_fault_track(struct backing *fault)
{
    struct fault_backing *fb = fault_of(fault);
    mutex_lock(&fb->lock);
    fb->tracking = true;
    mutex_unlock(&fb->lock);
}

void backing_fault_lose(struct backing *fault)
{
    struct fault_backing *fb = fault_of(fault);
    for (struct fault_node *n = fb->nodes; n; n = n->next) {
        struct bfile *raw;
        mutex_lock(&n->lock);
        if (n->saved && raw_open(fb, n, &raw) == 0) {
            lose_locked(fb, n, raw);
            raw->ops->close(raw);
        }
        mutex_unlock(&n->lock);
    }
}
