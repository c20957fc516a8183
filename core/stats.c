/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.c: what the store knows of itself, from memory only: atomics and short leaf locks, never NS or an inode.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/cache.h"
#include "core/clean.h"
#include "core/container.h"
#include "core/engine.h"
#include "core/head.h"
#include "core/health.h"
#include "core/log.h"
#include "core/scrubber.h"

static json_t *integer(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, integer(v));
}

static json_t *latency(const struct hist *h)
{
    return json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)h->count, "p50_us", (double)hist_quantile(h, 0.5) / 1e3, "p99_us",
                     (double)hist_quantile(h, 0.99) / 1e3, "max_us", (double)h->max / 1e3);
}

static json_t *operations(struct holofs *fs)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < HOLOFS_OPS_MAX; i++) {
        const char *name = fs->ops[i].name;
        if (!name)
            continue;
        json_t *l = latency(&fs->ops[i].ns);
        put(l, "failed", fs->ops[i].failed);
        json_object_set_new(o, name, l);
    }
    return o;
}

void holofs_count_op(struct holofs *fs, unsigned op, const char *name, uint64_t ns, bool failed)
{
    fs->ops[op].name = name;
    hist_add(&fs->ops[op].ns, ns);
    if (failed)
        atomic_fetch_add_explicit(&fs->ops[op].failed, 1, memory_order_relaxed);
}

struct fill {
    uint64_t n[4], open, sealed, live, live_data, data_blocks, parity_blocks, file;
    uint64_t user_blocks, user_file; /* of containers with file data alone */
    struct holofs *fs;
};

static int add_container(void *arg, uint32_t id)
{
    struct fill *f = arg;
    struct holofs *fs = f->fs;
    mutex_lock(&fs->ctab_lock);
    struct container *c = id < fs->ctab_cap ? fs->ctab[id] : NULL;
    if (c) {
        f->n[c->cls < 4 ? c->cls : 0]++;
        f->open += c->state == CONTAINER_OPEN;
        f->sealed += c->state == CONTAINER_SEALED;
        f->live += c->live > 0 ? (uint64_t)c->live : 0;
        f->live_data += c->live > 0 && c->cls == CLASS_DATA ? (uint64_t)c->live : 0;
        if (c->state == CONTAINER_SEALED) {
            f->data_blocks += c->used;
            f->file += space_of_container(fs, c->r, c->used);
            f->parity_blocks += 2 * c->r * ecc_layout_stripes(fs->sb.nmax, fs->sb.k);
            f->user_blocks += c->cls == CLASS_DATA ? c->used : 0;
            f->user_file += c->cls == CLASS_DATA ? space_of_container(fs, c->r, c->used) : 0;
        }
    }
    mutex_unlock(&fs->ctab_lock);
    return 0;
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0.0;
}

/* What the store takes, by what it is for; parity with the tables and headers beside it. The index is not counted. */
static json_t *space(struct holofs *fs, const struct fill *f, uint64_t spare_blocks)
{
    json_t *o = json_object();
    put(o, "live_bytes", f->live_data);
    put(o, "data_bytes", f->user_blocks * BLOCK_SIZE);
    put(o, "parity_bytes", f->user_file - f->user_blocks * BLOCK_SIZE);
    put(o, "metadata_bytes", f->file - f->user_file);
    put(o, "ring_bytes", (uint64_t)fs->sb.ring_blocks * BLOCK_SIZE * RING_COPIES);
    put(o, "spare_bytes", spare_blocks * BLOCK_SIZE);
    put(o, "reserve_bytes", fs->reserve_left);
    return o;
}

static json_t *containers(struct holofs *fs, const struct fill *all, uint64_t unsealed)
{
    struct fill f = *all;
    json_t *o = json_object();
    put(o, "data", f.n[CLASS_DATA]);
    put(o, "metadata_log", f.n[CLASS_META_LOG]);
    put(o, "metadata_dump", f.n[CLASS_META_DUMP]);
    put(o, "file_bytes", f.file);
    put(o, "open", f.open);
    put(o, "sealed", f.sealed);
    put(o, "sealed_since_mount", fs->count.containers_sealed);
    put(o, "deleted_since_mount", fs->count.containers_deleted);
    put(o, "dumps_since_mount", fs->count.dumps);
    put(o, "data_bytes", f.data_blocks * BLOCK_SIZE);
    put(o, "live_bytes", f.live);
    put(o, "unsealed_bytes", unsealed);
    json_object_set_new(o, "fill", json_real(ratio(f.data_blocks, f.sealed * fs->sb.nmax)));
    json_object_set_new(o, "parity_overhead", json_real(ratio(f.parity_blocks, f.data_blocks)));
    return o;
}

static json_t *wave_ecc_metrics(struct holofs *fs)
{
    const struct counters_live *c = &fs->count;
    json_t *o = json_object();
    put(o, "total_encode_ops", c->encode_ops);
    put(o, "total_decode_ops", c->decode_ops);
    put(o, "total_bytes_encoded", c->encode_bytes);
    put(o, "total_bytes_decoded", c->decode_bytes);
    put(o, "total_parity_bytes", c->parity_bytes);
    put(o, "errors_detected", c->errors_detected);
    put(o, "corrected_bytes", c->corrected_bytes);
    put(o, "decode_success", c->decode_success);
    put(o, "decode_fail", c->decode_fail);
    json_object_set_new(o, "decode_success_rate_pct", json_real(c->decode_ops ? 100.0 * ratio(c->decode_success, c->decode_ops) : 100.0));
    json_object_set_new(o, "avg_encode_ms", json_real(ratio(c->encode_ns, c->encode_ops) / 1e6));
    json_object_set_new(o, "avg_decode_ms", json_real(ratio(c->decode_ns, c->decode_ops) / 1e6));
    json_object_set_new(o, "last_encode_ms", json_real((double)c->last_encode_ns / 1e6));
    json_object_set_new(o, "last_decode_ms", json_real((double)c->last_decode_ns / 1e6));
    json_object_set_new(o, "avg_parity_overhead", json_real(ratio(c->parity_bytes, c->encode_bytes)));
    return o;
}

static json_t *ring(struct holofs *fs)
{
    json_t *o = json_object();
    put(o, "blocks", fs->sb.ring_blocks);
    put(o, "used_blocks", ring_used_blocks(fs->ring));
    put(o, "unmirrored_blocks", ring_unmirrored_blocks(fs->ring));
    put(o, "commits", fs->count.commits);
    put(o, "bytes_committed", fs->count.commit_bytes);
    put(o, "bytes_written", ring_bytes_written(fs->ring));
    put(o, "repaired_blocks", fs->count.ring_blocks_repaired);
    put(o, "failed_copies", (uint64_t)__builtin_popcount(ring_failed_copies(fs->ring)));
    put(o, "committed_txg", fs->committed_txg);
    put(o, "applied_txg", fs->applied_txg);
    json_object_set_new(o, "commit_latency", latency(&fs->count.commit_ns));
    return o;
}

static json_t *data(struct holofs *fs)
{
    const struct counters_live *c = &fs->count;
    json_t *o = json_object();
    put(o, "bytes_read", c->bytes_read);
    put(o, "bytes_written", c->bytes_written);
    put(o, "bytes_stored", c->bytes_stored);
    put(o, "container_bytes_written", c->container_bytes_written);
    put(o, "chunks_raw", c->chunks_raw);
    put(o, "chunks_zstd", c->chunks_zstd);
    json_object_set_new(o, "compression_ratio", json_real(c->bytes_compressed_out ? ratio(c->bytes_compressed_in, c->bytes_compressed_out) : 1.0));
    json_object_set_new(o, "read_latency", latency(&c->read_ns));
    json_object_set_new(o, "write_latency", latency(&c->write_ns));
    json_object_set_new(o, "seal_latency", latency(&c->seal_ns));
    return o;
}

static json_t *damage(struct holofs *fs)
{
    const struct counters_live *c = &fs->count;
    json_t *o = json_object();
    put(o, "checksum_failures", c->checksum_failures);
    put(o, "read_errors", c->read_errors);
    put(o, "eio_reads", c->eio_reads);
    put(o, "disk_gone", c->disk_gone);
    put(o, "table_blocks_repaired", c->table_blocks_repaired);
    put(o, "headers_repaired", c->headers_repaired);
    put(o, "superblock_copies_repaired", c->super_copies_repaired);
    put(o, "parity_disagrees", c->parity_disagrees);
    put(o, "scrubbed_blocks", c->scrubbed_blocks);
    put(o, "scrubs", c->scrubs);
    put(o, "write_troubles", c->troubles);
    put(o, "ring_copies_restored", c->ring_copies_restored);
    put(o, "events", fs->events.total);
    return o;
}

static uint64_t count_quarantined(struct holofs *fs)
{
    uint64_t n = 0;
    mutex_lock(&fs->ctab_lock);
    for (size_t id = 0; id < fs->ctab_cap; id++)
        n += fs->ctab[id] && fs->ctab[id]->quarantined;
    mutex_unlock(&fs->ctab_lock);
    return n;
}

static json_t *cleaner(struct holofs *fs)
{
    const struct clean_state *c = &fs->clean;
    uint64_t stored = fs->count.bytes_stored;
    json_t *o = json_object();
    json_object_set_new(o, "state", json_string(c->state));
    put(o, "moved_bytes", c->moved_bytes);
    put(o, "cleaned_containers", c->containers);
    put(o, "freed_bytes", c->deleted_bytes > c->made_bytes ? c->deleted_bytes - c->made_bytes : 0);
    put(o, "lost_moves", c->lost_moves);
    put(o, "quarantined", count_quarantined(fs));
    json_object_set_new(o, "write_amplification", json_real(stored ? ratio(stored + c->moved_bytes, stored) : 1.0));
    put(o, "stalls", c->stalls);
    put(o, "longest_stall_ms", (c->longest_stall_ns + 999999) / 1000000);
    put(o, "rate_bytes_per_s", c->rate);
    put(o, "runs", c->runs);
    json_object_set_new(o, "run", json_pack("{s:I, s:I, s:I, s:I, s:s}", "containers", (json_int_t)c->run_containers, "of",
                                            (json_int_t)c->run_total, "moved_bytes", (json_int_t)c->run_moved_bytes, "freed_bytes",
                                            (json_int_t)c->run_freed_bytes, "error", c->run_error ? holo_strerror(c->run_error) : ""));
    return o;
}

/* What is resident now; 0 where there is no /proc. */
static uint64_t resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Numbers and bytes; the latter without what malloc adds. DESIGN.md, «Memory», says what bounds each. */
static json_t *memory(struct holofs *fs)
{
    struct rusage u;
    json_t *o = json_object();
    getrusage(RUSAGE_SELF, &u);
    put(o, "rss_bytes", resident_bytes());
    put(o, "max_rss_bytes", (uint64_t)u.ru_maxrss * 1024);
    put(o, "cache_bytes", fs->opt.cache_bytes);
    put(o, "inodes", fs->n_inodes);
    put(o, "inode_bytes", fs->n_inodes * sizeof(struct inode) + fs->itab_size * sizeof(*fs->itab));
    put(o, "kernel_reference_bytes", fs->krefs.size * sizeof(*fs->krefs.slot));
    put(o, "names", fs->n_dentries);
    put(o, "name_bytes", fs->n_dentries * (sizeof(struct dentry) + 24) + fs->dtab_size * sizeof(*fs->dtab));
    put(o, "windows", fs->n_windows);
    put(o, "window_and_xattr_bytes", fs->loaded_bytes);
    put(o, "open_containers", fs->n_open);
    put(o, "table_max_bytes", fs->n_open * (container_full_size(fs, fs->sb.r) / BLOCK_SIZE / 511 + 1) * BLOCK_SIZE);
    put(o, "container_bytes", fs->n_containers * sizeof(struct container) + fs->ctab_cap * sizeof(*fs->ctab));
    put(o, "index_queue_bytes", fs->done_bytes);
    put(o, "index_sum_bytes", fs->index_sum_bytes);
    put(o, "scratch_bytes", fs->scratch_made * (SCRATCH_BLOCKS * BLOCK_SIZE + CHUNK_SIZE));
    put(o, "head_and_parity_bytes", fs->big_bytes);
    put(o, "max_head_and_parity_bytes", fs->big_bytes_max);
    return o;
}

/* What this mount had to do before it answered. */
static json_t *opening(struct holofs *fs)
{
    json_t *o = json_object();
    put(o, "open_ms", fs->opening.ns / 1000000);
    json_object_set_new(o, "index_rebuilt", json_boolean(fs->index_rebuilt));
    put(o, "ring_txgs_applied", fs->opening.ring_txgs);
    put(o, "ring_bytes_applied", fs->opening.ring_bytes);
    put(o, "frames_applied", fs->opening.frames);
    put(o, "frame_bytes_applied", fs->opening.frame_bytes);
    return o;
}

int holofs_stats_json(struct holofs *fs, struct buf *out)
{
    struct remap_stats rs;
    uint64_t unsealed = heads_unsealed_bytes(fs);
    struct fill all = { .fs = fs };
    remap_stats(fs->remap, &rs);
    ctab_each(fs, add_container, &all);
    json_t *o = json_object();
    json_object_set_new(o, "version", json_string(HOLOFS_VERSION));
    json_object_set_new(o, "health", json_string(health_name(health_of(fs))));
    json_object_set_new(o, "health_reasons", health_json(fs));
    json_object_set_new(o, "store", json_string(fs->path));
    json_object_set_new(o, "uptime_s", json_real((double)(clock_mono_ns() - fs->mounted_ns) / 1e9));
    json_object_set_new(o, "mounted_s", json_real((double)(clock_real_ns() - (int64_t)(clock_mono_ns() - fs->mounted_ns)) / 1e9));
    json_object_set_new(o, "read_only", json_boolean(fs->read_only));
    put(o, "metadata_redundancy", fs->sb.meta_r);
    put(o, "files", fs->n_files);
    put(o, "repaired_blocks", fs->before.repaired + fs->count.repaired_blocks);
    put(o, "remapped_blocks", fs->before.remapped + fs->count.remapped_blocks);
    put(o, "lost_blocks", fs->before.lost + fs->count.lost_blocks);
    put(o, "exposed_bytes", unsealed);
    json_object_set_new(o, "since_mount", json_pack("{s:I, s:I, s:I}", "repaired_blocks", (json_int_t)fs->count.repaired_blocks,
                                                    "remapped_blocks", (json_int_t)fs->count.remapped_blocks, "lost_blocks",
                                                    (json_int_t)fs->count.lost_blocks));
    json_object_set_new(o, "engine", engine_json(fs));
    json_object_set_new(o, "containers", containers(fs, &all, unsealed));
    json_object_set_new(o, "space", space(fs, &all, rs.spare_blocks));
    json_object_set_new(o, "data", data(fs));
    json_object_set_new(o, "cleaner", cleaner(fs));
    json_object_set_new(o, "ring", ring(fs));
    json_object_set_new(o, "wave_ecc_metrics", wave_ecc_metrics(fs));
    json_object_set_new(o, "gpu", gpu_json(fs));
    json_object_set_new(o, "damage", damage(fs));
    json_object_set_new(o, "scrub", scrub_json(fs));
    json_object_set_new(o, "remap", json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "remaps", (json_int_t)rs.remaps, "spare_blocks",
                                              (json_int_t)rs.spare_blocks, "spare_used", (json_int_t)rs.spare_used, "spare_bad",
                                              (json_int_t)rs.spare_bad, "copies_repaired", (json_int_t)rs.copies_repaired, "spares_away",
                                              (json_int_t)rs.spares_away, "spares_failing", (json_int_t)rs.spares_failing));
    json_object_set_new(o, "pools", json_pack("{s:I, s:I}", "scratch_allocated", (json_int_t)fs->scratch_made, "big_bytes", (json_int_t)fs->big_bytes));
    json_object_set_new(o, "memory", memory(fs));
    json_object_set_new(o, "opening", opening(fs));
    json_object_set_new(o, "operations", operations(fs));
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(o);
    int e = text ? buf_add(out, text, strlen(text)) : -ENOMEM;
    free(text);
    return e ? e : buf_add(out, "\n", 1);
}

static int metric(struct buf *out, const char *name, const char *help, uint64_t v, const char *type)
{
    return buf_printf(out, "# HELP holofs_%s %s\n# TYPE holofs_%s %s\nholofs_%s %llu\n", name, help, name, type, name,
                      (unsigned long long)v);
}

int holofs_metrics_text(struct holofs *fs, struct buf *out)
{
    struct ecc_plan_stats engine;
    ecc_plan_get_stats(fs->plan, &engine);
    const struct counters_live *c = &fs->count;
    const struct {
        const char *name, *help, *type;
        uint64_t v;
    } m[] = {
        { "bytes_read_total", "Bytes read by users.", "counter", c->bytes_read },
        { "bytes_written_total", "Bytes written by users.", "counter", c->bytes_written },
        { "commits_total", "Transaction groups committed.", "counter", c->commits },
        { "containers", "Containers known.", "gauge", fs->n_containers },
        { "unsealed_bytes", "Bytes that only the ring protects.", "gauge", heads_unsealed_bytes(fs) },
        { "repaired_blocks_total", "Blocks rebuilt and written back.", "counter", c->repaired_blocks },
        { "remapped_blocks_total", "Blocks moved to a spare.", "counter", c->remapped_blocks },
        { "lost_blocks_total", "Blocks that could not be rebuilt.", "counter", c->lost_blocks },
        { "parity_disagrees_total", "Stripes whose parity contradicts data that their checksums confirm.", "counter", c->parity_disagrees },
        { "engine_fallbacks_total", "Calls that a GPU failed and the CPU did again.", "counter", engine.fallbacks },
        { "checksum_failures_total", "Blocks that failed their checksum.", "counter", c->checksum_failures },
        { "cleaner_moved_bytes_total", "Bytes that the cleaner moved.", "counter", fs->clean.moved_bytes },
        { "cleaner_longest_stall_milliseconds", "The longest that a write waited for room.", "gauge", fs->clean.longest_stall_ns / 1000000 },
        { "encode_ops_total", "Parity computations.", "counter", c->encode_ops },
        { "decode_ops_total", "Rebuilds of a stripe.", "counter", c->decode_ops },
        { "corrected_bytes_total", "Bytes that rebuilds of stripes found wrong or missing.", "counter", c->corrected_bytes },
        { "decode_fail_total", "Rebuilds that failed.", "counter", c->decode_fail },
        { "healthy", "1 if nothing is wrong.", "gauge", health_of(fs) == HEALTH_HEALTHY },
    };
    int e = 0;
    for (size_t i = 0; i < sizeof(m) / sizeof(m[0]) && !e; i++)
        e = metric(out, m[i].name, m[i].help, m[i].v, m[i].type);
    return e;
}

int holofs_config_json(struct holofs *fs, struct buf *out)
{
    static const char *const compress[] = { "auto", "off", "zstd" };
    char uuid[33];
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", fs->sb.uuid[i]);
    json_t *o = json_pack("{s:s, s:s%, s:i, s:i, s:i, s:i, s:i, s:I, s:s, s:i, s:I, s:i, s:b, s:b}", "uuid", uuid, "label", fs->sb.label,
                          strnlen(fs->sb.label, SUPER_LABEL_MAX), "format", (int)fs->sb.version, "redundancy",
                          (int)(fs->opt.redundancy ? fs->opt.redundancy : fs->sb.r), "metadata_redundancy", (int)fs->sb.meta_r,
                          "stripe_width", (int)fs->sb.k, "container_blocks", (int)fs->sb.nmax, "size_limit_bytes",
                          (json_int_t)fs->sb.size_limit_bytes, "compress", compress[fs->opt.compress], "zstd_level", fs->opt.zstd_level,
                          "cache_bytes", (json_int_t)fs->opt.cache_bytes, "commit_seconds", (int)fs->opt.commit_seconds, "read_only",
                          fs->read_only, "io_flusher", fs->opt.io_flusher);
    char *text = o ? json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    int e = text ? buf_printf(out, "%s\n", text) : -ENOMEM;
    free(text);
    return e;
}
