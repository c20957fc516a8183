#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# edges.sh: stores of a few MiB, and one that may take 10 TB with sparse files as large as files get.
. "$(dirname "$0")/lib.sh"
holo_only
holo_work

refused "2 MiB are too little" 'at least [0-9]+ MiB' "$BIN/mkfs.holofs" --size 2M --ring-size 2M --container-size 256K "$WORK/tiny"
holo_new --size 8M --ring-size 2M --container-size 256K --spare 256K
n=0
while [ $n -lt 200 ] && head -c 40000 /dev/urandom >"$WORK/f$n" && dd if="$WORK/f$n" of="$MNT/f$n" conv=fsync status=none 2>/dev/null; do n=$((n + 1)); done
rm -f "$MNT/f$n"
t "8 MiB: some files fit" test $n -gt 10 -a $n -lt 200
all_same() { local i; for ((i = $1; i < n; i++)); do cmp "$WORK/f$i" "$MNT/f$i" || return 1; done; }
t "8 MiB: each is whole" all_same 0
for ((i = 0; i < n / 2; i++)); do rm "$MNT/f$i"; done
t "8 MiB: full, half of it can be deleted" sync "$MNT"
t "8 MiB: a scrub" "$BIN/holo" scrub start --wait "$MNT"
holo_remount
t "8 MiB: the rest is whole after a remount" all_same $((n / 2))
t_eq "8 MiB: healthy" 0 "$("$BIN/holo" status "$MNT" >/dev/null; echo $?)"
holo_umount
t "8 MiB: holofsck finds nothing wrong" "$BIN/holofsck" -n "$STORE"

rm -rf "$STORE"
holo_new --size 10T --container-size 1M --ring-size 8M
for ((i = 0; i < 20; i++)); do
    truncate -s 17592186044415 "$MNT/huge$i"
    printf 'end%s' "$i" | dd of="$MNT/huge$i" bs=1 seek=$((17592186044415 - 100 - i)) conv=notrunc status=none
    printf 'middle%s' "$i" | dd of="$MNT/huge$i" bs=1 seek=9000000000000 conv=notrunc status=none
done
t_eq "10 TB: sizes are right" 17592186044415 "$(stat -c %s "$MNT/huge7")"
t "10 TB: they take nearly nothing" test "$(du -s --block-size=1K "$MNT" | cut -f1)" -lt 2000
holo_remount
t_eq "10 TB: their ends are there" end7 "$(tail -c 107 "$MNT/huge7" | head -c 4)"
t_eq "10 TB: what is between is zeros" 0 "$(dd if="$MNT/huge7" bs=1M skip=5000000 count=1 status=none | tr -d '\000' | wc -c)"
below=$(df --output=size -B1M "$STORE" | tail -n 1)
t "10 TB: df shows no more than the disk has" test "$(df --output=size -B1M "$MNT" | tail -n 1)" -le "$below"
t "10 TB: memory stays small" test "$(holo_stat rss_bytes)" -lt 200000000
t "10 TB: a scrub" "$BIN/holo" scrub start --wait "$MNT"
t_eq "10 TB: healthy" 0 "$("$BIN/holo" status "$MNT" >/dev/null; echo $?)"
holo_umount
t "10 TB: holofsck finds nothing wrong" "$BIN/holofsck" -n "$STORE"
exit
