/* Software TPMs (swtpm), each a process of its own. */
#ifndef BOUNDARY_SEAL_TPM_TESTING_H
#define BOUNDARY_SEAL_TPM_TESTING_H

#include "boundary/seal_testing.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

struct machine {
    char dir[64];
    char tcti[64];
    int port;
    pid_t pid;
};

static inline struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int socket_at(int port, bool listening)
{
    const struct sockaddr_in at = local(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    int rc = listening ? bind(fd, (const struct sockaddr *)&at, sizeof at)
                       : connect(fd, (const struct sockaddr *)&at, sizeof at);
    close(fd);
    return rc;
}

/* Two in a row: swtpm has its control channel beside the other one. */
static inline int free_ports(int first)
{
    int port = first + getpid() % 4000 * 2;
    while (socket_at(port, true) != 0 || socket_at(port + 1, true) != 0)
        port += 2;
    return port;
}

static inline void power_on(struct machine *m)
{
    char state[128], server[128], control[128];
    snprintf(state, sizeof state, "dir=%s", m->dir);
    snprintf(server, sizeof server, "type=tcp,port=%d", m->port);
    snprintf(control, sizeof control, "type=tcp,port=%d", m->port + 1);
    m->pid = fork();
    if (m->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* of a test that fails */
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server,
               "--ctrl", control, "--flags", "not-need-init,startup-clear", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; socket_at(m->port + 1, false) != 0; i++) {
        if (i > 2000 || waitpid(m->pid, NULL, WNOHANG) == m->pid)
            fail_msg("swtpm does not start (package swtpm)");
        usleep(5000);
    }
}

static inline void power_off(struct machine *m)
{
    kill(m->pid, SIGTERM);
    assert_int_equal(waitpid(m->pid, NULL, 0), m->pid);
}

static inline void machine_new(struct machine *m, int first_port)
{
    *m = (struct machine){.dir = "/tmp/seal_tpm.XXXXXX"};
    assert_non_null(mkdtemp(m->dir));
    m->port = free_ports(first_port);
    snprintf(m->tcti, sizeof m->tcti, "swtpm:host=127.0.0.1,port=%d", m->port);
    power_on(m);
}

static inline void machine_free(struct machine *m)
{
    power_off(m);
    DIR *d = opendir(m->dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(m->dir), 0);
}

/* Firmware that measures something else than before. */
static inline void machine_extend(struct machine *m, ESYS_TR pcr)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    TPML_DIGEST_VALUES v = {.count = 1, .digests[0] = {.hashAlg = TPM2_ALG_SHA256}};
    memset(v.digests[0].digest.sha256, 7, 32);
    assert_int_equal(Tss2_TctiLdr_Initialize(m->tcti, &tcti), 0);
    assert_int_equal(Esys_Initialize(&esys, tcti, NULL), 0);
    assert_int_equal(Esys_PCR_Extend(esys, pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &v),
                     0);
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
}

/* Handles that were left in the TPM: it has room for three objects and a few sessions. */
static inline void machine_is_clean(struct machine *m)
{
    static const UINT32 kinds[] = {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST};
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(m->tcti, &tcti), 0);
    assert_int_equal(Esys_Initialize(&esys, tcti, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        TPMS_CAPABILITY_DATA *data = NULL;
        assert_int_equal(Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                            TPM2_CAP_HANDLES, kinds[i], 8, NULL, &data),
                         0);
        assert_int_equal(data->data.handles.count, 0);
        Esys_Free(data);
    }
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
}

#endif
