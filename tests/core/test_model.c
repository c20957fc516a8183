/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_model.c: random operations on some twenty names, against a model in memory; with clean stops, and with a
 * process that is killed at a random moment: what it had synced must be there.
 *
 * The operations follow from the seed alone, so parent and child know the same sequence: the child tells how many
 * operations it has begun and how many of them are synced, and the parent finds the state that is there among those.
 */
#include "tests/core/rig.h"

#include <signal.h>
#include <sys/wait.h>

enum { NAMES = 20, SIZE_MAX_BYTES = 400000, OPS_OF_A_RUN = 400, XATTR_MAX = 200 };

/* A file of the model; names point at it. */
struct object {
    unsigned links;
    size_t size;
    uint8_t *data; /* SIZE_MAX_BYTES, zeros behind size */
    size_t xattr_len;
    uint8_t xattr[XATTR_MAX];
    bool has_xattr;
};

struct model {
    struct object *name[NAMES];
};

static void object_put(struct object *o)
{
    if (o && --o->links == 0) {
        free(o->data);
        free(o);
    }
}

static void model_fini(struct model *m)
{
    for (int i = 0; i < NAMES; i++)
        object_put(m->name[i]);
}

/* ---- one operation, on the model and, if r is given, on the store ---- */

enum op_kind { OP_CREATE, OP_WRITE, OP_TRUNCATE, OP_PUNCH, OP_ZERO, OP_RENAME, OP_LINK, OP_UNLINK, OP_XATTR, OP_XATTR_GONE, OP_EXCHANGE, OP_KINDS };

struct op {
    enum op_kind kind;
    int a, b;
    size_t off, len;
    uint64_t seed;
};

static void next_op(uint64_t *seed, struct op *o)
{
    static const enum op_kind weighted[] = { OP_CREATE, OP_WRITE, OP_WRITE, OP_WRITE, OP_WRITE, OP_WRITE, OP_TRUNCATE, OP_PUNCH, OP_ZERO,
                                             OP_RENAME, OP_LINK, OP_UNLINK, OP_XATTR, OP_XATTR_GONE, OP_CREATE, OP_EXCHANGE };
    o->kind = weighted[rig_random(seed) % (sizeof(weighted) / sizeof(weighted[0]))];
    o->a = (int)(rig_random(seed) % NAMES);
    o->b = (int)(rig_random(seed) % NAMES);
    unsigned shape = (unsigned)(rig_random(seed) % 4); /* tiny, block-sized, chunk-sized, any */
    size_t most = shape == 0 ? 100 : shape == 1 ? 5000 : shape == 2 ? 140000 : SIZE_MAX_BYTES / 2;
    o->off = rig_random(seed) % (SIZE_MAX_BYTES / 2);
    if (shape == 2)
        o->off = o->off / 131072 * 131072;
    o->len = 1 + rig_random(seed) % most;
    o->seed = rig_random(seed);
}

static void op_bytes(const struct op *o, uint8_t *p)
{
    rig_fill(o->seed, p, o->len);
    if (o->seed % 3 == 0)
        memset(p, (int)(o->seed % 251), o->len);
}

static void name_of(int i, char out[16])
{
    snprintf(out, 16, "name%d", i);
}

static void model_create(struct model *m, int a)
{
    struct object *o = calloc(1, sizeof(*o));
    o->links = 1;
    o->data = calloc(1, SIZE_MAX_BYTES);
    m->name[a] = o;
}

static void model_resize(struct object *o, size_t size)
{
    if (size < o->size)
        memset(o->data + size, 0, o->size - size);
    o->size = size;
}

static void on_store_data(struct rig *r, const struct op *o, uint64_t ino, const uint8_t *bytes)
{
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_SIZE, .size = o->len };
    if (o->kind == OP_WRITE)
        rig_write(r, ino, o->off, bytes, o->len);
    else if (o->kind == OP_TRUNCATE)
        assert_int_equal(holofs_setattr(r->fs, ino, &s, &a), 0);
    else if (o->kind == OP_PUNCH)
        assert_int_equal(holofs_fallocate(r->fs, ino, HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE, o->off, o->len), 0);
    else
        assert_int_equal(holofs_fallocate(r->fs, ino, HOLOFS_FALLOC_ZERO_RANGE, o->off, o->len), 0);
}

static void do_data(struct model *m, struct rig *r, const struct op *o, uint64_t ino)
{
    struct object *x = m->name[o->a];
    uint8_t *bytes = malloc(o->len);
    size_t end = o->off + o->len;
    op_bytes(o, bytes);
    if (r)
        on_store_data(r, o, ino, bytes);
    if (o->kind == OP_TRUNCATE) {
        model_resize(x, o->len);
    } else if (o->kind == OP_WRITE) {
        memcpy(x->data + o->off, bytes, o->len);
        x->size = end > x->size ? end : x->size;
    } else {
        memset(x->data + o->off, 0, o->len);
        x->size = o->kind == OP_ZERO && end > x->size ? end : x->size;
    }
    free(bytes);
}

static void do_xattr(struct model *m, struct rig *r, const struct op *o, uint64_t ino)
{
    struct object *x = m->name[o->a];
    uint8_t value[XATTR_MAX];
    rig_fill(o->seed, value, sizeof(value));
    size_t len = o->len % XATTR_MAX;
    if (o->kind == OP_XATTR) {
        if (r)
            assert_int_equal(holofs_setxattr(r->fs, ino, "user.model", value, len, 0), 0);
        memcpy(x->xattr, value, len);
        x->xattr_len = len;
    } else if (r) {
        assert_int_equal(holofs_removexattr(r->fs, ino, "user.model"), x->has_xattr ? 0 : -ENODATA);
    }
    x->has_xattr = o->kind == OP_XATTR;
}

static void do_names(struct model *m, struct rig *r, const struct op *o, uint64_t ino)
{
    char a[16], b[16];
    struct holofs_attr attr;
    struct object *x = m->name[o->a], *y = m->name[o->b];
    name_of(o->a, a);
    name_of(o->b, b);
    if (o->kind == OP_UNLINK) {
        if (r)
            assert_int_equal(holofs_unlink(r->fs, RIG_ROOT, a), 0);
        object_put(x);
        m->name[o->a] = NULL;
    } else if (o->kind == OP_LINK && !y) {
        if (r) {
            assert_int_equal(holofs_link(r->fs, ino, RIG_ROOT, b, &attr), 0);
            holofs_forget(r->fs, ino, 1);
        }
        x->links++;
        m->name[o->b] = x;
    } else if (o->kind == OP_RENAME && x != y) {
        if (r)
            assert_int_equal(holofs_rename(r->fs, RIG_ROOT, a, RIG_ROOT, b, 0), 0);
        object_put(y);
        m->name[o->b] = x;
        m->name[o->a] = NULL;
    } else if (o->kind == OP_EXCHANGE && y && x != y) {
        if (r)
            assert_int_equal(holofs_rename(r->fs, RIG_ROOT, a, RIG_ROOT, b, 2 /* RENAME_EXCHANGE */), 0);
        m->name[o->a] = y;
        m->name[o->b] = x;
    }
}

static void do_op(struct model *m, struct rig *r, const struct op *o)
{
    char a[16];
    name_of(o->a, a);
    if (!m->name[o->a]) {
        if (r)
            rig_create(r, a);
        model_create(m, o->a);
        return;
    }
    uint64_t ino = r ? rig_find(r, RIG_ROOT, a) : 0;
    if (o->kind == OP_WRITE || o->kind == OP_TRUNCATE || o->kind == OP_PUNCH || o->kind == OP_ZERO)
        do_data(m, r, o, ino);
    else if (o->kind == OP_XATTR || o->kind == OP_XATTR_GONE)
        do_xattr(m, r, o, ino);
    else if (o->kind != OP_CREATE)
        do_names(m, r, o, ino);
}

/* ---- comparing ---- */

static bool same_file(struct rig *r, uint64_t ino, const struct object *x, const char **why)
{
    struct holofs_attr a;
    uint8_t value[XATTR_MAX];
    assert_int_equal(holofs_getattr(r->fs, ino, &a), 0);
    *why = "size";
    if (a.size != x->size)
        return false;
    *why = "links";
    if (a.nlink != x->links)
        return false;
    ssize_t n = holofs_getxattr(r->fs, ino, "user.model", value, sizeof(value));
    *why = "xattr";
    if (x->has_xattr ? n != (ssize_t)x->xattr_len || memcmp(value, x->xattr, x->xattr_len) != 0 : n != -ENODATA)
        return false;
    uint8_t *got = rig_buffer(SIZE_MAX_BYTES);
    n = holofs_read(r->fs, ino, 0, got, SIZE_MAX_BYTES);
    bool same = n == (ssize_t)x->size && memcmp(got, x->data, x->size) == 0;
    free(got);
    *why = "content";
    return same;
}

/* Is the store as the model says? If not, *which name differs and why. */
static bool same_tree(struct rig *r, const struct model *m, int *which, const char **why)
{
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        name_of(i, name);
        uint64_t ino = rig_find(r, RIG_ROOT, name);
        *which = i;
        *why = "existence";
        if ((ino != 0) != (m->name[i] != NULL))
            return false;
        if (ino && !same_file(r, ino, m->name[i], why))
            return false;
    }
    return true;
}

static void expect_same(struct rig *r, const struct model *m)
{
    int which;
    const char *why;
    if (!same_tree(r, m, &which, &why))
        fail_msg("name%d: %s", which, why);
}

static void random_operations_with_clean_stops(void **state)
{
    (void)state;
    for (uint64_t first = 1; first <= 6; first++) {
        struct rig r;
        struct model m = { { NULL } };
        uint64_t seed = first;
        print_message("seed %llu\n", (unsigned long long)first);
        rig_start(&r);
        if (first % 2)
            r.opt.cache_bytes = 1 << 20;
        for (int i = 0; i < OPS_OF_A_RUN; i++) {
            struct op o;
            next_op(&seed, &o);
            do_op(&m, &r, &o);
            unsigned now = (unsigned)(rig_random(&seed) % 100);
            if (now < 4)
                rig_do(&r, now == 0 ? "seal" : now == 1 ? "dump" : "sync");
            if (now == 5)
                rig_reopen(&r);
            if (i % 50 == 49)
                expect_same(&r, &m);
        }
        rig_reopen(&r);
        expect_same(&r, &m);
        model_fini(&m);
        rig_stop(&r);
    }
}

/* ---- kill ---- */

/* What the child says: operation `begun` is about to be done; all before `synced` are durable. */
struct progress {
    uint64_t begun, synced;
};

static void tell(int fd, uint64_t begun, uint64_t synced)
{
    struct progress p = { begun, synced };
    if (write(fd, &p, sizeof(p)) != (ssize_t)sizeof(p))
        _exit(3);
}

/* Carry on with the operations from number `from`, for ever, until killed. */
static void child_works(struct rig *r, struct model *m, uint64_t seed, uint64_t from, int fd)
{
    uint64_t synced = from, luck = seed + from;
    rig_open(r);
    for (uint64_t i = from;; i++) {
        struct op o;
        next_op(&seed, &o);
        tell(fd, i + 1, synced);
        do_op(m, r, &o);
        unsigned now = (unsigned)(rig_random(&luck) % 16);
        if (now < 3) {
            rig_do(r, now == 0 ? "seal" : "sync");
            synced = i + 1;
            tell(fd, i + 1, synced);
        } else if (now == 3 && luck % 5 == 0) {
            rig_control(r, "dump");
        }
    }
}

/* Kill it once so many operations are durable (0: at any time, also while it opens the store), and a while has passed. */
static struct progress wait_for_death(int fd, pid_t child, uint64_t durable, unsigned after_ms)
{
    struct progress p, last = { 0, 0 };
    int status;
    while (last.synced < durable && read(fd, &last, sizeof(last)) == (ssize_t)sizeof(last))
        ;
    rig_sleep_ms(after_ms);
    kill(child, SIGKILL);
    while (read(fd, &p, sizeof(p)) == (ssize_t)sizeof(p))
        last = p;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

/*
 * Operations take effect in order, so after a kill the store is as it was after some number of them, between what
 * was synced and what was begun. The model goes on from there. Returns that number.
 */
static uint64_t find_state(struct rig *r, struct model *m, uint64_t *seed, uint64_t at, const struct progress *p)
{
    int which = 0;
    const char *why = "";
    for (; at <= p->begun; at++) {
        struct op o;
        if (at >= p->synced && same_tree(r, m, &which, &why))
            return at;
        next_op(seed, &o);
        do_op(m, NULL, &o);
    }
    fail_msg("no state between operation %llu and %llu is there: at last name%d: %s", (unsigned long long)p->synced,
             (unsigned long long)p->begun, which, why);
    return 0;
}

static void one_kill(struct rig *r, struct model *m, uint64_t *seed, uint64_t *at, uint64_t durable, unsigned after_ms)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    fcntl(fd[1], F_SETPIPE_SZ, 1 << 20);
    pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        child_works(r, m, *seed, *at, fd[1]);
        _exit(4);
    }
    close(fd[1]);
    struct progress p = wait_for_death(fd[0], child, durable, after_ms);
    close(fd[0]);
    p.synced = p.synced > *at ? p.synced : *at;
    p.begun = p.begun > *at ? p.begun : *at;
    rig_open(r);
    *at = find_state(r, m, seed, *at, &p);
    rig_close(r);
}

static void what_was_synced_survives_kills(void **state)
{
    (void)state;
    struct holofs_geometry g = rig_geometry();
    for (uint64_t first = 101; first <= 104; first++) {
        struct rig r;
        struct model m = { { NULL } };
        uint64_t seed = first, luck = first, at = 0;
        print_message("seed %llu\n", (unsigned long long)first);
        rig_init(&r);
        rig_format(&r, &g);
        for (int kills = 0; kills < 6; kills++) /* the last one when the child has got somewhere, however slow the machine is */
            one_kill(&r, &m, &seed, &at, kills < 5 ? 0 : 21, 30 + (unsigned)(rig_random(&luck) % 250));
        assert_true(at > 20);
        model_fini(&m);
        rig_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_with_clean_stops),
        cmocka_unit_test(what_was_synced_survives_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
