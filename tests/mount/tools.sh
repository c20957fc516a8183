#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tools.sh: what holo tells of a mounted store, read as an administrator would: status and events.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only

status() { # the exit code of holo status; what it said is in $WORK/status
    "$BIN/holo" status "$@" >"$WORK/status" 2>&1
    echo $?
}

says() { # says NAME PATTERN: a line of the last status
    if grep -Eq -- "$2" "$WORK/status"; then t_ok "$1"; else t_fail "$1" "no /$2/ in:" "$(cat "$WORK/status")"; fi
}

number() { # number PATH: of status --json
    "$BIN/holo" status --json "$MNT" | jq -r "$1"
}

soon() { # soon NAME command…: it succeeds within ten seconds: statistics follow the log
    local name=$1 i
    shift
    for ((i = 0; i < 100; i++)); do
        "$@" && break
        sleep 0.1
    done
    t "$name" "$@"
}

tells() { # tells FILTER: true of status --json
    [ "$(number "$1")" = true ]
}

room_as_statfs_says() {
    [ "$(stat -f -c %a "$MNT")" -eq $(($(number .space.available_bytes) / 4096)) ]
}

garbage() { # garbage BLOCK COUNT: over the only container of file data
    holo_umount
    dd if=/dev/urandom of="$file" bs=4k seek="$1" count="$2" conv=notrunc status=none
    holo_mount
}

healthy() {
    t_eq "a new store is healthy" 0 "$(status "$MNT")"
    says "in words" '^health +healthy'
    says "nothing was ever verified" '^scrub +never'
    says "its spares" '^spares +0 of [1-9][0-9]* blocks used'
    says "where it is" "^directory +$STORE\$"
    t_eq "as JSON too" 0 "$(status --json "$MNT")"
    soon "the space that statfs tells" room_as_statfs_says
    t_eq "all that is written and not sealed is exposed" true "$(number '.exposed_bytes > 3000000')"
    t_eq "without a mount: all of them" 0 "$(status >/dev/null; grep -q "^$MNT: healthy, " "$WORK/status"; echo $?)"
    t_eq "no mount" 8 "$(status "$WORK")"
    t_eq "no such option" 16 "$(status --frobnicate "$MNT")"
    "$BIN/holo" seal "$MNT"
    soon "sealed: live bytes in containers" tells '.space.live_bytes >= 3000000 and .space.parity_bytes > 0'
    t "a scrub" "$BIN/holo" scrub start --wait "$MNT"
    t_eq "the next status knows of it" 0 "$(status "$MNT")"
    says "when and how it went" '^scrub +finished 20[0-9-]+ [0-9:]+: 0 bad blocks'
    says "everything is verified" '^verified +100 %.*; 0 of [0-9]+ containers never'
}

repaired() {
    garbage 20 5
    t "damage is read over" cmp "$WORK/copy" "$MNT/a file"
    t_eq "what was repaired leaves it healthy" 0 "$(status "$MNT")"
    says "and is counted" '^errors +5 blocks repaired, 0 remapped, 0 lost since mkfs; 5, 0, 0 since'
    "$BIN/holo" events "$MNT" >"$WORK/events"
    t "an event in words" grep -Eq '^20[0-9-]+ [0-9:]+ repaired: bad blocks were made right \(.*path /a file,.* blocks 5\)' "$WORK/events"
    t "as JSON lines they are those of .holo/events" cmp <("$BIN/holo" events --json "$MNT") "$MNT/.holo/events"
    t_eq "none tomorrow" 0 "$("$BIN/holo" events --since "$(date -d tomorrow +%F)" "$MNT" | wc -l)"
    t_eq "all since an hour ago" "$(wc -l <"$WORK/events")" "$("$BIN/holo" events --since 1h "$MNT" | wc -l)"
    refused "a time that is none" usage "$BIN/holo" events --since soon "$MNT"
}

followed() {
    local i
    "$BIN/holo" events --follow --json "$MNT" >"$WORK/follow" &
    local follower=$!
    for ((i = 0; i < 100 && $(wc -l <"$WORK/follow") < 1; i++)); do sleep 0.1; done
    "$BIN/holo" scrub start --wait "$MNT" >/dev/null
    for ((i = 0; i < 100; i++)); do
        grep -q scrub_finished "$WORK/follow" && break
        sleep 0.1
    done
    kill $follower
    wait $follower 2>/dev/null
    t "events that are followed are those that there are, each once" cmp "$MNT/.holo/events" "$WORK/follow"
}

scrubbed() {
    "$BIN/holo" scrub start --rate 64K "$MNT"
    t_eq "a scrub goes on" 0 "$(status "$MNT")"
    says "and how far it is" '^scrub +running, [0-9.]+ %.*: 0 bad blocks'
    "$BIN/holo" scrub cancel "$MNT"
}

read_only() {
    holo_umount
    holo_mount ro,allow_other
    t_eq "for reading only: healthy" 0 "$(status "$MNT")"
    says "and told" '^mount +since 20.* for reading only$'
    t_eq "what it survives can be asked" 0 "$("$BIN/holo" protect "$MNT/a file" >/dev/null; echo $?)"
    t_eq "all of it is sealed" 3145728 "$("$BIN/holo" protect --json "$MNT" | jq .sealed_bytes)"
    holo_umount
    holo_mount
}

lost() {
    garbage 10 $((blocks / 2))
    t_not "half of a container is too much" cmp "$WORK/copy" "$MNT/a file"
    t_eq "data lost" 2 "$(status "$MNT")"
    says "in words" '^health +data lost'
    says "with a reason" '[1-9][0-9]* blocks could not be rebuilt;'
    says "and what to do" 'names the files: put them back from another copy'
    says "and the file" '^ +/a file$'
    t_eq "the same by JSON" '/a file' "$(number '.files_hurt[0]')"
    t_eq "and for all mounts" yes "$([ $(($(status) & 2)) -eq 2 ] && echo yes)"
}

holo_new --container-size 4M -R 2 --size 1G
head -c 3M /dev/urandom >"$WORK/copy"
cp "$WORK/copy" "$MNT/a file" && sync "$MNT/a file"
healthy
file=$(find "$STORE/containers" -name '*.hc' -size +2M | sort | head -n 1)
blocks=$(($(stat -c %s "$file") / 4096))
repaired
followed
scrubbed
read_only
lost
