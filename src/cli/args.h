/* Options in the manner of `az`: "--name VALUE", "--name=VALUE", "-n VALUE", lists "--ops a b c" up
 * to the next option, flags. Values are views of argv. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#define ARGS_LIST_MAX 64

enum arg_kind {
    ARG_VALUE,
    ARG_FLAG,
    ARG_LIST,
    ARG_BOOL /* true/false, alone: true */
};
struct arg {
    const char *name;  /* "--hsm-name"; NULL ends a table */
    const char *alias; /* "-n" or another long form; may be NULL */
    enum arg_kind kind;
    bool required;
    const char *help;
    /* results */
    const char *value; /* VALUE; BOOL: "true" or "false" */
    const char *list[ARGS_LIST_MAX];
    size_t list_n;
    bool given;
};

/* Parse argv[0..argc) into the table. On error: a message with the remedy in text[cap], false. */
bool args_parse(struct arg *table, int argc, char **argv, char *text, size_t cap);
/* By name; the table must have it. */
struct arg *args_get(struct arg *table, const char *name);
const char *args_value(struct arg *table, const char *name); /* NULL when not given */
/* Option lines for a help text, to standard output. */
void args_help(const struct arg *table);

#endif
