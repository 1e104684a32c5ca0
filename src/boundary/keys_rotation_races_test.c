/* Rotation that is stopped on its way, comes second, or cannot be committed. */
#include "boundary/keys_rotation_testing.h"

/* Everything stops between the proposal and its commit: neither lost nor done twice. */
static void stopped_in_between(void **state)
{
    (void)state;
    create("crash");
    assert_int_equal(put("crash", "", ROTATE("P28D", ""), NOTIFY("P28D", "")), HSM_OK);
    at(10 * DAY);
    for (unsigned what = 0; what < 2; what++) { /* the notice, then the rotation */
        rig.on_txn = TXN_KEEP;
        at(29 * DAY);
        assert_true(rig.b->rotation_pending);
        uint8_t *late = rig.kept;
        size_t late_n = rig.kept_n;
        rig.kept = NULL;
        rig.on_txn = TXN_COMMIT;
        restart();
        at(29 * DAY + 60);
        assert_int_equal(notified("crash"), 1);
        assert_int_equal(versions("crash"), 2);
        rig_commit(&rig, bytes_of(late, late_n)); /* out of the log, after all */
        at(29 * DAY + 120);
        free(late);
        assert_int_equal(notified("crash"), 1);
        assert_int_equal(rotated("crash"), 1);
        assert_int_equal(versions("crash"), 2);
        if (what == 1)
            break;
        /* Again, with the notice given already. */
        rig_clock_ahead_s = 0;
        assert_int_equal(RIG_CALL(&rig, OP_KEY_DELETE, key_name, .name = bytes_str("crash")),
                         HSM_OK);
        assert_int_equal(RIG_CALL(&rig, OP_KEY_PURGE, key_name, .name = bytes_str("crash")),
                         HSM_OK);
        rig.audit_n = 0;
        rig.audit[0] = 0;
        restart();
        create("crash");
        assert_int_equal(put("crash", "", ROTATE("P29D", ""), NOTIFY("P28D", "")), HSM_OK);
        at(28 * DAY + 60);
        assert_int_equal(notified("crash"), 1);
    }
}

/* Somebody else's new version is committed first. */
static void lost_race(void **state)
{
    static uint8_t buf[65536];
    struct key_fields f;
    struct bytes payload;
    struct wire_propose p;
    struct txn t;
    uint8_t body[512];
    struct wr w = wr_of(body, sizeof body);
    (void)state;
    create("race");
    assert_int_equal(put("race", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    rig.on_txn = TXN_KEEP;
    at(29 * DAY);
    assert_true(rig.b->rotation_pending);
    /* Another partition took the policy away. */
    key_fields_of(key_of("race"), &f);
    f.has_rotation = false;
    key_fields_encode(&f, &w);
    txn_begin(&t, buf, sizeof buf);
    assert_int_equal(txn_add(&t, rig.b->state, rig.b->control.sc, REC_KEY, bytes_str("race"),
                             wr_view(&w), bytes_of(NULL, 0)),
                     HSM_OK);
    assert_int_equal(txn_finish(&t, rig.b->control.sc, &payload), HSM_OK);
    assert_int_equal(wire_propose_decode(payload, &p), HSM_OK);
    rig_commit(&rig, p.bytes);
    rig_settle(&rig);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_settle(&rig);
    assert_false(rig.b->rotation_pending);
    assert_int_equal(versions("race"), 1);
    assert_int_equal(rotated("race"), 0);
    rig.b->next_rotation_us = 0;
    at(30 * DAY);
    assert_int_equal(versions("race"), 1);
}

static void commit_fails(void **state)
{
    (void)state;
    create("disk");
    assert_int_equal(put("disk", "", ROTATE("P28D", ""), NOTIFY("P28D", "")), HSM_OK);
    rig.on_txn = TXN_FAIL;
    rig.fail_with = HSM_E_DISK_FULL;
    at(29 * DAY); /* the notice */
    at(29 * DAY + 1);
    assert_int_equal(notified("disk"), 0);
    assert_false(rig.b->rotation_pending);
    rig.on_txn = TXN_COMMIT;
    rig.b->next_rotation_us = 0;
    rig.b->state->rotations.heap[0]->rotation->r.notified = 1;
    assert_int_equal(rotation_index_update(&rig.b->state->rotations, key_of("disk")), HSM_OK);
    rig.on_txn = TXN_FAIL;
    at(29 * DAY + 2); /* the rotation */
    at(29 * DAY + 3);
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "/keys/disk/rotate", "disk is full"), 1);
    assert_int_equal(versions("disk"), 1);
    rig.on_txn = TXN_COMMIT;
    rig.b->next_rotation_us = 0;
    at(29 * DAY + 4);
    assert_int_equal(versions("disk"), 2);
    assert_int_equal(rotated("disk"), 1);
}

/* A writer who is first makes the rotation wait for him, and its key is not lost. */
static void behind_a_writer(void **state)
{
    const struct wire_key_update u = {.name = bytes_str("busy"), .attr_set = ATTR_EXP, .exp = 77};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    (void)state;
    create("busy");
    assert_int_equal(put("busy", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    wire_key_update_put(&w, &u);
    rig.on_txn = TXN_KEEP;
    uint64_t id = rig_post(&rig, 1, OP_KEY_UPDATE, rig_token_of(&rig, RIG_ADMIN, 60), wr_view(&w));
    rig_settle(&rig);
    at(29 * DAY);
    assert_int_equal(rig.b->held.blocked_n, 1);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_wait(&rig, id);
    assert_int_equal(rig.answer.err, HSM_OK);
    at(29 * DAY);
    assert_int_equal(versions("busy"), 2);
    assert_int_equal(key_of("busy")->version[0]->exp, 77);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, at_start_of_time)
    const struct CMUnitTest tests[] = {
        T(stopped_in_between),
        T(lost_race),
        T(commit_fails),
        T(behind_a_writer),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
