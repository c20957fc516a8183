#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# scrub.sh: holo scrub on a mounted store, as an administrator uses it.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

scrub() {
    "$BIN/holo" scrub "$@"
}

state() {
    jq -r .scrub.state "$MNT/.holo/stats"
}

of() { # of KEY: a number of the scrub
    jq -r ".scrub.$1" "$MNT/.holo/stats"
}

wait_for() { # wait_for STATE
    local i
    for ((i = 0; i < 300; i++)); do
        [ "$(state)" = "$1" ] && return 0
        sleep 0.1
    done
    return 1
}

some_read() {
    local i
    for ((i = 0; i < 300; i++)); do
        [ "$(of bytes_done)" -gt 0 ] && return 0
        sleep 0.1
    done
    return 1
}

holo_new --container-size 4M -R 2
head -c 40M /dev/urandom >"$MNT/file"
sum=$(b2sum <"$MNT/file")
"$BIN/holo" seal "$MNT"
t "before: nothing was verified" test "$(of never_verified)" -gt 8
t "a whole scrub" scrub start --wait "$MNT"
t_eq "everything was verified" 0 "$(of never_verified)"
t_eq "all bytes were read" "$(of bytes_total)" "$(of bytes_done)"
t "status is for people" grep -qE '^containers: ([0-9]+) of \1$' <(scrub status "$MNT")
t "without asking parity" scrub start --trust-parity --wait "$MNT"
t "nothing is older than a day" scrub start --older 1 --wait "$MNT"
t_eq "so nothing was read" 0 "$(of bytes_total)"

t "a slow one" scrub start --rate 1K "$MNT"
refused "a second one" 'already' "$BIN/holo" scrub start "$MNT"
t "it begins" some_read
t "pause" scrub pause "$MNT"
holo_remount
t_eq "paused over an unmount" paused "$(state)"
t "resume" scrub resume "$MNT"
holo_kill
holo_mount
t_eq "running over a kill, or paused as the book says" true "$(case $(state) in running | paused) echo true ;; esac)"
scrub resume "$MNT" 2>/dev/null
t "faster" scrub rate 0 "$MNT"
t "it ends" wait_for idle
t_eq "with everything verified" "$(of containers_total)" "$(of containers_done)"
refused "nothing to cancel" 'no scrub' "$BIN/holo" scrub cancel "$MNT"
holo_umount

file=$(find "$STORE/containers" -name '*.hc' -size +4M | sort | sed -n 3p)
dd if=/dev/urandom of="$file" bs=4k seek=100 count=8 conv=notrunc status=none
holo_mount
t "damage is repaired, and that is no failure" scrub start --wait "$MNT"
t_eq "eight blocks" 8 "$(of repaired)"
t_eq "one container is watched" 1 "$(of watched)"
t "only that one" scrub start --watched --wait "$MNT"
t_eq "one was verified" 1 "$(of containers_done)"
holo_umount
dd if=/dev/urandom of="$file" bs=1M seek=1 count=3 conv=notrunc status=none
holo_mount
t_eq "what stays lost is exit code 1" 1 "$(scrub start --wait "$MNT" >/dev/null; echo $?)"
holo_umount

unit=$WORK/units
make -s -C "$TOP" install-units DESTDIR="$unit" PREFIX=/usr
t "the units name the installed program" grep -q '^ExecStart=/usr/bin/holo scrub start' "$unit/usr/lib/systemd/system/holo-scrub@.service"
if command -v systemd-analyze >/dev/null; then
    ln -s "$BIN/holo" "$unit/usr/bin" 2>/dev/null
    t "systemd takes the timer" systemd-analyze verify --man=no "$unit/usr/lib/systemd/system/holo-scrub@.timer"
fi
