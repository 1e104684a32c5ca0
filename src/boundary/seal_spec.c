/* What --seal-provider says:
 *
 *   file
 *   tpm2[:MEMBERS]   members: pcrs=N,N,... and tcti=NAME[:CONF]
 *   pkcs11:module=PATH;token=LABEL;pin-file=PATH
 *
 * Each member at most once, in any order; values are printable ASCII without ';'. */
#include <stdio.h>
#include "boundary/seal_internal.h"

#define PCRS         24u
#define PCRS_DEFAULT (1u << 7) /* Secure Boot: its state, and the keys that sign what is booted */

static bool take_text(struct bytes value, char *dst, size_t cap)
{
    if (value.n == 0 || value.n >= cap)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < ' ' || value.p[i] > '~')
            return false;
    memcpy(dst, value.p, value.n);
    dst[value.n] = '\0';
    return true;
}

static bool take_pcrs(struct bytes value, uint32_t *ret)
{
    uint32_t pcrs = 0;
    unsigned n = 0;
    size_t digits = 0;
    for (size_t i = 0; i <= value.n; i++) {
        if (i < value.n && value.p[i] >= '0' && value.p[i] <= '9' && digits < 2) {
            n = 10 * n + (unsigned)(value.p[i] - '0');
            digits++;
            continue;
        }
        if ((i < value.n && value.p[i] != ',') || digits == 0 || n >= PCRS || (pcrs >> n & 1) != 0)
            return false;
        pcrs |= 1u << n;
        n = 0;
        digits = 0;
    }
    *ret = pcrs;
    return true;
}

/* Only what reaches a TPM; tctildr would load any library of that name, or start a program. */
bool seal_tcti_take(struct bytes value, char *dst, size_t cap)
{
    static const char *const names[] = {"device", "swtpm", "mssim", "tabrmd"};
    if (!take_text(value, dst, cap))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(dst, names[i], n) == 0 && (dst[n] == ':' || dst[n] == '\0'))
            return true;
    }
    return false;
}

static bool take_path(struct bytes value, char *dst, size_t cap)
{
    return take_text(value, dst, cap) && dst[0] == '/';
}

static bool take_member(struct bytes name, struct bytes value, struct seal_spec *s)
{
    if (s->provider == SEAL_TPM2) {
        if (bytes_eq_str(name, "pcrs"))
            return s->pcrs == 0 && take_pcrs(value, &s->pcrs);
        return bytes_eq_str(name, "tcti") && s->tcti[0] == '\0' &&
               seal_tcti_take(value, s->tcti, sizeof s->tcti);
    }
    if (bytes_eq_str(name, "module"))
        return s->module[0] == '\0' && take_path(value, s->module, sizeof s->module);
    if (bytes_eq_str(name, "token"))
        return s->token[0] == '\0' && take_text(value, s->token, sizeof s->token);
    return bytes_eq_str(name, "pin-file") && s->pin_file[0] == '\0' &&
           take_path(value, s->pin_file, sizeof s->pin_file);
}

static bool take_members(const char *text, struct seal_spec *s)
{
    for (;;) {
        size_t n = strcspn(text, ";");
        const char *equals = (const char *)memchr(text, '=', n);
        if (equals == NULL)
            return false;
        const char *value = equals + 1;
        if (!take_member(bytes_of(text, (size_t)(equals - text)),
                         bytes_of(value, n - (size_t)(value - text)), s))
            return false;
        if (text[n] == '\0')
            return true;
        text += n + 1;
    }
}

hsm_err seal_spec_parse(const char *text, struct seal_spec *ret, char *why, size_t cap)
{
    struct seal_spec s = {.provider = SEAL_FILE};
    size_t n = strcspn(text, ":");
    struct bytes name = bytes_of(text, n);
    bool ok = true;
    if (bytes_eq_str(name, "file"))
        ok = text[n] == '\0';
    else if (bytes_eq_str(name, "tpm2"))
        s.provider = SEAL_TPM2;
    else if (bytes_eq_str(name, "pkcs11"))
        s.provider = SEAL_PKCS11;
    else
        ok = false;
    if (ok && text[n] == ':')
        ok = take_members(text + n + 1, &s);
    if (ok && s.provider == SEAL_PKCS11)
        ok = s.module[0] != '\0' && s.token[0] != '\0' && s.pin_file[0] != '\0';
    if (!ok)
        return seal_say(
            HSM_E_BAD_PARAMETER, why, cap,
            "the seal provider is none of: file, tpm2, tpm2:pcrs=N,N,...;tcti=NAME:CONF, "
            "pkcs11:module=PATH;token=LABEL;pin-file=PATH (paths begin with /)");
    if (s.provider == SEAL_TPM2 && s.pcrs == 0)
        s.pcrs = PCRS_DEFAULT;
    if (s.provider == SEAL_TPM2 && s.tcti[0] == '\0')
        (void)snprintf(s.tcti, sizeof s.tcti, SEAL_TCTI_DEFAULT);
    *ret = s;
    return HSM_OK;
}
