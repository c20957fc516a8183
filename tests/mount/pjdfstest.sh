#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pjdfstest.sh: run pjdfstest, built elsewhere, on a holofs mount. Usage: pjdfstest.sh PATH [chown rename/00.t …]
# HOLO_DIR runs it on a plain directory instead. Needs prove(1). It is asked all that ext4 is asked: a df(1) of its own says EXT4
# to it, for some checks (ctime after a rename) are left out for filesystems that the suite does not know.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ -x "${1:-}/pjdfstest" ] || { echo "usage: ${0##*/} PATH-OF-BUILT-PJDFSTEST [test…]" >&2; exit 2; }
suite=$(cd "$1" && pwd)
shift
HOLO_MOUNT_OPTS=allow_other,suid,dev holo_new
mkdir "$WORK/bin" && printf '#!/bin/sh\necho none ext4\n' >"$WORK/bin/df" && chmod +x "$WORK/bin/df"
PATH=$WORK/bin:$PATH
mkdir -p "$MNT/pjd" && cd "$MNT/pjd" || exit 1
[ $# -gt 0 ] || set -- .
prove -r "${@/#/$suite/tests/}" | tee "$WORK/prove.out" | grep -vE '[.]+ (ok|skipped.*)$'
cd / || exit 1
t "all of it passes: $(grep -E '^Files=' "$WORK/prove.out")" grep -q '^Result: PASS' "$WORK/prove.out"
rm -rf "$MNT/pjd"
holo_umount
[ -n "${HOLO_DIR:-}" ] || t "the store is whole" "$BIN/holofsck" -n "$STORE"
