/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c: one code: its parameters and coefficients. The derivation is in code.h. */
#include "ecc/code.h"

#include <errno.h>
#include <stdlib.h>

#include "ecc/field.h"

/* log(α^i + α^j), i ≠ j */
static unsigned log_distance(unsigned i, unsigned j)
{
    return field_log(field_exp(i) ^ field_exp(j));
}

/* log of α^(i·s) times the distances from member i to all of gone but itself. */
static unsigned log_weight(const struct ecc_code *code, const uint8_t *gone, unsigned i)
{
    unsigned sum = i * code->s;
    for (unsigned j = 0; j < code->m; j++) {
        if (gone[j] != i)
            sum += log_distance(i, gone[j]);
    }
    return sum % FIELD_ORDER;
}

void ecc_code_solve(const struct ecc_code *code, const uint8_t *gone, const uint8_t *kept, const uint8_t *wanted, unsigned n_wanted,
                    uint8_t *coef)
{
    unsigned divisor[ECC_M_MAX];
    for (unsigned r = 0; r < n_wanted; r++)
        divisor[r] = log_weight(code, gone, wanted[r]);
    for (unsigned c = 0; c < code->k; c++) {
        unsigned weight = log_weight(code, gone, kept[c]);
        for (unsigned r = 0; r < n_wanted; r++) {
            unsigned down = log_distance(kept[c], wanted[r]) + divisor[r];
            coef[r * code->k + c] = field_exp(weight + 2 * FIELD_ORDER - down);
        }
    }
}

static void fill_encode(struct ecc_code *code)
{
    uint8_t data[ECC_N_MAX], parity[ECC_M_MAX];
    for (unsigned i = 0; i < code->k; i++)
        data[i] = (uint8_t)i;
    for (unsigned r = 0; r < code->m; r++)
        parity[r] = (uint8_t)(code->k + r);
    ecc_code_solve(code, parity, data, parity, code->m, code->encode);
}

static void fill_syndrome(struct ecc_code *code)
{
    for (unsigned j = 0; j < code->m; j++) {
        for (unsigned i = 0; i < code->n; i++)
            code->syndrome[j * code->n + i] = field_exp(i * (code->s + j));
    }
}

int ecc_code_create(unsigned k, unsigned m, uint32_t seed_base, struct ecc_code **out)
{
    if (k < 1 || m < 2 * ECC_R_MIN || m > ECC_M_MAX || m % 2 != 0 || k > ECC_N_MAX - m)
        return -EINVAL;
    unsigned n = k + m;
    struct ecc_code *code = malloc(sizeof(*code) + (size_t)m * k + (size_t)m * n);
    if (!code)
        return -ENOMEM;
    code->k = k;
    code->m = m;
    code->n = n;
    code->seed_base = seed_base;
    code->s = seed_base % FIELD_ORDER;
    code->encode = code->tables;
    code->syndrome = code->tables + m * k;
    fill_encode(code);
    fill_syndrome(code);
    *out = code;
    return 0;
}

void ecc_code_destroy(struct ecc_code *code)
{
    free(code);
}

unsigned ecc_code_k(const struct ecc_code *code)
{
    return code->k;
}

unsigned ecc_code_m(const struct ecc_code *code)
{
    return code->m;
}

uint32_t ecc_code_seed(const struct ecc_code *code)
{
    return code->seed_base;
}
