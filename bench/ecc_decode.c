/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ecc_decode.c: how fast stripes with flipped bytes are decoded, one core, checksums included.
 * Usage: ecc_decode [R [CHANCE [MISSING [ENGINE]]]] (3 1e-3 0, each engine); 64 data blocks of 4 KiB a stripe, and stripes enough
 * to leave the caches.
 *
 * «decode» is ecc_decode() with the checksums it asks for; «check + decode» also the check of every block that tells
 * the damage at first. GB/s of data, best and median of the runs, by the time that the thread had the processor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sum.h"
#include "ecc/decode.h"

enum { K = 64, LEN = 4096, STRIPES = 64, RUNS = 15 };

struct stripe {
    uint8_t *bytes; /* n blocks */
    uint8_t *damaged;
    uint64_t sum[ECC_N_MAX];
};

static int confirm(void *arg, unsigned member, const uint8_t *block)
{
    const struct stripe *s = arg;
    return sum64(block, LEN, member) == s->sum[member];
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void make_stripe(struct stripe *s, const struct ecc_engine *engine, const struct ecc_code *code, double chance)
{
    unsigned n = K + ecc_code_m(code);
    uint8_t *block[ECC_N_MAX];
    s->bytes = aligned_alloc(4096, (size_t)n * LEN);
    s->damaged = aligned_alloc(4096, (size_t)n * LEN);
    for (size_t i = 0; i < (size_t)K * LEN; i++)
        s->bytes[i] = (uint8_t)(next_random() >> 56);
    for (unsigned i = 0; i < n; i++)
        block[i] = s->bytes + (size_t)i * LEN;
    engine->encode(code, (const uint8_t *const *)block, block + K, LEN);
    for (unsigned i = 0; i < n; i++)
        s->sum[i] = sum64(block[i], LEN, i);
    memcpy(s->damaged, s->bytes, (size_t)n * LEN);
    for (size_t i = 0; i < (size_t)n * LEN; i++) {
        if ((double)(next_random() >> 11) < chance * 0x1p53)
            s->damaged[i] ^= (uint8_t)(1 + (next_random() >> 32) % 255);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_speed(const char *what, double *ns)
{
    qsort(ns, RUNS, sizeof(*ns), by_value);
    double bytes = (double)STRIPES * K * LEN;
    printf("  %-15s best %5.2f GB/s, median %5.2f\n", what, bytes / ns[0], bytes / ns[RUNS / 2]);
}

/* Every stripe damaged, then decoded. Returns how many did not come back. */
static unsigned run(const struct ecc_engine *engine, const struct ecc_code *code, struct stripe *stripes, unsigned missing,
                    struct ecc_decoder *decoder, uint8_t *work, double *checked, double *decoded)
{
    unsigned n = K + ecc_code_m(code), failed = 0;
    size_t size = (size_t)n * LEN;
    for (unsigned s = 0; s < STRIPES; s++)
        memcpy(work + s * size, stripes[s].damaged, size);
    *checked = *decoded = 0;
    for (unsigned s = 0; s < STRIPES; s++) {
        uint8_t *block[ECC_N_MAX], state[ECC_N_MAX];
        struct ecc_decoded out;
        struct ecc_damage damage = { engine, code, block, state, LEN, confirm, &stripes[s] };
        uint64_t begin = cpu_ns();
        for (unsigned i = 0; i < n; i++) {
            block[i] = work + s * size + (size_t)i * LEN;
            state[i] = i < missing ? ECC_MISSING : confirm(&stripes[s], i, block[i]) ? ECC_RIGHT : ECC_WRONG;
        }
        uint64_t middle = cpu_ns();
        int e = ecc_decode(decoder, &damage, &out);
        uint64_t end = cpu_ns();
        *checked += (double)(end - begin);
        *decoded += (double)(end - middle);
        failed += e != 0 || memcmp(block[0], stripes[s].bytes, size) != 0;
    }
    return failed;
}

int main(int argc, char **argv)
{
    unsigned m = 2 * (argc > 1 ? (unsigned)atoi(argv[1]) : 3), missing = argc > 3 ? (unsigned)atoi(argv[3]) : 0, failed = 0;
    double chance = argc > 2 ? atof(argv[2]) : 1e-3, checked[RUNS], decoded[RUNS];
    struct ecc_code *code;
    struct ecc_decoder *decoder;
    if (ecc_code_create(K, m, 1, &code) || ecc_decoder_create(K + m, LEN, &decoder) || missing > m)
        return 1;
    struct stripe *stripes = calloc(STRIPES, sizeof(*stripes));
    uint8_t *work = aligned_alloc(4096, (size_t)STRIPES * (K + m) * LEN);
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if (!(*e)->supported() || (argc > 4 && strcmp(argv[4], (*e)->name) != 0))
            continue;
        for (unsigned s = 0; s < STRIPES; s++)
            make_stripe(&stripes[s], *e, code, chance);
        for (unsigned r = 0; r < RUNS; r++)
            failed += run(*e, code, stripes, missing, decoder, work, &checked[r], &decoded[r]);
        printf("%s, %u + %u, flips %g, %u missing: %u of %u stripes not decoded\n", (*e)->name, K, m, chance, missing, failed,
               STRIPES * RUNS);
        print_speed("decode", decoded);
        print_speed("check + decode", checked);
        for (unsigned s = 0; s < STRIPES; s++) {
            free(stripes[s].bytes);
            free(stripes[s].damaged);
        }
    }
    free(work);
    free(stripes);
    ecc_decoder_destroy(decoder);
    ecc_code_destroy(code);
    return failed != 0;
}
