/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stub.c: what cuda.h answers in a build without a GPU engine. */
#include "cuda/cuda.h"

#include <stdio.h>

static const char no_engine[] = "this build has no GPU engine";

const struct ecc_engine *cuda_engine_get(char *why, size_t cap)
{
    snprintf(why, cap, "%s", no_engine);
    return NULL;
}

void cuda_status_get(struct cuda_status *out)
{
    *out = (struct cuda_status){ .present = false };
    snprintf(out->why, sizeof(out->why), "%s", no_engine);
}
