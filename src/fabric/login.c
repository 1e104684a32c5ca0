/* Token endpoints. */
#include <stdio.h>
#include "base/secret.h"
#include "fabric/login_internal.h"

void answer_fault(struct answer *a, const struct request *rq, enum token_fault fault)
{
    a->status = token_fault_http(fault);
    a->body.n = 0;
    a->body.overflow = false;
    if (a->status == 401)
        answer_header(a, "WWW-Authenticate", "Basic realm=\"token\"");
    token_fault_write(fault, rq->id, rq->now_ms, &a->body);
}

/* The end of a login that began elsewhere. */
static enum token_fault token_of_login(struct fabric *f, const struct request *rq,
                                       struct token_request *q, const struct token_context *c,
                                       struct answer *a)
{
    struct principal who = {0};
    bool is_public = false;
    enum token_fault e = provider_client(&f->provider, q, c, &who, &is_public);
    if (e == TOKEN_OK)
        e = q->grant == GRANT_CODE ? code_redeem(f, rq, q, c, &who)
                                   : device_redeem(f, rq, q, c, &who);
    if (e == TOKEN_OK)
        e = provider_answer(&f->provider, q, &who, c, &a->body);
    secret_wipe(&who, sizeof who);
    return e;
}

static void token_answer(struct fabric *f, const struct request *rq, const char *id_issuer,
                         struct answer *a)
{
    const struct token_context c = {.id_issuer = id_issuer,
                                    .origin = rq->face.login,
                                    .address = rq->http->client_ip,
                                    .now_s = rq->now_ms / 1000};
    struct token_request q;
    enum token_fault e =
        token_request_parse(rq->http->head->content_type, rq->http->head->authorization,
                            rq->http->body, f->form_buf, sizeof f->form_buf, &q);
    a->secret = true;
    answer_header(a, "Pragma", "no-cache");
    if (e == TOKEN_OK)
        e = q.grant == GRANT_DEVICE_CODE || q.grant == GRANT_CODE
                ? token_of_login(f, rq, &q, &c, a)
                : provider_token(&f->provider, &q, &c, &a->body);
    if (e != TOKEN_OK)
        answer_fault(a, rq, e);
}

void token_adfs(struct fabric *f, const struct request *rq, struct answer *a)
{
    char issuer[FACE_URL_MAX + 8];
    snprintf(issuer, sizeof issuer, "%s/adfs", rq->face.login);
    token_answer(f, rq, issuer, a);
}

void token_tenant(struct fabric *f, const struct request *rq, struct answer *a)
{
    char issuer[FACE_URL_MAX + 64];
    if (rq->url.seg_n == 4)
        snprintf(issuer, sizeof issuer, "%s/%s/v2.0", rq->face.login, f->provider.dir.tenant);
    else
        provider_issuer(&f->provider, issuer);
    token_answer(f, rq, issuer, a);
}

static struct bytes first_of(const struct url_target *url, const char *a, const char *b)
{
    struct bytes v = url_param_get(url, a);
    return v.p != NULL ? v : url_param_get(url, b);
}

void token_managed(struct fabric *f, const struct request *rq, struct answer *a)
{
    const struct managed_selector which = {
        .client_id = url_param_get(&rq->url, "client_id"),
        .object_id = first_of(&rq->url, "object_id", "principal_id"),
        .resource_id = first_of(&rq->url, "mi_res_id", "msi_res_id")};
    a->secret = true;
    enum token_fault e = provider_managed_token(
        &f->provider, http1_header_get(rq->http->head, "x-identity-header"),
        url_param_get(&rq->url, "resource"), &which, rq->now_ms / 1000, &a->body);
    if (e != TOKEN_OK)
        answer_fault(a, rq, e);
}
