#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# crash.sh: the daemon is killed at random times under load; what fsync acknowledged is there after the next mount,
# with the index and, every third time, without it. At the end the index is rebuilt from nothing once more.
# ROUNDS (8) and SEED choose how long and what.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
rounds=${ROUNDS:-8}
RANDOM=$seed
kinds=$(python3 "$MOUNT_TESTS/crash.py" kinds)
writers=()
echo "seed $seed"

start_writers() { # start_writers ROUND
    local kind
    writers=()
    mkdir "$MNT/round$1" "$WORK/logs$1"
    for kind in $kinds; do
        : >"$WORK/logs$1/$kind"
        python3 "$MOUNT_TESTS/crash.py" write "$kind" "$MNT/round$1" "$WORK/logs$1/$kind" "$((seed + $1))" \
            2>"$WORK/logs$1/$kind.err" &
        writers+=("$!:$kind")
    done
}

writers_run() {
    local w
    for w in "${writers[@]}"; do
        kill -0 "${w%%:*}" 2>/dev/null || t_fail "the writer ${w#*:} runs until the crash" "$(cat "$WORK/logs$1/${w#*:}.err")"
    done
}

stop_writers() {
    local w
    for w in "${writers[@]}"; do
        kill "${w%%:*}" 2>/dev/null
        wait "${w%%:*}" 2>/dev/null
    done
}

verify() { # verify ROUND WHEN
    local kind
    for kind in $kinds; do
        t "$kind of round $1 $2" python3 "$MOUNT_TESTS/crash.py" verify "$kind" "$MNT/round$1" "$WORK/logs$1/$kind" "$((seed + $1))"
    done
}

drop_index() {
    rm -f "$STORE"/index.db "$STORE"/index.db-wal "$STORE"/index.db-shm
}

acknowledged() {
    cat "$WORK"/logs*/* | grep -c '^ack'
}

holo_new --container-size 8M
for ((r = 1; r <= rounds; r++)); do
    start_writers $r
    sleep "$((RANDOM % 3)).$((RANDOM % 10))5"
    writers_run $r
    holo_kill
    stop_writers
    if ((r % 3 == 0)); then
        drop_index
    fi
    holo_mount
    verify $r "after the crash"
done
t "something was acknowledged in every round" test "$(acknowledged)" -gt $((rounds * 20))
for ((r = 1; r < rounds; r++)); do
    verify $r "at the end"
done

python3 "$MOUNT_TESTS/fingerprint.py" make --inodes "$MNT" >"$WORK/before"
holo_umount
drop_index
holo_mount
python3 "$MOUNT_TESTS/fingerprint.py" make --inodes "$MNT" >"$WORK/after"
t "the whole tree comes back without its index" python3 "$MOUNT_TESTS/fingerprint.py" diff "$WORK/before" "$WORK/after"
