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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fuse/fuse.h"

enum { EXIT_FAILED = 32 }; /* mount(8): mount failure */

/* Is `inner` the directory `outer` or below it? Both are absolute and resolved. */
static bool contains(const char *outer, const char *inner)
{
    size_t n = strlen(outer);
    return strncmp(outer, inner, n) == 0 && (inner[n] == 0 || inner[n] == '/' || strcmp(outer, "/") == 0);
}

static int resolve(struct mount_options *o, char store[PATH_MAX], char target[PATH_MAX], char *why, size_t cap)
{
    struct stat st;
    if (!realpath(o->source, store)) {
        snprintf(why, cap, "%s: %s", o->source, strerror(errno));
        return -errno;
    }
    if (!realpath(o->target, target) || stat(target, &st)) {
        int e = errno;
        snprintf(why, cap, "%s: %s", o->target, e == ENOTCONN ? "a dead mount is in the way: clear it with umount -l" : strerror(e));
        return -e;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(why, cap, "%s: %s", o->target, strerror(ENOTDIR));
        return -ENOTDIR;
    }
    if (contains(store, target) || contains(target, store)) {
        snprintf(why, cap, "%s and %s: %s", o->source, o->target, holo_strerror(-HOLO_ENESTED));
        return -HOLO_ENESTED;
    }
    return holofs_probe(store, why, cap);
}

/* Large sequential reads want more than the 128 KiB the kernel reads ahead by itself. */
static void raise_readahead(const char *target)
{
    char line[8192], point[PATH_MAX], name[64];
    unsigned major, minor;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, point) != 3 || strcmp(point, target) != 0)
            continue;
        snprintf(name, sizeof(name), "/sys/class/bdi/%u:%u/read_ahead_kb", major, minor);
        FILE *ra = fopen(name, "we");
        if (ra) {
            fprintf(ra, "1024\n");
            fclose(ra);
        }
    }
    if (f)
        fclose(f);
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

static int mount_and_serve(struct mnt *m, const char *target, char *why, size_t cap)
{
    if (fuse_set_signal_handlers(m->session) || fuse_session_mount(m->session, target)) {
        snprintf(why, cap, "%.*s: cannot be mounted", PATH_MAX, target);
        return -EIO;
    }
    int e = session_hook(m);
    if (!e) {
        raise_readahead(target);
        prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* refused without privileges: not needed then */
        e = loop_run(m);
    }
    fuse_session_unmount(m->session);
    fuse_remove_signal_handlers(m->session);
    return e > 0 ? 0 : e;
}

static int run(struct mount_options *o, const char *store, const char *target, int answering, char *why, size_t cap)
{
    struct mnt m = { .threads = o->threads, .answering = answering };
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
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
    e = mount_and_serve(&m, target, why, cap);
    int c = holofs_close(m.fs);
    fuse_session_destroy(m.session);
    if (!e && c)
        snprintf(why, cap, "%.*s: not closed cleanly: %s", PATH_MAX, store, holo_strerror(c));
    return e ? e : c;
}

/* Wait for the child: a zero byte says that the mount answers, anything else is its reason. */
static int wait_for_child(int fd)
{
    char why[1200];
    ssize_t n, got = 0;
    while ((n = read(fd, why + got, sizeof(why) - 1 - (size_t)got)) > 0)
        got += n;
    if (got == 1 && why[0] == 0)
        return 0;
    why[got] = 0;
    fprintf(stderr, "holofs: %s\n", got ? why : "the mount ended before it answered");
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

int main(int argc, char **argv)
{
    struct mount_options o;
    char store[PATH_MAX], target[PATH_MAX], why[2 * PATH_MAX] = "";
    int pipes[2] = { -1, -1 };
    int e = mount_options_parse(argc, argv, &o);
    if (e)
        return e < 0 ? 0 : e;
    log_set_name("holofs");
    if (resolve(&o, store, target, why, sizeof(why))) {
        fprintf(stderr, "holofs: %s\n", why);
        return EXIT_FAILED;
    }
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
            return wait_for_child(pipes[0]);
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
