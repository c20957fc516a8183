#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# installed.sh: libwaveecc as a stranger uses it: installed, found with pkg-config, linked with the example, shared and static.
# Usage: installed.sh TOP BUILD CC
set -eu
top=$1 build=$2 cc=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/holofs-installed.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL $*"; exit 1; }

make -s -C "$top" install-library BUILD="$build" DESTDIR="$work" PREFIX=/usr
export PKG_CONFIG_PATH="$work/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$work"
[ -s "$work/usr/share/man/man3/wave_ecc.3" ] || fail 'no manual page'

exported() { nm --extern-only --defined-only "$@" | sed -nE 's/^[0-9a-f]+ [A-Z] //p' | sort; }
wanted=$(sed -nE 's/^[a-z].*[ *](wave_ecc_[a-z_]+)\(.*/\1/p' "$work/usr/include/wave_ecc.h" | sort -u)
[ "$(exported -D "$work/usr/lib/libwaveecc.so.1")" = "$wanted" ] || fail "the shared library exports other names than $wanted"
[ "$(exported "$work/usr/lib/libwaveecc.a")" = "$wanted" ] || fail "the archive exports other names than $wanted"

# shellcheck disable=SC2046 # flags are words
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/shared" "$top/docs/examples/wave_ecc_example.c" $(pkg-config --cflags --libs waveecc)
# shellcheck disable=SC2046
"$cc" -std=c11 -o "$work/static" "$top/docs/examples/wave_ecc_example.c" $(pkg-config --cflags waveecc) "$work/usr/lib/libwaveecc.a"
readelf -d "$work/shared" | grep -q 'NEEDED.*libwaveecc\.so\.1' || fail 'not linked with libwaveecc.so.1'
for program in shared static; do
    LD_LIBRARY_PATH="$work/usr/lib" "$work/$program" "$work/usr/lib/libwaveecc.so.1" | tee "$work/out"
    grep -q 'every byte is right' "$work/out" || fail "the example, $program"
done
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    echo '#include <wave_ecc.h>' | c++ -x c++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags waveecc) - || fail 'C++'
fi

make -s -C "$top" uninstall-library BUILD="$build" DESTDIR="$work" PREFIX=/usr
[ -z "$(find "$work/usr" ! -type d)" ] || fail "left behind: $(find "$work/usr" ! -type d)"
