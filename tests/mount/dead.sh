#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dead.sh: the daemon dies, is stopped, or is told to end, at every time: what is mounted afterwards is told, cleared where that
# was asked for, and never mistaken; nobody hangs; the store comes back.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only
WAIT_S=60

# A child of $1 in the background; empty when there is none within a second.
child_of() {
    local i c
    for ((i = 0; i < 500; i++)); do
        c=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
        [ -z "$c" ] || { echo "${c%% *}"; return; }
        sleep 0.002
    done
}

unlocked() {
    local i
    for ((i = 0; i < 300; i++)); do
        flock -n "$STORE/lock" true && return 0
        sleep 0.1
    done
    return 1
}

is_mounted() { # without asking the mount itself
    findmnt -rn -o TARGET | grep -qxF "$MNT"
}

depth() {
    findmnt -rn -o TARGET | grep -cxF "$MNT"
}

die() { # the daemon dies, its mount stays; one that mount(8) started is not our child, but it holds the lock
    kill -9 "$PID"
    wait "$PID" 2>/dev/null
    unlocked
    PID=''
}

end_daemon() { # one that is not our child, by the lock it holds
    umount -i "$MNT"
    unlocked
}

after_a_crash() {
    holo_mount
    echo kept >"$MNT/kept"
    sync "$MNT/kept"
    die
    refused "a dead mount" "dead mount of $STORE .fuse.holofs.*umount -l.*clear_stale" "$BIN/holofs" "$STORE" "$MNT"
    t "is left as it is" is_mounted
    refused "a relative path to it" "dead mount" sh -c "cd '$WORK' && '$BIN/holofs' store mnt/"
    t "-o clear_stale mounts" "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "there is one mount" 1 "$(depth)"
    t_eq "with what was synced" kept "$(cat "$MNT/kept")"
    refused "the same again" 'in use' "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "and that one lives" kept "$(cat "$MNT/kept")"
    t "unmounts" end_daemon
    exec 8<>"$STORE/lock" && flock -n 8
    sleep 1 & # has the lock, as a daemon that is still closing the store
    exec 8<&-
    t "a store that is still being closed is waited for" "$BIN/holofs" "$STORE" "$MNT"
    t "and unmounts" end_daemon
}

others() {
    local other=$WORK/other
    mkdir -p "$other"
    "$BIN/mkfs.holofs" ${HOLO_MKFS_ARGS:-} --size 1G "$other" >/dev/null
    holo_mount
    refused "another store over a live one" 'mounted here already.*answers' "$BIN/holofs" "$other" "$MNT"
    refused "nor with clear_stale" 'mounted here already.*answers' "$BIN/holofs" "$other" "$MNT" -o clear_stale
    t_eq "which lives" kept "$(cat "$MNT/kept")"
    holo_umount
    python3 "$MOUNT_TESTS/corpse.py" "$MNT" fuse.sshfs host:/dir
    refused "a dead mount of something else" 'dead mount of host:/dir .fuse.sshfs' "$BIN/holofs" "$STORE" "$MNT"
    refused "is not ours to clear" 'dead mount of host:/dir .fuse.sshfs' "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "it is still there" 1 "$(depth)"
    python3 "$MOUNT_TESTS/corpse.py" "$MNT" fuse.holofs "$STORE"
    refused "one of ours over it" 'topmost of 2' "$BIN/holofs" "$STORE" "$MNT"
    refused "is cleared, the other is not" 'fuse.sshfs' "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "and the store was not opened for it" 1 "$(depth)"
    umount -i -l "$MNT"
    for _ in 1 2 3; do
        python3 "$MOUNT_TESTS/corpse.py" "$MNT" fuse.holofs "$WORK/a store, gone\\"
    done
    refused "three dead ones" 'topmost of 3' "$BIN/holofs" "$STORE" "$MNT"
    t "are all cleared" "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "there is one mount" 1 "$(depth)"
    t "unmounts" end_daemon
    mount -t tmpfs none "$MNT"
    t "over another filesystem, as ever" "$BIN/holofs" "$STORE" "$MNT" -o clear_stale
    t_eq "that is not cleared" 2 "$(depth)"
    t "unmounts" end_daemon
    umount "$MNT"
    refused "an empty mount point that is missing" 'no such' "$BIN/holofs" "$STORE" "$WORK/nowhere" -o clear_stale
}

# Two at a time want the place: one gets it, and is not taken away by the other.
race() {
    local other=$WORK/other one two i
    for ((i = 0; i < ${RACES:-3}; i++)); do
        python3 "$MOUNT_TESTS/corpse.py" "$MNT" fuse.holofs "$STORE"
        "$BIN/holofs" "$STORE" "$MNT" -o clear_stale >/dev/null 2>&1 & one=$!
        "$BIN/holofs" "$other" "$MNT" -o clear_stale >/dev/null 2>&1 & two=$!
        local ok=0
        wait $one && ok=$((ok + 1))
        wait $two && ok=$((ok + 1))
        # Both can look before either has mounted; then both are mounted, and both live.
        if [ $ok -lt 1 ] || [ "$(depth)" -ne $ok ]; then
            t_fail "who got the place has it" "round $i: $ok successes, $(depth) mounts"
            break
        fi
        while is_mounted; do umount -i "$MNT" || break; done
        unlocked
        flock -w 30 "$other/lock" true
    done
    t "the race for a dead mount's place: nothing is left" test "$(depth)" -eq 0
}

helpers() {
    local fstab=$WORK/fstab
    echo "$STORE $MNT fuse.holofs noauto,clear_stale 0 0" >"$fstab"
    put_helpers
    t "mount by fstab" mount -T "$fstab" "$MNT"
    PID=$(holder)
    die
    t "mount by fstab after a crash, with the option" timeout 60 mount -T "$fstab" "$MNT"
    t_eq "one mount" 1 "$(depth)"
    t_eq "that reads" kept "$(cat "$MNT/kept")"
    PID=$(holder)
    die
    refused "mount -t without it" 'dead mount' mount -t fuse.holofs "$STORE" "$MNT"
    t "umount of a dead mount does not hang" timeout 30 umount "$MNT"
    t_eq "it is gone" 0 "$(depth)"
    t "mount -t again" timeout 60 mount -t fuse.holofs "$STORE" "$MNT"
    PID=$(holder)
    echo late >"$MNT/late"
    kill -STOP "$PID"
    (sleep 1; kill -9 "$PID") &
    t "umount returns when the daemon dies meanwhile" timeout 60 umount "$MNT"
    PID=''
    while is_mounted; do umount -i -l "$MNT"; done
    take_helpers
}

# The process that holds the lock of the store.
holder() {
    local inode
    inode=$(stat -c %i "$STORE/lock")
    awk -v i=":$inode\$" '$2 == "FLOCK" && $6 ~ i { print $5 }' /proc/locks | head -n 1
}

# Clients that wait for an answer when the daemon dies get an error.
blocked() {
    local pids=() p i left
    holo_mount
    dd if=/dev/urandom of="$MNT/data" bs=64k count=64 status=none
    sync "$MNT/data"
    echo 1 >/proc/sys/vm/drop_caches
    kill -STOP "$PID"
    cat "$MNT/data" >/dev/null 2>&1 & pids+=($!)
    dd if="$MNT/data" of=/dev/null iflag=direct bs=64k count=1 2>/dev/null & pids+=($!)
    ls "$MNT" >/dev/null 2>&1 & pids+=($!)
    dd if=/dev/zero of="$MNT/new" bs=64k count=100 conv=fsync 2>/dev/null & pids+=($!)
    mv "$MNT/data" "$MNT/data2" 2>/dev/null & pids+=($!)
    rm "$MNT/kept2" 2>/dev/null & pids+=($!)
    python3 -c "
import os, sys
fd = os.open(sys.argv[1] + '/kept', os.O_RDWR)
os.pwrite(fd, b'x' * 300000, 4096)
os.lseek(fd, 0, os.SEEK_HOLE)
os.fsync(fd)" "$MNT" 2>/dev/null & pids+=($!)
    sleep 0.5
    die
    for ((i = 0; i < 200; i++)); do
        left=0
        for p in "${pids[@]}"; do kill -0 "$p" 2>/dev/null && left=$((left + 1)); done
        [ $left -gt 0 ] || break
        sleep 0.1
    done
    t_eq "nobody waits for a dead daemon" 0 $left
    t "the lock is free" unlocked
    umount -i -l "$MNT"
    for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
}

# Many ask for holes of files with dirty pages: the daemon answers them all, and can be killed in the middle of it.
holes() {
    holo_mount
    local script='
import multiprocessing as mp, os, sys
def work(n):
    fd = os.open(f"{sys.argv[1]}/hole{n}", os.O_RDWR | os.O_CREAT)
    for k in range(int(sys.argv[2])):
        os.pwrite(fd, bytes([k % 255 + 1]) * 65536, 65536 * (k % 8))
        if os.lseek(fd, 0, os.SEEK_HOLE) != 65536 * min(k + 1, 8) or os.lseek(fd, 0, os.SEEK_DATA) != 0:
            os._exit(3)
    os._exit(0)
ps = [mp.Process(target=work, args=(n,)) for n in range(60)]
[p.start() for p in ps]
[p.join() for p in ps]
sys.exit(max(p.exitcode for p in ps))'
    t "sixty ask for holes at once" timeout 60 python3 -c "$script" "$MNT" 5
    timeout -s KILL 200 python3 -c "$script" "$MNT" 100000 2>/dev/null &
    local p=$!
    sleep 2
    kill -9 "$PID"
    wait "$PID" 2>/dev/null
    PID=''
    t "a kill in the middle of that frees the store" unlocked
    wait $p
    t_not "and ends the clients" test $? -eq 137
    umount -i -l "$MNT"
}

# Killed while it starts: the parent says so and leaves no mount behind.
start_up() {
    local i p c rc hits=0 ok=yes
    for ((i = 0; i < ${ROUNDS:-5}; i++)); do
        [ $((i % 2)) -eq 0 ] || rm -rf "$STORE"/index* # a store that has to be rebuilt
        "$BIN/holofs" "$STORE" "$MNT" 2>"$WORK/start.err" & p=$!
        c=$(child_of $p)
        sleep "0.0$i"
        kill -9 "$c"
        wait $p
        rc=$?
        if [ $rc -eq 0 ]; then # it had answered
            umount -i -l "$MNT"
        else
            hits=$((hits + 1))
            { [ $rc -eq 32 ] && grep -q 'ended before it answered: Killed' "$WORK/start.err" && ! is_mounted; } || ok="exit $rc, $(cat "$WORK/start.err"), $(depth) mounts"
        fi
        unlocked || ok="locked"
    done
    t_eq "killed before the mount answers: told, and nothing is mounted" yes "$ok"
    t "that happened at least once" test $hits -ge 1
    holo_mount
    t_eq "the store is as it was" kept "$(head -c 4 "$MNT/kept")"
    holo_umount
}

# Killed while it closes.
shut_down() {
    local i ok=yes
    for ((i = 0; i < ${ROUNDS:-3}; i++)); do
        holo_mount
        dd if=/dev/urandom of="$MNT/more$i" bs=1M count=8 conv=fsync status=none
        b2sum <"$MNT/more$i" >"$WORK/sum$i"
        umount -i "$MNT"
        sleep "0.0$i"
        kill -9 "$PID" 2>/dev/null
        wait "$PID" 2>/dev/null
        PID=''
        is_mounted && umount -i -l "$MNT"
    done
    holo_mount
    for ((i = 0; i < ${ROUNDS:-3}; i++)); do
        b2sum <"$MNT/more$i" | cmp -s - "$WORK/sum$i" || ok="more$i differs"
        rm "$MNT/more$i"
    done
    t_eq "killed while unmounting: all is there" yes "$ok"
    holo_umount
}

signals() {
    local s
    holo_mount
    for s in USR1 USR2 ALRM PIPE IO XFSZ TSTP TTOU VTALRM; do
        kill -$s "$PID"
    done
    t_eq "signals by accident are ignored" kept "$(head -c 4 "$MNT/kept")"
    for s in TERM INT HUP; do
        exec 8>"$MNT/open.$s"
        head -c 3000000 /dev/zero | tr '\0' "${s:0:1}" >&8 # not closed: the kernel has it
        kill -$s "$PID"
        holo_wait
        t_eq "SIG$s ends the daemon" 0 $?
        exec 8>&-
        t "and unmounts" test "$(depth)" -eq 0
        t "the store is clean" "$BIN/holofsck" -n "$STORE"
        holo_mount
        t_eq "with what was written and not closed" "$(head -c 3000000 /dev/zero | tr '\0' "${s:0:1}" | b2sum)" "$(b2sum <"$MNT/open.$s")"
    done
    kill -STOP "$PID"
    cat "$MNT/open.HUP" >/dev/null &
    local reader=$!
    kill -CONT "$PID"
    wait $reader
    t_eq "stopped and continued it goes on" 0 $?
    holo_umount
}

holo_format --size 4G
for part in after_a_crash others race helpers blocked holes start_up shut_down signals; do
    start=$SECONDS
    $part
    [ -z "${VERBOSE:-}" ] || echo "$part: $((SECONDS - start)) s"
done
