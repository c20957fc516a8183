/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tree_harm.h: trees that no operation leaves behind, made with records in the log of an open store.
 *
 * The tree that is harmed is that of tree_make: /d1/f1, /d1/sub/f2, /d2/f3, a link /d2/hard to /d1/f1, a symlink /d2/sym.
 */
#ifndef HOLO_TESTS_FSCK_TREE_HARM_H
#define HOLO_TESTS_FSCK_TREE_HARM_H

#include <dirent.h>

#include "core/apply.h"
#include "core/fs.h"
#include "core/log.h"
#include "remap/remap.h"
#include "tests/core/rig.h"

struct tree {
    uint64_t d1, d2, sub, f1, f2, f3, sym;
};

enum { TREE_BYTES = 9000 };

static inline uint64_t tree_file(struct rig *r, uint64_t dir, const char *name, uint64_t seed)
{
    uint8_t p[TREE_BYTES];
    uint64_t ino = rig_make(r, dir, name, S_IFREG | 0644);
    rig_fill(seed, p, sizeof(p));
    rig_write(r, ino, 0, p, sizeof(p));
    return ino;
}

static inline void tree_make(struct rig *r, struct tree *t)
{
    struct holofs_cred cred = { 0 };
    struct holofs_attr a;
    t->d1 = rig_make(r, RIG_ROOT, "d1", S_IFDIR | 0755);
    t->d2 = rig_make(r, RIG_ROOT, "d2", S_IFDIR | 0755);
    t->sub = rig_make(r, t->d1, "sub", S_IFDIR | 0755);
    t->f1 = tree_file(r, t->d1, "f1", 11);
    t->f2 = tree_file(r, t->sub, "f2", 12);
    t->f3 = tree_file(r, t->d2, "f3", 13);
    assert_int_equal(holofs_link(r->fs, t->f1, t->d2, "hard", &a), 0);
    holofs_forget(r->fs, a.ino, 1);
    assert_int_equal(holofs_create(r->fs, &cred, t->d2, "sym", S_IFLNK | 0777, 0, "../d1", &a), 0);
    t->sym = a.ino;
    holofs_forget(r->fs, a.ino, 1);
}

/* ---- records ---- */

struct harm {
    struct rec r;
    uint8_t space[2048];
};

static inline void harm_begin(struct harm *h)
{
    rec_begin(&h->r, h->space, sizeof(h->space), REC_SETATTR, 1);
}

static inline void harm_end(struct rig *r, struct harm *h)
{
    assert_int_equal(log_append(r->fs, h->space, rec_end(&h->r), NULL, 0, NULL, NULL), 0);
    assert_int_equal(commit_all(r->fs, 0), 0);
    indexer_wait(r->fs, r->fs->committed_txg, true);
}

static inline struct inode_image harm_image(struct rig *r, uint64_t ino)
{
    struct meta_inode row;
    struct inode_image img;
    assert_int_equal(commit_all(r->fs, 0), 0);
    indexer_wait(r->fs, r->fs->committed_txg, true);
    assert_int_equal(meta_read_inode(r->fs->reader, ino, &row), 0);
    meta_to_inode_image(&row, &img);
    return img;
}

static inline void harm_unname(struct rig *r, uint64_t dir, const char *name)
{
    struct harm h;
    harm_begin(&h);
    rec_entry_gone(&h.r, dir, name, strlen(name));
    harm_end(r, &h);
}

static inline void harm_name(struct rig *r, uint64_t dir, const char *name, uint64_t ino, uint32_t type)
{
    struct harm h;
    harm_begin(&h);
    rec_entry(&h.r, dir, ino, r->fs->next_cookie++, type, name, strlen(name));
    harm_end(r, &h);
}

static inline void harm_inode_gone(struct rig *r, uint64_t ino)
{
    struct harm h;
    harm_begin(&h);
    rec_inode_gone(&h.r, ino);
    harm_end(r, &h);
}

static inline void harm_inode(struct rig *r, const struct inode_image *img)
{
    struct harm h;
    harm_begin(&h);
    rec_inode(&h.r, img);
    harm_end(r, &h);
}

/* ---- kinds ---- */

static inline void harm_links(struct rig *r, uint64_t ino, uint32_t links)
{
    struct inode_image img = harm_image(r, ino);
    img.nlink = links;
    harm_inode(r, &img);
}

static inline void harm_file_unnamed(struct rig *r, const struct tree *t) { harm_unname(r, t->d2, "f3"); }
static inline void harm_one_link_unnamed(struct rig *r, const struct tree *t) { harm_unname(r, t->d2, "hard"); }
static inline void harm_directory_unnamed(struct rig *r, const struct tree *t) { harm_unname(r, RIG_ROOT, "d1"); (void)t; }
static inline void harm_symlink_unnamed(struct rig *r, const struct tree *t) { harm_unname(r, t->d2, "sym"); }
static inline void harm_file_inode_gone(struct rig *r, const struct tree *t) { harm_inode_gone(r, t->f3); }
static inline void harm_directory_inode_gone(struct rig *r, const struct tree *t) { harm_inode_gone(r, t->d1); }
static inline void harm_inner_directory_gone(struct rig *r, const struct tree *t) { harm_inode_gone(r, t->sub); }
static inline void harm_both_directories_gone(struct rig *r, const struct tree *t) { harm_inode_gone(r, t->d1); harm_inode_gone(r, t->sub); }
static inline void harm_directory_and_its_name_gone(struct rig *r, const struct tree *t)
{
    harm_unname(r, RIG_ROOT, "d1");
    harm_inode_gone(r, t->d1);
}
static inline void harm_cycle(struct rig *r, const struct tree *t)
{
    harm_unname(r, RIG_ROOT, "d1");
    harm_name(r, t->sub, "loop", t->d1, DT_DIR);
}
static inline void harm_own_parent(struct rig *r, const struct tree *t)
{
    harm_unname(r, RIG_ROOT, "d1");
    harm_name(r, t->d1, "self", t->d1, DT_DIR);
}
static inline void harm_two_names(struct rig *r, const struct tree *t) { harm_name(r, t->d2, "again", t->sub, DT_DIR); }
static inline void harm_root_inside(struct rig *r, const struct tree *t) { harm_name(r, t->d2, "root", RIG_ROOT, DT_DIR); }
static inline void harm_type(struct rig *r, const struct tree *t) { harm_name(r, t->d2, "f3", t->f3, DT_DIR); }
static inline void harm_type_of_directory(struct rig *r, const struct tree *t) { harm_name(r, t->d1, "sub", t->sub, DT_REG); }
static inline void harm_links_many(struct rig *r, const struct tree *t) { harm_links(r, t->f3, 7); }
static inline void harm_links_few(struct rig *r, const struct tree *t) { harm_links(r, t->f1, 1); }
static inline void harm_links_none(struct rig *r, const struct tree *t) { harm_links(r, t->f3, 0); }
static inline void harm_links_of_directory(struct rig *r, const struct tree *t) { harm_links(r, t->d1, 2); }
static inline void harm_links_of_root(struct rig *r, const struct tree *t) { harm_links(r, RIG_ROOT, 99); (void)t; }
static inline void harm_parent(struct rig *r, const struct tree *t)
{
    struct inode_image img = harm_image(r, t->sub);
    img.parent = t->d2;
    harm_inode(r, &img);
}
static inline void harm_parent_nowhere(struct rig *r, const struct tree *t)
{
    struct inode_image img = harm_image(r, t->sub);
    img.parent = 77777;
    harm_inode(r, &img);
}
static inline void harm_names_in_file(struct rig *r, const struct tree *t)
{
    harm_unname(r, t->d2, "f3");
    harm_name(r, t->f1, "inside", t->f3, DT_REG);
}
static inline void harm_names_nowhere(struct rig *r, const struct tree *t)
{
    harm_unname(r, t->d2, "f3");
    harm_name(r, 66666, "lost-name", t->f3, DT_REG);
}
static inline void harm_dangling(struct rig *r, const struct tree *t) { harm_name(r, t->d2, "nothing", 55555, DT_REG); }
static inline void harm_dangling_directory(struct rig *r, const struct tree *t) { harm_name(r, t->d2, "nowhere", 55556, DT_DIR); }
static inline void harm_root_gone(struct rig *r, const struct tree *t) { harm_inode_gone(r, RIG_ROOT); (void)t; }
static inline void harm_counter(struct rig *r, const struct tree *t)
{
    struct inode_image img = harm_image(r, t->f3);
    img.ino = r->fs->next_ino + 1000;
    img.size = img.stored = 0;
    img.nlink = 1;
    harm_inode(r, &img);
    harm_name(r, t->d2, "far", img.ino, DT_REG);
}
static inline void harm_stored(struct rig *r, const struct tree *t)
{
    struct inode_image img = harm_image(r, t->f3);
    img.stored += 4096;
    harm_inode(r, &img);
}
static inline void harm_extent_nowhere(struct rig *r, const struct tree *t)
{
    struct harm h;
    struct extent e = { .off = 1 << 20, .len = 4096, .container = 4000, .stored = 4096, .raw = 4096, .codec = EXTENT_RUN };
    harm_begin(&h);
    rec_extent(&h.r, t->f3, &e);
    harm_end(r, &h);
}

/* What a file has, as the index says; sealed before, so that the container tells whose it is. */
static inline struct extent harm_extent_of(struct rig *r, uint64_t ino)
{
    uint8_t blob[64 * EXTENT_BYTES];
    struct window w = { 0 };
    size_t len;
    rig_do(r, "seal");
    harm_image(r, ino);
    assert_int_equal(meta_read_window(r->fs->reader, ino, 0, blob, sizeof(blob), &len), 0);
    assert_int_equal(window_decode(&w, 0, blob, len), 0);
    assert_true(w.n > 0);
    struct extent e = w.e[0];
    window_fini(&w);
    return e;
}
/* Its tag is right: it is that of the other file's first block. */
static inline void harm_extent_of_another(struct rig *r, const struct tree *t)
{
    struct harm h;
    struct extent e = harm_extent_of(r, t->f1);
    harm_begin(&h);
    rec_extent(&h.r, t->f3, &e);
    harm_end(r, &h);
}
/* It begins in the file's own block, with its tag, and goes on into what is the next file's. */
static inline void harm_extent_runs_on(struct rig *r, const struct tree *t)
{
    struct harm h;
    struct extent e = harm_extent_of(r, t->f2);
    assert_int_equal(e.codec, EXTENT_RUN);
    e.len = 16384;
    e.raw = e.stored = e.skip + e.len;
    harm_begin(&h);
    rec_extent(&h.r, t->f2, &e);
    harm_end(r, &h);
}

/* Of a container that is there, or of one that is not. */
static inline void harm_remap(struct rig *r, uint32_t container, uint32_t block)
{
    uint8_t *p = rig_buffer(RIG_BLOCK);
    rig_fill(block, p, RIG_BLOCK);
    assert_int_equal(remap_add(r->fs->remap, container, block, p), 0);
    free(p);
}
static inline void harm_remap_outside(struct rig *r, const struct tree *t)
{
    struct extent e = harm_extent_of(r, t->f1);
    for (uint32_t i = 0; i < 3; i++)
        harm_remap(r, e.container, 70000 + i);
}
static inline void harm_remap_nowhere(struct rig *r, const struct tree *t)
{
    harm_remap(r, 4001, 3);
    harm_remap(r, 4001, 4);
    (void)t;
}

enum tree_end {
    TREE_SAFE, /* -p repairs it */
    TREE_YES,  /* only -y does */
    TREE_LOST, /* nothing does */
};

struct tree_kind {
    const char *name;
    void (*make)(struct rig *r, const struct tree *t);
    unsigned number; /* a problem that must be told */
    enum tree_end end;
    bool loses_f3;   /* by its nature */
};

static const struct tree_kind tree_kinds[] = {
    { "a file without its name", harm_file_unnamed, 405, TREE_YES, false },
    { "one of two names gone", harm_one_link_unnamed, 409, TREE_SAFE, false },
    { "a directory without its name", harm_directory_unnamed, 405, TREE_YES, false },
    { "a symlink without its name", harm_symlink_unnamed, 405, TREE_YES, false },
    { "a file's inode gone", harm_file_inode_gone, 402, TREE_YES, true },
    { "a directory's inode gone", harm_directory_inode_gone, 404, TREE_YES, false },
    { "an inner directory's inode gone", harm_inner_directory_gone, 404, TREE_YES, false },
    { "two nested directories gone", harm_both_directories_gone, 404, TREE_YES, false },
    { "a directory gone with its name", harm_directory_and_its_name_gone, 404, TREE_YES, false },
    { "directories in a cycle", harm_cycle, 406, TREE_YES, false },
    { "a directory inside itself", harm_own_parent, 406, TREE_YES, false },
    { "a directory with two names", harm_two_names, 407, TREE_YES, false },
    { "the root inside a directory", harm_root_inside, 407, TREE_YES, false },
    { "a name with a wrong type", harm_type, 403, TREE_SAFE, false },
    { "a directory's name with a wrong type", harm_type_of_directory, 403, TREE_SAFE, false },
    { "too many links", harm_links_many, 409, TREE_SAFE, false },
    { "too few links", harm_links_few, 409, TREE_SAFE, false },
    { "no links, but a name", harm_links_none, 409, TREE_SAFE, false },
    { "links of a directory", harm_links_of_directory, 409, TREE_SAFE, false },
    { "links of the root", harm_links_of_root, 409, TREE_SAFE, false },
    { "a wrong parent", harm_parent, 408, TREE_SAFE, false },
    { "a parent that does not exist", harm_parent_nowhere, 408, TREE_SAFE, false },
    { "names in a file", harm_names_in_file, 413, TREE_YES, false },
    { "names in nothing", harm_names_nowhere, 404, TREE_YES, false },
    { "a name of nothing", harm_dangling, 402, TREE_YES, false },
    { "a directory's name of nothing", harm_dangling_directory, 402, TREE_YES, false },
    { "the root's inode gone", harm_root_gone, 401, TREE_YES, false },
    { "an inode number from the future", harm_counter, 412, TREE_SAFE, false },
    { "a wrong count of stored bytes", harm_stored, 331, TREE_YES, false },
    { "bytes in a container that nothing names", harm_extent_nowhere, 321, TREE_LOST, false },
    { "the bytes of another file", harm_extent_of_another, 323, TREE_LOST, true },
    { "a run that goes on into another file's bytes", harm_extent_runs_on, 323, TREE_LOST, false },
    { "blocks remapped behind the end of a container", harm_remap_outside, 505, TREE_SAFE, false },
    { "blocks remapped of a container that there is not", harm_remap_nowhere, 504, TREE_SAFE, false },
};
enum { TREE_KINDS = sizeof(tree_kinds) / sizeof(tree_kinds[0]) };

/* ---- afterwards ---- */

static inline bool tree_same(struct rig *r, uint64_t ino, uint64_t seed)
{
    uint8_t want[TREE_BYTES], *got = rig_buffer(TREE_BYTES);
    rig_fill(seed, want, sizeof(want));
    bool same = holofs_read(r->fs, ino, 0, got, TREE_BYTES) == TREE_BYTES && memcmp(got, want, TREE_BYTES) == 0;
    free(got);
    return same;
}

/* Is the inode reached by names from dir, at most `depth` deep? Its content is compared there. */
static inline bool tree_reaches(struct rig *r, uint64_t dir, uint64_t ino, int depth)
{
    struct holofs_dir *d;
    struct holofs_dirent e;
    bool found = false;
    if (depth == 0 || holofs_opendir(r->fs, dir, &d))
        return false;
    for (uint64_t off = 0; !found && holofs_readdir(d, off, &e) == 1; off = e.next) {
        if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
            continue;
        uint64_t child = e.ino;
        found = child == ino || (e.type == DT_DIR && tree_reaches(r, child, ino, depth - 1));
    }
    holofs_closedir(d);
    return found;
}

/* Every file of the tree has its bytes and is reached from the root. */
static inline bool tree_whole(struct rig *r, const struct tree *t, bool without_f3)
{
    const uint64_t ino[] = { t->f1, t->f2, t->f3 };
    for (size_t i = 0; i < 3; i++) {
        if (i == 2 && without_f3)
            continue;
        if (!tree_same(r, ino[i], 11 + i) || !tree_reaches(r, RIG_ROOT, ino[i], 8)) {
            print_message("f%zu %s\n", i + 1, tree_same(r, ino[i], 11 + i) ? "is not reached" : "has other bytes");
            return false;
        }
    }
    return true;
}

#endif
