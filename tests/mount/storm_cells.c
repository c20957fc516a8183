/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storm_cells.c: boards: written by several processes, buffered, O_DIRECT and mapped, and read meanwhile. */
#include "tests/mount/storm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAPPER = WRITERS - 1, BUFFER = SPAN * CELL_BIG };

size_t cell_size(unsigned board)
{
    return board % 2 ? CELL_SMALL : CELL_BIG;
}

void cell_make(unsigned board, unsigned k, uint64_t version, uint8_t *out)
{
    uint64_t head[3] = { board + 1, k, version }, x = version * 1000003 + k * 101 + board;
    size_t size = cell_size(board);
    memcpy(out, head, sizeof(head));
    for (size_t at = sizeof(head); at < size; at += 8) {
        uint64_t v = version % 3 ? random_next(&x) : version; /* every third shrinks */
        memcpy(out + at, &v, 8);
    }
}

uint64_t cell_version(unsigned board, unsigned k, const uint8_t *p)
{
    uint8_t want[CELL_BIG] = { 0 };
    uint64_t head[3];
    memcpy(head, p, sizeof(head));
    if (head[0] && (head[0] != board + 1 || head[1] != k || head[2] == 0))
        return UINT64_MAX;
    if (head[0])
        cell_make(board, k, head[2], want);
    return memcmp(want, p, cell_size(board)) ? UINT64_MAX : head[0] ? head[2] : 0;
}

int board_open(unsigned board, int flags)
{
    char name[16];
    snprintf(name, sizeof(name), "board%u", board);
    return open(name, flags | O_CLOEXEC, 0644);
}

int boards_make(void)
{
    for (unsigned b = 0; b < BOARDS; b++) {
        int fd = board_open(b, O_RDWR | O_CREAT);
        if (fd < 0 || ftruncate(fd, (off_t)(CELLS * cell_size(b))))
            return -1;
        close(fd);
    }
    return 0;
}

static void sync_cells(struct state *s, unsigned n, unsigned b, int fd)
{
    uint64_t done[OWN];
    for (unsigned k = 0; k < OWN; k++)
        done[k] = s->cell[b][n * OWN + k].done;
    int r = fsync(fd);
    if (r && storm_ends(s))
        return;
    if (!check(s, r == 0, "fsync of board %u: %s", b, strerror(errno)))
        return;
    for (unsigned k = 0; k < OWN; k++)
        s->cell[b][n * OWN + k].synced = done[k];
    s->work++;
}

/* Cells [first, first + count) of its own; every eighth version is a hole. */
static bool write_cells(struct state *s, unsigned b, int fd, unsigned first, unsigned count, uint64_t v, uint8_t *buf)
{
    size_t size = cell_size(b), len = count * size;
    off_t off = (off_t)(first * size);
    for (unsigned k = 0; k < count; k++) {
        cell_make(b, first + k, v, buf + k * size);
        s->cell[b][first + k].begun = v;
    }
    bool hole = v % HOLE_EVERY == 0;
    ssize_t n = hole ? fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, (off_t)len) : pwrite(fd, buf, len, off);
    if (n < 0 ? storm_ends(s) : !hole && n < (ssize_t)len && storm_gone(s))
        return false;
    if (!check(s, n == (hole ? 0 : (ssize_t)len), "%s of board %u: %zd, %s", hole ? "a hole" : "a write", b, n, strerror(errno)))
        return false;
    for (unsigned k = 0; k < count; k++)
        s->cell[b][first + k].done = v;
    s->work++;
    return true;
}

/* The first of them writes O_DIRECT where that goes. */
void cell_writer(struct state *s, unsigned n, uint64_t seed)
{
    uint8_t *buf = aligned_alloc(4096, BUFFER);
    int fd[BOARDS];
    for (unsigned b = 0; b < BOARDS; b++)
        fd[b] = board_open(b, O_RDWR | (n == 0 && cell_size(b) == CELL_BIG ? O_DIRECT : 0));
    for (uint64_t v = s->version; !storm_ends(s) && buf;) {
        unsigned b = (unsigned)(random_next(&seed) % BOARDS), count = 1 + (unsigned)(random_next(&seed) % SPAN);
        unsigned first = n * OWN + (unsigned)(random_next(&seed) % (OWN - count + 1));
        if (!write_cells(s, b, fd[b], first, count, ++v, buf))
            break;
        if (v % 16 == 0)
            sync_cells(s, n, b, fd[b]);
        usleep((useconds_t)(random_next(&seed) % 1500)); /* readers shall find cells at rest as well */
    }
    free(buf);
}

/* Through a mapping: what readers see meanwhile may be in between; msync counts as an fsync. */
void cell_mapper(struct state *s, unsigned n, uint64_t seed)
{
    uint8_t *map[BOARDS];
    for (unsigned b = 0; b < BOARDS; b++) {
        int fd = board_open(b, O_RDWR);
        map[b] = mmap(NULL, CELLS * cell_size(b), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (!check(s, map[b] != MAP_FAILED, "board %u is not mapped: %s", b, strerror(errno)))
            return;
    }
    for (uint64_t v = s->version; !storm_ends(s);) {
        unsigned b = (unsigned)(random_next(&seed) % BOARDS), k = (n + MAPPER) * OWN + (unsigned)(random_next(&seed) % OWN);
        struct cell *c = &s->cell[b][k];
        c->begun = ++v;
        cell_make(b, k, v, map[b] + k * cell_size(b));
        c->done = v;
        if (v % 16 == 0) {
            int r = msync(map[b], CELLS * cell_size(b), MS_SYNC);
            if (r && storm_ends(s))
                break;
            if (check(s, r == 0, "msync of board %u: %s", b, strerror(errno)))
                c->synced = v;
            s->work++;
        }
        usleep((useconds_t)(random_next(&seed) % 1500));
    }
}

/*
 * Linux reads pages while another process copies into them, so a cell that is being written may be read in between; one that
 * is not must be what was written last.
 */
void cell_reader(struct state *s, unsigned n, uint64_t seed)
{
    uint64_t before[SPAN];
    uint8_t *buf = aligned_alloc(4096, BUFFER);
    int fd[BOARDS];
    for (unsigned b = 0; b < BOARDS; b++)
        fd[b] = board_open(b, O_RDONLY);
    while (!storm_ends(s) && buf) {
        unsigned b = (unsigned)(random_next(&seed) % BOARDS), count = 1 + (unsigned)(random_next(&seed) % SPAN);
        unsigned first = (unsigned)(random_next(&seed) % (CELLS - count + 1));
        size_t size = cell_size(b);
        if (n == 0 && random_next(&seed) % 4 == 0)
            posix_fadvise(fd[b], 0, 0, POSIX_FADV_DONTNEED);
        for (unsigned k = 0; k < count; k++)
            before[k] = s->cell[b][first + k].done;
        ssize_t got = pread(fd[b], buf, count * size, (off_t)(first * size));
        if (got < 0 ? storm_ends(s) : got < (ssize_t)(count * size) && storm_gone(s))
            break;
        if (!check(s, got == (ssize_t)(count * size), "a read of board %u: %zd, %s", b, got, strerror(errno)))
            break;
        for (unsigned k = 0; k < count; k++) {
            const struct cell *c = &s->cell[b][first + k];
            uint64_t v = before[k], now = c->begun, want = v % HOLE_EVERY || (first + k) / OWN == MAPPER ? v : 0;
            uint64_t is = now == v ? cell_version(b, first + k, buf + k * size) : want;
            check(s, is == want, "board %u: cell %u is version %jd, was told %ju", b, first + k, (intmax_t)is, (uintmax_t)v);
        }
    }
    free(buf);
}

void cells_verify(struct state *s, bool crash)
{
    uint8_t buf[CELL_BIG];
    for (unsigned b = 0; b < BOARDS; b++) {
        int fd = board_open(b, O_RDONLY);
        size_t size = cell_size(b);
        for (unsigned k = 0; k < CELLS; k++) {
            struct cell *c = &s->cell[b][k];
            ssize_t n = pread(fd, buf, size, (off_t)(k * size));
            uint64_t v = n == (ssize_t)size ? cell_version(b, k, buf) : UINT64_MAX, lo = crash ? c->synced : c->done, hi = crash ? c->begun : lo;
            bool hole = v == 0 && k / OWN != MAPPER && hi / HOLE_EVERY * HOLE_EVERY >= lo; /* one of them, or nothing yet */
            /* a mapped cell, or one on two pages, may be sent in between; a page that is written as a whole is not */
            bool torn = v == UINT64_MAX && hi > lo && (size < CELL_BIG || k / OWN == MAPPER);
            check(s, (v >= lo && v <= hi) || hole || torn, "board %u: cell %u is version %jd, should be %ju to %ju", b, k, (intmax_t)v, (uintmax_t)lo,
                  (uintmax_t)hi);
            if (crash) { /* from here on */
                c->done = c->synced = torn ? 0 : v;
                c->begun = torn ? hi : v;
            }
        }
        close(fd);
    }
}
