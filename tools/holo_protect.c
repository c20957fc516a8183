/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * holo_protect.c: holo protect: what a file, or everything below a folder, survives: losses of each stripe that has bytes of it, and a
 * burst on the device below.
 */
#include "tools/holo_protect.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "tools/holo_mount.h"
#include "tools/protect_ask.h"

enum { WEAK_TOLD = 10 };

struct protect {
    struct ask ask;
    struct file_told sum; /* bytes of all files, the weakest stripe of all */
    char *weakest;        /* whose that is */
    uint64_t files, refused;
    json_t *weak;         /* files that have lost something, or that survive less than they should */
    uint64_t burst;
    int burst_known;
    char why[4400];
};

/* The root of the mount that a path is in: the highest folder of the same device. */
static int find_mount(const char *path, char root[PATH_MAX])
{
    char up[PATH_MAX + 4];
    struct stat here, st;
    if (!realpath(path, root) || stat(root, &here))
        return errno;
    while (strcmp(root, "/") != 0) {
        snprintf(up, sizeof(up), "%s", root);
        char *slash = strrchr(up, '/');
        slash[slash == up] = 0; /* "/" stays */
        if (stat(up, &st) || st.st_dev != here.st_dev)
            break;
        strcpy(root, up);
    }
    return 0;
}

static void take_file(struct protect *p, const char *path, const struct file_told *f)
{
    struct file_told *s = &p->sum;
    s->size += f->size;
    s->sealed += f->sealed;
    s->unsealed += f->unsealed;
    s->lost += f->lost;
    p->files++;
    if (f->lost || (f->margin != INT_MAX && f->margin < (int)f->m))
        json_array_append_new(p->weak, json_pack("{s:s, s:I, s:I, s:i, s:i, s:i}", "path", path, "lost_bytes", (json_int_t)f->lost, "losses",
                                                 (json_int_t)(f->margin == INT_MAX ? 0 : f->margin), "of", (int)f->m, "container",
                                                 (int)f->container, "stripe", (int)f->stripe));
    if (f->margin >= s->margin)
        return;
    s->margin = f->margin;
    s->m = f->m;
    s->container = f->container;
    s->stripe = f->stripe;
    free(p->weakest);
    p->weakest = strdup(path);
}

static int look_at_file(struct protect *p, const char *path)
{
    struct file_told f;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int e = fd < 0 ? errno : ask_file(&p->ask, fd, &f);
    if (fd >= 0)
        close(fd);
    if (!e)
        take_file(p, path, &f);
    else if (e != ENOENT)
        fprintf(stderr, "holo: %s: %s\n", path, e == ENOTTY || e == ENOSYS ? "not a file of a mounted holofs" : strerror(e));
    p->refused += e && e != ENOENT;
    return e;
}

static void look_at_all(struct protect *p, char *path)
{
    char *list[] = { path, NULL };
    FTS *fts = fts_open(list, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
    FTSENT *it;
    while (fts && (it = fts_read(fts))) {
        if (it->fts_info == FTS_F) {
            look_at_file(p, it->fts_path);
        } else if (it->fts_info == FTS_DNR || it->fts_info == FTS_ERR) {
            fprintf(stderr, "holo: %s: %s\n", it->fts_path, strerror(it->fts_errno));
            p->refused++;
        }
    }
    if (fts)
        fts_close(fts);
}

/* What was written and not yet given to holofs is in no place: it is written first. */
static void write_back(const char *path, bool folder)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (folder ? syncfs(fd) : fsync(fd))
        fprintf(stderr, "holo: %s: %s: what is not written yet is not in the answer\n", path, strerror(errno));
    close(fd);
}

static int find_burst(struct protect *p, const char *store, uint64_t *stripes)
{
    const struct medium_container **list = ask_containers(&p->ask, stripes);
    if (!list)
        return -ENOMEM;
    p->burst_known = medium_burst(store, list, p->ask.n, p->sum.unsealed > 0, &p->burst, p->why, sizeof(p->why));
    free(list);
    return p->burst_known < 0 ? p->burst_known : 0;
}

/* ---- telling ---- */

static json_t *result_json(const struct protect *p, const char *path, uint64_t stripes, json_t *stats, int meta_r)
{
    const struct file_told *s = &p->sum;
    json_t *ring = json_object_get(stats, "ring"), *o = json_object();
    bool sealed = s->margin != INT_MAX;
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "files", json_integer((json_int_t)p->files));
    json_object_set_new(o, "bytes", json_integer((json_int_t)s->size));
    json_object_set_new(o, "sealed_bytes", json_integer((json_int_t)s->sealed));
    json_object_set_new(o, "unsealed_bytes", json_integer((json_int_t)s->unsealed));
    json_object_set_new(o, "lost_bytes", json_integer((json_int_t)s->lost));
    json_object_set_new(o, "containers", json_integer((json_int_t)p->ask.n));
    json_object_set_new(o, "stripes", json_integer((json_int_t)stripes));
    json_object_set_new(o, "read", json_boolean(!p->ask.quick));
    json_object_set_new(o, "blocks_read", json_integer((json_int_t)p->ask.blocks_read));
    json_object_set_new(o, "bad_blocks", json_integer((json_int_t)p->ask.bad));
    json_object_set_new(o, "remapped_blocks", json_integer((json_int_t)p->ask.remapped));
    json_object_set_new(o, "losses", sealed ? json_integer(s->margin) : json_null());
    if (sealed)
        json_object_set_new(o, "weakest", json_pack("{s:s, s:i, s:i, s:i}", "path", p->weakest, "container", (int)s->container, "stripe",
                                                    (int)s->stripe, "parity", (int)s->m));
    json_object_set_new(o, "burst_bytes", p->burst_known && p->burst != UINT64_MAX ? json_integer((json_int_t)p->burst) : json_null());
    json_object_set_new(o, "burst", p->burst_known ? json_string(p->burst == UINT64_MAX ? "nothing of it is on a disk" : "measured") : json_string(p->why));
    json_object_set_new(o, "ring_copies", json_integer(2 - holo_count(ring, "failed_copies")));
    json_object_set_new(o, "unmirrored_blocks", json_integer(holo_count(ring, "unmirrored_blocks")));
    json_object_set_new(o, "metadata_losses", json_integer(2 * meta_r));
    json_object_set(o, "weak", p->weak);
    return o;
}

static void print_losses(const struct protect *p)
{
    const struct file_told *s = &p->sum;
    size_t i;
    json_t *w;
    if (s->margin == INT_MAX)
        return;
    if (s->margin < 0)
        printf("survives   no: a stripe has lost %d blocks more than parity rebuilds\n", -s->margin);
    else
        printf("survives   the loss of any %d blocks of 4 KiB in each of its stripes\n", s->margin);
    if (s->margin < (int)s->m)
        printf("weakest    stripe %u of container %u: %d of %u blocks are bad now: holo scrub start heals them\n", s->stripe, s->container,
               (int)s->m - s->margin, s->m);
    json_array_foreach(p->weak, i, w) {
        if (i < WEAK_TOLD)
            printf("           %s: %lld losses of %lld, %lld bytes lost\n", json_string_value(json_object_get(w, "path")),
                   holo_count(w, "losses"), holo_count(w, "of"), holo_count(w, "lost_bytes"));
    }
}

static void print_burst(const struct protect *p)
{
    char a[32];
    if (!p->burst_known)
        printf("burst      not known here: %s\n", p->why);
    else if (p->burst != UINT64_MAX)
        printf("burst      %s in a row, wherever on the disk (%llu bytes, measured with FIEMAP)\n", holo_size_text((long long)p->burst, a),
               (unsigned long long)p->burst);
}

static void print_words(const struct protect *p, const char *path, uint64_t stripes, json_t *stats, int meta_r)
{
    char a[32];
    const struct file_told *s = &p->sum;
    json_t *ring = json_object_get(stats, "ring");
    printf("%s: %llu %s, %s\n", path, (unsigned long long)p->files, p->files == 1 ? "file" : "files", holo_size_text((long long)s->size, a));
    printf("sealed     %s, in %llu stripes of %zu containers\n", holo_size_text((long long)s->sealed, a), (unsigned long long)stripes, p->ask.n);
    print_losses(p);
    print_burst(p);
    if (p->ask.quick)
        printf("checked    nothing: all of it is taken to be right\n");
    else
        printf("checked    %llu blocks were read now, with their parity: %llu are bad, %llu are on spares\n",
               (unsigned long long)p->ask.blocks_read, (unsigned long long)p->ask.bad, (unsigned long long)p->ask.remapped);
    if (s->unsealed) {
        printf("unsealed   %s: no parity yet; in the ring and its mirror, of which one may lose any block\n", holo_size_text((long long)s->unsealed, a));
        if (holo_count(ring, "failed_copies") || holo_count(ring, "unmirrored_blocks"))
            printf("           at the moment only one copy has all of it; holo seal gives it parity\n");
    }
    if (s->lost)
        printf("lost       %s read as an error for ever\n", holo_size_text((long long)s->lost, a));
    printf("metadata   in two dumps or the log behind them: any %d blocks of each of their stripes; what is newer: ring and mirror\n", 2 * meta_r);
}

static int tell(const struct protect *p, const char *path, uint64_t stripes, json_t *stats, int meta_r, bool json)
{
    if (json) {
        json_t *o = result_json(p, path, stripes, stats, meta_r);
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(o);
    } else {
        print_words(p, path, stripes, stats, meta_r);
    }
    return p->refused ? EXIT_OPERATION : p->sum.lost || p->ask.bad ? EXIT_UNHEALTHY : 0;
}

static int protect(const char *given, struct protect *p, bool json)
{
    char root[PATH_MAX], path[PATH_MAX];
    struct stat st;
    uint64_t stripes = 0;
    int e = find_mount(given, root);
    if (e || !realpath(given, path) || stat(path, &st)) {
        fprintf(stderr, "holo: %s: %s\n", given, strerror(e ? e : errno));
        return EXIT_OPERATION;
    }
    json_t *stats = holo_stats(root);
    if (!stats)
        return EXIT_OPERATION;
    write_back(path, S_ISDIR(st.st_mode));
    if (S_ISDIR(st.st_mode))
        look_at_all(p, path);
    else
        look_at_file(p, path);
    const char *store = json_string_value(json_object_get(stats, "store"));
    e = find_burst(p, store ? store : "", &stripes);
    if (e)
        fprintf(stderr, "holo: %s: %s\n", path, holo_strerror(e));
    json_decref(stats);
    stats = holo_stats(root);
    int r = e || !stats ? EXIT_OPERATION : tell(p, path, stripes, stats, (int)holo_count(stats, "metadata_redundancy"), json);
    json_decref(stats);
    return r;
}

int holo_protect(int argc, char **argv)
{
    static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' }, { 0 } };
    struct protect p = { .sum.margin = INT_MAX, .weak = json_array() };
    bool json = false, right = true;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        json |= c == 'j';
        p.ask.quick |= c == 'q';
        right &= c != '?';
    }
    int e = EXIT_USAGE;
    if (right && argc - optind == 1)
        e = protect(argv[optind], &p, json);
    else
        fprintf(stderr, "holo: usage: holo protect [--quick] [--json] PATH\n");
    ask_fini(&p.ask);
    free(p.weakest);
    json_decref(p.weak);
    return e;
}
