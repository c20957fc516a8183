/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_golden.c: stores that an older build made, opened by this one.
 *
 * PREFIX-KIND.tar.xz is a store, .tree all names in it with what they are, PREFIX.sha256 the sums of the contents of files, taken from plain
 * files that were written beside the store. Images are never made again nor changed. «test_golden_golden make DIR PREFIX» makes those of the format
 * that this build writes, from fixed seeds: docs/TESTING.md, «Golden images».
 */
#include "tests/core/rig.h"
#include "tests/power/trace.h"

#include <dirent.h>
#include <sys/sysmacros.h>

#include "core/log.h"
#include "store/ring.h"
#include "tests/fsck/seen.h"

/* ---- what a store has, as text ---- */

struct list {
    char **name;
    size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_add(struct list *l, const char *name)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 32;
        l->name = realloc(l->name, l->cap * sizeof(*l->name));
        assert_non_null(l->name);
    }
    l->name[l->n++] = strdup(name);
}

static void list_fini(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->name[i]);
    free(l->name);
}

static void list_dir(struct rig *r, uint64_t ino, struct list *out)
{
    struct holofs_dir *d;
    struct holofs_dirent e;
    assert_int_equal(holofs_opendir(r->fs, ino, &d), 0);
    for (uint64_t off = 0; holofs_readdir(d, off, &e) == 1; off = e.next) {
        if (strcmp(e.name, ".") != 0 && strcmp(e.name, "..") != 0)
            list_add(out, e.name);
    }
    holofs_closedir(d);
    if (out->n)
        qsort(out->name, out->n, sizeof(*out->name), by_name);
}

static void print_hex(FILE *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", p[i]);
}

static void print_xattrs(struct rig *r, uint64_t ino, FILE *f)
{
    char names[65536];
    static uint8_t value[65536];
    struct list l = { 0 };
    ssize_t n = holofs_listxattr(r->fs, ino, names, sizeof(names));
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
        list_add(&l, names + i);
    if (l.n)
        qsort(l.name, l.n, sizeof(*l.name), by_name);
    for (size_t i = 0; i < l.n; i++) {
        ssize_t len = holofs_getxattr(r->fs, ino, l.name[i], value, sizeof(value));
        assert_true(len >= 0);
        fprintf(f, " %s=", l.name[i]);
        print_hex(f, value, (size_t)len);
    }
    list_fini(&l);
}

static void print_one(struct rig *r, const char *path, const struct holofs_attr *a, FILE *f)
{
    char target[4096];
    fprintf(f, "%s ino %llu gen %u mode %o links %u owner %u:%u size %llu stored %llu mtime %lld ctime %lld btime %lld rdev %u", path,
            (unsigned long long)a->ino, a->gen, a->mode, a->nlink, a->uid, a->gid, S_ISDIR(a->mode) ? 0 : (unsigned long long)a->size,
            (unsigned long long)a->stored, (long long)a->mtime_ns, (long long)a->ctime_ns, (long long)a->btime_ns, a->rdev);
    if (S_ISLNK(a->mode)) {
        assert_true(holofs_readlink(r->fs, a->ino, target, sizeof(target)) >= 0);
        fprintf(f, " to %s", target);
    }
    print_xattrs(r, a->ino, f);
    fputc('\n', f);
}

static void extract(struct rig *r, const struct holofs_attr *a, const char *to)
{
    enum { PIECE = 1 << 16 };
    uint8_t *p = rig_buffer(PIECE);
    FILE *f = fopen(to, "w");
    assert_non_null(f);
    for (uint64_t off = 0; off < a->size; off += PIECE) {
        size_t want = a->size - off < PIECE ? (size_t)(a->size - off) : PIECE;
        assert_int_equal(holofs_read(r->fs, a->ino, off, p, want), want);
        assert_int_equal(fwrite(p, 1, want, f), want);
    }
    assert_int_equal(fclose(f), 0);
    free(p);
}

/* Every name below ino into f; contents below the directory `to`, if there is one. */
static void walk(struct rig *r, uint64_t ino, const char *path, FILE *f, const char *to)
{
    struct list l = { 0 };
    list_dir(r, ino, &l);
    for (size_t i = 0; i < l.n; i++) {
        struct holofs_attr a;
        char inner[1200], out[PATH_MAX];
        snprintf(inner, sizeof(inner), "%s/%s", path, l.name[i]);
        assert_int_equal(holofs_lookup(r->fs, ino, l.name[i], &a), 0);
        print_one(r, inner, &a, f);
        snprintf(out, sizeof(out), "%s%s", to ? to : "", inner);
        if (to && S_ISREG(a.mode))
            extract(r, &a, out);
        if (to && S_ISDIR(a.mode))
            assert_int_equal(mkdir(out, 0700), 0);
        if (S_ISDIR(a.mode))
            walk(r, a.ino, inner, f, to);
        holofs_forget(r->fs, a.ino, 1);
    }
    list_fini(&l);
}

static void run(const char *fmt, ...)
{
    char line[3 * PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (system(line) != 0)
        fail_msg("failed: %s", line);
}

/* ---- making images ---- */

struct maker {
    struct rig r;
    char plain[160]; /* the same contents in plain files */
};

static void twin(const struct maker *m, const char *path, uint64_t off, const void *p, size_t len)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s/%s", m->plain, path);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0 && pwrite(fd, p, len, (off_t)off) == (ssize_t)len);
    close(fd);
}

static uint64_t find_path(struct rig *r, const char *path)
{
    uint64_t ino = RIG_ROOT;
    char part[300];
    while (*path && ino) {
        size_t n = strcspn(path, "/");
        snprintf(part, sizeof(part), "%.*s", (int)n, path);
        ino = rig_find(r, ino, part);
        path += n + (path[n] == '/');
    }
    return ino;
}

static uint64_t parent_path(struct rig *r, const char *path, const char **leaf)
{
    char dir[1200];
    const char *slash = strrchr(path, '/');
    *leaf = slash ? slash + 1 : path;
    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
    return find_path(r, dir);
}

static uint64_t put(struct maker *m, const char *path, uint32_t mode, uint32_t rdev, const char *target)
{
    const char *leaf;
    char name[PATH_MAX];
    struct holofs_attr a;
    struct holofs_cred cred = { .uid = 1000, .gid = 100 };
    uint64_t parent = parent_path(&m->r, path, &leaf);
    assert_int_equal(holofs_create(m->r.fs, &cred, parent, leaf, mode, rdev, target, &a), 0);
    holofs_forget(m->r.fs, a.ino, 1);
    snprintf(name, sizeof(name), "%s/%s", m->plain, path);
    if (S_ISDIR(mode))
        mkdir(name, 0700);
    if (S_ISREG(mode))
        twin(m, path, 0, "", 0);
    return a.ino;
}

static void fill(struct maker *m, const char *path, uint64_t off, size_t len, uint64_t seed, bool compressible)
{
    uint8_t *p = malloc(len);
    rig_fill(seed, p, len);
    for (size_t i = 0; compressible && i < len; i++)
        p[i] = (uint8_t)("wave parity keeps files "[i % 24] + (p[i / 97] & 1));
    rig_write(&m->r, find_path(&m->r, path), off, p, len);
    twin(m, path, off, p, len);
    free(p);
}

static void set_size(struct maker *m, const char *path, uint64_t size)
{
    char name[PATH_MAX];
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_SIZE, .size = size };
    assert_int_equal(holofs_setattr(m->r.fs, find_path(&m->r, path), &s, &a), 0);
    snprintf(name, sizeof(name), "%s/%s", m->plain, path);
    assert_int_equal(truncate(name, (off_t)size), 0);
}

static void set_times(struct maker *m, const char *path, int64_t ns)
{
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_MTIME | HOLOFS_SET_ATIME, .mtime_ns = ns, .atime_ns = ns };
    assert_int_equal(holofs_setattr(m->r.fs, find_path(&m->r, path), &s, &a), 0);
}

static void set_link(struct maker *m, const char *path, const char *to)
{
    const char *leaf;
    struct holofs_attr a;
    char one[PATH_MAX], two[PATH_MAX];
    uint64_t ino = find_path(&m->r, path), parent = parent_path(&m->r, to, &leaf);
    assert_int_equal(holofs_link(m->r.fs, ino, parent, leaf, &a), 0);
    holofs_forget(m->r.fs, ino, 1);
    snprintf(one, sizeof(one), "%s/%s", m->plain, path);
    snprintf(two, sizeof(two), "%s/%s", m->plain, to);
    assert_int_equal(link(one, two), 0);
}

static void set_xattr(struct maker *m, const char *path, const char *name, const void *value, size_t len)
{
    assert_int_equal(holofs_setxattr(m->r.fs, find_path(&m->r, path), name, value, len, 0), 0);
}

static void drop(struct maker *m, const char *path)
{
    const char *leaf;
    char name[PATH_MAX];
    uint64_t parent = parent_path(&m->r, path, &leaf);
    assert_int_equal(holofs_unlink(m->r.fs, parent, leaf), 0);
    snprintf(name, sizeof(name), "%s/%s", m->plain, path);
    assert_int_equal(unlink(name), 0);
}

/* As the kernel hands it over: version 2; owner rwx, user 1000 r-x, group r-x, mask r-x, others ---. */
static const uint8_t acl[] = { 2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 232, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
                               16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };

static void make_attributes(struct maker *m)
{
    uint8_t big[500];
    rig_fill(9, big, sizeof(big));
    put(m, "dir/attributes", S_IFREG | 04755, 0, NULL);
    set_xattr(m, "dir/attributes", "user.small", "value", 5);
    set_xattr(m, "dir/attributes", "user.empty", "", 0);
    set_xattr(m, "dir/attributes", "user.large", big, sizeof(big));
    set_xattr(m, "dir", "user.of-a-directory", "yes", 3);
    set_times(m, "dir/attributes", 1234567890123456789);
    put(m, "dir/for some", S_IFREG | 0750, 0, NULL);
    set_xattr(m, "dir/for some", "system.posix_acl_access", acl, sizeof(acl));
    put(m, "inherit", S_IFDIR | 0750, 0, NULL);
    set_xattr(m, "inherit", "system.posix_acl_default", acl, sizeof(acl));
    put(m, "inherit/inherited", S_IFREG | 0640, 0, NULL);
}

/* Kinds of names. */
static void make_names(struct maker *m)
{
    char longest[256], target[1001], name[40];
    memset(longest, 'n', 255);
    longest[255] = 0;
    memset(target, 't', 1000);
    target[1000] = 0;
    put(m, "dir", S_IFDIR | 0755, 0, NULL);
    put(m, "dir/deeper", S_IFDIR | S_ISVTX | 0777, 0, NULL);
    put(m, "dir/deeper/empty", S_IFREG | 0600, 0, NULL);
    put(m, longest, S_IFREG | 0400, 0, NULL);
    put(m, "gr\xc3\xbc\xc3\x9f dich", S_IFREG | 0644, 0, NULL);
    put(m, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", S_IFREG | 0644, 0, NULL);
    put(m, "not\xff utf-8", S_IFREG | 0644, 0, NULL);
    put(m, "link", S_IFLNK | 0777, 0, "dir/deeper/empty");
    put(m, "long-link", S_IFLNK | 0777, 0, target);
    put(m, "fifo", S_IFIFO | 0640, 0, NULL);
    put(m, "socket", S_IFSOCK | 0640, 0, NULL);
    put(m, "character device", S_IFCHR | 0600, (uint32_t)makedev(1, 3), NULL);
    put(m, "block device", S_IFBLK | 0600, (uint32_t)makedev(259, 70000), NULL);
    set_times(m, "gr\xc3\xbc\xc3\x9f dich", -1000000001);
    put(m, "many", S_IFDIR | 0755, 0, NULL);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "many/file number %d", i * 7919 % 60);
        put(m, name, S_IFREG | 0644, 0, NULL);
    }
    make_attributes(m);
}

/* Kinds of contents: raw, compressed, small, sparse, cut, overwritten in containers. */
static void make_contents(struct maker *m)
{
    put(m, "raw", S_IFREG | 0644, 0, NULL);
    fill(m, "raw", 0, 9000, 1, false);
    put(m, "text", S_IFREG | 0644, 0, NULL);
    fill(m, "text", 0, 300000, 2, true);
    put(m, "small", S_IFREG | 0644, 0, NULL);
    fill(m, "small", 0, 17, 3, false);
    set_link(m, "small", "dir/the same small one");
    set_link(m, "small", "many/the same again");
    put(m, "sparse", S_IFREG | 0644, 0, NULL);
    fill(m, "sparse", 3 << 20, 1500, 4, false);
    fill(m, "sparse", 100, 1000, 5, true);
    set_size(m, "sparse", 5 << 20);
    put(m, "gone", S_IFREG | 0644, 0, NULL);
    fill(m, "gone", 0, 4096, 6, false);
    rig_do(&m->r, "seal");
    fill(m, "text", 70000, 1500, 7, false); /* parts of chunks that are sealed */
    fill(m, "raw", 5000, 3, 8, false);
    set_size(m, "raw", 8555);
    drop(m, "gone");
}

/* Not in the dump; in the ring, at the end, only. */
static void make_rest(struct maker *m)
{
    put(m, "later", S_IFREG | 0644, 0, NULL);
    fill(m, "later", 0, 4500, 10, false);
    put(m, "dir/later still", S_IFREG | 0644, 0, NULL);
    fill(m, "dir/later still", 0, 20000, 11, true);
    rig_do(&m->r, "sync");
}

/* A block of a data container that does not take its bytes again: remapped. */
static void make_remaps(struct maker *m)
{
    const char *name = "containers/000/00000001.hc";
    for (uint64_t block = 3; block < 5; block++) {
        trace_bad_block(name, block * SECTOR);
        assert_true(trace_rot(name, block * SECTOR, 50, 77));
    }
    rig_scrub(&m->r);
    trace_bad_block(NULL, 0);
    assert_int_equal(rig_stat(&m->r, "remap/remaps"), 2);
}

static void clean_store(struct rig *r)
{
    uint64_t runs = rig_stat(r, "cleaner/runs");
    rig_do(r, "clean");
    for (int i = 0; i < 1000 && rig_stat(r, "cleaner/runs") == runs; i++)
        rig_sleep_ms(10);
    assert_true(rig_stat(r, "cleaner/moved_bytes") > 0);
}

/* All images of one making have the same contents. */
static void write_manifests(struct maker *m, const char *out, const char *name, const char *prefix)
{
    char path[PATH_MAX + 80];
    snprintf(path, sizeof(path), "%s/%s.tree", out, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    walk(&m->r, RIG_ROOT, "", f, NULL);
    fclose(f);
    run("cd '%s' && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > '%s/%s.sha256'", m->plain, out, prefix);
}

enum { DUMPED = 1, REMAPPED = 2, CLEANED = 4, KILLED = 8, WITHOUT_INDEX = 16 };

static const struct kind {
    const char *name;
    unsigned what, k, r, meta_r;
} kinds[] = {
    { "clean", DUMPED, 64, 1, 1 },
    { "unclean", KILLED, 64, 1, 1 },
    { "remapped", REMAPPED, 32, 1, 1 },
    { "cleaned", DUMPED | CLEANED | KILLED, 64, 1, 1 },
    { "without-index", DUMPED | WITHOUT_INDEX, 64, 2, 1 },
};

/* What is not synced is not there, nor is what is open without a name. */
static void kill_it(struct maker *m)
{
    uint64_t ino = rig_file(&m->r, "open", 12, 3000);
    assert_int_equal(holofs_open_file(m->r.fs, ino, true, false, false), 0);
    assert_int_equal(holofs_unlink(m->r.fs, RIG_ROOT, "open"), 0);
    rig_do(&m->r, "sync");
    rig_file(&m->r, "never synced", 13, 3000);
    trace_cut(true);
    log_set_level((enum log_level)-1);
    fs_fail(m->r.fs, -EIO, "killed");
    holofs_close(m->r.fs);
}

static void pack(struct maker *m, const char *out, const char *name, bool without_index)
{
    run("rm -f '%s'/*-shm", m->r.dir);
    if (without_index)
        run("rm -f '%s'/index.db*", m->r.dir);
    run("cd '%s' && tar --format=gnu --sparse --owner=0 --group=0 --numeric-owner --sort=name -cf - . | xz -9e > '%s/%s.tar.xz'", m->r.dir, out, name);
    rig_remove_tree(m->r.dir);
    rig_remove_tree(m->plain);
}

static void make_image(const char *out, const char *prefix, const struct kind *k)
{
    struct maker m;
    char name[64];
    snprintf(name, sizeof(name), "%.30s-%s", prefix, k->name);
    struct holofs_geometry g = { .k = k->k, .r = k->r, .meta_r = k->meta_r, .nmax = 64, .ring_blocks = 512, .reserve_bytes = 8192,
                                 .spare_bytes = 65536, .seed_base = 5, .label = name };
    rig_init(&m.r);
    m.r.opt.commit_seconds = 3600;
    snprintf(m.plain, sizeof(m.plain), "%s-plain", m.r.dir);
    assert_int_equal(mkdir(m.plain, 0700), 0);
    rig_format(&m.r, &g);
    trace_start(m.r.dir);
    rig_open(&m.r);
    make_names(&m);
    make_contents(&m);
    if (k->what & DUMPED) {
        rig_do(&m.r, "sync");
        indexer_wait(m.r.fs, m.r.fs->committed_txg, true); /* a dump is of what the index has */
        rig_do(&m.r, "dump");
        rig_scrub(&m.r);
    }
    if (k->what & REMAPPED)
        make_remaps(&m);
    if (k->what & CLEANED)
        clean_store(&m.r);
    make_rest(&m);
    write_manifests(&m, out, name, prefix);
    if (k->what & KILLED)
        kill_it(&m);
    else
        rig_close(&m.r);
    trace_stop();
    pack(&m, out, name, k->what & WITHOUT_INDEX);
    printf("%s/%s\n", out, name);
}

static int make_images(const char *out, const char *prefix)
{
    char dir[PATH_MAX];
    if (!realpath(out, dir)) {
        perror(out);
        return 1;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        make_image(dir, prefix, &kinds[i]);
    }
    return 0;
}

/* ---- opening them ---- */

static char *text_of(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    char *p = calloc(1, 1 << 20);
    assert_true(fread(p, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
    fclose(f);
    return p;
}

static void expect_tree(struct rig *r, const char *name)
{
    char path[PATH_MAX], *got = NULL;
    size_t len;
    FILE *f = open_memstream(&got, &len);
    walk(r, RIG_ROOT, "", f, NULL);
    fclose(f);
    snprintf(path, sizeof(path), GOLDEN "/%s.tree", name);
    char *want = text_of(path);
    if (strcmp(got, want) != 0)
        fail_msg("%s differs; there is:\n%s", path, got);
    free(got);
    free(want);
}

static void expect_contents(struct rig *r, const char *name)
{
    char out[160];
    snprintf(out, sizeof(out), "%s-out", r->dir);
    assert_int_equal(mkdir(out, 0700), 0);
    FILE *f = fopen("/dev/null", "w");
    walk(r, RIG_ROOT, "", f, out);
    fclose(f);
    run("cd '%s' && sha256sum --check --quiet '" GOLDEN "/%.*s.sha256'", out, (int)strcspn(name, "-"), name);
    rig_remove_tree(out);
}

static void expect_nothing_wrong(struct rig *r, const char *name)
{
    struct seen s;
    seen_check(r->dir, FSCK_LOOK, &s);
    if (s.code)
        fail_msg("%s: holofsck: exit %d, %zu problems, the first is %u: %s", name, s.code, s.n, s.n ? s.v[0].number : 0, s.r.why);
}

/* Nothing but the index, which is missing or has a layout of its time: it is made anew, never converted. */
static void expect_only_the_index_wrong(struct rig *r, const char *name)
{
    struct seen s;
    seen_check(r->dir, FSCK_LOOK, &s);
    if (s.code && (s.code != FSCK_EXIT_LEFT || s.r.found != 1 || !seen_has(&s, 301, FSCK_REPAIRABLE)))
        fail_msg("%s: holofsck: exit %d, %zu problems, the first is %u: %s", name, s.code, s.n, s.n ? s.v[0].number : 0, s.r.why);
}

static bool is(const char *name, const char *kind)
{
    return strstr(name, kind) != NULL;
}

static void unpack(struct rig *r, const char *name)
{
    rig_init(r);
    run("cd '%s' && python3 -W ignore -m tarfile -e '" GOLDEN "/%s.tar.xz' .", r->dir, name);
}

static void expect_all(struct rig *r, const char *name)
{
    expect_tree(r, name);
    expect_contents(r, name);
}

static void read_only(const char *name)
{
    struct rig r;
    unpack(&r, name);
    r.opt.read_only = true;
    int e = rig_try_open(&r);
    if (e == -HOLO_ESTALE || e == -ENOENT) { /* no index, or of another layout: a mount for writing makes one */
        r.opt.read_only = false;
        rig_open(&r);
        rig_close(&r);
        r.opt.read_only = true;
        rig_open(&r);
    }
    assert_non_null(r.fs);
    expect_all(&r, name);
    rig_stop(&r);
}

/* Does it still use what it was made for? */
static void expect_features(struct rig *r, const char *name)
{
    assert_int_equal(rig_stat(r, "remap/remaps"), is(name, "-remapped") ? 2 : 0);
    assert_true(!(r->fs->sb.incompat & SUPER_INCOMPAT_MOVES) == !is(name, "-cleaned"));
    assert_int_equal(r->fs->unclean, is(name, "-unclean") || is(name, "-cleaned"));
}

/* Read it, scrub it, clean it, write to it, read it again. */
static void read_and_write(const char *name, bool without_index)
{
    struct rig r;
    unpack(&r, name);
    if (without_index)
        run("rm -f '%s'/index.db*", r.dir);
    expect_only_the_index_wrong(&r, name);
    rig_open(&r);
    expect_features(&r, name);
    expect_all(&r, name);
    rig_scrub(&r);
    assert_int_equal(rig_stat(&r, "lost_blocks"), 0);
    rig_file(&r, "new", 99, 50000);
    rig_do(&r, "seal");
    rig_do(&r, "clean");
    rig_reopen(&r);
    rig_expect_file(&r, "new", 99, 50000);
    assert_int_equal(holofs_unlink(r.fs, RIG_ROOT, "new"), 0);
    expect_all(&r, name);
    rig_close(&r);
    expect_nothing_wrong(&r, name);
    rig_remove_tree(r.dir);
}

static void as_it_is(const char *name)
{
    read_and_write(name, false);
}

static void index_made_anew(const char *name)
{
    read_and_write(name, true);
}

static void each_image(void (*test)(const char *name))
{
    DIR *d = opendir(GOLDEN);
    unsigned n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[300];
        size_t len = strlen(e->d_name);
        if (len < 8 || strcmp(e->d_name + len - 7, ".tar.xz") != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len - 7, e->d_name);
        print_message("%s\n", name);
        test(name);
        n++;
    }
    if (d)
        closedir(d);
    assert_true(n > 0);
}

static void images_of_older_builds_open_and_take_more(void **state)
{
    (void)state;
    each_image(as_it_is);
}

static void images_of_older_builds_open_without_their_index(void **state)
{
    (void)state;
    each_image(index_made_anew);
}

static void images_of_older_builds_open_read_only(void **state)
{
    (void)state;
    each_image(read_only);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_older_builds_open_and_take_more),
        cmocka_unit_test(images_of_older_builds_open_without_their_index),
        cmocka_unit_test(images_of_older_builds_open_read_only),
    };
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        return make_images(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
