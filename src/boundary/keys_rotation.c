/* Rotation policies of keys. */
#include "boundary/keys.h"

static void put_actions(const struct rotation_policy *p, struct wr *w)
{
    for (unsigned i = 0; i < p->action_n; i++) {
        const struct wire_lifetime_action a = {
            .type = (uint8_t)p->action[i].type,
            .after_create = rotation_text(&p->action[i].after_create),
            .before_expiry = rotation_text(&p->action[i].before_expiry),
        };
        size_t item = wr_lv_open(w);
        wire_lifetime_action_put(w, &a);
        wr_lv_close(w, item);
    }
}

/* r: NULL when the key has no policy. */
static hsm_err answer(struct request *rq, const struct key *k, const struct rotation *r)
{
    uint8_t actions[256];
    struct wr w = wr_of(actions, sizeof actions);
    struct wire_rotation_policy m = {.name = key_display(k)};
    if (r != NULL) {
        put_actions(&r->policy, &w);
        TRY(wr_ok(&w));
        m.expiry = rotation_text(&r->policy.expiry);
        m.actions = wr_view(&w);
        m.created = r->created;
        m.updated = r->updated;
    }
    wire_rotation_policy_put(rq->out, &m);
    return HSM_OK;
}

hsm_err keys_handle_rotation_get(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    return answer(rq, k, k->rotation == NULL ? NULL : &k->rotation->r);
}

static hsm_err take_policy(struct request *rq, const struct wire_rotation_put *m,
                           struct rotation_policy *ret)
{
    struct rotation_wish wish[ROTATION_ACTIONS_MAX + 1];
    struct bytes list = m->actions, item;
    const char *why = "";
    size_t n = 0;
    while (n <= ROTATION_ACTIONS_MAX && wire_list_next(&list, &item)) {
        struct wire_lifetime_action a;
        TRY(wire_lifetime_action_decode(item, &a));
        wish[n++] = (struct rotation_wish){
            .type = a.type, .after_create = a.after_create, .before_expiry = a.before_expiry};
    }
    hsm_err err = rotation_policy_make(m->expiry, wish, n, ret, &why);
    return err == HSM_OK ? HSM_OK : request_fail(rq, err, "%s", why);
}

hsm_err keys_handle_rotation_put(struct request *rq)
{
    struct wire_rotation_put m;
    struct rotation_policy p;
    struct key_fields f;
    struct key *k;
    TRY(wire_rotation_put_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    TRY(take_policy(rq, &m, &p));
    key_fields_of(k, &f);
    if (rotation_policy_is_blank(&p)) {
        if (!f.has_rotation)
            return answer(rq, k, NULL);
        f.has_rotation = false;
    } else {
        rotation_replace(&p, f.has_rotation ? &f.rotation : NULL, rq->now_s, &f.rotation);
        f.has_rotation = true;
    }
    TRY(keys_put_key(rq, f.display, &f));
    return answer(rq, k, f.has_rotation ? &f.rotation : NULL);
}
