#include "model/dns_zone.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "base/mutate.h"

#define ZONE "privatelink.managedhsm.azure.net"
#define HEAD " Private endpoints of managed HSMs; written by keyhold, changes are lost.\n"

static struct dns_record records[4];

static void set(size_t i, const char *name, const char *zone, const char *address)
{
    assert_int_equal(
        dns_record_set(&records[i], bytes_str(name), bytes_str(zone), bytes_str(address), 10),
        HSM_OK);
}

static void gives(enum dns_format format, const char *zone, const char *want)
{
    char text[4096];
    struct wr w = wr_of(text, sizeof text - 1);
    assert_int_equal(dns_write(format, zone, records, 4, 7, &w), HSM_OK);
    text[w.n] = '\0';
    assert_string_equal(text, want);
    w = wr_of(text, strlen(want) - 1);
    assert_int_equal(dns_write(format, zone, records, 4, 7, &w), HSM_E_RANGE);
}

static void formats(void **state)
{
    (void)state;
    set(0, "Contoso", ZONE, "10.0.0.4");
    set(1, "*.w", ZONE, "10.0.0.5");
    set(2, "x", "example.org", "fd00::1");
    set(3, "@", "example.org", "10.0.0.6");
    gives(DNS_DNSMASQ, NULL,
          "#" HEAD "local=/" ZONE "/\nlocal=/example.org/\n"
          "host-record=contoso." ZONE ",10.0.0.4,10\n"
          "host-record=contoso.managedhsm.azure.net,10.0.0.4,10\n"
          "address=/w." ZONE "/10.0.0.5\naddress=/w.managedhsm.azure.net/10.0.0.5\n"
          "host-record=x.example.org,fd00::1,10\nhost-record=example.org,10.0.0.6,10\n");
    gives(DNS_UNBOUND, NULL,
          "#" HEAD "server:\n  local-zone: \"" ZONE ".\" static\n"
          "  local-zone: \"example.org.\" static\n"
          "  local-data: \"contoso." ZONE ". 10 IN A 10.0.0.4\"\n"
          "  local-data: \"contoso.managedhsm.azure.net. 10 IN A 10.0.0.4\"\n"
          "  local-zone: \"w." ZONE ".\" redirect\n"
          "  local-data: \"w." ZONE ". 10 IN A 10.0.0.5\"\n"
          "  local-zone: \"w.managedhsm.azure.net.\" redirect\n"
          "  local-data: \"w.managedhsm.azure.net. 10 IN A 10.0.0.5\"\n"
          "  local-data: \"x.example.org. 10 IN AAAA fd00::1\"\n"
          "  local-data: \"example.org. 10 IN A 10.0.0.6\"\n");
    gives(DNS_BIND, ZONE,
          ";" HEAD "$ORIGIN " ZONE ".\n$TTL 10\n"
          "@ 3600 IN SOA localhost. hostmaster.localhost. 7 3600 300 2419200 10\n"
          "@ 3600 IN NS localhost.\ncontoso 10 IN A 10.0.0.4\n*.w 10 IN A 10.0.0.5\n");
    gives(DNS_RPZ, NULL,
          ";" HEAD "$TTL 10\n"
          "@ 3600 IN SOA localhost. hostmaster.localhost. 7 3600 300 2419200 10\n"
          "@ 3600 IN NS localhost.\ncontoso." ZONE " 10 IN A 10.0.0.4\n"
          "contoso.managedhsm.azure.net 10 IN A 10.0.0.4\n*.w." ZONE " 10 IN A 10.0.0.5\n"
          "*.w.managedhsm.azure.net 10 IN A 10.0.0.5\nx.example.org 10 IN AAAA fd00::1\n"
          "example.org 10 IN A 10.0.0.6\n");
}

static void names(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a\nb",
        "a\"b",
        "a;b",
        "a,b",
        "a/b",
        "a\\b",
        "$x",
        "a.*",
        "*a",
        "a.-b.c",
        "a#",
        "\xc3\xa4",
        "a'b",
        "(a)",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    struct dns_record r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (dns_record_set(&r, bytes_str(bad[i]), bytes_str(ZONE), bytes_str("10.0.0.1"), 1) ==
                HSM_OK ||
            dns_record_set(&r, bytes_str("a"), bytes_str(bad[i]), bytes_str("10.0.0.1"), 1) ==
                HSM_OK)
            fail_msg("'%s' is taken", bad[i]);
    }
    assert_int_not_equal(
        dns_record_set(&r, bytes_str("a"), bytes_str(ZONE), bytes_str("10.0.0.1\n"), 1), HSM_OK);
    enum dns_format f;
    assert_true(dns_format_named("unbound", &f) && f == DNS_UNBOUND);
    assert_false(dns_format_named("hosts", &f));
}

/* Whatever is taken: a name of this form, in one line. */
static void mutated(struct bytes sample, void *arg)
{
    char text[1024];
    struct dns_record r;
    (void)arg;
    if (dns_record_set(&r, sample, bytes_str(ZONE), bytes_str("10.0.0.1"), 1) != HSM_OK)
        return;
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(dns_write(DNS_DNSMASQ, NULL, &r, 1, 1, &w), HSM_OK);
    size_t lines = 0;
    for (size_t i = 0; i < w.n; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, strcmp(r.name, "@") == 0 ? 3 : 4);
}

static void mutations(void **state)
{
    (void)state;
    mutate_each(bytes_str("*.a-b.c_d"), mutated, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formats), cmocka_unit_test(names),
                                       cmocka_unit_test(mutations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
