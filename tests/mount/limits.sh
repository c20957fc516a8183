#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limits.sh: few descriptors, few processes, little memory: one clear line, or it works; nothing hangs and every byte is right.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk_lib.sh"
holo_only
disk_work
STORE=$WORK/store
trap finish EXIT
CGROUP=''

finish() {
    if [ -n "$CGROUP" ]; then
        mountpoint -q "$MNT" && holo_umount
        rmdir "$CGROUP" 2>/dev/null || { sleep 1; rmdir "$CGROUP"; } 2>/dev/null
    fi
    disk_end
}

# limited N: the daemon with so many descriptors
limited() {
    (ulimit -n "$1" && exec "$BIN/holofs" "$STORE" "$MNT" -f -o allow_other) >>"$LOG" 2>&1 9>&- &
    PID=$!
    local i
    for ((i = 0; i < 300; i++)); do
        mountpoint -q "$MNT" && return 0
        kill -0 "$PID" 2>/dev/null || break
        sleep 0.1
    done
    wait "$PID"
    PID=''
    return 1
}

holo_format --container-size 1M --ring-size 8M
: >"$WORK/acked"
for n in 64 256; do
    limited $n || { t_fail "mounts with $n descriptors" "$(tail -n 3 "$LOG")"; continue; }
    for ((i = 0; i < 30; i++)); do
        put "n$n.$i" 1500 && echo "n$n.$i 1500" >>"$WORK/acked"
    done
    disk_drop_caches
    t "$n descriptors: all is there" same "$WORK/acked"
    t_eq "$n descriptors: healthy" healthy "$(health)"
    holo_umount
done
t_eq "all files were written" 60 "$(wc -l <"$WORK/acked")"
for n in 8 24 63; do
    : >"$LOG"
    t_not "$n descriptors are too few" limited $n
    t "and the daemon says so in one line" grep -Eq '^holofs: .*(open files|descriptors)' "$LOG"
done

holo_mount
t "the flag of an I/O flusher is told" jq -e '.io_flusher | type == "boolean"' "$MNT/.holo/config"
t "all is there again" same "$WORK/acked"
t_eq "healthy" healthy "$(health)"
holo_umount

# ---- memory: writer and daemon in one group that has much less than is written ----
group() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        CGROUP=/sys/fs/cgroup/holotest.$$
        mkdir "$CGROUP" && echo "$1" >"$CGROUP/memory.max"
    else
        CGROUP=/sys/fs/cgroup/memory/holotest.$$
        mkdir "$CGROUP" && echo "$1" >"$CGROUP/memory.limit_in_bytes"
    fi
} 2>/dev/null

kills() { grep -h -s -E '^oom_kill ' "$CGROUP/memory.events" "$CGROUP/memory.oom_control" | awk '{ n += $2 } END { print n + 0 }'; }

# What it writes is many times what the group may have.
pressed() {
    bash -c "echo \$\$ >$CGROUP/cgroup.procs && for f in a b c; do $WORK/bytes \$f $1 | dd of=$MNT/\$f bs=1M iflag=fullblock conv=fsync status=none & done; wait"
}

if group $((160 << 20)); then
    holo_try_mount "allow_other,cache=16M" || { t_fail "mounts" "$(tail -n 3 "$LOG")"; exit 1; }
    echo "$PID" >"$CGROUP/cgroup.procs"
    kib=$((${LIMITS_MIB:-200} * 1024))
    for f in a b c; do echo "$f $kib"; done >"$WORK/acked2"
    t "three writers with less memory than they write end" timeout 200 bash -c "$(declare -f pressed); CGROUP=$CGROUP WORK=$WORK MNT=$MNT; pressed $kib"
    t_eq "nobody was killed for memory" 0 "$(kills)"
    disk_drop_caches
    t "and every byte is right" same "$WORK/acked2"
    t_eq "healthy with little memory" healthy "$(health)"
    holo_umount
else
    CGROUP=''
    echo "left out: no memory group can be made here"
fi
t "holofsck finds nothing wrong" "$BIN/holofsck" "$STORE"
exit
