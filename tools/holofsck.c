/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holofsck.c: check a store that is not mounted, and put it right: the command line. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "core/fsck.h"
#include "core/fsck_map.h"
#include "tools/fsck_export.h"
#include "tools/fsck_position.h"
#include "tools/fsck_print.h"
#include "tools/size.h"

struct settings {
    bool look, preen, all, force;
    struct fsck_options o;
    struct fsck_print print;
    const char *export, *resume, *map, *undo_apply;
    uint64_t map_offset;
    struct fsck_position position;
};

static volatile sig_atomic_t cancelled;

static void cancel(int sig)
{
    (void)sig;
    cancelled = 1;
}

static bool is_cancelled(void)
{
    return cancelled;
}

static const char usage[] = "usage: holofsck [-n|-p|-y] [-f] [-v] [-C fd] [--json] [--rebuild-index] [--path PATH]\n"
                            "                [--max-duration SECONDS] [--resume FILE] [--undo FILE] [--mapfile FILE [--map-offset SIZE]] STORE\n"
                            "       holofsck --export DIR [--rebuild-index] [--json] [--mapfile FILE [--map-offset SIZE]] STORE\n"
                            "       holofsck --undo-apply FILE [--force] [--json] STORE\n";

static void help(void)
{
    printf("%s\n"
           "Check a store that is not mounted: superblocks, ring, index, names, remap table, every block of every container.\n"
           "  -n                      only look, write nothing\n"
           "  -p                      repair without questions what is certain\n"
           "  -y                      repair everything that can be\n"
           "                          without any of these: ask, or on no terminal -n\n"
           "  -f                      accepted for fsck(8): a check is always whole\n"
           "  -v                      also tell phases and what is no problem\n"
           "  -C FD                   progress to this file descriptor: phase, done, total, store\n"
           "  --json                  JSON lines instead of text\n"
           "  --rebuild-index         make the index anew, whatever it says\n"
           "  --path PATH             of the containers, read those that hold bytes of this file, or of what is below it\n"
           "  --max-duration SECONDS  stop after that\n"
           "  --resume FILE           go on where the check that wrote FILE stopped; write it when this one stops\n"
           "  --undo FILE             keep in FILE, on another disk best, what the repair changes\n"
           "  --undo-apply FILE       take back the repair that wrote FILE\n"
           "  --force                 with it: even if the store was changed since\n"
           "  --mapfile FILE          a map of ddrescue: what it could not save counts as unreadable\n"
           "  --map-offset SIZE       where the filesystem with the store begins on what ddrescue read (0)\n"
           "  --export DIR            copy out everything that can be read, and write nothing to the store\n"
           "Exit bits: 1 repaired, 4 left uncorrected, 8 operational error, 16 usage, 32 cancelled.\n",
           usage);
}

enum { OPT_JSON = 256, OPT_HELP, OPT_VERSION, OPT_REBUILD, OPT_DURATION, OPT_EXPORT, OPT_PATH, OPT_RESUME, OPT_MAP, OPT_MAP_OFFSET, OPT_UNDO, OPT_UNDO_APPLY,
       OPT_FORCE };

static const struct option longs[] = {
    { "json", no_argument, NULL, OPT_JSON },
    { "help", no_argument, NULL, OPT_HELP },
    { "version", no_argument, NULL, OPT_VERSION },
    { "rebuild-index", no_argument, NULL, OPT_REBUILD },
    { "export", required_argument, NULL, OPT_EXPORT },
    { "max-duration", required_argument, NULL, OPT_DURATION },
    { "path", required_argument, NULL, OPT_PATH },
    { "resume", required_argument, NULL, OPT_RESUME },
    { "mapfile", required_argument, NULL, OPT_MAP },
    { "map-offset", required_argument, NULL, OPT_MAP_OFFSET },
    { "undo", required_argument, NULL, OPT_UNDO },
    { "undo-apply", required_argument, NULL, OPT_UNDO_APPLY },
    { "force", no_argument, NULL, OPT_FORCE },
    { 0 },
};

/* 0, or -1 when it is wrong. */
static int take(struct settings *s, int c)
{
    unsigned long n;
    switch (c) {
    case 'n':
        s->look = true;
        return 0;
    case 'p':
    case 'a':
        s->preen = true;
        return 0;
    case 'y':
        s->all = true;
        return 0;
    case 'f':
        return 0;
    case 'v':
        s->print.verbose = true;
        return 0;
    case 'C':
        s->print.progress_fd = parse_number(optarg, 0, 1 << 30, &n) ? (int)n : -1;
        return s->print.progress_fd < 0 ? -1 : 0;
    case OPT_JSON:
        s->print.json = true;
        return 0;
    case OPT_REBUILD:
        s->o.rebuild_index = true;
        return 0;
    case OPT_EXPORT:
        s->export = optarg;
        return 0;
    case OPT_DURATION:
        s->o.max_seconds = parse_number(optarg, 1, 1 << 30, &n) ? (unsigned)n : 0;
        return s->o.max_seconds ? 0 : -1;
    case OPT_PATH:
        s->o.only_path = optarg;
        return 0;
    case OPT_RESUME:
        s->resume = optarg;
        return 0;
    case OPT_MAP:
        s->map = optarg;
        return 0;
    case OPT_UNDO:
        s->o.undo = optarg;
        return 0;
    case OPT_UNDO_APPLY:
        s->undo_apply = optarg;
        return 0;
    case OPT_FORCE:
        s->force = true;
        return 0;
    case OPT_MAP_OFFSET:
        return parse_size(optarg, &s->map_offset) ? 0 : -1;
    }
    return -1;
}

/* Options that are not of one and the same task. */
static bool contradict(const struct settings *s)
{
    bool check = s->preen || s->all || s->resume || s->o.only_path || s->o.undo;
    if (s->undo_apply)
        return check || s->look || s->export || s->map || s->o.rebuild_index;
    return s->force || (s->export && check) || (s->look && s->o.undo);
}

/* 0, or an exit code; -1 when there is nothing more to do. */
static int parse(int argc, char **argv, struct settings *s)
{
    int c;
    while ((c = getopt_long(argc, argv, "npyafvhC:V", longs, NULL)) != -1) {
        if (c == 'h' || c == OPT_HELP) {
            help();
            return -1;
        }
        if (c == 'V' || c == OPT_VERSION) {
            printf("holofsck %s\n", HOLOFS_VERSION);
            return -1;
        }
        if (take(s, c)) {
            fputs(usage, stderr);
            return FSCK_EXIT_USAGE;
        }
    }
    if (argc - optind != 1 || s->look + s->preen + s->all > 1 || contradict(s)) {
        fputs(usage, stderr);
        return FSCK_EXIT_USAGE;
    }
    s->print.store = argv[optind];
    return 0;
}

static enum fsck_mode mode_of(const struct settings *s)
{
    if (s->look)
        return FSCK_LOOK;
    if (s->preen || s->all)
        return s->all ? FSCK_ALL : FSCK_PREEN;
    return isatty(0) && isatty(1) && !s->print.json ? FSCK_ASK : FSCK_LOOK;
}

/* What is being written is finished first; the second signal does not wait. */
static void catch_signals(void)
{
    const struct sigaction a = { .sa_handler = cancel, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

/* The files that options name. 0, or an exit code after a line. */
static int load_files(struct settings *s)
{
    unsigned line = 0;
    int e = s->resume ? fsck_position_load(s->resume, &s->position) : -ENOENT;
    if (!e)
        s->o.resume = &s->position;
    if (e && e != -ENOENT) {
        fprintf(stderr, "holofsck: %s: %s\n", s->resume, e == -EINVAL ? "not a file that --resume has written" : strerror(-e));
        return FSCK_EXIT_USAGE;
    }
    e = s->map ? rescue_map_load(s->map, s->map_offset, &s->o.map, &line) : 0;
    if (e == -EINVAL)
        fprintf(stderr, "holofsck: %s: line %u is not of a map of ddrescue\n", s->map, line);
    else if (e)
        fprintf(stderr, "holofsck: %s: %s\n", s->map, strerror(-e));
    return e ? FSCK_EXIT_USAGE : 0;
}

static int check(struct settings *s)
{
    struct fsck_result r;
    s->o.mode = mode_of(s);
    s->print.look = s->o.mode == FSCK_LOOK;
    fsck_print_init(&s->print, &s->o.talk);
    int e = holofs_fsck(s->print.store, &s->o, &r);
    int code = fsck_exit_code(e, &r);
    int kept = s->resume && (e == 0 || e == -ECANCELED) ? fsck_position_save(s->resume, &r.stopped) : 0;
    if (kept) {
        fprintf(stderr, "holofsck: %s: %s\n", s->resume, strerror(-kept));
        code |= FSCK_EXIT_ERROR;
    }
    fsck_print_summary(&s->print, &r, e, code);
    return code;
}

static int undo(const struct settings *s)
{
    struct undo_apply_result r;
    const struct undo_apply_options o = { .force = s->force };
    int e = holofs_undo_apply(s->print.store, s->undo_apply, &o, &r);
    fsck_print_undo(&s->print, &r, e);
    return e ? FSCK_EXIT_ERROR : FSCK_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct settings s = { .print = { .progress_fd = -1, .terminal = isatty(2), .stop = is_cancelled } };
    int e = parse(argc, argv, &s);
    if (e)
        return e < 0 ? 0 : e;
    log_set_name("holofsck");
    log_set_level(s.print.verbose && !s.print.json ? LOG_LEVEL_WARN : LOG_LEVEL_ERR);
    catch_signals();
    int code = load_files(&s);
    if (!code)
        code = s.undo_apply ? undo(&s) : s.export ? fsck_export(s.print.store, s.export, &s.o, s.print.json, is_cancelled) : check(&s);
    rescue_map_free(s.o.map);
    return code;
}
