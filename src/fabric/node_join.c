/* POST /keyhold/nodes/join: a one-time token and a public key against a certificate. */
#include <stdio.h>
#include "base/file.h"
#include "fabric/fabric.h"
#include "fabric/identity/pki.h"
#include "fabric/node_link.h"
#include "fabric/node_registry.h"

#define PATH_MAX_LEN 4096
#define PEM_MAX      8192

/* Where the node is to connect to. */
static void put_address(const struct fabric *f, char *dst, size_t cap)
{
    const char *listen = f->config.nodes_listen;
    const char *colon = strrchr(listen, ':');
    if (f->config.nodes_address != NULL)
        snprintf(dst, cap, "%s", f->config.nodes_address);
    else
        snprintf(dst, cap, "%.*s:%u", (int)(colon - listen), listen, node_link_port(f->link));
}

static void answer_joined(const struct fabric *f, const struct node_record *r, struct bytes pem,
                          struct answer *a)
{
    char address[256];
    struct json_wr j = json_wr_of(&a->body);
    put_address(f, address, sizeof address);
    json_obj_open(&j);
    put_str(&j, "name", r->name);
    put_int(&j, "number", r->number);
    json_name(&j, "certificate"); /* and the CA's */
    json_put_bytes(&j, pem);
    put_str(&j, "address", address);
    json_obj_close(&j);
}

static void refuse(struct answer *a, hsm_err e)
{
    switch (e) {
    case HSM_E_DENIED:
        answer_error(a, 401, "InvalidToken", "The token is unknown, used or too old.");
        return;
    case HSM_E_CONFLICT:
        answer_error(a, 409, "NodeExists", "There is a node of that name.");
        return;
    case HSM_E_MALFORMED:
    case HSM_E_RANGE:
    case HSM_E_BAD_PARAMETER:
        answer_error(a, 400, "BadRequest",
                     "Expected: token, publicKey (P-256), name (lower-case letters, digits, '-'), "
                     "region, zone, rack.");
        return;
    default:
        answer_error(a, 500, hsm_err_code(HSM_E_INTERNAL), hsm_err_text(HSM_E_INTERNAL));
        return;
    }
}

void node_join(struct fabric *f, const struct request *rq, struct answer *a)
{
    char dir[PATH_MAX_LEN], pem[PEM_MAX];
    struct wr w = wr_of(pem, sizeof pem);
    struct node_join j;
    struct node_record r;
    if (f->link == NULL) {
        answer_error(a, 409, "NodesNotAccepted",
                     "This installation takes no nodes of other hosts: it was started without an "
                     "address for them.");
        return;
    }
    hsm_err e = node_join_parse(rq->http->body, &j);
    if (e == HSM_OK)
        e = node_join_stage(f->state, rq->changes, &j, rq->now_ms, &r);
    if (e == HSM_OK)
        e = path_join(dir, sizeof dir, f->config.home, "../pki");
    if (e == HSM_OK)
        e = pki_issue_peer(dir, bytes_of(j.spki, j.spki_n), NODE_LINK_POOL, r.number, rq->now_ms,
                           &w);
    if (e == HSM_OK)
        answer_joined(f, &r, wr_view(&w), a);
    else {
        changes_reset(rq->changes, f->state); /* the token stays good */
        refuse(a, e);
    }
}
