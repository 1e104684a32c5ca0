/* Frames of a hostile gateway into the boundary's dispatcher. The input is a sequence of
 *   lane u8 | type u8 | length u16 | bytes
 * Requests run as an administrator who also has the crypto roles, so that handlers are reached
 * without a token. Proposals are committed at once. Breaking the protocol ends the process in
 * earnest; here it only ends the input. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "boundary/commands.h"
#include "boundary/control.h"
#include "boundary/peer_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADMIN "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"

static const char pool_json[] =
    "{\"name\":\"fuzz\",\"tenant\":\"72f988bf-86f1-41af-91ab-2d7cd011db47\",\"administrators\":["
    "\"" ADMIN "\"],\"auth\":{}}";

static struct roots roots;
static struct secret_buf roots_text;
static struct boundary *b;
static struct ring_fds fds;
static struct ring_set gw;
static uint64_t next_index;
static unsigned inputs;
static uint8_t frame_buf[RING_FRAME_MAX], apply_buf[RING_FRAME_MAX], caller_buf[RING_FRAME_MAX];

static void must(hsm_err err)
{
    if (err != HSM_OK)
        abort();
}

static void noted(struct boundary *who, int code, const char *text)
{
    (void)text;
    (void)who;
    (void)code;
}

static void control(unsigned type, struct bytes payload)
{
    const struct ring_frame f = {.type = (uint16_t)type, .id = 1, .payload = payload};
    (void)control_frame(b, &f);
}

static void commit(struct bytes propose)
{
    struct wire_propose p;
    must(wire_propose_decode(propose, &p));
    const struct wire_apply m = {.index = ++next_index, .accepted = 1, .txn = p.bytes};
    struct wr w = wr_of(apply_buf, sizeof apply_buf);
    wire_apply_put(&w, &m);
    must(wr_ok(&w));
    control(CTL_APPLY, wr_view(&w));
}

/* Read what the boundary wrote; answers must decode. */
static void drain(void)
{
    struct ring_frame f;
    struct wire_result r;
    bool moved = true;
    while (moved) {
        moved = false;
        while (ring_read(gw.audit, frame_buf, sizeof frame_buf, &f) == HSM_OK)
            moved = true;
        while (ring_read(gw.in[1], frame_buf, sizeof frame_buf, &f) == HSM_OK) {
            must(wire_result_decode(f.payload, &r));
            moved = true;
        }
        while (ring_read(gw.in[0], frame_buf, sizeof frame_buf, &f) == HSM_OK) {
            if (f.type == CTL_PROPOSE && boundary_phase(b) == PHASE_SERVING)
                commit(f.payload);
            moved = true;
        }
        for (struct job *j; (j = job_queue_get(&b->slow_queue)) != NULL; moved = true)
            job_finish(&b->slow[0], j, HSM_E_THROTTLED, false); /* too slow for a fuzzer */
        for (struct job *j; (j = job_queue_get(&b->maker_queue)) != NULL; moved = true)
            job_finish(&b->maker[0], j, HSM_E_THROTTLED, false);
        for (struct job *j; (j = job_queue_get(&b->inbox[1])) != NULL; moved = true)
            job_finish(&b->lane[1], j, HSM_E_CONFLICT, false);
    }
}

static struct identity *admin(void)
{
    static struct identity who;
    if (who.audit_string == NULL) {
        memcpy(who.oid, ADMIN, sizeof ADMIN);
        who.audit_string = strdup("\"{}\"");
        atomic_init(&who.refs, 1000000000u);
    }
    return &who;
}

static void request(unsigned type, struct bytes body)
{
    struct worker *w = &b->lane[1];
    const struct wire_caller c = {.host = bytes_str("h")};
    struct wr cw = wr_of(caller_buf, sizeof caller_buf);
    wire_caller_put(&cw, &c);
    wr_bytes(&cw, body.p, body.n);
    const struct ring_frame f = {.type = (uint16_t)type, .id = 2, .payload = wr_view(&cw)};
    const struct command *cmd = command_find(type);
    if (cmd == NULL || cmd->handler == NULL || cmd->lane != LANE_REQUEST ||
        boundary_phase(b) != PHASE_SERVING || !job_begin(w, &w->job, &f)) {
        (void)lane_frame(w, &f);
        return;
    }
    job_run_as(w, &w->job, admin());
}

static void add_role(const char *name, const char *guid)
{
    char id[200];
    uint8_t body[512];
    const struct builtin_role *role;
    char text[UUID_TEXT_LEN + 1];
    for (unsigned i = 0; (role = builtin_role_at(i)) != NULL && strcmp(role->name, name) != 0; i++)
        continue;
    if (role == NULL)
        abort();
    uuid_format(&role->guid, text);
    snprintf(id, sizeof id,
             "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/%s", text);
    const struct wire_role_assignment_put m = {.scope = bytes_str("/"),
                                               .guid = bytes_str(guid),
                                               .principal = bytes_str(ADMIN),
                                               .role_id = bytes_str(id)};
    struct wr w = wr_of(body, sizeof body);
    wire_role_assignment_put_put(&w, &m);
    request(OP_ROLE_ASSIGNMENT_PUT, wr_view(&w));
    drain();
}

static void send_empty(unsigned type)
{
    control(type, bytes_of(NULL, 0));
}

static void begin(void)
{
    uint8_t buf[128];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_hello hello = {.version = WIRE_VERSION, .lanes = 1};
    wire_hello_put(&w, &hello);
    control(CTL_HELLO, wr_view(&w));
    w = wr_of(buf, sizeof buf);
    const struct wire_load_begin load = {0};
    wire_load_begin_put(&w, &load);
    control(CTL_LOAD_BEGIN, wr_view(&w));
    send_empty(CTL_LOAD_END);
    w = wr_of(buf, sizeof buf);
    const struct wire_audit_resume resume = {0};
    wire_audit_resume_put(&w, &resume);
    control(CTL_AUDIT_RESUME, wr_view(&w));
    drain();
    atomic_store(&b->ended, 0); /* there is no issuer in this pool.json */
    b->state->pool.state = POOL_ACTIVE;
    add_role("Managed HSM Crypto User", "11111111-1111-4111-8111-111111111111");
    add_role("Managed HSM Crypto Officer", "22222222-2222-4222-8222-222222222222");
}

static void start(void)
{
    struct pool_init init;
    char why[200];
    struct roots mine;
    struct boundary_config c = {.roots = &mine,
                                .init = &init,
                                .fresh = true,
                                .slow_threads = 1,
                                .protection = "software",
                                .join_self = peer_self(&(struct peer_options){.pool = "fuzz"}),
                                .alone = true};
    log_init("fuzz", LOG_ERROR_L);
    must(pool_init_parse(bytes_str(pool_json), &init, why, sizeof why));
    must(roots_decode(bytes_of(roots_text.p, roots_text.n), &mine));
    must(ring_fds_create(1, &fds));
    must(ring_attach(&fds, RING_GATEWAY, &gw));
    must(ring_attach(&fds, RING_BOUNDARY, &c.rings));
    must(boundary_new(&c, &b));
    b->on_end = noted;
    next_index = 0;
    begin();
}

static void stop(void)
{
    boundary_free(b);
    b = NULL;
    ring_detach(&gw);
    ring_fds_close(&fds);
}

static void play(struct rd r)
{
    while (r.n > 0 && !boundary_has_ended(b)) {
        uint8_t lane, type;
        uint16_t n;
        struct bytes body;
        if (rd_u8(&r, &lane) != HSM_OK || rd_u8(&r, &type) != HSM_OK || rd_u16(&r, &n) != HSM_OK)
            return;
        if (rd_bytes(&r, n < r.n ? n : r.n, &body) != HSM_OK)
            return;
        if (lane % 4 == 0)
            control(type, body);
        else
            request(type, body);
        drain();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (roots_text.p == NULL) {
        must(roots_generate("fuzz", &roots));
        must(roots_encode(&roots, &roots_text));
    }
    if (b == NULL)
        start();
    play(rd_of(bytes_of(data, size)));
    control_tick(b, clock_mono_us());
    drain();
    bool used_up = boundary_phase(b) != PHASE_SERVING || b->quiesce_us != 0 ||
                   b->state->records.n > 300 || atomic_load(&b->ended) == EXIT_INTEGRITY + 1;
    atomic_store(&b->ended, 0);
    if (++inputs % 500 == 0 || used_up)
        stop();
    return 0;
}
