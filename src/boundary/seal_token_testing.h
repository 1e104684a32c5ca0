/* SoftHSM 2 with tokens of its own. */
#ifndef BOUNDARY_SEAL_TOKEN_TESTING_H
#define BOUNDARY_SEAL_TOKEN_TESTING_H

#include "boundary/seal_testing.h"
#include <ftw.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static struct tokens {
    char dir[64];
    char pin_file[96];
    char config[96];
    char provider[512], other_token[512];
    const char *module;
} hsm;

static inline const char *find_module(void)
{
    static const char *const at[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                     "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                     "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
        if (exists(at[i]))
            return at[i];
    fail_msg("SoftHSM is not installed (package softhsm2)");
    return NULL;
}

static inline void run(const char *const *args)
{
    pid_t pid;
    int status;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(
        posix_spawnp(&pid, args[0], &quiet, NULL, (char *const *)(uintptr_t)args, environ), 0);
    posix_spawn_file_actions_destroy(&quiet);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static inline void make_token(const char *label)
{
    const char *const args[] = {"softhsm2-util", "--init-token", "--free", "--label",    label,
                                "--so-pin",      "so-12345",     "--pin",  "4711-right", NULL};
    run(args);
}

static inline void set_pin(const char *pin)
{
    spill(hsm.pin_file, (const uint8_t *)pin, strlen(pin));
}

static inline int setup_tokens(void **state)
{
    (void)state;
    char text[256];
    snprintf(hsm.dir, sizeof hsm.dir, "/tmp/seal_tokens.XXXXXX");
    assert_non_null(mkdtemp(hsm.dir));
    snprintf(hsm.pin_file, sizeof hsm.pin_file, "%s/pin", hsm.dir);
    snprintf(hsm.config, sizeof hsm.config, "%s/softhsm2.conf", hsm.dir);
    int n = snprintf(
        text, sizeof text,
        "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
        hsm.dir);
    spill(hsm.config, (const uint8_t *)text, (size_t)n);
    snprintf(text, sizeof text, "%s/tokens", hsm.dir);
    assert_int_equal(mkdir(text, 0700), 0);
    setenv("SOFTHSM2_CONF", hsm.config, 1);
    hsm.module = find_module();
    make_token("first token");
    make_token("second");
    make_token("twice");
    make_token("twice");
    snprintf(hsm.provider, sizeof hsm.provider, "pkcs11:module=%s;token=first token;pin-file=%s",
             hsm.module, hsm.pin_file);
    snprintf(hsm.other_token, sizeof hsm.other_token, "pkcs11:module=%s;token=second;pin-file=%s",
             hsm.module, hsm.pin_file);
    return 0;
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int teardown_tokens(void **state)
{
    (void)state;
    return nftw(hsm.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
