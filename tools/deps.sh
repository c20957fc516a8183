#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# deps.sh: install the Debian packages that are missing. Usage: deps.sh [build] [test] [bench] [peers] [soak]
# Does nothing, and needs no root, when dpkg says that everything is there.
set -eu

build='gcc libc6-dev make cmake ninja-build pkg-config fuse3 libfuse3-dev libsqlite3-dev libzstd-dev libxxhash-dev
    libjansson-dev util-linux mount'
test='clang libclang-rt-14-dev libcmocka-dev python3 fio sqlite3 acl attr jq git mandoc procps e2fsprogs xfsprogs btrfs-progs'
bench='libisal2' # to compare with; the benches do without
peers='gocryptfs securefs bindfs par2 snapraid seqtk' # the same: who is missing is left out
soak='dbench stress-ng' # their part is left out without them

missing() {
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"
    done
}

wanted=
for set in "${@:-build}"; do
    case $set in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    bench) wanted="$wanted $bench" ;;
    peers) wanted="$wanted $peers" ;;
    soak) wanted="$wanted $soak" ;;
    *) echo "deps.sh: unknown set '$set': build, test, bench, peers and soak are known" >&2; exit 16 ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "deps.sh: not a Debian system; needed are the equivalents of:$(echo "$wanted" | tr -s ' \n' ' ')" >&2
    exit 0
fi
# shellcheck disable=SC2086 # package names are words
need=$(missing $wanted | tr '\n' ' ')
[ -n "$need" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "deps.sh: run as root to install: $need" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
# shellcheck disable=SC2086
exec apt-get -q -y -o Dpkg::Options::=--force-confold install --no-install-recommends $need
