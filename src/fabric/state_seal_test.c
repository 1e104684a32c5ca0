#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/mutate.h"
#include "fabric/state_internal.h"
#include "fabric/state_seal.h"

static const struct state_seal key = {.key = {1, 2, 3}}, other_key = {.key = {1, 2, 4}};

struct sample {
    struct document *d;
    uint8_t buf[256];
    struct wr w;
};

static struct sample sample(enum state_kind kind, const char *name, uint64_t revision,
                            const char *json)
{
    struct sample s = {.d = document_new(kind, revision, bytes_str(name), bytes_str(json))};
    assert_non_null(s.d);
    return s;
}

static void seal(struct sample *s)
{
    s->w = wr_of(s->buf, sizeof s->buf);
    state_seal_put(&key, s->d, &s->w);
    assert_int_equal(wr_ok(&s->w), HSM_OK);
}

static hsm_err open_it(const struct sample *s, struct state_record *ret)
{
    return state_seal_open(&key, document_rid(s->d), s->d->revision, wr_view(&s->w), ret);
}

static void one_bit(struct bytes changed, void *arg)
{
    const struct sample *s = arg;
    struct state_record r;
    assert_int_equal(state_seal_open(&key, document_rid(s->d), s->d->revision, changed, &r),
                     HSM_E_CORRUPT);
}

static void sealed_documents(void **state)
{
    (void)state;
    struct state_record r;
    struct sample a = sample(STATE_RESOURCE, "/a", 7, "{\"v\":1}");
    struct sample b = sample(STATE_RESOURCE, "/b", 7, "{\"v\":1}");
    seal(&a);
    assert_int_equal(open_it(&a, &r), HSM_OK);
    assert_int_equal(r.kind, STATE_RESOURCE);
    assert_true(bytes_eq_str(r.key, "/a") && bytes_eq_str(r.json, "{\"v\":1}"));
    mutate_each(wr_view(&a.w), one_bit, &a);
    assert_int_equal(state_seal_open(&key, document_rid(a.d), 8, wr_view(&a.w), &r), HSM_E_CORRUPT);
    assert_int_equal(state_seal_open(&key, document_rid(b.d), 7, wr_view(&a.w), &r), HSM_E_CORRUPT);
    assert_int_equal(state_seal_open(&other_key, document_rid(a.d), 7, wr_view(&a.w), &r),
                     HSM_E_CORRUPT);
    free(a.d);
    free(b.d);
}

static void ids_of_records(void **state)
{
    (void)state;
    uint8_t a[STATE_RID_LEN], b[STATE_RID_LEN];
    state_rid(STATE_GROUP, bytes_str("x"), a);
    state_rid(STATE_POOL, bytes_str("x"), b);
    assert_memory_not_equal(a, b, sizeof a);
    state_rid(STATE_GROUP, bytes_str("y"), b);
    assert_memory_not_equal(a, b, sizeof a);
    state_rid_head(a);
    state_rid(STATE_GROUP, bytes_str("y"), a);
    assert_memory_equal(a, b, sizeof a);
}

static void sums_tell_contents(void **state)
{
    (void)state;
    struct sample a = sample(STATE_RESOURCE, "/a", 7, "{}");
    struct sample b = sample(STATE_RESOURCE, "/b", 8, "{}");
    struct sample newer = sample(STATE_RESOURCE, "/a", 8, "{}");
    struct state_sum ab = {0}, ba = {0}, other = {0};
    uint8_t x[STATE_SEAL_LEN], y[STATE_SEAL_LEN];
    state_sum_add(&key, &ab, a.d);
    state_sum_add(&key, &ab, b.d);
    state_sum_add(&key, &ba, b.d);
    state_sum_add(&key, &ba, newer.d);
    state_sum_remove(&key, &ba, newer.d);
    state_sum_add(&key, &ba, a.d);
    assert_memory_equal(&ab, &ba, sizeof ab);
    state_sum_add(&key, &other, newer.d);
    state_sum_add(&key, &other, b.d);
    state_seal_head(&key, 9, &ab, x);
    state_seal_head(&key, 9, &other, y);
    assert_memory_not_equal(x, y, sizeof x);
    state_seal_head(&key, 10, &ab, y);
    assert_memory_not_equal(x, y, sizeof x);
    state_sum_remove(&key, &ab, a.d);
    state_sum_remove(&key, &ab, b.d);
    other = (struct state_sum){0};
    assert_memory_equal(&ab, &other, sizeof ab);
    free(a.d);
    free(b.d);
    free(newer.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_documents),
        cmocka_unit_test(ids_of_records),
        cmocka_unit_test(sums_tell_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
