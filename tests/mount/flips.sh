#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# flips.sh: one flipped byte in a thousand, all over the files of a store, while it is mounted and while it is not: every
# file reads as it was written, and the check leaves nothing to repair. SEED chooses the bytes.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
mib=${FLIPS_MIB:-60}
echo "seed $seed"

damage() {
    python3 "$MOUNT_TESTS/damage.py" "$@"
}

flip() { # flip WHAT: another seed every time
    seed=$((seed + 1))
    damage "$1" --seed "$seed" "$STORE" >"$WORK/places" || t_fail "bytes are flipped" "$(tail -n 5 "$WORK/places")"
}

everything_reads() { # everything_reads WHEN
    holo_drop_caches
    t "$1: every file reads as it was written" damage compare "$WORK/files" "$MNT"
    t_eq "$1: nothing is lost" 0 "$(holo_stat lost_blocks)"
}

clean_afterwards() { # clean_afterwards WHEN
    "$BIN/holofsck" -y "$STORE" >"$WORK/fsck.out" 2>&1
    t "$1: holofsck repairs the rest" test $? -le 1
    t "$1: a second check finds nothing" "$BIN/holofsck" -n "$STORE"
}

add_files() { # add_files NAME: some that stay in the journals
    damage fill --seed "$seed" --mib 2 "$WORK/files/$1"
    cp -r "$WORK/files/$1" "$MNT/$1"
    sync
}

# Both journals have everything when this returns. (sync alone tells a FUSE filesystem nothing but what was written.)
mirrored() {
    local i
    echo sync >"$MNT/.holo/control"
    for ((i = 0; i < 600; i++)); do
        [ "$(jq .ring.unmirrored_blocks "$MNT/.holo/stats")" != 0 ] || return 0
        sleep 0.1
    done
    t_fail "the second journal follows"
}

holo_format --container-size 16M --ring-size 32M
holo_mount
damage fill --seed "$seed" --mib "$mib" "$WORK/files/sealed"
cp -r "$TOP/core" "$TOP/docs" "$WORK/files/sealed/"
cp -r "$WORK/files/." "$MNT/"
sync
t "everything is sealed on request" sh -c "echo seal >'$MNT/.holo/control'"
holo_umount
cp -r "$STORE/containers" "$WORK/copy"

flip flips
t_not "containers: the check sees the damage" "$BIN/holofsck" -n "$STORE"
holo_mount
everything_reads "containers"
t "containers: corrected bytes are counted" test "$(holo_stat corrected_bytes)" -gt 10000
holo_umount
clean_afterwards "containers"
t "containers: they are what they were, byte for byte" damage same "$WORK/copy" "$STORE/containers"

flip flips
"$BIN/holofsck" -y "$STORE" >"$WORK/fsck.out" 2>&1
t_eq "holofsck alone: it repairs, and says so" 1 $?
t "holofsck alone: nothing is left" "$BIN/holofsck" -n "$STORE"
t "holofsck alone: they are what they were, byte for byte" damage same "$WORK/copy" "$STORE/containers"

holo_mount
flip flips
everything_reads "mounted"
add_files late
holo_umount
clean_afterwards "mounted"

flip flips-journals
holo_mount
everything_reads "journals after a clean stop"
t "journals after a clean stop: repaired blocks are counted" test "$(jq .ring.repaired_blocks "$MNT/.holo/stats")" -gt 100
holo_umount
clean_afterwards "journals after a clean stop"

holo_mount
add_files later
mirrored
holo_kill
flip flips-journals
holo_mount
everything_reads "journals after a crash"
holo_umount
clean_afterwards "journals after a crash"

holo_mount
add_files last
mirrored
holo_kill
flip flips
flip flips-journals
rm "$STORE"/index.db*
holo_mount
everything_reads "all of it, without the index"
holo_umount
clean_afterwards "all of it, without the index"
