/* For hostile_gateway.c and hostile_store.c: a pool with a past, and the real boundary in front of
 * it, again and again.
 *
 * The past: the administrator makes keys, gives bob a right and takes it back, updates a key and
 * purges one. Every transaction is kept in order, and the store as it was before bob lost his
 * right. The boundary is the program with its sandbox; under a sanitizer, whose runtime the sandbox
 * would end, the same code runs in this thread. */
#ifndef TOOLS_HOSTILE_H
#define TOOLS_HOSTILE_H

#include "boundary/boundary_testing.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IN_THREAD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IN_THREAD 1
#endif
#endif
#ifndef IN_THREAD
#define IN_THREAD 0
#endif

#define BOB         "bbbbbbbb-2222-4333-8444-cccccccccccc"
#define HISTORY_MAX 64u

struct kept_txn {
    uint8_t *p;
    size_t n;
};

struct world {
    struct rig rig;
    char dir[200];
    const char *program;
    struct rig_store whole, before; /* at the end; when bob still had his right */
    struct kept_txn history[HISTORY_MAX];
    unsigned history_n;
    unsigned before_n;                                     /* transactions up to `before` */
    unsigned role_given, role_taken, doomed_made, created; /* positions in history */
    uint64_t seed;
};
static struct world world;

/* ---- processes ---- */

static inline void start_boundary(struct rig *r)
{
    char rings[1024], seal[250], init[250];
    r->loaded_err = 0;
    r->audit_n = 0;
    r->ended = 0;
    r->answer.there = false;
    if (IN_THREAD) {
        rig_start(r, world.history_n == 0);
        return;
    }
    snprintf(seal, sizeof seal, "%s/seal", world.dir);
    snprintf(init, sizeof init, "%s/pool.json", world.dir);
    assert_int_equal(ring_fds_create(RIG_LANES, &r->fds), HSM_OK);
    assert_int_equal(ring_attach(&r->fds, RING_GATEWAY, &r->gw), HSM_OK);
    assert_int_equal(ring_fds_format(&r->fds, rings, sizeof rings), HSM_OK);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid != 0)
        return;
    ring_fds_inheritable(&r->fds);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open("/dev/null", O_WRONLY);
    if (getenv("KEYHOLD_VERBOSE") == NULL)
        (void)dup2(log, STDERR_FILENO);
    execl(world.program, "keyhold-boundary", "--rings", rings, "--seal", seal, "--init", init,
          "--alone", (char *)NULL);
    _exit(98);
}

static inline void stop_boundary(struct rig *r)
{
    if (IN_THREAD) {
        rig_stop(r);
        return;
    }
    if (r->pid > 0) {
        (void)kill(r->pid, SIGKILL);
        (void)waitpid(r->pid, NULL, 0);
        r->pid = 0;
    }
    ring_detach(&r->gw);
    ring_fds_close(&r->fds);
    net_drop(&r->net);
}

static inline void copy_store(struct rig_store *dst, const struct rig_store *src)
{
    rig_store_clear(dst);
    *dst = *src;
    for (size_t i = 0; i < dst->n; i++) {
        dst->rec[i].sealed = malloc(src->rec[i].n + 1);
        assert_non_null(dst->rec[i].sealed);
        memcpy(dst->rec[i].sealed, src->rec[i].sealed, src->rec[i].n);
    }
}

/* A boundary that was given this store honestly. */
static inline struct rig *serve_store(const struct rig_store *s)
{
    struct rig *r = &world.rig;
    copy_store(r->store, s);
    start_boundary(r);
    rig_serve(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(r->loaded_err, HSM_OK);
    return r;
}

/* Wait for the end that the boundary chooses; code: enum boundary_exit. */
static inline void must_end(struct rig *r, int code)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (r->ended == 0 && clock_mono_us() < deadline) {
        rig_settle(r);
        usleep(500);
    }
    if (r->ended != code + 1)
        fail_msg("ended with %d, not with status %d", r->ended, code);
    stop_boundary(r);
}

/* It is alive and serves the administrator. */
static inline void must_serve(struct rig *r)
{
    uint8_t digest[32] = {1};
    assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str("ec"), .alg = ALG_ES256,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
    assert_int_equal(r->ended, 0);
}

static inline hsm_err sign_as(struct rig *r, const char *oid)
{
    uint8_t body[256], digest[32] = {2};
    const struct wire_crypto m = {
        .name = bytes_str("ec"), .alg = ALG_ES256, .value = bytes_of(digest, 32)};
    struct wr w = wr_of(body, sizeof body);
    wire_crypto_put(&w, &m);
    assert_int_equal(wr_ok(&w), HSM_OK);
    rig_wait(r, rig_post(r, 1, OP_SIGN, rig_token_of(r, oid, 3600), wr_view(&w)));
    return r->answer.there ? (hsm_err)r->answer.err : HSM_E_UNAVAILABLE; /* it ended meanwhile */
}

/* After every attack: an honest pair on the same pool works, and knows who has rights. */
static inline void honest_pair_works(void)
{
    struct rig *r = serve_store(&world.whole);
    must_serve(r);
    assert_int_equal(sign_as(r, BOB), HSM_E_DENIED);
    stop_boundary(r);
}

/* ---- the past ---- */

static inline void remember(struct rig *r, struct bytes txn)
{
    (void)r;
    assert_true(world.history_n < HISTORY_MAX);
    struct kept_txn *k = &world.history[world.history_n++];
    k->p = malloc(txn.n);
    assert_non_null(k->p);
    memcpy(k->p, txn.p, txn.n);
    k->n = txn.n;
}

static inline struct bytes past(unsigned i)
{
    assert_true(i < world.history_n);
    return bytes_of(world.history[i].p, world.history[i].n);
}

#define BOB_ROLE "01234567-89ab-4cde-8f01-23456789abcd"

static inline void give_bob(struct rig *r)
{
    static const char role[] = "Microsoft.KeyVault/providers/Microsoft.Authorization/"
                               "roleDefinitions/21dbd100-6940-42c2-9190-5d6cb909625b";
    assert_int_equal(RIG_CALL(r, OP_ROLE_ASSIGNMENT_PUT, role_assignment_put,
                              .scope = bytes_str("/"), .guid = bytes_str(BOB_ROLE),
                              .principal = bytes_str(BOB), .role_id = bytes_str(role)),
                     HSM_OK);
}

static inline void make_key(struct rig *r, const char *name, unsigned kty)
{
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(name), .kty = (uint8_t)kty),
        HSM_OK);
}

static inline void live(struct rig *r)
{
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    make_key(r, "ec", KTY_EC);
    make_key(r, "oct", KTY_OCT);
    world.doomed_made = world.history_n;
    make_key(r, "doomed", KTY_EC);
    assert_int_equal(sign_as(r, BOB), HSM_E_DENIED);
    world.role_given = world.history_n;
    give_bob(r);
    assert_int_equal(sign_as(r, BOB), HSM_OK);
    copy_store(&world.before, r->store);
    world.before_n = world.history_n;
    world.role_taken = world.history_n;
    assert_int_equal(RIG_CALL(r, OP_ROLE_ASSIGNMENT_DELETE, role_ref, .scope = bytes_str("/"),
                              .guid = bytes_str(BOB_ROLE)),
                     HSM_OK);
    assert_int_equal(sign_as(r, BOB), HSM_E_DENIED);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("doomed")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("doomed")), HSM_OK);
    world.created = world.history_n;
    make_key(r, "late", KTY_OCT);
    assert_int_equal(RIG_CALL(r, OP_KEY_UPDATE, key_update, .name = bytes_str("ec"),
                              .attr_set = ATTR_EXP, .exp = 4000000000u),
                     HSM_OK);
}

static inline int make_world(void **state)
{
    (void)state;
    struct rig *r = &world.rig;
    char path[250];
    snprintf(world.dir, sizeof world.dir, "%s/hostile-XXXXXX", "/tmp");
    if (mkdtemp(world.dir) == NULL)
        return -1;
    rig_init(r);
    snprintf(path, sizeof path, "%s/pool.json", world.dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(r->pool_json, f) >= 0);
    assert_int_equal(fclose(f), 0);
    r->on_proposal = remember;
    start_boundary(r);
    rig_serve(r);
    unsigned none = 0;
    rig_until(r, &world.history_n, none);
    rig_settle(r);
    assert_true(world.history_n > 0); /* the genesis */
    live(r);
    rig_settle(r);
    r->on_proposal = NULL;
    copy_store(&world.whole, r->store);
    stop_boundary(r);
    return 0;
}

static inline int drop_world(void **state)
{
    (void)state;
    static const char *const names[] = {"seal", "seal.key", "pool.json"};
    char path[260];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", world.dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(world.dir);
    rig_store_clear(&world.whole);
    rig_store_clear(&world.before);
    for (unsigned i = 0; i < world.history_n; i++)
        free(world.history[i].p);
    rig_done(&world.rig);
    return 0;
}

/* ---- messages ---- */

static inline void hello(struct rig *r)
{
    RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
}

static inline struct rig *bare(void)
{
    struct rig *r = &world.rig;
    copy_store(r->store, &world.whole);
    start_boundary(r);
    return r;
}

static inline void send_get(struct rig *r, unsigned lane)
{
    uint8_t body[100];
    const struct wire_key_ref m = {.name = bytes_str("ec")};
    struct wr w = wr_of(body, sizeof body);
    wire_key_ref_put(&w, &m);
    (void)rig_post(r, lane, OP_KEY_GET, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
}

static inline void never_answered(struct rig *r, int code)
{
    must_end(r, code);
    assert_false(r->answer.there);
}

/* ---- dice ---- */

static inline uint64_t dice(void)
{
    world.seed += 0x9e3779b97f4a7c15u;
    uint64_t z = world.seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline unsigned dice_below(unsigned n)
{
    return (unsigned)(dice() % n);
}

/* ---- main ---- */

static inline unsigned rounds(unsigned usual)
{
    const char *text = getenv("KEYHOLD_ROUNDS");
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

/* Arguments: the boundary program, and perhaps the name of one test. */
static inline bool take_arguments(int argc, char **argv)
{
    const char *seed = getenv("KEYHOLD_SEED");
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s BOUNDARY [TEST]\n", argv[0]);
        return false;
    }
    world.program = argv[1];
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    world.seed = seed != NULL ? strtoull(seed, NULL, 10) : clock_mono_us();
    print_message("KEYHOLD_SEED=%llu\n", (unsigned long long)world.seed);
    return true;
}

#endif
