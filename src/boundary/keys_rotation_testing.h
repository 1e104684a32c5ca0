/* Shared by the tests of rotation: a pool whose clock they move, policies and what became of them.
 */
#ifndef BOUNDARY_KEYS_ROTATION_TESTING_H
#define BOUNDARY_KEYS_ROTATION_TESTING_H

#include "boundary/boundary_testing.h"

#define DAY          (int64_t)86400
#define NEEDS_POLICY "A key can be rotated only while it has a rotation policy."

static struct rig rig;

static inline int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig_activate(&rig), HSM_OK);
    rig_make_crypto_user(&rig);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    assert_int_equal(rig.ended, 0);
    rig_done(&rig);
    return 0;
}

static inline struct wire_key answered_key(void)
{
    struct wire_key k;
    struct bytes body = bytes_of(rig.answer.body, rig.answer.body_n);
    assert_int_equal(wire_key_decode(body, &k), HSM_OK);
    return k;
}

static inline struct wire_rotation_policy answered_policy(void)
{
    struct wire_rotation_policy p;
    struct bytes body = bytes_of(rig.answer.body, rig.answer.body_n);
    assert_int_equal(wire_rotation_policy_decode(body, &p), HSM_OK);
    return p;
}

struct action {
    unsigned type;
    const char *after, *before;
};

static inline hsm_err put(const char *name, const char *expiry, struct action a, struct action b)
{
    const struct action both[] = {a, b};
    uint8_t list[512];
    struct wr w = wr_of(list, sizeof list);
    for (unsigned i = 0; i < 2 && both[i].after != NULL; i++) {
        const struct wire_lifetime_action m = {.type = (uint8_t)both[i].type,
                                               .after_create = bytes_str(both[i].after),
                                               .before_expiry = bytes_str(both[i].before)};
        size_t item = wr_lv_open(&w);
        wire_lifetime_action_put(&w, &m);
        wr_lv_close(&w, item);
    }
    return RIG_CALL(&rig, OP_ROTATION_PUT, rotation_put, .name = bytes_str(name),
                    .expiry = bytes_str(expiry), .actions = wr_view(&w));
}
#define ROTATE(a, b) ((struct action){ROTATION_ROTATE, a, b})
#define NOTIFY(a, b) ((struct action){ROTATION_NOTIFY, a, b})
#define NOTHING      ((struct action){0})

static inline hsm_err get(const char *name)
{
    return RIG_CALL(&rig, OP_ROTATION_GET, key_name, .name = bytes_str(name));
}

static inline hsm_err rotate(const char *name)
{
    return RIG_CALL(&rig, OP_KEY_ROTATE, key_name, .name = bytes_str(name));
}

static inline void create(const char *name)
{
    assert_int_equal(
        RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str(name), .kty = KTY_OCT), HSM_OK);
}

/* Nothing of one test is due in the next one. */
static inline int at_start_of_time(void **state)
{
    (void)state;
    rig_clock_ahead_s = 0;
    rig.b->next_rotation_us = 0;
    while (rig.b->state->rotations.n > 0) {
        char name[KEY_NAME_MAX + 1];
        struct bytes d = key_display(rotation_index_first(&rig.b->state->rotations));
        (void)snprintf(name, sizeof name, "%.*s", (int)d.n, (const char *)d.p);
        assert_int_equal(put(name, "", NOTHING, NOTHING), HSM_OK);
    }
    return 0;
}

static inline struct key *key_of(const char *name)
{
    struct key *k = state_key(rig.b->state, bytes_str(name));
    assert_non_null(k);
    return k;
}

static inline unsigned versions(const char *name)
{
    return key_of(name)->version_n;
}

/* Everything that is due at that time, one after the other. */
static inline void at(int64_t ahead_s)
{
    unsigned was;
    rig_clock_ahead_s = ahead_s;
    do {
        was = rig.proposals;
        rig_settle(&rig);
        assert_int_equal(rig.ended, 0);
    } while (rig.proposals != was);
}

static inline uint64_t now_s(void)
{
    return clock_now_ms() / 1000;
}

/* Lines of the audit file that have all of these texts in them. */
static inline unsigned recorded(const char *a, const char *b, const char *c)
{
    unsigned n = 0;
    for (char *line = rig.audit, *end; line != NULL && *line != 0; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        n += strstr(line, a) != NULL && strstr(line, b) != NULL && strstr(line, c) != NULL;
        *end = '\n';
    }
    return n;
}

static inline unsigned rotated(const char *name)
{
    char uri[64];
    (void)snprintf(uri, sizeof uri, "\"/keys/%s/rotate\"", name);
    return recorded("\"KeyRotateIfDue\"", uri, "\"Success\"");
}

static inline unsigned notified(const char *name)
{
    char uri[64];
    (void)snprintf(uri, sizeof uri, "\"/keys/%s/rotate\"", name);
    return recorded("\"KeyRotationNotify\"", uri, "\"Success\"");
}

static inline void restart(void)
{
    rig_stop(&rig);
    rig_start(&rig, false);
    rig_serve(&rig);
    assert_int_equal(rig.loaded_err, HSM_OK);
}

#endif
