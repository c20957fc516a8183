/* SPDX-License-Identifier: GPL-2.0-or-later */
/* format.h: constants of the on-disk format; docs/FORMAT.md is the contract. */
#ifndef HOLO_STORE_FORMAT_H
#define HOLO_STORE_FORMAT_H

#include <stdint.h>

enum {
    HOLO_FORMAT_VERSION = 1,
    BLOCK_SIZE = 4096,
    TABLE_ENTRIES = 511, /* checksums in a table block */
    CHUNK_SIZE = 131072, /* largest piece of file data */
    WINDOW_SIZE = 1048576,
    SUPER_COPIES = 5,
    RING_COPIES = 2,
    RING_ENTRY_BLOCKS = 256,
};

#define HOLO_FILE_SIZE_MAX (UINT64_C(1) << 44)

enum container_class { CLASS_META_LOG = 1, CLASS_DATA = 2, CLASS_META_DUMP = 3 };
enum container_state { CONTAINER_OPEN = 1, CONTAINER_SEALED = 2, CONTAINER_DEAD = 3 };
enum container_flags { CONTAINER_QUARANTINED = 1 };

#define SUM_ID_SUPER UINT64_C(0x5355504552)
#define SUM_ID_SCRUB UINT64_C(0x5343525542)
#define SUM_ID_RING_HEADER (UINT64_C(0x52494e47) << 8)
#define SUM_ID_RING_PAYLOAD (UINT64_C(0x52494e47) << 8 | 1)
#define SUM_ID_FRAME UINT64_C(0x4652414d45)
#define SUM_ID_HEADER (UINT64_C(0x48454144) << 8)
#define SUM_ID_TABLE (UINT64_C(0x5441424c) << 8)

#define INO_ROOT UINT64_C(1)

#endif
