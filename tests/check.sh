#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check.sh: every test: unit tests, the same with sanitizers, a clang build, fuzz targets, the mounted filesystem.
# The last line is 'N passed, N failed'. STAGES chooses among: unit asan tsan clang fuzz mount.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
stages=${STAGES:-unit asan tsan clang fuzz mount}
jobs=${JOBS:-$(nproc)}
log_dir=$(mktemp -d "${TMPDIR:-/tmp}/holofs-check.XXXXXX")
trap 'rm -rf "$log_dir"' EXIT
passed=0 failed=0

say() { printf '== %s\n' "$*"; }

count() { # count PASSED FAILED
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# Build a directory; a build that fails is one failed test, with its output shown.
build() { # build NAME DIR [cmake arguments…]
    local name=$1 dir=$2
    shift 2
    say "build $name"
    if JOBS=$jobs sh tools/build.sh "$dir" "$@" >"$log_dir/$name" 2>&1; then
        count 1 0
    else
        grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' "$log_dir/$name" | head -n 80
        echo "FAIL build $name"
        count 0 1
        return 1
    fi
}

units() { # units NAME DIR [command before ctest…]
    local name=$1 dir=$2 total bad
    shift 2
    say "unit tests ($name)"
    "$@" ctest --test-dir "$dir" --output-on-failure --timeout 600 -j "$jobs" "${leave_out[@]}" >"$log_dir/ctest" 2>&1
    local rc=$?
    read -r bad total < <(sed -nE 's/.*tests passed, ([0-9]+) tests? failed out of ([0-9]+).*/\1 \2/p' "$log_dir/ctest") || true
    if [ -z "${total:-}" ]; then
        tail -n 40 "$log_dir/ctest"
        echo "FAIL unit tests ($name) did not run (exit $rc)"
        count 0 1
        return
    fi
    if [ "$bad" -gt 0 ]; then
        cat "$log_dir/ctest"
    else
        echo "$total passed"
    fi
    count $((total - bad)) "$bad"
}

# Programs of one thread have no races: ThreadSanitizer has nothing to find in them.
one_thread='^(ecc\.(code|column|container|containers|cost|decode|engines|field|layout|rebuild|success)|fuzz\..*|cuda\.(kernel|device_sim))$'
leave_out=()

# ThreadSanitizer of gcc 12 wants the address layout of older kernels.
no_aslr() {
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}

# Run a script whose last line is 'N passed, N failed', and count that.
counted() { # counted NAME command…
    local name=$1 sum
    shift
    say "$name"
    "$@" 2>&1 | tee "$log_dir/counted"
    sum=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log_dir/counted" | tail -n 1)
    if [ -z "$sum" ]; then
        echo "FAIL $name did not finish"
        count 0 1
    else
        # shellcheck disable=SC2086 # two numbers
        count $sum
    fi
}

for stage in $stages; do
    case $stage in
    unit) build gcc build && units gcc build ;;
    asan) build asan build-asan -DSANITIZE=address &&
        ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 units asan build-asan ;;
    tsan)
        leave_out=(-E "$one_thread")
        build tsan build-tsan -DSANITIZE=thread && TSAN_OPTIONS=halt_on_error=1 units tsan build-tsan no_aslr
        leave_out=()
        ;;
    clang) build clang build-clang -DCMAKE_C_COMPILER=clang -DGPU=OFF ;;
    fuzz) JOBS=$jobs FUZZ_SECONDS=${FUZZ_SECONDS:-20} counted 'fuzz targets' bash tests/fuzz/run.sh ;;
    mount) { [ -x build/bin/holofs ] || build gcc build; } && counted 'mount tests' bash tests/mount/run.sh ;;
    *) echo "check.sh: unknown stage '$stage'" >&2; count 0 1 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
