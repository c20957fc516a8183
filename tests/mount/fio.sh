#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fio.sh: fio writes, reads back and verifies every block's own checksum, in many patterns. FIO_MIB (48) is the size
# of a job's file.
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${FIO_MIB:-48}

job() { # job NAME fio arguments…
    local name=$1
    shift
    t "$name" fio --name="$name" --directory="$MNT" --size="${mib}m" --verify=xxhash --verify_fatal=1 --verify_dump=0 --verify_state_save=0 \
        --group_reporting --randrepeat=1 --randseed="${SEED:-1}" --fallocate=none "$@"
    rm -f "$MNT/$name".*
}

# The verification runs in a mount of its own: nothing comes from the page cache.
job_remounted() { # job_remounted NAME fio arguments…
    local name=$1
    shift
    set -- --name="$name" --directory="$MNT" --size="${mib}m" --verify=xxhash --verify_fatal=1 --verify_dump=0 --verify_state_save=0 --fallocate=none "$@"
    t "$name writes" fio "$@" --do_verify=0 --end_fsync=1
    holo_remount
    t "$name verifies after a remount" fio "$@" --verify_only
    rm -f "$MNT/$name".*
}

holo_new
for jobs in 1 4; do
    job seq-4k-x$jobs --rw=write --bs=4k --numjobs=$jobs
    job seq-1m-x$jobs --rw=write --bs=1m --numjobs=$jobs
    job rand-4k-x$jobs --rw=randwrite --bs=4k --numjobs=$jobs
    job rand-odd-x$jobs --rw=randwrite --bsrange=4k-1m --bs_unaligned=0 --numjobs=$jobs
    job mixed-64k-x$jobs --rw=randrw --bs=64k --rwmixread=50 --numjobs=$jobs
done
job fsync --rw=randwrite --bs=16k --fsync=16 --size=8m
job mmap --ioengine=mmap --rw=randwrite --bs=4k
job mmap-mixed --ioengine=mmap --rw=randrw --bs=32k
job direct --direct=1 --rw=randwrite --bs=4k --size=16m
job direct-aio --direct=1 --ioengine=libaio --iodepth=16 --rw=randrw --bs=64k
job compressible --rw=write --bs=128k --buffer_compress_percentage=70 --buffer_compress_chunk=4k
# Read-only, the kernel sends asynchronous direct reads side by side.
job_remounted_ro() {
    set -- --name=direct-ro --directory="$MNT" --size="${mib}m" --verify=xxhash --verify_fatal=1 --verify_dump=0 --verify_state_save=0 \
        --fallocate=none --direct=1 --ioengine=libaio --iodepth=32 --bs=4k
    t "direct-ro writes" fio "$@" --rw=randwrite --do_verify=0 --end_fsync=1
    holo_remount ro,allow_other
    t "direct-ro verifies on a read-only mount" fio "$@" --rw=randread --readonly
    holo_remount
    rm -f "$MNT"/direct-ro.*
}

job_remounted cold-seq --rw=write --bs=1m
job_remounted cold-rand --rw=randwrite --bs=4k --randrepeat=1
job_remounted_ro
