/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main.c: runs a fuzz target without libFuzzer: on files, or on inputs made by mutating its seeds.
 *
 *     fuzz_NAME FILE…              each file once
 *     fuzz_NAME --random N [SEED]  N inputs; the same ones for the same SEED
 *     fuzz_NAME --seeds DIR        write the seeds into DIR, to start a fuzzer from
 *
 * Random inputs run in a child, so that whatever ends it (a check, a sanitizer, a signal) leaves somebody who can write
 * down the input.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INPUT_MAX = 65536, SEEDS_MAX = 64 };

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

/* One change of a kind that fuzzers make. Returns the new length. */
static size_t mutate(uint8_t *p, size_t len, uint64_t *seed)
{
    size_t at = len ? next(seed) % len : 0, n = 1 + next(seed) % 16;
    size_t run = n < len - at ? n : len - at;
    switch (next(seed) % 6) {
    case 0:
        if (len)
            p[at] ^= (uint8_t)(1u << next(seed) % 8);
        return len;
    case 1:
        if (len)
            p[at] = (uint8_t)next(seed);
        return len;
    case 2:
        memset(p + at, next(seed) % 2 ? 0xff : 0, run);
        return len;
    case 3:
        return len > 1 ? 1 + next(seed) % len : len;
    case 4:
        if (len)
            memmove(p + at, p + next(seed) % (len - run + 1), run);
        return len;
    default:
        n = n < INPUT_MAX - len ? n : INPUT_MAX - len;
        memmove(p + at + n, p + at, len - at);
        fuzz_fill(next(seed), p + at, n);
        return len + n;
    }
}

/* Input i: a seed with some changes, or nothing but noise. */
static size_t random_input(uint64_t seed, unsigned long i, uint8_t *out)
{
    unsigned n_seeds = 0;
    uint64_t state = seed * 1000003 + i;
    while (n_seeds < SEEDS_MAX && fuzz_seed(n_seeds, out, INPUT_MAX) > 0)
        n_seeds++;
    next(&state);
    unsigned which = (unsigned)(next(&state) % (n_seeds + 1));
    size_t len = which < n_seeds ? fuzz_seed(which, out, INPUT_MAX) : next(&state) % 4096;
    if (which == n_seeds)
        fuzz_fill(next(&state), out, len);
    for (unsigned n = (unsigned)(next(&state) % 24); i >= n_seeds && n > 0; n--)
        len = mutate(out, len, &state);
    return len;
}

static int write_file(const char *path, const uint8_t *p, size_t len)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(p, 1, len, f) == len;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        perror(path);
    return ok ? 0 : 1;
}

static int run_file(const char *path, uint8_t *buf)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t len = fread(buf, 1, INPUT_MAX, f);
    fclose(f);
    uint8_t *exact = fuzz_exact(buf, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

static void run_inputs(unsigned long n, uint64_t seed, uint8_t *buf, volatile unsigned long *done)
{
    for (*done = 0; *done < n; (*done)++) {
        size_t len = random_input(seed, *done, buf);
        uint8_t *exact = fuzz_exact(buf, len);
        LLVMFuzzerTestOneInput(exact, len);
        free(exact);
    }
}

static int run_random(const char *self, unsigned long n, uint64_t seed, uint8_t *buf)
{
    unsigned long *done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (done == MAP_FAILED)
        return 1;
    printf("%lu inputs, seed %llu\n", n, (unsigned long long)seed);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_inputs(n, seed, buf, done);
        exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (status == 0 && *done == n)
        return 0;
    char path[64];
    snprintf(path, sizeof(path), "fuzz-found-%llu-%lu", (unsigned long long)seed, *done);
    fprintf(stderr, "input %lu ended the run (status 0x%x); repeat with: %s %s\n", *done, (unsigned)status, self, path);
    write_file(path, buf, random_input(seed, *done, buf));
    return 1;
}

static int write_seeds(const char *dir, uint8_t *buf)
{
    for (unsigned i = 0; i < SEEDS_MAX; i++) {
        char path[4200];
        size_t len = fuzz_seed(i, buf, INPUT_MAX);
        if (len == 0)
            break;
        snprintf(path, sizeof(path), "%s/seed-%02u", dir, i);
        if (write_file(path, buf, len))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t *buf = malloc(INPUT_MAX);
    int rc = buf && argc > 1 ? 0 : 16;
    if (rc)
        fprintf(stderr, "usage: %s FILE... | --random N [SEED] | --seeds DIR\n", argv[0]);
    else if (strcmp(argv[1], "--random") == 0 && argc > 2)
        rc = run_random(argv[0], strtoul(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1, buf);
    else if (strcmp(argv[1], "--seeds") == 0 && argc == 3)
        rc = write_seeds(argv[2], buf);
    else
        for (int i = 1; i < argc; i++)
            rc |= run_file(argv[i], buf);
    free(buf);
    return rc;
}
