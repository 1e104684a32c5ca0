/* Answers wait for their commits: with a state on a disk, which is a small one of the test's own
 * where the system lets it mount one. */
#include "fabric/identity/test_dir.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "base/clock.h"
#include "fabric/fabric.h"

#define LOCAL  "localhost:8443"
#define ASKERS 12

struct asker {
    struct http1_head head;
    struct http_request rq;
    char text[12000], body[128], got[512];
    unsigned status, replies;
    bool has_retry_after;
};

struct rig {
    struct test_dir *dir;
    uv_loop_t loop;
    struct fabric *f;
    char home[200], text[512], auth[8192];
    bool ready, ended;
    struct asker asker[ASKERS];
};

static bool has_small_disk;

static void on_ready(void *ctx)
{
    ((struct rig *)ctx)->ready = true;
}

static void on_ended(void *ctx)
{
    ((struct rig *)ctx)->ended = true;
}

static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    (void)ctx;
    fail_msg("%s (%s)", text, hsm_err_name(err));
}

static void open_fabric(struct rig *r)
{
    const struct fabric_config c = {.home = r->home,
                                    .origin = "https://localhost:8443",
                                    .hsm_suffix = "managedhsm.localhost:8443",
                                    .region = "local",
                                    .loop = &r->loop,
                                    .ready = on_ready,
                                    .fatal = on_fatal,
                                    .ctx = r};
    r->ready = r->ended = false;
    if (fabric_open(&c, clock_now_ms(), &r->f, r->text, sizeof r->text) != HSM_OK)
        fail_msg("%s", r->text);
    while (!r->ready)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void close_fabric(struct rig *r)
{
    fabric_end(r->f, on_ended, r);
    while (!r->ended)
        uv_run(&r->loop, UV_RUN_ONCE);
    fabric_close(r->f);
}

static void take_token(struct rig *r)
{
    char jwt[8000];
    struct wr w = wr_of(jwt, sizeof jwt);
    const struct principal *who = &r->f->provider.dir.admin;
    assert_int_equal(provider_access_token(&r->f->provider, who,
                                           bytes_str("https://management.azure.com/"),
                                           bytes_str(who->client_id), clock_now_ms() / 1000, &w),
                     HSM_OK);
    snprintf(r->auth, sizeof r->auth, "Authorization: Bearer %.*s\r\n", (int)w.n, jwt);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    void *dir = NULL;
    if (r == NULL || test_dir_setup(&dir) != 0 || uv_loop_init(&r->loop) != 0)
        return -1;
    r->dir = dir;
    has_small_disk = mount("tmpfs", r->dir->path, "tmpfs", 0, "size=80m,mode=0700") == 0;
    snprintf(r->home, sizeof r->home, "%s/fabric", r->dir->path);
    open_fabric(r);
    take_token(r);
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    close_fabric(r);
    for (int i = 0; i < 50 && uv_run(&r->loop, UV_RUN_NOWAIT) != 0; i++)
        usleep(1000);
    int e = uv_loop_close(&r->loop);
    if (has_small_disk)
        (void)umount2(r->dir->path, MNT_DETACH);
    free(r);
    return e == 0 ? test_dir_teardown(&dir) : -1;
}

static void on_reply(void *ctx, const struct answer *a)
{
    struct asker *q = ctx;
    q->replies++;
    q->status = a->status;
    q->has_retry_after =
        memmem(a->headers.p, a->headers.n, "Retry-After: ", strlen("Retry-After: ")) != NULL;
    snprintf(q->got, sizeof q->got, "%.*s", (int)(a->body.n < 500 ? a->body.n : 500),
             (const char *)a->body.p);
}

static void ask(struct rig *r, struct asker *q, const char *method, const char *group)
{
    size_t used = 0;
    const char *body = strcmp(method, "PUT") == 0 ? "{\"location\":\"local\"}" : "";
    snprintf(q->body, sizeof q->body, "%s", body);
    int n = snprintf(q->text, sizeof q->text,
                     "%s /subscriptions/%s/resourcegroups/%s?api-version=2021-04-01 HTTP/1.1\r\n"
                     "Host: " LOCAL "\r\n%sContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     method, r->f->provider.dir.subscription, group, r->auth, strlen(body));
    assert_true(n > 0 && (size_t)n < sizeof q->text);
    q->replies = 0;
    assert_int_equal(http1_parse(bytes_of(q->text, (size_t)n), &q->head, &used), HSM_OK);
    q->rq = (struct http_request){
        .head = &q->head, .body = bytes_str(q->body), .client_ip = "127.0.0.1"};
    fabric_ask(r->f, &q->rq, clock_now_ms(), on_reply, q);
}

static void answered(struct rig *r, struct asker *q, unsigned status)
{
    while (q->replies == 0)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_int_equal(q->replies, 1);
    if (q->status != status)
        fail_msg("%u: %s", q->status, q->got);
}

/* All at once: each is computed from the state that the one before left. */
static void writes_at_once(void **state)
{
    struct rig *r = *state;
    char name[32];
    for (int i = 0; i < ASKERS; i++) {
        snprintf(name, sizeof name, "group%d", i);
        ask(r, &r->asker[i], "PUT", name);
    }
    assert_int_equal(r->asker[0].replies, 0); /* not before it is on the disk */
    for (int i = 0; i < ASKERS; i++)
        answered(r, &r->asker[i], 201);
    close_fabric(r);
    open_fabric(r);
    for (int i = 0; i < ASKERS; i++) {
        snprintf(name, sizeof name, "group%d", i);
        ask(r, &r->asker[i], "GET", name);
        answered(r, &r->asker[i], 200);
    }
}

/* The same resource from several sides: the first makes it, the others find it. */
static void rivals(void **state)
{
    struct rig *r = *state;
    unsigned made = 0, found = 0;
    for (int i = 0; i < ASKERS; i++)
        ask(r, &r->asker[i], "PUT", "one");
    for (int i = 0; i < ASKERS; i++) {
        while (r->asker[i].replies == 0)
            uv_run(&r->loop, UV_RUN_ONCE);
        made += r->asker[i].status == 201;
        found += r->asker[i].status == 200;
    }
    assert_int_equal(made, 1);
    assert_int_equal(found, ASKERS - 1);
}

static void fill_disk(const struct rig *r)
{
    static char block[65536];
    char path[220];
    struct statvfs v;
    snprintf(path, sizeof path, "%s/filler", r->dir->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    memset(block, 1, sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
    assert_int_equal(statvfs(r->dir->path, &v), 0);
    assert_true(v.f_bavail * v.f_bsize < sizeof block);
}

static void on_done(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

static hsm_err put_big(struct rig *r)
{
    static char big[200000];
    hsm_err err = HSM_E__COUNT;
    struct changes *c = changes_new(r->f->state);
    memset(big, 'x', sizeof big);
    changes_put(c, STATE_SETTING, bytes_str("big"), bytes_of(big, sizeof big));
    state_commit(r->f->state, c, on_done, &err);
    while (err == HSM_E__COUNT)
        uv_run(&r->loop, UV_RUN_ONCE);
    changes_free(c);
    return err;
}

static void full_disk(void **state)
{
    struct rig *r = *state;
    struct asker *q = &r->asker[0];
    char path[220];
    hsm_err err = HSM_OK;
    if (!has_small_disk) {
        print_message("no disk of its own can be mounted here\n");
        skip();
    }
    ask(r, q, "PUT", "before");
    answered(r, q, 201);
    fill_disk(r);
    for (int i = 0; i < 200 && err == HSM_OK; i++)
        err = put_big(r);
    assert_int_equal(err, HSM_E_DISK_FULL);
    ask(r, q, "PUT", "during");
    answered(r, q, 503);
    assert_true(q->has_retry_after);
    assert_non_null(strstr(q->got, "disk is full"));
    ask(r, q, "GET", "during");
    answered(r, q, 404);
    ask(r, q, "GET", "before");
    answered(r, q, 200);
    snprintf(path, sizeof path, "%s/filler", r->dir->path);
    assert_int_equal(unlink(path), 0);
    uint64_t end = uv_hrtime() + 10000000000u;
    do {
        ask(r, q, "PUT", "during");
        while (q->replies == 0)
            uv_run(&r->loop, UV_RUN_ONCE);
    } while (q->status == 503 && uv_hrtime() < end);
    assert_int_equal(q->status, 201);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_at_once),
        TEST(rivals),
        TEST(full_disk),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    if (unshare(CLONE_NEWNS) == 0)
        (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
