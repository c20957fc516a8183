/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schema.h: the tables of the index and every statement that is run on them. */
#ifndef HOLO_META_SCHEMA_H
#define HOLO_META_SCHEMA_H

/*
 * The layout of the tables. A store whose index has another one is told to rebuild it (-HOLO_ESTALE): an
 * index is never converted.
 */
enum { SCHEMA_VERSION = 3, SCHEMA_APPLICATION_ID = 0x686f6c6f /* "holo" */ };

enum stmt {
    STMT_BEGIN,
    STMT_BEGIN_READ,
    STMT_COMMIT,
    STMT_ROLLBACK,
    STMT_STATE_PUT,
    STMT_STATE_GET,
    STMT_INODE_PUT,
    STMT_INODE_GET,
    STMT_INODE_DEL,
    STMT_INODE_EACH,
    STMT_INODE_COUNT,
    STMT_SYMLINK_PUT,
    STMT_SYMLINK_GET,
    STMT_SYMLINK_DEL,
    STMT_SYMLINK_EACH,
    STMT_ORPHAN_PUT,
    STMT_ORPHAN_DEL,
    STMT_ORPHAN_EACH,
    STMT_DENT_PUT,
    STMT_DENT_GET,
    STMT_DENT_DEL,
    STMT_DENT_DIR,
    STMT_DENT_EACH,
    STMT_DENT_OF_INO_IN,
    STMT_DENT_OF_INO,
    STMT_XATTR_PUT,
    STMT_XATTR_DEL,
    STMT_XATTR_DEL_ALL,
    STMT_XATTR_LIST,
    STMT_XATTR_EACH,
    STMT_WINDOW_PUT,
    STMT_WINDOW_GET,
    STMT_WINDOW_DEL,
    STMT_WINDOW_RANGE,
    STMT_WINDOW_RANGE_DEL,
    STMT_WINDOW_NEXT,
    STMT_WINDOW_EACH,
    STMT_CONTAINER_PUT,
    STMT_CONTAINER_GET,
    STMT_CONTAINER_LIVE,
    STMT_CONTAINER_DEL,
    STMT_CONTAINER_EACH,
    STMT_TXG_PUT,
    STMT_TXG_GET,
    STMT_TXG_TRIM,
    STMT_COUNT
};

/* SQL that creates all tables. Static. */
const char *schema_tables(void);

/* SQL of one statement. Static. */
const char *schema_stmt(enum stmt id);

#endif
