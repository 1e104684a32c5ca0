#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "boundary/seal_pkcs11.h"

#define SLOTS_MAX 64u
#define PIN_MAX   256u

hsm_err token_failed(const struct token *t, const char *what, ck_rv_t rv)
{
    return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap, "the token: %s failed with CKR 0x%lx", what,
                    rv);
}

void token_done(struct token *t)
{
    if (t->session != 0)
        (void)t->f->C_CloseSession(t->session);
    if (t->initialized)
        (void)t->f->C_Finalize(NULL);
    if (t->module != NULL)
        (void)dlclose(t->module);
}

static hsm_err load_module(struct token *t, const char *path)
{
    ck_rv_t (*list)(struct ck_function_list **) = NULL;
    t->module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (t->module == NULL)
        return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap, "the PKCS#11 module: %s", dlerror());
    void *symbol = dlsym(t->module, "C_GetFunctionList");
    memcpy(&list, &symbol, sizeof list);
    if (list == NULL || list(&t->f) != CKR_OK || t->f == NULL)
        return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap, "%s is no PKCS#11 module", path);
    ck_rv_t rv = t->f->C_Initialize(NULL);
    if (rv != CKR_OK)
        return token_failed(t, "C_Initialize", rv);
    t->initialized = true;
    return HSM_OK;
}

/* Labels are padded with blanks. */
static bool has_label(const struct ck_token_info *info, const char *label)
{
    size_t n = sizeof info->label;
    while (n > 0 && info->label[n - 1] == ' ')
        n--;
    return bytes_eq_str(bytes_of(info->label, n), label);
}

static hsm_err find_slot(struct token *t, const char *label, ck_slot_id_t *ret)
{
    ck_slot_id_t slots[SLOTS_MAX];
    unsigned long n = SLOTS_MAX;
    unsigned found = 0;
    ck_rv_t rv = t->f->C_GetSlotList(1, slots, &n);
    if (rv != CKR_OK)
        return token_failed(t, "C_GetSlotList", rv);
    for (unsigned long i = 0; i < n; i++) {
        struct ck_token_info info;
        if (t->f->C_GetTokenInfo(slots[i], &info) != CKR_OK || !has_label(&info, label))
            continue;
        *ret = slots[i];
        found++;
    }
    if (found == 1)
        return HSM_OK;
    return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap, "%s token has the label %s",
                    found == 0 ? "no" : "more than one", label);
}

/* ---- PIN ------------------------------------------------------------------------------------- */

/* A token locks after a few wrong PINs, and a boundary that fails is started again and again. So a
 * PIN file that was refused is not tried again until it was written to: this names its state. */
static hsm_err pin_state(const struct token *t, const char *pin_file, char dst[128])
{
    struct stat st;
    if (stat(pin_file, &st) != 0)
        return seal_say(HSM_E_IO, t->text, t->cap, "%s: %s", pin_file, strerror(errno));
    (void)snprintf(dst, 128, "%llu %lld %lld.%09ld", (unsigned long long)st.st_ino,
                   (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return HSM_OK;
}

static hsm_err refuse_pin(const struct token *t, const struct seal_spec *spec)
{
    return seal_say(HSM_E_DENIED, t->text, t->cap,
                    "the token %s refused the PIN in %s: write the right one to that file (this "
                    "one is not tried again, the token would lock)",
                    spec->token, spec->pin_file);
}

static hsm_err check_not_refused(const struct token *t, const struct seal_spec *spec,
                                 const char *note, const char *state)
{
    char ignored[64];
    DEFER(secret_buf_done) struct secret_buf b = {0};
    if (seal_file_read(note, false, &b, ignored, sizeof ignored) != HSM_OK)
        return HSM_OK;
    return bytes_eq_str(bytes_of(b.p, b.n), state) ? refuse_pin(t, spec) : HSM_OK;
}

static hsm_err log_in(struct token *t, const struct seal_spec *spec, const char *path)
{
    char note[SEAL_PATH_MAX];
    char state[128];
    DEFER(secret_buf_done) struct secret_buf pin = {0};
    TRY(seal_path(path, ".pin-refused", note, t->text, t->cap));
    TRY(pin_state(t, spec->pin_file, state));
    TRY(check_not_refused(t, spec, note, state));
    hsm_err err = seal_file_read(spec->pin_file, true, &pin, t->text, t->cap);
    if (err == HSM_E_NOT_FOUND || err == HSM_E_CORRUPT)
        return seal_say(HSM_E_DENIED, t->text, t->cap, "%s holds no PIN", spec->pin_file);
    TRY(err);
    size_t n = pin.n - (pin.p[pin.n - 1] == '\n' ? 1 : 0);
    if (n == 0 || n > PIN_MAX)
        return seal_say(HSM_E_DENIED, t->text, t->cap, "%s holds no PIN", spec->pin_file);
    ck_rv_t rv = t->f->C_Login(t->session, CKU_USER, pin.p, n);
    if (rv == CKR_OK) {
        (void)unlink(note);
        return HSM_OK;
    }
    if (rv == CKR_PIN_LOCKED)
        return seal_say(HSM_E_DENIED, t->text, t->cap,
                        "the token %s is locked: too many wrong PINs", spec->token);
    if (rv != CKR_PIN_INCORRECT && rv != CKR_PIN_INVALID && rv != CKR_PIN_LEN_RANGE)
        return token_failed(t, "C_Login", rv);
    TRY(seal_file_write(note, bytes_str(state), t->text, t->cap));
    return refuse_pin(t, spec);
}

hsm_err token_open(struct token *t, const struct seal_spec *spec, const char *path, bool writable)
{
    ck_slot_id_t slot = 0;
    TRY(load_module(t, spec->module));
    TRY(find_slot(t, spec->token, &slot));
    ck_flags_t flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
    ck_rv_t rv = t->f->C_OpenSession(slot, flags, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return token_failed(t, "C_OpenSession", rv);
    return log_in(t, spec, path);
}
