#include "door/place.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mutate.h"

static void texts(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a seven 127.0.0.1 8443 - -",
        "/subscriptions/x/pe seven 2001:db8::1 443 kh0 vnet-a",
        "a s 10.0.0.4 1 veth.1 -",
        "a s 10.0.0.4 65535 - net_1",
    };
    static const char *const bad[] = {
        "",
        "a",
        "a seven 127.0.0.1 8443 -",
        "a seven 127.0.0.1 8443 - - -",
        "a  127.0.0.1 8443 - -",
        "a seven 127.0.0 8443 - -",
        "a seven localhost 8443 - -",
        "a seven 127.0.0.1 0 - -",
        "a seven 127.0.0.1 65536 - -",
        "a seven 127.0.0.1 8443 e/0 -",
        "a seven 127.0.0.1 8443 - ..",
        "a seven 127.0.0.1 8443 - ../x",
        "a seven 127.0.0.1 8443 - .",
        "a se.ven 127.0.0.1 8443 - -",
        "a seven 127.0.0.1 8443 - - ",
        "a seven 127.0.0.1 8443 - \n",
        "a seven fe80::1%lo 8443 - -",
        "a seven 127.0.0.1 8443 sixteencharacter -",
    };
    char text[PLACE_TEXT_MAX];
    struct place_endpoint e;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(place_parse(bytes_str(good[i]), &e), HSM_OK);
        assert_int_equal(place_format(&e, text, sizeof text), strlen(good[i]));
        assert_string_equal(text, good[i]);
        assert_int_equal(place_format(&e, text, strlen(good[i])), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (place_parse(bytes_str(bad[i]), &e) == HSM_OK)
            fail_msg("'%s' is taken", bad[i]);
    }
}

static void mutated(struct bytes sample, void *arg)
{
    struct place_endpoint e;
    char text[PLACE_TEXT_MAX];
    (void)arg;
    if (place_parse(sample, &e) == HSM_OK)
        assert_true(place_format(&e, text, sizeof text) > 0);
}

static void mutations(void **state)
{
    (void)state;
    mutate_each(bytes_str("a seven 2001:db8::1 443 kh0 vnet-a"), mutated, NULL);
}

static int listen_at(const char *text, char why[256])
{
    struct place_endpoint e;
    assert_int_equal(place_parse(bytes_str(text), &e), HSM_OK);
    why[0] = '\0';
    return place_listen(&e.place, why, 256);
}

/* Without a device in the text it is that which has the address. */
static void bound(void **state)
{
    (void)state;
    char why[256], device[IFNAMSIZ] = "";
    socklen_t n = sizeof device;
    int fd = -1;
    for (unsigned port = 20000; fd < 0 && port < 20100; port++) {
        char text[64];
        (void)snprintf(text, sizeof text, "a seven 127.0.0.1 %u - -", port);
        fd = listen_at(text, why);
    }
    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &n), 0);
    assert_string_equal(device, "lo");
    close(fd);
}

static void reasons(void **state)
{
    (void)state;
    char why[256];
    assert_int_equal(listen_at("a seven 203.0.113.77 8443 - -", why), -1);
    assert_string_equal(why, "no interface has the address 203.0.113.77");
    assert_int_equal(listen_at("a seven 127.0.0.1 8443 kh-none -", why), -1);
    assert_non_null(strstr(why, "device"));
    assert_int_equal(listen_at("a seven 127.0.0.1 8443 - kh-none", why), -1);
    assert_string_equal(why, "/run/netns/kh-none: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(mutations),
                                       cmocka_unit_test(bound), cmocka_unit_test(reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
