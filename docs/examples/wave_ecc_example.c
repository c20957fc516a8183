/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wave_ecc_example.c: protect the bytes of a file, damage them, and get them back.
 *
 *     cc -o wave_ecc_example wave_ecc_example.c $(pkg-config --cflags --libs waveecc)
 *     ./wave_ecc_example FILE
 *
 * The file is only read. Exit code 0: every byte came back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wave_ecc.h>

enum { REDUNDANCY = WAVE_ECC_BALANCED, SEED_BASE = 1 };

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "wave_ecc_example: %s: %s\n", what, why);
    exit(1);
}

static void *memory(size_t len)
{
    void *p = malloc(len);
    if (!p)
        give_up("malloc", "out of memory");
    return p;
}

static unsigned char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    long end = -1;
    if (f && fseek(f, 0, SEEK_END) == 0)
        end = ftell(f);
    if (end < 1)
        give_up(path, "cannot be read, or is empty");
    rewind(f);
    *len = (size_t)end;
    unsigned char *bytes = memory(*len);
    if (fread(bytes, 1, *len, f) != *len)
        give_up(path, "cannot be read");
    fclose(f);
    return bytes;
}

/* About one byte in ten thousand anywhere, and a piece of 2 % from the middle of the data. */
static void damage(unsigned char *data, size_t len, unsigned char *parity, size_t parity_len)
{
    for (size_t i = 0; i < len; i += 1 + (size_t)(rand() % 20000))
        data[i] ^= 0x40;
    for (size_t i = 0; i < parity_len; i += 1 + (size_t)(rand() % 20000))
        parity[i] ^= 0x40;
    memset(data + len / 2, 0, len / 50);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        give_up("usage", "wave_ecc_example FILE");

    size_t len;
    unsigned char *data = read_file(argv[1], &len);
    size_t parity_len = wave_ecc_parity_len(len, REDUNDANCY);
    unsigned char *parity = memory(parity_len), *original = memory(len);
    memcpy(original, data, len);

    int rc = wave_ecc_encode(data, len, REDUNDANCY, SEED_BASE, parity);
    if (rc < 0)
        give_up("wave_ecc_encode", wave_ecc_strerror(rc));
    printf("%zu bytes of data, %zu of parity (%.1f %%)\n", len, parity_len, 100.0 * (double)parity_len / (double)len);

    damage(data, len, parity, parity_len);
    printf("damaged: the data is %s\n", memcmp(data, original, len) == 0 ? "the same" : "not what it was");

    uint64_t corrected;
    rc = wave_ecc_decode(data, len, parity, REDUNDANCY, SEED_BASE, &corrected);
    if (rc < 0)
        give_up("wave_ecc_decode", wave_ecc_strerror(rc));
    int same = memcmp(data, original, len) == 0;
    printf("decoded: %llu bytes corrected; %s\n", (unsigned long long)corrected, same ? "every byte is right" : "WRONG BYTES");

    free(data);
    free(parity);
    free(original);
    return same ? 0 : 1;
}
