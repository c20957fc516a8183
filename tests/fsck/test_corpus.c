/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_corpus.c: many damaged images, each one kind of damage: a look, a repair, a second repair, then every file against its
 * original bytes.
 *
 * For every kind holds: a look writes nothing; a repair that does not say 4 leaves every file whole; the second repair repairs
 * nothing, and says 4 as long as a file cannot be read. Kinds that copies and parity cover must come back whole.
 * A repair that keeps what it changes can be taken back: every name, size and byte of the store is as it was.
 * KIND=n takes only that one, STRIDE=n every n-th (with sanitizers 8, else 1), VERBOSE=1 shows each; UNDO=1 takes back each, not every third.
 */
#include "tests/fsck/same_bytes.h"
#include "tests/fsck/seen.h"
#include "tests/fsck/tree_harm.h"

#include "core/undo_apply.h"
#include "ecc/ecc.h"
#include "store/chead.h"

enum { LARGE = 180 * RIG_BLOCK, SMALL = 50000, LATE = 30000, IMAGES = 2 };

enum how {
    GONE, EMPTY, ZEROS, NOISE, HALF, FLIPS, LONGER, /* of a whole file */
    BLOCK_NOISE, BLOCK_ZERO,                        /* of the block `arg` of it; from the end if negative */
    STRIPE, BURST, TABLE_A, TABLE_B, TABLES, HEADERS, PARITY, SWAP, /* of a container */
    HEADER_A, HEADER_B, HEADERS_AB, /* another size, with right checksums */
    HOWS,
};
static const char *const how_names[HOWS] = { "gone", "empty", "zeros", "noise", "cut in half", "flipped bytes", "longer", "a block of noise",
                                             "a block of zeros", "blocks of a stripe", "a burst", "table A", "table B", "both tables",
                                             "both headers", "all parity", "another container's bytes", "header A of another size", "header B of another size",
                                             "both headers of another size" };

struct kind {
    const char *group, *file; /* file: a name, or "@class" for a container of that class */
    enum how how;
    int arg, first, last; /* files first … last, if the name has a %d */
    bool whole;           /* must come back whole */
    bool may_lack;        /* but nobody can know that it has: told as a loss, once */
    bool crash;           /* of the image of a crash, not of a clean stop */
    const struct tree_kind *tree;
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KINDS_MAX = 400, STRIDE = 8 };
#else
enum { KINDS_MAX = 400, STRIDE = 1 };
#endif

struct corpus {
    struct rig image[IMAGES]; /* clean, crashed */
    struct tree tree;
    struct kind kind[KINDS_MAX];
    size_t n;
    unsigned wrong; /* kinds that did not go as they should */
};

/* ---- images ---- */

static void copy_tree(const char *from, const char *to)
{
    char command[400];
    snprintf(command, sizeof(command), "cp -a --sparse=always '%s/.' '%s/'", from, to);
    assert_int_equal(system(command), 0);
}

static void empty_rig(struct rig *r)
{
    rig_init(r);
}

static void make_images(struct corpus *c)
{
    struct rig *r = &c->image[0];
    struct holofs_geometry g = rig_geometry();
    g.ring_blocks = 512;
    rig_init(r);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(r, &g);
    rig_open(r);
    tree_make(r, &c->tree);
    rig_file(r, "large", 1, LARGE);
    rig_do(r, "seal");
    rig_do(r, "dump");
    rig_file(r, "small", 2, SMALL);
    rig_do(r, "seal");
    rig_file(r, "late", 3, LATE);
    rig_do(r, "sync");
    rig_sleep_ms(2500); /* the mirror follows */
    empty_rig(&c->image[1]);
    copy_tree(r->dir, c->image[1].dir);
    rig_close(r);
}

/* ---- kinds ---- */

static void add(struct corpus *c, struct kind k)
{
    assert_true(c->n < KINDS_MAX);
    c->kind[c->n++] = k;
}

static void add_copies(struct corpus *c, const char *group, const char *file, int copies, int most, bool crash)
{
    static const enum how hows[] = { GONE, EMPTY, ZEROS, NOISE, HALF, FLIPS };
    for (int n = 1; n <= copies; n++) {
        for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
            add(c, (struct kind){ .group = group, .file = file, .how = hows[i], .last = n - 1, .whole = n <= most, .crash = crash });
    }
}

static void add_containers(struct corpus *c, const char *group, const char *file)
{
    static const struct {
        enum how how;
        int arg;
        bool whole;
    } hows[] = { { GONE, 0, false }, { EMPTY, 0, false }, { ZEROS, 0, false }, { NOISE, 0, false }, { HALF, 0, false }, { FLIPS, 0, true },
                 { LONGER, 0, true }, { BLOCK_NOISE, 0, true }, { BLOCK_NOISE, -1, true }, { BLOCK_ZERO, 0, true }, { BLOCK_ZERO, 1, true },
                 { BLOCK_NOISE, 2, true }, { BLOCK_NOISE, 3, true }, { BLOCK_ZERO, 4, true }, { STRIPE, 1, true }, { STRIPE, 4, true },
                 { STRIPE, 5, false }, { STRIPE, 7, false }, { BURST, 1, true }, { BURST, 0, true }, { TABLE_A, 0, true }, { TABLE_B, 0, true },
                 { TABLES, 0, false }, { HEADERS, 0, true }, { PARITY, 0, true }, { SWAP, 0, false },
                 { HEADER_A, 0, true }, { HEADER_B, 0, true }, { HEADERS_AB, 0, false } };
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
        add(c, (struct kind){ .group = group, .file = file, .how = hows[i].how, .arg = hows[i].arg, .whole = hows[i].whole });
}

static void add_index(struct corpus *c, bool crash)
{
    static const enum how hows[] = { GONE, EMPTY, ZEROS, NOISE, HALF, FLIPS, LONGER };
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
        add(c, (struct kind){ .group = "index", .file = "index.db", .how = hows[i], .whole = true, .crash = crash });
    for (int page = 0; page < 6; page++)
        add(c, (struct kind){ .group = "index", .file = "index.db", .how = BLOCK_NOISE, .arg = page, .whole = true, .crash = crash });
    add(c, (struct kind){ .group = "index", .file = "index.db-sum0", .how = NOISE, .whole = true, .crash = crash });
    add(c, (struct kind){ .group = "index", .file = "index.db-sum%d", .how = GONE, .last = 1, .whole = true, .crash = crash });
}

static void add_ring(struct corpus *c, bool crash)
{
    static const enum how hows[] = { GONE, EMPTY, ZEROS, NOISE, HALF, FLIPS };
    for (int copy = 0; copy < 2; copy++) {
        for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
            add(c, (struct kind){ .group = "ring, one copy", .file = "journal.%d", .how = hows[i], .first = copy, .last = copy, .whole = true,
                                  .may_lack = crash && copy == 0 && hows[i] != FLIPS, .crash = crash });
    }
    for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
        add(c, (struct kind){ .group = "ring, both copies", .file = "journal.%d", .how = hows[i], .last = 1, .crash = crash });
    for (int block = 0; block < 30; block += 6)
        add(c, (struct kind){ .group = "ring, both copies", .file = "journal.%d", .how = BLOCK_NOISE, .arg = block, .last = 1, .crash = crash });
}

static void make_kinds(struct corpus *c)
{
    for (int crash = 0; crash < 2; crash++) {
        add_copies(c, "superblock, one to five copies", "superblock.%d", 5, 5, crash);
        add_ring(c, crash);
        add_index(c, crash);
        add(c, (struct kind){ .group = "other files", .file = "lock", .how = GONE, .whole = true, .crash = crash });
        add(c, (struct kind){ .group = "other files", .file = "reserve", .how = GONE, .whole = true, .crash = crash });
    }
    add_copies(c, "remap table, one to five copies", "remap.%d", 5, 5, false);
    add_containers(c, "container of file data", "@2");
    add_containers(c, "container of the metadata log", "@1");
    add_containers(c, "container of a dump", "@3");
    add(c, (struct kind){ .group = "other files", .file = "spare/0000.spare", .how = ZEROS, .whole = true });
    for (size_t i = 0; i < TREE_KINDS; i++)
        add(c, (struct kind){ .group = "tree", .file = tree_kinds[i].name, .tree = &tree_kinds[i] });
}

/* ---- damage ---- */

struct bytes {
    uint8_t *p;
    size_t len;
};

static struct bytes load(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    struct bytes b = { malloc((size_t)st.st_size + 1), (size_t)st.st_size };
    assert_true(read(fd, b.p, b.len) == (ssize_t)b.len);
    close(fd);
    return b;
}

static void save(const char *path, const struct bytes *b)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0 && write(fd, b->p, b->len) == (ssize_t)b->len);
    close(fd);
}

static void noise(struct bytes *b, size_t off, size_t len, uint64_t seed)
{
    if (off < b->len)
        rig_fill(seed, b->p + off, len < b->len - off ? len : b->len - off);
}

/* The first container of a class, or the second. */
static bool find(const struct rig *r, uint32_t cls, int skip, char path[PATH_MAX], struct container_header *h)
{
    for (uint32_t id = 1; id < 60; id++) {
        char name[CONTAINER_NAME_MAX];
        container_name(id, name);
        rig_name(r, name, path);
        if (access(path, R_OK))
            continue;
        struct bytes b = load(path);
        bool right = chead_decode_any(b.p, h) == 0 && h->cls == cls && skip-- == 0;
        free(b.p);
        if (right)
            return true;
    }
    return false;
}

static void harm_container(struct bytes *b, const struct kind *k, const struct container_header *h, const struct rig *r)
{
    uint32_t data = chead_file_block(h, 0), t = h->table_blocks, all = chead_file_blocks(h), m = h->m;
    struct ecc_layout l = { .used = h->used, .D = h->D };
    char other[PATH_MAX];
    struct container_header oh;
    switch (k->how) {
    case STRIPE:
        for (int n = 0, i = 0; n < k->arg && i < (int)(h->k + m); i++) {
            uint32_t x = ecc_layout_position(&l, h->k, 0, (unsigned)i);
            if (x == UINT32_MAX)
                continue;
            noise(b, (size_t)(data + x) * RIG_BLOCK, RIG_BLOCK, 50 + (uint64_t)i);
            n++;
        }
        return;
    case BURST:
        noise(b, (size_t)(data + (k->arg ? 0 : h->used / 2)) * RIG_BLOCK, (size_t)m * h->D * RIG_BLOCK, 77);
        memset(b->p + (size_t)(all - t - 1) * RIG_BLOCK, 0, 0);
        return;
    case TABLE_A:
        noise(b, RIG_BLOCK, (size_t)t * RIG_BLOCK, 5);
        return;
    case TABLES:
        noise(b, RIG_BLOCK, (size_t)t * RIG_BLOCK, 5); /* and the other one */
        /* fall through */
    case TABLE_B:
        noise(b, (size_t)(all - 1 - t) * RIG_BLOCK, (size_t)t * RIG_BLOCK, 6);
        return;
    case HEADERS:
        noise(b, 0, RIG_BLOCK, 7);
        noise(b, (size_t)(all - 1) * RIG_BLOCK, RIG_BLOCK, 8);
        return;
    case HEADER_A:
    case HEADER_B:
    case HEADERS_AB:
        oh = *h;
        oh.used = h->used > 1 ? h->used - 1 : 2;
        if (k->how != HEADER_B)
            chead_encode(&oh, b->p);
        if (k->how != HEADER_A)
            chead_encode(&oh, b->p + (size_t)(all - 1) * RIG_BLOCK);
        return;
    case PARITY:
        noise(b, (size_t)(data + h->used) * RIG_BLOCK, (size_t)m * h->D * RIG_BLOCK, 9);
        return;
    case SWAP:
        assert_true(find(r, h->cls == 2 ? 1 : 2, 0, other, &oh));
        free(b->p);
        *b = load(other);
        return;
    default:
        return;
    }
}

static void harm_file(const char *path, const struct kind *k, const struct container_header *h, const struct rig *r, uint64_t seed)
{
    if (k->how == GONE) {
        assert_true(unlink(path) == 0 || strstr(path, "index.db"));
        return;
    }
    if (access(path, R_OK))
        return; /* an index has not always all of its side files */
    struct bytes b = load(path);
    size_t at = k->arg < 0 ? b.len - (size_t)-k->arg * RIG_BLOCK : (size_t)k->arg * RIG_BLOCK;
    switch (k->how) {
    case EMPTY:
        b.len = 0;
        break;
    case ZEROS:
        memset(b.p, 0, b.len);
        break;
    case NOISE:
        noise(&b, 0, b.len, seed);
        break;
    case HALF:
        b.len /= 2;
        break;
    case FLIPS:
        rig_flip(seed, b.p, b.len, b.len / 2000 + 3);
        break;
    case LONGER:
        b.p = realloc(b.p, b.len + RIG_BLOCK);
        memset(b.p + b.len, 0x55, RIG_BLOCK);
        b.len += RIG_BLOCK;
        break;
    case BLOCK_NOISE:
        noise(&b, at, RIG_BLOCK, seed);
        break;
    case BLOCK_ZERO:
        if (at + RIG_BLOCK <= b.len)
            memset(b.p + at, 0, RIG_BLOCK);
        break;
    default:
        harm_container(&b, k, h, r);
    }
    save(path, &b);
    free(b.p);
}

static void harm(struct rig *r, struct corpus *c, const struct kind *k)
{
    char path[PATH_MAX], name[64];
    struct container_header h;
    if (k->tree) {
        rig_open(r);
        k->tree->make(r, &c->tree);
        rig_close(r);
    } else if (k->file[0] == '@') {
        assert_true(find(r, (uint32_t)(k->file[1] - '0'), 0, path, &h));
        harm_file(path, k, &h, r, 4711);
    } else {
        for (int i = k->first; i <= k->last; i++) {
            snprintf(name, sizeof(name), strchr(k->file, '%') ? "%.*s%d" : "%.*s", (int)strcspn(k->file, "%"), k->file, i);
            rig_name(r, name, path);
            harm_file(path, k, NULL, r, 100 + (uint64_t)i);
        }
    }
}

/* ---- outcomes ---- */

/* How many files are not what they were; *eio: how many of them cannot be read. */
static unsigned count_bad(struct rig *r, struct corpus *c, unsigned *eio)
{
    static const struct {
        const char *name;
        uint64_t seed;
        size_t len;
    } files[] = { { "large", 1, LARGE }, { "small", 2, SMALL }, { "late", 3, LATE } };
    const uint64_t tree[] = { c->tree.f1, c->tree.f2, c->tree.f3 };
    unsigned bad = 0;
    uint8_t *want = malloc(LARGE), *got = rig_buffer(LARGE);
    *eio = 0;
    for (size_t i = 0; i < 6; i++) {
        uint64_t ino = i < 3 ? rig_find(r, RIG_ROOT, files[i].name) : tree[i - 3];
        size_t len = i < 3 ? files[i].len : TREE_BYTES;
        rig_fill(i < 3 ? files[i].seed : 8 + i, want, len);
        ssize_t n = ino ? holofs_read(r->fs, ino, 0, got, len) : 0;
        bool reached = i < 3 || tree_reaches(r, RIG_ROOT, ino, 8);
        if (n == (ssize_t)len && memcmp(got, want, len) == 0 && reached)
            continue;
        bad++;
        *eio += n < 0 && holo_errno((int)n) == EIO;
        if (n > 0 && i < 3 && n == (ssize_t)len)
            fail_msg("%s has wrong bytes", files[i].name);
    }
    free(want);
    free(got);
    return bad;
}

struct tally {
    const char *group;
    unsigned kinds, unharmed, whole, lost, refused;
};

static void describe(const struct kind *k, size_t i, char *out, size_t cap)
{
    if (k->tree)
        snprintf(out, cap, "%zu: tree: %s", i, k->file);
    else
        snprintf(out, cap, "%zu: %s: %s %d to %d, arg %d%s", i, k->file, how_names[k->how], k->first, k->last, k->arg,
                 k->crash ? ", after a crash" : "");
}

/* A number for all names, sizes and times of a store. */
static unsigned long fingerprint(const char *dir)
{
    char command[300], line[64] = "";
    snprintf(command, sizeof(command), "find '%s' -printf '%%p %%s %%T@ %%C@\\n' | sort | cksum", dir);
    FILE *p = popen(command, "r");
    assert_true(p && fgets(line, sizeof(line), p));
    pclose(p);
    return strtoul(line, NULL, 10);
}

/* All kinds are tried, whatever happens to one. */
static void __attribute__((format(printf, 2, 3))) wrong(struct corpus *c, const char *format, ...)
{
    va_list ap;
    c->wrong++;
    va_start(ap, format);
    printf("WRONG ");
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
}

/* A repair with --undo, and back again. */
static void there_and_back(struct rig *r, struct corpus *c, const char *what)
{
    char file[120];
    struct seen s;
    struct fsck_options o = seen_options(&s, FSCK_ALL);
    struct undo_apply_result u;
    uint64_t before = bytes_of(r->dir);
    snprintf(file, sizeof(file), "%s.undo", r->dir);
    o.undo = file;
    seen_run(r->dir, &o, &s);
    if (access(file, F_OK)) {
        if (bytes_of(r->dir) != before)
            wrong(c, "%s: something changed, and there is no undo file: %d %s", what, s.code, s.r.why);
        return;
    }
    int e = holofs_undo_apply(r->dir, file, &(struct undo_apply_options){ 0 }, &u);
    if (e || u.unfinished || bytes_of(r->dir) != before)
        wrong(c, "%s: taken back, the store is not what it was: %s", what, u.why);
    unlink(file);
}

static void run_kind(struct corpus *c, size_t i, struct tally *t)
{
    const struct kind *k = &c->kind[i];
    struct rig r;
    struct seen look, one, two;
    char what[200];
    unsigned eio = 0, bad;
    describe(k, i, what, sizeof(what));
    if (getenv("VERBOSE"))
        print_message("%s\n", what);
    empty_rig(&r);
    copy_tree(c->image[k->crash].dir, r.dir);
    harm(&r, c, k);
    unsigned long before = fingerprint(r.dir);
    seen_check(r.dir, FSCK_LOOK, &look);
    if (fingerprint(r.dir) != before)
        wrong(c, "%s: a look has changed the store", what);
    if (i % (getenv("UNDO") ? 1 : 3) == 0)
        there_and_back(&r, c, what);
    seen_check(r.dir, FSCK_ALL, &one);
    seen_check(r.dir, FSCK_ALL, &two);
    if (look.code == 0 && one.code != 0)
        wrong(c, "%s: a look saw nothing, a repair says %d (%u)", what, one.code, one.n ? one.v[0].number : 0);
    t->kinds++;
    if (one.code & FSCK_EXIT_ERROR) {
        t->refused++;
        if (k->whole || !(two.code & FSCK_EXIT_ERROR))
            wrong(c, "%s: %s; then %d", what, one.r.why, two.code);
    } else {
        rig_open(&r);
        bad = count_bad(&r, c, &eio);
        rig_close(&r);
        if (k->whole && (bad || (one.code & 4 && !k->may_lack) || two.code))
            wrong(c, "%s: %u files are not whole, %d, then %d", what, bad, one.code, two.code);
        if ((bad && !(one.code & 4) && !(k->tree && k->tree->loses_f3)) || (eio && !(two.code & 4)) || (two.code & 1))
            wrong(c, "%s: %u files are bad, %u cannot be read, and it says %d, then %d (%u)", what, bad, eio, one.code, two.code,
                     two.n ? two.v[0].number : 0);
        t->unharmed += one.code == 0;
        t->whole += one.code && !bad;
        t->lost += bad > 0;
    }
    rig_remove_tree(r.dir);
}

static void every_kind_comes_back_or_is_told(void **state)
{
    (void)state;
    static struct corpus c;
    struct tally t[16] = { { 0 } };
    size_t n = 0, stride = getenv("STRIDE") ? (size_t)atoi(getenv("STRIDE")) : STRIDE;
    make_images(&c);
    make_kinds(&c);
    print_message("%zu kinds\n", c.n);
    for (size_t i = getenv("KIND") ? (size_t)atoi(getenv("KIND")) : 0; i < c.n; i += getenv("KIND") ? c.n : stride) {
        size_t g = 0;
        while (g < n && strcmp(t[g].group, c.kind[i].group) != 0)
            g++;
        n = g == n ? n + 1 : n;
        t[g].group = c.kind[i].group;
        run_kind(&c, i, &t[g]);
    }
    print_message("| damage of | kinds | harmless | all files whole | lost, told | refused |\n|---|---|---|---|---|---|\n");
    for (size_t g = 0; g < n; g++)
        print_message("| %s | %u | %u | %u | %u | %u |\n", t[g].group, t[g].kinds, t[g].unharmed, t[g].whole, t[g].lost, t[g].refused);
    assert_int_equal(c.wrong, 0);
    for (int i = 0; i < IMAGES; i++)
        rig_remove_tree(c.image[i].dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_kind_comes_back_or_is_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
