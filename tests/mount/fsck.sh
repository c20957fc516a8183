#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fsck.sh: holofsck's --mapfile on an ext4, --path, the file of --resume, --undo and --undo-apply.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

fsck() { # fsck EXIT NAME [arguments…]: the exit code is this; the output is kept
    local want=$1 name=$2 rc
    shift 2
    "$BIN/holofsck" "$@" "$STORE" >"$WORK/fsck.out" 2>"$WORK/fsck.err"
    rc=$?
    [ "$rc" -eq "$want" ] || cat "$WORK/fsck.out" "$WORK/fsck.err"
    t_eq "$name: exit code" "$want" "$rc"
}

verified() { # containers of the last run
    jq -s '.[-1].containers' "$WORK/fsck.out"
}

holo_work
image=$WORK/image disk=$WORK/disk
truncate -s 300M "$image"
mkfs.ext4 -q -b 4096 "$image" && mkdir "$disk" && mount -o loop "$image" "$disk" || { t_fail "an ext4 on a loop device"; exit 1; }
trap 'umount "$WORK/small" 2>/dev/null; umount "$disk" 2>/dev/null || umount -l "$disk"; holo_finish' EXIT
STORE=$disk/store
holo_new --container-size 2M -R 2 --ring-size 4M
mkdir "$MNT/a" "$MNT/b"
for i in 1 2 3 4 5 6; do head -c 3M /dev/urandom >"$MNT/a/$i"; done
head -c 1M /dev/urandom >"$MNT/b/other"
"$BIN/holo" seal "$MNT"
(cd "$MNT" && find . -type f -exec b2sum {} +) | sort >"$WORK/sums"
holo_umount
fsck 0 "sound" -n --json
all=$(verified)

# A map as ddrescue leaves it: three blocks of a container, and the whole superblock 2, were not read. Their bytes are right here.
file=$(find "$STORE/containers" -name '*.hc' -size +2M | sort | sed -n 2p)
physical() { # physical FILE BLOCK: the byte on the device
    filefrag -b4096 -v "$1" | awk -F'[ .:]+' -v b="$2" '$2 ~ /^[0-9]+$/ && b >= $3 && b <= $4 { print ($5 + b - $3) * 4096; exit }'
}
offset=1048576 # as if the filesystem were the first partition
bad() { # bad FILE BLOCK BLOCKS STATUS
    printf '0x%X  0x%X  %s\n' $(($(physical "$1" "$2") + offset)) $(($3 * 4096)) "$4"
}
{
    echo '# Mapfile. Created by GNU ddrescue version 1.27'
    echo '0x00000000     ?               1'
    printf '0x00000000  0x%X  +\n' "$offset"
    bad "$file" 20 3 -
    bad "$STORE/superblock.2" 0 1 '*'
} >"$WORK/map"
fsck 4 "with the map" -n --json --mapfile "$WORK/map" --map-offset 1M
t "with the map: three blocks of that container are bad" \
    jq -se 'any(.[]; .name == "block-bad" and .blocks == 3) and any(.[]; .name == "superblock-copy" and .path == "superblock.2")' "$WORK/fsck.out"
fsck 0 "without it" -n
refused "a map that is none" 'line [0-9]* is not' "$BIN/holofsck" -n --mapfile "$WORK/sums" "$STORE"
refused "a map that is not there" 'No such file' "$BIN/holofsck" -n --mapfile "$WORK/nothing" "$STORE"
dd if=/dev/zero of="$file" bs=4096 seek=20 count=3 conv=notrunc status=none
fsck 1 "what was zeros is repaired" -y --json --mapfile "$WORK/map" --map-offset 1M
fsck 0 "and right then" -n

# One file, a directory, nothing.
fsck 0 "one file" -n --json --path /b/other
few=$(verified)
t "one file: only its containers ($few of $all)" test "$few" -ge 1 -a "$few" -lt $((all / 2))
fsck 0 "a directory" -n --json --path /a
t "a directory: more of them" test "$(verified)" -gt "$few"
fsck 8 "no such path" -n --path /a/none
t "no such path: one line" grep -qx 'holofsck: /a/none: no such file in the store' "$WORK/fsck.err"

# As if a check had stopped before container 5.
uuid=$("$BIN/holo" dump superblock "$STORE/superblock.0" --json | jq -r .uuid | tr -d -)
echo "{\"uuid\":\"$uuid\",\"next_container\":5}" >"$WORK/position"
fsck 0 "the rest" -n --json --resume "$WORK/position"
t "the rest: what comes behind it ($(verified) of $all)" test "$(verified)" -lt "$all" -a "$(verified)" -ge 1
t_not "the position is gone" test -e "$WORK/position"
echo '{"uuid":"00000000000000000000000000000000","next_container":3}' >"$WORK/position"
refused "a position of another store" 'another store' "$BIN/holofsck" -n --resume "$WORK/position" "$STORE"
echo nonsense >"$WORK/position"
refused "no position" 'not a file' "$BIN/holofsck" -n --resume "$WORK/position" "$STORE"

# A repair, and back: with all of its undo file, and when that finds no room.
bytes() { # all names and bytes of the store
    (cd "$STORE" && find . -type f -exec b2sum {} + | sort && find . -type d | sort)
}
undo=$WORK/undo
for i in 30 31 32 200; do dd if=/dev/urandom of="$file" bs=4096 seek=$i count=1 conv=notrunc status=none; done
rm "$STORE/superblock.4" "$STORE/remap.1"
dd if=/dev/urandom of="$STORE/index.db" bs=4096 seek=2 count=1 conv=notrunc status=none
bytes >"$WORK/before"
refused "--undo in the store" 'in the store' "$BIN/holofsck" -y --undo "$STORE/undo" "$STORE"
t_not "--undo with -n" "$BIN/holofsck" -n --undo "$undo" "$STORE"
refused "an undo file that there is not" 'No such file' "$BIN/holofsck" --undo-apply "$undo" "$STORE"
fsck 1 "a repair with --undo" -y --json --undo "$undo"
fsck 0 "it is right then" -n
refused "an undo file that is not empty" 'not empty' "$BIN/holofsck" -y --undo "$undo" "$STORE"
t "undone" "$BIN/holofsck" --undo-apply "$undo" "$STORE"
t_eq "every byte of the store is as it was before the repair" "$(cat "$WORK/before")" "$(bytes)"
fsck 4 "and as bad" -n
mkdir "$WORK/small" && mount -t tmpfs -o size=200k none "$WORK/small"
fsck 13 "a full undo file stops the repair" -y --undo "$WORK/small/undo"
t "a full undo file: one line" grep -q 'small/undo: the repair could not go on: No space left' "$WORK/fsck.err"
t "undone as far as it came" "$BIN/holofsck" --undo-apply "$WORK/small/undo" "$STORE"
t_eq "and every byte is as it was" "$(cat "$WORK/before")" "$(bytes)"
umount "$WORK/small"
fsck 1 "repaired" -y --json --undo "$WORK/undo2"
holo_mount
refused "a mounted store" 'in use' "$BIN/holofsck" --undo-apply "$WORK/undo2" "$STORE"
holo_umount
refused "a store that was mounted since" 'changed since' "$BIN/holofsck" --undo-apply "$WORK/undo2" "$STORE"

holo_mount
t_eq "every byte is as it was" "$(cat "$WORK/sums")" "$( (cd "$MNT" && find . -type f -exec b2sum {} +) | sort)"
holo_umount
