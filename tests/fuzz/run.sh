#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh: build the fuzz targets (clang, libFuzzer) and run each for FUZZ_SECONDS (15), JOBS at a time. Usage: run.sh [NAME…]
# Corpora grow in FUZZ_BUILD/corpus (build-fuzz) from run to run. A finding is kept in FUZZ_BUILD/found and printed with
# the command that repeats it. The last line is 'N passed, N failed'.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${FUZZ_BUILD:-build-fuzz}
seconds=${FUZZ_SECONDS:-15}
jobs=${JOBS:-$(nproc)}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# One target: its seeds into its corpus, then libFuzzer. Prints what it found.
one() { # one NAME
    local name=$1 corpus=$build/corpus/$1 log=$build/found/$1.log
    mkdir -p "$corpus"
    "$build/tests/fuzz_${name}_run" --seeds "$corpus" || return 1
    if "$build/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=3000 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$build/found/$name-" "$corpus" >"$log" 2>&1; then
        echo "ok   fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, $(find "$corpus" -type f | wc -l) kept"
        return 0
    fi
    grep -vE '^#[0-9]+|^INFO|^NEW_FUNC' "$log" | head -n 60
    echo "FAIL fuzz $name"
    sed -n "s|.*Test unit written to |repeat with: $build/fuzz/fuzz_$name |p" "$log"
    return 1
}

JOBS=$jobs sh tools/build.sh "$build" -DCMAKE_C_COMPILER=clang -DFUZZ=ON >"${TMPDIR:-/tmp}/holo-fuzz-build.$$" 2>&1
rc=$?
[ $rc -eq 0 ] || cat "${TMPDIR:-/tmp}/holo-fuzz-build.$$"
rm -f "${TMPDIR:-/tmp}/holo-fuzz-build.$$"
if [ $rc -ne 0 ]; then
    echo 'FAIL fuzz targets do not build'
    echo '0 passed, 1 failed'
    exit 1
fi
mkdir -p "$build/found"
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(sed -n 's/^holo_fuzz(\([a-z_]*\) .*/\1/p' tests/fuzz/tests.cmake)

running=0 passed=0 failed=0
reap() {
    if wait -n; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    running=$((running - 1))
}
for name in "${names[@]}"; do
    one "$name" &
    running=$((running + 1))
    [ $running -lt "$jobs" ] || reap
done
while [ $running -gt 0 ]; do
    reap
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
