/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_field.c: every table of the field against multiplication of polynomials. */
#include "ecc/field.h"
#include "tests/ecc/helper.h"

static void products_agree_with_polynomials(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++)
            assert_int_equal(field_mul((uint8_t)a, (uint8_t)b), slow_mul((uint8_t)a, (uint8_t)b));
    }
}

static void powers_and_logarithms_are_inverse(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 255; i++) {
        assert_int_equal(field_exp(i), slow_alpha(i));
        assert_int_equal(field_exp(i + 255), slow_alpha(i));
        assert_int_equal(field_log(field_exp(i)), i);
    }
}

static void halves_of_every_constant_are_its_products(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned v = 0; v < 256; v++)
            assert_int_equal(field_halves[c][v & 15] ^ field_halves[c][16 + (v >> 4)], slow_mul((uint8_t)c, (uint8_t)v));
    }
}

/* As the instruction does it: output bit i is the parity of byte 7 − i of the matrix and the input. */
static uint8_t affine(uint64_t matrix, uint8_t v)
{
    unsigned out = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned row = (unsigned)(matrix >> (8 * (7 - i))) & 255;
        out |= (unsigned)__builtin_parity(row & v) << i;
    }
    return (uint8_t)out;
}

static void matrix_of_every_constant_multiplies(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned v = 0; v < 256; v++)
            assert_int_equal(affine(field_matrix[c], (uint8_t)v), slow_mul((uint8_t)c, (uint8_t)v));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_polynomials),
        cmocka_unit_test(powers_and_logarithms_are_inverse),
        cmocka_unit_test(halves_of_every_constant_are_its_products),
        cmocka_unit_test(matrix_of_every_constant_multiplies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
