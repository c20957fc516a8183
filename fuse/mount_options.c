/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mount_options.c: the command line: ours, the kernel's, and what fstab puts there for others. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/fuse.h"

enum { EXIT_USAGE = 16 };

static const char known[] = "redundancy=N, compress=off|auto|zstd:L, ecc=auto|scalar|avx2|gfni|cuda, cache=SIZE, commit=SECONDS, "
                            "clean_rate=SIZE, threads=N, spare=DIR, clear_stale, ro, rw, atime, relatime, noatime, strictatime, diratime, nodiratime, "
                            "allow_other, "
                            "allow_root, suid, nosuid, dev, nodev, exec, noexec, sync, async, dirsync, context=…, and what "
                            "fstab uses (defaults, nofail, noauto, user, _netdev, lazytime, x-…)";

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "holofs: %s '%s'; known options: %s\n", what, value, known);
    return EXIT_USAGE;
}

static bool is_one_of(const char *s, const char *const *list)
{
    for (; *list; list++) {
        size_t n = strlen(*list);
        bool prefix = n && ((*list)[n - 1] == '=' || (*list)[n - 1] == '-' || (*list)[n - 1] == '.');
        if (prefix ? strncmp(s, *list, n) == 0 : strcmp(s, *list) == 0)
            return true;
    }
    return false;
}

static int add_fuse_opt(struct mount_options *o, const char *s)
{
    size_t n = strlen(o->fuse_opts);
    if (n + strlen(s) + 2 > sizeof(o->fuse_opts))
        return usage("too many options at", s);
    snprintf(o->fuse_opts + n, sizeof(o->fuse_opts) - n, "%s%s", n ? "," : "", s);
    return 0;
}

static bool number(const char *s, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    *out = strtoul(s, &end, 10);
    return *s >= '0' && *s <= '9' && !*end && !errno && *out >= min && *out <= max;
}

/* 64M, 1G, 4096 */
static bool size_value(const char *s, uint64_t min, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (*s < '0' || *s > '9' || errno)
        return false;
    const char *unit = *end ? strchr("KMGT", *end & ~0x20) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - "KMGT" + 1) : 0;
    if ((*end && !unit) || (unit && end[1]) || v > UINT64_MAX >> shift)
        return false;
    *out = (uint64_t)v << shift;
    return *out >= min;
}

static bool compress_value(const char *s, struct holofs_options *o)
{
    char *end;
    if (strcmp(s, "off") == 0) {
        o->compress = HOLOFS_COMPRESS_OFF;
        return true;
    }
    if (strcmp(s, "auto") == 0) {
        o->compress = HOLOFS_COMPRESS_AUTO;
        return true;
    }
    if (strncmp(s, "zstd:", 5) != 0)
        return false;
    long level = strtol(s + 5, &end, 10);
    if (!s[5] || *end || level < -50 || level > 19 || level == 0)
        return false;
    o->compress = HOLOFS_COMPRESS_ZSTD;
    o->zstd_level = (int)level;
    return true;
}

/* An option that is holofs's own: 1 taken, 0 not ours, -1 a bad value. */
static int own_option(struct mount_options *o, const char *s)
{
    static const char *const engines[] = { "auto", "scalar", "avx2", "gfni", "cuda", NULL };
    unsigned long n;
    if (strncmp(s, "redundancy=", 11) == 0) {
        if (!number(s + 11, 1, 10, &n))
            return -1;
        o->store.redundancy = (unsigned)n;
    } else if (strncmp(s, "compress=", 9) == 0) {
        if (!compress_value(s + 9, &o->store))
            return -1;
    } else if (strncmp(s, "ecc=", 4) == 0) {
        if (!is_one_of(s + 4, engines))
            return -1;
        snprintf(o->engine, sizeof(o->engine), "%s", s + 4);
    } else if (strncmp(s, "cache=", 6) == 0) {
        if (!size_value(s + 6, 1u << 20, &o->store.cache_bytes))
            return -1;
    } else if (strncmp(s, "commit=", 7) == 0) {
        if (!number(s + 7, 1, 300, &n))
            return -1;
        o->store.commit_seconds = (unsigned)n;
    } else if (strncmp(s, "clean_rate=", 11) == 0) {
        if (!size_value(s + 11, 0, &o->store.clean_rate))
            return -1;
    } else if (strncmp(s, "threads=", 8) == 0) {
        if (!number(s + 8, 1, 64, &n))
            return -1;
        o->threads = (unsigned)n;
    } else if (strncmp(s, "spare=", 6) == 0) {
        if (s[6] != '/' || strlen(s + 6) >= sizeof(o->spare))
            return -1;
        snprintf(o->spare, sizeof(o->spare), "%s", s + 6);
    } else if (strcmp(s, "clear_stale") == 0) {
        o->clear_stale = true;
    } else if (strcmp(s, "noatime") == 0) {
        o->store.atime = HOLOFS_ATIME_NEVER;
    } else if (strcmp(s, "relatime") == 0 || strcmp(s, "atime") == 0 || strcmp(s, "nostrictatime") == 0) {
        o->store.atime = HOLOFS_ATIME_RELATIVE;
    } else if (strcmp(s, "strictatime") == 0) {
        o->store.atime = HOLOFS_ATIME_ALWAYS;
    } else if (strcmp(s, "diratime") == 0 || strcmp(s, "nodiratime") == 0) {
        o->store.no_dir_atime = s[0] == 'n';
    } else {
        return 0;
    }
    return 1;
}

static int one_option(struct mount_options *o, const char *s)
{
    static const char *const ignored[] = { "defaults", "nofail", "fail", "noauto", "auto", "user", "nouser", "users", "owner", "group",
                                           "_netdev", "loud", "silent", "norelatime", "lazytime", "nolazytime", "iversion", "noiversion", "x-", "X-", "comment=", "user=", "uhelper=", "helper=", NULL };
    static const char *const passed[] = { "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "context=",
                                          "fscontext=", "defcontext=", "rootcontext=", "allow_root", "rw", NULL };
    int own = own_option(o, s);
    if (own < 0)
        return usage("bad value in option", s);
    if (own || !*s || is_one_of(s, ignored))
        return 0;
    if (strcmp(s, "allow_other") == 0)
        return 0; /* added once, below */
    if (strcmp(s, "ro") == 0) {
        o->store.read_only = true;
        return add_fuse_opt(o, s);
    }
    return is_one_of(s, passed) ? add_fuse_opt(o, s) : usage("unknown option", s);
}

/* A comma-separated list; a comma inside quotes (SELinux contexts) does not part. */
static int option_list(struct mount_options *o, char *list)
{
    char *start = list;
    bool quoted = false;
    for (char *p = list;; p++) {
        if (*p == '"')
            quoted = !quoted;
        if (*p && (*p != ',' || quoted))
            continue;
        bool end = !*p;
        *p = 0;
        int e = one_option(o, start);
        if (e || end)
            return e;
        start = p + 1;
    }
}

static void help(void)
{
    printf("usage: holofs STORE MNT [-f] [-d] [-o OPTION[,OPTION…]]\n\n"
           "Mount the store in directory STORE at MNT.\n"
           "  -f  stay in the foreground, messages to standard error\n"
           "  -d  the same, with debugging messages of libfuse\n"
           "  -o  options: %s\n\nholofs(8) explains them.\n", known);
}

/*
 * What a tree of root's is like unless options say otherwise: for all users, with set-id programs and devices, as
 * mount(8) does for other filesystems (libfuse would take both away).
 */
static int add_defaults(struct mount_options *o)
{
    int e = strstr(o->fuse_opts, "allow_root") ? 0 : add_fuse_opt(o, "allow_other");
    if (geteuid() != 0)
        return e;
    if (!e && !strstr(o->fuse_opts, "suid"))
        e = add_fuse_opt(o, "suid");
    if (!e && !strstr(o->fuse_opts, "dev"))
        e = add_fuse_opt(o, "dev");
    return e;
}

int mount_options_parse(int argc, char **argv, struct mount_options *out)
{
    static const struct option longs[] = { { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 } };
    int c;
    *out = (struct mount_options){ .threads = 4 };
    holofs_options_init(&out->store);
    while ((c = getopt_long(argc, argv, "fdo:hV", longs, NULL)) != -1) {
        int e = 0;
        switch (c) {
        case 'f':
            out->foreground = true;
            break;
        case 'd':
            out->foreground = out->debug = true;
            break;
        case 'o':
            e = option_list(out, optarg);
            break;
        case 'V':
            printf("holofs %s\n", HOLOFS_VERSION);
            return -1;
        case 'h':
            help();
            return -1;
        default:
            return EXIT_USAGE;
        }
        if (e)
            return e;
    }
    if (argc - optind != 2) {
        fprintf(stderr, "holofs: usage: holofs STORE MNT [-f] [-o OPTION[,OPTION…]]\n");
        return EXIT_USAGE;
    }
    out->source = argv[optind];
    out->target = argv[optind + 1];
    out->store.engine = out->engine[0] ? out->engine : NULL;
    out->store.spare_dir = out->spare[0] ? out->spare : NULL;
    return add_defaults(out);
}
