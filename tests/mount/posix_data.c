/* SPDX-License-Identifier: GPL-2.0-or-later */
/* posix_data.c: bytes: reading, writing, truncation, holes, fallocate, copies, very large offsets. */
#include "tests/mount/posix.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024 };
#define TIB ((off_t)1 << 40)
#define MAX_SIZE (16 * TIB) /* the largest file */

static bool range_is(int fd, off_t off, const uint8_t *want, size_t len)
{
    uint8_t *buf = malloc(len ? len : 1);
    bool same = buf && pread(fd, buf, len, off) == (ssize_t)len && memcmp(buf, want, len) == 0;
    free(buf);
    return same;
}

static bool range_is_zero(int fd, off_t off, size_t len)
{
    uint8_t *zero = calloc(1, len ? len : 1);
    bool same = zero && range_is(fd, off, zero, len);
    free(zero);
    return same;
}

static int new_file(size_t len, uint64_t seed, uint8_t **bytes)
{
    *bytes = malloc(len);
    posix_pattern(*bytes, len, seed);
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
    OK(fd >= 0 && write(fd, *bytes, len) == (ssize_t)len, "writes a file");
    return fd;
}

static void reads_what_was_written(void)
{
    uint8_t *b;
    int fd = new_file(3 * MIB + 123, 1, &b);
    OK(range_is(fd, 0, b, 3 * MIB + 123), "the whole file");
    OK(range_is(fd, 4095, b + 4095, 2), "across a block");
    OK(range_is(fd, 131071, b + 131071, 70000), "across a chunk");
    char tail[10];
    OK(pread(fd, tail, 10, 3 * MIB + 120) == 3, "a read at the end is short");
    OK(pread(fd, tail, 10, 3 * MIB + 123) == 0, "a read past the end is empty");
    posix_pattern(b + 5000, 3333, 2);
    OK(pwrite(fd, b + 5000, 3333, 5000) == 3333, "overwrites the middle");
    OK(fsync(fd) == 0 && range_is(fd, 0, b, 3 * MIB + 123), "only the middle changed");
    OK(pwrite(fd, "", 0, 10 * MIB) == 0, "an empty write");
    struct stat st;
    OK(fstat(fd, &st) == 0 && st.st_size == 3 * MIB + 123, "does not grow the file");
    close(fd);
    free(b);
}

static void vectors_are_written_in_order(void)
{
    char a[] = "abc", b[] = "defg", c[] = "h";
    struct iovec v[] = { { a, 3 }, { b, 4 }, { c, 1 } };
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(pwritev(fd, v, 3, 4094) == 8, "pwritev across a block");
    OK(range_is(fd, 4094, (const uint8_t *)"abcdefgh", 8), "reads back");
    OK(range_is_zero(fd, 0, 4094), "zeros in front");
    close(fd);
}

static void truncate_both_ways(void)
{
    uint8_t *b;
    struct stat st;
    int fd = new_file(300000, 3, &b);
    OK(ftruncate(fd, 100001) == 0 && fstat(fd, &st) == 0 && st.st_size == 100001, "shrinks");
    OK(range_is(fd, 0, b, 100001), "keeps what is in front");
    OK(ftruncate(fd, 300000) == 0 && fstat(fd, &st) == 0 && st.st_size == 300000, "grows");
    OK(range_is(fd, 0, b, 100001) && range_is_zero(fd, 100001, 199999), "old bytes do not come back");
    OK(fsync(fd) == 0 && range_is_zero(fd, 100001, 199999), "nor after fsync");
    OK(truncate("f", 0) == 0 && fstat(fd, &st) == 0 && st.st_size == 0, "to nothing");
    OK(truncate("f", 5) == 0 && range_is_zero(fd, 0, 5), "and up by a few bytes");
    FAILS(ftruncate(fd, -1), EINVAL, "a negative length is EINVAL");
    close(fd);
    FAILS(truncate("missing", 0), ENOENT, "a missing file is ENOENT");
    FAILS(truncate(".", 0), EISDIR, "a directory is EISDIR");
    fd = open("f", O_RDONLY);
    FAILS(ftruncate(fd, 0), EINVAL, "a read-only descriptor is EINVAL");
    close(fd);
    free(b);
}

static void holes_read_as_zeros_and_are_found(void)
{
    uint8_t *b = malloc(MIB);
    posix_pattern(b, MIB, 4);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(pwrite(fd, b, MIB, 4 * MIB) == MIB && pwrite(fd, b, MIB, 12 * MIB) == MIB, "two islands");
    OK(ftruncate(fd, 20 * MIB) == 0 && fsync(fd) == 0, "a hole at the end");
    OK(range_is_zero(fd, 0, 4 * MIB) && range_is_zero(fd, 5 * MIB, 7 * MIB) && range_is_zero(fd, 13 * MIB, 7 * MIB), "holes are zeros");
    OK(range_is(fd, 4 * MIB, b, MIB) && range_is(fd, 12 * MIB, b, MIB), "islands hold their bytes");
    struct stat st;
    OK(fstat(fd, &st) == 0 && st.st_blocks * 512 < 6 * MIB, "holes take no space");
    /* While a file is open for writing, everything may be said to be data: the kernel may hold dirty pages. */
    close(fd);
    fd = open("f", O_RDONLY);
    off_t data = lseek(fd, 0, SEEK_DATA);
    OK(data <= 4 * MIB && data >= 0, "SEEK_DATA does not pass data");
    OK(data > 3 * MIB, "SEEK_DATA skips the hole");
    off_t hole = lseek(fd, 4 * MIB, SEEK_HOLE);
    OK(hole >= 5 * MIB && hole < 6 * MIB, "SEEK_HOLE finds the end of the data");
    OK(lseek(fd, 0, SEEK_HOLE) == 0, "a file that starts with a hole");
    OK(lseek(fd, 12 * MIB, SEEK_HOLE) < 14 * MIB, "the hole at the end");
    FAILS(lseek(fd, 20 * MIB, SEEK_DATA), ENXIO, "SEEK_DATA at the end is ENXIO");
    FAILS(lseek(fd, 14 * MIB, SEEK_DATA), ENXIO, "SEEK_DATA in the last hole is ENXIO");
    close(fd);
    free(b);
}

/* Bytes that were just written and are still dirty in memory must count as data: cp --sparse relies on it. */
static void dirty_data_is_not_a_hole(void)
{
    uint8_t *b = malloc(64 * KIB);
    posix_pattern(b, 64 * KIB, 5);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(ftruncate(fd, 8 * MIB) == 0, "a sparse file");
    OK(pwrite(fd, b, 64 * KIB, MIB) == 64 * KIB, "a write into it");
    off_t data = lseek(fd, 0, SEEK_DATA);
    OK(data >= 0 && data <= MIB, "SEEK_DATA sees it at once");
    OK(lseek(fd, MIB, SEEK_HOLE) >= MIB + 64 * KIB, "SEEK_HOLE does not hide it");
    close(fd);
    free(b);
}

static bool has_fallocate(int fd, int mode, const char *name)
{
    if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
        return true;
    OK(errno == EOPNOTSUPP, name);
    posix_skip(name);
    return false;
}

static void fallocate_reserves(void)
{
    uint8_t *b;
    struct stat st;
    int fd = new_file(10000, 6, &b);
    if (has_fallocate(fd, 0, "fallocate is not supported")) {
        OK(fallocate(fd, 0, 8000, 100000) == 0 && fstat(fd, &st) == 0 && st.st_size == 108000, "grows the file");
        OK(range_is(fd, 0, b, 10000) && range_is_zero(fd, 10000, 98000), "keeps bytes, adds zeros");
        OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 200000, 100000) == 0 && fstat(fd, &st) == 0 && st.st_size == 108000, "KEEP_SIZE keeps it");
        OK(posix_fallocate(fd, 0, 50000) == 0 && range_is(fd, 0, b, 10000), "over data changes nothing");
        FAILS(fallocate(fd, 0, 0, 0), EINVAL, "a length of 0 is EINVAL");
    }
    close(fd);
    free(b);
}

static void fallocate_punches_holes(void)
{
    uint8_t *b;
    struct stat before, after;
    int fd = new_file(4 * MIB, 7, &b);
    OK(fsync(fd) == 0, "fsync");
    if (has_fallocate(fd, FALLOC_FL_PUNCH_HOLE, "punching is not supported")) {
        memset(b, 0, 4096);
        OK(fstat(fd, &before) == 0, "fstat");
        OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, MIB) == 0, "punches");
        memset(b + 5000, 0, MIB);
        OK(range_is(fd, 0, b, 4 * MIB), "zeros there, bytes elsewhere");
        OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * MIB, 5 * MIB) == 0, "punches past the end");
        memset(b + 3 * MIB, 0, MIB);
        OK(fstat(fd, &after) == 0 && after.st_size == 4 * MIB, "the size stays");
        OK(range_is(fd, 0, b, 4 * MIB), "still the right bytes");
        OK(fsync(fd) == 0 && fstat(fd, &after) == 0 && after.st_blocks < before.st_blocks, "space is given back");
        FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP, "without KEEP_SIZE it is refused");
    }
    close(fd);
    free(b);
}

static void fallocate_zeroes_ranges(void)
{
    uint8_t *b;
    struct stat st;
    int fd = new_file(MIB, 8, &b);
    if (has_fallocate(fd, FALLOC_FL_ZERO_RANGE, "zeroing is not supported")) {
        memset(b, 0, 4096);
        OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 100000, 200000) == 0, "zeroes inside");
        memset(b + 100000, 0, 200000);
        OK(range_is(fd, 0, b, MIB), "zeros there, bytes elsewhere");
        OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, MIB - 10, 5000) == 0, "KEEP_SIZE past the end");
        OK(fstat(fd, &st) == 0 && st.st_size == MIB, "keeps the size");
        OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, MIB - 10, 5010) == 0 && fstat(fd, &st) == 0 && st.st_size == MIB + 5000, "grows without it");
        memset(b + MIB - 10, 0, 10);
        OK(range_is(fd, 0, b, MIB) && range_is_zero(fd, MIB, 5000), "the right bytes");
    }
    close(fd);
    free(b);
}

static void st_blocks_follow_the_data(void)
{
    struct stat st;
    uint8_t *b = malloc(4 * MIB);
    posix_pattern(b, 4 * MIB, 9);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(fstat(fd, &st) == 0 && st.st_blocks == 0, "an empty file has none");
    OK(write(fd, b, 4 * MIB) == 4 * MIB && fsync(fd) == 0, "writes 4 MiB");
    OK(fstat(fd, &st) == 0 && st.st_blocks * 512 >= 4 * MIB && st.st_blocks * 512 < 5 * MIB, "has about as many");
    OK(ftruncate(fd, MIB) == 0 && fsync(fd) == 0 && fstat(fd, &st) == 0 && st.st_blocks * 512 <= 5 * MIB / 4, "fewer after a truncation");
    OK(ftruncate(fd, 100 * MIB) == 0 && fstat(fd, &st) == 0 && st.st_blocks * 512 <= 5 * MIB / 4, "not more for a hole");
    close(fd);
    free(b);
}

static void copy_file_range_copies(void)
{
    uint8_t *b;
    int in = new_file(2 * MIB, 10, &b);
    int out = open("g", O_RDWR | O_CREAT, 0644);
    off_t from = 1000, to = 5000;
    size_t left = MIB;
    while (left > 0) {
        ssize_t n = copy_file_range(in, &from, out, &to, left, 0);
        if (n <= 0)
            break;
        left -= (size_t)n;
    }
    OK(left == 0, "copies all of it");
    OK(range_is(out, 5000, b + 1000, MIB) && range_is_zero(out, 0, 5000), "to the right place");
    from = 0;
    to = MIB + MIB / 2;
    OK(copy_file_range(in, &from, in, &to, 4096, 0) == 4096 && range_is(in, MIB + MIB / 2, b, 4096), "inside one file");
    from = 10;
    to = 20;
    FAILS((int)copy_file_range(in, &from, in, &to, 4096, 0), EINVAL, "overlapping ranges are EINVAL");
    from = 5 * MIB;
    OK(copy_file_range(in, &from, out, &to, 10, 0) == 0, "behind the end there is nothing");
    close(in);
    close(out);
    free(b);
}

/* With a write-back cache in front the error of a write comes with its fsync. */
static bool is_too_big(off_t off)
{
    int fd = open("beyond", O_RDWR | O_CREAT | O_TRUNC, 0644);
    bool refused = (pwrite(fd, "x", 1, off) == -1 && errno == EFBIG) || (fsync(fd) == -1 && errno == EFBIG);
    int err = errno;
    close(fd);
    unlink("beyond");
    errno = err;
    return refused;
}

static void sixteen_tebibytes(void)
{
    char c = 'x', back = 0;
    struct stat st;
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    OK(pwrite(fd, &c, 1, MAX_SIZE - 1) == 1, "writes the last byte");
    OK(fsync(fd) == 0, "fsync");
    OK(fstat(fd, &st) == 0 && st.st_size == MAX_SIZE, "the size is 16 TiB");
    OK(pread(fd, &back, 1, MAX_SIZE - 1) == 1 && back == 'x', "reads it back");
    OK(range_is_zero(fd, 0, 4096) && range_is_zero(fd, 8 * TIB, 65536) && range_is_zero(fd, MAX_SIZE - 65537, 65536), "a hole in front");
    int reader = open("f", O_RDONLY);
    OK(lseek(reader, MAX_SIZE - 1, SEEK_DATA) == MAX_SIZE - 1, "SEEK_DATA finds the byte");
    close(reader);
    OK(is_too_big(MAX_SIZE), "one byte more is EFBIG");
    FAILS(ftruncate(fd, MAX_SIZE + 1), EFBIG, "so is a truncation beyond");
    OK(is_too_big(LLONG_MAX - 1), "and a write at the largest offset");
    OK(ftruncate(fd, 0) == 0, "and back to nothing");
    close(fd);
}

static void read_only_and_write_only_descriptors(void)
{
    char c = 0;
    OK(posix_put("f", "abc") == 0, "writes");
    int fd = open("f", O_WRONLY);
    FAILS((int)read(fd, &c, 1), EBADF, "reading a write-only descriptor is EBADF");
    OK(pwrite(fd, "X", 1, 1) == 1, "a partial write through it");
    close(fd);
    OK(posix_holds("f", "aXc"), "leaves the neighbours alone");
    fd = open("f", O_RDONLY);
    FAILS((int)write(fd, &c, 1), EBADF, "writing a read-only descriptor is EBADF");
    close(fd);
}

/* Through the page cache, for as long as *arg is set. */
static void *keep_reading(void *arg)
{
    uint8_t *buf = malloc(640 * KIB);
    int fd = open("f", O_RDONLY);
    while (buf && atomic_load((atomic_bool *)arg) && pread(fd, buf, 640 * KIB, 0) >= 0)
        ;
    close(fd);
    free(buf);
    return NULL;
}

/* One asynchronous write of the whole range, and its end. */
static bool write_async(aio_context_t aio, int fd, const uint8_t *b, size_t len)
{
    struct iocb cb = { .aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uintptr_t)b, .aio_nbytes = len };
    struct iocb *list[] = { &cb };
    struct io_event done = { 0 };
    return syscall(SYS_io_submit, aio, 1L, list) == 1 && syscall(SYS_io_getevents, aio, 1L, 1L, &done, NULL) == 1 &&
           done.res == (int64_t)len;
}

/*
 * What is read while an O_DIRECT write is under way may be old or new; it must not stay in the page cache when it is old.
 * passthrough_ll fails here on Linux 6.18: it has the kernel write asynchronously (FUSE_CAP_ASYNC_DIO).
 */
static void async_direct_writes_leave_no_stale_pages(void)
{
    enum { LEN = 640 * KIB, ROUNDS = 40, READERS = 2 };
    uint8_t *b = aligned_alloc(4096, LEN);
    aio_context_t aio = 0;
    pthread_t reader[READERS];
    atomic_bool going = true;
    unsigned wrong = 0, failed = 0;
    posix_pattern(b, LEN, 11);
    OK(posix_put("f", "") == 0 && truncate("f", LEN) == 0, "makes a file");
    int cached = open("f", O_RDONLY), direct = open("f", O_RDWR | O_DIRECT);
    OK(cached >= 0 && direct >= 0 && syscall(SYS_io_setup, 4L, &aio) == 0, "opens it O_DIRECT");
    OK(pwrite(direct, b, LEN, 0) == LEN, "fills it");
    for (int k = 0; k < READERS; k++)
        pthread_create(&reader[k], NULL, keep_reading, &going);
    for (uint64_t r = 0; r < ROUNDS && !wrong && !failed; r++) {
        posix_pattern(b, LEN, 12 + r);
        failed += !write_async(aio, direct, b, LEN);
        wrong += !range_is(cached, 0, b, LEN);
    }
    atomic_store(&going, false);
    for (int k = 0; k < READERS; k++)
        pthread_join(reader[k], NULL);
    OK(!failed, "writes asynchronously");
    OK(!wrong, "a read after the write sees it, other readers or not");
    OK(range_is(direct, 0, b, LEN), "so does a direct read");
    syscall(SYS_io_destroy, aio);
    close(direct);
    close(cached);
    free(b);
}

const struct posix_case posix_data_cases[] = {
    { "read_write", reads_what_was_written },
    { "pwritev", vectors_are_written_in_order },
    { "descriptors", read_only_and_write_only_descriptors },
    { "truncate", truncate_both_ways },
    { "holes", holes_read_as_zeros_and_are_found },
    { "dirty_seek", dirty_data_is_not_a_hole },
    { "fallocate", fallocate_reserves },
    { "punch_hole", fallocate_punches_holes },
    { "zero_range", fallocate_zeroes_ranges },
    { "st_blocks", st_blocks_follow_the_data },
    { "copy_file_range", copy_file_range_copies },
    { "async_direct", async_direct_writes_leave_no_stale_pages },
    { "sixteen_tib", sixteen_tebibytes },
    { NULL, NULL },
};
