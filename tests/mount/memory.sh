#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# memory.sh: the daemon's memory stays bounded: very many files, open files, a sparse file written at random.
#   MANY_FILES (20000), MANY_OPEN (2000), SPARSE_GIB (50), SPARSE_BLOCKS (10000), CACHE_MIB (4), CONTAINER (4M), BASE_MIB (32)
# The bound of the largest resident size since the mount: 2 · cache + the most that buffers of heads and parity had + BASE_MIB (program, sqlite, requests; sanitizers more).
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
holo_only

files=${MANY_FILES:-20000} open=${MANY_OPEN:-2000} gib=${SPARSE_GIB:-50} blocks=${SPARSE_BLOCKS:-10000}
cache=${CACHE_MIB:-4} base=${BASE_MIB:-32}
opts=allow_other,cache=${cache}M

at_most() { # at_most NAME bound value
    if [ "$3" -le "$2" ]; then t_ok "$1"; else t_fail "$1" "$3, at most $2 wanted"; fi
}

within() { # within NAME: after it nothing is beyond its bound, nor was since the mount
    local inodes=$((cache * 512)) max buffers
    max=$(holo_stat max_rss_bytes) buffers=$(holo_stat max_head_and_parity_bytes)
    echo "$1: resident $(($(holo_stat rss_bytes) >> 20)) MiB, at most $((max >> 20)), buffers $((buffers >> 20)), inodes $(holo_stat inodes)," \
        "names $(holo_stat names), windows $(($(holo_stat window_and_xattr_bytes) >> 10)) KiB, queue $(($(holo_stat index_queue_bytes) >> 10)) KiB"
    at_most "resident bytes: $1" $(((2 * cache + base) * 1048576 + buffers)) "$max"
    at_most "inodes: $1" $((2 * inodes + open + 100)) "$(holo_stat inodes)"
    at_most "names: $1" $((4 * inodes + 100)) "$(holo_stat names)"
    at_most "windows: $1" $((cache * 524288 + 65536)) "$(holo_stat window_and_xattr_bytes)"
}

holo_format --container-size "${CONTAINER:-4M}"
holo_mount "$opts"
t_program "$TESTBIN/many" make "$MNT" "$files"
within "$files files made"
t_program "$TESTBIN/many" walk "$MNT" "$files"
within "a walk"
holo_remount "$opts"
t_program "$TESTBIN/many" walk "$MNT" "$files"
within "a walk after a mount"
t_program "$TESTBIN/many" open "$MNT" "$open"
within "$open open files"
t_program "$TESTBIN/many" sparse "$MNT/sparse" "$gib" "$blocks"
within "$blocks blocks of a sparse file"
t "a sparse file goes" rm "$MNT/sparse"
within "a sparse file removed"
t_eq "the list of names in one directory is whole" "$files" "$(find "$MNT/all" -type f | wc -l)"
holo_remount "$opts"
within "a mount, ready after $(holo_stat open_ms) ms"
holo_umount
rm "$STORE"/index.db*
holo_mount "$opts"
within "the index made anew, ready after $(holo_stat open_ms) ms"
t "which is told" grep -q index_rebuilt "$MNT/.holo/events"
t_program "$TESTBIN/many" walk "$MNT" "$files"
within "a walk with it"
holo_umount
