#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# soak.sh: what takes too long for check.sh. SOAK_PARTS chooses among the functions part_NAME below; each ends in a line
# 'N passed, N failed', and so does the whole.
#   decode  SOAK_GROUPS (100,000) damaged groups of each kind of damage
#   flips   FLIPS_CONTAINERS (20) containers of 64 MiB with one flipped byte in a thousand; SEED chooses them (random)
#   ruin    RUIN_ROUNDS (200) whole stores of each kind, damaged all over
#   history HISTORY_SEEDS (50) times parts of another time or machine in a store
#   bytes   damaged byte strings: SOAK_GROUPS / 20 of each kind, and one of 1 GiB
#   faults  a store at work, every single call to its directory failing in every way
#   index   the same with every change of the files of its index
#   power   power cuts of whole stores, for SOAK_MINUTES (60); SEED is the first seed (random)
#   storm   many threads, and many processes on a mount, also with ThreadSanitizer in the daemon, for SOAK_MINUTES (60)
#   stress  stress-ng, dbench and, if FSX names it, fsx of fstests, STRESS_SECONDS (60) for each
#   memory  a daemon with a cache of 64 MiB: MANY_FILES (1,000,000), 10,000 open files, 200,000 random blocks in 50 GiB; in HOLO_TMP (/var/tmp)
#   fuzz    every fuzz target, together for SOAK_MINUTES (60)
#   mount   random operations, crashes and damage on a mount, for SOAK_MINUTES (60)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
parts=${SOAK_PARTS:-decode flips ruin history bytes faults index power storm stress memory fuzz mount}
build=${BUILD:-build}
passed=0 failed=0

# A unit test program with its output shown, and its counts: tests that it did not get to have failed.
program() {
    local out all good
    out=$(mktemp "${TMPDIR:-/tmp}/holo-soak.XXXXXX")
    "$build/tests/$1" 2>&1 | tee "$out"
    all=$(sed -nE 's/^\[=+\] Running ([0-9]+) test.*/\1/p' "$out")
    good=$(grep -c '^\[       OK' "$out")
    echo "$good passed, $((${all:-1} - good)) failed"
    rm -f "$out"
}

part_decode() {
    HOLO_SOAK_GROUPS=${SOAK_GROUPS:-100000} program test_ecc_success
}

part_flips() {
    SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} FLIPS_CONTAINERS=${FLIPS_CONTAINERS:-20} FLIPS_ROUNDS=${FLIPS_ROUNDS:-100} \
        program test_core_flips
}

part_ruin() {
    SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} RUIN_ROUNDS=${RUIN_ROUNDS:-200} program test_core_ruin
}

part_history() {
    HISTORY_SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} HISTORY_SEEDS=${HISTORY_SEEDS:-50} program test_core_history
}

part_bytes() {
    WAVE_ECC_SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} WAVE_ECC_SOAK=$((${SOAK_GROUPS:-100000} / 20)) program test_ecc_wave_ecc
}

# One seed after another; a run is one test.
part_power() {
    local seed=${SEED:-$((RANDOM * 32768 + RANDOM))} end=$((SECONDS + ${SOAK_MINUTES:-60} * 60)) good=0 bad=0
    while [ $SECONDS -lt $end ]; do
        if POWER_SEED=$seed POWER_ROUNDS=4 POWER_OPS=60 POWER_POINTS=30 "$build/tests/test_power_crash" &&
            REPAIR_SEED=$seed REPAIR_POINTS=8 REPAIR_TREES=34 "$build/tests/test_power_repair" &&
            UNDO_SEED=$seed UNDO_POINTS=60 "$build/tests/test_power_undo"; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
        fi
        seed=$((seed + 1))
    done
    echo "$good passed, $bad failed"
}

# A mount test of one seed: counts into good and bad.
storm_round() { # storm_round SEED command…
    local seed=$1
    shift
    if SEED=$seed "$@"; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
        echo "repeat with: SEED=$seed $*"
    fi
}

part_storm() {
    local seed=${SEED:-$((RANDOM * 32768 + RANDOM))} end=$((SECONDS + ${SOAK_MINUTES:-60} * 60)) good=0 bad=0 tsan=build-tsan
    cmake -S . -B $tsan -G Ninja -DSANITIZE=thread -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null 2>&1
    cmake --build $tsan --target holofs mkfs.holofs holofsck holo test_core_storm >/dev/null || bad=1
    while [ $SECONDS -lt $end ]; do
        storm_round "$seed" env STORM_SEED="$seed" STORM_OPS=2000 "$build/tests/test_core_storm"
        storm_round "$seed" setarch -R env STORM_SEED="$seed" "$tsan/tests/test_core_storm"
        storm_round "$seed" env STORM_SECONDS=60 bash tests/mount/run.sh storm
        storm_round "$seed" env STORM_SECONDS=60 HOLO_BIN="$PWD/$tsan/bin" setarch -R bash tests/mount/run.sh storm
        seed=$((seed + 1))
    done
    echo "$good passed, $bad failed"
}

part_stress() {
    STRESS_SECONDS=${STRESS_SECONDS:-60} LIMIT_S=100000 bash tests/mount/stress.sh ${FSX:+"$FSX"}
}

part_memory() {
    MANY_FILES=${MANY_FILES:-1000000} MANY_OPEN=10000 SPARSE_BLOCKS=200000 CACHE_MIB=64 CONTAINER=64M MOUNT_S=600 LIMIT_S=20000 \
        bash tests/mount/run.sh -v memory
}

part_faults() {
    FAULT_STRIDE=${FAULT_STRIDE:-1} program test_core_fault
}

part_index() {
    INDEX_STRIDE=${INDEX_STRIDE:-1} program test_core_index_fault
}

part_fuzz() {
    local n jobs=${JOBS:-$(nproc)}
    n=$(grep -c '^holo_fuzz(' tests/fuzz/tests.cmake)
    JOBS=$jobs FUZZ_SECONDS=$((${SOAK_MINUTES:-60} * 60 * jobs / n)) bash tests/fuzz/run.sh
}

part_mount() {
    bash tests/mount/soak.sh
}

for part in $parts; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "soak.sh: unknown part '$part'" >&2
        exit 2
    fi
    echo "== $part"
    sum=
    while IFS= read -r line; do
        echo "$line"
        [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] && sum="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
    done < <("part_$part")
    [ -n "$sum" ] || { echo "FAIL $part did not finish"; sum='0 1'; }
    passed=$((passed + ${sum% *}))
    failed=$((failed + ${sum#* }))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
