#include "model/network_rules.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mutate.h"

#define ONE   "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"

static struct json_tok toks[NETWORK_TOKENS_MAX];

static struct network_rules rules_of(const char *text)
{
    static struct network_rules r;
    assert_int_equal(network_rules_parse(bytes_str(text), toks, &r), HSM_OK);
    return r;
}

static struct network_address address(const char *text)
{
    struct network_address a;
    assert_int_equal(network_address_parse(bytes_str(text), &a), HSM_OK);
    return a;
}

static enum network_verdict public_from(const struct network_rules *r, const char *ip,
                                        const char *caller)
{
    struct uuid u;
    if (caller != NULL)
        assert_int_equal(uuid_parse(bytes_str(caller), &u), HSM_OK);
    const struct network_way way = {.address = address(ip), .caller = caller != NULL ? &u : NULL};
    return network_decide(r, &way);
}

static enum network_verdict by_endpoint(const struct network_rules *r, const char *id)
{
    struct uuid u;
    assert_int_equal(uuid_parse(bytes_str(ONE), &u), HSM_OK);
    const struct network_way way = {.is_private = true,
                                    .endpoint = bytes_str(id),
                                    .address = address("192.0.2.1"),
                                    .caller = &u};
    return network_decide(r, &way);
}

static void cidrs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown, *in, *out;
    } good[] = {
        {"192.0.2.7", "192.0.2.7/32", "192.0.2.7", "192.0.2.6"},
        {"192.0.2.7/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
        {"192.0.2.128/25", "192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
        {"0.0.0.0/0", "0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
        {"10.0.0.0/9", "10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
        {"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
        {"2001:db8::1", "2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
        {"::/0", "::/0", "2001:db8::1", "192.0.2.1"},
        {"::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.7", "192.0.2.8"},
    };
    static const char *const bad[] = {"",           "/",           "192.0.2",        "192.0.2.7/",
                                      "1.2.3.4/33", "1.2.3.4/-1",  "1.2.3.4/08",     "1.2.3.4/1x",
                                      "01.2.3.4",   "::/129",      "fe80::1%eth0",   " 1.2.3.4",
                                      "1.2.3.4 ",   "1.2.3.4/8/8", "2001:db8::g/32", "256.1.1.1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct network_cidr c;
        char shown[NETWORK_CIDR_TEXT_MAX];
        assert_int_equal(network_cidr_parse(bytes_str(good[i].text), &c), HSM_OK);
        network_cidr_format(&c, shown);
        assert_string_equal(shown, good[i].shown);
        const struct network_address in = address(good[i].in), out = address(good[i].out);
        assert_true(network_cidr_has(&c, &in));
        assert_false(network_cidr_has(&c, &out));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct network_cidr c;
        if (network_cidr_parse(bytes_str(bad[i]), &c) != HSM_E_BAD_PARAMETER)
            fail_msg("'%s' is taken", bad[i]);
    }
}

static void public_way(void **state)
{
    (void)state;
    struct network_rules r = rules_of("{}");
    assert_true(network_rules_is_open(&r));
    assert_int_equal(public_from(&r, "203.0.113.1", NULL), NETWORK_ALLOW);
    r = rules_of("{\"publicNetworkAccess\":\"Enabled\",\"defaultAction\":\"Deny\",\"ipRules\":["
                 "\"192.0.2.0/24\",\"2001:db8::1\"],\"bypassCallers\":[\"" ONE "\"]}");
    assert_false(network_rules_is_open(&r));
    assert_int_equal(public_from(&r, "192.0.2.200", NULL), NETWORK_ALLOW);
    assert_int_equal(public_from(&r, "2001:db8::1", NULL), NETWORK_ALLOW);
    assert_int_equal(public_from(&r, "198.51.100.1", NULL), NETWORK_NOT_THIS_ADDRESS);
    assert_int_equal(public_from(&r, "198.51.100.1", OTHER), NETWORK_NOT_THIS_ADDRESS);
    assert_int_equal(public_from(&r, "198.51.100.1", ONE), NETWORK_ALLOW);
    r = rules_of("{\"defaultAction\":\"Deny\"}");
    assert_int_equal(public_from(&r, "127.0.0.1", ONE), NETWORK_NOT_THIS_ADDRESS);
}

/* Rules for addresses mean nothing when the public way is shut; trusted callers still pass. */
static void no_public_way(void **state)
{
    (void)state;
    static const char *const access[] = {"Disabled", "SecuredByPerimeter"};
    for (size_t i = 0; i < 2; i++) {
        char text[400];
        (void)snprintf(text, sizeof text,
                       "{\"publicNetworkAccess\":\"%s\",\"defaultAction\":\"Allow\",\"ipRules\":["
                       "\"0.0.0.0/0\"],\"bypassCallers\":[\"" ONE "\"]}",
                       access[i]);
        struct network_rules r = rules_of(text);
        assert_int_equal(public_from(&r, "192.0.2.1", NULL), NETWORK_NOT_THIS_WAY);
        assert_int_equal(public_from(&r, "192.0.2.1", OTHER), NETWORK_NOT_THIS_WAY);
        assert_int_equal(public_from(&r, "192.0.2.1", ONE), NETWORK_ALLOW);
    }
}

static void endpoints(void **state)
{
    (void)state;
    struct network_rules r = rules_of(
        "{\"publicNetworkAccess\":\"Disabled\",\"bypassCallers\":[\"" ONE "\"],\"endpoints\":["
        "{\"id\":\"a\",\"state\":\"Approved\"},{\"id\":\"b\",\"state\":\"Pending\"},"
        "{\"id\":\"c\",\"state\":\"Rejected\"},{\"id\":\"d\",\"state\":\"Disconnected\"},"
        "{\"id\":\"e\",\"state\":\"Approved\"},{\"state\":\"Rejected\",\"id\":\"e\"}]}");
    assert_int_equal(by_endpoint(&r, "a"), NETWORK_ALLOW);
    static const char *const refused[] = {"b", "c", "d", "e", "", "aa", "A"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(by_endpoint(&r, refused[i]), NETWORK_NOT_THIS_WAY);
    r = rules_of("{}"); /* open to the public is not open to an endpoint nobody approved */
    assert_int_equal(by_endpoint(&r, "a"), NETWORK_NOT_THIS_WAY);
}

static void check_closed(const struct network_rules *r)
{
    assert_int_equal(r->access, NETWORK_CLOSED);
    assert_int_equal(public_from(r, "127.0.0.1", ONE), NETWORK_NOT_THIS_WAY);
    assert_int_equal(by_endpoint(r, "a"), NETWORK_NOT_THIS_WAY);
}

static void damaged(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"publicNetworkAccess\":\"enabled\"}",
        "{\"publicNetworkAccess\":true}",
        "{\"defaultAction\":\"Maybe\"}",
        "{\"ipRules\":\"192.0.2.1\"}",
        "{\"ipRules\":[\"192.0.2.1/40\"]}",
        "{\"ipRules\":[{\"value\":\"192.0.2.1\"}]}",
        "{\"bypassCallers\":[\"me\"]}",
        "{\"endpoints\":[{\"id\":\"a\"}]}",
        "{\"endpoints\":[{\"id\":\"\",\"state\":\"Approved\"}]}",
        "{\"endpoints\":[{\"id\":\"a b\",\"state\":\"Approved\"}]}",
        "{\"endpoints\":[{\"id\":\"a\",\"state\":\"Approved\",\"more\":1}]}",
        "{\"endpoints\":[{\"id\":\"a\",\"state\":\"approved\"}]}",
        "{\"virtualNetworks\":[]}",
        "{\"ipRules\":[],\"ipRules\":[]}",
        "{}x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct network_rules r;
        if (network_rules_parse(bytes_str(bad[i]), toks, &r) == HSM_OK)
            fail_msg("'%s' is taken", bad[i]);
        check_closed(&r);
    }
}

static void too_many(void **state)
{
    (void)state;
    static char text[8192];
    struct network_rules r;
    for (size_t n = NETWORK_IP_RULES_MAX; n <= NETWORK_IP_RULES_MAX + 1; n++) {
        struct wr w = wr_of(text, sizeof text);
        wr_str(&w, "{\"ipRules\":[");
        for (size_t i = 0; i < n; i++)
            wr_str(&w, i > 0 ? ",\"192.0.2.1\"" : "\"192.0.2.1\"");
        wr_str(&w, "]}");
        hsm_err err = network_rules_parse(wr_view(&w), toks, &r);
        assert_int_equal(err, n > NETWORK_IP_RULES_MAX ? HSM_E_RANGE : HSM_OK);
    }
    check_closed(&r);
}

static void mutated(struct bytes sample, void *arg)
{
    struct network_rules r;
    unsigned *taken = arg;
    hsm_err err = network_rules_parse(sample, toks, &r);
    if (err != HSM_OK)
        check_closed(&r);
    else
        ++*taken;
}

static void mutations(void **state)
{
    (void)state;
    unsigned taken = 0;
    mutate_each(bytes_str("{\"publicNetworkAccess\":\"Disabled\",\"defaultAction\":\"Deny\","
                          "\"bypassCallers\":[\"" ONE "\"],\"ipRules\":[\"192.0.2.0/24\"],"
                          "\"endpoints\":[{\"id\":\"a\",\"state\":\"Approved\"}]}"),
                mutated, &taken);
    assert_true(taken > 0); /* digits of the address, letters of the id */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cidrs),     cmocka_unit_test(public_way), cmocka_unit_test(no_public_way),
        cmocka_unit_test(endpoints), cmocka_unit_test(damaged),    cmocka_unit_test(too_many),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
