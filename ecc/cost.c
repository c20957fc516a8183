/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cost.c: a line through two measurements, and how far off it has been lately. */
#include "ecc/cost.h"

static void trust(struct cost *c)
{
    for (unsigned i = 0; i < COST_SEEN; i++)
        c->seen[i] = 1;
    c->next = 0;
}

static double correction(const struct cost *c)
{
    double least = c->seen[0];
    for (unsigned i = 1; i < COST_SEEN; i++)
        least = c->seen[i] < least ? c->seen[i] : least;
    return least;
}

void cost_fit(struct cost *c, double small_bytes, double small_ns, double large_bytes, double large_ns)
{
    double most = large_ns / large_bytes; /* nothing of it is fixed */
    double slope = large_bytes > small_bytes ? (large_ns - small_ns) / (large_bytes - small_bytes) : most;
    c->ns_per_byte = slope > most ? most : slope > 0 ? slope : 0;
    c->fixed_ns = large_ns - c->ns_per_byte * large_bytes;
    trust(c);
}

void cost_scale(const struct cost *c, double factor, struct cost *out)
{
    out->fixed_ns = c->fixed_ns;
    out->ns_per_byte = c->ns_per_byte * factor;
    trust(out);
}

double cost_fixed_ns(const struct cost *c)
{
    return c->fixed_ns * correction(c);
}

double cost_ns_per_byte(const struct cost *c)
{
    return c->ns_per_byte * correction(c);
}

double cost_estimate_ns(const struct cost *c, double bytes)
{
    return (c->fixed_ns + c->ns_per_byte * bytes) * correction(c);
}

void cost_observe(struct cost *c, double bytes, double ns)
{
    double expected = c->fixed_ns + c->ns_per_byte * bytes;
    c->seen[c->next] = expected > 0 ? ns / expected : 1;
    c->next = (c->next + 1) % COST_SEEN;
}

double cost_wins_from(const struct cost *c, const struct cost *than)
{
    double dearer = cost_fixed_ns(c) - cost_fixed_ns(than), cheaper = cost_ns_per_byte(than) - cost_ns_per_byte(c);
    if (cheaper <= 0)
        return -1;
    return dearer > 0 ? dearer / cheaper : 0;
}
