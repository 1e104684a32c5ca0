/* What a pool is made with, and keeps: options of the first `keyhold up`. */
#ifndef CLI_CREATION_H
#define CLI_CREATION_H

#include "cli/cli.h"
#include "fabric/identity/pool_settings.h"

struct creation {
    struct pool_settings want; /* defaults where no option was given */
    bool has_retention, has_purge, has_administrators;
    struct bytes issuers; /* external ones, as pool_file.h has them; static memory */
};

/* For the table of `up`. */
#define CREATION_ARGS                                                                              \
    {.name = "--retention-days",                                                                   \
     .kind = ARG_VALUE,                                                                            \
     .help = "first run: days that deleted keys are kept, 7 to 90 (default 90)"},                  \
        {.name = "--purge-protection",                                                             \
         .kind = ARG_BOOL,                                                                         \
         .help = "first run: nobody can purge a deleted key before that"},                         \
        {.name = "--issuer",                                                                       \
         .kind = ARG_LIST,                                                                         \
         .help = "first run: also tokens of URL,audience=AUD,roots=PEMFILE[,tenant=GUID]"},        \
    {                                                                                              \
        .name = "--administrators", .kind = ARG_LIST,                                              \
        .help = "first run: object ids OID[,OID...] (default: the two of `keyhold env`)"           \
    }

/* creation_issuer.c: the words of --issuer as JSON objects with commas between them. NULL, or what
 * is wrong. */
const char *creation_issuers(const struct arg *words, struct bytes *ret);

/* false: the error was printed, *ret_status is the exit status. */
bool creation_parse(struct arg *args, struct creation *ret, int *ret_status);
/* Was the pool, which exists, made with what was asked for? Prints what is not so. */
int creation_check(const struct cli *c, const struct creation *want);
/* Write HOME/pool.json for the first start of the boundary. */
bool creation_store(const struct cli *c, const struct partition_config *cfg,
                    const struct directory *d, const struct creation *want);

#endif
