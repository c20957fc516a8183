/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mkfs_holofs.c: mkfs.holofs: make a store. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/holofs.h"
#include "tools/size.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 16 };

enum { OPT_SIZE = 256, OPT_CONTAINER, OPT_WIDTH, OPT_SPARE, OPT_SPARE_DIR, OPT_SEED, OPT_RING };

static const struct option longs[] = {
    { "size", required_argument, NULL, OPT_SIZE },      { "container-size", required_argument, NULL, OPT_CONTAINER },
    { "stripe-width", required_argument, NULL, OPT_WIDTH }, { "spare", required_argument, NULL, OPT_SPARE },
    { "spare-dir", required_argument, NULL, OPT_SPARE_DIR },
    { "seed", required_argument, NULL, OPT_SEED },      { "ring-size", required_argument, NULL, OPT_RING },
    { "help", no_argument, NULL, 'h' },                 { "version", no_argument, NULL, 'V' },
    { 0 },
};

static void help(void)
{
    printf("usage: mkfs.holofs [options] STORE\n\n"
           "Make a holofs store in directory STORE (created if missing, else empty).\n"
           "  -R N                  redundancy 1 to 10: a stripe survives 2N lost blocks (default 3)\n"
           "  -L LABEL              name, at most 64 bytes\n"
           "  --size BYTES          never use more than this (default: what the filesystem has)\n"
           "  --container-size SIZE file data of a container, 256K to 4G (default 64M, less on small disks)\n"
           "  --stripe-width K      data blocks of a stripe, 2 to 235 (default 64)\n"
           "  --ring-size SIZE      size of the journal, of which there are two\n"
           "  --spare SIZE          preallocated space for remapped blocks\n"
           "  --spare-dir DIR       as much again in DIR, an absolute path, best on another disk\n"
           "  --seed N              seed of the wave code (default 0)\n"
           "  -f                    replace a store that is there\n");
}

static int bad(const char *what, const char *value)
{
    fprintf(stderr, "mkfs.holofs: %s: '%s'\n", what, value);
    return EXIT_USAGE;
}

static int size_option(const char *value, const char *what, uint64_t *out)
{
    return parse_size(value, out) && *out ? 0 : bad(what, value);
}

static int blocks_option(const char *value, const char *what, uint32_t *out)
{
    uint64_t bytes;
    if (!parse_size(value, &bytes) || bytes % 4096 || bytes == 0 || bytes / 4096 > UINT32_MAX)
        return bad(what, value);
    *out = (uint32_t)(bytes / 4096);
    return 0;
}

static int option(int c, const char *value, struct holofs_geometry *g)
{
    unsigned long n;
    switch (c) {
    case 'R':
        if (!parse_number(value, 1, 10, &n))
            return bad("redundancy must be 1 to 10", value);
        g->r = (uint32_t)n;
        return 0;
    case 'L':
        g->label = value;
        return strlen(value) <= 64 ? 0 : bad("label is longer than 64 bytes", value);
    case OPT_SIZE:
        return size_option(value, "not a size", &g->size_limit_bytes);
    case OPT_CONTAINER:
        return blocks_option(value, "container size must be a multiple of 4K", &g->nmax);
    case OPT_RING:
        return blocks_option(value, "ring size must be a multiple of 4K", &g->ring_blocks);
    case OPT_WIDTH:
        if (!parse_number(value, 2, 235, &n))
            return bad("stripe width must be 2 to 235", value);
        g->k = (uint32_t)n;
        return 0;
    case OPT_SPARE:
        return parse_size(value, &g->spare_bytes) && g->spare_bytes <= UINT64_C(1) << 38 ? 0 : bad("not a size up to 256G", value);
    case OPT_SPARE_DIR:
        g->spare_dir = value;
        return value[0] == '/' ? 0 : bad("not an absolute path", value);
    case OPT_SEED:
        if (!parse_number(value, 0, UINT32_MAX, &n))
            return bad("seed must be a 32-bit number", value);
        g->seed_base = (uint32_t)n;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

int main(int argc, char **argv)
{
    struct holofs_geometry g = { .spare_bytes = UINT64_MAX };
    char why[1024] = "";
    int c;
    log_set_name("mkfs.holofs");
    log_set_level(LOG_LEVEL_WARN);
    while ((c = getopt_long(argc, argv, "R:L:fhV", longs, NULL)) != -1) {
        if (c == 'h') {
            help();
            return 0;
        }
        if (c == 'V') {
            printf("mkfs.holofs %s\n", HOLOFS_VERSION);
            return 0;
        }
        if (c == 'f') {
            g.force = true;
            continue;
        }
        int e = option(c, optarg, &g);
        if (e)
            return e;
    }
    if (argc - optind != 1) {
        fprintf(stderr, "mkfs.holofs: usage: mkfs.holofs [options] STORE; --help tells the options\n");
        return EXIT_USAGE;
    }
    if (holofs_format(argv[optind], &g, why, sizeof(why))) {
        fprintf(stderr, "mkfs.holofs: %s\n", why);
        return EXIT_FAILED;
    }
    printf("%s: formatted\n", argv[optind]);
    return 0;
}
