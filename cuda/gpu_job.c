/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpu_job.c: a code, as the kernels want to know it. */
#include "cuda/gpu.h"
#include "ecc/field.h"

void gpu_job_init(struct gpu_job *job, enum ecc_work work, const struct ecc_code *code, size_t block_size)
{
    unsigned k = ecc_code_k(code), m = ecc_code_m(code), s = ecc_code_seed(code) % FIELD_ORDER;
    *job = (struct gpu_job){ .work = work == ECC_ENCODE ? GPU_ENCODE : GPU_SYNDROME, .m = (uint8_t)m, .k = (uint8_t)k,
                             .scaled = s != 0, .block_size = (uint32_t)block_size };
    for (unsigned i = 0; i < k + m; i++)
        job->scale[i] = field_exp(i * s);
    for (unsigned r = 0; r < m; r++)
        job->unscale[r] = field_exp(FIELD_ORDER - (k + r) * s % FIELD_ORDER);
}
