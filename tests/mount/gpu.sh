#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpu.sh: a mount with ecc=cuda on a simulated GPU, which is slow and right: parity by the GPU heals; a GPU that is lost while
# the mount works costs nothing; one that is not there is a clear error.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only
export HOLOFS_CUDA_MODULE=$TESTBIN/../libholofs_sim.so
[ -e "$HOLOFS_CUDA_MODULE" ] || { echo "skipped: the simulated GPU was not built"; exit 77; }

gpu() { # gpu KEY: of the block of the stats
    jq -r --arg k "$1" 'first(.. | objects | select(has("gpu")) | .gpu)[$k]' "$MNT/.holo/stats"
}

write_and_seal() {
    head -c 5000000 /dev/urandom >"$WORK/$1" && cp "$WORK/$1" "$MNT/$1" && "$BIN/holo" seal "$MNT"
}

by_the_gpu() {
    holo_mount ecc=cuda
    local before
    before=$(gpu containers)
    t "files are written and sealed" write_and_seal a
    t_eq "the GPU is there" true "$(gpu present)"
    t "it encoded them" test "$(gpu containers)" -gt "$before"
    t_eq "and failed at nothing" 0 "$(gpu fallbacks)"
    holo_umount
}

# A burst that takes all that parity can give back, in every container that is long enough.
heals() {
    local f
    for f in "$STORE"/containers/000/*.hc; do
        [ "$(stat -c %s "$f")" -lt 700000 ] || dd if=/dev/zero of="$f" bs=4096 seek=40 count=20 conv=notrunc status=none
    done
    holo_mount ecc=scalar
    t "what was encoded by the GPU is healed by the CPU" cmp "$WORK/a" "$MNT/a"
    t "and there was something to heal" test "$(holo_stat repaired_blocks)" -gt 0
    holo_umount
}

lost_on_the_way() {
    local calls
    for calls in 90 110 130; do
        SIM_LOST_AFTER=$calls holo_try_mount ecc=cuda || { t_ok "lost before the mount ($calls)"; continue; }
        t "files are written and sealed with a GPU that is lost ($calls)" write_and_seal "b$calls"
        t_eq "nothing is lost with it ($calls)" 0 "$(holo_stat lost_blocks)"
        t "where the CPU had to answer, the loss is told ($calls)" test "$(gpu fallbacks)" -eq 0 -o "$(gpu lost)" = true
        holo_remount ecc=scalar
        t "the bytes are right ($calls)" cmp "$WORK/b$calls" "$MNT/b$calls"
        holo_umount
    done
    t "the store is clean" "$BIN/holofsck" -n "$STORE"
}

not_there() {
    HOLOFS_CUDA_MODULE=/nonexistent t_not "ecc=cuda without a module is refused" holo_try_mount ecc=cuda
    t "in one line that says why" grep -q "ecc=cuda: no GPU module" "$LOG"
    HOLOFS_CUDA_MODULE=/nonexistent holo_mount ecc=auto
    t_eq "ecc=auto does without" false "$(gpu present)"
    holo_umount
}

holo_format --container-size 1M --size 300M
by_the_gpu
heals
lost_on_the_way
not_there
