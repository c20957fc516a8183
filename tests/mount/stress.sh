#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# stress.sh: other people's stress tools on one mount: stress-ng and dbench (Debian's packages), and fsx of fstests, side by side.
# Usage: stress.sh [PATH-OF-FSX]
# STRESS_SECONDS (10) for each part; STRESSORS chooses among those of stress-ng; STRESS_PARTS='ng dbench fsx'; SEED of fsx.
# Each tool verifies what it does; then the store must be whole.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
fsx=${1:-}
each=${STRESS_SECONDS:-10}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
parts=${STRESS_PARTS:-ng dbench fsx}
stressors=${STRESSORS:-access aio aiol chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl filename flock fpunch fsize
    fstat getdent handle hdd io iomix lease link locka lockf lockofd mknod mmap mmapfork msync open readahead rename seek sendfile splice
    symlink sync-file tee touch utime vm-splice xattr}
ng_ops=0
echo "seed $seed"

# One stressor; what stress-ng itself cannot do here (exit 3 or 4) is no failure.
stressor() {
    local s=$1 rc
    local -a more=()
    case $s in
    mmap) more=(--mmap-file --mmap-bytes 16m) ;;
    hdd) more=(--hdd-bytes 64m --hdd-opts 'wr-rnd,rd-rnd,fsync') ;;
    iomix) more=(--iomix-bytes 64m) ;;
    copy-file) more=(--copy-file-bytes 256m) ;;
    seek) more=(--seek-size 32m) ;;
    fallocate | readahead | sync-file) more=("--$s-bytes" 32m) ;;
    esac
    timeout -k 30 $((each + 120)) stress-ng "--$s" 2 "${more[@]}" -t "$each" --verify --metrics-brief --temp-path "$MNT/ng" >"$WORK/ng.out" 2>&1
    rc=$?
    case $rc in
    0)
        t_ok "stress-ng $s"
        ng_ops=$((ng_ops + $(awk '/\] '"$s"' / { print $5; exit }' "$WORK/ng.out")))
        ;;
    3 | 4) echo "not run: $s: $(grep -m 1 -iE 'skip|not |failed' "$WORK/ng.out")" ;;
    *) t_fail "stress-ng $s" "exit $rc" "$(grep -iE 'fail|error|unexpected|differ' "$WORK/ng.out" | head -n 12)" ;;
    esac
}

run_ng() {
    local s
    mkdir -p "$MNT/ng"
    for s in $stressors; do
        stressor "$s"
    done
    echo "stress-ng: $ng_ops operations as it counts them"
}

one_dbench() { # one_dbench NAME arguments…
    local name=$1
    shift
    # shellcheck disable=SC2016 # sh expands it
    t "$name" sh -c 'timeout -k 30 "$0" dbench "$@" >"$OUT" 2>&1' $((each * 3 + 120)) -D "$MNT/dbench" "$@"
    echo "$name: $(awk '$1 ~ /^[A-Z][A-Za-z_]+$/ && NF == 4 && $2 > 0 { n += $2 } END { print n }' "$OUT") operations; $(grep Throughput "$OUT")"
}

run_dbench() {
    export OUT=$WORK/dbench.out
    mkdir -p "$MNT/dbench"
    one_dbench "dbench, 8 clients" -t $((each * 3)) 8
    one_dbench "dbench, 4 clients, synchronous" -t "$each" -s 4
}

# Several at once, each on a file of its own: buffered, mmap, and O_DIRECT.
run_fsx() {
    [ -n "$fsx" ] || return 0
    local -a pid=()
    local k mix rc
    mkdir -p "$MNT/fsx"
    for k in 0 1 2 3; do
        mix=('' '-f -K' '-Z -R -W -r 4096 -w 4096' '-A -R -W')
        # shellcheck disable=SC2086 # options are words
        (cd "$MNT/fsx" && exec timeout -k 30 $((each * 3 + 300)) "$fsx" ${mix[k]} -q -S $((seed + k)) -N $((each * 400)) \
            -l 1000000 "file$k") >"$WORK/fsx.$k" 2>&1 &
        pid[k]=$!
    done
    for k in 0 1 2 3; do
        wait "${pid[k]}"
        rc=$?
        t_eq "fsx ${mix[k]}" 0 $rc
        grep -h 'All [0-9]* operations' "$WORK/fsx.$k" || true
        [ $rc -eq 0 ] || tail -n 20 "$WORK/fsx.$k"
    done
}

# shellcheck disable=SC2086 # arguments are words
holo_format ${HOLO_MKFS_ARGS:---container-size 16M --ring-size 64M}
holo_mount
for part in $parts; do
    "run_$part"
done
holo_umount
[ -n "${HOLO_DIR:-}${HOLO_PASSTHROUGH:-}" ] || t "the store is whole" "$BIN/holofsck" -n "$STORE"
