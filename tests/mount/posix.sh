#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# posix.sh: POSIX behaviour, ACLs, file handles and what of it outlives a remount.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"

acls() {
    local d=$MNT/acl
    mkdir "$d" && echo x >"$d/f"
    if ! setfacl -m u:54321:rw "$d/f" 2>/dev/null; then
        [ -n "${HOLO_DIR:-}${HOLO_PASSTHROUGH:-}" ] || t_fail "setfacl on a file" "$(setfacl -m u:54321:rw "$d/f" 2>&1)"
        return
    fi
    t_eq "getfacl shows the entry" "user:54321:rw-" "$(getfacl -np "$d/f" | grep 54321)"
    chmod 640 "$d/f"
    t_eq "chmod changes the mask" "mask::r--" "$(getfacl -np "$d/f" | grep mask)"
    t "a default entry" setfacl -d -m g:54331:rwx "$d"
    mkdir "$d/sub" && : >"$d/sub/f"
    t_eq "is inherited by directories" "default:group:54331:rwx" "$(getfacl -np "$d/sub" | grep default:group:54331)"
    t_eq "and by files" "group:54331:rwx" "$(getfacl -np "$d/sub/f" | grep -o 'group:54331:rwx')"
    chmod 700 "$d" "$d/f"
    setfacl -m u:54321:x "$d"
    setfacl -m u:54321:r "$d/f"
    t "an entry lets its user in" setpriv --reuid 54321 --regid 54331 --clear-groups cat "$d/f"
    t_not "and nobody else" setpriv --reuid 54322 --regid 54332 --clear-groups cat "$d/f"
    touch "$d/g" && chown 54321:54331 "$d/g" && chmod 2755 "$d/g" && chmod 755 "$d"
    setpriv --reuid 54321 --regid 54331 --clear-groups setfacl -m u::rwx,g::rwx,o::rx "$d/g"
    t_eq "an owner in the group keeps set-gid" 2775 "$(stat -c %a "$d/g")"
    chmod 2755 "$d/g"
    setpriv --reuid 54321 --regid 54332 --clear-groups setfacl -m u::rwx,g::rwx,o::rx "$d/g"
    t_eq "an owner outside of it loses it" 775 "$(stat -c %a "$d/g")"
    t "entries are removed" setfacl -b "$d/f"
    t_eq "leaving none" "" "$(getfacl -np "$d/f" | grep 54321)"
    # An ACL that says no more than the mode is the mode.
    setfacl -m u::rw,g::r,o::r "$d/f"
    t_eq "a minimal ACL is the mode" 644 "$(stat -c %a "$d/f")"
}

remounted() {
    (cd "$MNT" && mkdir -p keep/dir && echo data >keep/dir/f && ln keep/dir/f keep/hard && ln -s dir/f keep/soft &&
        mkfifo keep/fifo && touch -d '2001-02-03 04:05:06.123456789' keep/dir/f && setfattr -n user.k -v v keep/dir/f)
    t "file handles are given out" "$TESTBIN/handles" save "$MNT" "$WORK/handles" "$MNT/keep/dir" "$MNT/keep/dir/f" "$MNT/keep/hard" "$MNT"
    t "and lead back" "$TESTBIN/handles" check "$MNT" "$WORK/handles"
    echo gone >"$MNT/keep/gone"
    "$TESTBIN/handles" save "$MNT" "$WORK/stale" "$MNT/keep/gone" && rm "$MNT/keep/gone"
    t "a deleted file's handle is stale" "$TESTBIN/handles" stale "$MNT" "$WORK/stale"
    python3 "$MOUNT_TESTS/fingerprint.py" make --inodes "$MNT" >"$WORK/before"
    holo_remount
    t "the tree is the same after a remount, inode numbers and ctimes too" remounted_same
    t "file handles lead back after a remount" "$TESTBIN/handles" check "$MNT" "$WORK/handles"
    echo again >"$MNT/keep/gone"
    t "a deleted file's handle stays stale" "$TESTBIN/handles" stale "$MNT" "$WORK/stale"
}

remounted_same() {
    python3 "$MOUNT_TESTS/fingerprint.py" make --inodes "$MNT" >"$WORK/after" &&
        python3 "$MOUNT_TESTS/fingerprint.py" diff "$WORK/before" "$WORK/after"
}

holo_new
t_program "$TESTBIN/posix" "$MNT"
acls
rm -rf "$MNT"/case-many_entries
remounted
