#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh: run all mount tests, or those named. One line for each; the last line is 'N passed, N failed'.
# Usage: run.sh [-v] [NAME…]
set -uo pipefail
cd "$(dirname "$0")" || exit 1
all='posix crash trees damage flips fsck export scrub remap tools protect fsops fio options dead storm stats clean memory disk sectors edges backing limits gpu bench'
[ "${1:-}" != -v ] || { export VERBOSE=1; shift; }
limit_s=${LIMIT_S:-600}
log=$(mktemp "${TMPDIR:-/tmp}/holo-run.XXXXXX")
room=$(mktemp -d "${HOLO_TMP:-/var/tmp}/holorun.XXXXXX") || exit 1
chmod 755 "$room"
trap '[ -n "${HOLO_KEEP:-}" ] || clear_room; rm -f "$log"; rmdir "$room" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0

# A test that had to be killed leaves its mounts behind; every test mounts below $room.
clear_room() {
    local mnt
    findmnt -rn -o TARGET | grep -F "$room/" | while read -r mnt; do
        echo "left behind: $mnt"
        umount -i -l "$mnt"
    done
    rm -rf --one-file-system "$room"/holotest.*
}

need_fuse() {
    [ -z "${HOLO_DIR:-}" ] || return 0
    [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
    [ -e /dev/fuse ] || mknod /dev/fuse c 10 229 2>/dev/null || true
    if ! (exec 3<>/dev/fuse) 2>/dev/null; then
        echo "FAIL mount tests: /dev/fuse cannot be opened (a container needs --device /dev/fuse --cap-add SYS_ADMIN)"
        echo "0 passed, 1 failed"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "FAIL mount tests: they mount, so they need root"
        echo "0 passed, 1 failed"
        exit 1
    fi
}

run_one() {
    local name=$1 start=$SECONDS rc sum
    if [ ! -f "$name.sh" ]; then
        echo "FAIL $name: no such test"
        failed=$((failed + 1))
        return
    fi
    # --kill-after leaves time for the test's own unmount.
    HOLO_TMP=$room timeout --signal=TERM --kill-after=90 "$limit_s" bash "./$name.sh" >"$log" 2>&1
    rc=$?
    [ -n "${HOLO_KEEP:-}" ] || clear_room
    sum=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log" | tail -n 1)
    if [ $rc -eq 77 ]; then
        echo "skip $name: $(grep -m 1 '^skipped' "$log")"
        return
    fi
    if [ -z "$sum" ] || { [ $rc -ne 0 ] && [ "${sum#* }" -eq 0 ]; }; then
        cat "$log"
        echo "FAIL $name: ended with $rc and without a result after $((SECONDS - start)) s"
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + ${sum% *}))
    failed=$((failed + ${sum#* }))
    if [ "${sum#* }" -eq 0 ]; then
        [ -z "${VERBOSE:-}" ] || cat "$log"
        echo "ok   $name: ${sum% *} checks, $((SECONDS - start)) s"
    else
        head -n 200 "$log"
        echo "FAIL $name: ${sum#* } of $((${sum% *} + ${sum#* })) checks, $((SECONDS - start)) s"
    fi
}

need_fuse
# shellcheck disable=SC2086 # names are words
[ $# -gt 0 ] || set -- $all
for name in "$@"; do
    run_one "$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
