#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fstests.sh: run fstests (xfstests), built elsewhere, on two holofs mounts.
# Usage: fstests.sh PATH [arguments of its check…]     (-g generic/quick)
# Results are below FSTESTS_RESULTS (PATH/results). Stores lie below HOLO_TMP: give it a filesystem of its own, for some
# tests fill it. Its users fsgqa, fsgqa2 and 123456-fsgqa must exist. The mount helpers are put over /usr/sbin in a mount
# namespace of its own; nothing is installed.
set -euo pipefail
if [ -z "${FSTESTS_INSIDE:-}" ]; then
    FSTESTS_INSIDE=1 exec unshare -m --propagation private "$0" "$@"
fi
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
[ -x "${1:-}/check" ] || { echo "usage: ${0##*/} PATH-OF-BUILT-FSTESTS [arguments of check…]" >&2; exit 2; }
suite=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- -g generic/quick

holo_work
mkdir -p "$WORK"/{test,scratch}{,-mnt} "$WORK/sbin"
for s in test scratch; do
    "$BIN/mkfs.holofs" "$WORK/$s" >/dev/null
done
ln -s "$BIN/holofs" "$TOP"/tools/{,u}mount.fuse.holofs "$WORK/sbin/"
mount -t overlay -o "lowerdir=$WORK/sbin:/usr/sbin" overlay /usr/sbin
# It compares what df calls the type with FSTYP, and unmounts what it calls devices: umount(8) takes a directory for a mount point.
# That mounting or unmounting takes long on a busy machine is no failure.
cat >"$WORK/df" <<'TXT'
#!/bin/sh
df -T -P "$@" | sed 's/fuse[.]holofs/fuse/'
TXT
cat >"$WORK/umount" <<TXT
#!/bin/sh
for a; do
    shift
    case \$a in $WORK/test | $WORK/scratch) a=\$a-mnt ;; esac
    set -- "\$@" "\$a"
done
said=\$(umount "\$@" 2>&1)
rc=\$?
[ -z "\$said" ] || printf '%s\n' "\$said" | grep -v 'to become clean\$' >&2
exit \$rc
TXT
cat >"$WORK/mount" <<'TXT'
#!/bin/sh
{ said=$(mount "$@" 2>&1 >&3 3>&-); } 3>&1
rc=$?
[ -z "$said" ] || printf '%s\n' "$said" | grep -v '^holofs: [a-z]* the journal: ' >&2
exit $rc
TXT
chmod +x "$WORK/df" "$WORK/umount" "$WORK/mount"
cat >"$WORK/config" <<TXT
export FSTYP=fuse FUSE_SUBTYP=.holofs DF_PROG=$WORK/df UMOUNT_PROG=$WORK/umount MOUNT_PROG=$WORK/mount
export TEST_DEV=$WORK/test TEST_DIR=$WORK/test-mnt
export SCRATCH_DEV=$WORK/scratch SCRATCH_MNT=$WORK/scratch-mnt
export MOUNT_OPTIONS='-o allow_other,suid,dev' TEST_FS_MOUNT_OPTS='-o allow_other,suid,dev'
TXT
cd "$suite"
rc=0
HOST_OPTIONS=$WORK/config RESULT_BASE=${FSTESTS_RESULTS:-$suite/results} ./check "$@" || rc=$?
for s in test scratch; do
    if mountpoint -q "$WORK/$s-mnt"; then
        umount "$WORK/$s-mnt" || true
    fi
    t "the $s store is whole" "$BIN/holofsck" -n "$WORK/$s"
done
t_eq "check" 0 "$rc"
