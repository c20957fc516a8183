#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# damage.sh: sealed containers are overwritten with garbage and must give every byte back, heal, and stay healed;
# one block too many gives EIO for the bytes concerned and nothing else. SEED chooses the places.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
mib=${DAMAGE_MIB:-320}
echo "seed $seed"

damage() {
    python3 "$MOUNT_TESTS/damage.py" "$@"
}

remounted() {
    holo_drop_caches
    holo_mount
}

# Overwrite containers in one way, read everything, look at the counters, and read again after a remount.
heals() { # heals HOW
    local how=$1
    damage "$how" --seed "$seed" --holo "$BIN/holo" "$STORE" >"$WORK/$how.places" || { t_fail "$how: garbage is written" "$(tail -n 5 "$WORK/$how.places")"; return; }
    t_not "$how: the containers differ" damage same "$WORK/copy" "$STORE/containers"
    remounted
    t "$how: every file reads as it was written" damage compare "$WORK/files" "$MNT"
    t "$how: repaired blocks are counted" test "$(holo_stat repaired_blocks)" -gt 0
    t_eq "$how: nothing is lost" 0 "$(holo_stat lost_blocks)"
    t "$how: events name a path" grep -q 'file-' "$MNT/.holo/events"
    holo_umount
    remounted
    local before after
    before=$(holo_stat repaired_blocks)
    t "$how: every file reads again" damage compare "$WORK/files" "$MNT"
    after=$(holo_stat repaired_blocks)
    t_eq "$how: nothing is left to repair in what was read" "$before" "$after"
    holo_umount
    # What no read touches (parity, spare copies of tables) is healed by the check.
    t "$how: holofsck repairs the rest" fsck_repairs
    t "$how: the containers are what they were, byte for byte" damage same "$WORK/copy" "$STORE/containers"
}

fsck_repairs() {
    local rc
    "$BIN/holofsck" -y "$STORE"
    rc=$?
    [ $rc -le 1 ] || return $rc
    "$BIN/holofsck" -n "$STORE"
}

too_much() {
    damage stripe --seed "$seed" --holo "$BIN/holo" --files "$WORK/files" "$STORE" >"$WORK/lost.places" || { t_fail "too much: garbage is written" "$(tail -n 5 "$WORK/lost.places")"; return; }
    remounted
    t "too much: EIO for the bytes concerned, right bytes elsewhere" damage compare --lost "$WORK/lost.places" "$WORK/files" "$MNT"
    t "too much: lost blocks are counted" test "$(holo_stat lost_blocks)" -gt 0
    t "too much: .holo/stats still answers" jq -e . "$MNT/.holo/stats"
    holo_umount
    "$BIN/holofsck" -n "$STORE" >"$WORK/fsck.out" 2>&1
    t_eq "too much: holofsck says 4" 4 $(($? & 4))
}

holo_format
HOLO_MOUNT_OPTS=${HOLO_MOUNT_OPTS-allow_other},compress=off
holo_mount
damage fill --seed "$seed" --mib "$mib" "$WORK/files"
cp -r "$WORK/files/." "$MNT/"
sync
t "everything is sealed on request" sh -c "echo seal >'$MNT/.holo/control'"
holo_umount
cp -r "$STORE/containers" "$WORK/copy"
t "there are containers to damage" damage geometry --holo "$BIN/holo" "$STORE"

heals burst
heals scattered
too_much
