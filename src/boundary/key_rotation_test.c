/* Rotation in key records, old and new form, and the order of due dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mutate.h"
#include "boundary/key_rotation.h"

#define DAY (uint64_t)86400

static struct rotation sample(const char *after)
{
    struct rotation r = {.created = 1, .updated = 2, .rotated = 3, .failed = 4, .notified = 5};
    const struct rotation_wish w[] = {{.type = ROTATION_NOTIFY, .before_expiry = bytes_str("P30D")},
                                      {.type = ROTATION_ROTATE, .after_create = bytes_str(after)}};
    const char *why;
    assert_int_equal(rotation_policy_make(bytes_str("P2Y"), w, 2, &r.policy, &why), HSM_OK);
    return r;
}

static struct bytes encoded(const struct key_fields *f)
{
    static uint8_t buf[1024];
    struct wr w = wr_of(buf, sizeof buf);
    key_fields_encode(f, &w);
    assert_int_equal(wr_ok(&w), HSM_OK);
    return wr_view(&w);
}

static void both_forms(void **state)
{
    struct key_fields f = {.display = bytes_str("Name"), .created = 7, .next_seq = 9}, got;
    (void)state;
    struct bytes body = encoded(&f);
    assert_int_equal(body.p[0], 1);
    assert_int_equal(key_fields_decode(body, &got), HSM_OK);
    assert_false(got.has_rotation);
    assert_int_equal(got.next_seq, 9);
    f.has_rotation = true;
    f.rotation = sample("P18M");
    body = encoded(&f);
    assert_int_equal(body.p[0], 2);
    assert_int_equal(key_fields_decode(body, &got), HSM_OK);
    assert_true(got.has_rotation);
    assert_int_equal(got.next_seq, 9);
    uint8_t again[1024];
    struct wr w = wr_of(again, sizeof again);
    key_fields_encode(&got, &w);
    assert_true(bytes_eq(wr_view(&w), body));
}

static void decode_any(struct bytes body, void *arg)
{
    struct key_fields got;
    (void)arg;
    if (key_fields_decode(body, &got) == HSM_OK && got.has_rotation)
        assert_true(got.rotation.policy.action_n <= ROTATION_ACTIONS_MAX);
}

static void damaged_bodies(void **state)
{
    struct key_fields f = {.display = bytes_str("k"), .has_rotation = true}, got;
    (void)state;
    f.rotation = sample("P18M");
    struct bytes body = encoded(&f);
    mutate_each(body, decode_any, NULL);
    for (size_t n = 0; n < body.n; n++)
        assert_int_not_equal(key_fields_decode(bytes_of(body.p, n), &got), HSM_OK);
}

/* ---- the heap ---- */

#define KEYS 300u

static struct key_index names;
static struct rotation_index rotations;
static struct key *keys[KEYS];

static struct key *key_with(unsigned i)
{
    char name[16];
    struct uuid id;
    struct key *k;
    struct key_version *v;
    (void)snprintf(name, sizeof name, "k%u", i);
    uuid_new_v4(&id);
    const struct version_fields f = {.kty = KTY_OCT, .attr_flags = ATTR_ENABLED, .created = DAY};
    assert_int_equal(key_new(&names, bytes_str(name), &k), HSM_OK);
    key_index_insert(&names, k);
    assert_int_equal(key_version_new(&id, &f, bytes_str("sealed"), &v), HSM_OK);
    assert_int_equal(key_attach(k, v), HSM_OK);
    return k;
}

static uint64_t earliest(void)
{
    uint64_t at = ROTATION_NEVER;
    for (unsigned i = 0; i < KEYS; i++)
        if (keys[i]->rotation != NULL && keys[i]->rotation->next.at < at)
            at = keys[i]->rotation->next.at;
    return at;
}

static void expect_order(void)
{
    const struct key *first = rotation_index_first(&rotations);
    uint64_t at = earliest();
    assert_int_equal(first == NULL ? ROTATION_NEVER : first->rotation->next.at, at);
    for (size_t i = 0; i < rotations.n; i++) {
        assert_int_equal(rotations.heap[i]->rotation->place, i + 1);
        if (i > 0)
            assert_true(rotations.heap[(i - 1) / 2]->rotation->next.at <=
                        rotations.heap[i]->rotation->next.at);
    }
}

static uint32_t draw(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 16);
}

static void change(struct key *k)
{
    struct key_version *v = key_current(k);
    char after[16];
    switch (draw() % 6) {
    case 0:
        assert_int_equal(key_set_rotation(&rotations, k, NULL), HSM_OK);
        return;
    case 1:
        v->attr_flags ^= ATTR_ENABLED;
        break;
    case 2:
        k->deleted_date = k->deleted_date == 0 ? 5 : 0;
        break;
    case 3:
        v->created = DAY * (1 + draw() % 1000);
        break;
    default:
        (void)snprintf(after, sizeof after, "P%uD", 28 + draw() % 500);
        const struct rotation r = sample(after);
        assert_int_equal(key_set_rotation(&rotations, k, &r), HSM_OK);
        return;
    }
    assert_int_equal(rotation_index_update(&rotations, k), HSM_OK);
}

static void order_of_due_dates(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = key_with(i);
    expect_order();
    assert_null(rotation_index_first(&rotations));
    for (unsigned i = 0; i < 20000; i++) {
        change(keys[draw() % KEYS]);
        expect_order();
    }
    assert_true(rotations.n > KEYS / 8);
    while (rotations.n > 0) {
        uint64_t at = earliest();
        struct key *k = rotation_index_first(&rotations);
        assert_int_equal(k->rotation->next.at, at);
        assert_int_equal(key_set_rotation(&rotations, k, NULL), HSM_OK);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        rotation_index_remove(&rotations, keys[i]);
        free(keys[i]->version[0]);
        key_free(keys[i]);
    }
    rotation_index_done(&rotations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),
        cmocka_unit_test(damaged_bodies),
        cmocka_unit_test(order_of_due_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
