#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# trees.sh: real trees are copied in, compared with their originals, used, and compared again after a remount.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
limit_mib=${TREES_MIB:-150}

finger() {
    python3 "$MOUNT_TESTS/fingerprint.py" "$@"
}

# The first entries of a directory that fit into the limit, hard links and all.
bounded_copy() { # bounded_copy FROM TO
    local entry size left=$((limit_mib * 1024))
    mkdir -p "$2"
    for entry in "$1"/*; do
        size=$(du -sk "$entry" | cut -f1)
        [ "$size" -le "$left" ] || continue
        left=$((left - size))
        cp -a "$entry" "$2/"
    done
}

odd_tree() { # what real trees seldom hold together
    local d=$1
    mkdir -p "$d/deep/$(printf 'x/%.0s' {1..60})" "$d/empty"
    python3 - "$d" <<'PY'
import os, sys
top = os.fsencode(sys.argv[1])
for name in (b"new\nline", b"\xff\xfe", "ünïcödé".encode(), b"-rf", b" ", b"a" * 255):
    with open(os.path.join(top, name), "wb") as f:
        f.write(name * 10)
with open(top + b"/sparse", "wb") as f:
    f.truncate(1 << 30)
    for off in range(0, 1 << 30, 1 << 26):
        f.seek(off + 12345)
        f.write(b"island")
for size in (1, 4095, 4096, 4097, 131071, 131072, 131073, 1 << 20):
    with open(top + b"/size-%d" % size, "wb") as f:
        f.write(os.urandom(size))
    with open(top + b"/text-%d" % size, "wb") as f:
        f.write((b"the same words over and over again, %d\n" % size) * (size // 40 + 1))
os.link(top + b"/size-4096", top + b"/empty/linked")
os.symlink(b"../size-1", top + b"/empty/soft")
os.symlink(b"nowhere at all", top + b"/dangling")
os.mkfifo(top + b"/fifo", 0o640)
for i in range(20):
    os.setxattr(top + b"/size-1", b"user.n%d" % i, os.urandom(100))
os.chmod(top + b"/size-1", 0o4751)
os.chown(top + b"/size-4095", 12345, 54321)
os.utime(top + b"/size-4097", ns=(1, 1234567890123456789))
PY
}

# Copy a tree into the mount and compare; its fingerprint stays for the comparison after the remount.
copy_tree() { # copy_tree NAME SOURCE
    t "copies $1" cp -a --sparse=always "$2" "$MNT/$1"
    finger make --no-dir-links "$2" >"$WORK/$1.source"
    compare_tree "$1" "$1 is what was copied"
}

compare_tree() { # compare_tree NAME TITLE
    finger make --no-dir-links "$MNT/$1" >"$WORK/$1.copy"
    t "$2" finger diff "$WORK/$1.source" "$WORK/$1.copy"
}

git_history() { # git_history DIR
    local i
    export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
    git init -q -b main "$1" || return 1
    cp -a "$TOP"/base "$1"/
    for ((i = 1; i <= 300; i++)); do
        echo "change $i" >>"$1/file$((i % 17))"
        mkdir -p "$1/dir$((i % 5))"
        date +%N >"$1/dir$((i % 5))/f$i"
        git -C "$1" add -A && git -C "$1" commit -q -m "change $i" || return 1
    done
    [ "$(git -C "$1" rev-list --count HEAD)" -eq 300 ]
}

git_works() { # git_works WHEN
    t "git fsck $1" git -C "$MNT/git" fsck --full --strict
    t_eq "git sees no change $1" "" "$(git -C "$MNT/git" status --porcelain 2>&1)"
}

sqlite_load() {
    python3 - "$1" <<'PY'
import hashlib, multiprocessing, sqlite3, sys
path = sys.argv[1]
def connect():
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    return db
def work(who):
    db = connect()
    for i in range(400):
        db.execute("begin immediate")
        for j in range(5):
            db.execute("insert into t values (?, ?, ?)", (who, i * 5 + j, hashlib.shake_128(b"%d %d" % (who, i * 5 + j)).digest(700)))
        if i % 10 == 9:
            db.execute("update t set text = cast(text || ? as blob) where who = ? and n = ?", (b"!", who, i))
        db.execute("commit")
db = connect()
db.execute("create table t (who int, n int, text blob, primary key (who, n))")
jobs = [multiprocessing.Process(target=work, args=(w,)) for w in range(3)]
[j.start() for j in jobs]
[j.join() for j in jobs]
sys.exit(any(j.exitcode for j in jobs))
PY
}

sqlite_is_right() {
    python3 - "$1" <<'PY'
import hashlib, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
rows = 0
for who, n, text in db.execute("select who, n, text from t"):
    want = hashlib.shake_128(b"%d %d" % (who, n)).digest(700) + (b"!" if n % 10 == 9 and n < 400 else b"")
    assert text == want, (who, n)
    rows += 1
assert rows == 3 * 2000, rows
PY
}

own_build() {
    local src=$MNT/holofs
    mkdir "$src"
    (cd "$TOP" && { git ls-files -z -co --exclude-standard 2>/dev/null || find . -type f -not -path './build*' -print0; } | tar --null -T - -cf -) | tar -C "$src" -xf - || return 1
    cmake -S "$src" -B "$src/build" -G Ninja || return 1
    cmake --build "$src/build" --parallel "$(nproc)" || return 1
    cmake --build "$src/build" | grep 'no work to do'
}

holo_new
copy_tree include /usr/include
bounded_copy /usr/share/doc "$WORK/doc"
copy_tree doc "$WORK/doc"
odd_tree "$WORK/odd"
copy_tree odd "$WORK/odd"
t "a history of 300 commits" git_history "$MNT/git"
git_works "at once"
t "three processes fill a database" sqlite_load "$MNT/db.sqlite"
t "it holds what they wrote" sqlite_is_right "$MNT/db.sqlite"
t "holofs builds on holofs" own_build
finger make --inodes "$MNT" >"$WORK/all.before"

holo_remount
finger make --inodes "$MNT" >"$WORK/all.after"
t "everything is the same after a remount" finger diff "$WORK/all.before" "$WORK/all.after"
for name in include doc odd; do
    compare_tree $name "$name is the same after a remount"
done
git_works "after a remount"
t "git gc" git -C "$MNT/git" gc -q --aggressive --prune=now
git_works "after gc"
t "git clone" git clone -q --no-local "$MNT/git" "$MNT/clone"
t "the database is the same after a remount" sqlite_is_right "$MNT/db.sqlite"
t "everything can be removed" rm -rf "$MNT/include" "$MNT/git" "$MNT/clone" "$MNT/holofs"
t_eq "and only that" "db.sqlite doc odd" "$(cd "$MNT" && echo *)"
