/* Types of resources of the control plane. A type is one table entry (list: arm_types.c); paths,
 * groups, lists, tags, systemData, rights, api-versions, operations and errors are the framework's.
 *
 * A resource is one document of state (STATE_RESOURCE, key: its id in lower case):
 *   {"id","name","type","location","tags","systemData", what `put` wrote beside them,
 *    "properties":{what `put` wrote}}
 * Hooks run on the loop's thread. They read the state, stage changes into rq->changes and may be
 * run again for the same request when another one was faster. A hook that returns false has filled
 * the answer with its refusal (answer_error, arm_error); nothing that it staged is then kept. */
#ifndef FABRIC_ARM_TYPE_H
#define FABRIC_ARM_TYPE_H

#include "codec/json.h"
#include "fabric/fabric.h"

#define ARM_ID_MAX     900 /* bytes */
#define ARM_NAME_MAX   260
#define ARM_TOKENS_MAX 4096
#define ARM_ACTION_MAX 200 /* "Microsoft.KeyVault/managedHSMs/write" */

enum arm_place {
    ARM_IN_GROUP, /* .../resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/CHILDTYPE/CHILD]... */
    ARM_ON_SCOPE, /* SCOPE/providers/NAMESPACE/TYPE/NAME; SCOPE: a resource, group, subscription */
};

enum arm_methods {
    ARM_GET = 1,
    ARM_LIST = 2,
    ARM_PUT = 4,
    ARM_PATCH = 8,
    ARM_DELETE = 16,
    ARM_ALL = 31,
};

/* How a change that is not done at once is answered (Retry-After: 1 in all of them). */
enum arm_style {
    /* PUT 201 new, 200 else, with the resource; DELETE 200, 204 when absent. With an operation all
     * the same DELETE is 202, and the hook has put the headers for it into the answer. */
    ARM_AT_ONCE,
    ARM_LOCATION, /* 202, empty, Location; it answers 202, then 200 with the resource or empty */
    ARM_ASYNC,    /* PUT 201 or 200 with the resource and Azure-AsyncOperation; DELETE 202 */
    ARM_ACCEPTED, /* 202 with Azure-AsyncOperation and Location; PUT with the resource, or with
                     {"operation":upsert,"startTime"} */
};

struct arm_type;
struct arm_action;

/* A resource as it is stored, parsed. Borrows from the document: valid until the handler returns.
 */
struct arm_resource {
    const struct arm_type *type; /* NULL: of no known type */
    struct json_doc json;        /* root: the resource */
    struct json_tok tok[ARM_TOKENS_MAX];
};

/* PUT or PATCH of a resource. */
struct arm_put {
    const struct arm_type *type;
    const char *id;              /* spelled as its creator did */
    const char *name;            /* last segment */
    const char *parent;          /* id of the parent, or of the scope; "" for others */
    const struct json_doc *body; /* root is an object */
    /* What is stored, NULL: the resource is new. A hook may set both: then createdAt, and with
     * patch the tags, come from what it says. */
    const struct json_doc *old;
    bool patch;                 /* what the body leaves out stays */
    struct arm_resource *spare; /* the hook's, lives as long as the request */
    const char *location;       /* checked by the framework; "" when the type has none */
    /* Filled by the hook. Both are open objects; write members only. Everything to be kept must be
     * written: what is not written is gone (arm_keep() copies). "provisioningState" is the hook's,
     * too. */
    struct json_wr *top;        /* sku, kind, identity, etag, ... */
    struct json_wr *properties; /* members of "properties" */
    /* Kind of an operation (operation.h) to start on the resource; NULL: all is done with this
     * change, and styles that are asked for progress answer that it has succeeded. */
    const char *operation;
    struct bytes operation_data; /* a JSON object, static or in the hook's own buffer; empty: {} */
    bool unchanged;              /* nothing to store: answer the resource as it is, at once */
};

struct arm_delete {
    const struct arm_type *type;
    const struct arm_resource *resource;
    const char *id;
    const char *within; /* "ID/" of the group that goes with all that is in it; NULL: only this */
    /* Kind of an operation that will delete the document; NULL: it goes now, with its children. */
    const char *operation;
};

typedef bool arm_put_fn(struct fabric *f, const struct request *rq, struct arm_put *p,
                        struct answer *a);
typedef bool arm_delete_fn(struct fabric *f, const struct request *rq, struct arm_delete *d,
                           struct answer *a);
/* Writes the members of "properties" as the client sees them. */
typedef void arm_render_fn(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                           struct json_wr *properties);
/* The whole answer, status 200 preset. body: NULL when there is none. */
typedef bool arm_action_fn(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                           const struct json_doc *body, struct answer *a);

/* METHOD .../NAME/ACTION */
struct arm_action {
    enum http1_method method;
    const char *name;  /* "associatedResources" */
    const char *right; /* after the type's name: "read", "revalidate/action" */
    arm_action_fn *fn;
};

struct arm_type {
    const char
        *name; /* "Microsoft.Sql/managedInstances/keys": namespace and the types of the path */
    const char *shown; /* "type" of its resources when that is spelled otherwise; NULL: name */
    enum arm_place place;
    unsigned methods; /* enum arm_methods */
    enum arm_style style;
    const char *operations; /* "DiskOperations": .../providers/NS/locations/L/DiskOperations/ID;
                               NULL: "operationResults" or "operationStatuses" */
    const char *results;    /* ARM_ACCEPTED: the word in Location; NULL: operations, monitor=true */
    const char *upsert;
    bool located; /* has a location (required) and tags; top-level types of a group */
    bool plain;   /* ARM_AT_ONCE: PUT of a new one answers 200, too */
    bool hidden;  /* not in the list of all resources */
    arm_put_fn *put;
    arm_delete_fn *del;               /* NULL: just goes */
    arm_render_fn *render;            /* NULL: properties as stored */
    const struct arm_action *actions; /* ended by a zero name; NULL: none */
};

/* ---- For hooks ---- */

/* {"error":{code,message}}; message by printf's rules. Always false: `return arm_error(...)`. */
bool arm_error(struct answer *a, unsigned status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* 404 ResourceNotFound with the general text, for an id in any case. False. */
bool arm_not_found(struct answer *a, const char *id);

/* The resource with that id (any case). False when there is none; then *ret is not to be used. */
bool arm_find(struct fabric *f, struct bytes id, struct arm_resource *ret);
/* Every resource below an id ("/subscriptions/S/resourceGroups/G/" and everything in it), of one
 * type or of all (NULL), in the order of the ids. fn returns false to end. */
typedef bool arm_each_fn(void *ctx, struct fabric *f, const struct arm_resource *r);
void arm_each(struct fabric *f, struct bytes below, const struct arm_type *type, arm_each_fn *fn,
              void *ctx);
/* Stage a whole resource document, or its end, for example of a child that comes with its parent.
 * The children of a resource go with it by themselves. */
void arm_stage(struct fabric *f, const struct request *rq, const char *id, struct bytes json);
void arm_stage_delete(struct fabric *f, const struct request *rq, const char *id);

/* May the caller do that on the scope (a resource, group or subscription id, any case)? Hooks need
 * it only for rights beyond the one on the resource itself, which the framework has checked. */
bool arm_may(struct fabric *f, const struct request *rq, const char *action, struct bytes scope);
/* 403 AuthorizationFailed with the general text. False. */
bool arm_forbid(const struct request *rq, const char *action, struct bytes scope, struct answer *a);

/* Members of documents. obj: token of an object or JSON_NONE. Strings are cut off at cap - 1 and
 * terminated; false, and "" in dst, when there is no such string (or it is longer). */
bool arm_string(const struct json_doc *d, uint32_t obj, const char *name, char *dst, size_t cap);
bool arm_string_is(const struct json_doc *d, uint32_t obj, const char *name, const char *want);
/* "properties" of a resource or a body. */
uint32_t arm_properties(const struct json_doc *d);
/* Copy obj's member of that name, or every member but those named (NULL ends the list). False when
 * it is not there. */
bool arm_copy(struct json_wr *j, const struct json_doc *d, uint32_t obj, const char *name);
void arm_copy_except(struct json_wr *j, const struct json_doc *d, uint32_t obj,
                     const char *const *names);
/* One member of "properties" (or of the top): the body's, else (PATCH only) the stored one. */
bool arm_keep(const struct arm_put *p, const char *name);
bool arm_keep_top(const struct arm_put *p, const char *name);

#endif
