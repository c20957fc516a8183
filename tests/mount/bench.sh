#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bench.sh: the performance suite runs: holofs and passthrough_ll in turns, a result, its tables, a comparison, a plot. Nothing is timed.
# BENCH_PART (small) and BENCH_PEERS choose more of it.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
holo_only
peers=${BENCH_PEERS:-holofs,passthrough_ll}
tools=${HOLO_BIN:+$HOLO_BIN/../bench}

ends_early() { # told to end in the middle, it takes away what it mounted
    "${suite[@]}" run "${opts[@]}" --set files=100000 >"$WORK/early" 2>&1 &
    local pid=$!
    until findmnt -rn -o TARGET | grep -qF "$place/"; do
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.05
    done
    kill "$pid"
    wait "$pid"
    [ $? -eq 1 ] && ! findmnt -rn -o TARGET | grep -F "$place/" && [ -z "$(ls "$place")" ]
}

says() { # says TEXT arguments…: the suite prints it
    local text=$1
    shift
    "${suite[@]}" "$@" >"$WORK/out" && grep -qF -- "$text" "$WORK/out"
}

holo_work
place=$WORK/place
[ ! -w /dev/shm ] || place=$(mktemp -d /dev/shm/holotest.XXXXXX) # what is synced there costs nothing
mkdir -p "$place" "$WORK/peers"
suite=(python3 -B "$TOP/bench/bench.py")
t "passthrough_ll is built from libfuse's examples" bash "$TOP/bench/peers.sh" "$WORK/peers"
opts=(--preset smoke --part "${BENCH_PART:-small}" --place tmpfs --tmpfs-dir "$place" --disk-dir "$place"
    --bin "$BIN" --tools "${tools:-$TOP/build/bench}" --peers-dir "$WORK/peers" --peers "$peers" --mkfs-args '--container-size 4M --spare 4M' --out "$WORK/result.json")
t "the suite runs" "${suite[@]}" run "${opts[@]}"
t "nothing of it stays" test -z "$(ls "$place")"
t "nothing stays of a run that was told to end" ends_early
t "its result names machine, versions and commit" jq -e '.machine.cpu and .versions and (.commit | type == "string") and .failures == []' \
    "$WORK/result.json"
# shellcheck disable=SC2016 # $peers is jq's
t "each filesystem has a figure in each row" jq -e --arg peers "$peers" \
    '[.metrics[].samples | (keys | sort) == ($peers | split(",") | sort)] | length > 4 and all' "$WORK/result.json"
t "figures are rates, with processor time and memory of the daemon" jq -e \
    '[.metrics[].samples.holofs[] | .value > 0 and has("cpu_s") and .rss_mib > 1] | all' "$WORK/result.json"
t "tables can be made again" says '| create, files of 4 KiB | files/s |' table "$WORK/result.json"
t "two results are compared" says '| +0 % |' compare "$WORK/result.json" "$WORK/result.json"
t "the plot is an image" says '</svg>' plot "$WORK/result.json" tmpfs
t_not "an unknown part is refused" "${suite[@]}" run "${opts[@]}" --part nothing
rm -rf --one-file-system "$place"
