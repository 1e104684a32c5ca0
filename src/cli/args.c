#include "cli/args.h"

#include <stdio.h>
#include <string.h>

static bool is_option(const char *s)
{
    return s[0] == '-' && s[1] != '\0' && !(s[1] >= '0' && s[1] <= '9');
}

static struct arg *find(struct arg *table, const char *word, size_t n)
{
    for (struct arg *a = table; a->name != NULL; a++) {
        if (strlen(a->name) == n && memcmp(a->name, word, n) == 0)
            return a;
        if (a->alias != NULL && strlen(a->alias) == n && memcmp(a->alias, word, n) == 0)
            return a;
    }
    return NULL;
}

static bool take_bool(struct arg *a, const char *v, char *text, size_t cap)
{
    if (strcmp(v, "true") != 0 && strcmp(v, "false") != 0) {
        (void)snprintf(text, cap, "%s takes true or false, not '%s'", a->name, v);
        return false;
    }
    a->value = v;
    return true;
}

static bool take_item(struct arg *a, const char *v, char *text, size_t cap)
{
    if (a->list_n == ARGS_LIST_MAX) {
        (void)snprintf(text, cap, "%s takes at most %d values", a->name, ARGS_LIST_MAX);
        return false;
    }
    a->list[a->list_n++] = v;
    return true;
}

/* Number of argv words used after the option itself, or -1. */
static int take_values(struct arg *a, int argc, char **argv, char *text, size_t cap)
{
    int n = 0;
    while (n < argc && !is_option(argv[n]))
        n++;
    if (a->kind == ARG_FLAG)
        return 0;
    if (a->kind == ARG_BOOL) {
        if (n == 0) {
            a->value = "true";
            return 0;
        }
        return take_bool(a, argv[0], text, cap) ? 1 : -1;
    }
    if (n == 0) {
        (void)snprintf(text, cap, "%s needs a value", a->name);
        return -1;
    }
    if (a->kind == ARG_VALUE) {
        a->value = argv[0];
        return 1;
    }
    for (int i = 0; i < n; i++)
        if (!take_item(a, argv[i], text, cap))
            return -1;
    return n;
}

static bool take_inline(struct arg *a, const char *v, char *text, size_t cap)
{
    if (a->kind == ARG_FLAG) {
        (void)snprintf(text, cap, "%s takes no value", a->name);
        return false;
    }
    if (a->kind == ARG_BOOL)
        return take_bool(a, v, text, cap);
    if (a->kind == ARG_LIST)
        return take_item(a, v, text, cap);
    a->value = v;
    return true;
}

bool args_parse(struct arg *table, int argc, char **argv, char *text, size_t cap)
{
    for (int i = 0; i < argc; i++) {
        const char *eq = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL;
        size_t n = eq != NULL ? (size_t)(eq - argv[i]) : strlen(argv[i]);
        struct arg *a = is_option(argv[i]) ? find(table, argv[i], n) : NULL;
        if (a == NULL) {
            (void)snprintf(text, cap, "unrecognized argument: %s (see --help)", argv[i]);
            return false;
        }
        a->given = true;
        if (eq != NULL) {
            if (!take_inline(a, eq + 1, text, cap))
                return false;
            continue;
        }
        int used = take_values(a, argc - i - 1, argv + i + 1, text, cap);
        if (used < 0)
            return false;
        i += used;
    }
    for (struct arg *a = table; a->name != NULL; a++) {
        if (a->required && !a->given) {
            (void)snprintf(text, cap, "%s is required (see --help)", a->name);
            return false;
        }
    }
    return true;
}

struct arg *args_get(struct arg *table, const char *name)
{
    return find(table, name, strlen(name));
}

const char *args_value(struct arg *table, const char *name)
{
    struct arg *a = args_get(table, name);
    return a != NULL && a->given ? a->value : NULL;
}

void args_help(const struct arg *table)
{
    for (const struct arg *a = table; a->name != NULL; a++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", a->name, a->alias != NULL ? ", " : "",
                       a->alias != NULL ? a->alias : "");
        (void)printf("  %-34s %s%s\n", left, a->help, a->required ? " [required]" : "");
    }
}
