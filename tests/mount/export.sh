#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# export.sh: holofsck --export copies a tree as it is, writes nothing to the store, and tells what it could not read.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

# What the whole store is: names, sizes, times and bytes.
state_of() {
    (cd "$STORE" && find . -printf '%p %s %T@ %C@\n' | sort && find . -type f | sort | xargs -d '\n' b2sum)
}

look_of() {
    python3 "$MOUNT_TESTS/fingerprint.py" make --no-dir-links "$1"
}

# Without the file that was not synced, and the time of the directory it is in.
but_last() {
    grep -vE '"path": "(later|\.)"' "$@"
}

make_tree() {
    mkdir -p "$MNT/a/b" "$MNT/große Daten"
    seq 400000 >"$MNT/a/text"
    head -c 9000001 /dev/urandom >"$MNT/große Daten/noise"
    ln "$MNT/a/text" "$MNT/a/b/same text"
    ln -s ../text "$MNT/a/b/link"
    ln -s /nowhere/at/all "$MNT/a/dangling"
    truncate -s 1G "$MNT/sparse"
    printf island | dd of="$MNT/sparse" bs=1 seek=700000000 conv=notrunc status=none
    mkfifo "$MNT/a/pipe"
    mknod "$MNT/a/null" c 1 3
    : >"$MNT/empty"
    setfattr -n user.color -v blue "$MNT/a/text"
    setfattr -n user.note -v "$(printf '%3000s')" "$MNT/a/b"
    setfacl -m u:12345:r "$MNT/empty"
    chown 1234:567 "$MNT/a" "$MNT/a/text"
    chmod 4755 "$MNT/große Daten/noise"
    chmod 1777 "$MNT/a/b"
    touch -d '1969-12-31 23:59:58.75 UTC' "$MNT/empty"
    touch -h -d '2001-02-03 04:05:06.789 UTC' "$MNT/a/b/link" "$MNT/a/b" "$MNT/a"
}

exported() { # exported NAME EXIT [arguments…]: the export ends with this exit code and the store is untouched
    local name=$1 want=$2 before rc
    shift 2
    before=$(state_of)
    "$BIN/holofsck" --export "$WORK/out" "$@" "$STORE" >"$WORK/export.out" 2>"$WORK/export.err"
    rc=$?
    t_eq "$name: exit code" "$want" "$rc"
    t_eq "$name: the store is as it was" "$before" "$(state_of)"
}

holo_new --container-size 4M -R 1
make_tree
look_of "$MNT" >"$WORK/original"
holo_umount

exported "a clean store" 0
t "a clean store: the copy is the tree" diff "$WORK/original" <(look_of "$WORK/out")
t "a clean store: the copy is sparse" test "$(stat -c %b "$WORK/out/sparse")" -lt 1000
before=$(look_of "$WORK/out")
exported "a folder that is not empty" 8
t_eq "a folder that is not empty is left alone" "$before" "$(look_of "$WORK/out")"
t "a folder that is not empty: one line says so" grep -q 'not empty' "$WORK/export.err"
rm -rf "$WORK/out"

holo_mount
refused "a store that is mounted" 'in use' "$BIN/holofsck" --export "$WORK/out" "$STORE"
cp "$MNT/a/text" "$MNT/after"
sync "$MNT/after" "$MNT" # not -f: the kernel does not pass that on to FUSE, and what it writes is committed seconds later
cp "$MNT/a/text" "$MNT/later"
look_of "$MNT" >"$WORK/original"
holo_kill
mv "$STORE/index.db" "$WORK/index.db"
printf 'no database' >"$STORE/index.db"
exported "a crashed store without an index" 0
t "a crashed store without an index: what was synced" diff <(but_last "$WORK/original") <(look_of "$WORK/out" | but_last)
rm -rf "$WORK/out"

holo_mount
names=$(look_of "$MNT" | wc -l)
holo_umount
find "$STORE/containers" -type f -size +3M | while read -r file; do # half of each: more than parity carries
    dd if=/dev/zero of="$file" bs=1M seek=1 count=2 conv=notrunc status=none
done
exported "lost bytes" 4 --json
t "lost bytes: path and range" jq -se '[.[] | select(.event == "unreadable" and .length > 0 and (.path | startswith("/")))] | length > 0' "$WORK/export.out"
t "lost bytes: a summary" jq -se '.[-1] | .event == "summary" and .lost_bytes > 0 and .lost_files > 0 and .exit == 4' "$WORK/export.out"
t "lost bytes: all names are there" test "$(find "$WORK/out" | wc -l)" -eq "$names"
t "lost bytes: what was read is right, the rest zero" python3 - "$WORK/out/a/text" <<'EOF'
import sys
want = "".join(f"{i}\n" for i in range(1, 400001)).encode()
got = open(sys.argv[1], "rb").read()
assert len(got) == len(want)
for at in range(0, len(want), 4096):
    assert got[at:at + 4096] in (want[at:at + 4096], bytes(len(want[at:at + 4096]))), at
EOF
