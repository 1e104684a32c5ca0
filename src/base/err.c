#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    unsigned http;
    const char *code;
    const char *text;
} rows[] = {
#define X(name, http, code, text) {#name, http, code, text},
    HSM_ERRORS(X)
#undef X
};

static unsigned known(unsigned err)
{
    return err < HSM_E__COUNT ? err : (unsigned)HSM_E_INTERNAL;
}

unsigned hsm_err_http(unsigned err)
{
    return rows[known(err)].http;
}

const char *hsm_err_code(unsigned err)
{
    return rows[known(err)].code;
}

const char *hsm_err_inner_code(unsigned err)
{
    return err == HSM_E_FIREWALL_ADDRESS ? "ForbiddenByFirewall"
           : err == HSM_E_FIREWALL_WAY   ? "ForbiddenByConnection"
                                         : NULL;
}

const char *hsm_err_text(unsigned err)
{
    return rows[known(err)].text;
}

const char *hsm_err_name(unsigned err)
{
    return rows[known(err)].name;
}

void hsm_assert_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "assertion failed: %s at %s:%d\n", cond, file, line);
    abort();
}
