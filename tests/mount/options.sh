#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# options.sh: wrong input of every kind gets one clear line and a failure, and changes no store; the mount(8) and
# umount(8) helpers.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

store_hash() { # all bytes of the store but its lock
    (cd "$STORE" && find . -type f ! -name lock -print0 | sort -z | xargs -0 b2sum | b2sum)
}

mkfs_errors() {
    local dir=$WORK/new
    mkdir "$dir" && echo precious >"$dir/file"
    refused "mkfs of a directory that is not empty" 'empty' "$BIN/mkfs.holofs" "$dir"
    t_eq "which keeps its file" precious "$(cat "$dir/file")"
    refused "mkfs of a formatted store" 'store|empty' "$BIN/mkfs.holofs" "$STORE"
    refused "mkfs without a store" 'usage' "$BIN/mkfs.holofs"
    refused "mkfs of a file" 'director' "$BIN/mkfs.holofs" "$dir/file"
    rm "$dir/file"
    local arg
    for arg in "-R 0" "-R 11" "-R x" "--container-size 0" "--container-size 5000" "--container-size 1P" "--container-size zz" \
        "--stripe-width 0" "--stripe-width 300" "--size 1" "--size -5"; do
        # shellcheck disable=SC2086 # an option and its value
        refused "mkfs $arg" "${arg%% *}|size|redundancy|width|number|between|least|most|invalid" "$BIN/mkfs.holofs" $arg "$dir"
    done
    refused "mkfs with an unknown option" 'usage|unknown|unrecognized|invalid' "$BIN/mkfs.holofs" --frobnicate "$dir"
    t_eq "nothing was made" "" "$(ls -A "$dir")"
}

mount_errors() {
    local word
    mkdir -p "$WORK/plain" "$STORE/inner" "$WORK/outer"
    refused "an unformatted directory" 'not a holofs store' "$BIN/holofs" "$WORK/plain" "$MNT"
    refused "a missing store" 'no such' "$BIN/holofs" "$WORK/nowhere" "$MNT"
    refused "a missing mount point" 'no such' "$BIN/holofs" "$STORE" "$WORK/nomnt"
    refused "a file as mount point" 'director' "$BIN/holofs" "$STORE" "$WORK/mkfs.out"
    refused "a mount point inside the store" 'contain|inside|within' "$BIN/holofs" "$STORE" "$STORE/inner"
    rmdir "$STORE/inner"
    refused "a store inside its mount point" 'contain|inside|within' "$BIN/holofs" "$STORE" "$WORK"
    refused "without arguments" 'usage' "$BIN/holofs"
    for word in frobnicate redundancy=0 redundancy=11 redundancy=x compress=lzma compress=zstd:99 ecc=magic cache=lots commit=-1; do
        refused "-o $word" "${word%%=*}" "$BIN/holofs" "$STORE" "$MNT" -o "$word"
    done
    t "an unknown option lists the known ones" grep -q redundancy <<<"$("$BIN/holofs" "$STORE" "$MNT" -o frobnicate 2>&1)"
    mountpoint -q "$MNT" && t_fail "nothing is mounted"
}

# Every copy says a version that this program cannot know. The version is where docs/FORMAT.md puts it.
newer_version() {
    local off
    off=$("$BIN/holo" dump superblock "$STORE" --json 2>/dev/null | jq -r '.version_offset // empty')
    if [ -z "$off" ]; then
        echo "skipped newer version: holo dump superblock does not tell where the version is"
        return
    fi
    cp -a "$STORE" "$WORK/newer"
    local f
    for f in "$WORK"/newer/superblock.*; do
        printf '\377' | dd of="$f" bs=1 seek="$off" conv=notrunc status=none
    done
    refused "a newer format or a damaged one" 'newer|version|superblock' "$BIN/holofs" "$WORK/newer" "$MNT"
}

read_only_store() {
    mkdir "$WORK/ro"
    mount --bind "$STORE" "$WORK/ro" && mount -o remount,bind,ro "$WORK/ro"
    refused "a read-only directory" 'read-only' "$BIN/holofs" "$WORK/ro" "$MNT"
    if timeout 60 "$BIN/holofs" "$WORK/ro" "$MNT" -o ro 2>/dev/null; then
        t_eq "but not with -o ro" kept "$(cat "$MNT/kept")"
        umount -i "$MNT"
        wait_unlocked
    fi
    umount "$WORK/ro"
}

wait_unlocked() {
    flock -w 60 "$STORE/lock" true
}

every_fstab_option() {
    local opts=defaults,nofail,noauto,user,_netdev,x-systemd.automount,nosuid,nodev,noexec,atime,relatime,diratime,lazytime
    t "the options of fstab" "$BIN/holofs" "$STORE" "$MNT" -o $opts
    t "the parent returns when the mount answers" mountpoint -q "$MNT"
    t_eq "a file of the store" kept "$(cat "$MNT/kept")"
    t "nosuid and nodev are set" grep -q "$MNT .*nosuid,nodev" /proc/self/mountinfo
    refused "a second mount of the store" 'use|busy' "$BIN/holofs" "$STORE" "$WORK/plain"
    refused "mkfs -f of a mounted store" 'use|busy' "$BIN/mkfs.holofs" -f "$STORE"
    refused "holofsck of a mounted store" 'use|busy' "$BIN/holofsck" -n "$STORE"
    refused "creating .holo" 'exist|permitted|denied' mkdir "$MNT/.holo"
    t "unmounts" umount -i "$MNT"
    t "and becomes clean" wait_unlocked
}

directories_keep_atime() {
    "$BIN/holofs" "$STORE" "$MNT" -o "$1"
    mkdir -p "$MNT/dir" && touch -d 2001-02-03 "$MNT/dir"
    ls "$MNT/dir" >/dev/null
    t_eq "listing under $1" "$2" "$(stat -c %x "$MNT/dir" | cut -c1-4 | sed 's/20[2-9]./now/')"
    umount -i "$MNT"
    wait_unlocked
}

mounted_read_only() {
    t "mounts with -o ro" "$BIN/holofs" "$STORE" "$MNT" -o ro
    t_eq "reads" kept "$(cat "$MNT/kept")"
    refused "a write" 'read-only' sh -c "echo x >'$MNT/kept'"
    umount -i "$MNT"
    wait_unlocked
}

helpers() {
    put_helpers
    t "mount -t fuse.holofs" mount -t fuse.holofs "$STORE" "$MNT" -o allow_other,noatime
    t_eq "shows its type" fuse.holofs "$(findmnt -n -o FSTYPE "$MNT")"
    t_eq "and its store" "$STORE" "$(findmnt -n -o SOURCE "$MNT")"
    t_eq "reads" kept "$(cat "$MNT/kept")"
    dd if=/dev/urandom of="$MNT/late" bs=1M count=20 status=none
    t "umount" umount "$MNT"
    t "returns when the store is free" flock -n "$STORE/lock" true
    t "mount -f only pretends" mount -f -t fuse.holofs "$STORE" "$MNT"
    t_not "and mounts nothing" mountpoint -q "$MNT"
    refused "mount with an unknown option" 'frobnicate' mount -t fuse.holofs "$STORE" "$MNT" -o frobnicate
    take_helpers
}

holo_format
mkfs_errors
holo_mount
echo kept >"$MNT/kept"
holo_umount
before=$(store_hash)
mount_errors
newer_version
t_eq "no refusal changed the store" "$before" "$(store_hash)"
read_only_store
directories_keep_atime strictatime,nodiratime 2001
directories_keep_atime strictatime,diratime now
mounted_read_only
every_fstab_option
helpers
holo_mount
t_eq "the store is as it was" kept "$(cat "$MNT/kept")"
