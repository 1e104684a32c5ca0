#include "fabric/fabric.h"

#include <stdlib.h>
#include "base/secret.h"

hsm_err fabric_open(const struct fabric_config *config, uint64_t now_ms, struct fabric **ret)
{
    struct fabric *f = calloc(1, sizeof *f);
    if (f == NULL)
        return HSM_E_NOMEM;
    f->config = *config;
    hsm_err e = provider_load(config->home, now_ms, &f->provider);
    if (e == HSM_OK)
        e = state_open_memory(&f->state);
    if (e == HSM_OK)
        e = operations_new(f, &f->operations);
    if (e != HSM_OK) {
        fabric_close(f);
        return e;
    }
    operations_resume(f->operations);
    *ret = f;
    return HSM_OK;
}

void fabric_close(struct fabric *f)
{
    if (f == NULL)
        return;
    nodes_close(f->nodes, NULL, NULL);
    state_close(f->state, NULL, NULL);
    operations_free(f->operations);
    provider_done(&f->provider);
    secret_wipe(f, sizeof *f);
    free(f);
}

void fabric_wipe(struct fabric *f)
{
    secret_wipe(f->form_buf, sizeof f->form_buf);
    secret_wipe(f->body_buf, sizeof f->body_buf);
}

bool fabric_is_tenant(const struct fabric *f, struct bytes segment)
{
    const struct directory *d = &f->provider.dir;
    return bytes_ieq(segment, bytes_str(d->tenant)) || bytes_ieq(segment, bytes_str(d->domain)) ||
           bytes_ieq(segment, bytes_str("common")) ||
           bytes_ieq(segment, bytes_str("organizations"));
}

void fabric_refused(hsm_err err, struct wr *headers, struct wr *body)
{
    struct answer a = {.headers = *headers, .body = *body};
    answer_header(&a, "Content-Type", "application/json; charset=utf-8");
    answer_error(&a, hsm_err_http(err), hsm_err_code(err), hsm_err_text(err));
    *headers = a.headers;
    *body = a.body;
}
