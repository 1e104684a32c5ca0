#include "cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 80

static char why[200];

/* A table like those of the commands. */
static void table_init(struct arg table[7])
{
    const struct arg fresh[] = {
        {.name = "--name", .alias = "-n", .kind = ARG_VALUE},
        {.name = "--ops", .kind = ARG_LIST},
        {.name = "--tags", .kind = ARG_LIST},
        {.name = "--enabled", .kind = ARG_BOOL},
        {.name = "--yes", .alias = "-y", .kind = ARG_FLAG},
        {.name = "--hsm-name", .alias = "--hsm", .kind = ARG_VALUE},
        {.name = NULL},
    };
    memcpy(table, fresh, sizeof fresh);
}

/* Words separated by single blanks. */
static bool parse(struct arg table[7], const char *line)
{
    static char text[2000];
    char *argv[WORDS_MAX];
    int argc = 0;
    table_init(table);
    memcpy(text, line, strlen(line) + 1);
    why[0] = '\0';
    for (char *at = text; *at != '\0';) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at == ' ')
            *at++ = '\0';
    }
    return args_parse(table, argc, argv, why, sizeof why);
}

static void refused(const char *line, const char *text)
{
    struct arg table[7];
    if (parse(table, line))
        fail_msg("'%s' was taken", line);
    if (strcmp(why, text) != 0)
        fail_msg("'%s': '%s'", line, why);
}

static void values(void **state)
{
    (void)state;
    struct arg t[7];
    static const char *const same[] = {"--name k1 --yes", "-n k1 -y", "--name=k1 --yes",
                                       "--yes --name k1"};
    for (unsigned i = 0; i < 4; i++) {
        assert_true(parse(t, same[i]));
        assert_string_equal(args_value(t, "--name"), "k1");
        assert_true(args_get(t, "--yes")->given);
        assert_null(args_value(t, "--hsm-name"));
    }
    assert_true(parse(t, "--hsm pool"));
    assert_string_equal(args_value(t, "--hsm-name"), "pool");
    assert_ptr_equal(args_get(t, "--hsm"), args_get(t, "--hsm-name"));
    /* the last one counts; the rest of an inline value may be anything */
    assert_true(parse(t, "--name a --name b"));
    assert_string_equal(args_value(t, "--name"), "b");
    assert_true(parse(t, "--name=a=b"));
    assert_string_equal(args_value(t, "--name"), "a=b");
    assert_true(parse(t, "--name="));
    assert_string_equal(args_value(t, "--name"), "");
    assert_true(parse(t, "--name=--x"));
    assert_string_equal(args_value(t, "--name"), "--x");
}

/* A value may be "-" (standard input) or a negative number: neither is an option. */
static void values_with_hyphens(void **state)
{
    (void)state;
    struct arg t[7];
    assert_true(parse(t, "--name -"));
    assert_string_equal(args_value(t, "--name"), "-");
    assert_true(parse(t, "--name -5"));
    assert_string_equal(args_value(t, "--name"), "-5");
    assert_true(parse(t, "--name=-x"));
    assert_string_equal(args_value(t, "--name"), "-x");
}

static void lists(void **state)
{
    (void)state;
    struct arg t[7];
    assert_true(parse(t, "--ops sign verify wrapKey --name k --tags a=b c"));
    const struct arg *ops = args_get(t, "--ops");
    assert_int_equal(ops->list_n, 3);
    assert_string_equal(ops->list[0], "sign");
    assert_string_equal(ops->list[2], "wrapKey");
    assert_int_equal(args_get(t, "--tags")->list_n, 2);
    assert_string_equal(args_get(t, "--tags")->list[0], "a=b");
    /* given twice: goes on */
    assert_true(parse(t, "--ops sign --ops verify --ops=encrypt"));
    assert_int_equal(args_get(t, "--ops")->list_n, 3);
    assert_string_equal(args_get(t, "--ops")->list[2], "encrypt");
    /* as with az: an option with no words behind it */
    refused("--ops", "--ops needs a value");
    refused("--ops --name k", "--ops needs a value");
}

static void list_limit(void **state)
{
    (void)state;
    struct arg t[7];
    char line[400] = "--ops";
    char text[100];
    for (unsigned i = 0; i < ARGS_LIST_MAX; i++)
        strncat(line, " x", sizeof line - strlen(line) - 1);
    assert_true(parse(t, line));
    assert_int_equal(args_get(t, "--ops")->list_n, ARGS_LIST_MAX);
    snprintf(text, sizeof text, "--ops takes at most %d values", ARGS_LIST_MAX);
    strncat(line, " x", sizeof line - strlen(line) - 1);
    refused(line, text);
    /* the same limit for values behind an equals sign */
    line[strlen(line) - 2] = '\0';
    strncat(line, " --ops=y", sizeof line - strlen(line) - 1);
    refused(line, text);
}

static void booleans(void **state)
{
    (void)state;
    struct arg t[7];
    static const struct {
        const char *line, *value;
    } good[] = {
        {"--enabled", "true"},        {"--enabled true", "true"},  {"--enabled false", "false"},
        {"--enabled=false", "false"}, {"--enabled --yes", "true"},
    };
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(parse(t, good[i].line));
        assert_string_equal(args_value(t, "--enabled"), good[i].value);
    }
    assert_true(parse(t, ""));
    assert_null(args_value(t, "--enabled"));
    refused("--enabled maybe", "--enabled takes true or false, not 'maybe'");
    refused("--enabled=", "--enabled takes true or false, not ''");
    refused("--enabled TRUE", "--enabled takes true or false, not 'TRUE'");
}

static void refusals(void **state)
{
    (void)state;
    refused("--name", "--name needs a value");
    refused("-n", "--name needs a value");
    refused("--name --yes", "--name needs a value");
    refused("--yes=1", "--yes takes no value");
    refused("--nam k", "unrecognized argument: --nam (see --help)");
    refused("--names k", "unrecognized argument: --names (see --help)");
    refused("--name k stray", "unrecognized argument: stray (see --help)");
    refused("--yes stray", "unrecognized argument: stray (see --help)");
    refused("stray", "unrecognized argument: stray (see --help)");
    refused("-", "unrecognized argument: - (see --help)");
    refused("--", "unrecognized argument: -- (see --help)");
    refused("-x", "unrecognized argument: -x (see --help)");
    refused("-n=k", "unrecognized argument: -n=k (see --help)");
    refused("=", "unrecognized argument: = (see --help)");
    refused("--=k", "unrecognized argument: --=k (see --help)");
}

static void required(void **state)
{
    (void)state;
    struct arg t[] = {{.name = "--name", .alias = "-n", .kind = ARG_VALUE, .required = true},
                      {.name = "--ops", .kind = ARG_LIST, .required = true},
                      {.name = NULL}};
    char words[4][8] = {"-n", "k", "--ops", "sign"};
    char *both[] = {words[0], words[1], words[2], words[3]};
    char *one[] = {words[2], words[3]};
    assert_false(args_parse(t, 0, NULL, why, sizeof why));
    assert_string_equal(why, "--name is required (see --help)");
    assert_false(args_parse(t, 2, one, why, sizeof why));
    assert_string_equal(why, "--name is required (see --help)");
    assert_true(args_parse(t, 4, both, why, sizeof why));
}

/* A message that does not fit is cut, never written past its end. */
static void long_words(void **state)
{
    (void)state;
    struct arg t[7];
    char word[500], text[32];
    char *argv[] = {word};
    table_init(t);
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    memset(text, 'Z', sizeof text);
    assert_false(args_parse(t, 1, argv, text, 16));
    assert_int_equal(strlen(text), 15);
    assert_int_equal(text[16], 'Z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),   cmocka_unit_test(values_with_hyphens),
        cmocka_unit_test(lists),    cmocka_unit_test(list_limit),
        cmocka_unit_test(booleans), cmocka_unit_test(refusals),
        cmocka_unit_test(required), cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
