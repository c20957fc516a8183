/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm_tree.h: what files of core.storm consist of, and a whole tree of them, when nobody is in it.
 */
#ifndef HOLO_TESTS_CORE_STORM_TREE_H
#define HOLO_TESTS_CORE_STORM_TREE_H

#include "tests/core/rig.h"

#include <dirent.h>

#include "base/sum.h"

enum { UNIT_BIG = 4096, UNIT_SMALL = 520, VALUE_MAX = 300, TREE_FILE_MAX = 128 * UNIT_BIG };

static inline size_t unit_of(uint64_t ino)
{
    return ino % 3 ? UNIT_BIG : UNIT_SMALL;
}

static inline void unit_make(uint64_t ino, uint64_t k, uint64_t version, uint8_t *out)
{
    uint64_t head[3] = { ino, k, version };
    size_t size = unit_of(ino);
    memcpy(out, head, sizeof(head));
    if (version % 3 == 0) /* shrinks */
        memset(out + sizeof(head), (int)(1 + version % 255), size - sizeof(head));
    else
        rig_fill(ino ^ k << 40 ^ version << 20, out + sizeof(head), size - sizeof(head));
}

/* 0: zeros; else its version; UINT64_MAX when it is nothing that anybody wrote there. */
static inline uint64_t unit_version(uint64_t ino, uint64_t k, const uint8_t *p)
{
    uint8_t want[UNIT_BIG];
    uint64_t head[3];
    size_t size = unit_of(ino);
    memcpy(head, p, sizeof(head));
    if (head[0] == 0) {
        memset(want, 0, size);
        return memcmp(want, p, size) ? UINT64_MAX : 0;
    }
    if (head[0] != ino || head[1] != k || head[2] == 0)
        return UINT64_MAX;
    unit_make(ino, k, head[2], want);
    return memcmp(want, p, size) ? UINT64_MAX : head[2];
}

enum { INODES_MAX = 4000 };

struct tree {
    struct rig *r;
    uint8_t *buf;
    uint64_t digest; /* of names, attributes and bytes, in any order */
    struct {
        uint64_t ino;
        uint32_t nlink, names;
    } v[INODES_MAX];
    size_t n;
};

static inline size_t tree_inode(struct tree *t, const struct holofs_attr *a)
{
    size_t k = 0;
    while (k < t->n && t->v[k].ino != a->ino)
        k++;
    if (k == t->n) {
        assert_true(t->n < INODES_MAX);
        t->v[t->n].ino = a->ino;
        t->v[t->n].nlink = a->nlink;
        t->v[t->n++].names = 0;
    }
    return k;
}

static inline void tree_name(struct tree *t, uint64_t parent, const char *name, const struct holofs_attr *a)
{
    uint8_t value[VALUE_MAX];
    uint64_t attr[] = { parent, a->ino, a->size, a->mode, a->nlink, a->stored, (uint64_t)a->mtime_ns, (uint64_t)a->ctime_ns };
    ssize_t n = holofs_getxattr(t->r->fs, a->ino, "user.storm", value, sizeof(value));
    uint64_t sum = sum64(attr, sizeof(attr), sum64(name, strlen(name), 0));
    if (n > 0)
        sum = sum64(value, (size_t)n, sum);
    if (S_ISREG(a->mode)) {
        assert_true(a->size <= TREE_FILE_MAX);
        n = holofs_read(t->r->fs, a->ino, 0, t->buf, a->size);
        assert_int_equal(n, a->size);
        sum = sum64(t->buf, a->size, sum);
        for (size_t at = 0; at < a->size; at += unit_of(a->ino))
            assert_true(unit_version(a->ino, at / unit_of(a->ino), t->buf + at) != UINT64_MAX);
    }
    t->digest += sum;
}

static inline void tree_walk(struct tree *t, uint64_t dir, uint64_t parent)
{
    struct holofs_dir *d;
    struct holofs_dirent ent;
    struct holofs_attr a;
    assert_int_equal(holofs_opendir(t->r->fs, dir, &d), 0);
    for (uint64_t at = 0; holofs_readdir(d, at, &ent) > 0; at = ent.next) {
        if (strcmp(ent.name, ".") == 0 || strcmp(ent.name, "..") == 0) {
            assert_int_equal(ent.ino, ent.name[1] ? parent : dir);
            continue;
        }
        assert_int_equal(holofs_lookup(t->r->fs, dir, ent.name, &a), 0);
        assert_int_equal(a.ino, ent.ino);
        assert_int_equal(IFTODT(a.mode), ent.type);
        t->v[tree_inode(t, &a)].names++;
        tree_name(t, dir, ent.name, &a);
        if (S_ISDIR(a.mode)) {
            struct holofs_attr up;
            assert_int_equal(holofs_getattr(t->r->fs, dir, &up), 0);
            t->v[tree_inode(t, &up)].names++; /* ".." */
            t->v[tree_inode(t, &a)].names++;  /* "." */
            tree_walk(t, a.ino, dir);
        }
        holofs_forget(t->r->fs, a.ino, 1);
    }
    holofs_closedir(d);
}

/* Every inode has as many names as links, and none is there without a name. */
static inline uint64_t tree_digest(struct rig *r)
{
    struct tree *t = calloc(1, sizeof(*t));
    struct holofs_attr root;
    assert_int_equal(holofs_getattr(r->fs, RIG_ROOT, &root), 0);
    t->r = r;
    t->buf = rig_buffer(TREE_FILE_MAX);
    t->v[tree_inode(t, &root)].names = 2;
    tree_walk(t, RIG_ROOT, RIG_ROOT);
    for (size_t k = 0; k < t->n; k++) {
        if (t->v[k].nlink != t->v[k].names)
            fail_msg("inode %llu has %u links and %u names", (unsigned long long)t->v[k].ino, t->v[k].nlink, t->v[k].names);
    }
    assert_int_equal(rig_stat(r, "files"), t->n);
    uint64_t digest = t->digest;
    free(t->buf);
    free(t);
    return digest;
}

#endif
