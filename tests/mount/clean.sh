#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clean.sh: a store with a size, overwritten at random at 70 %, cleaned, checked: bytes, what was moved, what space is left.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

mib=${CLEAN_MIB:-128} times=${CLEAN_TIMES:-3}
holo_new --size "${mib}M"
total=$(df -B1 --output=size "$MNT" | tail -n 1)
file_bytes=$((total * 7 / 10 / 4096 * 4096))

overwrite() { # overwrite NAME RW
    t "$1 is written and verified" fio --name=f --filename="$MNT/file" --rw="$2" --bs=4k --size="$file_bytes" --io_size=$((file_bytes * times)) \
        --direct=0 --verify=xxhash --verify_fatal=1 --do_verify=1 --randseed=7 --norandommap --verify_backlog=4096 --verify_state_save=0 --fsync=2048 --output=/dev/null
}

measure() { # measure NAME RW TENTHS: that many bytes may be moved for ten written
    local written moved
    written=$(jq .data.bytes_written "$MNT/.holo/stats") moved=$(jq .cleaner.moved_bytes "$MNT/.holo/stats")
    overwrite "$1" "$2"
    written=$(($(jq .data.bytes_written "$MNT/.holo/stats") - written)) moved=$(($(jq .cleaner.moved_bytes "$MNT/.holo/stats") - moved))
    t "$1 moves at most $3 bytes for ten written ($moved of $written)" test "$moved" -le $((written * $3 / 10))
}

t "70 % are written" fio --name=fill --filename="$MNT/file" --rw=write --bs=128k --size="$file_bytes" --end_fsync=1 --output=/dev/null
measure "random overwriting" randwrite 12
[ "$times" -lt 10 ] || measure "overwriting in order" write 3
t "no write waited long ($(holo_stat longest_stall_ms) ms)" test "$(holo_stat longest_stall_ms)" -lt 30000
sync "$MNT/file"
sum=$(b2sum <"$MNT/file")
for i in 1 2 3; do # slow enough to be in the midst of it
    echo "clean-rate ${i}0000000" >"$MNT/.holo/control"
    "$BIN/holo" clean "$MNT"
    sleep "0.$((RANDOM % 10))"
    holo_kill
    holo_mount
    t_eq "killed while it cleans, it has changed no byte" "$sum" "$(b2sum <"$MNT/file")"
done
t "holo clean --wait" "$BIN/holo" clean --wait "$MNT"
files=$(jq .containers.file_bytes "$MNT/.holo/stats") live=$(jq .containers.live_bytes "$MNT/.holo/stats")
t "space is within 15 % of live data and parity ($files for $live)" test "$files" -le $((live * (64 + 6) * 115 / 6400)) # R = 3, 64 in a stripe
t_eq "every byte is as it was" "$sum" "$(b2sum <"$MNT/file")"
t_not "a rate that is no number is refused" sh -c "echo clean-rate x >'$MNT/.holo/control'"
holo_umount
t "holofsck finds nothing" "$BIN/holofsck" "$STORE"
holo_mount
t_eq "nor did a remount change a byte" "$sum" "$(b2sum <"$MNT/file")"
