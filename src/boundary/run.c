/* How a request runs: token, activation, right, handler; then its transaction, audit line, answer.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "boundary/commands.h"
#include "boundary/keys.h"
#include "boundary/test_hooks.h"

/* WIRE_RESULT with neither error nor detail, in front of the body. */
#define RESULT_HEAD (2u + 1u + 4u + 4u)
#define RUNS_MAX    64u /* of one job in a row: more is a fault of ours */
#define SHEDS_MAX   8u

hsm_err request_fail(struct request *rq, hsm_err err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(rq->detail, sizeof rq->detail, fmt, ap);
    va_end(ap);
    return err;
}

struct roles *boundary_roles(struct boundary *b)
{
    return b->roles;
}

static struct txn *txn_of(struct request *rq)
{
    struct worker *w = job_of(rq)->w;
    if (w->txn.w.p == NULL)
        txn_begin(&w->txn, w->txn_buf, RING_FRAME_MAX);
    return &w->txn;
}

hsm_err txn_put_tailed(struct request *rq, enum record_kind kind, struct bytes name,
                       struct bytes plain, struct bytes tail)
{
    return txn_add(txn_of(rq), rq->b->state, job_of(rq)->w->sc, kind, name, plain, tail);
}

hsm_err txn_put(struct request *rq, enum record_kind kind, struct bytes name, struct bytes plain)
{
    return txn_put_tailed(rq, kind, name, plain, bytes_of(NULL, 0));
}

hsm_err txn_purge(struct request *rq, const struct key *k)
{
    return keys_txn_purge(txn_of(rq), rq->b->state, job_of(rq)->w->sc, k);
}

hsm_err txn_remove(struct request *rq, enum record_kind kind, struct bytes name)
{
    return txn_take(txn_of(rq), rq->b->state, job_of(rq)->w->sc, kind, name);
}

bool job_begin(struct worker *w, struct job *j, const struct ring_frame *f)
{
    const struct command *cmd = command_find(f->type);
    struct rd r = rd_of(f->payload);
    *j = (struct job){.w = w, .lane = w->lane, .frame_id = f->id, .payload = f->payload};
    j->started_us = clock_mono_us();
    j->rq.b = w->b;
    j->rq.op = f->type;
    if (wire_caller_get(&r, &j->rq.caller) != HSM_OK)
        return false;
    j->rq.body = bytes_of(r.p, r.n);
    return cmd->check(j->rq.body) == HSM_OK;
}

/* Every run starts from the frame alone. */
static void reset(struct worker *w, struct job *j)
{
    if (j->result != NULL) {
        secret_wipe(j->result, j->result_n);
        free(j->result);
        j->result = NULL;
        j->result_n = 0;
    }
    j->w = w;
    j->rq.detail[0] = '\0';
    j->rq.audit_note[0] = '\0';
    j->rq.now_s = clock_now_ms() / 1000;
    j->rq.out = &w->out_wr;
    j->rq.txn = &w->txn;
    if (j->rq.who != NULL)
        identity_unref(j->rq.who);
    j->rq.who = NULL;
    keymat_unref(j->crypto.key);
    j->crypto = (struct crypto_work){0};
    j->want_slow = false;
    j->want_key = false;
    j->want_lease = false;
    j->index = 0;
    j->after = NULL;
    j->work = NULL;
    w->txn = (struct txn){0};
    w->out_wr = wr_of(w->out + RESULT_HEAD, JOB_RESULT_MAX);
}

static hsm_err authenticate(struct job *j, bool *ret_challenge)
{
    struct request *rq = &j->rq;
    struct auth *auth = atomic_load(&rq->b->auth);
    *ret_challenge = false;
    if (auth == NULL)
        return request_fail(rq, HSM_E_UNAVAILABLE, "The HSM is starting; retry later.");
    hsm_err err = rq->caller.token.n == 0
                      ? HSM_E_TOKEN_MISSING
                      : auth_check(auth, job_of(rq)->w->memo, rq->caller.token, clock_now_ms(),
                                   &rq->who, rq->detail, sizeof rq->detail);
    *ret_challenge = err != HSM_OK && hsm_err_http(err) == 401;
    if (err == HSM_E_TOKEN_AUDIENCE)
        auth_expected(auth, rq->caller.host, rq->detail, sizeof rq->detail);
    return err;
}

static hsm_err scope_of(struct request *rq, enum command_scope how, struct scope *ret)
{
    struct rd r = rd_of(rq->body);
    struct bytes first = {0};
    *ret = (struct scope){.kind = SCOPE_ROOT};
    switch (how) {
    case SCOPED_NONE:
    case SCOPED_ROOT:
        return HSM_OK;
    case SCOPED_KEYS:
        ret->kind = SCOPE_KEYS;
        return HSM_OK;
    case SCOPED_KEY:
        TRY(rd_lv(&r, r.n, &first));
        if (!key_name_valid(first))
            return HSM_E_INVALID_KEY_ID;
        *ret = (struct scope){.kind = SCOPE_KEY, .key = first};
        return HSM_OK;
    case SCOPED_FIELD:
        TRY(rd_lv(&r, r.n, &first));
        return scope_parse(first, ret);
    }
    return HSM_E_INTERNAL;
}

/* State lock held. */
static hsm_err authorize(struct request *rq, const struct command *cmd)
{
    struct boundary *b = rq->b;
    if (!b->state->has_pool || (cmd->needs_activation && b->state->pool.state != POOL_ACTIVE))
        return HSM_E_NOT_ACTIVATED;
    if (cmd->scope == SCOPED_NONE)
        return HSM_OK;
    struct scope scope;
    TRY(scope_of(rq, cmd->scope, &scope));
    if (roles_may(b->roles, rq->who, cmd->action, &scope))
        return HSM_OK;
    if (rq->op == OP_SD_DOWNLOAD)
        return request_fail(rq, HSM_E_DENIED, "Not authorized to perform Security Domain backup.");
    char text[SCOPE_TEXT_MAX + 1];
    scope_format(&scope, text);
    return request_fail(rq, HSM_E_DENIED, "Not authorized to access %s on %s",
                        data_action_name(cmd->action), text);
}

/* Whether the state that was read since j->lease_us was noted is current. */
static bool is_current(struct job *j)
{
    j->want_lease = !lease_covers(j->rq.b, j->lease_us);
    return !j->want_lease;
}

/* cmd NULL: a rotation that is due, which nobody asked for and no caller hears of. Everything that
 * is decided from the state is decided between the two looks at the lease; what is left to do
 * afterwards does not read the state. HSM_E_AGAIN: j->want_lease. */
static hsm_err handle(struct job *j, const struct command *cmd)
{
    struct request *rq = &j->rq;
    if (cmd != NULL && cmd->handler == NULL)
        return HSM_E_NOT_IMPLEMENTED;
    j->lease_us = lease_until(&rq->b->lease);
    if (cmd != NULL && !is_current(j))
        return HSM_E_AGAIN;
    state_lock_shared(rq->b->state);
    hsm_err err = cmd == NULL ? keys_rotate_if_due(rq) : authorize(rq, cmd);
    if (err == HSM_OK && cmd != NULL)
        err = cmd->handler(rq);
    j->index = rq->b->state->index;
    state_unlock(rq->b->state);
    if (cmd != NULL && !is_current(j))
        return HSM_E_AGAIN;
    j->lease_deadline_us = 0;
    if (err == HSM_OK && j->after != NULL)
        err = j->after(j);
    if (err == HSM_OK && (wr_ok(rq->out) != HSM_OK || rq->txn->err != HSM_OK))
        err = rq->txn->err != HSM_OK ? rq->txn->err : HSM_E_TOO_LARGE;
    return err == HSM_E_AGAIN ? HSM_E_INTERNAL : err;
}

static void to_pool(struct worker *w, struct job *j, struct job_queue *q, unsigned weight)
{
    struct job *h = job_hold(j);
    if (h == NULL) {
        job_finish(w, j, HSM_E_NOMEM, false);
        return;
    }
    h->weight = weight;
    if (!job_queue_put(q, h))
        job_finish(w, h, HSM_E_THROTTLED, false);
}

/* Not brought by the caller, in clear or wrapped. */
static bool is_own_key(const struct made_key *m)
{
    return m->secret_given.p == NULL && m->kek == NULL;
}

/* What a key costs, in new RSA-2048 keys; looking at an imported one costs much less than primes.
 */
static unsigned making_cost(const struct made_key *m)
{
    if (!is_own_key(m) || m->spec.bits <= 2048)
        return 1;
    return m->spec.bits <= 3072 ? 4 : 12;
}

static size_t result_close(struct worker *w)
{
    struct wr head = wr_of(w->out, RESULT_HEAD);
    wr_u16(&head, HSM_OK);
    wr_u8(&head, 0);
    wr_u32(&head, 0);
    wr_u32(&head, (uint32_t)w->out_wr.n);
    return RESULT_HEAD + w->out_wr.n;
}

static hsm_err keep_result(struct worker *w, struct job *h)
{
    size_t n = result_close(w);
    h->result = (uint8_t *)malloc(n);
    if (h->result == NULL)
        return HSM_E_NOMEM;
    memcpy(h->result, w->out, n);
    h->result_n = n;
    return HSM_OK;
}

/* Which records the finished transaction changes. */
static hsm_err note_records(const struct txn *t, struct job *h)
{
    struct bytes ops = bytes_of(t->w.p + t->ops + 4, 0), item;
    struct rd r = rd_of(bytes_of(t->w.p + t->ops, t->w.n - t->ops));
    struct wire_txn_op op;
    TRY(rd_lv(&r, r.n, &ops));
    free(h->rids);
    h->rid_n = 0;
    h->rids = (uint8_t *)malloc((size_t)t->n * RID_LEN);
    if (h->rids == NULL)
        return HSM_E_NOMEM;
    while (h->rid_n < t->n && wire_list_next(&ops, &item)) {
        TRY(wire_txn_op_decode(item, &op));
        memcpy(h->rids + h->rid_n++ * RID_LEN, op.rid.p, RID_LEN);
    }
    return HSM_OK;
}

/* The worker's buffers held the answer. */
static void wipe_output(struct worker *w, size_t answer_n)
{
    size_t n = RESULT_HEAD + w->out_wr.n;
    secret_wipe(w->out, n > answer_n ? n : answer_n);
    w->out_wr = wr_of(w->out + RESULT_HEAD, JOB_RESULT_MAX);
    secret_wipe(w->crypto_buf, w->crypto_used);
    w->crypto_used = 0;
}

/* The answer tells what every partition that may answer knows as well, or it waits for that. */
static void answer(struct worker *w, struct job *j, hsm_err err, bool challenge)
{
    if (j->kind != JOB_REQUEST || j->index <= lease_released(&w->b->lease)) {
        job_finish(w, j, err, challenge);
        return;
    }
    struct job *h = job_hold(j);
    if (h == NULL) {
        job_finish(w, j, HSM_E_NOMEM, false);
        return;
    }
    h->held_err = err;
    hsm_err failed = err == HSM_OK ? keep_result(w, h) : HSM_OK;
    if (failed == HSM_OK)
        failed = held_await_release(h, false);
    wipe_output(w, 0);
    if (failed != HSM_OK)
        job_finish(w, h, failed == HSM_E_AGAIN ? err : failed, challenge);
}

/* The answer waits until the transaction was applied. */
static void propose(struct worker *w, struct job *j)
{
    struct bytes payload;
    struct job *h = job_hold(j);
    if (h == NULL) {
        job_finish(w, j, HSM_E_NOMEM, false);
        return;
    }
    h->txn_id = w->txn.id;
    hsm_err err = txn_finish(&w->txn, w->sc, &payload);
    if (err == HSM_OK)
        err = keep_result(w, h);
    if (err == HSM_OK)
        err = note_records(&w->txn, h);
    const struct uuid id = w->txn.id;
    if (err == HSM_OK)
        err = held_pend(h);
    if (err == HSM_E_AGAIN)
        return; /* behind another transaction of ours */
    if (err != HSM_OK) {
        job_finish(w, h, err, false);
        return;
    }
    /* From here on the control thread may finish it at any time. */
    if (!control_send(w->b, CTL_PROPOSE, 0, payload) && (h = held_take(w->b, &id)) != NULL)
        job_finish(w, h, HSM_E_UNAVAILABLE, false);
}

/* Secret memory ran out: opened keys that are not in use give theirs back. */
static bool make_room(struct worker *w, struct job *j, hsm_err err)
{
    return err == HSM_E_NOMEM && j->sheds++ < SHEDS_MAX && keycache_shed(w->b->cache);
}

static hsm_err import_key(struct made_key *m, const char **why)
{
    if (m->secret_given.p == NULL) {
        TRY(keymat_transfer_open(m->kek, bytes_of(m->wrapped, m->wrapped_n), &m->spec,
                                 &m->secret_given, &m->given, why));
        TRY(keymat_import_size(&m->given, &m->spec, why));
    }
    return keymat_import(&m->given, &m->spec, &m->secret_private, &m->pub, why);
}

static bool make_key(struct worker *w, struct job *j)
{
    struct made_key *m = j->make;
    const char *why = "";
    hsm_err err = is_own_key(m)
                      ? keymat_generate_until(&m->spec, &w->b->stop, &m->secret_private, &m->pub)
                      : import_key(m, &why);
    if (why[0] != '\0')
        err = request_fail(&j->rq, err, "%s", why);
    if (make_room(w, j, err))
        return true; /* the handler asks for the key again */
    if (err != HSM_OK)
        answer(w, j, err, false);
    else
        test_keylog(bytes_of(m->secret_private.p, m->secret_private.n));
    return err == HSM_OK;
}

static bool do_work(struct worker *w, struct job *j)
{
    hsm_err err = j->work(j);
    if (err == HSM_OK || make_room(w, j, err))
        return true;
    answer(w, j, err, false);
    return false;
}

/* After the handler: true when the job is to be run again by this worker. */
static bool proceed(struct worker *w, struct job *j, hsm_err err, bool challenge)
{
    struct boundary *b = w->b;
    struct made_key *m = j->make;
    if (make_room(w, j, err))
        return true;
    if (err != HSM_OK) {
        answer(w, j, err, challenge);
    } else if (j->want_slow && w->serves != &b->slow_queue) {
        to_pool(w, j, &b->slow_queue, 0);
    } else if (j->want_key && is_own_key(m) &&
               stock_take(b->stock, &m->spec, &m->secret_private, &m->pub)) {
        return true;
    } else if (j->want_key && (m->spec.kty == KTY_RSA || m->kek != NULL) &&
               w->serves != &b->maker_queue) {
        to_pool(w, j, &b->maker_queue, making_cost(m));
    } else if (j->want_key) {
        return make_key(w, j);
    } else if (j->work != NULL) {
        return do_work(w, j);
    } else if (w->txn.n > 0) {
        propose(w, j);
    } else {
        answer(w, j, HSM_OK, false);
    }
    return false;
}

/* The network's rules refuse a client whatever its token is worth: that only says whose request is
 * written down. */
static bool is_of_network(const struct job *j)
{
    struct wire_refused r;
    return wire_refused_decode(j->rq.body, &r) == HSM_OK &&
           (r.err == HSM_E_FIREWALL_ADDRESS || r.err == HSM_E_FIREWALL_WAY);
}

static hsm_err judge_refusal(struct job *j, bool *ret_challenge)
{
    if (j->rq.caller.token.n == 0)
        return HSM_OK;
    hsm_err err = authenticate(j, ret_challenge);
    if (err == HSM_OK || err == HSM_E_AGAIN || !is_of_network(j))
        return err;
    *ret_challenge = false;
    j->rq.detail[0] = '\0';
    return HSM_OK;
}

/* The gateway's own refusal: only recorded when no token came with it, else told to a caller whose
 * token is good; the others hear nothing but that of their request. */
static hsm_err judge(struct job *j, const struct command *cmd, bool *ret_challenge)
{
    *ret_challenge = false;
    if (j->kind != JOB_REQUEST)
        return handle(j, NULL); /* of the boundary itself */
    if (j->rq.op == OP_REFUSED)
        return judge_refusal(j, ret_challenge);
    TRY(authenticate(j, ret_challenge));
    return handle(j, cmd);
}

void job_run_as(struct worker *w, struct job *j, struct identity *who)
{
    const struct command *cmd = command_find(j->rq.op);
    bool again = true;
    while (again) {
        reset(w, j);
        atomic_fetch_add(&who->refs, 1);
        j->rq.who = who;
        again = proceed(w, j, handle(j, cmd), false);
    }
}

void job_run(struct worker *w, struct job *j)
{
    const struct command *cmd = command_find(j->rq.op);
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        uint64_t generation = held_generation(w->b);
        bool challenge;
        reset(w, j);
        hsm_err err = judge(j, cmd, &challenge);
        if (err == HSM_E_AGAIN) {
            struct job *h = job_hold(j);
            if (h == NULL)
                break;
            j = h;
            err = j->want_lease ? held_park_lease(j) : held_park(j, generation);
            if (err == HSM_OK)
                return;
            if (err == HSM_E_AGAIN)
                continue;
        }
        if (!proceed(w, j, err, challenge))
            return;
    }
    job_finish(w, j, HSM_E_UNAVAILABLE, false);
}

/* ---- the end of a request ---- */

static void audit_event_of(struct job *j, hsm_err err, struct audit_event *ret)
{
    const struct wire_op_info *info = wire_op_info(j->rq.op);
    *ret = (struct audit_event){
        .rq = &j->rq,
        .operation = info->audit_name,
        .err = err,
        .status = err == HSM_OK ? info->success : hsm_err_http(err),
        .duration_ms = (clock_mono_us() - j->started_us) / 1000,
    };
    struct wire_refused r;
    if (j->rq.op != OP_REFUSED || wire_refused_decode(j->rq.body, &r) != HSM_OK)
        return;
    info = r.op == OP_REFUSED ? NULL : wire_op_info(r.op);
    if (err == HSM_OK) {
        /* A refusal is one, whatever the gateway calls it: it cannot write down that something was
         * done. */
        ret->err = r.err == HSM_OK || r.err >= HSM_E__COUNT ? (unsigned)HSM_E_INTERNAL : r.err;
        ret->status = r.status >= 400 && r.status <= 599 ? r.status : hsm_err_http(ret->err);
    }
    if (r.err != HSM_E_TOKEN_MISSING)
        ret->operation = info != NULL ? info->audit_name : "Unknown";
}

static struct bytes answer_of(struct worker *w, struct job *j, hsm_err err, bool challenge)
{
    if (err == HSM_OK && j->result != NULL)
        return bytes_of(j->result, j->result_n);
    if (err == HSM_OK)
        return bytes_of(w->out, result_close(w));
    struct wire_result r = {
        .err = (uint16_t)err, .challenge = challenge ? 1 : 0, .detail = bytes_str(j->rq.detail)};
    struct wr out = wr_of(w->out, RING_FRAME_MAX);
    wire_result_put(&out, &r);
    return wr_view(&out);
}

void job_finish(struct worker *w, struct job *j, hsm_err err, bool challenge)
{
    if (j->kind != JOB_REQUEST) {
        j->own_err = err;
        HSM_ASSERT(job_queue_put(&w->b->own_done, j));
        return;
    }
    struct audit_event e;
    audit_event_of(j, err, &e);
    struct bytes text = audit_render(w->b->audit, &e, w->line, AUDIT_LINE_MAX);
    audit_append(w->b->audit, text);
    struct bytes reply = answer_of(w, j, err, challenge);
    const struct ring_frame f = {.type = WIRE_ANSWER, .id = j->frame_id, .payload = reply};
    /* At the end of the process the line may not have got onto its ring: then no answer either. */
    if (!boundary_has_ended(w->b))
        (void)ring_put(w->b, w->b->rings.out[j->lane], &f);
    w->dirty |= 1u << 31 | 1u << j->lane;
    wipe_output(w, reply.n);
    job_end(j);
}
