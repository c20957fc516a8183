/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c: one code: its parameters and coefficients. The derivation is in code.h. */
#include "ecc/code.h"

#include <errno.h>
#include <stdlib.h>

#include "ecc/field.h"

/* α^member of each. */
static void locate(const uint8_t *members, unsigned n, uint8_t *places)
{
    for (unsigned i = 0; i < n; i++)
        places[i] = field_exp(members[i]);
}

/* log of α^(i·s) times the distances from member i, which is at place α^i, to all of gone but itself. */
static unsigned log_weight(const struct ecc_code *code, const uint8_t *gone_at, unsigned i, uint8_t place)
{
    unsigned sum = i * code->s;
    for (unsigned j = 0; j < code->m; j++) {
        uint8_t distance = place ^ gone_at[j];
        sum += distance ? field_log(distance) : 0;
    }
    return sum % FIELD_ORDER;
}

/* Done anew for each pattern of losses: places first and one lookup a distance made rebuilding at m = 14 a tenth faster. */
void ecc_code_solve(const struct ecc_code *code, const uint8_t *gone, const uint8_t *kept, const uint8_t *wanted, unsigned n_wanted,
                    uint8_t *coef)
{
    uint8_t gone_at[ECC_M_MAX], kept_at[ECC_N_MAX], wanted_at[ECC_M_MAX];
    unsigned weight[ECC_N_MAX];
    locate(gone, code->m, gone_at);
    locate(kept, code->k, kept_at);
    locate(wanted, n_wanted, wanted_at);
    for (unsigned c = 0; c < code->k; c++)
        weight[c] = log_weight(code, gone_at, kept[c], kept_at[c]) + 2 * FIELD_ORDER;
    for (unsigned r = 0; r < n_wanted; r++) {
        unsigned divisor = log_weight(code, gone_at, wanted[r], wanted_at[r]);
        for (unsigned c = 0; c < code->k; c++)
            coef[r * code->k + c] = field_exp(weight[c] - divisor - field_log(kept_at[c] ^ wanted_at[r]));
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
