/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scratch.c: a free list of buffers and codec contexts, so that the steady state allocates nothing. */
#include <stdlib.h>

#include "core/fs.h"

static struct scratch *make(void)
{
    struct scratch *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->blocks = aligned_alloc(BLOCK_SIZE, (size_t)SCRATCH_BLOCKS * BLOCK_SIZE);
    s->piece = aligned_alloc(BLOCK_SIZE, CHUNK_SIZE);
    if (s->blocks && s->piece && codec_ctx_create(&s->codec) == 0)
        return s;
    free(s->blocks);
    free(s->piece);
    free(s);
    return NULL;
}

struct scratch *scratch_get(struct holofs *fs)
{
    mutex_lock(&fs->scratch_lock);
    struct scratch *s = fs->scratch;
    if (s)
        fs->scratch = s->next;
    mutex_unlock(&fs->scratch_lock);
    if (s)
        return s;
    fs->scratch_made++;
    return make();
}

void scratch_put(struct holofs *fs, struct scratch *s)
{
    mutex_lock(&fs->scratch_lock);
    s->next = fs->scratch;
    fs->scratch = s;
    mutex_unlock(&fs->scratch_lock);
}

void scratch_fini(struct holofs *fs)
{
    while (fs->scratch) {
        struct scratch *s = fs->scratch;
        fs->scratch = s->next;
        codec_ctx_destroy(s->codec);
        free(s->blocks);
        free(s->piece);
        free(s);
    }
}
