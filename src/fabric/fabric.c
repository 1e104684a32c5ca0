#include "fabric/fabric.h"

#include "base/secret.h"

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
