/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench_options.c: the command line of holo bench ecc. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda.h"
#include "tools/bench_ecc.h"
#include "tools/size.h"

enum { EXIT_OPERATION = 8, EXIT_USAGE = 16, HELP = -1 };
enum { OPT_SIZES = 256, OPT_CONTAINER, OPT_R, OPT_ENGINES, OPT_OPERATIONS, OPT_FLIPS, OPT_TIME, OPT_QUICK, OPT_SEED, OPT_JSON, OPT_SPOIL };

static const struct option longs[] = {
    { "sizes", required_argument, NULL, OPT_SIZES }, { "container-size", required_argument, NULL, OPT_CONTAINER },
    { "redundancy", required_argument, NULL, OPT_R }, { "engines", required_argument, NULL, OPT_ENGINES },
    { "operations", required_argument, NULL, OPT_OPERATIONS }, { "flips", required_argument, NULL, OPT_FLIPS },
    { "time", required_argument, NULL, OPT_TIME }, { "quick", no_argument, NULL, OPT_QUICK }, { "seed", required_argument, NULL, OPT_SEED },
    { "json", required_argument, NULL, OPT_JSON }, { "spoil", no_argument, NULL, OPT_SPOIL }, { "help", no_argument, NULL, 'h' }, { 0 },
};

static void help(void)
{
    printf("Usage: holo bench ecc [OPTIONS]\n"
           "Encode and decode with every engine of this machine; compare every byte with the original.\n"
           "  --sizes LIST          of byte strings: sizes such as 1K,64K,10M, or none (1K,4K,16K,64K,256K,1M,4M,10M)\n"
           "  --container-size SIZE data of the container; 0 for none (64M)\n"
           "  --redundancy LIST     R, 1 to 10 (1,3,5,7,10)\n"
           "  --engines LIST        scalar, avx2, gfni, cuda (those that are there)\n"
           "  --operations LIST     encode, check, clean, erasures, flips (all)\n"
           "  --flips LIST          chances of each byte to be flipped (1e-4,5e-4,1e-3)\n"
           "  --time SECONDS        for each line of the table (0.08)\n"
           "  --quick               few sizes, R = 3, short; what is given as well counts\n"
           "  --seed N              of data and damage (1)\n"
           "  --json FILE           the results for programs\n"
           "  --spoil               change a byte of every result before it is compared: all must be told as wrong\n");
}

static int bad(const char *what, const char *value)
{
    fprintf(stderr, "holo: bench ecc: %s: '%s'\n", what, value);
    return EXIT_USAGE;
}

/* Call take() for each element of a list. */
static int each(struct bench_options *o, const char *list, int (*take)(struct bench_options *o, const char *item))
{
    char item[64];
    for (const char *p = list; *p || p == list;) {
        size_t n = strcspn(p, ",");
        if (n == 0 || n >= sizeof(item))
            return bad("a list with an element that cannot be", list);
        memcpy(item, p, n);
        item[n] = 0;
        int e = take(o, item);
        if (e)
            return e;
        p += n + (p[n] == ',');
        if (p[-1] == ',' && !*p)
            return bad("a list with an element that cannot be", list);
    }
    return 0;
}

static int take_size(struct bench_options *o, const char *item)
{
    uint64_t bytes;
    if (!parse_size(item, &bytes) || bytes < 1 || bytes > UINT64_C(1) << 32)
        return bad("a string has 1 byte to 4G", item);
    if (o->n_sizes == BENCH_SIZES_MAX)
        return bad("too many sizes", item);
    o->size[o->n_sizes++] = bytes;
    return 0;
}

static int take_R(struct bench_options *o, const char *item)
{
    unsigned long n;
    if (!parse_number(item, ECC_R_MIN, ECC_R_MAX, &n))
        return bad("redundancy must be 1 to 10", item);
    for (unsigned i = 0; i < o->n_R; i++) {
        if (o->R[i] == n)
            return bad("redundancy given twice", item);
    }
    o->R[o->n_R++] = (unsigned)n;
    return 0;
}

static int take_engine(struct bench_options *o, const char *item)
{
    char why[256] = "";
    const struct ecc_engine *e = strcmp(item, "cuda") == 0 ? cuda_engine_get(why, sizeof(why)) : ecc_engine_find(item);
    for (unsigned i = 0; e && i < o->n_engines; i++) {
        if (o->engine[i] == e)
            return bad("engine given twice", item);
    }
    if (e && o->n_engines < BENCH_ENGINES_MAX) {
        o->engine[o->n_engines++] = e;
        return 0;
    }
    if (strcmp(item, "scalar") != 0 && strcmp(item, "avx2") != 0 && strcmp(item, "gfni") != 0 && strcmp(item, "cuda") != 0)
        return bad("engines are scalar, avx2, gfni, cuda", item);
    fprintf(stderr, "holo: bench ecc: this machine has no engine '%s'%s%s\n", item, *why ? ": " : "", why);
    return EXIT_OPERATION;
}

static int take_operation(struct bench_options *o, const char *item)
{
    for (enum bench_op op = 0; op < BENCH_OPS; op++) {
        if (strcmp(item, bench_op_name(op)) == 0) {
            o->op[op] = true;
            return 0;
        }
    }
    return bad("operations are encode, check, clean, erasures, flips", item);
}

static int take_flips(struct bench_options *o, const char *item)
{
    char *end;
    double chance = strtod(item, &end);
    if (*end || end == item || !(chance > 0 && chance < 1))
        return bad("a chance is more than 0 and less than 1", item);
    if (o->n_flips == BENCH_FLIPS_MAX)
        return bad("too many chances", item);
    o->flips[o->n_flips++] = chance;
    return 0;
}

static int take_time(struct bench_options *o, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (*end || end == value || !(seconds > 0 && seconds <= 3600))
        return bad("time must be more than 0 and at most 3600 seconds", value);
    o->cell_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

static int take_container(struct bench_options *o, const char *value)
{
    if (!parse_size(value, &o->container_bytes) || o->container_bytes % 4096 || o->container_bytes > UINT64_C(1) << 32)
        return bad("container size must be a multiple of 4K, at most 4G", value);
    return 0;
}

struct given {
    bool sizes, container, quick;
};

static int one(int c, const char *value, struct bench_options *o, struct given *given)
{
    unsigned long n;
    switch (c) {
    case OPT_SIZES:
        given->sizes = true;
        return strcmp(value, "none") == 0 ? 0 : each(o, value, take_size);
    case OPT_CONTAINER:
        given->container = true;
        return take_container(o, value);
    case OPT_R:
        return each(o, value, take_R);
    case OPT_ENGINES:
        return each(o, value, take_engine);
    case OPT_OPERATIONS:
        return each(o, value, take_operation);
    case OPT_FLIPS:
        return each(o, value, take_flips);
    case OPT_TIME:
        return take_time(o, value);
    case OPT_QUICK:
        given->quick = true;
        return 0;
    case OPT_SEED:
        if (!parse_number(value, 0, UINT32_MAX, &n))
            return bad("seed must be a 32-bit number", value);
        o->seed = n;
        return 0;
    case OPT_JSON:
        o->json = value;
        return 0;
    case OPT_SPOIL:
        o->spoil = true;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

static void every_engine(struct bench_options *o)
{
    char why[256];
    for (const struct ecc_engine *const *e = ecc_engines(); *e; e++) {
        if ((*e)->supported())
            o->engine[o->n_engines++] = *e;
    }
    const struct ecc_engine *gpu = cuda_engine_get(why, sizeof(why));
    if (gpu)
        o->engine[o->n_engines++] = gpu;
}

static void fill_in(struct bench_options *o, const struct given *given)
{
    if (!given->sizes)
        each(o, given->quick ? "4K,1M" : "1K,4K,16K,64K,256K,1M,4M,10M", take_size);
    if (!given->container)
        o->container_bytes = given->quick ? 8 << 20 : 64 << 20;
    if (!o->n_R)
        each(o, given->quick ? "3" : "1,3,5,7,10", take_R);
    if (!o->n_engines)
        every_engine(o);
    bool any = false;
    for (enum bench_op op = 0; op < BENCH_OPS; op++)
        any |= o->op[op];
    for (enum bench_op op = 0; op < BENCH_OPS && !any; op++)
        o->op[op] = true;
    if (!o->n_flips)
        each(o, given->quick ? "1e-3" : "1e-4,5e-4,1e-3", take_flips);
    if (!o->cell_ns)
        o->cell_ns = given->quick ? 20000000 : 80000000;
}

int bench_options_parse(int argc, char **argv, struct bench_options *o)
{
    struct given given = { 0 };
    int c;
    *o = (struct bench_options){ .seed = 1 };
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
        if (c == 'h') {
            help();
            return HELP;
        }
        if (c == ':' || c == '?')
            return bad(c == ':' ? "an option without its value" : "unknown option; see holo bench ecc --help", argv[optind - 1]);
        int e = one(c, optarg, o, &given);
        if (e)
            return e;
    }
    if (optind < argc)
        return bad("takes only options; see holo bench ecc --help", argv[optind]);
    fill_in(o, &given);
    if (o->n_sizes == 0 && o->container_bytes == 0)
        return bad("nothing to measure", "--sizes none --container-size 0");
    return 0;
}
