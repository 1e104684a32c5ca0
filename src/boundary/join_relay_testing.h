/* The gateways of two boundaries, one of which joins the pool of the other: what goes between them
 * and is kept to be searched. Each is a rig of boundary_testing.h, driven or a process. */
#ifndef BOUNDARY_JOIN_RELAY_TESTING_H
#define BOUNDARY_JOIN_RELAY_TESTING_H

#include "boundary/boundary_testing.h"
#include "boundary/peer_testing.h"

#define INBOUND 0x80000000u

struct relay {
    struct rig member, joiner;
    bool is_down;    /* nobody can be reached */
    uint32_t conn;   /* the joiner's */
    uint32_t inward; /* the member's; 0: none */
    unsigned opens, member_closes, joiner_closes, joined, welcomes;
    uint16_t close_err; /* of the member's last close */
    bool is_joining;    /* the last welcome */
    struct uuid welcome_pool;
    uint8_t *seen; /* all bytes between the two */
    size_t seen_n;
};
static struct relay relay;

static inline void relay_see(struct bytes b)
{
    relay.seen = realloc(relay.seen, relay.seen_n + b.n + 1);
    assert_non_null(relay.seen);
    memcpy(relay.seen + relay.seen_n, b.p, b.n);
    relay.seen_n += b.n;
}

static inline bool relay_seen(const void *p, size_t n)
{
    return memmem(relay.seen, relay.seen_n, p, n) != NULL;
}

static inline bool relay_member(struct rig *r, const struct ring_frame *f)
{
    struct wire_net_data data;
    struct wire_net_close end;
    (void)r;
    if (f->type == CTL_NET_DATA && wire_net_data_decode(f->payload, &data) == HSM_OK &&
        (data.conn & INBOUND) != 0) {
        relay_see(data.data);
        if (data.conn == relay.inward && relay.joiner.ended == 0)
            RIG_CONTROL(&relay.joiner, CTL_NET_DATA, net_data, .conn = relay.conn,
                        .data = data.data);
        return true;
    }
    if (f->type == CTL_NET_CLOSE && wire_net_close_decode(f->payload, &end) == HSM_OK &&
        (end.conn & INBOUND) != 0) {
        relay.member_closes++;
        relay.close_err = end.err;
        if (end.conn == relay.inward) {
            relay.inward = 0;
            if (relay.joiner.ended == 0)
                RIG_CONTROL(&relay.joiner, CTL_NET_CLOSE, net_close, .conn = relay.conn);
        }
        return true;
    }
    return false;
}

static inline void relay_open(uint32_t conn)
{
    relay.opens++;
    relay.conn = conn;
    if (relay.is_down) {
        RIG_CONTROL(&relay.joiner, CTL_NET_CLOSE, net_close, .conn = conn,
                    .err = HSM_E_UNAVAILABLE);
        return;
    }
    relay.inward = INBOUND | relay.opens;
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = relay.inward);
}

static inline bool relay_joiner(struct rig *r, const struct ring_frame *f)
{
    struct wire_net_open open;
    struct wire_net_data data;
    struct wire_net_close end;
    struct wire_welcome welcome;
    (void)r;
    switch (f->type) {
    case CTL_NET_OPEN:
        assert_int_equal(wire_net_open_decode(f->payload, &open), HSM_OK);
        if (!bytes_eq_str(open.host, "peer"))
            return false; /* to an issuer */
        assert_int_equal(open.port, 0);
        relay_open(open.conn);
        return true;
    case CTL_NET_DATA:
        assert_int_equal(wire_net_data_decode(f->payload, &data), HSM_OK);
        if (data.conn != relay.conn)
            return false;
        relay_see(data.data);
        if (relay.inward != 0)
            RIG_CONTROL(&relay.member, CTL_NET_DATA, net_data, .conn = relay.inward,
                        .data = data.data);
        return true;
    case CTL_NET_CLOSE:
        assert_int_equal(wire_net_close_decode(f->payload, &end), HSM_OK);
        if (end.conn != relay.conn)
            return false;
        relay.joiner_closes++;
        if (relay.inward != 0)
            RIG_CONTROL(&relay.member, CTL_NET_CLOSE, net_close, .conn = relay.inward);
        relay.inward = 0;
        return true;
    case CTL_JOINED:
        assert_int_equal(f->payload.n, 0);
        relay.joined++;
        return true;
    case CTL_WELCOME:
        assert_int_equal(wire_welcome_decode(f->payload, &welcome), HSM_OK);
        relay.welcomes++;
        relay.is_joining = welcome.joining == 1;
        relay.welcome_pool = welcome.pool;
        return false;
    default:
        return false;
    }
}

static inline void relay_init(void)
{
    memset(&relay, 0, sizeof relay);
    rig_init(&relay.member);
    rig_init(&relay.joiner);
    relay.member.see_control = relay_member;
    relay.joiner.see_control = relay_joiner;
}

static inline void relay_done(void)
{
    rig_done(&relay.member);
    rig_done(&relay.joiner);
    free(relay.seen);
    relay.seen = NULL;
}

static inline void relay_hello(void)
{
    RIG_CONTROL(&relay.joiner, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
}

/* Until nothing moves between the two (driven ones). */
static inline void relay_run(void)
{
    size_t was;
    unsigned ends;
    do {
        was = relay.seen_n + relay.member_closes + relay.joiner_closes + relay.opens;
        ends = (unsigned)(relay.member.ended + relay.joiner.ended);
        rig_settle(&relay.joiner);
        rig_settle(&relay.member);
        rig_settle(&relay.joiner);
    } while (was != relay.seen_n + relay.member_closes + relay.joiner_closes + relay.opens ||
             ends != (unsigned)(relay.member.ended + relay.joiner.ended));
}

/* The last audit line of a join. */
static inline const char *relay_audited(void)
{
    const char *last = NULL;
    for (const char *p = relay.member.audit; p != NULL && (p = strstr(p, "PartitionJoin")) != NULL;
         p++)
        last = p;
    return last;
}

/* It says all of this, before its end. */
static inline void relay_audit_has(const char *text)
{
    const char *line = relay_audited();
    assert_non_null(line);
    const char *end = strchr(line, '\n'), *at = strstr(line, text);
    if (at == NULL || (end != NULL && at > end))
        fail_msg("\"%s\" is not in: %.*s", text, 1500, line);
}

static inline unsigned relay_audits(void)
{
    unsigned n = 0;
    for (const char *p = relay.member.audit; p != NULL && (p = strstr(p, "PartitionJoin")) != NULL;
         p++)
        n++;
    return n;
}

/* No part of the root secrets went over the relay in clear. */
static inline void relay_saw_no_secret(void)
{
    const struct roots *r = &relay.member.roots;
    assert_true(relay.seen_n > 1000);
    assert_false(relay_seen(r->dek, 16));
    assert_false(relay_seen(r->dek + 16, 16));
    assert_false(relay_seen(r->backup, 16));
    assert_false(relay_seen(r->backup + 48, 16));
    assert_false(relay_seen(r->owner_key.p + 40, 16));
    assert_false(relay_seen(r->audit_key.p + 40, 16));
    assert_false(relay_seen(relay.member.roots_text.p, 24));
}

#endif
