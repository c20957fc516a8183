/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_spares.c: spare files come and go, in the store's folder and in directories elsewhere, which may not be there. */
#include "tests/remap/rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "remap/entry.h"

enum { BLK = REMAP_BLOCK_SIZE };

/* A directory elsewhere: its disk can be pulled out, and can be another one. */
struct elsewhere {
    struct backing *memory, *fault;
    bool away;
};

struct world {
    struct rig *r;
    struct elsewhere a, b;
    struct remap_dirs dirs;
};

/* What the table closes is not the backing itself. */
struct borrowed {
    struct backing b;
    struct backing_ops ops;
    struct backing *lower;
};

static struct backing *lower_of(struct backing *b)
{
    return ((struct borrowed *)b)->lower;
}

static int borrowed_open(struct backing *b, const char *name, int flags, struct bfile **out)
{
    return lower_of(b)->ops->open(lower_of(b), name, flags, out);
}

static int borrowed_unlink(struct backing *b, const char *name)
{
    return lower_of(b)->ops->unlink(lower_of(b), name);
}

static int borrowed_sync_dir(struct backing *b, const char *name)
{
    return lower_of(b)->ops->sync_dir(lower_of(b), name);
}

static int borrowed_space(struct backing *b, struct backing_space *out)
{
    return lower_of(b)->ops->space(lower_of(b), out);
}

static void borrowed_close(struct backing *b)
{
    free(b);
}

static const struct backing_ops borrowed_ops = { .open = borrowed_open, .unlink = borrowed_unlink, .sync_dir = borrowed_sync_dir,
                                                 .space = borrowed_space, .close = borrowed_close };

static int open_dir(void *arg, const char *path, bool read_only, struct backing **out)
{
    struct world *w = arg;
    const struct elsewhere *e = strcmp(path, "/disk/a") == 0 ? &w->a : strcmp(path, "/disk/b") == 0 ? &w->b : NULL;
    (void)read_only;
    if (!e || e->away)
        return -ENOENT;
    struct borrowed *b = calloc(1, sizeof(*b));
    b->b.ops = &borrowed_ops;
    b->lower = e->fault;
    *out = &b->b;
    return 0;
}

static void world_open(struct world *w)
{
    assert_int_equal(remap_open_with(w->r->fault, rig_uuid, false, &w->dirs, &w->r->t), 0);
}

static void world_reopen(struct world *w)
{
    remap_close(w->r->t);
    w->r->t = NULL;
    world_open(w);
}

static void elsewhere_init(struct elsewhere *e, uint64_t bytes)
{
    e->away = false;
    assert_int_equal(backing_memory_create(bytes, &e->memory), 0);
    assert_int_equal(backing_fault_create(e->memory, rig_seed, &e->fault), 0);
}

static void elsewhere_fini(struct elsewhere *e)
{
    e->fault->ops->close(e->fault);
    e->memory->ops->close(e->memory);
}

static void world_init(struct world *w, uint32_t spare_blocks)
{
    w->r = rig_new(spare_blocks);
    elsewhere_init(&w->a, 8 << 20);
    elsewhere_init(&w->b, 8 << 20);
    w->dirs = (struct remap_dirs){ .open = open_dir, .arg = w };
    world_reopen(w);
}

static void world_fini(struct world *w)
{
    rig_free(w->r);
    elsewhere_fini(&w->a);
    elsewhere_fini(&w->b);
}

static uint32_t spare_add(struct world *w, const char *dir, uint32_t blocks)
{
    uint32_t number;
    assert_int_equal(remap_spare_add(w->r->t, dir, blocks, &number), 0);
    return number;
}

static void add(struct world *w, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        assert_int_equal(rig_add(w->r, 1, i, 0), 0);
}

static void expect(struct world *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        rig_expect(w->r, 1, i, 0);
}

static struct remap_spare_info info(struct world *w, uint32_t number)
{
    struct remap_spare_info *v, found = { .blocks = 0 };
    size_t n;
    assert_int_equal(remap_spares(w->r->t, &v, &n), 0);
    for (size_t i = 0; i < n; i++) {
        if (v[i].number == number)
            found = v[i];
    }
    remap_spares_free(v, n);
    found.directory = NULL;
    return found;
}

static int empty_and_remove(struct world *w, uint32_t number)
{
    uint64_t left;
    int rc = remap_spare_empty(w->r->t, number, &left);
    rc = rc ? rc : left ? -EIO : remap_spare_remove(w->r->t, number);
    if (rc)
        remap_spare_keep(w->r->t, number);
    return rc;
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(size_t *)arg;
    return 0;
}

static size_t files_in(struct backing *b, const char *dir)
{
    size_t n = 0;
    assert_int_equal(b->ops->list(b, dir, count_name, &n), 0);
    return n;
}

static void one_block_is_enough_and_more_can_be_added(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    add(&w, 0, 1);
    assert_int_equal(rig_add(w.r, 1, 1, 0), -HOLO_EREMAPFULL);
    assert_int_equal(spare_add(&w, NULL, 4), 1);
    add(&w, 1, 5);
    assert_int_equal(rig_add(w.r, 1, 5, 0), -HOLO_EREMAPFULL);
    assert_int_equal(spare_add(&w, "/disk/a", 3), 2);
    add(&w, 5, 8);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_stats(w.r).spare_blocks, 8);
        assert_int_equal(rig_add(w.r, 1, 8, 0), -HOLO_EREMAPFULL);
        expect(&w, 8);
        assert_int_equal(info(&w, 2).used, 3);
        world_reopen(&w);
        assert_int_equal(rig_stats(w.r).copies_repaired, 0);
    }
    world_fini(&w);
}

static void a_used_spare_file_goes_when_others_took_what_is_in_it(void **state)
{
    (void)state;
    static const char *const dirs[] = { NULL, "/disk/a" };
    for (int k = 0; k < 2; k++) {
        struct world w;
        uint64_t left;
        world_init(&w, 20);
        add(&w, 0, 15);
        assert_int_equal(remap_spare_remove(w.r->t, 0), -EBUSY);
        assert_int_equal(empty_and_remove(&w, 0), -HOLO_EREMAPFULL);
        assert_int_equal(info(&w, 0).state, REMAP_SPARE_OK);
        uint32_t few = spare_add(&w, dirs[k], 14);
        assert_int_equal(empty_and_remove(&w, 0), -HOLO_EREMAPFULL);
        assert_int_equal(info(&w, few).used, 0); /* all of it, or nothing */
        assert_int_equal(empty_and_remove(&w, few), 0);
        uint32_t number = spare_add(&w, dirs[k], 16);
        assert_int_equal(remap_spare_empty(w.r->t, 0, &left), 0);
        assert_int_equal(left, 0);
        assert_int_equal(info(&w, 0).used, 0);
        assert_int_equal(info(&w, 0).bad, 0);
        expect(&w, 15);
        assert_int_equal(remap_spare_remove(w.r->t, 0), 0);
        assert_int_equal(files_in(w.r->memory, "spare"), k ? 0 : 1);
        for (int i = 0; i < 2; i++) {
            expect(&w, 15);
            assert_int_equal(info(&w, number).used, 15);
            assert_int_equal(rig_stats(w.r).spare_blocks, 16);
            world_reopen(&w);
            assert_int_equal(rig_stats(w.r).copies_repaired, 0);
        }
        assert_int_equal(spare_add(&w, NULL, 30), 0); /* its number is free again */
        assert_int_equal(empty_and_remove(&w, number), 0);
        world_reopen(&w);
        expect(&w, 15);
        assert_int_equal(files_in(w.a.memory, ""), 0);
        assert_int_equal(empty_and_remove(&w, number), -ENOENT);
        world_fini(&w);
    }
}

static void one_that_is_kept_after_all_is_as_it_was(void **state)
{
    (void)state;
    struct world w;
    uint64_t left;
    unsigned bad;
    world_init(&w, 10);
    add(&w, 0, 6);
    spare_add(&w, NULL, 10);
    assert_int_equal(remap_spare_empty(w.r->t, 0, &left), 0);
    remap_spare_keep(w.r->t, 0);
    assert_int_equal(info(&w, 0).state, REMAP_SPARE_OK);
    assert_int_equal(remap_check(w.r->t, &bad), 0);
    world_reopen(&w);
    assert_int_equal(rig_stats(w.r).spare_bad, 0);
    add(&w, 6, 20);
    expect(&w, 20);
    world_fini(&w);
}

static void what_is_not_confirmed_is_not_moved(void **state)
{
    (void)state;
    struct world w;
    uint64_t left;
    uint8_t got[BLK];
    world_init(&w, 10);
    add(&w, 0, 6);
    spare_add(&w, NULL, 10);
    struct bfile *f = rig_file(w.r, "spare/0000.spare");
    assert_int_equal(bfile_pwrite(f, "x", 1, 3 * BLK + 99), 0);
    f->ops->close(f);
    assert_int_equal(remap_spare_empty(w.r->t, 0, &left), 0);
    assert_int_equal(left, 1);
    assert_int_equal(remap_spare_remove(w.r->t, 0), -EBUSY);
    assert_int_equal(remap_read(w.r->t, 1, 3, got), -EIO);
    assert_int_equal(info(&w, 0).used, 1);
    add(&w, 3, 4); /* parity gave it back */
    assert_int_equal(empty_and_remove(&w, 0), 0);
    expect(&w, 6);
    world_fini(&w);
}

static void without_room_for_it_nothing_changes(void **state)
{
    (void)state;
    struct world w;
    uint32_t number;
    world_init(&w, 4);
    add(&w, 0, 3);
    uint64_t sequence = rig_stats(w.r).sequence;
    assert_int_equal(remap_spare_add(w.r->t, "/disk/a", (8 << 20) / BLK, &number), -ENOSPC);
    backing_fault_add(w.r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = ENOSPC, .name = "spare/0001.spare" });
    assert_int_equal(remap_spare_add(w.r->t, NULL, 4, &number), -ENOSPC);
    assert_int_equal(remap_spare_add(w.r->t, "/disk/none", 4, &number), -ENOENT);
    assert_int_equal(remap_spare_add(w.r->t, "disk/a", 4, &number), -EINVAL);
    assert_int_equal(remap_spare_add(w.r->t, NULL, 0, &number), -EFBIG);
    assert_int_equal(remap_spare_add(w.r->t, NULL, REMAP_BLOCKS_MAX, &number), -EFBIG);
    assert_int_equal(rig_stats(w.r).sequence, sequence);
    assert_int_equal(rig_stats(w.r).spare_blocks, 4);
    assert_int_equal(files_in(w.r->memory, "spare"), 1);
    assert_int_equal(files_in(w.a.memory, ""), 0);
    backing_fault_clear(w.r->fault);
    backing_fault_add(w.r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = ENOSPC, .name = "remap.3.new", .count = 1 });
    assert_int_equal(remap_spare_add(w.r->t, "/disk/a", 4, &number), -ENOSPC);
    assert_int_equal(files_in(w.a.memory, ""), 0);
    world_reopen(&w);
    assert_int_equal(rig_stats(w.r).spare_blocks, 4);
    expect(&w, 3);
    assert_int_equal(spare_add(&w, "/disk/a", 4), 1);
    world_fini(&w);
}

/* So that copies of the one cannot be taken for copies of the other. */
static void each_list_of_spare_files_has_its_own_first_number(void **state)
{
    (void)state;
    struct world w;
    uint64_t first[4];
    uint8_t block[BLK];
    world_init(&w, 4);
    for (int i = 0; i < 4; i++) {
        struct bfile *f = rig_file(w.r, "remap.4");
        assert_int_equal(f->ops->pread(f, block, BLK, 0), 0);
        f->ops->close(f);
        first[i] = le64_get(block + 32);
        assert_true(i == 0 || first[i] > first[i - 1]);
        if (i % 2)
            assert_int_equal(empty_and_remove(&w, 1), 0);
        else
            spare_add(&w, NULL, 4);
    }
    world_fini(&w);
}

static void the_list_has_an_end(void **state)
{
    (void)state;
    struct world w;
    uint32_t number;
    char path[1200];
    world_init(&w, 1);
    for (uint32_t i = 1; i < REMAP_SPARES_MAX; i++)
        assert_int_equal(spare_add(&w, i % 2 ? "/disk/a" : NULL, 1), i);
    assert_int_equal(remap_spare_add(w.r->t, NULL, 1, &number), -E2BIG);
    add(&w, 0, 64);
    world_reopen(&w);
    expect(&w, 64);
    world_fini(&w);

    struct remap_header h = { .first = 1 }, out;
    uint8_t block[BLK];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[1199] = 0;
    struct remap_spare s = { .number = 0, .blocks = 1, .identity = 77 };
    assert_int_equal(remap_header_add_spare(&h, &s, path), 0);
    s.number = 1;
    assert_int_equal(remap_header_add_spare(&h, &s, path), 0);
    s.number = 2;
    assert_int_equal(remap_header_add_spare(&h, &s, path), -ENOSPC);
    path[602] = 0;
    assert_int_equal(remap_header_add_spare(&h, &s, path), 0);
    remap_header_encode(&h, rig_uuid, block);
    assert_int_equal(remap_header_decode(block, rig_uuid, &out), 0);
    char got[REMAP_PATHS_MAX + 1];
    remap_header_path(&out, &out.spare[2], got);
    assert_string_equal(got, path);
    assert_int_equal(out.spare[1].identity, 77);
}

/* Its disk is pulled out between two mounts: what is there is known, and is right when it is back. */
static void a_directory_that_is_away_costs_nothing_for_good(void **state)
{
    (void)state;
    struct world w;
    uint8_t got[BLK];
    unsigned bad;
    world_init(&w, 4);
    add(&w, 0, 4);
    uint32_t number = spare_add(&w, "/disk/a", 10);
    add(&w, 4, 10);
    w.a.away = true;
    world_reopen(&w);
    assert_int_equal(rig_stats(w.r).spares_away, 1);
    assert_int_equal(info(&w, number).state, REMAP_SPARE_AWAY);
    assert_int_equal(info(&w, number).error, -ENOENT);
    expect(&w, 4);
    for (uint32_t i = 4; i < 10; i++) {
        assert_true(remap_lookup(w.r->t, 1, i));
        assert_int_equal(remap_read(w.r->t, 1, i, got), -EIO); /* parity has it */
    }
    assert_int_equal(rig_add(w.r, 1, 4, 0), -HOLO_EREMAPFULL);
    spare_add(&w, NULL, 3);
    assert_int_equal(rig_add(w.r, 1, 4, 0), 0); /* one that was rebuilt */
    assert_int_equal(rig_stats(w.r).spare_bad, 0);
    w.a.away = false;
    assert_int_equal(remap_check(w.r->t, &bad), 0); /* live */
    assert_int_equal(rig_stats(w.r).spares_away, 0);
    for (int i = 0; i < 2; i++) {
        expect(&w, 10);
        assert_int_equal(info(&w, number).used, 5);
        assert_int_equal(rig_stats(w.r).spare_bad, 0);
        world_reopen(&w);
    }
    world_fini(&w);
}

static void one_that_stays_away_can_be_given_up(void **state)
{
    (void)state;
    struct world w;
    uint64_t left;
    world_init(&w, 20);
    uint32_t number = spare_add(&w, "/disk/a", 10);
    assert_int_equal(empty_and_remove(&w, 0), 0);
    add(&w, 0, 6);
    assert_int_equal(spare_add(&w, NULL, 20), 0);
    w.a.away = true;
    world_reopen(&w);
    assert_int_equal(remap_spare_empty(w.r->t, number, &left), 0);
    assert_int_equal(left, 6);
    assert_int_equal(remap_spare_remove(w.r->t, number), -EBUSY);
    add(&w, 0, 6); /* parity gave them back */
    assert_int_equal(remap_spare_empty(w.r->t, number, &left), 0);
    assert_int_equal(left, 0);
    assert_int_equal(remap_spare_remove(w.r->t, number), 0);
    world_reopen(&w);
    expect(&w, 6);
    assert_int_equal(rig_stats(w.r).spares_away, 0);
    world_fini(&w);
}

/* A directory with a file of that name, which is another one. */
static void a_wrong_file_is_neither_believed_nor_written(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct world w;
        uint8_t got[BLK], *before, *after;
        char name[] = "holofs-d41d8cd98f00b204e9800998ecf8427e-0001.spare";
        struct bfile *f;
        uint64_t size;
        world_init(&w, 20);
        spare_add(&w, "/disk/b", 5);
        struct backing *b = w.b.memory;
        assert_int_equal(b->ops->open(b, name, BACKING_WRITE, &f), 0);
        assert_int_equal(f->ops->pread(f, got, BLK, 0), 0);
        f->ops->close(f);
        assert_int_equal(empty_and_remove(&w, 1), 0);
        assert_int_equal(spare_add(&w, "/disk/b", 5), 1); /* the same name, and another identity */
        assert_int_equal(rig_stats(w.r).spare_blocks, 25);
        assert_int_equal(empty_and_remove(&w, 0), 0);
        add(&w, 0, 3);
        assert_int_equal(b->ops->open(b, name, BACKING_WRITE, &f), 0);
        if (how == 0)
            assert_int_equal(bfile_pwrite(f, got, BLK, 0), 0); /* an older one */
        if (how == 1)
            assert_int_equal(bfile_pwrite(f, "x", 1, 20), 0); /* of another store, or damaged */
        if (how == 2)
            assert_int_equal(f->ops->truncate(f, 3 * BLK), 0);
        if (how == 3)
            assert_int_equal(f->ops->truncate(f, 0), 0);
        assert_int_equal(f->ops->size(f, &size), 0);
        before = calloc(1, size + 1), after = calloc(1, size + 1);
        assert_int_equal(size ? f->ops->pread(f, before, size, 0) : 0, 0);
        world_reopen(&w);
        assert_int_equal(info(&w, 1).state, REMAP_SPARE_AWAY);
        assert_int_equal(remap_read(w.r->t, 1, 1, got), -EIO);
        assert_int_equal(rig_add(w.r, 1, 1, 0), -HOLO_EREMAPFULL);
        assert_int_equal(size ? f->ops->pread(f, after, size, 0) : 0, 0);
        assert_memory_equal(before, after, size);
        f->ops->close(f);
        free(before);
        free(after);
        world_fini(&w);
    }
}

static void a_spare_file_that_fails_is_passed_over_and_tried_again(void **state)
{
    (void)state;
    struct world w;
    unsigned bad;
    world_init(&w, 20);
    spare_add(&w, "/disk/a", 20);
    add(&w, 0, 2);
    backing_fault_add(w.r->fault, &(struct fault_rule){ .ops = FAULT_WRITE, .err = EIO, .name = "spare/*" });
    add(&w, 2, 10);
    assert_int_equal(info(&w, 0).state, REMAP_SPARE_FAILING);
    assert_int_equal(info(&w, 1).used, 8);
    assert_int_equal(rig_stats(w.r).spare_bad, 0); /* it is not the blocks */
    assert_int_equal(rig_stats(w.r).spares_failing, 1);
    expect(&w, 10);
    backing_fault_clear(w.r->fault);
    assert_int_equal(remap_retry(w.r->t), 0);
    assert_int_equal(rig_stats(w.r).spares_failing, 1);
    assert_int_equal(remap_check(w.r->t, &bad), 0);
    assert_int_equal(rig_stats(w.r).spares_failing, 0);
    add(&w, 10, 30);
    assert_true(info(&w, 0).used > 2);
    world_reopen(&w);
    expect(&w, 30);
    world_fini(&w);
}

static void a_disk_that_is_pulled_out_while_mounted_comes_back(void **state)
{
    (void)state;
    struct world w;
    unsigned bad;
    uint8_t got[BLK];
    world_init(&w, 2);
    uint32_t number = spare_add(&w, "/disk/a", 20);
    add(&w, 0, 12);
    backing_fault_add(w.a.fault, &(struct fault_rule){ .ops = FAULT_READ | FAULT_WRITE | FAULT_SYNC | FAULT_OPEN, .err = EIO });
    assert_int_equal(remap_read(w.r->t, 1, 5, got), -EIO);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(remap_check(w.r->t, &bad), 0);
        assert_int_equal(info(&w, number).state, REMAP_SPARE_AWAY);
        assert_int_equal(info(&w, number).error, -EIO);
        assert_int_equal(rig_add(w.r, 1, 5, 0), -HOLO_EREMAPFULL);
    }
    backing_fault_clear(w.a.fault);
    assert_int_equal(remap_retry(w.r->t), 0);
    assert_int_equal(info(&w, number).state, REMAP_SPARE_OK);
    expect(&w, 12);
    add(&w, 12, 22);
    assert_int_equal(rig_stats(w.r).spare_bad, 0);
    world_reopen(&w);
    expect(&w, 22);
    world_fini(&w);
}

/* Reads fail and the block is rebuilt: where the whole file does not answer, the blocks are not bad. */
static void a_spare_file_that_does_not_answer_has_no_bad_blocks(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct world w;
        uint8_t got[BLK];
        world_init(&w, 20);
        add(&w, 0, 5);
        spare_add(&w, "/disk/a", 20);
        backing_fault_add(w.r->fault, &(struct fault_rule){ .ops = FAULT_READ, .err = EIO, .name = "spare/*", .from = whole ? 0 : BLK,
                                                            .to = whole ? 0 : 3 * BLK });
        assert_int_equal(remap_read(w.r->t, 1, 1, got), -EIO);
        add(&w, 1, 2);
        rig_expect(w.r, 1, 1, 0);
        assert_int_equal(info(&w, 0).bad, whole ? 0 : 1);
        backing_fault_clear(w.r->fault);
        world_reopen(&w);
        expect(&w, 5);
        assert_int_equal(info(&w, 0).bad, whole ? 0 : 1);
        world_fini(&w);
    }
}

struct seen {
    uint32_t block[8];
    size_t n;
};

static int note(void *arg, uint32_t container, uint32_t file_block, uint32_t spare, uint32_t spare_block)
{
    struct seen *s = arg;
    assert_int_equal(container, 1);
    (void)spare;
    (void)spare_block;
    s->block[s->n++] = file_block;
    return 0;
}

static void a_test_names_what_is_not_right_on_spares(void **state)
{
    (void)state;
    struct world w;
    struct seen s = { .n = 0 };
    uint64_t tested;
    world_init(&w, 4);
    add(&w, 0, 4);
    spare_add(&w, "/disk/a", 8);
    add(&w, 4, 10);
    assert_int_equal(remap_test(w.r->t, note, &s, &tested), 0);
    assert_int_equal(tested, 10);
    assert_int_equal(s.n, 0);
    struct bfile *f = rig_file(w.r, "spare/0000.spare");
    assert_int_equal(bfile_pwrite(f, "x", 1, 2 * BLK + 17), 0);
    f->ops->close(f);
    assert_int_equal(remap_test(w.r->t, note, &s, &tested), 0);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.block[0], 2);
    w.a.away = true;
    world_reopen(&w);
    s.n = 0;
    assert_int_equal(remap_test(w.r->t, note, &s, &tested), 0);
    assert_int_equal(s.n, 7);
    world_fini(&w);
}

/* ---- readers beside it ---- */

struct readers {
    struct world *w;
    _Atomic bool stop;
};

static void *reader(void *arg)
{
    struct readers *s = arg;
    uint64_t tested;
    while (!atomic_load(&s->stop)) {
        expect(s->w, 10);
        rig_stats(s->w->r);
        assert_int_equal(remap_test(s->w->r->t, note, NULL, &tested), 0);
        assert_int_equal(tested, 10);
    }
    return NULL;
}

static void readers_find_every_block_while_files_come_and_go(void **state)
{
    (void)state;
    struct world w;
    struct readers s = { .w = &w };
    pthread_t t[2];
    unsigned bad;
    world_init(&w, 12);
    add(&w, 0, 10);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, reader, &s), 0);
    for (uint32_t i = 0, old = 0; i < 40; i++) {
        uint32_t fresh = spare_add(&w, i % 3 ? "/disk/a" : NULL, 12);
        assert_int_equal(empty_and_remove(&w, old), 0);
        assert_int_equal(remap_check(w.r->t, &bad), 0);
        assert_int_equal(bad, 0);
        old = fresh;
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    world_fini(&w);
}

/* ---- cuts ---- */

enum { DONE = 12 };

/* What is done between two reopenings: spare files come and go beside remaps. How many blocks were acknowledged. */
static uint32_t workload(struct world *w)
{
    uint32_t number, n = 0;
    uint64_t left;
    for (; n < 3; n++)
        if (rig_add(w->r, 1, n, 0))
            return n;
    if (remap_spare_add(w->r->t, "/disk/a", 8, &number) || remap_spare_add(w->r->t, NULL, 9, &number))
        return n;
    for (; n < DONE - 3; n++)
        if (rig_add(w->r, 1, n, 0))
            return n;
    if (remap_spare_empty(w->r->t, 0, &left) || left || remap_spare_remove(w->r->t, 0))
        return n;
    if (remap_spare_add(w->r->t, "/disk/b", 20, &number) || remap_spare_empty(w->r->t, 1, &left) || left || remap_spare_remove(w->r->t, 1))
        return n;
    for (; n < DONE; n++)
        if (rig_add(w->r, 1, n, 0))
            return n;
    return n;
}

static struct backing *cut_of(struct world *w, int which)
{
    return which == 0 ? w->r->fault : which == 1 ? w->a.fault : w->b.fault;
}

/* Cut one of the three disks after its n-th change; with lose, what was not synced on any is lost in part. */
static bool run_cut(int which, uint64_t cut, bool lose)
{
    struct world w;
    world_init(&w, 4);
    struct backing *fault = cut_of(&w, which);
    uint64_t before = backing_fault_writes(fault);
    for (int i = 0; i < 3 && lose; i++)
        backing_fault_track(cut_of(&w, i));
    backing_fault_cut_after(fault, before + cut);
    uint32_t n = workload(&w);
    bool whole = n == DONE && backing_fault_writes(fault) - before <= cut;
    remap_close(w.r->t);
    w.r->t = NULL;
    for (int i = 0; i < 3 && lose; i++)
        backing_fault_lose(cut_of(&w, i));
    backing_fault_cut_after(fault, UINT64_MAX);
    world_open(&w);
    expect(&w, n);
    assert_int_equal(rig_stats(w.r).spares_away, 0);
    assert_true(rig_stats(w.r).spare_blocks >= 4);
    spare_add(&w, NULL, 20);
    add(&w, n, n + 3);
    world_reopen(&w);
    assert_int_equal(rig_stats(w.r).copies_repaired, 0);
    expect(&w, n + 3);
    world_fini(&w);
    return whole;
}

#ifdef __SANITIZE_THREAD__
enum { STEP = 7 };
#else
enum { STEP = 1 };
#endif

static void every_cut_while_spare_files_come_and_go_loses_nothing(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        uint64_t cut = 0;
        while (!run_cut(which, cut, false))
            cut += STEP;
        print_message("disk %d: %llu cuts\n", which, (unsigned long long)cut);
        for (uint64_t c = 0; c < cut; c += STEP)
            run_cut(which, c, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_block_is_enough_and_more_can_be_added),
        cmocka_unit_test(a_used_spare_file_goes_when_others_took_what_is_in_it),
        cmocka_unit_test(one_that_is_kept_after_all_is_as_it_was),
        cmocka_unit_test(what_is_not_confirmed_is_not_moved),
        cmocka_unit_test(without_room_for_it_nothing_changes),
        cmocka_unit_test(each_list_of_spare_files_has_its_own_first_number),
        cmocka_unit_test(the_list_has_an_end),
        cmocka_unit_test(a_directory_that_is_away_costs_nothing_for_good),
        cmocka_unit_test(one_that_stays_away_can_be_given_up),
        cmocka_unit_test(a_wrong_file_is_neither_believed_nor_written),
        cmocka_unit_test(a_spare_file_that_fails_is_passed_over_and_tried_again),
        cmocka_unit_test(a_disk_that_is_pulled_out_while_mounted_comes_back),
        cmocka_unit_test(a_spare_file_that_does_not_answer_has_no_bad_blocks),
        cmocka_unit_test(a_test_names_what_is_not_right_on_spares),
        cmocka_unit_test(readers_find_every_block_while_files_come_and_go),
        cmocka_unit_test(every_cut_while_spare_files_come_and_go_loses_nothing),
    };
    print_message("seed %#llx\n", (unsigned long long)rig_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
