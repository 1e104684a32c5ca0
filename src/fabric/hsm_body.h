/* What the body of a PUT or PATCH of a managed HSM asks for. */
#ifndef FABRIC_HSM_BODY_H
#define FABRIC_HSM_BODY_H

#include "fabric/hsm.h"

struct hsm_body {
    bool recover;
    char family[8], sku[32]; /* "": not given */
    char admin[HSM_ADMINS_MAX][UUID_TEXT_LEN + 1];
    size_t admin_n;
    int64_t retention; /* -1: not given */
    int protect;       /* -1: not given */
    bool no_soft_delete;
    char access[32];     /* publicNetworkAccess; "": not given */
    char network[16384]; /* networkAcls, normalised; "": not given */
    char region[64];     /* a region beyond the primary one; "": none */
    char identity[40];   /* identity.type without blanks; "": not given */
};

/* location: of the HSM. false: answered with what is wrong. */
bool hsm_body_read(const struct json_doc *body, const char *location, struct hsm_body *ret,
                   struct answer *a);
/* 400 with the list of all regions, the service's text. False. */
bool hsm_bad_region(struct answer *a, const char *name);

#endif
