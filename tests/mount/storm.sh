#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# storm.sh: many processes on the same and on different files while containers are sealed and scrubbed; then the mount goes while
# they work. STORM_SECONDS (8) for the first, SEED chooses what they do.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
echo "seed $seed"
storm=$TESTBIN/storm

holo_format --container-size 4M --ring-size 16M
holo_mount
mkdir "$MNT/storm"
t_program "$storm" run "$MNT/storm" "$WORK/state" "${STORM_SECONDS:-8}" "$seed"
# shellcheck disable=SC2119
holo_remount
t_program "$storm" verify "$MNT/storm" "$WORK/state"
if [ -n "${HOLO_DIR:-}${HOLO_PASSTHROUGH:-}" ]; then
    exit 0
fi

load() { # those that write and look, in the background; $LOAD is their parent
    "$storm" load "$MNT/storm" "$WORK/state" "$1" >"$WORK/load.out" 2>&1 9>&- &
    LOAD=$!
    "$storm" wait "$WORK/state" 300
}

load_ended() { # load_ended WHEN
    wait "$LOAD"
    t_eq "$1: whoever worked ended, and saw nothing wrong" 0 $?
    grep '^FAIL' "$WORK/load.out" | head -n 10
}

# umount says that it is busy, and nobody notices; lazily, they go on until they end, and then it is clean.
load $((seed + 1))
t_not "umount under load is refused" umount -i "$MNT"
t "work goes on" "$storm" wait "$WORK/state" 100
umount -i -l "$MNT"
t "so it does when the mount has no place any more" "$storm" wait "$WORK/state" 100
"$storm" stop "$WORK/state"
load_ended "unmounted lazily"
WAIT_S=60 holo_wait
t_eq "the daemon ends when the last of them has" 0 $?
t "the store is whole" "$BIN/holofsck" -n "$STORE"
holo_mount
t_program "$storm" verify "$MNT/storm" "$WORK/state"

# The daemon is told to end while all write: what was synced is there.
load $((seed + 2))
kill -TERM "$PID"
WAIT_S=60 holo_wait
t_eq "told to end under load, the daemon ends well" 0 $?
load_ended "told to end"
t_not "no mount is left" mountpoint -q "$MNT"
t "after that the store is whole" "$BIN/holofsck" -n "$STORE"
holo_mount
t_program "$storm" verify "$MNT/storm" "$WORK/state" crash

# … or dies.
load $((seed + 3))
holo_kill
load_ended "killed"
holo_mount
t_program "$storm" verify "$MNT/storm" "$WORK/state" crash
holo_umount
t "at last the store is whole" "$BIN/holofsck" -n "$STORE"
