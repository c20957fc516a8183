#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# stats.sh: .holo answers, hides, cannot be changed, and its counters move when their thing happens.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

# All numbers of the statistics as "path value" lines.
numbers() {
    jq -r 'paths(type == "number") as $p | "\($p | map(tostring) | join(".")) \(getpath($p))"' "$MNT/.holo/stats" | sort
}

moved() { # moved NAME PATTERN: among the numbers that changed since the last call of mark, one matches
    numbers >"$WORK/now"
    local changed
    changed=$(diff "$WORK/mark" "$WORK/now" | sed -n 's/^> //p')
    if grep -Eq "$2" <<<"$changed"; then t_ok "$1"; else t_fail "$1" "nothing like /$2/ moved; these did:" "$(head -n 40 <<<"$changed")"; fi
}

mark() {
    numbers >"$WORK/mark"
}

has_key() {
    t "stats has $1" jq -e --arg k "$1" '[.. | objects | has($k)] | any' "$MNT/.holo/stats"
}

virtual_files() {
    local f key
    for f in stats metrics health events config scrub control; do
        t ".holo/$f exists" test -e "$MNT/.holo/$f"
    done
    t "stats is JSON" jq -e 'type == "object"' "$MNT/.holo/stats"
    for key in repaired_blocks remapped_blocks lost_blocks exposed_bytes containers wave_ecc_metrics gpu pools engine space health_reasons \
        mounted_s read_only store verified_30d_bytes; do
        has_key $key
    done
    t "metrics is Prometheus text" test "$(grep -cvE '^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? [-+0-9.eE]+(NaN|Inf)?)$' "$MNT/.holo/metrics")" -eq 0
    t "events is JSON lines" sh -c "jq -e . '$MNT/.holo/events' >/dev/null || [ ! -s '$MNT/.holo/events' ]"
    t "config answers" test -n "$(cat "$MNT/.holo/config")"
    t "health answers" test -n "$(cat "$MNT/.holo/health")"
    t_eq "control is for its owner alone" 600 "$(stat -c %a "$MNT/.holo/control")"
}

hidden_and_fixed() {
    t_eq "ls -a does not list it" "" "$(find "$MNT" -mindepth 1 -maxdepth 1 -name .holo)"
    t_not "it cannot be made" mkdir "$MNT/.holo"
    t_not "nor removed" rmdir "$MNT/.holo"
    t_not "nor renamed" mv "$MNT/.holo" "$MNT/x"
    t_not "nothing can be renamed onto it" sh -c "mkdir '$MNT/d' && mv -T '$MNT/d' '$MNT/.holo'"
    t_not "nor linked" ln "$MNT/.holo/stats" "$MNT/x"
    t_not "nothing can be made in it" sh -c ": >'$MNT/.holo/new'"
    t_not "nothing removed from it" rm -f "$MNT/.holo/stats"
    t_not "stats cannot be written" sh -c "echo 1 >'$MNT/.holo/stats'"
    t_not "an unknown command is refused" sh -c "echo frobnicate >'$MNT/.holo/control'"
    t_not "a long one too" sh -c "head -c 100000 /dev/zero >'$MNT/.holo/control'"
    t "it still answers" jq -e . "$MNT/.holo/stats"
    mkdir -p "$MNT/sub" && t ".holo is an ordinary name elsewhere" mkdir "$MNT/sub/.holo"
}

counters() {
    mark
    head -c 30M /dev/urandom >"$MNT/random" && sync "$MNT/random"
    moved "writing moves a counter of writes" 'writ|commit'
    moved "fsync moves a counter of commits" 'commit|fsync|txg'
    mark
    echo seal >"$MNT/.holo/control"
    moved "sealing moves the containers" 'container'
    moved "sealing moves the encoder's counters" 'wave_ecc_metrics.*enc'
    mark
    cp "$WORK/sixteen" "$MNT/text" && sync "$MNT/text"
    moved "compressible data moves the codec's counters" 'compress|zstd|codec|stored'
    b2sum <"$MNT/random" >"$WORK/sum"
}

damaged_counters() {
    holo_umount
    python3 "$MOUNT_TESTS/damage.py" burst --seed 1 --holo "$BIN/holo" "$STORE" >"$WORK/places" || { t_fail "garbage is written"; return; }
    holo_mount
    mark
    t_eq "damaged data reads as it was" "$(cat "$WORK/sum")" "$(b2sum <"$MNT/random")"
    moved "repairing moves repaired_blocks" 'repaired_blocks'
    moved "and the decoder's counters" 'wave_ecc_metrics.*(dec|repair|correct)'
    t "an event names the file" grep -q random "$MNT/.holo/events"
    local count
    count=$(holo_stat repaired_blocks)
    holo_remount
    t "repaired_blocks is counted for ever" test "$(holo_stat repaired_blocks)" -ge "$count"
}

# The statistics answer while the store is busy.
answers_under_load() {
    local i start worst=0 ms
    (for i in 1 2 3 4; do head -c 60M /dev/urandom >"$MNT/load$i" && sync "$MNT/load$i"; done) &
    local load=$!
    for ((i = 0; i < 40; i++)); do
        start=$(date +%s%N)
        cat "$MNT/.holo/stats" >/dev/null || t_fail "stats under load"
        ms=$((($(date +%s%N) - start) / 1000000))
        [ $ms -le $worst ] || worst=$ms
        sleep 0.05
    done
    wait $load
    t "stats answers under load (slowest $worst ms)" test $worst -lt 500
}

holo_new
seq 1 3000000 | head -c 16M >"$WORK/sixteen"
virtual_files
hidden_and_fixed
counters
answers_under_load
damaged_counters
