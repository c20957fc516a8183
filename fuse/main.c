/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c: holofs STORE MNT: check, start, mount, serve, close.
 *
 * Unless -f is given the work is done by a child; the parent exits once the mount answers, or with the child's
 * one line about why it does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fuse/fuse.h"

enum { EXIT_FAILED = 32 }; /* mount(8): mount failure */
enum { LOCK_TRIES = 30, LOCK_WAIT_MS = 100 };
enum { FILES_MIN = 64 };   /* descriptors: half of them for the store itself, the rest for containers and what is being written */

/* Is `inner` the directory `outer` or below it? Both are absolute and resolved. */
static bool contains(const char *outer, const char *inner)
{
    size_t n = strlen(outer);
    return strncmp(outer, inner, n) == 0 && (inner[n] == 0 || inner[n] == '/' || strcmp(outer, "/") == 0);
}

static int check_dir(const char *target, char *why, size_t cap)
{
    struct stat st;
    int e = stat(target, &st) ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (e)
        snprintf(why, cap, "%.*s: %s", PATH_MAX, target, strerror(e));
    return -e;
}

/* The daemon of a mount that was just let go of may be closing the store still: an unmount does not wait for it. */
static int probe(const char *store, char *why, size_t cap)
{
    int e = holofs_probe(store, why, cap);
    for (int k = 0; k < LOCK_TRIES && e == -HOLO_EBUSYSTORE; k++) {
        usleep(LOCK_WAIT_MS * 1000);
        e = holofs_probe(store, why, cap);
    }
    return e;
}

static int resolve(struct mount_options *o, char store[PATH_MAX], char target[PATH_MAX], char *why, size_t cap)
{
    bool dead = false;
    if (!realpath(o->source, store)) {
        snprintf(why, cap, "%s: %s", o->source, strerror(errno));
        return -errno;
    }
    int e = mounts_resolve(o->target, target);
    if (e) {
        snprintf(why, cap, "%s: %s", o->target, strerror(-e));
        return e;
    }
    if (contains(store, target) || contains(target, store)) {
        snprintf(why, cap, "%s and %s: %s", o->source, o->target, holo_strerror(-HOLO_ENESTED));
        return -HOLO_ENESTED;
    }
    e = probe(store, why, cap); /* before the mount point is asked: what is mounted there may hang */
    if (!e)
        e = mounts_check(target, o->clear_stale, &dead, why, cap);
    return e || dead ? e : check_dir(target, why, cap);
}

/* Large sequential reads want more than the 128 KiB the kernel reads ahead by itself. */
static void raise_readahead(const struct mount_point *p)
{
    char name[64];
    snprintf(name, sizeof(name), "/sys/class/bdi/%u:%u/read_ahead_kb", p->major, p->minor);
    FILE *ra = fopen(name, "we");
    if (ra) {
        fprintf(ra, "1024\n");
        fclose(ra);
    }
}

static struct fuse_session *make_session(const struct mount_options *o, const char *store, struct mnt *m)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char opts[sizeof(o->fuse_opts) + 2 * PATH_MAX + 128], name[2 * PATH_MAX];
    size_t n = 0;
    for (const char *p = store; *p && n + 2 < sizeof(name); p++) {
        if (*p == ',' || *p == '\\')
            name[n++] = '\\';
        name[n++] = *p;
    }
    name[n] = 0;
    snprintf(opts, sizeof(opts), "-odefault_permissions,subtype=holofs,fsname=%s%s%s", name, o->fuse_opts[0] ? "," : "", o->fuse_opts);
    fuse_opt_add_arg(&args, "holofs");
    fuse_opt_add_arg(&args, opts);
    if (o->debug)
        fuse_opt_add_arg(&args, "-d");
    struct fuse_session *s = fuse_session_new(&args, mount_ops(), sizeof(struct fuse_lowlevel_ops), m);
    fuse_opt_free_args(&args);
    return s;
}

static int serve(struct mnt *m, char *why, size_t cap)
{
    struct mount_point p;
    int e = session_hook(m);
    if (!e) {
        if (mounts_at(m->target, &p)) {
            m->dev = makedev(p.major, p.minor);
            raise_readahead(&p);
        }
        e = loop_run(m);
    }
    fuse_session_unmount(m->session);
    if (e < 0)
        snprintf(why, cap, "%.*s: cannot be served: %s%s", PATH_MAX, m->target, strerror(-e),
                 e == -EAGAIN ? " (a limit on processes or memory keeps threads from starting)" : "");
    return e > 0 ? 0 : e;
}

static int mount_and_serve(struct mnt *m, bool clear_stale, char *why, size_t cap)
{
    m->stop_fd = stop_init();
    int e = m->stop_fd < 0 ? m->stop_fd : 0;
    if (e)
        snprintf(why, cap, "signals: %s", strerror(-e));
    if (!e && clear_stale) { /* only now: the store is locked and opens */
        e = mounts_clear(m->target, why, cap);
        if (!e)
            e = check_dir(m->target, why, cap);
    }
    if (!e && fuse_session_mount(m->session, m->target)) {
        snprintf(why, cap, "%.*s: cannot be mounted", PATH_MAX, m->target);
        e = -EIO;
    }
    return e ? e : serve(m, why, cap);
}

/* Memory that we ask for must not wait for what is written through us. Threads inherit it; it needs CAP_SYS_RESOURCE, and is done without. */
static void become_io_flusher(struct holofs_options *o)
{
    o->io_flusher = prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
    if (!o->io_flusher)
        log_debug("PR_SET_IO_FLUSHER: %s: goes on without", strerror(errno));
}

/* A line that begins with this byte tells how far opening is; the starting process prints it. */
enum { PROGRESS_MARK = 1 };

static void progress(void *arg, const char *line)
{
    char text[200];
    int n = snprintf(text, sizeof(text), "%c%s\n", PROGRESS_MARK, line);
    if (write(*(int *)arg, text, (size_t)n) < 0)
        log_debug("the starting process is gone");
}

static int run(struct mount_options *o, const char *store, const char *target, int answering, char *why, size_t cap)
{
    struct mnt m = { .threads = o->threads, .answering = answering, .target = target, .read_only = o->store.read_only };
    struct rlimit files;
    stop_ignore_accidents();
    become_io_flusher(&o->store);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur < FILES_MIN) {
            snprintf(why, cap, "only %llu open files are allowed, at least %d are needed (ulimit -n)", (unsigned long long)files.rlim_cur, FILES_MIN);
            return -EMFILE;
        }
    }
    if (answering >= 0) {
        o->store.progress = progress;
        o->store.progress_arg = &answering;
    }
    int e = holofs_open(store, &o->store, &m.fs, why, cap);
    if (e)
        return e;
    m.session = make_session(o, store, &m);
    if (!m.session) {
        snprintf(why, cap, "libfuse refuses these options");
        holofs_close(m.fs);
        return -EINVAL;
    }
    e = mount_and_serve(&m, o->clear_stale, why, cap);
    int c = holofs_close(m.fs);
    fuse_session_destroy(m.session);
    if (!e && c)
        snprintf(why, cap, "%.*s: not closed cleanly: %s", PATH_MAX, store, holo_strerror(c));
    return e ? e : c;
}

/* Print whole lines of progress and take them away. Returns how much is left. */
static size_t show_progress(char *text, size_t n)
{
    const char *end;
    while (n && text[0] == PROGRESS_MARK && (end = memchr(text, '\n', n))) {
        size_t line = (size_t)(end - text) + 1;
        fprintf(stderr, "holofs: %.*s", (int)line - 1, text + 1);
        n -= line;
        memmove(text, text + line, n);
    }
    return n;
}

/* Wait for the child: a zero byte says that the mount answers, anything else is its reason. A dead mount is not left behind. */
static int wait_for_child(int fd, pid_t child, const char *target)
{
    char why[1200], ignored[2 * PATH_MAX];
    int status = 0;
    size_t got = 0;
    ssize_t n;
    while ((n = read(fd, why + got, sizeof(why) - 1 - got)) > 0)
        got = show_progress(why, got + (size_t)n);
    if (got == 1 && why[0] == 0)
        return 0;
    why[got] = 0;
    if (!got && waitpid(child, &status, 0) == child && WIFSIGNALED(status))
        snprintf(why, sizeof(why), "the mount ended before it answered: %s", strsignal(WTERMSIG(status)));
    fprintf(stderr, "holofs: %s\n", why[0] ? why : "the mount ended before it answered");
    mounts_clear(target, ignored, sizeof(ignored));
    return EXIT_FAILED;
}

static void into_background(void)
{
    setsid();
    if (chdir("/"))
        log_warn("chdir /: %s", strerror(errno));
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    log_to_syslog();
}

/*
 * Few arenas, and large blocks always by themselves: else glibc keeps what a burst took in arenas of its many threads, and puts blocks of
 * megabytes there once it has seen one freed.
 */
static void bound_malloc(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}

int main(int argc, char **argv)
{
    struct mount_options o;
    char store[PATH_MAX], target[PATH_MAX], why[2 * PATH_MAX] = "";
    int pipes[2] = { -1, -1 };
    int e = mount_options_parse(argc, argv, &o);
    if (e)
        return e < 0 ? 0 : e;
    bound_malloc();
    log_set_name("holofs");
    if (resolve(&o, store, target, why, sizeof(why))) {
        fprintf(stderr, "holofs: %s\n", why);
        return EXIT_FAILED;
    }
    o.store.mountpoint = target;
    if (!o.foreground) {
        if (pipe2(pipes, O_CLOEXEC)) {
            fprintf(stderr, "holofs: pipe: %s\n", strerror(errno));
            return EXIT_FAILED;
        }
        pid_t child = fork();
        if (child < 0) {
            fprintf(stderr, "holofs: fork: %s\n", strerror(errno));
            return EXIT_FAILED;
        }
        if (child > 0) {
            close(pipes[1]);
            return wait_for_child(pipes[0], child, target);
        }
        close(pipes[0]);
        into_background();
    }
    e = run(&o, store, target, pipes[1], why, sizeof(why));
    if (e && o.foreground)
        fprintf(stderr, "holofs: %s\n", why);
    else if (e) {
        log_err("%s", why);
        if (write(pipes[1], why, strlen(why)) < 0)
            log_debug("the starting process is gone");
    }
    return e ? EXIT_FAILED : 0;
}
