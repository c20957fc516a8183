/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm.c: many processes on one mount.
 *
 * storm run DIR STATE SECONDS SEED   all kinds, for so long; then what is there is compared. Ends with 'N passed, N failed'.
 * storm load DIR STATE SEED          those that write and look, until `stop` or until the mount goes
 * storm wait STATE N                 until N more operations were acknowledged
 * storm stop STATE                   and wait until nothing is acknowledged any more
 * storm verify DIR STATE [crash]     cells, and after a clean end all else; with crash, what was synced
 */
#include "tests/mount/storm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES_MAX = 20, PROCESSES_MAX = 64, HANG_SECONDS = 120 };

static const struct role roles[] = {
    { "writer", cell_writer, WRITERS - 1 }, { "mapper", cell_mapper, 1 }, { "reader", cell_reader, 2 }, { "replacer", replacer, 2 },
    { "watcher", watcher, 2 }, { "lister", lister, 1 }, { "namer", namer, 3 }, { "keeper", keeper, 1 },
    { "appender", appender, APPENDERS }, { "locker", locker, LOCKERS }, { "signalled", signalled, 2 }, { "killer", killer, 1 } };
enum { LOAD_ROLES = 8 }; /* the first ones */

uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *seed ^ *seed >> 33;
    return x * 0xff51afd7ed558ccdu >> 20;
}

bool check(struct state *s, bool ok, const char *fmt, ...)
{
    va_list ap;
    if (ok) {
        s->passed++;
        return true;
    }
    s->failed++;
    if (s->messages++ < MESSAGES_MAX) {
        char line[500] = "FAIL ";
        va_start(ap, fmt);
        int n = vsnprintf(line + 5, sizeof(line) - 6, fmt, ap);
        va_end(ap);
        size_t len = 5 + (n < 0 ? 0 : (size_t)n < sizeof(line) - 7 ? (size_t)n : sizeof(line) - 7);
        line[len++] = '\n';
        if (write(STDOUT_FILENO, line, len) < 0)
            s->failed++;
    }
    return false;
}

static bool is_gone(void)
{
    struct statfs f;
    return statfs(".", &f) && (errno == ENOTCONN || errno == ECONNABORTED);
}

bool storm_ends(struct state *s)
{
    int e = errno;
    if (e == ENOTCONN || e == ECONNABORTED || (e == EIO && is_gone()))
        s->stop = true;
    errno = s->stop ? 0 : e;
    return s->stop;
}

bool storm_gone(struct state *s)
{
    s->stop = s->stop || is_gone();
    return s->stop;
}

static struct state *map_state(const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof(struct state)))
        return NULL;
    void *p = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

/* A mapping of a file whose mount went. */
static void on_bus(int sig)
{
    (void)sig;
    _exit(is_gone() ? 0 : 1);
}

static int make(struct state *s)
{
    if (access("board0", F_OK) == 0)
        return 0;
    return boards_make() || names_make(s) || share_make() ? -1 : 0;
}

struct process {
    pid_t pid;
    const struct role *role;
    unsigned n;
};

static unsigned start(struct state *s, size_t n_roles, uint64_t seed, struct process *p)
{
    unsigned n = 0;
    fflush(stdout);
    for (size_t r = 0; r < n_roles; r++) {
        for (unsigned k = 0; k < roles[r].n; k++, n++) {
            pid_t pid = fork();
            if (pid == 0) {
                signal(SIGBUS, on_bus);
                errno = 0;
                roles[r].main(s, k, seed * 1000 + n);
                _exit(0);
            }
            p[n] = (struct process){ pid, &roles[r], k };
        }
    }
    return n;
}

/* Every process ends by itself: one that hangs is told, and killed. */
static void join(struct state *s, const struct process *p, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        int status = 0;
        pid_t got = 0;
        for (unsigned tenths = 0; tenths < HANG_SECONDS * 10 && (got = waitpid(p[k].pid, &status, WNOHANG)) == 0; tenths++)
            usleep(100000);
        if (!check(s, got == p[k].pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %u %s", p[k].role->name, p[k].n,
                   got ? "died" : "hangs"))
            kill(p[k].pid, SIGKILL);
    }
}

/* The highest version there is: those who go on begin with higher ones. */
static void note_version(struct state *s)
{
    for (unsigned b = 0; b < BOARDS; b++) {
        for (unsigned k = 0; k < CELLS; k++)
            s->version = s->cell[b][k].begun > s->version ? s->cell[b][k].begun + 1 : (uint64_t)s->version;
    }
}

static void run(struct state *s, size_t n_roles, unsigned seconds, uint64_t seed)
{
    struct process p[PROCESSES_MAX];
    s->stop = false;
    note_version(s);
    if (!check(s, make(s) == 0, "files cannot be made: %s", strerror(errno)))
        return;
    unsigned n = start(s, n_roles, seed, p);
    for (unsigned tenths = 0; (!seconds || tenths < seconds * 10) && !s->stop; tenths++)
        usleep(100000);
    s->stop = true;
    join(s, p, n);
}

static int result(struct state *s)
{
    printf("%ju comparisons, %ju operations\n", (uintmax_t)s->passed, (uintmax_t)s->work);
    printf("%d passed, %ju failed\n", s->failed == 0, (uintmax_t)s->failed);
    return s->failed > 0;
}

static void wait_for(struct state *s, uint64_t more)
{
    uint64_t from = s->work;
    for (unsigned tenths = 0; tenths < HANG_SECONDS * 10 && s->work < from + more && !s->stop; tenths++)
        usleep(100000);
}

static void stop(struct state *s)
{
    uint64_t before;
    s->stop = true;
    do {
        before = s->work;
        usleep(300000);
    } while (before != s->work);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    bool in_dir = strcmp(what, "run") == 0 || strcmp(what, "load") == 0 || strcmp(what, "verify") == 0;
    struct state *s = argc > 2 + in_dir ? map_state(argv[2 + in_dir]) : NULL;
    if (!s || (in_dir && chdir(argv[2]))) {
        fprintf(stderr, "storm: see the head of storm.c%s%s\n", argc > 2 ? ": " : "", argc > 2 ? strerror(errno) : "");
        return 16;
    }
    s->messages = 0;
    if (in_dir)
        s->passed = s->failed = 0;
    if (strcmp(what, "run") == 0 && argc == 6) {
        run(s, sizeof(roles) / sizeof(roles[0]), (unsigned)atoi(argv[4]), strtoull(argv[5], NULL, 10));
        s->stop = false;
        cells_verify(s, false);
        names_verify(s);
        share_verify(s);
        return result(s);
    }
    if (strcmp(what, "load") == 0 && argc == 5) {
        run(s, LOAD_ROLES, 0, strtoull(argv[4], NULL, 10));
        return result(s);
    }
    if (strcmp(what, "verify") == 0 && argc >= 4) {
        bool crash = argc == 5;
        s->stop = false;
        cells_verify(s, crash);
        names_verify(s);
        if (!crash)
            share_verify(s);
        return result(s);
    }
    if (strcmp(what, "wait") == 0 && argc == 4)
        wait_for(s, strtoull(argv[3], NULL, 10));
    else
        stop(s);
    return 0;
}
