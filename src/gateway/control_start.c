/* What gateway and boundary say to each other before the loop runs: who they are, and the state. */
#include <stdio.h>
#include "base/clock.h"
#include "gateway/control_internal.h"

#define START_TIMEOUT_MS 30000
#define LOAD_BYTES       600000u /* of records in one message, before the last one */

static hsm_err expect(struct control *c, unsigned type, struct ring_frame *ret)
{
    uint64_t until = clock_mono_us() / 1000 + START_TIMEOUT_MS;
    for (;;) {
        hsm_err err = ring_read(c->in, c->message, RING_FRAME_MAX, ret);
        if (err == HSM_OK)
            return ret->type == type ? HSM_OK : HSM_E_CORRUPT;
        if (err != HSM_E_AGAIN)
            return err;
        uint64_t now = clock_mono_us() / 1000;
        if (now >= until || !ring_wait(c->in, (int)(until - now)))
            return HSM_E_UNAVAILABLE;
    }
}

static hsm_err send_now(struct control *c, unsigned type, const struct wr *w)
{
    TRY(wr_ok(w));
    struct ring_frame f = {.type = (uint16_t)type, .payload = wr_view(w)};
    return ring_write(c->out, &f, START_TIMEOUT_MS);
}

static void copy_text(char *dst, size_t cap, struct bytes b)
{
    (void)snprintf(dst, cap, "%.*s", (int)b.n, (const char *)b.p);
}

static hsm_err greet(struct control *c, struct control_pool *ret)
{
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_hello hello = {.version = WIRE_VERSION, .lanes = (uint16_t)c->lanes};
    struct wire_welcome m;
    struct ring_frame f;
    wire_hello_put(&w, &hello);
    TRY(send_now(c, CTL_HELLO, &w));
    TRY(expect(c, CTL_WELCOME, &f));
    TRY(wire_welcome_decode(f.payload, &m));
    if (m.version != WIRE_VERSION)
        return HSM_E_BAD_PARAMETER;
    struct control_pool p = {.id = m.pool, .is_fresh = m.fresh != 0, .is_joining = m.joining != 0};
    copy_text(p.name, sizeof p.name, m.pool_name);
    copy_text(p.tenant, sizeof p.tenant, m.tenant);
    copy_text(p.protection, sizeof p.protection, m.protection);
    copy_text(p.secret_memory, sizeof p.secret_memory, m.secret_memory);
    *ret = p;
    return HSM_OK;
}

hsm_err control_greet(struct control *c, struct control_pool *ret, char *text, size_t cap)
{
    hsm_err err = greet(c, ret);
    if (err == HSM_E_BAD_PARAMETER)
        (void)snprintf(text, cap, "the boundary is of another version");
    else if (err != HSM_OK)
        (void)snprintf(text, cap, "the boundary did not greet: %s", hsm_err_name(err));
    return err;
}

struct loader {
    struct control *c;
    struct wr w; /* CTL_LOAD_RECORDS: a list inside one length */
    size_t list_at;
    unsigned n;
};

static void loader_reset(struct loader *l)
{
    l->w = wr_of(l->c->buf, RING_FRAME_MAX);
    l->list_at = wr_lv_open(&l->w);
    l->n = 0;
}

static hsm_err loader_send(struct loader *l)
{
    if (l->n == 0)
        return HSM_OK;
    wr_lv_close(&l->w, l->list_at);
    TRY(send_now(l->c, CTL_LOAD_RECORDS, &l->w));
    loader_reset(l);
    return HSM_OK;
}

static hsm_err load_one(void *ctx, const uint8_t rid[STORE_RID_LEN], uint64_t revision,
                        struct bytes sealed)
{
    struct loader *l = ctx;
    struct wire_record r = {
        .rid = bytes_of(rid, STORE_RID_LEN),
        .revision = revision,
        .sealed = sealed,
    };
    /* The list holds 700,000 bytes and one record alone may have 600,000. */
    if (l->w.n + sealed.n > LOAD_BYTES)
        TRY(loader_send(l));
    size_t at = wr_lv_open(&l->w);
    wire_record_put(&l->w, &r);
    wr_lv_close(&l->w, at);
    l->n++;
    return wr_ok(&l->w);
}

static hsm_err load(struct control *c, char *text, size_t cap)
{
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_load_begin begin = {
        .index = store_loaded_index(c->store),
        .digest = store_loaded_digest(c->store),
    };
    struct wire_loaded m;
    struct ring_frame f;
    wire_load_begin_put(&w, &begin);
    TRY(send_now(c, CTL_LOAD_BEGIN, &w));
    struct loader l = {.c = c};
    loader_reset(&l);
    TRY(store_each(c->store, load_one, &l));
    TRY(loader_send(&l));
    w = wr_of(c->buf, RING_FRAME_MAX);
    TRY(send_now(c, CTL_LOAD_END, &w));
    TRY(expect(c, CTL_LOADED, &f));
    TRY(wire_loaded_decode(f.payload, &m));
    if (m.err == HSM_OK)
        return HSM_OK;
    (void)snprintf(text, cap, "the boundary refuses the stored state: %s: %.*s",
                   hsm_err_name(m.err), (int)m.detail.n, (const char *)m.detail.p);
    return HSM_E_CORRUPT;
}

hsm_err control_load(struct control *c, struct store *store, uint64_t audit_seq,
                     const uint8_t audit_hash[32], char *text, size_t cap)
{
    text[0] = '\0';
    c->store = store;
    hsm_err err = load(c, text, cap);
    if (err == HSM_OK) {
        struct wr w = wr_of(c->buf, RING_FRAME_MAX);
        struct wire_audit_resume m = {
            .seq = audit_seq,
            .hash = bytes_of(audit_hash, audit_seq == 0 ? 0 : 32),
        };
        wire_audit_resume_put(&w, &m);
        err = send_now(c, CTL_AUDIT_RESUME, &w);
    }
    if (err != HSM_OK && text[0] == '\0')
        (void)snprintf(text, cap, "the stored state could not be handed over: %s",
                       hsm_err_name(err));
    return err;
}
