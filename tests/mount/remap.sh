#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# remap.sh: holo remap on a mounted store, as an administrator uses it: a store with two blocks in spares, and a second disk that comes and goes.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

remap() {
    "$BIN/holo" remap "$@"
}

of() { # of KEY: a number of the remap table
    jq -r ".$1" "$MNT/.holo/remap"
}

health() {
    head -n 1 "$MNT/.holo/health"
}

sums() {
    (cd "$MNT" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 b2sum)
}

give_up() { # what is away
    local n
    for n in $(jq '.spares[] | select(.state == "away") | .spare' "$MNT/.holo/remap"); do
        remap spare remove "$n" "$MNT" || return 1
    done
}

state_of() { # state_of NUMBER
    jq -r ".spares[] | select(.spare == $1) | .state" "$MNT/.holo/remap"
}

holo_work
mkdir "$STORE"
tar -xf "$TOP/tests/golden/v1-remapped.tar.xz" -C "$STORE"
other=$WORK/other disk=$WORK/disk
mkdir "$other"
holo_mount
all=$(sums)
t_eq "healthy" healthy "$(health)"
t_eq "two remaps are listed" 2 "$(remap list "$MNT" | grep -c '^container [0-9a-f]* block [0-9]* *data .* spare 0000 block ')"
t "with the paths of files" grep -q ' /[a-z]' <(remap list "$MNT")
t_eq "and as JSON" 2 "$(remap list --json "$MNT" | jq length)"
t "stats for people" grep -q '^remaps *2$' <(remap stats "$MNT")
t "the store's file is there" grep -qE '^ +0000 +[0-9]+ blocks, 2 used, 0 bad, ok$' <(remap stats "$MNT")
t_eq "stats as JSON" 2 "$(remap stats --json "$MNT" | jq .remaps)"
t "a test finds everything right" remap test "$MNT"

refused "used, and nowhere to go" 'no room' "$BIN/holo" remap spare remove 0 "$MNT"
refused "none of that number" 'no such spare' "$BIN/holo" remap spare remove 9 "$MNT"
refused "a place in the tree itself" 'mounted tree' "$BIN/holo" remap spare add "$MNT/dir" "$MNT"
refused "a place in the store" 'in the store' "$BIN/holo" remap spare add "$STORE" "$MNT"
refused "a place that is none" 'No such file' "$BIN/holo" remap spare add "$WORK/none" "$MNT"
refused "more than there is" 'No space|too large' "$BIN/holo" remap spare add --size 255G "$MNT"
t_eq "nothing changed" 1 "$(of 'spares | length')"

mkdir "$disk"
mount -t tmpfs -o size=1m holotest "$disk"
refused "a full disk" 'No space' "$BIN/holo" remap spare add --size 4M "$disk" "$MNT"
t_eq "nothing is left there" 0 "$(find "$disk" -type f | wc -l)"
umount "$disk"

t "one elsewhere" remap spare add --size 1M "$other" "$MNT"
t "the store's is emptied and goes" remap spare remove 0 "$MNT"
t_eq "both blocks are elsewhere" 2 "$(of 'spares[0].used')"
t_eq "the file is gone" 0 "$(find "$STORE/spare" -type f | wc -l)"
t "a test finds everything right there" remap test "$MNT"
t_eq "the same files" "$all" "$(sums)"
holo_umount
t "holofsck finds nothing" "$BIN/holofsck" -n "$STORE"

mv "$other" "$other.away"
"$BIN/holofsck" -nv "$STORE" >"$WORK/fsck.out" 2>&1
t_eq "without the disk holofsck finds blocks that parity can make right" 4 $?
t "and tells what is away" grep -q 'spare 1: No such file' "$WORK/fsck.out"
holo_mount
t_eq "without the disk: degraded" degraded "$(health)"
t_eq "and away" away "$(state_of 1)"
t "the event has the place" grep -q "\"spare_away\".*$other" "$MNT/.holo/events"
t_eq "the same files, by parity" "$all" "$(sums)"
t_eq "nothing was lost" 0 "$(jq .lost_blocks "$MNT/.holo/stats")"
t_eq "a test is exit code 1" 1 "$(remap test "$MNT" >/dev/null 2>&1; echo $?)"
mv "$other.away" "$other"
echo "remap check" >"$MNT/.holo/control"
t_eq "back without a remount" ok "$(state_of 1)"
t_eq "healthy again" healthy "$(health)"
holo_remount
t_eq "the same files" "$all" "$(sums)"
t "right on the spare" remap test "$MNT"

# Killed at any moment while spare files come and go.
for i in 1 2 3 4; do
    (for _ in $(seq 40); do
        remap spare add --size 64K "$MNT" || break
        remap spare add --size 64K "$other" "$MNT" || break
        for n in $(jq '.spares[].spare' "$MNT/.holo/remap" | head -n 2); do remap spare remove "$n" "$MNT" || break 2; done
    done) >/dev/null 2>&1 9>&- &
    worker=$!
    sleep "0.$((i * 2))"
    holo_kill
    wait "$worker" 2>/dev/null
    holo_mount
    t_eq "after kill $i: the same files" "$all" "$(sums)"
    t "after kill $i: right on the spares" remap test "$MNT"
done

mkdir "$WORK/third"
holo_remount "allow_other,spare=$WORK/third"
t "an option has one made" grep -q "in $WORK/third" <(remap stats "$MNT")
n=$(of 'spares | length')
holo_remount "allow_other,spare=$WORK/third"
t_eq "once" "$n" "$(of 'spares | length')"
holo_umount
rm -rf "$WORK/third" "$other"
holo_mount
t "one more in the store" remap spare add --size 1M "$MNT"
t "what is gone for good is given up" give_up
t_eq "healthy" healthy "$(health)"
holo_remount
t_eq "the same files at last" "$all" "$(sums)"
t "right on the spare at last" remap test "$MNT"
holo_umount
t "holofsck is content" "$BIN/holofsck" -n "$STORE"
