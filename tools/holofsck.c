/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holofsck.c: check a store that is not mounted, and put right what parity and copies can. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "core/check.h"

/* Exit bits of fsck(8). */
enum { FSCK_OK = 0, FSCK_REPAIRED = 1, FSCK_LEFT = 4, FSCK_ERROR = 8, FSCK_USAGE = 16, FSCK_CANCELLED = 32 };

struct settings {
    bool repair, verbose, json, progress;
    const char *store;
};

static volatile sig_atomic_t cancelled;

static void cancel(int sig)
{
    (void)sig;
    cancelled = 1;
}

static int show_progress(void *arg, uint64_t done, uint64_t total)
{
    const struct settings *s = arg;
    if (s->progress)
        fprintf(stderr, "\rholofsck: container %llu of %llu ", (unsigned long long)done,
                (unsigned long long)(total > done ? total : done));
    return cancelled;
}

static void help(void)
{
    printf("usage: holofsck [-n|-p|-y] [-f] [-v] [--json] STORE\n\n"
           "Check a store that is not mounted: superblocks, ring, every block of every container.\n"
           "  -n      only look, write nothing (the default)\n"
           "  -p, -y  repair: replay the log, rebuild a bad index, put right bytes back\n"
           "  -f      accepted for fsck(8); a check is always whole\n"
           "  -v      also print every event\n"
           "  --json  a JSON object instead of text\n"
           "Exit bits: 1 repaired, 4 left uncorrected, 8 operational error, 16 usage, 32 cancelled.\n");
}

/* Lost, or known and not to be brought onto the medium. */
static uint64_t left(const struct settings *s, const struct holofs_check *c)
{
    return c->lost + c->missing + c->ring_lost + c->parity_disagrees + (s->repair ? c->bad - c->repaired - c->lost : 0);
}

static int exit_code(const struct settings *s, const struct holofs_check *c)
{
    uint64_t wrong = c->superblocks_bad + c->ring_bad + c->bad + c->index_rebuilt;
    if (left(s, c) || (!s->repair && wrong))
        return FSCK_LEFT | (s->repair && c->repaired ? FSCK_REPAIRED : 0);
    return s->repair && wrong ? FSCK_REPAIRED : FSCK_OK;
}

static void print_text(const struct settings *s, const struct holofs_check *c, const struct buf *events, int code)
{
    printf("%s: %llu containers, %llu blocks verified\n", s->store, (unsigned long long)c->containers, (unsigned long long)c->blocks);
    if (c->unclean)
        printf("%s: was not closed cleanly%s\n", s->store, s->repair ? ": log replayed" : "");
    if (c->superblocks_bad)
        printf("superblocks: %u of 5 copies were wrong\n", c->superblocks_bad);
    if (c->ring_bad || c->ring_lost)
        printf("ring: %llu blocks not right in both copies, %llu transaction groups lost\n", (unsigned long long)c->ring_bad,
               (unsigned long long)c->ring_lost);
    if (c->index_rebuilt)
        printf("index: rebuilt from ring and containers\n");
    if (c->bad || c->missing)
        printf("containers: %llu bad blocks, %llu repaired, %llu lost, %llu containers unreadable\n", (unsigned long long)c->bad,
               (unsigned long long)c->repaired, (unsigned long long)c->lost, (unsigned long long)c->missing);
    if (c->parity_disagrees)
        printf("parity: of %llu stripes it contradicts the data, which are as they were written: copy their files anew\n",
               (unsigned long long)c->parity_disagrees);
    if (events->len && (s->verbose || left(s, c)))
        printf("%s", (const char *)events->p);
    printf("%s: %s\n", s->store, code & FSCK_LEFT ? "errors left" : code & FSCK_REPAIRED ? "repaired" : "clean");
    if (!s->repair && (code & FSCK_LEFT))
        printf("repair with: holofsck -y %s\n", s->store);
}

static void print_json(const struct settings *s, const struct holofs_check *c, int code)
{
    json_t *o = json_pack("{s:s, s:b, s:b, s:i, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "store", s->store, "repair", s->repair,
                          "unclean", c->unclean, "superblocks_bad", (int)c->superblocks_bad, "ring_bad", (json_int_t)c->ring_bad,
                          "ring_lost", (json_int_t)c->ring_lost, "index_rebuilt", c->index_rebuilt, "containers",
                          (json_int_t)c->containers, "missing", (json_int_t)c->missing, "blocks", (json_int_t)c->blocks, "bad",
                          (json_int_t)c->bad, "repaired", (json_int_t)c->repaired, "lost", (json_int_t)c->lost, "parity_disagrees",
                          (json_int_t)c->parity_disagrees, "exit", code);
    if (o)
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

/* 0 and *s, or an exit code; -1 when there is nothing more to do. */
static int parse(int argc, char **argv, struct settings *s)
{
    static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' },
                                           { "version", no_argument, NULL, 'V' }, { 0 } };
    bool look = false;
    int c;
    while ((c = getopt_long(argc, argv, "npyafvhV", longs, NULL)) != -1) {
        switch (c) {
        case 'n':
            look = true;
            break;
        case 'p':
        case 'a':
        case 'y':
            s->repair = true;
            break;
        case 'f':
            break;
        case 'v':
            s->verbose = true;
            break;
        case 'j':
            s->json = true;
            break;
        case 'h':
            help();
            return -1;
        case 'V':
            printf("holofsck %s\n", HOLOFS_VERSION);
            return -1;
        default:
            return FSCK_USAGE;
        }
    }
    if (argc - optind != 1 || (look && s->repair)) {
        fprintf(stderr, "holofsck: usage: holofsck [-n|-p|-y] [-f] [-v] [--json] STORE\n");
        return FSCK_USAGE;
    }
    s->store = argv[optind];
    return 0;
}

int main(int argc, char **argv)
{
    struct settings s = { .progress = isatty(2) };
    struct holofs_check c;
    struct buf events = { 0 };
    char why[1024] = "";
    int e = parse(argc, argv, &s);
    if (e)
        return e < 0 ? 0 : e;
    log_set_name("holofsck");
    log_set_level(s.verbose ? LOG_LEVEL_WARN : LOG_LEVEL_ERR);
    signal(SIGINT, cancel);
    signal(SIGTERM, cancel);
    e = holofs_check(s.store, s.repair, show_progress, &s, &c, &events, why, sizeof(why));
    if (s.progress)
        fprintf(stderr, "\r%40s\r", "");
    if (e) {
        fprintf(stderr, "holofsck: %s\n", e == -ECANCELED ? "cancelled" : why);
        buf_fini(&events);
        return e == -ECANCELED ? FSCK_CANCELLED : FSCK_ERROR;
    }
    int code = exit_code(&s, &c);
    if (s.json)
        print_json(&s, &c, code);
    else
        print_text(&s, &c, &events, code);
    buf_fini(&events);
    return code;
}
