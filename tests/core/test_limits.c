/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_limits.c: few threads, few descriptors: a store opens and works, or says why not in one line and leaves nothing open. */
#include "tests/core/rig.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

enum { FILES = 14, FILE_BYTES = 400000 };

/* The linker's --wrap: threads are started here. */
static unsigned threads_left = UINT_MAX;
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(t, a, f, arg);
}

static unsigned entries(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

static void expect_one_line(const struct rig *r)
{
    assert_true(strlen(r->why) > 5);
    assert_null(strchr(r->why, '\n'));
}

static void file_name(unsigned i, char out[16])
{
    snprintf(out, 16, "file%u", i);
}

static void start(struct rig *r)
{
    struct holofs_geometry g = rig_geometry();
    rig_init(r);
    log_set_level((enum log_level)-1);
    r->opt.compress = HOLOFS_COMPRESS_OFF;
    rig_format(r, &g);
    rig_open(r);
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        file_name(i, name);
        rig_file(r, name, i, FILE_BYTES);
        rig_do(r, "seal"); /* a container each */
    }
    rig_close(r);
}

static void expect_files(struct rig *r)
{
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        file_name(i, name);
        rig_expect_file(r, name, i, FILE_BYTES);
    }
}

static void expect_healthy(struct rig *r)
{
    struct buf b = { 0 };
    assert_int_equal(holofs_health_text(r->fs, &b), 0);
    assert_memory_equal(b.p, "healthy", 7);
    buf_fini(&b);
}

/* Whatever thread cannot be started, of a store that is opened for writing or reading. */
static void without_threads(struct rig *r, bool read_only)
{
    int e = 0;
    unsigned files = entries("/proc/self/fd"), tasks = entries("/proc/self/task"), n = 0;
    r->opt.read_only = read_only;
    for (;; n++) {
        threads_left = n;
        e = rig_try_open(r);
        if (!e)
            break;
        threads_left = UINT_MAX;
        assert_int_equal(holo_errno(e), EAGAIN);
        expect_one_line(r);
        assert_non_null(strstr(r->why, "threads"));
        assert_int_equal(entries("/proc/self/fd"), files);
        for (int i = 0; i < 1000 && entries("/proc/self/task") > tasks; i++) /* those that were joined leave it a moment later */
            rig_sleep_ms(2);
        assert_true(entries("/proc/self/task") <= tasks);
    }
    print_message("%s: %u threads\n", read_only ? "reading" : "writing", n);
    assert_true(n > 0);
    threads_left = UINT_MAX;
    expect_files(r);
    rig_close(r);
    r->opt.read_only = false;
}

static void a_thread_that_cannot_be_started_is_an_error_and_leaves_nothing_behind(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    without_threads(&r, true);
    without_threads(&r, false);
    rig_open(&r);
    expect_files(&r);
    expect_healthy(&r);
    rig_stop(&r);
}

/* A file more with a container of its own, as far as there are descriptors for it. */
static int write_one(struct rig *r, uint64_t seed)
{
    struct holofs_cred cred = { .umask = 0 };
    struct holofs_attr a;
    uint8_t *p = malloc(FILE_BYTES);
    rig_fill(seed, p, FILE_BYTES);
    holofs_unlink(r->fs, RIG_ROOT, "more");
    int e = holofs_create(r->fs, &cred, RIG_ROOT, "more", S_IFREG | 0644, 0, NULL, &a);
    if (!e) {
        ssize_t n = holofs_write(r->fs, a.ino, 0, p, FILE_BYTES, false);
        e = n < 0 ? (int)n : holofs_fsync(r->fs, a.ino);
        holofs_forget(r->fs, a.ino, 1);
    }
    free(p);
    return e ? e : rig_control(r, "seal");
}

/* true if it opened, and everything could be done. */
static bool with_descriptors(struct rig *r, const struct rlimit *all, unsigned n)
{
    struct rlimit few = { n, all->rlim_max };
    bool done = false;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int e = rig_try_open(r);
    if (!e) {
        expect_files(r);
        e = write_one(r, n);
        done = !e;
        setrlimit(RLIMIT_NOFILE, all);
        int c = holofs_close(r->fs); /* with what it was trying just then */
        assert_true(c == 0 || holo_errno(c) == EMFILE);
        r->fs = NULL;
    } else {
        expect_one_line(r);
        assert_null(strstr(r->why, "holofsck")); /* nothing is damaged */
    }
    setrlimit(RLIMIT_NOFILE, all);
    return done;
}

static void few_descriptors_are_an_error_or_enough(void **state)
{
    (void)state;
    struct rig r;
    struct rlimit all;
    start(&r);
    getrlimit(RLIMIT_NOFILE, &all);
    unsigned used = entries("/proc/self/fd") - 3, n = used; /* without ., .. and the list itself */
    for (; !with_descriptors(&r, &all, n); n++) {
        assert_int_equal(entries("/proc/self/fd") - 3, used);
        assert_true(n < used + 64);
    }
    print_message("%u descriptors are enough\n", n - used);
    rig_open(&r);
    expect_files(&r);
    rig_expect_file(&r, "more", n, FILE_BYTES);
    expect_healthy(&r);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_cannot_be_started_is_an_error_and_leaves_nothing_behind),
        cmocka_unit_test(few_descriptors_are_an_error_or_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
