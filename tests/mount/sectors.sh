#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# sectors.sh: a store on a filesystem of its own, on a disk with real bad sectors: a loop device over a file that answers EIO where it is told
# (bad_disk.c). What an administrator sees of each story: holo status and its exit code, stats, events. SECTORS_FS ('ext4 xfs') chooses.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk_lib.sh"
disk_own_namespace "$@"
holo_only
disk_work
size=320 LOOP='' SERVED=$WORK/served MAP=$WORK/map
[ -w /dev/shm ] && MAP=$(mktemp /dev/shm/holotest.XXXXXX)
mkdir "$SERVED"

sectors_end() {
    mountpoint -q "$MNT" && holo_umount
    sectors_down
    rm -f "$MAP" "$IMAGE"
    holo_finish
}
trap sectors_end EXIT

sectors_down() {
    umount "$DISK" 2>/dev/null
    [ -z "$LOOP" ] || losetup -d "$LOOP"
    LOOP=''
    umount "$SERVED" 2>/dev/null
    wait "${SERVER:-}" 2>/dev/null
}

sectors_up() {
    rm -f "$IMAGE" && truncate -s ${size}M "$IMAGE" && : >"$MAP" && truncate -s $((size * 256)) "$MAP" || return 1
    "$TESTBIN/bad_disk" "$IMAGE" "$MAP" "$SERVED" 9>&- &
    SERVER=$!
    within 10 test -f "$SERVED/disk" || return 1
    LOOP=$(losetup -f --show "$SERVED/disk") || { LOOP=''; return 1; }
    "mkfs.$kind" -q $([ "$kind" = ext4 ] && echo -F -b 4096 || echo -f) "$LOOP" && mount "$LOOP" "$DISK"
}

# mark VALUE FILE BLOCK…: 1: those blocks of the file give EIO; 0: they are well. By where they lie on the disk.
mark() {
    local value=$1 file=$2
    shift 2
    filefrag -b4096 -e "$file" | python3 -c '
import re, sys
where = {}
for line in sys.stdin:
    m = re.match(r"\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\.", line)
    if m:
        a, b, p = map(int, m.groups())
        where.update({x: p + x - a for x in range(a, b + 1)})
with open(sys.argv[1], "r+b") as f:
    for x in sys.argv[3:]:
        f.seek(where[int(x)])
        f.write(bytes([int(sys.argv[2])]))
' "$MAP" "$value" "$@"
}

drop() { sync -f "$DISK"; echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true; }
code() { "$BIN/holo" status "$MNT" >"$WORK/status" 2>&1; echo $?; }
of() { jq -r "$1" "$MNT/.holo/stats"; }
says() { grep -q "$1" "$WORK/status"; }
event() { "$BIN/holo" events "$MNT" | grep -q "$1"; }

story() {
    local a b n
    holo_format --container-size 1M -R 2 --ring-size 8M --spare 1M
    holo_mount allow_other,compress=off
    : >"$WORK/acked"
    for ((n = 0; n < 8; n++)); do put "f$n" 2000 && echo "f$n 2000" >>"$WORK/acked"; done
    "$BIN/holo" seal "$MNT"
    t_eq "$kind: before: status is 0" 0 "$(code)"
    t "$kind: and says healthy" says healthy
    holo_umount
    a=$STORE/containers/000/00000001.hc b=$STORE/containers/000/00000002.hc
    drop

    # ---- sectors that go bad for ever: data, parity, a table, a header ----
    t "$kind: sectors go bad" mark 1 "$a" 0 1 30 31 32
    t "$kind: in another container too" mark 1 "$b" 40 200
    drop
    holo_mount allow_other,compress=off
    t "$kind: every byte is right" same "$WORK/acked"
    t "$kind: a scrub repairs, and that is no failure" "$BIN/holo" scrub start --wait "$MNT"
    t_eq "$kind: seven blocks are remapped" 7 "$(of .since_mount.remapped_blocks)"
    t_eq "$kind: seven spare blocks are used" 7 "$(of .remap.spare_used)"
    t_eq "$kind: seven were repaired" 7 "$(of .since_mount.repaired_blocks)"
    t_eq "$kind: none is lost" 0 "$(of .lost_blocks)"
    t_eq "$kind: two containers are watched" 2 "$(of .scrub.watched)"
    t_eq "$kind: status is 0 again" 0 "$(code)"
    t "$kind: it counts what was remapped" says '7 remapped'
    t "$kind: events name the remaps" event remapped
    t "$kind: and whose the blocks were" event '/f[0-7]'
    holo_umount
    t "$kind: holofsck finds nothing wrong" "$BIN/holofsck" -n "$STORE"

    # ---- away for a while, for reads; the filesystem below stays mounted ----
    drop
    holo_mount allow_other,compress=off
    filefrag "$STORE"/superblock.? "$STORE"/journal.? "$STORE"/containers/*/*.hc >/dev/null # where things lie stays known, not what is there
    cp "$MAP" "$WORK/map.well"
    away
    t_not "$kind: away: what is not in memory is EIO" cat "$MNT/f5"
    t_eq "$kind: away: status is 1" 1 "$(code)"
    t "$kind: away: it says why, and what to do" says 'disk does not answer'
    t "$kind: away: events tell" event disk_gone
    cat "$WORK/map.well" >"$MAP"
    well() { [ "$(code)" = 0 ]; }
    t "$kind: back: status is 0, without a remount" within 30 well
    t "$kind: back: events tell" event disk_back
    disk_drop_caches
    t "$kind: back: every byte is right" same "$WORK/acked"
    t "$kind: back: a scrub finds nothing" "$BIN/holo" scrub start --wait "$MNT"
    t_eq "$kind: back: nothing was remapped for that" 0 "$(of .since_mount.remapped_blocks)"
    t_eq "$kind: back: nothing was lost" 0 "$(of .lost_blocks)"
    t_not "$kind: back: no event says lost" event lost:

    # ---- more bad sectors than parity carries ----
    holo_umount
    t "$kind: more go bad than parity carries" mark 1 "$b" $(seq 41 199)
    drop
    holo_mount allow_other,compress=off
    "$BIN/holo" scrub start --wait "$MNT" >/dev/null 2>&1
    t_eq "$kind: status is 2" 2 "$(code)"
    t "$kind: it says that blocks could not be rebuilt" says 'could not be rebuilt'
    t "$kind: and names the files" grep -Eq '/f[0-7]' "$WORK/status"
    t "$kind: the numbers agree" test "$(of .lost_blocks)" = "$(of .scrub.lost)"
    holo_umount
    "$BIN/holofsck" -n "$STORE" >"$WORK/fsck.out" 2>&1
    t_eq "$kind: holofsck says 4" 4 $(($? & 4))
}

# Reads alone fail, and names and places stay in memory, so that the filesystem below goes on.
away() { tr '\000' '\002' <"$WORK/map.well" >"$MAP.away" && cat "$MAP.away" >"$MAP" && rm "$MAP.away" && echo 1 >/proc/sys/vm/drop_caches; }

ran=0
for kind in ${SECTORS_FS:-ext4 xfs}; do
    if ! sectors_up >"$WORK/up.out" 2>&1; then
        echo "left out: no $kind on a loop device over FUSE here: $(tail -n 1 "$WORK/up.out")"
        sectors_down
        continue
    fi
    ran=$((ran + 1))
    story
    sectors_down
done
[ $ran -gt 0 ] || { echo "skipped: no loop device over FUSE here"; exit 77; }
exit
