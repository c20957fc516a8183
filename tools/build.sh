#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh: configure a build directory once, then build it. Usage: build.sh DIR [cmake arguments…]
set -eu
dir=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
if [ ! -e "$dir/CMakeCache.txt" ] && command -v ninja >/dev/null; then
    set -- -G Ninja "$@"
fi
cmake -S "$top" -B "$dir" "$@" >"${TMPDIR:-/tmp}/holofs-cmake.$$" 2>&1 || {
    cat "${TMPDIR:-/tmp}/holofs-cmake.$$"
    rm -f "${TMPDIR:-/tmp}/holofs-cmake.$$"
    exit 1
}
rm -f "${TMPDIR:-/tmp}/holofs-cmake.$$"
exec cmake --build "$dir" --parallel "${JOBS:-$(nproc)}"
