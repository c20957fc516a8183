/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * programs.h: multiplication by α^power on bit planes, power = -19 … 19; made by programs.py, which says how. Included by kernel.h.
 */
#ifndef HOLO_CUDA_PROGRAMS_H
#define HOLO_CUDA_PROGRAMS_H

#define X3(a, b, c) gpu_xor3(a, b, c)

/* x·α^power + c */
GPU_FN struct gpu_planes gpu_times_alpha(struct gpu_planes x, int power, struct gpu_planes c)
{
    const uint32_t x0 = x.b[0], x1 = x.b[1], x2 = x.b[2], x3 = x.b[3], x4 = x.b[4], x5 = x.b[5], x6 = x.b[6], x7 = x.b[7];
    const uint32_t c0 = c.b[0], c1 = c.b[1], c2 = c.b[2], c3 = c.b[3], c4 = c.b[4], c5 = c.b[5], c6 = c.b[6], c7 = c.b[7];
    uint32_t s0, s1, s2, s3, s4; /* sums that several planes share */
    struct gpu_planes y = c;
    switch (power) {
    case -19: /* 13 operations */
        s0 = X3(x0, x1, x2), s1 = x4 ^ x7, s2 = x0 ^ x6, s3 = X3(x5, x6, x7);
        y.b[0] = X3(x7, s0, c0), y.b[1] = X3(x3, s0, c1), y.b[2] = X3(x3, s1, c2), y.b[3] = X3(x5, s0, s1) ^ c3;
        y.b[4] = X3(x3, s3, c4), y.b[5] = X3(x6, s1, c5), y.b[6] = X3(s2, s3, c6), y.b[7] = X3(x1, s2, c7);
        break;
    case -18: /* 14 operations */
        s0 = x6 ^ x7, s1 = X3(x0, x1, x7), s2 = x2 ^ x3, s3 = X3(x2, x5, s0);
        y.b[0] = X3(s0, s1, c0), y.b[1] = X3(x2, s1, c1), y.b[2] = X3(x6, s2, c2), y.b[3] = X3(X3(x3, x4, x6), s1, c3);
        y.b[4] = X3(x4, s3, c4), y.b[5] = X3(s2, s3, c5), y.b[6] = X3(x4, s0, c6), y.b[7] = X3(x0, x5, x7) ^ c7;
        break;
    case -17: /* 14 operations */
        s0 = X3(x5, x6, x7), s1 = x4 ^ s0, s2 = x0 ^ x6;
        y.b[0] = X3(s0, s2, c0), y.b[1] = X3(x1, s2, c1), y.b[2] = X3(x1, x2, x5) ^ c2, y.b[3] = X3(X3(x0, x2, x3), s0, c3);
        y.b[4] = X3(X3(x1, x3, x7), s1, c4), y.b[5] = X3(x2, s1, c5), y.b[6] = X3(x3, s0, c6), y.b[7] = X3(x5, s1, c7);
        break;
    case -16: /* 14 operations */
        s0 = x4 ^ x5, s1 = X3(x5, x6, x7), s2 = X3(x0, x4, x7), s3 = X3(x2, x4, s1);
        y.b[0] = X3(s0, s1, c0), y.b[1] = X3(s0, s2, c1), y.b[2] = X3(x1, s2, c2), y.b[3] = X3(x1, s3, c3);
        y.b[4] = X3(X3(x0, x2, x3), s0, c4), y.b[5] = X3(X3(x1, x3, x6), s0, c5), y.b[6] = s3 ^ c6, y.b[7] = X3(x3, s1, c7);
        break;
    case -15: /* 14 operations */
        s0 = x4 ^ x6, s1 = X3(x0, x3, x6), s2 = X3(x2, x5, s0), s3 = X3(x1, x2, x3);
        y.b[0] = X3(X3(x0, x5, x7), s1, c0), y.b[1] = X3(x7, s0, c1), y.b[2] = s1 ^ c2, y.b[3] = X3(x0, s2, s3) ^ c3;
        y.b[4] = X3(x4, s3, c4), y.b[5] = X3(s1, s2, c5), y.b[6] = X3(s2, s3, c6), y.b[7] = X3(x7, s2, c7);
        break;
    case -14: /* 14 operations */
        s0 = X3(x2, x3, x4), s1 = x5 ^ s0, s2 = x0 ^ x7, s3 = X3(x3, x6, x7);
        y.b[0] = X3(s1, s3, c0), y.b[1] = X3(x5, s3, c1), y.b[2] = X3(x2, x5, c2), y.b[3] = X3(s1, s2, c3);
        y.b[4] = X3(X3(x1, x2, x3), s2, c4), y.b[5] = X3(x1, s0, c5), y.b[6] = X3(x0, s1, c6), y.b[7] = X3(X3(x1, x2, x6), s1, c7);
        break;
    case -13: /* 14 operations */
        s0 = x1 ^ x2, s1 = X3(x3, x4, s0), s2 = x4 ^ x7, s3 = X3(x0, x7, s0), s4 = X3(x2, x5, x6);
        y.b[0] = X3(s1, s4, c0), y.b[1] = X3(s2, s4, c1), y.b[2] = X3(x1, s2, c2), y.b[3] = X3(x6, s1, c3);
        y.b[4] = X3(x6, s3, c4), y.b[5] = X3(x3, s3, c5), y.b[6] = s1 ^ c6, y.b[7] = X3(X3(x0, x1, x5), s1, c7);
        break;
    case -12: /* 15 operations */
        s0 = X3(x0, x1, x2), s1 = X3(x1, x3, x4), s2 = x5 ^ s1, s3 = x7 ^ s0;
        y.b[0] = X3(s0, s2, c0), y.b[1] = X3(x6, s2, c1), y.b[2] = X3(X3(x0, x3, x6), x7, c2), y.b[3] = X3(x3, x5, s3) ^ c3;
        y.b[4] = X3(X3(x0, x1, x5), x6, c4), y.b[5] = X3(x6, s3, c5), y.b[6] = X3(x3, s3, c6), y.b[7] = X3(x2, s1, c7);
        break;
    case -11: /* 14 operations */
        s0 = X3(x0, x1, x6), s1 = X3(x2, x7, s0), s2 = x2 ^ x5, s3 = X3(x0, x4, x7), s4 = X3(x3, x6, s1);
        y.b[0] = X3(s3, s4, c0), y.b[1] = X3(X3(x0, x3, x4), s2, c1), y.b[2] = X3(x6, s2, c2), y.b[3] = X3(x4, s1, c3);
        y.b[4] = X3(x5, s3, c4), y.b[5] = X3(x5, s0, c5), y.b[6] = s1 ^ c6, y.b[7] = s4 ^ c7;
        break;
    case -10: /* 14 operations */
        s0 = X3(x0, x1, x6), s1 = x3 ^ x6, s2 = X3(x2, x7, s0), s3 = X3(x4, x5, x7);
        y.b[0] = X3(s1, s2, c0), y.b[1] = X3(X3(x1, x2, x3), x4, c1), y.b[2] = X3(x1, s3, c2), y.b[3] = X3(X3(x2, x3, x5), s2, c3);
        y.b[4] = X3(x4, s1, c4), y.b[5] = X3(x0, s3, c5), y.b[6] = X3(x5, s0, c6), y.b[7] = s2 ^ c7;
        break;
    case -9: /* 14 operations */
        s0 = x0 ^ x6, s1 = X3(x3, x4, s0), s2 = X3(x2, x3, x5), s3 = X3(x1, x5, s0), s4 = X3(x7, s2, s3);
        y.b[0] = X3(x3, s4, c0), y.b[1] = X3(x6, s4, c1), y.b[2] = X3(x7, s1, c2), y.b[3] = X3(s1, s2, c3);
        y.b[4] = s2 ^ c4, y.b[5] = X3(x0, s1, c5), y.b[6] = X3(X3(x0, x4, x5), x7, c6), y.b[7] = s3 ^ c7;
        break;
    case -8: /* 14 operations */
        s0 = x2 ^ x7, s1 = X3(x3, x5, s0), s2 = X3(x0, x1, x6), s3 = X3(x1, x2, x4);
        y.b[0] = X3(x5, s2, c0), y.b[1] = X3(s0, s2, c1), y.b[2] = X3(x6, s1, c2), y.b[3] = X3(s1, s3, c3);
        y.b[4] = s3 ^ c4, y.b[5] = X3(x7, s1, c5), y.b[6] = X3(x3, x4, x6) ^ c6, y.b[7] = X3(X3(x0, x4, x5), x7, c7);
        break;
    case -7: /* 14 operations */
        s0 = x2 ^ x4, s1 = X3(x1, x5, x6), s2 = X3(x3, x6, s0);
        y.b[0] = X3(X3(x0, x4, x5), x7, c0), y.b[1] = X3(x0, s1, c1), y.b[2] = X3(s0, s1, c2), y.b[3] = X3(x0, s2, c3);
        y.b[4] = X3(x0, x1, x3) ^ c4, y.b[5] = X3(x1, s0, c5), y.b[6] = X3(x2, x3, x5) ^ c6, y.b[7] = X3(x2, s2, c7);
        break;
    case -6: /* 12 operations */
        s0 = x3 ^ x4, s1 = X3(x2, x3, x5), s2 = X3(x1, x5, s0), s3 = X3(x0, x4, x5);
        y.b[0] = X3(x6, s0, c0), y.b[1] = X3(x7, s3, c1), y.b[2] = X3(x0, s2, c2), y.b[3] = X3(x1, s1, c3);
        y.b[4] = X3(x0, x2, c4), y.b[5] = X3(s2, s3, c5), y.b[6] = X3(s1, s2, c6), y.b[7] = s1 ^ c7;
        break;
    case -5: /* 12 operations */
        s0 = x2 ^ x3, s1 = X3(x1, x2, x4), s2 = X3(x0, x4, s0);
        y.b[0] = X3(x5, s0, c0), y.b[1] = X3(x3, x4, x6) ^ c1, y.b[2] = X3(x7, s2, c2), y.b[3] = X3(x0, s1, c3);
        y.b[4] = x1 ^ c4, y.b[5] = X3(x0, x2, c5), y.b[6] = X3(s1, s2, c6), y.b[7] = s1 ^ c7;
        break;
    case -4: /* 12 operations */
        s0 = X3(x0, x1, x3);
        y.b[0] = X3(x1, x2, x4) ^ c0, y.b[1] = X3(x2, x3, x5) ^ c1, y.b[2] = X3(X3(x0, x2, x6), s0, c2), y.b[3] = X3(x7, s0, c3);
        y.b[4] = x0 ^ c4, y.b[5] = x1 ^ c5, y.b[6] = X3(x0, x2, c6), y.b[7] = s0 ^ c7;
        break;
    case -3: /* 12 operations */
        y.b[0] = X3(x0, x1, x3) ^ c0, y.b[1] = X3(x1, x2, x4) ^ c1, y.b[2] = X3(X3(x0, x1, x2), x5, c2), y.b[3] = X3(x0, x2, x6) ^ c3;
        y.b[4] = x7 ^ c4, y.b[5] = x0 ^ c5, y.b[6] = x1 ^ c6, y.b[7] = X3(x0, x2, c7);
        break;
    case -2: /* 9 operations */
        s0 = x0 ^ x1;
        y.b[0] = X3(x0, x2, c0), y.b[1] = X3(x3, s0, c1), y.b[2] = X3(x4, s0, c2), y.b[3] = X3(x1, x5, c3);
        y.b[4] = x6 ^ c4, y.b[5] = x7 ^ c5, y.b[6] = x0 ^ c6, y.b[7] = x1 ^ c7;
        break;
    case -1: /* 8 operations */
        y.b[0] = x1 ^ c0, y.b[1] = X3(x0, x2, c1), y.b[2] = X3(x0, x3, c2), y.b[3] = X3(x0, x4, c3);
        y.b[4] = x5 ^ c4, y.b[5] = x6 ^ c5, y.b[6] = x7 ^ c6, y.b[7] = x0 ^ c7;
        break;
    case 0: /* 8 operations */
        y.b[0] = x0 ^ c0, y.b[1] = x1 ^ c1, y.b[2] = x2 ^ c2, y.b[3] = x3 ^ c3;
        y.b[4] = x4 ^ c4, y.b[5] = x5 ^ c5, y.b[6] = x6 ^ c6, y.b[7] = x7 ^ c7;
        break;
    case 1: /* 8 operations */
        y.b[0] = x7 ^ c0, y.b[1] = x0 ^ c1, y.b[2] = X3(x1, x7, c2), y.b[3] = X3(x2, x7, c3);
        y.b[4] = X3(x3, x7, c4), y.b[5] = x4 ^ c5, y.b[6] = x5 ^ c6, y.b[7] = x6 ^ c7;
        break;
    case 2: /* 9 operations */
        s0 = x6 ^ x7;
        y.b[0] = x6 ^ c0, y.b[1] = x7 ^ c1, y.b[2] = X3(x0, x6, c2), y.b[3] = X3(x1, s0, c3);
        y.b[4] = X3(x2, s0, c4), y.b[5] = X3(x3, x7, c5), y.b[6] = x4 ^ c6, y.b[7] = x5 ^ c7;
        break;
    case 3: /* 11 operations */
        y.b[0] = x5 ^ c0, y.b[1] = x6 ^ c1, y.b[2] = X3(x5, x7, c2), y.b[3] = X3(x0, x5, x6) ^ c3;
        y.b[4] = X3(X3(x1, x5, x6), x7, c4), y.b[5] = X3(x2, x6, x7) ^ c5, y.b[6] = X3(x3, x7, c6), y.b[7] = x4 ^ c7;
        break;
    case 4: /* 11 operations */
        s0 = x6 ^ x7, s1 = X3(x4, x5, x6);
        y.b[0] = x4 ^ c0, y.b[1] = x5 ^ c1, y.b[2] = X3(x4, x6, c2), y.b[3] = X3(s0, s1, c3);
        y.b[4] = X3(x0, s1, c4), y.b[5] = X3(x1, x5, s0) ^ c5, y.b[6] = X3(x2, s0, c6), y.b[7] = X3(x3, x7, c7);
        break;
    case 5: /* 13 operations */
        s0 = x3 ^ x5;
        y.b[0] = X3(x3, x7, c0), y.b[1] = x4 ^ c1, y.b[2] = X3(x7, s0, c2), y.b[3] = X3(X3(x3, x4, x6), x7, c3);
        y.b[4] = X3(x4, s0, c4), y.b[5] = X3(X3(x0, x4, x5), x6, c5), y.b[6] = X3(X3(x1, x5, x6), x7, c6), y.b[7] = X3(x2, x6, x7) ^ c7;
        break;
    case 6: /* 13 operations */
        s0 = x3 ^ x4, s1 = X3(x2, x6, x7);
        y.b[0] = s1 ^ c0, y.b[1] = X3(x3, x7, c1), y.b[2] = X3(x4, s1, c2), y.b[3] = X3(X3(x2, x3, x5), x6, c3);
        y.b[4] = X3(x2, s0, c4), y.b[5] = X3(x5, s0, c5), y.b[6] = X3(X3(x0, x4, x5), x6, c6), y.b[7] = X3(X3(x1, x2, x5), s1, c7);
        break;
    case 7: /* 13 operations */
        s0 = x3 ^ x4, s1 = X3(x1, x2, x5), s2 = X3(x2, x6, x7), s3 = X3(x1, x3, x6);
        y.b[0] = X3(s1, s2, c0), y.b[1] = s2 ^ c1, y.b[2] = X3(x5, s3, c2), y.b[3] = X3(x4, s1, c3);
        y.b[4] = X3(s2, s3, c4), y.b[5] = X3(x2, s0, c5), y.b[6] = X3(x5, s0, c6), y.b[7] = X3(X3(x0, x4, x5), x6, c7);
        break;
    case 8: /* 14 operations */
        s0 = x3 ^ x4, s1 = X3(x0, x4, x5), s2 = X3(x1, x3, s1), s3 = X3(x2, x7, s1);
        y.b[0] = X3(x6, s1, c0), y.b[1] = X3(X3(x1, x5, x6), x7, c1), y.b[2] = s3 ^ c2, y.b[3] = X3(x5, s2, c3);
        y.b[4] = X3(X3(x0, x1, x2), x6, c4), y.b[5] = X3(s2, s3, c5), y.b[6] = X3(x2, s0, c6), y.b[7] = X3(x5, s0, c7);
        break;
    case 9: /* 14 operations */
        s0 = x3 ^ x4, s1 = X3(x2, x3, x7);
        y.b[0] = X3(x5, s0, c0), y.b[1] = X3(X3(x0, x4, x5), x6, c1), y.b[2] = X3(X3(x1, x6, x7), s0, c2), y.b[3] = X3(x0, s1, c3);
        y.b[4] = X3(x0, x1, x5) ^ c4, y.b[5] = X3(X3(x0, x1, x2), x6, c5), y.b[6] = X3(x1, s1, c6), y.b[7] = X3(x2, s0, c7);
        break;
    case 10: /* 14 operations */
        s0 = x0 ^ x5, s1 = x3 ^ x4, s2 = X3(x1, x2, x6);
        y.b[0] = X3(x2, s1, c0), y.b[1] = X3(x5, s1, c1), y.b[2] = X3(X3(x1, x3, s0), s2, c2), y.b[3] = X3(x7, s2, c3);
        y.b[4] = X3(x0, x4, x7) ^ c4, y.b[5] = X3(x1, s0, c5), y.b[6] = X3(x0, s2, c6), y.b[7] = X3(X3(x1, x2, x3), x7, c7);
        break;
    case 11: /* 14 operations */
        s0 = x0 ^ x7, s1 = X3(x1, x5, s0);
        y.b[0] = X3(X3(x1, x2, x3), x7, c0), y.b[1] = X3(x2, x3, x4) ^ c1, y.b[2] = X3(X3(x0, x2, x4), s1, c2), y.b[3] = X3(x6, s1, c3);
        y.b[4] = X3(x3, x6, c4), y.b[5] = X3(x4, s0, c5), y.b[6] = X3(x7, s1, c6), y.b[7] = X3(X3(x0, x1, x2), x6, c7);
        break;
    case 12: /* 13 operations */
        s0 = x0 ^ x4, s1 = x2 ^ x5, s2 = X3(x0, x1, x2), s3 = X3(x1, x3, x7), s4 = X3(x6, x7, s0);
        y.b[0] = X3(x6, s2, c0), y.b[1] = X3(x2, s3, c1), y.b[2] = X3(s3, s4, c2), y.b[3] = X3(x5, s4, c3);
        y.b[4] = X3(x7, s1, c4), y.b[5] = X3(x3, x6, c5), y.b[6] = X3(x6, s4, c6), y.b[7] = X3(s1, s2, c7);
        break;
    case 13: /* 13 operations */
        s0 = x0 ^ x5, s1 = X3(x2, x7, s0), s2 = X3(x0, x1, x6), s3 = X3(x0, x4, x7);
        y.b[0] = X3(x1, s0, c0), y.b[1] = X3(x2, s2, c1), y.b[2] = X3(x3, s1, c2), y.b[3] = X3(X3(x3, x4, x5), x6, c3);
        y.b[4] = X3(s2, s3, c4), y.b[5] = X3(x0, s1, c5), y.b[6] = X3(x3, x6, c6), y.b[7] = s3 ^ c7;
        break;
    case 14: /* 13 operations */
        s0 = x0 ^ x5, s1 = x4 ^ x7, s2 = X3(x1, x6, s1), s3 = X3(x2, x4, x5);
        y.b[0] = X3(x0, s1, c0), y.b[1] = X3(x1, s0, c1), y.b[2] = X3(x2, s2, c2), y.b[3] = X3(x3, s3, c3);
        y.b[4] = X3(X3(x3, x6, x7), s0, c4), y.b[5] = s2 ^ c5, y.b[6] = X3(s1, s3, c6), y.b[7] = X3(x3, x6, c7);
        break;
    case 15: /* 14 operations */
        s0 = x0 ^ x3, s1 = x4 ^ x7, s2 = X3(x2, x4, x5), s3 = X3(x5, x6, s0);
        y.b[0] = X3(x3, x6, c0), y.b[1] = X3(x0, s1, c1), y.b[2] = X3(x1, s3, c2), y.b[3] = X3(X3(x1, x2, x3), s1, c3);
        y.b[4] = X3(x6, s2, c4), y.b[5] = X3(x7, s3, c5), y.b[6] = X3(x1, x6, s1) ^ c6, y.b[7] = X3(s1, s2, c7);
        break;
    case 16: /* 14 operations */
        s0 = x5 ^ x7, s1 = X3(x0, x3, x6), s2 = X3(x2, x4, x5);
        y.b[0] = X3(x2, s0, c0), y.b[1] = X3(x0, s1, c1), y.b[2] = X3(x0, s2, c2), y.b[3] = X3(X3(x1, x2, x7), s1, c3);
        y.b[4] = X3(X3(x1, x2, x3), s2, c4), y.b[5] = X3(x6, s2, c5), y.b[6] = X3(s0, s1, c6), y.b[7] = X3(X3(x1, x4, x6), x7, c7);
        break;
    case 17: /* 14 operations */
        s0 = x5 ^ x7, s1 = X3(x1, x4, x7), s2 = X3(x0, x2, x4), s3 = X3(x5, x6, s2);
        y.b[0] = X3(x6, s1, c0), y.b[1] = X3(x2, s0, c1), y.b[2] = X3(x3, s1, c2), y.b[3] = X3(s1, s3, c3);
        y.b[4] = X3(x3, s2, c4), y.b[5] = X3(x3, s0, s1) ^ c5, y.b[6] = X3(x0, s3, c6), y.b[7] = X3(X3(x0, x3, x6), s0, c7);
        break;
    case 18: /* 14 operations */
        s0 = X3(x0, x2, x3), s1 = x0 ^ x1, s2 = X3(x1, x3, x5), s3 = X3(x4, x5, x6);
        y.b[0] = X3(X3(x6, x7, s1), s2, c0), y.b[1] = X3(X3(x1, x4, x6), x7, c1), y.b[2] = X3(x6, s0, c2), y.b[3] = X3(s1, s3, c3);
        y.b[4] = X3(s0, s1, c4), y.b[5] = X3(x4, s0, c5), y.b[6] = X3(x4, s2, c6), y.b[7] = X3(x2, s3, c7);
        break;
    case 19: /* 13 operations */
        s0 = x1 ^ x2, s1 = x5 ^ x7, s2 = X3(x3, x4, x5), s3 = X3(x0, x2, s2), s4 = X3(x0, x3, x6);
        y.b[0] = X3(s3, s4, c0), y.b[1] = X3(s1, s4, c1), y.b[2] = X3(s0, s1, c2), y.b[3] = X3(x0, s2, c3);
        y.b[4] = X3(x0, s0, c4), y.b[5] = X3(x3, s0, c5), y.b[6] = X3(x5, s3, c6), y.b[7] = X3(x1, s2, c7);
        break;
    default:
        break;
    }
    return y;
}

#undef X3

#endif
