/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_undo.c: the undo file, and the backing that writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/format.h"
#include "store/undo.h"

enum { BLOCKS = 40 };
static const uint8_t uuid[16] = "an undo file's.";

struct env {
    char path[64];
    struct backing *memory, *fault, *b;
    struct undo_keeper *k;
};

static void fill(uint8_t *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((i * 2654435761u + seed) >> 7);
}

static void make_file(struct backing *b, const char *name, size_t len, unsigned seed)
{
    struct bfile *f;
    uint8_t *p = malloc(len);
    fill(p, len, seed);
    assert_int_equal(b->ops->open(b, name, BACKING_WRITE | BACKING_CREATE, &f), 0);
    assert_int_equal(bfile_pwrite(f, p, len, 0), 0);
    f->ops->close(f);
    free(p);
}

static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    struct undo_file u;
    snprintf(e->path, sizeof(e->path), "%s/holofs-undo-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    close(mkstemp(e->path));
    assert_int_equal(backing_memory_create(64 << 20, &e->memory), 0);
    assert_int_equal(backing_fault_create(e->memory, 1, &e->fault), 0);
    assert_int_equal(undo_create(e->path, uuid, &u), 0);
    assert_int_equal(undo_keeper_create(&u, &e->k), 0);
    make_file(e->memory, "file", BLOCKS * BLOCK_SIZE + 100, 1);
    assert_int_equal(backing_undo(e->k, e->fault, &e->b), 0);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    if (e->k)
        undo_keeper_finish(e->k);
    e->b->ops->close(e->b); /* and fault */
    e->memory->ops->close(e->memory);
    unlink(e->path);
    free(e);
    return 0;
}

/* ---- what is in the file ---- */

struct seen {
    unsigned n[UNDO_STATE + 1];
    unsigned blocks[UNDO_STATE + 1];
    uint64_t first_unreadable;
};

static int see(void *arg, const struct undo_record *r, const uint8_t *payload)
{
    struct seen *s = arg;
    uint8_t want[(BLOCKS + 1) * BLOCK_SIZE];
    assert_in_range(r->kind, UNDO_FILE, UNDO_STATE);
    s->n[r->kind]++;
    s->blocks[r->kind] += r->blocks;
    if (r->kind == UNDO_UNREADABLE)
        s->first_unreadable = r->block;
    if (r->kind == UNDO_IMAGE) {
        memset(want, 0, sizeof(want));
        fill(want, BLOCKS * BLOCK_SIZE + 100, 1);
        assert_memory_equal(payload, want + r->block * BLOCK_SIZE, r->len);
    }
    return 0;
}

/* Ends the keeper. */
static struct seen finish(struct env *e)
{
    struct seen s = { 0 };
    struct undo_file u;
    assert_int_equal(undo_keeper_finish(e->k), 0);
    e->k = NULL;
    assert_int_equal(undo_open(e->path, true, &u), 0);
    assert_int_equal(u.state, UNDO_FINISHED);
    assert_memory_equal(u.uuid, uuid, 16);
    assert_int_equal(undo_each(&u, see, &s), 0);
    undo_close(&u);
    return s;
}

static struct bfile *open_file(struct env *e, const char *name, int flags)
{
    struct bfile *f;
    assert_int_equal(e->b->ops->open(e->b, name, flags, &f), 0);
    return f;
}

/* ---- keeping ---- */

static void a_block_is_kept_once_with_its_neighbours(void **state)
{
    struct env *e = *state;
    uint8_t p[BLOCK_SIZE] = { 1 };
    struct bfile *f = open_file(e, "file", BACKING_WRITE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bfile_pwrite(f, p, 100, 20 * BLOCK_SIZE + 5), 0);
    assert_int_equal(bfile_pwrite(f, p, 100, 22 * BLOCK_SIZE - 50), 0);
    f->ops->close(f);
    struct seen s = finish(e);
    assert_int_equal(s.n[UNDO_FILE], 1);
    assert_int_equal(s.blocks[UNDO_IMAGE], 16);
    assert_int_equal(s.n[UNDO_WHOLE], 0);
}

static void what_is_cut_off_is_kept(void **state)
{
    struct env *e = *state;
    struct bfile *f = open_file(e, "file", BACKING_WRITE);
    assert_int_equal(f->ops->truncate(f, 33 * BLOCK_SIZE), 0);
    assert_int_equal(f->ops->truncate(f, 90 * BLOCK_SIZE), 0);
    f->ops->close(f);
    struct seen s = finish(e);
    assert_int_equal(s.blocks[UNDO_IMAGE], BLOCKS + 1 - 32); /* from the group of block 33 on, with the last part of a block */
}

static void a_name_that_goes_is_kept_whole_and_one_that_comes_only_named(void **state)
{
    struct env *e = *state;
    uint8_t p[BLOCK_SIZE] = { 1 };
    struct bfile *f = open_file(e, "file.new", BACKING_WRITE | BACKING_CREATE | BACKING_TRUNC);
    assert_int_equal(bfile_pwrite(f, p, sizeof(p), 0), 0);
    assert_int_equal(e->b->ops->rename(e->b, "file.new", "file"), 0);
    assert_int_equal(bfile_pwrite(f, p, sizeof(p), 0), 0);
    f->ops->close(f);
    assert_int_equal(e->b->ops->unlink(e->b, "file"), 0);
    assert_int_equal(e->b->ops->mkdir(e->b, "dir"), 0);
    assert_int_equal(e->b->ops->mkdir(e->b, "dir"), 0);
    struct seen s = finish(e);
    assert_int_equal(s.n[UNDO_ABSENT], 1);
    assert_int_equal(s.n[UNDO_FILE], 1);
    assert_int_equal(s.n[UNDO_WHOLE], 1);
    assert_int_equal(s.blocks[UNDO_IMAGE], BLOCKS + 1);
    assert_int_equal(s.n[UNDO_DIR_ABSENT], 1);
}

static void zeros_take_no_room(void **state)
{
    struct env *e = *state;
    struct bfile *f = open_file(e, "file", BACKING_WRITE);
    struct stat before, after;
    assert_int_equal(f->ops->truncate(f, 3000 * BLOCK_SIZE), 0);
    f->ops->close(f);
    assert_int_equal(e->memory->ops->rename(e->memory, "file", "zeros"), 0); /* as if it had been there */
    assert_int_equal(stat(e->path, &before), 0);
    assert_int_equal(e->b->ops->unlink(e->b, "zeros"), 0);
    assert_int_equal(stat(e->path, &after), 0);
    assert_true(after.st_size - before.st_size < (BLOCKS + 2) * BLOCK_SIZE + 2000);
    struct seen s = finish(e);
    assert_int_equal(s.blocks[UNDO_ZEROS], 3000 - BLOCKS - 1);
}

static void what_cannot_be_read_is_told(void **state)
{
    struct env *e = *state;
    const struct fault_rule rule = { .ops = FAULT_READ, .kind = FAULT_ERROR, .err = EIO, .from = 20 * BLOCK_SIZE, .to = 21 * BLOCK_SIZE };
    uint8_t p[2 * BLOCK_SIZE] = { 1 };
    backing_fault_add(e->fault, &rule);
    struct bfile *f = open_file(e, "file", BACKING_WRITE);
    assert_int_equal(bfile_pwrite(f, p, sizeof(p), 20 * BLOCK_SIZE), 0);
    f->ops->close(f);
    struct seen s = finish(e);
    assert_int_equal(s.blocks[UNDO_UNREADABLE], 1);
    assert_int_equal(s.first_unreadable, 20);
    assert_int_equal(s.blocks[UNDO_IMAGE], 1); /* the other one; neighbours of a bad place are left alone */
}

static void what_cannot_be_kept_is_not_changed(void **state)
{
    struct env *e = *state;
    uint8_t p[BLOCK_SIZE] = { 1 }, want[BLOCK_SIZE], got[BLOCK_SIZE];
    struct bfile *f = open_file(e, "file", BACKING_WRITE);
    const struct fault_rule rule = { .ops = FAULT_OPEN, .kind = FAULT_ERROR, .err = EACCES };
    backing_fault_add(e->fault, &rule);
    assert_int_equal(bfile_pwrite(f, p, sizeof(p), 0), -EACCES);
    assert_int_equal(f->ops->truncate(f, 0), -EACCES);
    assert_int_equal(f->ops->preallocate(f, 10), -EACCES);
    assert_int_equal(e->b->ops->unlink(e->b, "file"), -EACCES);
    assert_int_equal(e->b->ops->rename(e->b, "file", "other"), -EACCES);
    backing_fault_clear(e->fault);
    fill(want, sizeof(want), 1);
    assert_int_equal(f->ops->pread(f, got, sizeof(got), 0), 0);
    assert_memory_equal(got, want, sizeof(got));
    f->ops->close(f);
    finish(e);
}

/* ---- the file ---- */

static void a_file_that_is_not_empty_is_left_alone(void **state)
{
    struct env *e = *state;
    struct undo_file u;
    struct stat before, after;
    assert_int_equal(stat(e->path, &before), 0);
    assert_int_equal(undo_create(e->path, uuid, &u), -EEXIST);
    assert_int_equal(stat(e->path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* As a crash leaves it: three records durable, two more that are not. */
static void a_torn_end_is_none_of_it_but_what_was_durable_is(void **state)
{
    struct env *e = *state;
    struct undo_file u, got;
    struct seen s;
    uint8_t p[2 * BLOCK_SIZE];
    fill(p, sizeof(p), 1);
    unlink(e->path);
    assert_int_equal(undo_create(e->path, uuid, &u), 0);
    const struct undo_record r = { .kind = UNDO_IMAGE, .len = sizeof(p), .blocks = 2 };
    for (int i = 0; i < 3; i++)
        assert_int_equal(undo_append(&u, &r, p), 0);
    assert_int_equal(undo_sync(&u), 0);
    uint64_t durable = u.end;
    assert_int_equal(undo_append(&u, &r, p), 0);
    uint64_t four = u.end;
    assert_int_equal(undo_append(&u, &r, p), 0);
    undo_close(&u);
    for (off_t size = size_of(e->path); size >= 0; size -= 97) {
        assert_int_equal(truncate(e->path, size), 0);
        int want = size >= (off_t)durable ? 0 : size >= BLOCK_SIZE * 3 ? -HOLO_ETRUNC : size >= BLOCK_SIZE ? -HOLO_ETRUNC : -HOLO_EFORMAT;
        int rc = undo_open(e->path, true, &got);
        assert_int_equal(rc, want);
        if (rc)
            continue;
        memset(&s, 0, sizeof(s));
        assert_int_equal(undo_each(&got, see, &s), 0);
        assert_int_equal(s.n[UNDO_IMAGE], size >= (off_t)four ? (size == (off_t)(four + four - durable) ? 5 : 4) : 3);
        undo_close(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_is_kept_once_with_its_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_cut_off_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_goes_is_kept_whole_and_one_that_comes_only_named, setup, teardown),
        cmocka_unit_test_setup_teardown(zeros_take_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_is_not_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_empty_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_end_is_none_of_it_but_what_was_durable_is, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
