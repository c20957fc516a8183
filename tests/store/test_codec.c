/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_codec.c: what is compressed comes back, nothing else is believed, and the guess never spurns text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/codec.h"

enum { LEN = CODEC_LEN_MAX, CAP = LEN + LEN / 128 + 1024, CHUNK = 131072 };
static const uint64_t SEED = 0xc0dec;

struct env {
    struct codec_ctx *ctx;
    uint8_t *text, *program, *noise, *zeros, *packed, *out, *back;
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

/* LEN bytes of a file or a command's output, repeated if there are fewer. */
static uint8_t *input(FILE *f)
{
    uint8_t *p = malloc(LEN);
    assert_non_null(f);
    size_t n = fread(p, 1, LEN, f);
    assert_true(n > 0);
    for (size_t i = n; i < LEN; i++)
        p[i] = p[i - n];
    return p;
}

static uint8_t *from_command(const char *command)
{
    FILE *f = popen(command, "r");
    uint8_t *p = input(f);
    pclose(f);
    return p;
}

static uint8_t *from_file(const char *name)
{
    FILE *f = fopen(name, "r");
    uint8_t *p = input(f);
    fclose(f);
    return p;
}

static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    assert_int_equal(codec_ctx_create(&e->ctx), 0);
    e->text = from_command("cat /usr/include/*.h");
    e->program = from_file("/bin/ls");
    e->zeros = calloc(1, LEN);
    e->noise = malloc(LEN);
    uint64_t seed = SEED;
    for (size_t i = 0; i < LEN; i++)
        e->noise[i] = (uint8_t)next(&seed);
    e->packed = from_command("find /usr/include -name '*.h' | sort | xargs cat 2>/dev/null | gzip -9");
    e->out = malloc(CAP);
    e->back = malloc(LEN);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    codec_ctx_destroy(e->ctx);
    free(e->text), free(e->program), free(e->noise), free(e->zeros), free(e->packed), free(e->out), free(e->back);
    free(e);
    return 0;
}

static void round_trip(struct env *e, int level, const uint8_t *src, size_t len)
{
    size_t n = codec_compress(e->ctx, level, src, len, e->out, CAP);
    assert_true(n > 0 && n <= CAP);
    memset(e->back, 0x5a, len);
    assert_int_equal(codec_expand(e->ctx, e->out, n, e->back, len), 0);
    assert_memory_equal(e->back, src, len);
}

/* A workspace that is too small for some size shows here as «does not pay». */
static void everything_comes_back_at_every_size_and_level(void **state)
{
    struct env *e = *state;
    static const size_t lens[] = { 1, 2, 3, 100, 4095, 4096, 16384, 16385, 65536, 100000, CHUNK, CHUNK + 1, 262144, 262145, LEN - 1, LEN };
    static const int levels[] = { -5, 0, 3, 1, -5, -50, -1, 2, 1 };
    const uint8_t *const inputs[] = { e->text, e->program, e->noise, e->zeros, e->packed };
    for (size_t l = 0; l < sizeof(levels) / sizeof(*levels); l++)
        for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
            for (size_t k = 0; k < sizeof(inputs) / sizeof(*inputs); k++)
                round_trip(e, levels[l], inputs[k], lens[i]);
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
        for (int level = 5; level <= CODEC_LEVEL_MAX + 1; level += 5)
            round_trip(e, level, e->text, lens[i]);
}

static void what_does_not_shrink_does_not_pay(void **state)
{
    struct env *e = *state;
    for (int level = -5; level <= 3; level += 4) {
        assert_int_equal(codec_compress(e->ctx, level, e->noise, CHUNK, e->out, CHUNK - 4096), 0);
        size_t n = codec_compress(e->ctx, level, e->text, CHUNK, e->out, CHUNK - 4096);
        assert_true(n > 0 && n < CHUNK / 2);
        assert_int_equal(codec_compress(e->ctx, level, e->text, CHUNK, e->out, n - 1), 0);
    }
    assert_int_equal(codec_compress(e->ctx, 1, e->zeros, LEN + 1, e->out, CAP), 0);
}

static void wrong_lengths_and_cut_frames_are_refused(void **state)
{
    struct env *e = *state;
    size_t n = codec_compress(e->ctx, 1, e->text, 20000, e->out, CAP);
    assert_int_equal(codec_expand(e->ctx, e->out, n, e->back, 19999), -HOLO_ECODEC);
    assert_int_equal(codec_expand(e->ctx, e->out, n, e->back, 20001), -HOLO_ECODEC);
    assert_int_equal(codec_expand(e->ctx, e->out, 0, e->back, 20000), -HOLO_ECODEC);
    for (size_t cut = 1; cut < n; cut++) {
        uint8_t *exact = malloc(cut); /* so that a read past the end is seen by the sanitizer */
        memcpy(exact, e->out, cut);
        assert_int_equal(codec_expand(e->ctx, exact, cut, e->back, 20000), -HOLO_ECODEC);
        free(exact);
    }
}

static void damaged_frames_never_reach_outside_their_buffers(void **state)
{
    struct env *e = *state;
    uint64_t seed = SEED;
    size_t n = codec_compress(e->ctx, 1, e->program, 30000, e->out, CAP);
    uint8_t *bad = malloc(n), *back = malloc(30000);
    for (int i = 0; i < 3000; i++) {
        memcpy(bad, e->out, n);
        for (uint64_t k = next(&seed) % 4; k < 4; k++)
            bad[next(&seed) % n] ^= (uint8_t)(1u << next(&seed) % 8);
        int rc = codec_expand(e->ctx, bad, n, back, 30000);
        assert_true(rc == 0 || rc == -HOLO_ECODEC);
    }
    for (size_t len = 1; len < 2000; len++)
        assert_int_equal(codec_expand(e->ctx, e->noise + len, len, back, 30000), -HOLO_ECODEC);
    free(bad);
    free(back);
}

/* A table as a program would leave it on disk: rows of numbers, names and hashes in hexadecimal. */
static uint8_t *sqlite_pages(void)
{
    char name[] = "/tmp/holo-codec-XXXXXX";
    close(mkstemp(name));
    sqlite3 *db;
    assert_int_equal(sqlite3_open(name, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<12000)"
        " INSERT INTO t SELECT i, 'name' || i, hex(randomblob(16)) FROM n", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    uint8_t *p = from_file(name);
    unlink(name);
    return p;
}

static uint8_t *log_lines(void)
{
    char *p = malloc(LEN + 256);
    uint64_t seed = SEED;
    for (size_t at = 0; at < LEN;)
        at += (size_t)sprintf(p + at, "2024-05-%02u 12:%02u:%02u host app[%u]: request %08x from 10.0.%u.%u took %u us\n",
            (unsigned)(next(&seed) % 28 + 1), (unsigned)(next(&seed) % 60), (unsigned)(next(&seed) % 60), (unsigned)(next(&seed) % 30000),
            (unsigned)next(&seed), (unsigned)(next(&seed) % 256), (unsigned)(next(&seed) % 256), (unsigned)(next(&seed) % 100000));
    return (uint8_t *)p;
}

static void text_logs_programs_and_tables_are_never_spurned(void **state)
{
    struct env *e = *state;
    uint8_t *pages = sqlite_pages(), *lines = log_lines();
    const uint8_t *const inputs[] = { e->text, e->program, e->zeros, pages, lines };
    static const size_t lens[] = { 1, 1000, 1024, 4096, 5000, 65536, CHUNK };
    for (size_t k = 0; k < sizeof(inputs) / sizeof(*inputs); k++)
        for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
            for (size_t at = 0; at + lens[i] <= LEN; at += CHUNK / 2)
                assert_false(codec_looks_incompressible(inputs[k] + at, lens[i]));
    free(pages);
    free(lines);
}

static void noise_and_packed_data_are_spurned_cheaply(void **state)
{
    struct env *e = *state;
    for (size_t at = 0; at < LEN; at += CHUNK) {
        assert_true(codec_looks_incompressible(e->noise + at, CHUNK));
        assert_true(codec_looks_incompressible(e->noise + at, 4096));
        assert_true(codec_looks_incompressible(e->packed + at, CHUNK));
    }
    uint64_t from = clock_mono_ns();
    unsigned yes = 0;
    for (size_t i = 0; i < 1000; i++)
        yes += codec_looks_incompressible(e->noise + i % 8 * CHUNK, CHUNK);
    print_message("guess: %.2f us a chunk of 128 KiB\n", (double)(clock_mono_ns() - from) / 1e6);
    assert_int_equal(yes, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back_at_every_size_and_level),
        cmocka_unit_test(what_does_not_shrink_does_not_pay),
        cmocka_unit_test(wrong_lengths_and_cut_frames_are_refused),
        cmocka_unit_test(damaged_frames_never_reach_outside_their_buffers),
        cmocka_unit_test(text_logs_programs_and_tables_are_never_spurned),
        cmocka_unit_test(noise_and_packed_data_are_spurned_cheaply),
    };
    print_message("seed %#llx\n", (unsigned long long)SEED);
    return cmocka_run_group_tests(tests, setup, teardown);
}
