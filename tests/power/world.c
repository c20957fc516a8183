/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world.c: operations on a store and on the model of it, side by side. */
#include "tests/power/world_private.h"

#include "base/sum.h"
#include "core/log.h"

/* ---- names ---- */

int world_dir_of(int slot)
{
    return slot < ROOT_NAMES ? -1 : (slot - ROOT_NAMES) / DIR_NAMES;
}

void world_slot_name(int slot, char out[16])
{
    snprintf(out, 16, "%s%d", slot < ROOT_NAMES ? "name" : "inner", slot);
}

static void dir_name(int d, char out[16])
{
    snprintf(out, 16, "dir%d", d);
}

uint64_t world_dir_ino(struct rig *r, int d)
{
    char name[16];
    if (d < 0)
        return RIG_ROOT;
    dir_name(d, name);
    return rig_find(r, RIG_ROOT, name);
}

uint64_t world_slot_ino(struct rig *r, int slot)
{
    char name[16];
    uint64_t dir = world_dir_ino(r, world_dir_of(slot));
    world_slot_name(slot, name);
    return dir ? rig_find(r, dir, name) : 0;
}

/* ---- states ---- */

static uint64_t thing_sum(bool is_symlink, uint32_t mode, size_t links, const void *xattr, size_t xattr_len, bool has_xattr, const void *p,
                          size_t size)
{
    uint64_t s = sum64(p, size, (uint64_t)is_symlink << 63 | (uint64_t)mode << 32 | links << 24 | size);
    return (has_xattr ? sum64(xattr, xattr_len, s) : s) | 1;
}

static uint64_t thing_now(struct thing *t)
{
    if (!t->sum)
        t->sum = thing_sum(t->is_symlink, t->mode, t->links, t->xattr, t->xattr_len, t->has_xattr, t->data, t->size);
    return t->sum;
}

void world_push(struct world *w)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 512;
        w->state = realloc(w->state, w->cap * sizeof(*w->state));
        assert_non_null(w->state);
    }
    struct state *s = &w->state[w->n++];
    for (int i = 0; i < SLOTS; i++)
        s->column[i] = w->slot[i] ? thing_now(w->slot[i]) : 0;
    for (int d = 0; d < DIRS; d++)
        s->column[SLOTS + d] = w->dir[d];
}

void world_begin(struct world *w)
{
    trace_mark(w->low, w->n);
}

void world_end(struct world *w)
{
    world_push(w);
}

void world_promise(struct world *w, uint64_t state)
{
    w->low = state > w->low ? state : w->low;
    trace_mark(w->low, w->n - 1);
}

void world_changed(struct world *w, struct thing *t)
{
    t->touched = w->n;
    t->sum = 0;
}

/* ---- what a store has ---- */

static uint64_t column_of(struct rig *r, uint64_t ino)
{
    struct holofs_attr a;
    uint8_t xattr[XATTR_SPACE];
    uint8_t *p = rig_buffer(THING_MAX);
    if (!ino || holofs_getattr(r->fs, ino, &a)) {
        free(p);
        return ino ? 2 : 0;
    }
    bool is_symlink = S_ISLNK(a.mode);
    ssize_t n = is_symlink ? holofs_readlink(r->fs, ino, (char *)p, THING_MAX) : holofs_read(r->fs, ino, 0, p, THING_MAX);
    ssize_t x = is_symlink ? -ENODATA : holofs_getxattr(r->fs, ino, "user.power", xattr, sizeof(xattr));
    uint64_t s = n < 0 || (uint64_t)n != a.size ? 2
                                                : thing_sum(is_symlink, a.mode & 07777, a.nlink, xattr, x < 0 ? 0 : (size_t)x, x >= 0, p, (size_t)n);
    if (s == 2)
        print_message("inode %llu: size %llu, read %zd\n", (unsigned long long)ino, (unsigned long long)a.size, n);
    free(p);
    return s;
}

static void look(struct rig *r, struct state *s)
{
    for (int i = 0; i < SLOTS; i++)
        s->column[i] = column_of(r, world_slot_ino(r, i));
    for (int d = 0; d < DIRS; d++)
        s->column[SLOTS + d] = world_dir_ino(r, d) != 0;
}

int world_difference(const struct state *a, const struct state *b)
{
    int n = 0;
    for (int i = 0; i < COLUMNS; i++)
        n += a->column[i] != b->column[i];
    return n;
}

/* The nearest state, for the message. */
static void explain(const struct world *w, const struct state *s, uint64_t low, uint64_t high)
{
    size_t best = 0;
    for (size_t k = 1; k < w->n; k++) {
        if (world_difference(&w->state[k], s) <= world_difference(&w->state[best], s))
            best = k;
    }
    print_message("states %llu to %llu were possible; nearest of all is %zu of %zu\n", (unsigned long long)low, (unsigned long long)high, best,
                  w->n);
    for (int i = 0; i < COLUMNS; i++) {
        char name[16];
        if (i < SLOTS)
            world_slot_name(i, name);
        else
            dir_name(i - SLOTS, name);
        if (w->state[best].column[i] == s->column[i])
            continue;
        print_message("  %s is %s there, should be as at %zu; as it is at:", name, s->column[i] ? s->column[i] == 2 ? "UNREADABLE" : "other" : "not",
                      best);
        for (size_t k = 0; k < w->n; k++) {
            if (w->state[k].column[i] == s->column[i] && (k == 0 || w->state[k - 1].column[i] != s->column[i]))
                print_message(" %zu", k);
        }
        print_message("\n");
    }
}

int64_t world_match(const struct world *w, struct rig *r, uint64_t low, uint64_t high)
{
    struct state s;
    look(r, &s);
    high = high < w->n ? high : w->n - 1;
    for (uint64_t k = high + 1; k-- > low;) {
        if (world_difference(&w->state[k], &s) == 0)
            return (int64_t)k;
    }
    explain(w, &s, low, high);
    return -1;
}

/* ---- the model ---- */

static void thing_put(struct thing *t)
{
    if (--t->links == 0) {
        free(t->data);
        free(t);
        return;
    }
    t->sum = 0;
}

struct thing *world_thing_new(struct world *w, int slot, bool is_symlink)
{
    struct thing *t = calloc(1, sizeof(*t));
    t->data = calloc(1, THING_MAX);
    t->links = 1;
    t->is_symlink = is_symlink;
    t->mode = is_symlink ? 0777 : 0644;
    t->touched = w->n;
    w->slot[slot] = t;
    return t;
}

void world_init(struct world *w, struct rig *r, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->r = r;
    w->seed = seed;
    world_push(w);
    trace_mark(0, 0);
}

void world_drop_all(struct world *w)
{
    for (int i = 0; i < SLOTS; i++) {
        if (w->slot[i])
            thing_put(w->slot[i]);
        w->slot[i] = NULL;
    }
}

void world_fini(struct world *w)
{
    world_drop_all(w);
    free(w->state);
}

uint64_t world_draw(struct world *w, uint64_t n)
{
    return rig_random(&w->seed) % n;
}

/* A slot whose directory is there. */
int world_any_slot(struct world *w)
{
    for (;;) {
        int s = (int)world_draw(w, SLOTS);
        if (world_dir_of(s) < 0 || w->dir[world_dir_of(s)])
            return s;
    }
}

/* A slot with a file (made if there is none). */
static void do_create(struct world *w, int slot);
int world_any_file(struct world *w)
{
    for (int i = 0; i < 40; i++) {
        int s = world_any_slot(w);
        if (w->slot[s] && !w->slot[s]->is_symlink)
            return s;
    }
    int s = (int)world_draw(w, ROOT_NAMES);
    while (w->slot[s] && w->slot[s]->is_symlink)
        s = (s + 1) % ROOT_NAMES;
    if (!w->slot[s])
        do_create(w, s);
    return s;
}

/* ---- operations on names ---- */

static const struct holofs_cred nobody;

void world_ok(int e, const char *what)
{
    if (e)
        fail_msg("%s: %s", what, holo_strerror(e));
}

static void do_make(struct world *w, int slot, const char *target)
{
    struct holofs_attr a;
    char name[16];
    world_slot_name(slot, name);
    world_begin(w);
    world_ok(holofs_create(w->r->fs, &nobody, world_dir_ino(w->r, world_dir_of(slot)), name, target ? S_IFLNK | 0777 : S_IFREG | 0644, 0, target, &a), "create");
    holofs_forget(w->r->fs, a.ino, 1);
    struct thing *t = world_thing_new(w, slot, target != NULL);
    t->size = target ? strlen(target) : 0;
    if (target)
        memcpy(t->data, target, t->size);
    world_end(w);
}

static void do_create(struct world *w, int slot)
{
    do_make(w, slot, NULL);
}

static void do_unlink(struct world *w, int slot)
{
    char name[16];
    world_slot_name(slot, name);
    world_begin(w);
    world_ok(holofs_unlink(w->r->fs, world_dir_ino(w->r, world_dir_of(slot)), name), "unlink");
    world_changed(w, w->slot[slot]);
    thing_put(w->slot[slot]);
    w->slot[slot] = NULL;
    world_end(w);
}

static void do_rename(struct world *w, int from, int to, bool exchange)
{
    char a[16], b[16];
    struct thing *x = w->slot[from], *y = w->slot[to];
    if (x == y || (exchange && !y))
        return;
    world_slot_name(from, a);
    world_slot_name(to, b);
    world_begin(w);
    world_ok(holofs_rename(w->r->fs, world_dir_ino(w->r, world_dir_of(from)), a, world_dir_ino(w->r, world_dir_of(to)), b, exchange ? RENAME_EXCHANGE : 0), "rename");
    world_changed(w, x);
    if (y)
        world_changed(w, y);
    if (y && !exchange)
        thing_put(y);
    w->slot[to] = x;
    w->slot[from] = exchange ? y : NULL;
    world_end(w);
}

static void do_link(struct world *w, int from, int to)
{
    char b[16];
    struct holofs_attr a;
    uint64_t ino = world_slot_ino(w->r, from);
    if (w->slot[to])
        return;
    world_slot_name(to, b);
    world_begin(w);
    world_ok(holofs_link(w->r->fs, ino, world_dir_ino(w->r, world_dir_of(to)), b, &a), "link");
    holofs_forget(w->r->fs, ino, 1);
    w->slot[from]->links++;
    w->slot[to] = w->slot[from];
    world_changed(w, w->slot[from]);
    world_end(w);
}

static void do_mkdir(struct world *w, int d)
{
    char name[16];
    if (w->dir[d])
        return;
    dir_name(d, name);
    world_begin(w);
    rig_make(w->r, RIG_ROOT, name, S_IFDIR | 0755);
    w->dir[d] = true;
    world_end(w);
}

static bool is_empty(const struct world *w, int d)
{
    for (int i = 0; i < DIR_NAMES; i++) {
        if (w->slot[ROOT_NAMES + d * DIR_NAMES + i])
            return false;
    }
    return true;
}

static void do_rmdir(struct world *w, int d)
{
    char name[16];
    if (!w->dir[d])
        return;
    for (int i = ROOT_NAMES + d * DIR_NAMES; i < ROOT_NAMES + (d + 1) * DIR_NAMES; i++) {
        if (w->slot[i])
            do_unlink(w, i);
    }
    dir_name(d, name);
    world_begin(w);
    world_ok(holofs_rmdir(w->r->fs, RIG_ROOT, name), "rmdir");
    w->dir[d] = false;
    world_end(w);
}

/* Names of a directory have the slot's number in them, so only an empty one can take another's name. */
static void do_rename_dir(struct world *w, int from, int to)
{
    char a[16], b[16];
    if (from == to || !w->dir[from] || !is_empty(w, from) || (w->dir[to] && !is_empty(w, to)))
        return;
    dir_name(from, a);
    dir_name(to, b);
    world_begin(w);
    world_ok(holofs_rename(w->r->fs, RIG_ROOT, a, RIG_ROOT, b, 0), "rename of a directory");
    w->dir[from] = false;
    w->dir[to] = true;
    world_end(w);
}

/* ---- operations on contents ---- */

void world_write(struct world *w, int slot, size_t off, size_t len)
{
    struct thing *t = w->slot[slot];
    len = off + len > THING_MAX ? THING_MAX - off : len;
    if (len == 0)
        return;
    world_begin(w);
    rig_fill(rig_random(&w->seed), t->data + off, len);
    if (world_draw(w, 3) == 0)
        memset(t->data + off, (int)world_draw(w, 250), len);
    rig_write(w->r, world_slot_ino(w->r, slot), off, t->data + off, len);
    t->size = off + len > t->size ? off + len : t->size;
    world_changed(w, t);
    world_end(w);
}

static void do_truncate(struct world *w, int slot, size_t size)
{
    struct thing *t = w->slot[slot];
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_SIZE, .size = size };
    world_begin(w);
    world_ok(holofs_setattr(w->r->fs, world_slot_ino(w->r, slot), &s, &a), "truncate");
    if (size < t->size)
        memset(t->data + size, 0, t->size - size);
    t->size = size;
    world_changed(w, t);
    world_end(w);
}

static void do_hole(struct world *w, int slot, size_t off, size_t len, bool zero_range)
{
    struct thing *t = w->slot[slot];
    len = off + len > THING_MAX ? THING_MAX - off : len;
    if (len == 0)
        return;
    world_begin(w);
    world_ok(holofs_fallocate(w->r->fs, world_slot_ino(w->r, slot), zero_range ? HOLOFS_FALLOC_ZERO_RANGE : HOLOFS_FALLOC_PUNCH_HOLE | HOLOFS_FALLOC_KEEP_SIZE,
                        off, len), "fallocate");
    memset(t->data + off, 0, len);
    t->size = zero_range && off + len > t->size ? off + len : t->size;
    world_changed(w, t);
    world_end(w);
}

static void do_mode(struct world *w, int slot)
{
    struct thing *t = w->slot[slot];
    struct holofs_attr a;
    struct holofs_setattr s = { .set = HOLOFS_SET_MODE, .mode = 0400 | (uint32_t)world_draw(w, 0400) };
    world_begin(w);
    world_ok(holofs_setattr(w->r->fs, world_slot_ino(w->r, slot), &s, &a), "chmod");
    t->mode = s.mode;
    world_changed(w, t);
    world_end(w);
}

static void do_xattr(struct world *w, int slot, bool gone)
{
    struct thing *t = w->slot[slot];
    uint64_t ino = world_slot_ino(w->r, slot);
    if (gone && !t->has_xattr)
        return;
    world_begin(w);
    t->xattr_len = gone ? 0 : world_draw(w, XATTR_SPACE);
    rig_fill(rig_random(&w->seed), t->xattr, t->xattr_len);
    world_ok(gone ? holofs_removexattr(w->r->fs, ino, "user.power") : holofs_setxattr(w->r->fs, ino, "user.power", t->xattr, t->xattr_len, 0), "xattr");
    t->has_xattr = !gone;
    world_changed(w, t);
    world_end(w);
}

/* ---- promises ---- */

void world_fsync(struct world *w, int slot)
{
    uint64_t touched = w->slot[slot]->touched;
    world_ok(holofs_fsync(w->r->fs, world_slot_ino(w->r, slot)), "fsync");
    world_promise(w, touched);
}

static void do_sync_dir(struct world *w, int d)
{
    world_ok(holofs_fsync(w->r->fs, world_dir_ino(w->r, d)), "fsync of a directory");
    world_promise(w, w->n - 1);
}

void world_control(struct world *w, const char *command, bool promises)
{
    world_ok(rig_control(w->r, command), command);
    if (promises)
        world_promise(w, w->n - 1);
}

/* ---- several at once ---- */

/* Write a new file, rename it over another. Without fsync half of the time. */
static void do_replace(struct world *w)
{
    int tmp = world_any_slot(w), to = world_any_slot(w);
    if (w->slot[tmp] || tmp == to)
        return;
    do_create(w, tmp);
    world_write(w, tmp, 0, 1 + world_draw(w, 30000));
    if (world_draw(w, 2))
        world_fsync(w, tmp);
    do_rename(w, tmp, to, false);
    if (world_draw(w, 2))
        do_sync_dir(w, world_dir_of(to));
}

/* A file that is open while its last name goes: nobody may find it after a crash. */
static void do_open_unlinked(struct world *w)
{
    int s = world_any_slot(w);
    uint8_t p[5000];
    if (w->slot[s])
        return;
    do_create(w, s);
    uint64_t ino = world_slot_ino(w->r, s);
    world_ok(holofs_open_file(w->r->fs, ino, true, false, false), "open");
    world_write(w, s, 0, 1 + world_draw(w, 20000));
    do_unlink(w, s);
    rig_fill(w->seed, p, sizeof(p));
    rig_write(w->r, ino, world_draw(w, 50000), p, sizeof(p));
    if (world_draw(w, 2)) {
        world_ok(holofs_fsync(w->r->fs, ino), "fsync of an open file without a name");
        world_promise(w, w->n - 1);
    }
    holofs_release_file(w->r->fs, ino, true);
}

/* As sqlite does with a rollback journal: journal, fsync, pages, fsync, journal gone. */
static void do_database(struct world *w)
{
    enum { DB = 0, JOURNAL = 1, PAGES = 12 };
    if ((w->slot[DB] && w->slot[DB]->is_symlink) || (w->slot[JOURNAL] && w->slot[JOURNAL]->is_symlink))
        return;
    if (!w->slot[DB])
        do_create(w, DB);
    if (!w->slot[JOURNAL])
        do_create(w, JOURNAL);
    world_write(w, JOURNAL, 0, 512 + world_draw(w, 3) * 4096);
    world_fsync(w, JOURNAL);
    do_sync_dir(w, -1);
    for (int i = 0; i < 3; i++)
        world_write(w, DB, world_draw(w, PAGES) * 4096, 4096);
    world_fsync(w, DB);
    do_unlink(w, JOURNAL);
    if (world_draw(w, 2))
        do_sync_dir(w, -1);
}

/* Everything is written anew and sealed, so that older containers hold nothing any more and are deleted. */
static void do_refill(struct world *w)
{
    for (int i = 0; i < SLOTS; i++) {
        if (w->slot[i] && !w->slot[i]->is_symlink) {
            do_truncate(w, i, 0);
            world_write(w, i, 0, THING_MAX / 2);
        }
    }
    world_control(w, "seal", true);
    commit_wake(w->r->fs);
    rig_sleep_ms(20);
    world_control(w, "sync", true);
    commit_wake(w->r->fs);
    rig_sleep_ms(10);
}

/* What is alive moves together, and containers that it left are deleted. */
static void do_clean(struct world *w)
{
    uint64_t runs = rig_stat(w->r, "cleaner/runs");
    int e = rig_control(w->r, "clean");
    world_ok(e == -EALREADY ? 0 : e, "clean");
    for (int i = 0; i < 4000 && rig_stat(w->r, "cleaner/runs") == runs; i++)
        rig_sleep_ms(1);
}

static void do_step(struct world *w, char op)
{
    int f;
    switch (op) {
    case 'c': f = world_any_slot(w); if (!w->slot[f]) do_create(w, f); break;
    case 'a': f = world_any_file(w); world_write(w, f, w->slot[f]->size, 1 + world_draw(w, 9000)); break;
    case 'A': f = world_any_file(w); world_write(w, f, w->slot[f]->size, 1 + world_draw(w, 3000)); world_fsync(w, f); break;
    case 'o': f = world_any_file(w); world_write(w, f, world_draw(w, w->slot[f]->size / SECTOR + 1) * SECTOR, SECTOR * (1 + world_draw(w, 4))); break;
    case 'w': f = world_any_file(w); world_write(w, f, world_draw(w, THING_MAX / 2), 1 + world_draw(w, world_draw(w, 2) ? 300 : 60000)); break;
    case 't': f = world_any_file(w); do_truncate(w, f, world_draw(w, THING_MAX)); break;
    case 'h': f = world_any_file(w); do_hole(w, f, world_draw(w, THING_MAX), world_draw(w, 40000), false); break;
    case 'z': f = world_any_file(w); do_hole(w, f, world_draw(w, THING_MAX / 2), world_draw(w, 40000), true); break;
    case 'r': f = world_any_file(w); do_rename(w, f, world_any_slot(w), false); break;
    case 'e': f = world_any_file(w); do_rename(w, f, world_any_slot(w), true); break;
    case 'l': f = world_any_file(w); do_link(w, f, world_any_slot(w)); break;
    case 'u': f = world_any_slot(w); if (w->slot[f]) do_unlink(w, f); break;
    case 's': f = world_any_slot(w); if (!w->slot[f]) do_make(w, f, world_draw(w, 2) ? "to/somewhere" : "x"); break;
    case 'x': do_xattr(w, world_any_file(w), false); break;
    case 'X': do_xattr(w, world_any_file(w), true); break;
    case 'm': do_mode(w, world_any_file(w)); break;
    case 'd': do_mkdir(w, (int)world_draw(w, DIRS)); break;
    case 'D': do_rmdir(w, (int)world_draw(w, DIRS)); break;
    case 'R': do_rename_dir(w, (int)world_draw(w, DIRS), (int)world_draw(w, DIRS)); break;
    case 'p': do_replace(w); break;
    case 'O': do_open_unlinked(w); break;
    case 'Q': do_database(w); break;
    case 'f': world_fsync(w, world_any_file(w)); break;
    case 'F': f = world_any_slot(w); do_sync_dir(w, world_dir_of(f)); break;
    case 'S': world_control(w, "sync", true); break;
    case 'L': world_control(w, "seal", true); break;
    case 'U': world_control(w, "dump", false); break;
    case 'T': commit_wake(w->r->fs); rig_sleep_ms(3); break;
    case 'C': rig_reopen(w->r); world_promise(w, w->n - 1); break;
    case 'K': world_do_kill(w); break;
    case 'b': world_do_rot(w, false); break;
    case 'B': world_do_rot(w, true); break;
    case 'G': do_refill(w); break;
    case 'I': world_unnamed(w); break;
    case 'J': world_fail_ring(w); break;
    case 'g': do_clean(w); break;
    default: fail_msg("no operation %c", op);
    }
}

void world_step(struct world *w, const struct workload *l)
{
    do_step(w, l->ops[world_draw(w, strlen(l->ops))]);
}
