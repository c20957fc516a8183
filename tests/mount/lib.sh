# SPDX-License-Identifier: GPL-2.0-or-later
# lib.sh: what the mount tests share: a store of their own, its mount, assertions. Sourced by every NAME.sh.
#
# Environment:
#   HOLO_BIN         where mkfs.holofs, holofs, holofsck and holo are (build/bin)
#   HOLO_TESTBIN     where the tests' C programs are (build/tests/mount)
#   HOLO_MKFS_ARGS   more arguments for mkfs.holofs
#   HOLO_MOUNT_OPTS  mount options (allow_other)
#   HOLO_TMP         where stores and mount points are made (/var/tmp)
#   HOLO_DIR         test this plain directory instead of a mount: validates the tests themselves
#   HOLO_PASSTHROUGH test libfuse's passthrough_ll instead: the path of that program
#   HOLO_KEEP        keep the work directory of a test that fails
#
# After holo_new: $STORE, $MNT (the tree under test), $PID (the daemon), $LOG (its messages), $WORK (all of it).
# Only what was mounted here is unmounted, also when a test dies.
# shellcheck shell=bash

set -uo pipefail
exec 9>&1 # where the result goes, whatever is redirected when a test dies
MOUNT_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$MOUNT_TESTS/../.." && pwd)
BIN=${HOLO_BIN:-$TOP/build/bin}
# shellcheck disable=SC2034 # for the tests
TESTBIN=${HOLO_TESTBIN:-$TOP/build/tests/mount}
T_PASSED=0 T_FAILED=0
WORK='' STORE='' MNT='' LOG='' PID='' MOUNT_COUNT=0

t_ok() {
    T_PASSED=$((T_PASSED + 1))
    [ -z "${VERBOSE:-}" ] || echo "ok $1"
}

t_fail() { # t_fail NAME [detail…]
    T_FAILED=$((T_FAILED + 1))
    echo "FAIL $1"
    shift
    [ $# -eq 0 ] || printf '     %s\n' "$@"
}

# t NAME command…: the command succeeds. Its output is shown when it does not.
t() {
    local name=$1 out rc
    shift
    out=$("$@" 2>&1) && { t_ok "$name"; return 0; }
    rc=$?
    t_fail "$name" "exit $rc: $*" "$(tail -n 20 <<<"$out")"
    return 1
}

# t_not NAME command…: the command fails with an exit code, not with a signal.
t_not() {
    local name=$1 out rc
    shift
    out=$("$@" 2>&1)
    rc=$?
    if [ "$rc" -ne 0 ] && [ "$rc" -lt 124 ]; then
        t_ok "$name"
    else
        t_fail "$name" "exit $rc: $*" "$(tail -n 5 <<<"$out")"
    fi
}

t_eq() { # t_eq NAME expected actual
    if [ "$2" = "$3" ]; then t_ok "$1"; else t_fail "$1" "expected '$2'" "got      '$3'"; fi
}

# t_program command…: run a test program that ends with 'N passed, N failed' and add its counts.
t_program() {
    local out=$WORK/program.out rc sum
    "$@" >"$out" 2>&1
    rc=$?
    sum=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$out" | tail -n 1)
    grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$out" || true
    if [ -z "$sum" ]; then
        t_fail "${1##*/} finishes" "exit $rc: $*"
        return 1
    fi
    T_PASSED=$((T_PASSED + ${sum% *}))
    T_FAILED=$((T_FAILED + ${sum#* }))
    [ "${sum#* }" -eq 0 ]
}

# Tests that need holofs itself leave here when another file system is under test.
holo_only() {
    if [ -n "${HOLO_DIR:-}${HOLO_PASSTHROUGH:-}" ]; then
        echo "skipped: needs holofs"
        exit 77
    fi
}

holo_work() {
    [ -z "$WORK" ] || return 0
    local parent=${HOLO_TMP:-/var/tmp}
    [ -z "${HOLO_DIR:-}" ] || parent=$HOLO_DIR
    WORK=$(mktemp -d "$parent/holotest.XXXXXX") || exit 1
    chmod 755 "$WORK"
    STORE=$WORK/store MNT=$WORK/mnt LOG=$WORK/daemon.log
    mkdir "$MNT"
    trap holo_finish EXIT
    trap 'exit 130' INT TERM
}

holo_format() { # holo_format [mkfs arguments…]
    holo_work
    [ -z "${HOLO_DIR:-}" ] || return 0
    mkdir -p "$STORE"
    [ -n "${HOLO_PASSTHROUGH:-}" ] && return 0
    # shellcheck disable=SC2086 # arguments are words
    "$BIN/mkfs.holofs" ${HOLO_MKFS_ARGS:-} "$@" "$STORE" >"$WORK/mkfs.out" 2>&1 && return 0
    t_fail "mkfs.holofs formats $STORE" "$(cat "$WORK/mkfs.out")"
    exit 1
}

holo_start() { # the daemon in the foreground of a background job, so that its pid is known
    local opts=$1
    if [ -n "${HOLO_PASSTHROUGH:-}" ]; then
        "$HOLO_PASSTHROUGH" -f -o "source=$STORE,writeback,cache=always,xattr,allow_other" "$MNT" >>"$LOG" 2>&1 9>&- &
    else
        "$BIN/holofs" "$STORE" "$MNT" -f ${opts:+-o "$opts"} >>"$LOG" 2>&1 9>&- &
    fi
    PID=$!
}

# holo_try_mount [options]: mount; returns 1 when the daemon gives up.
holo_try_mount() {
    [ -z "${HOLO_DIR:-}" ] || return 0
    holo_start "${1-${HOLO_MOUNT_OPTS-allow_other}}"
    local i
    for ((i = 0; i < ${MOUNT_S:-60} * 10; i++)); do
        if mountpoint -q "$MNT"; then
            MOUNT_COUNT=$((MOUNT_COUNT + 1))
            return 0
        fi
        kill -0 "$PID" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$PID" 2>/dev/null
    wait "$PID" 2>/dev/null
    PID=''
    return 1
}

holo_mount() {
    holo_try_mount "$@" && return 0
    t_fail "holofs mounts $STORE" "$(tail -n 20 "$LOG")"
    exit 1
}

holo_new() { # holo_new [mkfs arguments…]
    holo_format "$@"
    holo_mount
}

# Wait for the daemon's end; its exit code is the answer, 124 after WAIT_S seconds (300).
holo_wait() {
    local i limit=$(( ${WAIT_S:-300} * 10 ))
    for ((i = 0; i < limit; i++)); do
        kill -0 "$PID" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$PID" 2>/dev/null; then
        return 124
    fi
    wait "$PID"
    local rc=$?
    PID=''
    return $rc
}

# Unmount and wait until the daemon is gone: then the store is clean.
holo_umount() {
    local i rc
    [ -z "${HOLO_DIR:-}" ] || return 0
    for ((i = 0; i < 50; i++)); do
        umount -i "$MNT" 2>"$WORK/umount.err" && break
        mountpoint -q "$MNT" || break
        sleep 0.2
    done
    if mountpoint -q "$MNT"; then
        t_fail "unmounts" "$(cat "$WORK/umount.err")" "$(fuser -vm "$MNT" 2>&1 | head -n 5)"
        umount -i -l "$MNT"
    fi
    holo_wait
    rc=$?
    if [ $rc -ne 0 ]; then
        t_fail "the daemon ends with 0 after umount" "exit $rc" "$(tail -n 20 "$LOG")"
        [ -z "$PID" ] || { kill -9 "$PID"; wait "$PID" 2>/dev/null; PID=''; }
    fi
    return $rc
}

# shellcheck disable=SC2120 # options are optional
holo_remount() {
    if [ -n "${HOLO_DIR:-}" ]; then
        sync
        return 0
    fi
    holo_umount
    holo_mount "$@"
}

# The daemon dies as in a crash; the dead mount is taken away.
holo_kill() {
    kill -9 "$PID"
    wait "$PID" 2>/dev/null
    PID=''
    umount -i -l "$MNT"
}

# refused NAME PATTERN command…: fails, without a signal, with one line of at most two that matches PATTERN.
refused() {
    local name=$1 pattern=$2 out rc
    shift 2
    out=$(timeout 60 "$@" 2>&1)
    rc=$?
    if [ $rc -eq 0 ] || [ $rc -ge 124 ]; then
        t_fail "$name" "exit $rc: $*" "$out"
        umount -i "$MNT" 2>/dev/null
        return
    fi
    if ! grep -Eiq -- "$pattern" <<<"$out"; then
        t_fail "$name says why" "wanted /$pattern/, got: $out"
        return
    fi
    t "$name in one clear line" test "$(grep -c . <<<"$out")" -le 2
}

# mount(8) finds its helpers in /sbin only and gives them no PATH of ours: stand-ins lead to those under test.
put_helpers() {
    local h
    for h in mount umount; do
        if [ -e "/sbin/$h.fuse.holofs" ]; then
            mv "/sbin/$h.fuse.holofs" "$WORK/$h.installed"
        fi
        printf '#!/bin/sh\nPATH=%s:$PATH exec sh %s "$@"\n' "$BIN" "$TOP/tools/$h.fuse.holofs" >"/sbin/$h.fuse.holofs"
        chmod 755 "/sbin/$h.fuse.holofs"
    done
}

take_helpers() {
    local h
    for h in mount umount; do
        rm -f "/sbin/$h.fuse.holofs"
        if [ -e "$WORK/$h.installed" ]; then
            mv "$WORK/$h.installed" "/sbin/$h.fuse.holofs"
        fi
    done
}

# holo_serve command…: run it, and remount whenever it runs `$WORK/remount`.
holo_serve() {
    cat >"$WORK/remount" <<TXT
#!/bin/sh
: >"$WORK/remount.please"
while [ ! -e "$WORK/remount.done" ]; do sleep 0.05; done
rm "$WORK/remount.done"
TXT
    chmod +x "$WORK/remount"
    "$@" &
    local child=$!
    while kill -0 "$child" 2>/dev/null; do
        if [ -e "$WORK/remount.please" ]; then
            rm "$WORK/remount.please"
            # shellcheck disable=SC2119
            holo_remount
            : >"$WORK/remount.done"
        fi
        sleep 0.05
    done
    wait "$child"
}

# The first number called $1 anywhere in .holo/stats; empty when there is none.
holo_stat() {
    jq -r --arg k "$1" 'first(.. | objects | select(has($k)) | .[$k])' "$MNT/.holo/stats" 2>/dev/null
}

holo_drop_caches() {
    sync
    echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
}

holo_finish() {
    trap - EXIT
    exec >&9 2>&1
    cd /
    if [ -n "$WORK" ] && [ -z "${HOLO_DIR:-}" ]; then
        if mountpoint -q "$MNT" 2>/dev/null || [ -n "$PID" ]; then
            umount -i "$MNT" 2>/dev/null || umount -i -l "$MNT" 2>/dev/null
            [ -z "$PID" ] || WAIT_S=60 holo_wait || { [ -z "$PID" ] || kill -9 "$PID"; }
        fi
        if grep -E 'AddressSanitizer|ThreadSanitizer|runtime error:|assert' "$LOG" >"$WORK/bad" 2>/dev/null; then
            t_fail "the daemon reports no programming mistake" "$(head -n 20 "$WORK/bad")"
        fi
    fi
    if [ "$T_FAILED" -gt 0 ] && [ -n "${HOLO_KEEP:-}" ]; then
        echo "kept $WORK"
    elif [ -n "$WORK" ]; then
        rm -rf --one-file-system "$WORK"
    fi
    echo "$T_PASSED passed, $T_FAILED failed"
    [ "$T_FAILED" -eq 0 ]
    exit $?
}
