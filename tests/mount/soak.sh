#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# soak.sh: random operations, crashes and damage with new seeds until SOAK_MINUTES (60) are over.
# Every failure prints the command that repeats it. The last line is 'N passed, N failed'.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
end=$((SECONDS + ${SOAK_MINUTES:-60} * 60))
passed=0 failed=0
out=$(mktemp "${TMPDIR:-/tmp}/holo-soak.XXXXXX")
trap 'rm -f "$out"' EXIT
while [ $SECONDS -lt $end ]; do
    for name in fsops crash damage flips; do
        seed=$((RANDOM * 32768 + RANDOM))
        if SEED=$seed ./run.sh $name >"$out" 2>&1; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            cat "$out"
            echo "repeat with: SEED=$seed tests/mount/run.sh $name"
        fi
        [ $SECONDS -lt $end ] || break
    done
    echo "$((SECONDS / 60)) minutes: $passed passed, $failed failed"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
