#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# mount-store.sh: format a store if it is new, mount it, and say how to go on. Usage: mount-store.sh BINDIR STORE MNT
set -eu
bin=$1 store=$2 mnt=$3

if [ ! -e /dev/fuse ]; then
    modprobe fuse 2>/dev/null || true
fi
mkdir -p "$mnt"
if mountpoint -q "$mnt"; then
    echo "$mnt is mounted already; unmount it with: sudo make unmount MNT=$mnt"
    exit 0
fi
if [ ! -e "$store/superblock.0" ] && [ ! -e "$store/superblock.1" ]; then
    "$bin/mkfs.holofs" "$store"
fi
"$bin/holofs" "$store" "$mnt" -o allow_other
cat <<TXT

holofs keeps the files of $(cd "$mnt" && pwd) in $(cd "$store" && pwd).
  look at it    df -h $mnt; cat $mnt/.holo/health
  unmount it    sudo make unmount MNT=$mnt   (returns when the store is clean)
  check it      sudo $bin/holofsck -n $store  (while it is not mounted)
TXT
