/* Groups and who is in them, as Graph shows it. */
#include "fabric/graph_internal.h"

#define CHECK_IDS_MAX 20

struct members {
    const struct fabric *f;
    struct json_wr *j;
};

static bool put_member(void *ctx, struct bytes oid)
{
    static struct people_object o;
    const struct members *m = ctx;
    if (graph_by_id(m->f, oid, &o))
        graph_put(m->j, &o);
    return true;
}

static void put_objects(const struct fabric *f, struct bytes of,
                        void each(const struct fabric *, struct bytes, people_id_fn, void *),
                        struct answer *a)
{
    struct json_wr j = json_wr_of(&a->body);
    struct members m = {.f = f, .j = &j};
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    each(f, of, put_member, &m);
    json_arr_close(&j);
    json_obj_close(&j);
}

static bool id_of_target(const struct fabric *f, const struct request *rq, bool group,
                         char ret[UUID_TEXT_LEN + 1], struct answer *a)
{
    static struct people_object o;
    if (!graph_target(f, rq, &o, a))
        return false;
    people_text(&o, "id", ret, UUID_TEXT_LEN + 1);
    if (group && o.type != PEOPLE_GROUP) {
        graph_not_found(a);
        return false;
    }
    return true;
}

void graph_members(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    if (id_of_target(f, rq, true, id, a))
        put_objects(f, bytes_str(id), people_members, a);
}

void graph_member_of(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    if (id_of_target(f, rq, false, id, a))
        put_objects(f, bytes_str(id), people_groups_direct, a);
}

static char all_groups[PEOPLE_GROUPS_MAX][UUID_TEXT_LEN + 1];

static size_t groups_of(const struct fabric *f, const char *id)
{
    size_t n = people_groups(f, bytes_str(id), all_groups, PEOPLE_GROUPS_MAX);
    return n > PEOPLE_GROUPS_MAX ? PEOPLE_GROUPS_MAX : n;
}

/* getMemberGroups and getMemberObjects: here both are groups only. */
void graph_all_groups(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    if (!id_of_target(f, rq, false, id, a))
        return;
    size_t n = groups_of(f, id);
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (size_t i = 0; i < n; i++)
        json_put_str(&j, all_groups[i]);
    json_arr_close(&j);
    json_obj_close(&j);
}

static bool is_among(size_t n, struct bytes id)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes_ieq(id, bytes_str(all_groups[i])))
            return true;
    }
    return false;
}

void graph_check_groups(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    struct json_doc body;
    if (!id_of_target(f, rq, false, id, a) || !graph_body(rq, &body, a))
        return;
    uint32_t ids = json_get_nn(&body, 0, "groupIds");
    if (ids == JSON_NONE || json_type_of(&body, ids) != JSON_ARRAY ||
        json_count(&body, ids) > CHECK_IDS_MAX) {
        graph_bad_request(a, "The body must be {\"groupIds\":[...]} with at most 20 ids.");
        return;
    }
    size_t n = groups_of(f, id);
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (uint32_t at = json_first(&body, ids); at != JSON_NONE; at = json_next(&body, ids, at)) {
        struct bytes group;
        if (json_plain(&body, at, &group) == HSM_OK && is_among(n, group))
            json_put_bytes(&j, group);
    }
    json_arr_close(&j);
    json_obj_close(&j);
}

/* The id at the end of {"@odata.id":"https://.../directoryObjects/ID"}. */
static bool referred(const struct json_doc *body, char ret[UUID_TEXT_LEN + 1])
{
    struct bytes url;
    struct uuid u;
    uint32_t v = json_get_nn(body, 0, "@odata.id");
    if (v == JSON_NONE || json_plain(body, v, &url) != HSM_OK || url.n <= UUID_TEXT_LEN ||
        url.p[url.n - UUID_TEXT_LEN - 1] != '/' ||
        uuid_parse(bytes_of(url.p + url.n - UUID_TEXT_LEN, UUID_TEXT_LEN), &u) != HSM_OK)
        return false;
    uuid_format(&u, ret);
    return true;
}

void graph_member_add(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    char group[UUID_TEXT_LEN + 1], member[UUID_TEXT_LEN + 1];
    struct json_doc body;
    if (!graph_may_write(f, rq, a) || !id_of_target(f, rq, true, group, a) ||
        !graph_body(rq, &body, a))
        return;
    if (!referred(&body, member)) {
        graph_bad_request(a, "The body must be {\"@odata.id\":\"URL of a directory object\"}.");
    } else if (!graph_by_id(f, bytes_str(member), &o) || o.type == PEOPLE_APPLICATION) {
        graph_not_found(a);
    } else if (strcmp(group, member) == 0) {
        graph_bad_request(a, "A group cannot be a member of itself.");
    } else if (people_is_member(f, bytes_str(group), bytes_str(member))) {
        graph_bad_request(a, "One or more added object references already exist for the following "
                             "modified properties: 'members'.");
    } else {
        people_stage_member(rq->changes, bytes_str(group), bytes_str(member));
        a->status = 204;
    }
}

void graph_member_remove(struct fabric *f, const struct request *rq, struct answer *a)
{
    char group[UUID_TEXT_LEN + 1];
    const struct directory *d = &f->provider.dir;
    struct bytes member = rq->url.seg[4];
    if (!graph_may_write(f, rq, a) || !id_of_target(f, rq, true, group, a))
        return;
    if (!people_is_member(f, bytes_str(group), member)) {
        graph_not_found(a);
    } else if (strcmp(group, d->group.oid) == 0 && bytes_ieq(member, bytes_str(d->user.oid))) {
        graph_denied(a, "The installation's first user stays in its first group.");
    } else {
        people_unstage_member(rq->changes, bytes_str(group), member);
        a->status = 204;
    }
}
