/* Somebody who can have a token, and how the provider of tokens finds them. */
#ifndef FABRIC_IDENTITY_PRINCIPAL_H
#define FABRIC_IDENTITY_PRINCIPAL_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "fabric/identity/assertion.h"
#include "fabric/identity/secret_hash.h"
#include "fabric/identity/token_fault.h"

#define DIRECTORY_NAME_MAX     128
#define DIRECTORY_SECRET_MAX   128
#define PRINCIPAL_RESOURCE_MAX 900
/* More groups than this are not put into a token; the service has the same limit. */
#define PRINCIPAL_GROUPS_MAX 200

enum principal_kind {
    PRINCIPAL_USER,
    PRINCIPAL_APP,
    PRINCIPAL_MANAGED_IDENTITY
};

/* Texts are zero-terminated UTF-8; object and client ids are lower-case GUIDs. */
struct principal {
    enum principal_kind kind;
    char oid[UUID_TEXT_LEN + 1];
    char client_id[UUID_TEXT_LEN + 1]; /* apps ("appId") and managed identities; "" for users */
    char name[DIRECTORY_NAME_MAX + 1]; /* display name */
    char upn[DIRECTORY_NAME_MAX + 1];  /* users: user principal name; else "" */
    /* password or client secret of a principal of directory.json; else "" */
    char secret[DIRECTORY_SECRET_MAX + 1];
    char hash[SECRET_HASH_MAX]; /* of a user's password; "": none, or it is in secret */
    char resource_id[PRINCIPAL_RESOURCE_MAX + 1]; /* managed identities: ARM id; "": the built-in */
    bool disabled;
    bool system_assigned; /* managed identities that belong to one resource */
};

/* Where principals are. All functions are called on one thread; what they return is copied. */
struct people {
    void *ctx;
    bool (*by_oid)(void *ctx, struct bytes oid, struct principal *ret);
    /* Apps and managed identities. */
    bool (*by_client)(void *ctx, struct bytes client_id, struct principal *ret);
    bool (*by_upn)(void *ctx, struct bytes upn, struct principal *ret);
    bool (*by_resource)(void *ctx, struct bytes resource_id, struct principal *ret);
    /* Object ids of all groups that p is in, also through other groups. Returns how many there are;
     * the first max of them are in dst. */
    size_t (*groups)(void *ctx, const struct principal *p, char (*dst)[UUID_TEXT_LEN + 1],
                     size_t max);
    /* How an app proves who it is. */
    enum token_fault (*secret)(void *ctx, const struct principal *app, struct bytes secret,
                               uint64_t now_s);
    enum token_fault (*certificate)(void *ctx, const struct principal *app,
                                    const struct assertion *a, uint64_t now_s);
    /* May a browser that signed in for this app be sent to uri? Only apps of the directory. */
    bool (*redirect)(void *ctx, const struct principal *app, struct bytes uri);
};

/* Constant-time in the content; an empty stored secret never matches. */
bool directory_secret_matches(const char *stored, struct bytes given);

#endif
