#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""corpse.py MNT TYPE SOURCE: mount a FUSE filesystem there and let its program die at once: the mount stays, dead."""
import ctypes
import os
import sys

mnt, kind, source = sys.argv[1:]
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.mount(source.encode(), mnt.encode(), kind.encode(), 6, options.encode()):
    sys.exit(f"{mnt}: {os.strerror(ctypes.get_errno())}")
