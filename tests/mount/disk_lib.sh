# SPDX-License-Identifier: GPL-2.0-or-later
# disk_lib.sh: a store on a filesystem of its own, on a loop device ($IMAGE) or a tmpfs, mounted at $DISK. Sourced by disk.sh and backing.sh
# behind lib.sh. DISK_MIB (320) is its size, $kind (DISK_FS, ext4) what it is.
#
# disk_own_namespace comes first: a copy of the mount in another namespace would keep a broken filesystem alive.
# shellcheck shell=bash

disk_own_namespace() {
    [ -n "${DISK_NS:-}" ] || exec env DISK_NS=1 unshare -m --propagation slave bash "$0" "$@"
}

disk_work() {
    holo_work
    size=${DISK_MIB:-320} kind=${DISK_FS:-ext4}
    DISK=$WORK/disk IMAGE=$WORK/disk.img STORE=$WORK/disk/store
    mkdir "$DISK"
    if [ -w /dev/shm ] && [ "$(df --output=avail -BM /dev/shm | tail -n 1 | tr -dc 0-9)" -gt 4000 ]; then
        IMAGE=$(mktemp /dev/shm/holotest.XXXXXX) # what is synced there costs nothing
    fi
    cat >"$WORK/bytes" <<'TXT'
#!/bin/sh
openssl enc -aes-128-ctr -nosalt -pass "pass:$1" -pbkdf2 -iter 1 -in /dev/zero 2>/dev/null | head -c "$(($2 * 1024))"
TXT
    chmod +x "$WORK/bytes"
    trap disk_end EXIT
}

disk_mount() {
    case $kind in
    tmpfs) mount -t tmpfs -o "size=${size}M" holotest "$DISK" ;;
    ext4) mount -o loop,errors=remount-ro "$IMAGE" "$DISK" ;;
    *) mount -o loop "$IMAGE" "$DISK" ;;
    esac
}

disk_new() {
    if [ "$kind" != tmpfs ]; then
        truncate -s "${size}M" "$IMAGE"
        "mkfs.$kind" -q "$([ "$kind" = ext4 ] && echo -F || echo -f)" "$IMAGE" || return 1
    fi
    disk_mount
}

disk_end() {
    mountpoint -q "$MNT" && holo_umount
    umount "$DISK" 2>/dev/null || umount -l "$DISK" 2>/dev/null
    rm -f "$IMAGE"
    holo_finish
}

put() { # put NAME KIB: a file whose bytes its name decides, synced
    "$WORK/bytes" "$1" "$2" | dd of="$MNT/$1" bs=64K iflag=fullblock conv=fsync status=none 2>"$WORK/put.err"
}

# same LIST: the files of the list are there, byte for byte.
same() {
    local name kib
    while read -r name kib; do
        cmp <("$WORK/bytes" "$name" "$kib") "$MNT/$name" || { echo "$name differs: $(stat -c '%s bytes' "$MNT/$name")"; tail -n 5 "$MNT/.holo/events"; return 1; }
    done <"$1"
}

# Not a sync of everything: others use this machine as well.
disk_drop_caches() {
    sync -f "$MNT" 2>/dev/null || true # it may tell of what was refused
    echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
}

health() { head -n 1 "$MNT/.holo/health"; }
told() { grep -q "$1" "$MNT/.holo/events"; }

# within SECONDS command…: it succeeds before the time is over
within() {
    local i limit=$(($1 * 5))
    shift
    for ((i = 0; i < limit; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    "$@"
}
