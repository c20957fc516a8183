/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * problem.h: everything that holofsck can find wrong, as one list.
 *
 * A number and a short name keep their meaning for ever: scripts rely on them, and a problem that cannot occur any more leaves
 * its number behind. The hundreds are the phase that finds it. Kinds:
 *
 *   NOTE  nothing is wrong: told, not counted
 *   SAFE  can be put right, and what is right is certain: -p and -y do it
 *   TREE  can be put right by changing what the tree says: only -y does it, or a yes
 *   LOST  cannot be put right: what is gone is gone, and stays an error
 */
#ifndef HOLO_CORE_PROBLEM_H
#define HOLO_CORE_PROBLEM_H

enum problem_kind { PROBLEM_NOTE, PROBLEM_SAFE, PROBLEM_TREE, PROBLEM_LOST };

/* X(number, enum, short name, kind, text) */
#define FSCK_PROBLEMS(X) \
    X(101, SUPER_COPY, "superblock-copy", SAFE, "a superblock copy is missing, damaged or not like the others") \
    X(102, SUPER_NONE, "superblock-none", TREE, "no superblock copy can be believed: it is made anew from headers of containers, without its label") \
    X(103, SUPER_FEATURE, "superblock-feature", LOST, "the store uses a feature or a version that this program does not know") \
    X(104, LOCK_MISSING, "lock-missing", SAFE, "the lock file is missing") \
    X(105, UNCLEAN, "unclean", NOTE, "the store was not closed cleanly: its log is replayed") \
    X(201, RING_BLOCKS, "ring-blocks", SAFE, "blocks of the ring are wrong in one copy") \
    X(202, RING_LOST, "ring-lost", SAFE, "committed transaction groups are wrong in both copies of the ring: what that costs is told by itself") \
    X(203, RING_COPY, "ring-copy", SAFE, "a copy of the ring is missing or too short") \
    X(204, RING_EMPTY, "ring-empty", SAFE, "nothing that was committed is found in the ring: what that costs is told by itself") \
    X(205, RING_NONE, "ring-none", TREE, "neither copy of the ring is there: they are made anew, and what that costs is told by itself") \
    X(206, RING_END, "ring-end", SAFE, "damage at the end of the ring: what was committed last is gone: what that costs is told by itself") \
    X(301, INDEX_BAD, "index-bad", SAFE, "the index cannot be used: it is rebuilt") \
    X(302, INDEX_WRONG, "index-wrong", SAFE, "the index says what ring and containers do not: it is rebuilt") \
    X(303, METADATA_LOST, "metadata-lost", LOST, "a part of the log that the index is rebuilt from is lost") \
    X(304, LOG_GAP, "log-gap", SAFE, "the index could not be rebuilt from the containers: the whole metadata is written anew") \
    X(305, TAKEN_BACK, "container-taken-back", SAFE, "the commit that named a container is lost, and the container is there: it is named again") \
    X(306, INDEX_ASKED, "index-rebuild", NOTE, "the index is rebuilt, as asked") \
    X(310, CONTAINER_MISSING, "container-missing", LOST, "a container file is missing") \
    X(311, CONTAINER_UNREADABLE, "container-unreadable", LOST, "a container has no header that can be read") \
    X(312, CONTAINER_STRANGE, "container-strange", LOST, "the header of a container contradicts the log") \
    X(313, CONTAINER_UNNAMED, "container-unnamed", NOTE, "no commit names this container file") \
    X(314, CONTAINER_SHORT, "container-short", SAFE, "a container file is shorter or longer than its header says") \
    X(315, METADATA_GONE, "metadata-gone", SAFE, "a container of metadata is gone, and everything in it is known: written anew") \
    X(320, WINDOW_BAD, "window-bad", LOST, "a row of extents cannot be decoded") \
    X(321, EXTENT_NOWHERE, "extent-nowhere", LOST, "bytes of a file are in a container that nothing names") \
    X(322, EXTENT_OUTSIDE, "extent-outside", LOST, "bytes of a file are outside of their container") \
    X(323, EXTENT_TAG, "extent-tag", LOST, "a container holds other bytes than a file expects there") \
    X(324, EXTENT_NO_INODE, "extent-no-inode", LOST, "extents of an inode that does not exist") \
    X(330, LIVE_BYTES, "live-bytes", LOST, "the count of bytes in use of a container is wrong") \
    X(331, STORED_BYTES, "stored-bytes", TREE, "the count of stored bytes of a file is wrong") \
    X(401, ROOT_MISSING, "root-missing", TREE, "there is no root directory") \
    X(402, ENTRY_DANGLING, "entry-dangling", TREE, "a name leads to an inode that does not exist") \
    X(403, ENTRY_TYPE, "entry-type", SAFE, "a name has another type than its inode") \
    X(404, DIRECTORY_GONE, "directory-gone", TREE, "names are in a directory that does not exist: they go to lost+found") \
    X(405, INODE_UNNAMED, "inode-unnamed", TREE, "no name leads to an inode: it goes to lost+found") \
    X(406, CYCLE, "cycle", TREE, "directories contain each other: one of them goes to lost+found") \
    X(407, DIRECTORY_NAMES, "directory-names", TREE, "a directory has more than one name: the others are removed") \
    X(408, PARENT, "parent", SAFE, "a directory says that it is in another one than it is") \
    X(409, LINK_COUNT, "link-count", SAFE, "the link count of an inode is wrong") \
    X(410, ORPHAN, "orphan", NOTE, "a deleted file was still open: it is dropped when the store is opened") \
    X(411, SYMLINK_EMPTY, "symlink-empty", LOST, "the target of a symbolic link is lost") \
    X(412, COUNTER, "counter", SAFE, "the next inode number or directory position is in use already") \
    X(413, NOT_A_DIRECTORY, "not-a-directory", TREE, "names are in something that is not a directory: they go to lost+found") \
    X(501, REMAP_COPY, "remap-copy", SAFE, "a copy of the remap table is missing, damaged or not like the others") \
    X(502, REMAP_LOST, "remap-lost", NOTE, "entries of the remap table are lost: their blocks come back from parity") \
    X(503, REMAP_NONE, "remap-none", LOST, "no copy of the remap table can be read") \
    X(504, REMAP_STALE, "remap-stale", SAFE, "a block of a container that does not exist is remapped") \
    X(505, REMAP_OUTSIDE, "remap-outside", SAFE, "a block behind the end of its container is remapped") \
    X(506, SPARE_FILE, "spare-file", NOTE, "a spare file is missing or too short: no block can be moved there") \
    X(601, BLOCK_BAD, "block-bad", SAFE, "damaged blocks, which parity makes right") \
    X(602, BLOCK_LOST, "block-lost", LOST, "blocks are lost that no file needs") \
    X(603, TABLE_BAD, "table-bad", SAFE, "a copy of a checksum table is damaged") \
    X(604, HEADER_BAD, "header-bad", SAFE, "a copy of a container header is damaged") \
    X(605, FILE_LOST, "file-lost", LOST, "bytes of a file are lost: reading them gives EIO") \
    X(606, METADATA_BLOCK, "metadata-block", SAFE, "blocks of metadata are lost, and everything in them is known: written anew") \
    X(607, CHECK_FAILED, "check-failed", LOST, "a container could not be checked") \
    X(701, PARITY_DISAGREES, "parity-disagrees", LOST, "parity contradicts data that checksums confirm: copy the files anew") \
    X(702, PARITY_BAD, "parity-bad", SAFE, "damaged blocks of parity, which the data make right") \
    X(801, OPEN_FAILED, "open-failed", LOST, "the store cannot be opened for repair") \
    X(802, READ_ONLY, "read-only", TREE, "records of the log are lost: the store opens for reading only until that is accepted") \
    X(803, REPAIR_FAILED, "repair-failed", LOST, "a repair could not be done") \
    X(901, STILL_THERE, "still-there", LOST, "a problem was repaired and is there again")

#define FSCK_PROBLEM_ENUM(number, name, text_name, kind, text) PR_##name,
enum fsck_problem_id { FSCK_PROBLEMS(FSCK_PROBLEM_ENUM) PR_COUNT };
#undef FSCK_PROBLEM_ENUM

struct fsck_problem {
    unsigned number;
    const char *name, *text;
    enum problem_kind kind;
};

/* A row of the list. Static storage. */
const struct fsck_problem *fsck_problem_of(enum fsck_problem_id id);

#endif
