#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# disk.sh: the disk below is filled up by others, turns read-only, is shut down, and comes back: told, survived, nothing lost.
# The store lies on a filesystem of its own, on a loop device. DISK_MIB (320) is its size, DISK_FS (ext4) its kind.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk_lib.sh"
disk_own_namespace "$@"
holo_only
disk_work

if ! disk_new; then
    echo "skipped: no $kind on a loop device here"
    exit 77
fi
holo_format
holo_mount

# ---- filled up by others, to the last byte, while files are written ----
: >"$WORK/acked"
n=0
while [ $n -lt 12 ]; do
    put "f$n" $((400 + n * 300)) && echo "f$n $((400 + n * 300))" >>"$WORK/acked"
    n=$((n + 1))
done
t_eq "twelve files are written and synced" 12 "$(wc -l <"$WORK/acked")"
dd if=/dev/zero of="$DISK/hog" bs=1M status=none 2>/dev/null &
hog=$!
while [ $n -lt 80 ]; do
    if put "f$n" 900; then echo "f$n 900" >>"$WORK/acked"; elif ! kill -0 $hog 2>/dev/null; then break; fi
    n=$((n + 1))
done
wait $hog
dd if=/dev/zero of="$DISK/hog2" bs=4K status=none 2>/dev/null
t_not "a write to the full disk is refused" put full 60000
grep -q 'No space' "$WORK/put.err" && t_ok "with ENOSPC" || t_fail "with ENOSPC" "$(cat "$WORK/put.err")"
rm -f "$MNT/full"
holo_drop_caches
t "everything acknowledged can be read on a full disk" same "$WORK/acked"
promised() { df --output=avail -B1M "$MNT" | tail -n 1 | tr -d ' '; } # what the reserve has left over may be a piece of a container
t "statfs promises next to nothing on a full disk" test "$(promised)" -le 2

# Not sync -f: it tells of the write-back that was refused above.
deletes() { head -n 30 "$WORK/acked" | cut -d' ' -f1 | (cd "$MNT" && xargs rm) && sync "$MNT"; }
t "files can be deleted on a full disk" deletes
sed -i 1,30d "$WORK/acked"
t "the rest is whole" same "$WORK/acked"
room_below() { [ "$(df --output=avail -B1M "$DISK" | tail -n 1)" -ge 4 ]; }
t "and give their room back to the disk" within 120 room_below
rm -f "$DISK/hog" "$DISK/hog2"
t "when others make room, files can be written again" within 60 put again 8000
echo "again 8000" >>"$WORK/acked"

# ---- filled up by its users: the write-back that room ends in is an error of its file, never a part that is missing ----
free_kib=$(df --output=avail -k "$DISK" | tail -n 1)
fallocate -l $((free_kib - 80000))K "$DISK/hog"
cp "$WORK/acked" "$WORK/before"
for ((n = 0; n < 100; n++)); do : >"$MNT/own$n"; done # names need more room than bytes
n=0
while [ $n -lt 100 ] && put "own$n" 1000; do
    echo "own$n 1000" >>"$WORK/acked"
    n=$((n + 1))
done
t "files go in until there is no room" test $n -gt 10 -a $n -lt 100
holo_drop_caches
t "each that was synced is whole" same "$WORK/acked"
rm -f "$MNT"/own* "$DISK/hog"
mv "$WORK/before" "$WORK/acked"
t "and their room returns" within 60 put again2 8000
echo "again2 8000" >>"$WORK/acked"
t_not "the store has not failed" grep -q failed <(health)
holo_remount
t "and all is there after a remount" same "$WORK/acked"

# ---- ext4 turns read-only after an error of its own, or is shut down; then it is checked and mounted again ----
disk_back() { # unmount both, repair, mount both
    umount -i "$MNT" || umount -i -l "$MNT"
    WAIT_S=60 holo_wait
    local rc=$?
    [ $rc -ne 124 ] || t_fail "the daemon ends" "$(tail -n 5 "$LOG")"
    umount "$DISK" && { [ "$kind" != ext4 ] || e2fsck -fy "$IMAGE" >/dev/null 2>&1 || true; } && disk_mount && holo_mount
}

trouble_below() { # trouble_below NAME command…: the command breaks the disk
    local name=$1
    shift
    put "before-$name" 3000 && echo "before-$name 3000" >>"$WORK/acked"
    "$@" || { t_fail "$name: breaks the disk"; return; }
    t_not "$name: an fsync says so" put "during-$name" 500
    chmod 600 "$MNT/again" 2>/dev/null # that needs no room: the store tries to commit it
    t_not "$name: and so does a sync" sync "$MNT"
    if [ "$name" = read-only ]; then
        holo_drop_caches
        t "$name: every file can still be read" same "$WORK/acked"
    fi
    t "$name: events tell" within 30 told write_trouble
    t_eq "$name: health tells" degraded "$(health)"
    t_eq "$name: and holo status, by its exit code" 1 "$("$BIN/holo" status "$MNT" >"$WORK/status"; echo $?)"
    t "$name: why, and what to do" grep -A 1 'cannot be written now' "$WORK/status"
    t "$name: and holo events" grep -q 'write_trouble: writing fails for now' <("$BIN/holo" events "$MNT")
    disk_back
    t "$name: everything acknowledged is there when the disk is back" same "$WORK/acked"
    t "$name: and it is written again" put "after-$name" 700
    echo "after-$name 700" >>"$WORK/acked"
    t_eq "$name: healthy" healthy "$(health)"
}

loop=$(findmnt -n -o SOURCE "$DISK" | sed 's,/dev/,,')
error_below() { echo holotest >"/sys/fs/ext4/$loop/trigger_fs_error"; }
shutdown_below() {
    python3 - "$DISK" <<'TXT'
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))  # FS_IOC_SHUTDOWN, without flushing the journal
TXT
}
if [ "$kind" = ext4 ] && [ -e "/sys/fs/ext4/$loop/trigger_fs_error" ]; then
    trouble_below read-only error_below
fi
case $kind in ext4 | xfs) trouble_below shutdown shutdown_below ;; esac

holo_umount
t "holofsck finds nothing wrong" "$BIN/holofsck" "$STORE"
exit
