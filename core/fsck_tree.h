/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsck_tree.h: the namespace in memory, for phase 4, and the records that mend it.
 *
 * Mending changes the table and the log together: a record for each step, so that a check that is killed leaves a tree that the
 * next one goes on with. Nothing else uses the store meanwhile, so inodes in its cache are never read.
 */
#ifndef HOLO_CORE_FSCK_TREE_H
#define HOLO_CORE_FSCK_TREE_H

#include "core/fsck_private.h"
#include "store/record.h"

struct fsck_node {
    uint64_t ino, parent; /* parent: as its image says */
    uint64_t up;          /* directories: the one that has its name; 0: none */
    uint32_t mode, nlink, names, subdirs;
    bool orphan, made;    /* made: it did not exist */
    bool told;            /* its links are wrong because of something else that was told */
    uint8_t mark;
};

/* A name that something is wrong with. */
struct fsck_name {
    uint64_t parent, ino, cookie;
    uint32_t type, len;
    enum fsck_problem_id problem;
    char name[META_NAME_MAX + 1];
};

struct fsck_tree {
    struct fsck *f;
    struct fsck_node *node; /* ascending by number */
    size_t n, cap;
    struct fsck_name *name;
    size_t n_names, cap_names;
    uint64_t *gone; /* directories that have entries and do not exist */
    size_t n_gone, cap_gone;
    uint64_t max_cookie;
    uint64_t lost_found; /* 0: not looked for yet */
};

struct fsck_node *fsck_node(struct fsck_tree *t, uint64_t ino);
struct fsck_node *fsck_node_add(struct fsck_tree *t, uint64_t ino); /* not there yet; moves the others; NULL: memory */

/* What a node's link count should be. */
uint32_t fsck_links(const struct fsck_node *n);

/* ---- mending (fsck_mend.c): 0 or why it could not be logged ---- */
int fsck_mend_remove(struct fsck_tree *t, const struct fsck_name *d);
int fsck_mend_type(struct fsck_tree *t, const struct fsck_name *d, uint32_t mode);
int fsck_mend_root(struct fsck_tree *t);
/* A name in lost+found: the number with a # before it, and the old name, which goes away, before that. */
int fsck_mend_attach(struct fsck_tree *t, uint64_t ino, const struct fsck_name *old);
/* A directory with this number, in lost+found. */
int fsck_mend_directory(struct fsck_tree *t, uint64_t ino);
/* Parent and link count as the tree has them. */
int fsck_mend_links(struct fsck_tree *t, struct fsck_node *n);
/* The count of stored bytes. */
int fsck_mend_stored(struct fsck *f, const struct meta_inode *inode, uint64_t stored);

#endif
