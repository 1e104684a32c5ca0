/* The same with the programs themselves behind their sandboxes: one partition makes a pool, another
 * one joins it, starts again, and reads the records of the first. */
#include <sys/prctl.h>
#include <sys/stat.h>
#include "boundary/join_relay_testing.h"
#include "base/sanitized_testing.h"
#include "boundary/seal_tpm_testing.h"

static char dir[64];
static const char *evidence; /* of the next boundaries; NULL: not said */

static const char *in_dir(const char *name)
{
    static char path[8][100];
    static unsigned at;
    at = (at + 1) % 8;
    snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
    return path[at];
}

static void put_file(const char *name, const void *p, size_t n, mode_t mode)
{
    FILE *f = fopen(in_dir(name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
    assert_int_equal(chmod(in_dir(name), mode), 0);
}

static int make_dir(void **state)
{
    static const uint8_t key[JOIN_ADMISSION_LEN] = {1, 2, 3}, other[JOIN_ADMISSION_LEN] = {9};
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/join_process.XXXXXX");
    assert_non_null(mkdtemp(dir));
    put_file("admission", key, sizeof key, 0600);
    put_file("other", other, sizeof other, 0600);
    put_file("readable", key, sizeof key, 0644);
    put_file("short", key, sizeof key - 1, 0600);
    return 0;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"admission", "other",     "readable",  "short",
                                        "pool.json", "seal0",     "seal0.key", "seal1",
                                        "seal1.key", "seal1.new", "seal2",     "seal2.key",
                                        "seal2.new", "seal3.key", "seal3.new"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(in_dir(names[i]));
    return rmdir(dir);
}

static void spawn(struct rig *r, const char *number, const char *admission, bool joins)
{
    char rings[1024], seal[110];
    snprintf(seal, sizeof seal, "%s%s", in_dir("seal"), number);
    assert_int_equal(ring_fds_create(RIG_LANES, &r->fds), HSM_OK);
    assert_int_equal(ring_attach(&r->fds, RING_GATEWAY, &r->gw), HSM_OK);
    assert_int_equal(ring_fds_format(&r->fds, rings, sizeof rings), HSM_OK);
    r->ended = 0;
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid != 0)
        return;
    for (unsigned i = 0; i < r->fds.event_n; i++)
        (void)fcntl(r->fds.event[i], F_SETFD, 0);
    (void)fcntl(r->fds.memfd, F_SETFD, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *const argv[] = {"keyhold-boundary-test",
                                "--rings",
                                rings,
                                "--seal",
                                seal,
                                "--init",
                                in_dir("pool.json"),
                                "--alone",
                                "--partition",
                                number,
                                "--admission",
                                in_dir(admission),
                                "--evidence",
                                evidence == NULL ? "software" : evidence,
                                joins ? "--join" : NULL,
                                NULL};
    (void)execv(BOUNDARY_TEST_PROGRAM, (char *const *)(uintptr_t)argv);
    _exit(98);
}

static void both_until(const unsigned *what, unsigned was)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (*what <= was && relay.member.ended == 0 && clock_mono_us() < deadline) {
        rig_settle(&relay.joiner);
        rig_settle(&relay.member);
        usleep(200);
    }
    assert_true(*what > was);
}

static void await_end(struct rig *r)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (r->ended == 0 && clock_mono_us() < deadline) {
        rig_settle(r);
        usleep(1000);
    }
    ring_detach(&r->gw);
    ring_fds_close(&r->fds);
    net_drop(&r->net);
}

static void stop(struct rig *r)
{
    rig_send(r, 0, CTL_QUIESCE, 1, bytes_of(NULL, 0));
    await_end(r);
    assert_int_equal(r->ended, EXIT_QUIESCED + 1);
}

/* The store of the second partition is that of the first, as the gateways see to it. */
static void copy_store(const struct rig_store *from, struct rig_store *to)
{
    rig_store_clear(to);
    *to = *from;
    for (size_t i = 0; i < to->n; i++) {
        to->rec[i].sealed = malloc(to->rec[i].n);
        memcpy(to->rec[i].sealed, from->rec[i].sealed, to->rec[i].n);
    }
}

static void begin(void)
{
    relay_init();
    put_file("pool.json", relay.member.pool_json, strlen(relay.member.pool_json), 0644);
    spawn(&relay.member, "0", "admission", false);
    rig_serve(&relay.member);
    assert_int_equal(relay.member.ended, 0);
}

static void joins(void **state)
{
    (void)state;
    if (IS_SANITIZED)
        skip();
    begin();
    spawn(&relay.joiner, "1", "admission", true);
    relay_hello();
    both_until(&relay.joined, 0);
    assert_true(relay.is_joining);
    await_end(&relay.joiner);
    assert_int_equal(relay.joiner.ended, EXIT_JOINED + 1);
    relay_audit_has("\"resultType\":\"Success\"");
    relay_audit_has("/partitions/1/join");
    /* Once more: it is a partition like any other now. */
    copy_store(relay.member.store, relay.joiner.store);
    spawn(&relay.joiner, "1", "admission", true);
    rig_serve(&relay.joiner);
    assert_int_equal(relay.joiner.ended, 0);
    assert_int_equal(relay.joiner.loaded_err, HSM_OK);
    assert_false(relay.is_joining);
    assert_int_equal(relay.joiner.welcome_fresh, 0);
    assert_int_equal(relay.joiner.proposals, 0);
    stop(&relay.joiner);
    stop(&relay.member);
    relay_done();
}

static void wrong_key(void **state)
{
    (void)state;
    if (IS_SANITIZED)
        skip();
    begin();
    spawn(&relay.joiner, "2", "other", true);
    relay_hello();
    both_until(&relay.opens, 1); /* the second time, by itself */
    assert_int_equal(relay.joined, 0);
    relay_audit_has("admission key");
    stop(&relay.joiner);
    stop(&relay.member);
    relay_done();
}

static void bad_start(const char *admission, int code)
{
    spawn(&relay.joiner, "2", admission, true);
    await_end(&relay.joiner);
    assert_int_equal(relay.joiner.ended, code + 1);
}

static void bad_admission_files(void **state)
{
    (void)state;
    if (IS_SANITIZED)
        skip();
    relay_init();
    put_file("pool.json", relay.member.pool_json, strlen(relay.member.pool_json), 0644);
    bad_start("missing", EXIT_SETUP);
    bad_start("readable", EXIT_SETUP);
    bad_start("short", EXIT_SETUP);
    relay_done();
}

/* pool.json with these "peers". */
static void put_pool(const char *peers)
{
    char json[sizeof relay.member.pool_json + 512];
    snprintf(json, sizeof json, "%.*s,\"peers\":%s}", (int)strlen(relay.member.pool_json) - 1,
             relay.member.pool_json, peers);
    assert_int_equal(relay.member.pool_json[strlen(relay.member.pool_json) - 1], '}');
    put_file("pool.json", json, strlen(json), 0644);
}

/* As somebody does who sets the pool up. */
static void print_ak(const struct machine *m, char hex[65])
{
    char command[80];
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(command, sizeof command, "tpm2:%s", m->tcti);
        (void)dup2(fd[1], STDOUT_FILENO);
        (void)execl(BOUNDARY_TEST_PROGRAM, "keyhold-boundary-test", "--print-ak", "--evidence",
                    command, (char *)NULL);
        _exit(98);
    }
    close(fd[1]);
    assert_int_equal(read(fd[0], hex, 65), 65);
    assert_int_equal(hex[64], '\n');
    hex[64] = '\0';
    close(fd[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* It was refused, with that in the member's log, and is asked to end while it tries again. */
static void refused_joiner(const char *with, const char *why)
{
    unsigned opens = relay.opens;
    evidence = with;
    spawn(&relay.joiner, "2", "admission", true);
    relay_hello();
    both_until(&relay.opens, opens + 1);
    relay_audit_has(why);
    stop(&relay.joiner);
    if (relay.inward != 0)
        RIG_CONTROL(&relay.member, CTL_NET_CLOSE, net_close, .conn = relay.inward);
    relay.inward = 0;
    assert_int_equal(relay.joined, 0);
}

/* Nothing answers at the TPM any more. */
static void without_tpm(void)
{
    relay_init();
    spawn(&relay.joiner, "3", "admission", true);
    await_end(&relay.joiner);
    assert_int_equal(relay.joiner.ended, EXIT_SETUP + 1);
    relay_done();
}

/* A member under one TPM, a joiner under the same one, under another one, and under none. */
static void with_tpm(void **state)
{
    (void)state;
    struct machine mine, other;
    char ak[65], peers[256], tpm[80], other_tpm[80];
    if (IS_SANITIZED)
        skip();
    machine_new(&mine, 12200);
    machine_new(&other, 12300);
    print_ak(&mine, ak);
    snprintf(tpm, sizeof tpm, "tpm2:%s", mine.tcti);
    snprintf(other_tpm, sizeof other_tpm, "tpm2:%s", other.tcti);
    snprintf(peers, sizeof peers, "{\"providers\":[\"tpm2\"],\"aks\":[\"%s\"]}", ak);
    relay_init();
    put_pool(peers);
    evidence = tpm;
    spawn(&relay.member, "0", "admission", false);
    rig_serve(&relay.member);
    assert_int_equal(relay.member.ended, 0);
    refused_joiner("software", "peers.providers");
    refused_joiner(other_tpm, "peers.aks");
    evidence = tpm;
    spawn(&relay.joiner, "2", "admission", true);
    relay_hello();
    both_until(&relay.joined, 0);
    await_end(&relay.joiner);
    assert_int_equal(relay.joiner.ended, EXIT_JOINED + 1);
    relay_audit_has("\"resultType\":\"Success\"");
    relay_audit_has(ak);
    stop(&relay.member);
    relay_done();
    machine_free(&mine);
    machine_free(&other);
    without_tpm();
    evidence = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(bad_admission_files),
        cmocka_unit_test(with_tpm),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
