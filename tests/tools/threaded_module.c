/* A PKCS#11 module as they exist: it starts a thread that never ends, keeps a descriptor open, and
 * hands everything else to the module that THREADED_MODULE_REAL names. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define CRYPTOKI_GNU 1
#include <p11-kit/pkcs11.h>

static void *linger(void *arg)
{
    for (;;)
        (void)pause();
    return arg;
}

ck_rv_t C_GetFunctionList(struct ck_function_list **list)
{
    static void *module;
    ck_rv_t (*real)(struct ck_function_list **) = NULL;
    pthread_t thread;
    const char *path = getenv("THREADED_MODULE_REAL");
    if (path == NULL || open("/dev/null", O_RDONLY) < 0 ||
        pthread_create(&thread, NULL, linger, NULL) != 0)
        return CKR_GENERAL_ERROR;
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        return CKR_GENERAL_ERROR;
    void *symbol = dlsym(module, "C_GetFunctionList");
    memcpy(&real, &symbol, sizeof real);
    return real == NULL ? CKR_GENERAL_ERROR : real(list);
}
