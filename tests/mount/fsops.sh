#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fsops.sh: random operations against a model, with remounts between; SEED, SEEDS (12) and OPS (3000) choose them.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
echo "seeds from $seed"
holo_new --container-size 8M
t_program holo_serve "$TESTBIN/fsops" -s "$seed" -c "${SEEDS:-12}" -n "${OPS:-3000}" -r "$WORK/remount" "$MNT"
t_eq "nothing is left behind" "" "$(ls -A "$MNT")"
