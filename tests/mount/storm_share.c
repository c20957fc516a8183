/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storm_share.c: records appended by several, locks, calls that signals interrupt, callers that are killed, and the store at work. */
#include "tests/mount/storm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD_MAX = 9000, PAGE = 4096, PAGES = 24 };

static const char log_name[] = "appended", *const turns[2] = { "turns-fcntl", "turns-flock" };

int share_make(void)
{
    static const char *const names[] = { "appended", "turns-fcntl", "turns-flock" };
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        int fd = open(names[k], O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0)
            return -1;
        close(fd);
    }
    return 0;
}

/* ---- O_APPEND ---- */

/* Length, who, how many before; the rest is made of these. */
static uint32_t record_make(unsigned who, uint64_t number, uint8_t *out)
{
    uint64_t x = who * 7919 + number;
    uint32_t head[4] = { 0, who, (uint32_t)number, 0x68543017 };
    head[0] = (uint32_t)(sizeof(head) + random_next(&x) % (RECORD_MAX - sizeof(head)));
    memset(out, (int)(1 + (who * 31 + number) % 255), head[0]);
    memcpy(out, head, sizeof(head));
    return head[0];
}

void appender(struct state *s, unsigned n, uint64_t seed)
{
    uint8_t buf[RECORD_MAX];
    int fd = open(log_name, O_WRONLY | O_APPEND | O_CLOEXEC);
    while (!storm_ends(s)) {
        uint32_t len = record_make(n, s->appended[n], buf);
        ssize_t w = write(fd, buf, len);
        if (w < 0 && storm_ends(s))
            break;
        if (!check(s, w == (ssize_t)len, "a record is not appended: %zd, %s", w, strerror(errno)))
            break;
        s->appended[n]++;
        s->work++;
        if (random_next(&seed) % 32 == 0 && fsync(fd) && !storm_ends(s))
            check(s, false, "fsync of the appended records: %s", strerror(errno));
        usleep((useconds_t)(random_next(&seed) % 2000));
    }
}

static void verify_appended(struct state *s)
{
    uint8_t want[RECORD_MAX], got[RECORD_MAX];
    uint64_t next[APPENDERS] = { 0 };
    FILE *f = fopen(log_name, "r");
    uint32_t head[4];
    off_t at = 0;
    bool ok = f != NULL;
    while (ok && fread(head, sizeof(head), 1, f) == 1) {
        ok = head[1] < APPENDERS && head[2] == next[head[1]];
        if (!ok)
            break;
        uint32_t len = record_make(head[1], next[head[1]]++, want);
        ok = fseeko(f, at, SEEK_SET) == 0 && fread(got, len, 1, f) == 1 && memcmp(got, want, len) == 0;
        at += ok ? len : 0;
    }
    check(s, ok, "appended records are torn at %jd", (intmax_t)at);
    for (unsigned k = 0; k < APPENDERS; k++)
        check(s, next[k] == s->appended[k], "appender %u: %ju records, should be %ju", k, (uintmax_t)next[k], (uintmax_t)s->appended[k]);
    if (f)
        fclose(f);
}

/* ---- locks ---- */

static int lock(int fd, unsigned kind, bool on)
{
    struct flock l = { .l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET };
    int r;
    do
        r = kind ? flock(fd, on ? LOCK_EX : LOCK_UN) : fcntl(fd, F_SETLKW, &l);
    while (r && errno == EINTR);
    return r;
}

/* Who has the lock adds one to a number in the file. */
void locker(struct state *s, unsigned n, uint64_t seed)
{
    unsigned kind = n % 2;
    int fd = open(turns[kind], O_RDWR | O_CLOEXEC);
    (void)seed;
    while (!storm_ends(s)) {
        uint64_t v = 0;
        int r = lock(fd, kind, true);
        if (!check(s, r == 0 || storm_ends(s), "no lock on %s: %s", turns[kind], strerror(errno)) || r)
            break;
        ssize_t a = pread(fd, &v, sizeof(v), 0), b;
        v++;
        b = a < 0 ? a : pwrite(fd, &v, sizeof(v), 0);
        if (b == sizeof(v))
            s->locked[kind]++;
        lock(fd, kind, false);
        if (!check(s, b == sizeof(v) || storm_ends(s), "%s is not counted: %s", turns[kind], strerror(errno)))
            break;
        usleep(500);
    }
}

static void verify_locked(struct state *s)
{
    for (unsigned k = 0; k < 2; k++) {
        uint64_t v = 0;
        int fd = open(turns[k], O_RDONLY | O_CLOEXEC);
        check(s, fd >= 0 && pread(fd, &v, sizeof(v), 0) >= 0 && v == s->locked[k], "%s: %ju turns, should be %ju", turns[k], (uintmax_t)v,
              (uintmax_t)s->locked[k]);
        close(fd);
    }
}

/* ---- interrupted calls ---- */

static void on_alarm(int sig)
{
    (void)sig;
}

static ssize_t one_call(int fd, const char *name, unsigned kind, uint8_t *buf, off_t *end)
{
    ssize_t n;
    switch (kind) {
    case 0:
    case 1:
        n = pwrite(fd, buf, PAGE * 16, *end);
        *end += n > 0 ? n : 0;
        return n;
    case 2:
        return fsync(fd);
    case 3:
        n = open(name, O_RDONLY | O_CLOEXEC);
        if (n >= 0)
            close((int)n);
        return n;
    case 4:
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return pread(fd, buf + PAGE * 16, PAGE * 16, 0);
    default:
        *end = 0;
        return ftruncate(fd, 0);
    }
}

/* A timer goes off every other millisecond: a call does all of what it says, or nothing and says EINTR. */
void signalled(struct state *s, unsigned n, uint64_t seed)
{
    static uint8_t buf[PAGE * 32];
    struct sigaction sa = { .sa_handler = on_alarm };
    struct itimerval every = { .it_interval.tv_usec = 1700, .it_value.tv_usec = 1700 }, off = { .it_interval.tv_usec = 0 };
    struct stat st;
    char name[32];
    off_t end = 0;
    snprintf(name, sizeof(name), "signalled%u", n);
    memset(buf, 'a' + (int)n, PAGE * 16);
    int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    while (!storm_ends(s)) {
        unsigned kind = (unsigned)(random_next(&seed) % 20);
        ssize_t r = one_call(fd, name, kind < 5 ? kind : kind == 19 ? 5 : 0, buf, &end);
        if (r < 0 && storm_ends(s))
            break;
        if (!check(s, r >= 0 || errno == EINTR, "a call beside signals: %s", strerror(errno)))
            break;
        int e = fstat(fd, &st);
        if (!e)
            check(s, st.st_size == end, "%s has %jd bytes, was told %jd", name, (intmax_t)st.st_size, (intmax_t)end);
        for (ssize_t k = 0; kind == 4 && k < r; k++) {
            if (buf[PAGE * 16 + k] != buf[0]) {
                check(s, false, "%s: byte %zd is wrong", name, k);
                break;
            }
        }
        if (end > (8 << 20)) {
            end = 0;
            check(s, ftruncate(fd, 0) == 0 || errno == EINTR, "truncate beside signals: %s", strerror(errno));
        }
    }
    setitimer(ITIMER_REAL, &off, NULL);
}

/* ---- callers that are killed ---- */

/* Page after page of one letter, and again of the next. */
static void victim(void)
{
    static uint8_t buf[PAGE];
    int fd = open("victim", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    for (unsigned turn = 0;; turn++) {
        memset(buf, 'a' + (int)(turn % 26), sizeof(buf));
        for (unsigned k = 0; k < PAGES; k++) {
            if (pwrite(fd, buf, PAGE, (off_t)k * PAGE) != PAGE)
                _exit(1);
        }
        if (turn % 4 == 0 && fsync(fd))
            _exit(1);
    }
}

static bool is_whole(const uint8_t *p)
{
    return memcmp(p, p + 1, PAGE - 1) == 0;
}

/* Kill a caller in the middle of whatever it does: each page is of one letter, and the file can be used as ever. */
void killer(struct state *s, unsigned n, uint64_t seed)
{
    static uint8_t buf[PAGE * PAGES];
    (void)n;
    while (!storm_ends(s)) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            victim();
            _exit(0);
        }
        usleep((useconds_t)(1000 + random_next(&seed) % 20000));
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        int fd = open("victim", O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : pread(fd, buf, sizeof(buf), 0);
        check(s, got >= 0 || storm_ends(s), "reading after a kill: %s", strerror(errno));
        for (ssize_t k = 0; k + PAGE <= got; k += PAGE)
            check(s, is_whole(buf + k), "page %zd is torn by a kill", k / PAGE);
        if (fd >= 0)
            close(fd);
        check(s, !WIFEXITED(status) || storm_ends(s), "a victim failed by itself");
    }
}

/* ---- the store at work ---- */

void keeper(struct state *s, unsigned n, uint64_t seed)
{
    static const char *const commands[] = { "seal", "sync", "clean", "scrub start", "seal", "dump", "scrub pause", "clean", "scrub resume", "sync",
                                             "scrub cancel" };
    char text[4096];
    (void)n;
    while (!storm_ends(s)) {
        const char *c = commands[random_next(&seed) % (sizeof(commands) / sizeof(commands[0]))];
        int fd = open("../.holo/control", O_WRONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            return; /* another filesystem */
        ssize_t r = fd < 0 ? -1 : write(fd, c, strlen(c));
        if (r < 0 && storm_ends(s))
            return;
        s->work += r > 0;
        check(s, r > 0 || (fd >= 0 && (errno == EALREADY || errno == ESRCH)), "%s: %s", c, strerror(errno));
        close(fd);
        fd = open("../.holo/health", O_RDONLY | O_CLOEXEC);
        r = fd < 0 ? -1 : read(fd, text, sizeof(text));
        check(s, r > 0 || storm_ends(s), "health: %s", strerror(errno));
        close(fd);
        usleep((useconds_t)(20000 + random_next(&seed) % 80000));
    }
}

void share_verify(struct state *s)
{
    verify_appended(s);
    verify_locked(s);
}
