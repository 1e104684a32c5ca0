#include "fabric/instances.h"

#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "fabric/identity/pki.h"
#include "store/store.h"

#define PATH_MAX_LEN   4096
#define INSTANCES_POOL "-fabric-" /* no pool can have that name */
#define NOTE           "instance.joined"

struct paths {
    char pki[PATH_MAX_LEN], dir[PATH_MAX_LEN], cert[PATH_MAX_LEN], key[PATH_MAX_LEN],
        ca[PATH_MAX_LEN];
};

static hsm_err make_paths(const struct fabric_config *c, struct paths *p)
{
    TRY(path_join(p->pki, sizeof p->pki, c->home, "../pki"));
    TRY(path_join(p->dir, sizeof p->dir, c->home, "peer"));
    TRY(path_join(p->cert, sizeof p->cert, p->dir, PKI_PEER_CERT));
    TRY(path_join(p->key, sizeof p->key, p->dir, PKI_PEER_KEY));
    TRY(path_join(p->ca, sizeof p->ca, p->pki, PKI_CA_CERT));
    return dir_ensure(p->dir, 0700);
}

static bool was_one_of_several(const struct fabric_config *c)
{
    char path[PATH_MAX_LEN];
    return path_join(path, sizeof path, c->home, NOTE) == HSM_OK && access(path, F_OK) == 0;
}

void instances_note(const struct fabric_config *c)
{
    char path[PATH_MAX_LEN];
    if (!was_one_of_several(c) && (path_join(path, sizeof path, c->home, NOTE) != HSM_OK ||
                                   file_replace(path, bytes_str("1\n"), 0600) != HSM_OK))
        log_error("%s/%s cannot be written", c->home, NOTE);
}

hsm_err instances_open(const struct fabric_config *c, const struct state_handlers *h,
                       uint64_t now_ms, struct state **ret, char *text, size_t cap)
{
    struct state_config sc = {.dir = c->home, .instance = 1};
    struct paths p;
    if (c->instance == 0)
        return state_open(c->loop, &sc, h, ret, text, cap);
    TRY(make_paths(c, &p));
    TRY(pki_ensure_peer(p.pki, p.dir, INSTANCES_POOL, c->instance - 1, now_ms, text, cap));
    const struct store_peers peers = {.pool = INSTANCES_POOL,
                                      .listen = c->peer_listen,
                                      .cert = p.cert,
                                      .key = p.key,
                                      .ca = p.ca,
                                      .seeds = c->peers,
                                      .join = c->instance > 1 || was_one_of_several(c)};
    sc.instance = c->instance;
    sc.address = c->peer_listen;
    sc.peers = &peers;
    return state_open(c->loop, &sc, h, ret, text, cap);
}
