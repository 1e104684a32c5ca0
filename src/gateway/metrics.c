#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "gateway/pool_state.h"

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static void put(struct wr *w, const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    HSM_ASSERT(n >= 0 && (size_t)n < sizeof line); /* every label is ours */
    wr_bytes(w, line, (size_t)n);
}

static void head(struct wr *w, const char *name, const char *type, const char *help)
{
    put(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct wr *w, const char *name, const char *type, const char *help, uint64_t v)
{
    head(w, name, type, help);
    put(w, "%s %" PRIu64 "\n", name, v);
}

/* ---- the loops' counters ---- */

static uint64_t sum(const struct metrics_facts *f, size_t offset)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < f->loops; i++)
        n += meter_read((const meter_count *)(const void *)((const char *)&f->meters[i] + offset));
    return n;
}

static const char *op_name(unsigned op)
{
    const struct wire_op_info *info = op == OP_REFUSED ? NULL : wire_op_info(op);
    return info != NULL ? info->audit_name : op == WIRE_TYPE_NONE ? "Unknown" : NULL;
}

static void put_requests(const struct metrics_facts *f, struct wr *w)
{
    static const char *const classes[METER_CLASSES] = {"2xx", "4xx", "5xx"};
    head(w, "keyhold_requests_total", "counter", "Answers by operation and class of status.");
    for (unsigned op = 0; op < WIRE_OP__END; op++)
        for (unsigned c = 0; op_name(op) != NULL && c < METER_CLASSES; c++)
            put(w, "keyhold_requests_total{operation=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                op_name(op), classes[c], sum(f, offsetof(struct meter, op[op].answers[c])));
}

/* The buckets' sum is the count: no other counter could disagree with it. */
static void put_histogram(const struct metrics_facts *f, unsigned op, struct wr *w)
{
    static const char *const le[METER_BUCKETS] = {
#define B(us, text) text,
        METER_BOUNDS(B)
#undef B
            "+Inf",
    };
    const char *name = op_name(op);
    uint64_t upto[METER_BUCKETS], n = 0;
    for (unsigned b = 0; b < METER_BUCKETS; b++)
        upto[b] = n += sum(f, offsetof(struct meter, op[op].bucket[b]));
    if (n == 0)
        return;
    for (unsigned b = 0; b < METER_BUCKETS; b++)
        put(w, "keyhold_request_duration_seconds_bucket{operation=\"%s\",le=\"%s\"} %" PRIu64 "\n",
            name, le[b], upto[b]);
    uint64_t us = sum(f, offsetof(struct meter, op[op].sum_us));
    put(w, "keyhold_request_duration_seconds_sum{operation=\"%s\"} %" PRIu64 ".%06" PRIu64 "\n",
        name, us / 1000000, us % 1000000);
    put(w, "keyhold_request_duration_seconds_count{operation=\"%s\"} %" PRIu64 "\n", name, n);
}

static void put_durations(const struct metrics_facts *f, struct wr *w)
{
    head(w, "keyhold_request_duration_seconds", "histogram",
         "From the whole request to its answer, by operation.");
    for (unsigned op = 0; op < WIRE_OP__END; op++)
        if (op_name(op) != NULL)
            put_histogram(f, op, w);
}

static void put_refusals(const struct metrics_facts *f, struct wr *w)
{
    head(w, "keyhold_refusals_total", "counter",
         "Answers from status 400 on by reason, with the service's error code.");
    for (unsigned err = HSM_OK + 1; err < HSM_E__COUNT; err++) {
        char reason[48];
        size_t n = 0;
        for (const char *p = hsm_err_name(err) + strlen("HSM_E_");
             *p != '\0' && n < sizeof reason - 1; p++)
            reason[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
        reason[n] = '\0';
        put(w, "keyhold_refusals_total{reason=\"%s\",code=\"%s\"} %" PRIu64 "\n", reason,
            hsm_err_code(err), sum(f, offsetof(struct meter, refused[err])));
    }
}

static void put_in_flight(const struct metrics_facts *f, struct wr *w)
{
    head(w, "keyhold_requests_in_flight", "gauge", "Requests that wait for their answer.");
    for (unsigned i = 0; i < f->loops; i++)
        put(w, "keyhold_requests_in_flight{loop=\"%u\"} %" PRIu64 "\n", i + 1,
            meter_read(&f->meters[i].in_flight));
}

/* ---- the partition ---- */

static void put_process(const struct metrics_facts *f, struct wr *w)
{
    head(w, "keyhold_build_info", "gauge", "Version of the program.");
    put(w, "keyhold_build_info{version=\"%s\"} 1\n", KEYHOLD_VERSION);
    head(w, "keyhold_protection_info", "gauge", "What protects the keys.");
    put(w, "keyhold_protection_info{level=\"%s\",secret_memory=\"%s\"} 1\n", f->pool->protection,
        f->pool->secret_memory);
    one(w, "process_start_time_seconds", "gauge", "Start of the gateway, Unix time.", f->start_s);
    one(w, "keyhold_ready", "gauge", "1 when /readyz says ready.", metrics_obstacle(f) == NULL);
    one(w, "keyhold_boundary_up", "gauge", "1 when the boundary answered in time.",
        f->status != NULL);
}

static void put_store(const struct metrics_facts *f, struct wr *w)
{
    one(w, "keyhold_store_committed_index", "gauge", "Last committed transaction.",
        f->store.applied);
    one(w, "keyhold_store_flushed_index", "gauge", "Last transaction in the database on disk.",
        f->store.flushed);
    one(w, "keyhold_store_log_index", "gauge", "Last entry of the log.", f->store.log_last);
    one(w, "keyhold_store_records", "gauge", "Sealed records.", f->store.records);
    one(w, "keyhold_store_leader", "gauge", "1 when this partition may commit.", f->store.leader);
    one(w, "keyhold_store_writable", "gauge", "0 when writes are refused, e.g. on a full disk.",
        f->store.obstacle == HSM_OK);
    one(w, "keyhold_audit_writable", "gauge", "0 when the audit log cannot be written.",
        f->audit_writable);
    one(w, "keyhold_control_backlog_bytes", "gauge",
        "Messages to the boundary that wait for room on the control lane.", f->backlog);
}

/* ---- the boundary, as far as it answered ---- */

static void put_pool(const struct wire_status *m, struct wr *w)
{
    head(w, "keyhold_pool_state", "gauge", "1 for the pool's state.");
    for (unsigned s = POOL_NEW; s <= POOL_ACTIVE; s++)
        put(w, "keyhold_pool_state{state=\"%s\"} %u\n", pool_state_name(s), s == m->pool_state);
    one(w, "keyhold_keys", "gauge", "Keys, soft-deleted ones included.", m->keys);
    one(w, "keyhold_keys_deleted", "gauge", "Soft-deleted keys.", m->deleted);
    one(w, "keyhold_key_versions", "gauge", "Key versions.", m->versions);
    one(w, "keyhold_boundary_applied_index", "gauge", "Last transaction that the boundary applied.",
        m->applied);
    one(w, "keyhold_audit_position", "gauge", "Number of the last line of the audit log.",
        m->audit_seq);
    one(w, "keyhold_retention_days", "gauge", "Days that deleted keys are kept.",
        m->retention_days);
    one(w, "keyhold_purge_protection", "gauge", "1 when deleted keys cannot be purged.",
        m->purge_protection);
}

static void put_tokens(const struct wire_status *m, struct wr *w)
{
    one(w, "keyhold_token_cache_hits_total", "counter", "Tokens that had been verified before.",
        m->token_hits);
    one(w, "keyhold_token_cache_misses_total", "counter", "Tokens that had to be verified.",
        m->token_misses);
    one(w, "keyhold_token_issuers", "gauge", "Token issuers of the pool.", m->issuers);
    one(w, "keyhold_token_issuers_known", "gauge",
        "Issuers whose keys are at hand and not too old.", m->issuers_known);
}

static void put_lease(const struct wire_status *m, struct wr *w)
{
    one(w, "keyhold_boundary_released_index", "gauge", "Last transaction that answers may tell of.",
        m->released);
    head(w, "keyhold_lease_seconds", "gauge", "For how long the partition may answer.");
    if (m->lease_ms_left == UINT32_MAX)
        put(w, "keyhold_lease_seconds +Inf\n");
    else
        put(w, "keyhold_lease_seconds %u.%03u\n", m->lease_ms_left / 1000, m->lease_ms_left % 1000);
}

static void put_queues(const struct wire_status *m, struct wr *w)
{
    const struct {
        const char *name;
        uint32_t n;
    } queues[] = {
        {"lanes", m->lanes_queued},     {"slow", m->slow_queued},
        {"makers", m->makers_queued},   {"issuer_keys", m->keys_awaited},
        {"commit", m->commits_awaited}, {"same_record", m->turns_awaited},
        {"lease", m->lease_waits},
    };
    head(w, "keyhold_boundary_queue", "gauge", "Requests that wait inside the boundary, by place.");
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        put(w, "keyhold_boundary_queue{queue=\"%s\"} %u\n", queues[i].name, queues[i].n);
}

static void put_prepared(const struct wire_status *m, struct wr *w)
{
    head(w, "keyhold_prepared_keys", "gauge", "RSA keys that were made in advance, by size.");
    put(w, "keyhold_prepared_keys{size=\"2048\"} %u\n", m->prepared_2048);
    put(w, "keyhold_prepared_keys{size=\"3072\"} %u\n", m->prepared_3072);
    put(w, "keyhold_prepared_keys{size=\"4096\"} %u\n", m->prepared_4096);
}

void metrics_render(const struct metrics_facts *f, struct wr *out)
{
    put_process(f, out);
    put_requests(f, out);
    put_durations(f, out);
    put_refusals(f, out);
    put_in_flight(f, out);
    put_store(f, out);
    if (f->status == NULL)
        return;
    put_pool(f->status, out);
    put_tokens(f->status, out);
    put_queues(f->status, out);
    put_lease(f->status, out);
    put_prepared(f->status, out);
}

const char *metrics_obstacle(const struct metrics_facts *f)
{
    if (f->phase != METRICS_SERVING)
        return f->phase == METRICS_STARTING ? "starting" : "stopping";
    if (f->status == NULL)
        return "the boundary does not answer";
    if (f->status->pool_state == POOL_NEW)
        return "there is no pool yet";
    if (!f->store.leader && f->store.leader_id == 0) /* a follower hands writes on */
        return "the store may not commit";
    if (f->store.obstacle != HSM_OK)
        return f->store.obstacle == HSM_E_DISK_FULL ? "the disk is full"
                                                    : "the store does not take writes";
    if (!f->audit_writable)
        return "the audit log cannot be written";
    if (f->status->issuers_known == 0)
        return "no token issuer's keys are known";
    return NULL;
}
