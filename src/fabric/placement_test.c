#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fabric/placement.h"

#define N(name, zone, rack, partitions)                                                            \
    {                                                                                              \
        name, "east", zone, rack, true, partitions                                                 \
    }

/* Names of the chosen nodes. */
static const char *choose(const struct placement_node *nodes, size_t n, struct placement *p)
{
    static char text[256];
    assert_int_equal(placement_choose(nodes, n, "east", p), HSM_OK);
    snprintf(text, sizeof text, "%s %s %s", nodes[p->node[0]].name, nodes[p->node[1]].name,
             nodes[p->node[2]].name);
    return text;
}

static void a_zone_each(void **state)
{
    (void)state;
    struct placement p;
    const struct placement_node nodes[] = {N("a", "1", "r", 0), N("b", "1", "s", 0),
                                           N("c", "2", "r", 9), N("d", "3", "r", 9)};
    assert_string_equal(choose(nodes, 4, &p), "a c d");
    assert_string_equal(p.warning, "");
}

static void racks_when_zones_are_few(void **state)
{
    (void)state;
    struct placement p;
    const struct placement_node two[] = {N("a", "1", "r", 0), N("b", "1", "r", 0),
                                         N("c", "1", "s", 9), N("d", "2", "r", 9)};
    assert_string_equal(choose(two, 4, &p), "a c d");
    assert_non_null(strstr(p.warning, "Two partitions share a zone"));
    const struct placement_node one[] = {N("a", "1", "r", 0), N("b", "1", "r", 0),
                                         N("c", "1", "s", 9), N("d", "1", "t", 9)};
    assert_string_equal(choose(one, 4, &p), "a c d");
    assert_non_null(strstr(p.warning, "All three partitions share a zone"));
    assert_string_equal(choose(one, 3, &p), "a b c");
    assert_non_null(strstr(p.warning, "Two partitions share a rack"));
}

static void nodes_when_there_are_few(void **state)
{
    (void)state;
    struct placement p;
    const struct placement_node nodes[] = {N("a", "1", "r", 0), N("b", "2", "r", 0)};
    assert_string_equal(choose(nodes, 1, &p), "a a a");
    assert_non_null(strstr(p.warning, "All three partitions share a node"));
    assert_string_equal(choose(nodes, 2, &p), "a a b");
    assert_non_null(strstr(p.warning, "Two partitions share a node (nodes a, a, b)"));
}

static void the_least_used_ones(void **state)
{
    (void)state;
    struct placement p;
    const struct placement_node nodes[] = {N("a", "1", "r", 3), N("b", "1", "r", 2),
                                           N("c", "2", "r", 1), N("d", "2", "r", 1),
                                           N("e", "3", "r", 5), N("f", "3", "r", 4)};
    assert_string_equal(choose(nodes, 6, &p), "b c f");
    assert_string_equal(p.warning, "");
}

static void region_and_health(void **state)
{
    (void)state;
    struct placement p;
    const struct placement_node nodes[] = {
        {"a", "West Europe", "1", "r", true, 0}, {"b", "westeurope", "2", "r", false, 0},
        {"c", "WESTEUROPE", "3", "r", true, 0},  {"d", "east", "4", "r", true, 0},
        {"e", "westeurope2", "5", "r", true, 0},
    };
    assert_int_equal(placement_choose(nodes, 5, "WestEurope", &p), HSM_OK);
    assert_int_equal(p.node[0], 0);
    assert_int_equal(p.node[1], 0);
    assert_int_equal(p.node[2], 2);
    assert_int_equal(placement_choose(nodes, 5, "north", &p), HSM_E_NOT_FOUND);
    assert_int_equal(placement_choose(nodes, 0, "east", &p), HSM_E_NOT_FOUND);
    assert_int_equal(placement_choose(nodes, PLACEMENT_NODES_MAX + 1, "east", &p), HSM_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_each),
        cmocka_unit_test(racks_when_zones_are_few),
        cmocka_unit_test(nodes_when_there_are_few),
        cmocka_unit_test(the_least_used_ones),
        cmocka_unit_test(region_and_health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
