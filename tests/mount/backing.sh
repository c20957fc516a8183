#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# backing.sh: the same store on each filesystem there is: written, filled up, deleted from, mounted again, checked, damaged and
# healed; and on btrfs a quota.
# BACKING_FS ('ext4 xfs btrfs tmpfs') chooses among them; one that is not there is left out, and said.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk_lib.sh"
disk_own_namespace "$@"
holo_only
disk_work
ran=0

cat >"$WORK/once.py" <<'TXT'
# once.py FULL OTHER: bytes for which there is no room: their file gets the error, at the first fsync and at no other; the other file never. Then by close.
import errno, os, sys
full, other = (os.open(p, os.O_WRONLY) for p in sys.argv[1:3])
os.fsync(other)
room = (errno.ENOSPC, errno.EDQUOT)
def fails(call):
    try:
        call()
    except OSError as e:
        assert e.errno in room, e
        return True
    return False
piece = os.urandom(1 << 20)
for i in range(400):
    if fails(lambda: os.pwrite(full, piece, i << 20)) or fails(lambda: os.fsync(full)):
        break
else:
    sys.exit("no error at all")
for fd in full, full, other:
    os.fsync(fd)
os.close(full)
os.close(other)
# Bytes that close is the first to send: it tells, unless a write did; the kernel tells the next fsync of the file what only close has told.
full = os.open(sys.argv[1], os.O_WRONLY)
told = any(fails(lambda: os.pwrite(full, piece, (500 + i) << 20)) for i in range(64))
assert fails(lambda: os.close(full)) != told, "close tells, if no write did"
full = os.open(sys.argv[1], os.O_WRONLY)
fails(lambda: os.fsync(full))
os.fsync(full)
os.close(full)
os.sync()
TXT

fill() { # until there is no room: names first, which need more of it than bytes
    local n
    for ((n = 0; n < 90; n++)); do : >"$MNT/fill$n" || break; done 2>/dev/null
    for ((n = 0; n < 90; n++)); do
        put "fill$n" 3000 || break
        echo "fill$n 3000" >>"$WORK/acked"
    done
    t "$kind: a store is full at last" test $n -gt 10 -a $n -lt 90
}

room() { df --output=avail -B1M "$MNT" | tail -n 1 | tr -d ' '; }

on_store() {
    local n
    holo_format
    holo_mount
    : >"$WORK/acked"
    for ((n = 0; n < 10; n++)); do
        put "f$n" $((100 + n * 500)) && echo "f$n $((100 + n * 500))" >>"$WORK/acked"
    done
    t_eq "$kind: files are written" 10 "$(wc -l <"$WORK/acked")"
    disk_drop_caches
    t "$kind: and read" same "$WORK/acked"
    fill
    disk_drop_caches
    t "$kind: what was synced is there when it is full" same "$WORK/acked"
    t "$kind: a file gets the error once" python3 "$WORK/once.py" "$MNT/fill0" "$MNT/fill1"
    t "$kind: df promises hardly anything" test "$(room)" -lt 12
    sed -i '/^fill[01] /d' "$WORK/acked"
    t "$kind: half of it can be deleted" eval "rm '$MNT'/fill[0-9]*[02468] '$MNT/fill1' && sync '$MNT'"
    sed -i -E '/^fill[0-9]*[02468] /d' "$WORK/acked"
    t "$kind: and written again" within 60 put again 8000
    echo "again 8000" >>"$WORK/acked"
    holo_remount
    t "$kind: all is there after a remount" same "$WORK/acked"
    t_eq "$kind: healthy" healthy "$(health)"
    t "$kind: everything gets its parity" "$BIN/holo" seal "$MNT"
    holo_umount
    t "$kind: holofsck finds nothing wrong" "$BIN/holofsck" "$STORE"
    damage
}

# Data, a table, a header and parity of each container are overwritten: read right, healed, scrubbed, and the check finds nothing left.
damage() {
    local c bad
    for c in "$STORE"/containers/*/*.hc; do
        for at in 0 1 20 21 $(($(stat -c %s "$c") / 4096 - 9)); do
            dd if=/dev/urandom of="$c" bs=4K seek="$at" count=1 conv=notrunc status=none
        done
    done
    holo_mount
    t "$kind: damaged everywhere: every byte is right" same "$WORK/acked"
    t "$kind: a scrub heals the rest" "$BIN/holo" scrub start --wait "$MNT"
    bad=$(jq .since_mount.repaired_blocks "$MNT/.holo/stats")
    t "$kind: $bad blocks were repaired" test "$bad" -ge 5
    t_eq "$kind: nothing is lost" 0 "$(jq .lost_blocks "$MNT/.holo/stats")"
    t "$kind: a second scrub finds nothing" "$BIN/holo" scrub start --wait "$MNT"
    t_eq "$kind: not one block" "$bad" "$(jq .since_mount.repaired_blocks "$MNT/.holo/stats")"
    t_eq "$kind: healthy again" healthy "$(health)"
    holo_umount
    t "$kind: holofsck agrees" "$BIN/holofsck" "$STORE"
}

# A limit that df does not show: what finds no room is refused when it is due, and all of it goes on once there is room.
quota() {
    local n
    btrfs quota enable "$DISK" && btrfs subvolume create "$DISK/part" >/dev/null || return
    STORE=$DISK/part/store
    holo_format --container-size 1M --ring-size 8M
    btrfs qgroup limit 150M "$DISK/part" || { t_fail "btrfs sets a quota"; return; }
    holo_mount
    : >"$WORK/acked"
    for ((n = 0; n < 200; n++)); do
        put "f$n" 2000 || break
        echo "f$n 2000" >>"$WORK/acked"
    done
    t "quota: is met" test $n -gt 20 -a $n -lt 200
    t "quota: and told" grep -Eq 'quota|No space' "$WORK/put.err"
    disk_drop_caches
    t "quota: what was synced is there" same "$WORK/acked"
    t_eq "quota: df promises nothing any more" 0 "$(room)"
    t "quota: files can be deleted" eval "rm '$MNT'/f?[02468]"
    sed -i -E '/^f.[02468] /d' "$WORK/acked"
    btrfs qgroup limit none "$DISK/part"
    t "quota: without it all goes on" within 60 put again 8000
    echo "again 8000" >>"$WORK/acked"
    t "quota: and is whole" same "$WORK/acked"
    holo_remount
    t "quota: also after a remount" same "$WORK/acked"
    t_eq "quota: healthy" healthy "$(health)"
    holo_umount
    t "quota: holofsck finds nothing wrong" "$BIN/holofsck" "$STORE"
}

each() {
    local work=$1
    if ! disk_new >"$WORK/new.out" 2>&1; then
        echo "left out: no $kind on a loop device here: $(tail -n 1 "$WORK/new.out")"
        return
    fi
    ran=$((ran + 1))
    $work
    umount "$DISK"
    rm -f "$IMAGE"
}

for kind in ${BACKING_FS:-ext4 xfs btrfs tmpfs}; do
    STORE=$DISK/store
    size=${DISK_MIB:-320}
    each on_store
    if [ "$kind" = btrfs ]; then
        size=1024
        each quota
    fi
done
[ $ran -gt 0 ] || exit 77
exit
