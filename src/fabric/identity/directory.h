/* What the directory of an installation begins with: one tenant, one subscription, a handful of
 * principals with their passwords and secrets, kept in DIR/directory.json (mode 0600). It is
 * created with random values on first use and never changed afterwards. Passwords stand in it as
 * they are, because the command line prints them for the user. Everybody who comes later is a
 * document of the control plane's state (people.h).
 *
 * Thread-safe: no state; creation is serialised between processes by a lock on DIR. */
#ifndef FABRIC_IDENTITY_DIRECTORY_H
#define FABRIC_IDENTITY_DIRECTORY_H

#include "base/bytes.h"
#include "fabric/identity/principal.h"

#define DIRECTORY_PRINCIPALS 4
#define DIRECTORY_KEY_LEN    32

struct directory_group {
    char oid[UUID_TEXT_LEN + 1];
    char name[DIRECTORY_NAME_MAX + 1];
    char member[DIRECTORY_PRINCIPALS][UUID_TEXT_LEN + 1]; /* object ids */
    size_t member_n;
};

struct directory {
    char tenant[UUID_TEXT_LEN + 1];
    char subscription[UUID_TEXT_LEN + 1];
    char tenant_name[DIRECTORY_NAME_MAX + 1];
    char domain[DIRECTORY_NAME_MAX + 1]; /* default domain of the tenant */
    uint64_t created_ms;
    struct principal user;        /* administrator of the pool, signs in with a password */
    struct principal admin;       /* administrator of the pool, service principal */
    struct principal guest;       /* service principal without any role */
    struct principal managed;     /* managed identity of whoever knows identity_header */
    struct directory_group group; /* the user is its member; it has no role by itself */
    char identity_header[DIRECTORY_SECRET_MAX + 1]; /* value of IDENTITY_HEADER */
    uint8_t refresh_key[DIRECTORY_KEY_LEN];         /* signs refresh tokens */
};

/* Load DIR/directory.json, or create DIR (0700) and the file. now_ms: wall clock, for a new file.
 * HSM_E_CORRUPT when the file is no directory, HSM_E_IO. Wipe with directory_done(). */
HSM_MUST_USE hsm_err directory_load_or_create(const char *dir, uint64_t now_ms,
                                              struct directory *ret);
/* Only load. HSM_E_NOT_FOUND when there is none. */
HSM_MUST_USE hsm_err directory_load(const char *dir, struct directory *ret);
void directory_done(struct directory *d);

/* Text form <-> structure; pure. The parser checks every GUID and length, unknown members are an
 * error. HSM_E_CORRUPT / HSM_E_RANGE. */
HSM_MUST_USE hsm_err directory_parse(struct bytes json, struct directory *ret);
HSM_MUST_USE hsm_err directory_format(const struct directory *d, struct wr *out);

/* 0 <= i < DIRECTORY_PRINCIPALS */
const struct principal *directory_at(const struct directory *d, size_t i);
/* By object id, client id or user principal name, case-insensitive; NULL when unknown. */
const struct principal *directory_find(const struct directory *d, struct bytes id);
const struct principal *directory_find_oid(const struct directory *d, struct bytes oid);
bool directory_is_member(const struct directory_group *g, const struct principal *p);
/* The four alone, for struct people; ctx is the directory. */
struct people directory_people(const struct directory *d);

#endif
