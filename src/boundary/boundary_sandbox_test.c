/* The boundary as a process behind its sandbox: it must be able to do all of its work there, and
 * nothing else. */
#include "base/sanitized_testing.h"
#include "boundary/boundary_testing.h"
#include "boundary/sandbox.h"

#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum where {
    ORDINARY,
    OTHER_USER,
    IN_CHROOT
};

static char dir[200];
static struct rig rig;

/* Child: up to the program. */
static void enter(enum where w)
{
    char root[250];
    snprintf(root, sizeof root, "%s/root", dir);
    if (w == IN_CHROOT &&
        (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
         mount("/", root, NULL, MS_BIND, NULL) != 0 || chroot(root) != 0 || chdir("/") != 0))
        _exit(99);
    if (w == OTHER_USER && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
        _exit(99);
}

static void spawn(struct rig *r, enum where w, const char *syscall_name)
{
    char rings[1024], seal[250], init[250];
    snprintf(seal, sizeof seal, "%s/seal", dir);
    snprintf(init, sizeof init, "%s/pool.json", dir);
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
    if (syscall_name != NULL)
        setenv("KEYHOLD_TEST_SYSCALL", syscall_name, 1);
    /* Opened before: the build directory need not be another user's to enter. */
    int program = open(BOUNDARY_TEST_PROGRAM, O_PATH | O_CLOEXEC);
    enter(w);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char *const argv[] = {
        "keyhold-boundary-test", "--rings", rings, "--seal", seal, "--init", init, "--alone", NULL};
    (void)execveat(program, "", (char *const *)(uintptr_t)argv, environ, AT_EMPTY_PATH);
    _exit(98);
}

static void join(struct rig *r)
{
    uint64_t deadline = clock_mono_us() + 20000000u;
    while (r->ended == 0 && clock_mono_us() < deadline) {
        rig_settle(r);
        usleep(1000);
    }
    assert_int_not_equal(r->ended, 0);
    ring_detach(&r->gw);
    ring_fds_close(&r->fds);
    net_drop(&r->net);
}

static void remove_seal(void)
{
    static const char *const names[] = {"seal", "seal.key"};
    char path[260];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
}

static void begin(struct rig *r)
{
    char path[260];
    rig_init(r);
    remove_seal();
    snprintf(path, sizeof path, "%s/pool.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(r->pool_json, f);
    fclose(f);
    assert_int_equal(chmod(path, 0644), 0);
}

static unsigned entries(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static void check_status(struct rig *r)
{
    char path[64], line[256];
    unsigned found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)r->pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        found += strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "Seccomp:\t2\n") == 0;
    fclose(f);
    assert_int_equal(found, 2);
    if (geteuid() != 0)
        return;
    /* Standard error, the rings' events, one inbox per lane, the control event. */
    snprintf(path, sizeof path, "/proc/%d/fd", (int)r->pid);
    assert_int_equal(entries(path), 1 + r->fds.event_n + RIG_LANES + 1);
}

static void work(struct rig *r)
{
    static const unsigned types[] = {KTY_RSA, KTY_EC, KTY_OCT};
    uint8_t digest[32] = {9};
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    for (unsigned i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "k%u", i);
        assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(name),
                                  .kty = (uint8_t)types[i],
                                  .key_size = types[i] == KTY_RSA ? 3072 : 0),
                         HSM_OK);
    }
    assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str("k0"), .alg = ALG_PS256,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str("k1"), .alg = ALG_ES256,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_ENCRYPT, crypto, .name = bytes_str("k2"), .alg = ALG_A256GCM,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_LIST, list, .max = 2), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_ROLE_DEFINITION_LIST, scope, .scope = bytes_str("/")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("k1")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("k1")), HSM_OK);
}

static void quiesce(struct rig *r)
{
    rig_send(r, 0, CTL_QUIESCE, 1, bytes_of(NULL, 0));
    join(r);
    assert_int_equal(r->quiesced, 1);
    assert_int_equal(r->ended, EXIT_QUIESCED + 1);
    r->quiesced = 0;
}

static void lives_in(enum where w)
{
    struct rig *r = &rig;
    if (IS_SANITIZED || (w != ORDINARY && geteuid() != 0))
        skip();
    begin(r);
    spawn(r, w, NULL);
    rig_serve(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(r->welcome_fresh, 1);
    check_status(r);
    work(r);
    quiesce(r);
    spawn(r, w, NULL);
    rig_serve(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(r->welcome_fresh, 0);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("k0")), HSM_OK);
    quiesce(r);
    rig_done(r);
}

static void works(void **state)
{
    (void)state;
    lives_in(ORDINARY);
}

static void works_as_other_user(void **state)
{
    (void)state;
    lives_in(OTHER_USER);
}

/* Our "/" is bound below the directory; in a chroot it is no mount point and cannot be made private
 * first, so that the bind could leak. */
static bool root_can_be_bound(void)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
                  ? 0
                  : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void works_in_chroot(void **state)
{
    (void)state;
    if (!root_can_be_bound()) {
        print_message("works_in_chroot: / is no mount point here (itself a chroot?)\n");
        skip();
    }
    lives_in(IN_CHROOT);
}

static void forbidden_calls(void **state)
{
    (void)state;
    struct rig *r = &rig;
    static const char *const names[] = {"socket", "connect", "open", "execve", "ptrace",
                                        "fork",   "execmem", "kill", "tgkill"};
    if (IS_SANITIZED)
        skip();
    begin(r);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        spawn(r, ORDINARY, names[i]);
        join(r);
        if (r->ended != 1000 + SIGSYS)
            fail_msg("%s: ended with %d", names[i], r->ended);
    }
    rig_done(r);
}

/* ---- the heap of a thread that was there before the sandbox ---- */

enum {
    HEAP_NONE,
    HEAP_THERE,
    HEAP_GO,
    HEAP_DONE
};
static atomic_uint heap_step;

static void wait_for_step(unsigned step)
{
    while (atomic_load(&heap_step) != step)
        (void)sched_yield();
}

static void *use_heap(void *arg)
{
    static void *block[64];
    (void)arg;
    atomic_store(&heap_step, HEAP_THERE);
    wait_for_step(HEAP_GO);
    for (unsigned i = 0; i < 64; i++)
        block[i] = malloc(100000);
    for (unsigned i = 0; i < 64; i++)
        free(block[i]);
    atomic_store(&heap_step, HEAP_DONE);
    for (;;) /* the boundary's threads do not end either */
        (void)poll(NULL, 0, -1);
    return NULL;
}

static void use_heap_in_sandbox(void)
{
    static const int keep[] = {STDERR_FILENO};
    char text[256];
    pthread_t t;
    if (sandbox_prepare(keep, 1, text, sizeof text) != HSM_OK ||
        pthread_create(&t, NULL, use_heap, NULL) != 0)
        _exit(99);
    wait_for_step(HEAP_THERE);
    if (sandbox_close(text, sizeof text) != HSM_OK)
        _exit(99);
    atomic_store(&heap_step, HEAP_GO);
    wait_for_step(HEAP_DONE);
    _exit(0);
}

/* Much is freed at once after a burst of requests: that must not be an unusual system call. */
static void heap_of_a_thread(void **state)
{
    (void)state;
    int status = 1;
    if (IS_SANITIZED)
        skip();
    pid_t pid = fork();
    if (pid == 0)
        use_heap_in_sandbox();
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A failed assertion ends as itself, not as a forbidden call. */
static void assertion(void **state)
{
    (void)state;
    struct rig *r = &rig;
    if (IS_SANITIZED)
        skip();
    begin(r);
    spawn(r, ORDINARY, "abort");
    join(r);
    assert_int_equal(r->ended, 1000 + SIGABRT);
    rig_done(r);
}

static void protocol_violation(void **state)
{
    (void)state;
    struct rig *r = &rig;
    if (IS_SANITIZED)
        skip();
    begin(r);
    spawn(r, ORDINARY, NULL);
    rig_send(r, 1, OP_KEY_GET, 1, bytes_of(NULL, 0));
    join(r);
    assert_int_equal(r->ended, EXIT_PROTOCOL + 1);
    rig_done(r);
}

/* A seal file that is there in some way but cannot be read: no new secrets take its place. */
static void unreadable_seal(void **state)
{
    (void)state;
    struct rig *r = &rig;
    char path[260], target[64];
    struct stat st;
    begin(r);
    snprintf(path, sizeof path, "%s/seal", dir);
    assert_int_equal(symlink("elsewhere", path), 0);
    spawn(r, ORDINARY, NULL);
    join(r);
    assert_int_equal(r->ended, EXIT_SETUP + 1);
    assert_int_equal(readlink(path, target, sizeof target), 9);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    spawn(r, ORDINARY, NULL);
    join(r);
    assert_int_equal(r->ended, EXIT_SETUP + 1);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/seal.key", dir);
    assert_int_not_equal(stat(path, &st), 0);
    rig_done(r);
}

/* New secrets and a store with records of others: nothing is served, now and later. */
static void lost_seal(void **state)
{
    (void)state;
    struct rig *r = &rig;
    if (IS_SANITIZED)
        skip();
    begin(r);
    spawn(r, ORDINARY, NULL);
    rig_serve(r);
    assert_int_equal(r->ended, 0);
    quiesce(r);
    remove_seal();
    for (unsigned i = 0; i < 2; i++) {
        spawn(r, ORDINARY, NULL);
        rig_serve(r);
        assert_int_equal(r->loaded_err, HSM_E_CORRUPT);
        rig_send(r, 1, OP_KEY_GET, 1, bytes_of(NULL, 0));
        join(r);
        assert_int_equal(r->ended, EXIT_PROTOCOL + 1);
    }
    rig_done(r);
}

static void bad_command_line(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(BOUNDARY_TEST_PROGRAM, "keyhold-boundary-test", "--rings", "x", (char *)NULL);
        _exit(98);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_USAGE);
}

static int make_dir(void **state)
{
    (void)state;
    char root[250];
    snprintf(dir, sizeof dir, "/tmp/kh-boundary-XXXXXX"); /* another user must get there, too */
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(root, sizeof root, "%s/root", dir);
    return chmod(dir, 0777) == 0 && mkdir(root, 0755) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char path[250];
    remove_seal();
    snprintf(path, sizeof path, "%s/pool.json", dir);
    (void)unlink(path);
    snprintf(path, sizeof path, "%s/root", dir);
    (void)rmdir(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works),
        cmocka_unit_test(works_as_other_user),
        cmocka_unit_test(works_in_chroot),
        cmocka_unit_test(forbidden_calls),
        cmocka_unit_test(heap_of_a_thread),
        cmocka_unit_test(protocol_violation),
        cmocka_unit_test(bad_command_line),
        cmocka_unit_test(unreadable_seal),
        cmocka_unit_test(assertion),
        cmocka_unit_test(lost_seal),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
