/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ecc_speed.c: how fast parity is made, checked and used, on one core and on two, beside ISA-L and beside what the memory gives.
 * Usage: ecc_speed [-r ROUNDS] [-s MIB] [-m M[,M…]] [-H] [-i NAME=FILE]… [-j FILE]
 *   -H  back the data with huge pages
 *   -i  the shared object of a further ISA-L (Debian's libisal.so.2 is there without being asked for, if it is installed)
 *   -j  write the figures as JSON (--json)
 *
 * k = 64, blocks of 4 KiB. Figures count the k data blocks, not the parity. Where the bytes are:
 *   cache      the same stripe again and again: it stays in the second level
 *   DRAM       stripes of k contiguous blocks, each touched once in a pass over MIB; their parity is elsewhere
 *   container  64 MiB at a time in the layout of ecc.h, members 257 blocks apart; each container touched once in a pass
 * Nothing is timed before its bytes were compared with the scalar engine's. ISA-L is given the same coefficients, so that its parity can be
 * compared as well.
 */
#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "bench/memory.h"
#include "bench/rounds.h"
#include "ecc/code.h"

enum {
    K = 64,
    BLOCK = 4096,
    STRIPE = K * BLOCK,
    SCRATCH = STRIPE + ECC_M_MAX * BLOCK,
    CONTAINER = 64 << 20,
    USED = CONTAINER / BLOCK,
    D = 257,
    PARITY_MAX = D * ECC_M_MAX * BLOCK, /* of a container; its 256 stripes of contiguous blocks need less */
    CACHE_NS = 3000000,
    THREADS = 2,
    CONTENDERS_MAX = 8,
    TESTS_MAX = 400,
};

/* ec_init_tables() and ec_encode_data() of ISA-L's erasure_code.h. */
typedef void isal_init_fn(int k, int rows, unsigned char *coef, unsigned char *tables);
typedef void isal_encode_fn(int len, int k, int rows, unsigned char *tables, unsigned char **data, unsigned char **parity);

/* What makes parity: an engine or a function of ISA-L. */
struct contender {
    const char *name;
    const struct ecc_engine *engine;
    isal_init_fn *isal_init;
    isal_encode_fn *isal_encode;
};

/* One code, and which blocks a rebuild makes anew. */
struct shape {
    unsigned m;
    struct ecc_code *code;
    unsigned erased[ECC_M_MAX];
};

struct arena {
    size_t len;              /* of data: a multiple of THREADS containers */
    uint8_t *data, *parity;
    uint8_t *cache[THREADS]; /* a stripe, then at SCRATCH as many blocks as parity may have */
};

struct stripe {
    uint8_t *block[ECC_N_MAX]; /* data, then parity */
    uint8_t *scratch[ECC_M_MAX];
};

struct job;
typedef void stripe_fn(const struct job *j, const struct stripe *s);

/* What a test needs: the argument of its run. */
struct job {
    const struct contender *by;
    const struct shape *shape;
    const struct arena *arena;
    uint8_t *isal_tables; /* of the contender, for this shape; NULL for an engine */
    stripe_fn *fn;
};

struct bench {
    struct arena arena;
    struct shape shape[ECC_M_MAX];
    unsigned n_shapes;
    struct contender contender[CONTENDERS_MAX];
    unsigned n_contenders;
    struct rounds_test test[TESTS_MAX];
    struct job job[TESTS_MAX];
    unsigned n_tests, rounds;
    bool huge;
    char *other[CONTENDERS_MAX]; /* NAME=FILE */
    unsigned n_others;
    const char *json;
};

static void die(const char *what)
{
    fprintf(stderr, "ecc_speed: %s\n", what);
    exit(1);
}

/* Where a stripe lies. */

static struct stripe stripe_at(unsigned m, uint8_t *data, uint8_t *parity, uint8_t *scratch)
{
    struct stripe s;
    for (unsigned i = 0; i < K; i++)
        s.block[i] = data + i * BLOCK;
    for (unsigned r = 0; r < m; r++) {
        s.block[K + r] = parity + r * BLOCK;
        s.scratch[r] = scratch + r * BLOCK;
    }
    return s;
}

static struct stripe stripe_in_cache(const struct job *j, unsigned thread)
{
    uint8_t *p = j->arena->cache[thread];
    return stripe_at(j->shape->m, p, p + STRIPE, p + SCRATCH);
}

static struct stripe stripe_in_arena(const struct job *j, size_t index, unsigned thread)
{
    const struct arena *a = j->arena;
    return stripe_at(j->shape->m, a->data + index * STRIPE, a->parity + index * j->shape->m * BLOCK, a->cache[thread] + SCRATCH);
}

/* What is done to a stripe. */

static void encode(const struct job *j, const struct stripe *s)
{
    uint8_t *const *parity = s->block + K;
    if (j->isal_tables)
        j->by->isal_encode(BLOCK, K, (int)j->shape->m, j->isal_tables, (uint8_t **)s->block, (uint8_t **)parity);
    else
        j->by->engine->encode(j->shape->code, (const uint8_t *const *)s->block, parity, BLOCK);
}

static void syndrome(const struct job *j, const struct stripe *s)
{
    j->by->engine->syndrome(j->shape->code, (const uint8_t *const *)s->block, s->scratch, BLOCK);
}

static void agree(const struct job *j, const struct stripe *s)
{
    if (!ecc_parity_agrees(j->by->engine, j->shape->code, (const uint8_t *const *)s->block, s->scratch[0], BLOCK))
        die("parity does not agree with its data");
}

/* m data blocks from the others and all parity; what is put in their place is what was there. */
static void rebuild(const struct job *j, const struct stripe *s)
{
    if (ecc_rebuild(j->by->engine, j->shape->code, s->block, j->shape->erased, j->shape->m, BLOCK))
        die("a stripe cannot be rebuilt");
}

/* ISA-L knows no containers: stripe by stripe, with zeros for the members that are not stored. */
static void isal_container(const struct job *j, uint8_t *data, uint8_t *parity)
{
    static uint8_t zeros[BLOCK];
    const struct ecc_layout l = { .used = USED, .D = D };
    struct stripe s;
    for (uint32_t t = 0; t < D; t++) {
        for (unsigned i = 0; i < K; i++) {
            uint32_t at = ecc_layout_position(&l, K, t, i);
            s.block[i] = at < USED ? data + (size_t)at * BLOCK : zeros;
        }
        for (unsigned r = 0; r < j->shape->m; r++)
            s.block[K + r] = parity + (size_t)(ecc_layout_position(&l, K, t, K + r) - USED) * BLOCK;
        encode(j, &s);
    }
}

static void encode_container(const struct job *j, uint8_t *data, uint8_t *parity)
{
    const struct ecc_container c = { .layout = { .used = USED, .D = D }, .stored = data, .out = parity };
    if (j->isal_tables)
        isal_container(j, data, parity);
    else
        j->by->engine->containers(ECC_ENCODE, j->shape->code, BLOCK, &c, 1);
}

/* What is timed. */

static size_t run_cache(const struct rounds_test *t, unsigned thread)
{
    const struct job *j = t->arg;
    struct stripe s = stripe_in_cache(j, thread);
    uint64_t end = clock_mono_ns() + CACHE_NS;
    size_t bytes = 0;
    for (; clock_mono_ns() < end; bytes += 8 * STRIPE) {
        for (unsigned i = 0; i < 8; i++)
            j->fn(j, &s);
    }
    return bytes;
}

static size_t run_stripes(const struct rounds_test *t, unsigned thread)
{
    const struct job *j = t->arg;
    size_t count = j->arena->len / STRIPE / t->threads;
    for (size_t i = count * thread; i < count * (thread + 1); i++) {
        struct stripe s = stripe_in_arena(j, i, thread);
        j->fn(j, &s);
    }
    return count * STRIPE;
}

static size_t run_containers(const struct rounds_test *t, unsigned thread)
{
    const struct job *j = t->arg;
    size_t count = j->arena->len / CONTAINER / t->threads;
    for (size_t i = count * thread; i < count * (thread + 1); i++)
        encode_container(j, j->arena->data + i * CONTAINER, j->arena->parity + i * PARITY_MAX);
    return count * CONTAINER;
}

static size_t run_read(const struct rounds_test *t, unsigned thread)
{
    const struct job *j = t->arg;
    size_t len = j->arena->len / t->threads;
    uint64_t sum = memory_read(j->arena->data + thread * len, len);
    __asm__ volatile("" : : "r"(sum));
    return len;
}

/* One half of a thread's part into the other half. */
static size_t run_copy(const struct rounds_test *t, unsigned thread)
{
    const struct job *j = t->arg;
    size_t len = j->arena->len / t->threads / 2;
    uint8_t *p = j->arena->data + thread * 2 * len;
    memcpy(p, p + len, len);
    return len;
}

/* Correctness first. */

static uint8_t *must_alloc(size_t len)
{
    uint8_t *p = memory_alloc(len, false);
    if (!p)
        die("no memory");
    return p;
}

static void compare(const void *a, const void *b, size_t len, const char *otherwise)
{
    if (memcmp(a, b, len) != 0)
        die(otherwise);
}

static void check_stripe(const struct job *j, const struct stripe *s)
{
    const struct job oracle = { .by = &(struct contender){ .engine = ecc_engine_find("scalar") }, .shape = j->shape };
    struct stripe expected = *s;
    memcpy(expected.block + K, s->scratch, sizeof(s->scratch));
    encode(&oracle, &expected);
    encode(j, s);
    for (unsigned r = 0; r < j->shape->m; r++)
        compare(s->block[K + r], s->scratch[r], BLOCK, "parity differs from the scalar engine's");
}

static void check_operations(const struct job *j, const struct stripe *s)
{
    uint8_t *before = must_alloc(STRIPE);
    memcpy(before, s->block[0], STRIPE);
    for (unsigned r = 0; r < j->shape->m; r++)
        memset(s->block[j->shape->erased[r]], 0xee, BLOCK);
    rebuild(j, s);
    compare(before, s->block[0], STRIPE, "rebuilt blocks differ from what was lost");
    memset(before, 0, STRIPE);
    syndrome(j, s);
    compare(before, s->scratch[0], j->shape->m * BLOCK, "waves of an intact stripe do not vanish");
    agree(j, s);
    memory_free(before, STRIPE);
}

/* expected: parity of the first container. */
static void check_contender(const struct job *j, const uint8_t *expected)
{
    struct stripe s = stripe_in_cache(j, 0);
    check_stripe(j, &s);
    if (j->by->engine)
        check_operations(j, &s);
    s = stripe_in_arena(j, 1, 0);
    check_stripe(j, &s);
    encode_container(j, j->arena->data, j->arena->parity);
    compare(j->arena->parity, expected, j->shape->m * D * BLOCK, "parity of a container differs from the scalar engine's");
}

/* What there is to test. */

static void add_shape(struct bench *b, unsigned m)
{
    struct shape *s = &b->shape[b->n_shapes++];
    s->m = m;
    if (b->n_shapes > ECC_M_MAX || ecc_code_create(K, m, 1, &s->code))
        die("m must be even, from 2 to 20");
    for (unsigned r = 0; r < m; r++)
        s->erased[r] = r * K / m;
}

static void add_contender(struct bench *b, struct contender c)
{
    if (b->n_contenders == CONTENDERS_MAX)
        die("too many to compare with");
    b->contender[b->n_contenders++] = c;
}

/* dlsym() gives pointers to objects; ISO C wants a copy to make a function of one. */
static bool find_function(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof(p));
    return p != NULL;
}

static bool add_isal(struct bench *b, const char *name, const char *file, const char *function)
{
    struct contender c = { .name = name };
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library || !find_function(library, "ec_init_tables", &c.isal_init) || !find_function(library, function, &c.isal_encode))
        return false;
    add_contender(b, c);
    return true;
}

static void find_contenders(struct bench *b)
{
    if (!add_isal(b, "ISA-L", "libisal.so.2", "ec_encode_data"))
        fprintf(stderr, "ecc_speed: libisal.so.2 is not installed: nothing to compare with\n");
    else if (ecc_engine_find("avx2"))
        add_isal(b, "ISA-L avx2", "libisal.so.2", "ec_encode_data_avx2");
    for (unsigned i = 0; i < b->n_others; i++) {
        char *file = strchr(b->other[i], '=');
        if (!file)
            die("-i needs NAME=FILE");
        *file++ = 0;
        if (!add_isal(b, b->other[i], file, "ec_encode_data"))
            die(dlerror());
    }
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if ((*e)->supported() && strcmp((*e)->name, "scalar") != 0)
            add_contender(b, (struct contender){ .name = (*e)->name, .engine = *e });
    }
}

static struct job make_job(const struct bench *b, const struct shape *s, const struct contender *by, stripe_fn *fn)
{
    struct job j = { .by = by, .shape = s, .arena = &b->arena, .fn = fn };
    if (by && by->isal_init) {
        j.isal_tables = must_alloc((size_t)32 * K * s->m);
        by->isal_init(K, (int)s->m, s->code->encode, j.isal_tables);
    }
    return j;
}

typedef size_t run_fn(const struct rounds_test *t, unsigned thread);

static void check_all(const struct bench *b)
{
    const struct contender oracle = { .engine = ecc_engine_find("scalar") };
    uint8_t *expected = must_alloc(PARITY_MAX);
    for (unsigned i = 0; i < b->n_shapes; i++) {
        const struct job slow = make_job(b, &b->shape[i], &oracle, NULL);
        encode_container(&slow, b->arena.data, expected);
        for (unsigned c = 0; c < b->n_contenders; c++) {
            const struct job j = make_job(b, &b->shape[i], &b->contender[c], NULL);
            check_contender(&j, expected);
        }
    }
    memory_free(expected, PARITY_MAX);
}

static void add_test(struct bench *b, struct job job, const char *what, const char *where, unsigned threads, run_fn *run)
{
    if (b->n_tests == TESTS_MAX)
        die("too many tests");
    b->job[b->n_tests] = job;
    b->test[b->n_tests] = (struct rounds_test){
        .what = what,
        .where = where,
        .by = job.by ? job.by->name : what,
        .parameter = job.shape ? job.shape->m : 0,
        .threads = threads,
        .run = run,
        .arg = &b->job[b->n_tests],
    };
    b->n_tests++;
}

/*
 * The order matters: stripes are encoded last before they are checked and rebuilt, so that these find right parity, and so leave the
 * data as it is.
 */
static void add_tests_of_shape(struct bench *b, const struct shape *s)
{
    static const struct {
        const char *name;
        stripe_fn *fn;
    } others[] = { { "rebuild m blocks", rebuild }, { "syndromes", syndrome }, { "parity check", agree } };
    for (unsigned c = 0; c < b->n_contenders; c++) {
        const struct job j = make_job(b, s, &b->contender[c], encode);
        add_test(b, j, "encode", "container", 1, run_containers);
        add_test(b, j, "encode", "container", THREADS, run_containers);
    }
    for (unsigned c = 0; c < b->n_contenders; c++) {
        const struct job j = make_job(b, s, &b->contender[c], encode);
        add_test(b, j, "encode", "cache", 1, run_cache);
        add_test(b, j, "encode", "DRAM", 1, run_stripes);
    }
    for (unsigned c = 0; c < b->n_contenders; c++) {
        for (unsigned o = 0; b->contender[c].engine && o < sizeof(others) / sizeof(others[0]); o++) {
            const struct job j = make_job(b, s, &b->contender[c], others[o].fn);
            add_test(b, j, others[o].name, "cache", 1, run_cache);
            add_test(b, j, others[o].name, "DRAM", 1, run_stripes);
        }
    }
}

static void add_tests(struct bench *b)
{
    const struct job none = make_job(b, NULL, NULL, NULL);
    for (unsigned threads = 1; threads <= THREADS; threads++) {
        add_test(b, none, "read", "DRAM", threads, run_read);
        add_test(b, none, "memcpy", "DRAM", threads, run_copy);
    }
    for (unsigned i = 0; i < b->n_shapes; i++)
        add_tests_of_shape(b, &b->shape[i]);
}

static void fill_random(uint8_t *p, size_t len)
{
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < len; i += 8) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        memcpy(p + i, &random, 8);
    }
}

static void make_arena(struct arena *a, bool huge)
{
    a->data = memory_alloc(a->len, huge);
    a->parity = memory_alloc(a->len / CONTAINER * PARITY_MAX, huge);
    if (!a->data || !a->parity)
        die("no memory");
    fill_random(a->data, a->len);
    for (unsigned i = 0; i < THREADS; i++) {
        a->cache[i] = must_alloc(SCRATCH + ECC_M_MAX * BLOCK);
        fill_random(a->cache[i], STRIPE);
    }
}

static void parse(struct bench *b, int argc, char **argv)
{
    static const unsigned all[] = { 2, 4, 6, 10, 14, 20 };
    static const struct option longer[] = { { "json", required_argument, NULL, 'j' }, { 0 } };
    int c;
    b->arena.len = (size_t)1024 << 20;
    b->rounds = 9;
    while ((c = getopt_long(argc, argv, "r:s:m:Hi:j:", longer, NULL)) != -1) {
        if (c == 'r')
            b->rounds = (unsigned)atoi(optarg);
        else if (c == 's')
            b->arena.len = (size_t)atoi(optarg) << 20;
        else if (c == 'H')
            b->huge = true;
        else if (c == 'i' && b->n_others < CONTENDERS_MAX)
            b->other[b->n_others++] = optarg;
        else if (c == 'j')
            b->json = optarg;
        else if (c == 'm')
            for (char *m = strtok(optarg, ","); m; m = strtok(NULL, ","))
                add_shape(b, (unsigned)atoi(m));
        else
            exit(16);
    }
    if (b->rounds < 1 || b->rounds > ROUNDS_MAX || b->arena.len == 0 || b->arena.len % (THREADS * CONTAINER) != 0)
        die("from 1 to 99 rounds, and a multiple of 128 MiB");
    bool none = b->n_shapes == 0;
    for (unsigned i = 0; none && i < sizeof(all) / sizeof(all[0]); i++)
        add_shape(b, all[i]);
}

static void cpu_name(char *name, size_t len)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(name, len, "unknown");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            snprintf(name, len, "%s", strchr(line, ':') + 2);
            name[strcspn(name, "\n")] = 0;
            break;
        }
    }
    if (f)
        fclose(f);
}

static void write_json(const struct bench *b, const char *cpu, const struct utsname *u)
{
    FILE *f = fopen(b->json, "w");
    if (!f)
        die("cannot write the JSON file");
    fprintf(f, "{\"cpu\": \"%s\", \"kernel\": \"%s %s\", \"compiler\": \"%s\", \"k\": %d, \"block\": %d, ", cpu, u->sysname, u->release,
            __VERSION__, K, BLOCK);
    fprintf(f, "\"mib\": %zu, \"huge_pages\": %s, ", b->arena.len >> 20, b->huge ? "true" : "false");
    rounds_json(f, b->test, b->n_tests, "m");
    fprintf(f, "}\n");
    if (fclose(f))
        die("cannot write the JSON file");
}

int main(int argc, char **argv)
{
    static struct bench b;
    char cpu[128];
    struct utsname u;
    parse(&b, argc, argv);
    make_arena(&b.arena, b.huge);
    find_contenders(&b);
    check_all(&b);
    add_tests(&b);
    rounds_run(b.test, b.n_tests, b.rounds);
    cpu_name(cpu, sizeof(cpu));
    uname(&u);
    printf("%s, %s %s, %u rounds, GB/s of data: median (smallest–largest)\n", cpu, u.sysname, u.release, b.rounds);
    rounds_print(b.test, b.n_tests, "m");
    if (b.json)
        write_json(&b, cpu, &u);
    return 0;
}
