#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# peers.sh: build what the suite compares with and Debian ships as source only: libfuse's passthrough_ll, out of the examples of
# libfuse3-dev. Usage: peers.sh DIR
set -euo pipefail
mkdir -p "$1"
cd "$1"

examples=/usr/share/doc/libfuse3-dev/examples
if [ ! -e "$examples/passthrough_ll.c" ]; then
    # Small images leave /usr/share/doc out: take the package apart.
    apt-get -q download libfuse3-dev
    dpkg -x libfuse3-dev_*.deb package
    examples=package/usr/share/doc/libfuse3-dev/examples
fi
cp "$examples"/passthrough_ll.c "$examples"/passthrough_helpers.h .
# shellcheck disable=SC2046 # flags are words
cc -O2 -w passthrough_ll.c $(pkg-config fuse3 --cflags --libs) -o passthrough_ll
echo "built $PWD/passthrough_ll (libfuse $(pkg-config --modversion fuse3))"
