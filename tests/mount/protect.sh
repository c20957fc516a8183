#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# protect.sh: what holo protect says is what another program computes; what it says is survived is survived, and one block more is not.
# On ext4 of its own, with the files in one piece and in many, and on a tmpfs, which does not say where files are.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/mount/disk_lib.sh
. "$(dirname "$0")/disk_lib.sh"
holo_only
disk_own_namespace "$@" # else the ext4 would live on where others have copied the mount, with what it has in memory

expected() {
    python3 "$MOUNT_TESTS/protect.py" "$1" --holo "$BIN/holo" --ino "$ino" "${@:2}" "$STORE"
}

protect() { # the exit code; what it said is in $WORK/said
    "$BIN/holo" protect --json "$@" >"$WORK/said" 2>"$WORK/said.err"
    echo $?
}

said() { # said FILTER
    jq -r "$1" "$WORK/said"
}

disk_on() {
    mount -o loop "$image" "$disk"
}

disk_off() {
    umount "$disk"
}

# The mount is gone and nothing of the disk is in memory.
cold() {
    holo_umount
    disk_off
    disk_on
}

# Free room in pieces of 5 to 40 blocks, so that containers lie scattered.
scatter() {
    local i
    mkdir "$disk/filler"
    for ((i = 0; i < 900; i++)); do
        head -c $(((i * 7 % 36 + 5) * 4096)) /dev/zero >"$disk/filler/$i"
    done
    head -c "$(($(df --output=avail -B1 "$disk" | tail -n 1) - 2000000))" /dev/zero >"$disk/filler/rest"
    sync -f "$disk"
    for ((i = 0; i < 900; i += 2)); do rm "$disk/filler/$i"; done
    sync -f "$disk"
}

as_computed() { # as_computed NAME
    t_eq "$1: sound" 0 "$(protect "$MNT/file")"
    t_eq "$1: stripes, containers, losses and burst" "$(expected expect | jq -c .)" "$(said '{stripes, containers, losses, burst_bytes}' | jq -c .)"
    t_eq "$1: nothing is unsealed, lost or bad" '[0,0,0]' "$(said '[.unsealed_bytes, .lost_bytes, .bad_blocks]' | jq -c .)"
}

# A burst of just that length, at the worst place of the device, and one of one block more.
bursts() { # bursts NAME
    cold
    cp "$image" "$WORK/image.right"
    expected burst --more 0 >"$WORK/places"
    disk_off
    python3 "$MOUNT_TESTS/protect.py" zero --image "$image" "$WORK/places"
    disk_on
    t "$1: the burst hit $(jq length "$WORK/places") blocks" test "$(jq length "$WORK/places")" -gt 20
    holo_mount
    t "$1: a burst of that length is survived" cmp "$WORK/copy" "$MNT/file"
    holo_umount
    disk_off
    cp "$WORK/image.right" "$image"
    disk_on
    expected burst --more 1 >"$WORK/places"
    disk_off
    python3 "$MOUNT_TESTS/protect.py" zero --image "$image" "$WORK/places"
    disk_on
    holo_mount
    cmp "$WORK/copy" "$MNT/file" >"$WORK/cmp" 2>&1
    t "$1: one block more is not, and that is EIO" grep -q 'Input/output error' "$WORK/cmp"
    holo_umount
    disk_off
    cp "$WORK/image.right" "$image"
    disk_on
    holo_mount
}

new_disk() {
    disk=$WORK/disk image=$WORK/image STORE=$disk/store
    mkdir -p "$disk"
    truncate -s 160M "$image"
    mkfs.ext4 -q -F -b 4096 -m 0 "$image"
    disk_on
}

filled() { # a file in several containers, sealed
    head -c 5M /dev/urandom >"$WORK/copy"
    cp "$WORK/copy" "$MNT/file"
    sync "$MNT/file"
}

holo_work
new_disk || { t_fail "an ext4 on a loop device"; exit 1; }
trap 'umount -i "$MNT" 2>/dev/null; [ -z "$PID" ] || WAIT_S=60 holo_wait; umount "$disk" 2>/dev/null || umount -l "$disk"; holo_finish' EXIT
holo_new --container-size 2M -R 2 --ring-size 4M --spare 1M
filled
ino=$(stat -c %i "$MNT/file")
protect "$MNT/file" >/dev/null
t "before sealing some of it has no parity" test "$(said .unsealed_bytes)" -gt 0
t_eq "all of it is somewhere" $((5 << 20)) "$(said '.unsealed_bytes + .sealed_bytes')"
"$BIN/holo" seal "$MNT"
as_computed "in one piece"
t_eq "without reading, the same" "$(said '[.burst_bytes, .losses]' | jq -c .)" "$(protect --quick "$MNT/file" >/dev/null; said '[.burst_bytes, .losses]' | jq -c .)"
bursts "in one piece"

# Blocks of one stripe, as many as it says, then one more.
losses=$(protect "$MNT/file" >/dev/null; said .losses)
expected stripe --blocks 2 >"$WORK/where"
disk_drop() { sync -f "$disk"; echo 3 >/proc/sys/vm/drop_caches 2>/dev/null; }
disk_drop
t_eq "with bad blocks: exit code 1" 1 "$(protect "$MNT/file")"
t_eq "with two bad blocks: two losses less" $((losses - 2)) "$(said .losses)"
t_eq "and they are told" "$((16#$(sed 's/\.hc//' "$WORK/where"))) 2" "$(said '"\(.weakest.container) \(.bad_blocks)"')"
t_eq "and the file is" "$MNT/file" "$(said '.weak[0].path')"
t "in words" grep -q "^weakest .* 2 of $losses blocks are bad now" <("$BIN/holo" protect "$MNT/file")
cold
expected stripe --blocks "$losses" >/dev/null
holo_mount
protect "$MNT/file" >/dev/null
t_eq "as many as it carries: no loss more" 0 "$(said .losses)"
t_eq "then no burst either" 0 "$(said .burst_bytes)"
t "and it reads right" cmp "$WORK/copy" "$MNT/file"
t "healing them" "$BIN/holo" scrub start --wait "$MNT"
as_computed "healed"
cold
expected stripe --blocks $((losses + 1)) >/dev/null
holo_mount
t_eq "one more: exit code 1" 1 "$(protect "$MNT/file")"
t_eq "below zero" -1 "$(said .losses)"
t_not "and it cannot be read" cmp "$WORK/copy" "$MNT/file"
holo_umount
disk_off

# The same with containers in many pieces.
new_disk
scatter
holo_new --container-size 2M -R 2 --ring-size 4M --spare 1M
filled
ino=$(stat -c %i "$MNT/file")
"$BIN/holo" seal "$MNT"
t "its containers lie in many pieces" test "$(filefrag "$STORE"/containers/*/*.hc | grep -oE '[0-9]+ extents' | sort -n | tail -n 1 | tr -dc 0-9)" -gt 5
as_computed "in many pieces"
bursts "in many pieces"
rm "$disk/filler/rest"

# Who asks, and for what.
mkdir "$MNT/folder" && cp "$MNT/file" "$MNT/folder/copy" && : >"$MNT/folder/empty" && truncate -s 10G "$MNT/folder/hole" && ln -s copy "$MNT/folder/link"
t_eq "a folder: all files in it" 0 "$(protect "$MNT/folder")"
t_eq "and their bytes" "3 $((5 << 20))" "$(said '"\(.files) \(.sealed_bytes + .unsealed_bytes)"')"
t_eq "and none of them bad" "0 0" "$(said '"\(.bad_blocks) \(.weak | length)"')"
t "in words as well" grep -q '3 files, ' <("$BIN/holo" protect "$MNT/folder")
t_eq "not of this filesystem" 8 "$(protect "$WORK/copy")"
t_eq "nothing there" 8 "$(protect "$MNT/nothing")"
refused "wrong use" usage "$BIN/holo" protect --frobnicate "$MNT"
chmod 755 "$MNT" && chmod 644 "$MNT/file" && cp "$MNT/file" "$MNT/secret" && chmod 600 "$MNT/secret"
if command -v setpriv >/dev/null; then
    as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN/holo" protect --json "$1" >"$WORK/said" 2>"$WORK/said.err"; echo $?; }
    chmod 700 "$STORE"
    t_eq "a user may ask about what is readable" 0 "$(as_user "$MNT/file")"
    t_eq "but for places on the disk" "null true" "$(said '"\(.burst_bytes) \(.burst | contains("only root"))"')"
    t_eq "and of a secret file nothing" 8 "$(as_user "$MNT/secret")"
fi
ask='import fcntl, sys
try:
    fcntl.ioctl(5, 3 << 30 | 3608 << 16 | ord("h") << 8 | 0xe0, bytearray(3608))
    print("told")
except OSError as e:
    print(e.strerror)'
t_eq "a descriptor for reading tells" told "$(python3 -c "$ask" 5<"$MNT/file")"
t_eq "one for writing does not" 'Bad file descriptor' "$(python3 -c "$ask" 5>>"$MNT/file")"
holo_umount
disk_off

# A store of which two blocks are on spares.
new_disk
mkdir "$STORE"
tar -C "$STORE" -xf "$TOP/tests/golden/v1-remapped.tar.xz"
sync -f "$disk"
holo_mount
t_eq "with remapped blocks: sound" 0 "$(protect "$MNT/raw")"
ino=$(stat -c %i "$MNT/raw")
t_eq "they are told" 2 "$(said .remapped_blocks)"
t_eq "and count where they are" "$(expected expect | jq -c .)" "$(said '{stripes, containers, losses, burst_bytes}' | jq -c .)"
holo_umount
disk_off

mount -t tmpfs -o size=120M holotest "$disk"
holo_new --container-size 2M -R 2 --ring-size 4M
filled
"$BIN/holo" seal "$MNT"
t_eq "on a tmpfs: sound" 0 "$(protect "$MNT/file")"
t_eq "its burst is not known, and why" "null true" "$(said '"\(.burst_bytes) \(.burst | contains("not known"))"')"
holo_umount
