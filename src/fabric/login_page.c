/* Pages to sign in on: for device codes and for apps that open a browser. Plain forms; the answer
 * to an app goes only to where that app may be found. */
#include <stdio.h>
#include <openssl/hmac.h>
#include "base/secret.h"
#include "fabric/login_code.h"
#include "fabric/login_internal.h"

#define PAGE_MAX   8192
#define PARAMS_MAX 24

hsm_err login_mac(const struct fabric *f, const char *purpose, struct bytes data, uint8_t mac[32])
{
    uint8_t text[2048];
    unsigned n = 0;
    struct wr w = wr_of(text, sizeof text);
    wr_lv(&w, bytes_str(purpose));
    wr_bytes(&w, data.p, data.n);
    TRY(wr_ok(&w));
    return HMAC(EVP_sha256(), f->provider.dir.refresh_key, DIRECTORY_KEY_LEN, w.p, w.n, mac, &n) !=
                   NULL
               ? HSM_OK
               : HSM_E_INTERNAL;
}

struct sweep {
    struct changes *c;
    uint64_t now_s;
    unsigned left;
};

static bool sweep_one(void *ctx, const struct document *d)
{
    struct sweep *s = ctx;
    struct json_tok tok[32];
    struct json_doc j;
    int64_t expires = 0;
    if (json_parse(d->json, tok, 32, &j) != HSM_OK ||
        json_int(&j, json_get(&j, 0, "expires"), &expires) != HSM_OK ||
        (uint64_t)expires + 60 < s->now_s) {
        changes_delete(s->c, STATE_LOGIN, d->key);
        s->left--;
    }
    return s->left > 0;
}

void login_sweep(struct fabric *f, struct changes *c, uint64_t now_s)
{
    struct sweep s = {.c = c, .now_s = now_s, .left = 64};
    state_each(f->state, STATE_LOGIN, bytes_of(NULL, 0), sweep_one, &s);
}

bool login_form(struct fabric *f, const struct request *rq, struct url_param *params, size_t max,
                size_t *ret_n)
{
    static const char want[] = "application/x-www-form-urlencoded";
    struct bytes type = rq->http->head->content_type, body = rq->http->body;
    return type.n >= sizeof want - 1 &&
           bytes_ieq(bytes_of(type.p, sizeof want - 1), bytes_str(want)) &&
           body.n <= sizeof f->form_buf &&
           form_parse(body, f->form_buf, sizeof f->form_buf, params, max, ret_n) == HSM_OK;
}

struct bytes login_param(const struct url_param *params, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes_eq_str(params[i].name, name) && params[i].value.n > 0)
            return params[i].value;
    }
    return bytes_of(NULL, 0);
}

void html_add(struct wr *w, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '&':
            wr_str(w, "&amp;");
            break;
        case '<':
            wr_str(w, "&lt;");
            break;
        case '>':
            wr_str(w, "&gt;");
            break;
        case '"':
            wr_str(w, "&quot;");
            break;
        case '\'':
            wr_str(w, "&#39;");
            break;
        default:
            wr_u8(w, text.p[i]);
        }
    }
}

void login_page(struct answer *a, unsigned status, const char *title, struct bytes inner)
{
    a->status = status;
    a->headers.n = 0;
    a->body.n = 0;
    answer_header(a, "Content-Type", "text/html; charset=utf-8");
    answer_header(a, "Cache-Control", "no-store");
    answer_header(a, "X-Content-Type-Options", "nosniff");
    answer_header(a, "X-Frame-Options", "DENY");
    answer_header(a, "Referrer-Policy", "no-referrer");
    answer_header(a, "Content-Security-Policy",
                  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    wr_str(&a->body, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>");
    wr_str(&a->body, title);
    wr_str(&a->body, "</title><style>body{font-family:sans-serif;max-width:24em;margin:3em auto}"
                     "input{display:block;width:100%;margin:.3em 0 1em;padding:.4em}</style><h1>");
    wr_str(&a->body, title);
    wr_str(&a->body, "</h1>");
    wr_bytes(&a->body, inner.p, inner.n);
    wr_str(&a->body, "</html>\n");
}

static void message(struct answer *a, unsigned status, const char *title, const char *text)
{
    char inner[512];
    int n = snprintf(inner, sizeof inner, "<p>%s</p>", text);
    login_page(a, status, title, bytes_of(inner, (size_t)n));
}

static void put_credentials(struct wr *w, struct bytes user)
{
    wr_str(w, "<label>User<input name=\"username\" autocomplete=\"username\" value=\"");
    html_add(w, user);
    wr_str(w, "\"></label><label>Password<input name=\"password\" type=\"password\" "
              "autocomplete=\"current-password\"></label>");
}

static void put_hidden(struct wr *w, const char *name, struct bytes value)
{
    if (value.n == 0)
        return;
    wr_str(w, "<input type=\"hidden\" name=\"");
    wr_str(w, name);
    wr_str(w, "\" value=\"");
    html_add(w, value);
    wr_str(w, "\">");
}

/* The user of the form; on a fault the text for the page. */
static const char *sign_in(struct fabric *f, const struct request *rq, const struct url_param *p,
                           size_t n, struct principal *ret)
{
    const struct token_context c = {.id_issuer = "",
                                    .origin = rq->face.login,
                                    .address = rq->http->client_ip,
                                    .now_s = rq->now_ms / 1000};
    enum token_fault e = provider_password(&f->provider, login_param(p, n, "username"),
                                           login_param(p, n, "password"), &c, ret);
    return e == TOKEN_OK ? NULL : token_fault_text(e);
}

/* ---- device codes ---- */

static void device_form(struct answer *a, struct bytes code, const char *text)
{
    char inner[PAGE_MAX];
    struct wr w = wr_of(inner, sizeof inner);
    wr_str(&w, "<p>");
    wr_str(&w, text != NULL ? text
                            : "Enter the code that the other device shows. Go on only if "
                              "you started that login yourself.");
    wr_str(&w, "</p><form method=\"post\"><label>Code<input name=\"code\" value=\"");
    html_add(&w, code);
    wr_str(&w, "\"></label>");
    put_credentials(&w, bytes_of(NULL, 0));
    wr_str(&w, "<button>Sign in</button></form>");
    login_page(a, text != NULL ? 400 : 200, "Sign in on another device", wr_view(&w));
}

void device_page(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f;
    struct bytes code = url_param_get(&rq->url, "code");
    device_form(a, code.n <= 64 ? code : bytes_of(NULL, 0), NULL);
}

void device_post(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct url_param p[PARAMS_MAX];
    struct principal who;
    size_t n = 0;
    if (!login_form(f, rq, p, PARAMS_MAX, &n)) {
        message(a, 400, "Sign in on another device", "The form is damaged.");
        return;
    }
    struct bytes code = login_param(p, n, "code");
    const char *wrong = sign_in(f, rq, p, n, &who);
    if (wrong != NULL)
        device_form(a, code.n <= 64 ? code : bytes_of(NULL, 0), wrong);
    else if (!device_decide(f, rq, code, who.oid, true))
        device_form(a, bytes_of(NULL, 0), "There is no such code, or it was used or has expired.");
    else
        message(a, 200, "Sign in on another device",
                "You have signed in. You may close this page.");
    secret_wipe(f->form_buf, sizeof f->form_buf);
}

/* ---- authorization requests ---- */

/* "http://localhost[:port][/...]" or a loopback address: whoever listens there is on the user's own
 * machine, and PKCE keeps others there from using the code (RFC 8252 §7.3). */
static bool is_loopback(struct bytes uri)
{
    static const char *const starts[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        size_t n = strlen(starts[i]);
        if (uri.n >= n && memcmp(uri.p, starts[i], n) == 0 &&
            (uri.n == n || uri.p[n] == ':' || uri.p[n] == '/'))
            return true;
    }
    return false;
}

static bool is_plain(struct bytes uri)
{
    for (size_t i = 0; i < uri.n; i++) {
        if (uri.p[i] <= ' ' || uri.p[i] >= 0x7f || strchr("\"'<>\\^`{|}#", uri.p[i]) != NULL)
            return false;
    }
    return uri.n > 0 && uri.n <= LOGIN_PARAM_MAX;
}

/* May the answer go there? Until this is known no answer goes anywhere. */
static bool may_redirect(struct fabric *f, const struct login_ask *ask, bool *ret_public)
{
    const struct people *w = &f->provider.people;
    struct principal app;
    *ret_public = provider_is_public(ask->client_id);
    if (!is_plain(ask->redirect_uri))
        return false;
    if (*ret_public)
        return is_loopback(ask->redirect_uri);
    return w->by_client(w->ctx, ask->client_id, &app) && app.kind == PRINCIPAL_APP &&
           w->redirect(w->ctx, &app, ask->redirect_uri);
}

typedef struct bytes getter(const void *from, const char *name);

struct form {
    struct url_param p[PARAMS_MAX];
    size_t n;
};

static struct bytes from_form(const void *from, const char *name)
{
    const struct form *f = from;
    return login_param(f->p, f->n, name);
}

static struct bytes from_query(const void *from, const char *name)
{
    return url_param_get(from, name);
}

/* NULL, or what is wrong. */
static const char *take_ask(struct fabric *f, getter *get, const void *from, struct login_ask *ret)
{
    bool is_public = false;
    struct bytes type = get(from, "response_type"), mode = get(from, "response_mode");
    struct bytes method = get(from, "code_challenge_method");
    *ret = (struct login_ask){.client_id = get(from, "client_id"),
                              .redirect_uri = get(from, "redirect_uri"),
                              .state = get(from, "state"),
                              .challenge = get(from, "code_challenge"),
                              .hint = get(from, "login_hint"),
                              .form_post = bytes_eq_str(mode, "form_post")};
    if (ret->client_id.n > UUID_TEXT_LEN || ret->state.n > LOGIN_PARAM_MAX ||
        ret->hint.n > DIRECTORY_NAME_MAX)
        return "The request is too long.";
    if (!may_redirect(f, ret, &is_public))
        return "The app is not known, or may not be sent to that address.";
    if (!bytes_eq_str(type, "code"))
        return "Only response_type=code is supported.";
    if (mode.n > 0 && !bytes_eq_str(mode, "query") && !ret->form_post)
        return "The response_mode must be query or form_post.";
    if (ret->challenge.n > 0 ? ret->challenge.n != 43 || !bytes_eq_str(method, "S256") : is_public)
        return "A code_challenge with the method S256 is needed.";
    return NULL;
}

static void ask_form(struct answer *a, const struct login_ask *ask, const char *text)
{
    char inner[PAGE_MAX];
    struct wr w = wr_of(inner, sizeof inner);
    if (text != NULL) {
        wr_str(&w, "<p>");
        wr_str(&w, text);
        wr_str(&w, "</p>");
    }
    wr_str(&w, "<form method=\"post\">");
    put_credentials(&w, ask->hint);
    put_hidden(&w, "client_id", ask->client_id);
    put_hidden(&w, "redirect_uri", ask->redirect_uri);
    put_hidden(&w, "state", ask->state);
    put_hidden(&w, "code_challenge", ask->challenge);
    put_hidden(&w, "code_challenge_method",
               ask->challenge.n > 0 ? bytes_str("S256") : bytes_of(NULL, 0));
    put_hidden(&w, "response_type", bytes_str("code"));
    put_hidden(&w, "response_mode", ask->form_post ? bytes_str("form_post") : bytes_of(NULL, 0));
    wr_str(&w, "<button>Sign in</button></form>");
    login_page(a, text != NULL ? 400 : 200, "Sign in", wr_view(&w));
}

static void add_escaped(struct wr *w, struct bytes text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool plain = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                     (c != 0 && strchr("-_.~", c) != NULL);
        if (plain) {
            wr_u8(w, c);
        } else {
            wr_u8(w, '%');
            wr_u8(w, (uint8_t)hex[c >> 4]);
            wr_u8(w, (uint8_t)hex[c & 15]);
        }
    }
}

/* With response_mode=form_post the page is a form that the user sends on: no script runs here. */
static void post_back(struct answer *a, const struct login_ask *ask, struct bytes code)
{
    char inner[PAGE_MAX];
    struct wr w = wr_of(inner, sizeof inner);
    wr_str(&w, "<form method=\"post\" action=\"");
    html_add(&w, ask->redirect_uri);
    wr_str(&w, "\">");
    put_hidden(&w, "code", code);
    put_hidden(&w, "state", ask->state);
    wr_str(&w, "<button>Go on to the app</button></form>");
    login_page(a, 200, "You have signed in", wr_view(&w));
}

static void send_back(struct answer *a, const struct login_ask *ask, struct bytes code)
{
    char url[LOGIN_PARAM_MAX * 5 + 2048];
    struct wr w = wr_of(url, sizeof url - 1);
    wr_bytes(&w, ask->redirect_uri.p, ask->redirect_uri.n);
    wr_str(&w, memchr(ask->redirect_uri.p, '?', ask->redirect_uri.n) != NULL ? "&" : "?");
    wr_str(&w, "code=");
    wr_bytes(&w, code.p, code.n);
    if (ask->state.n > 0) {
        wr_str(&w, "&state=");
        add_escaped(&w, ask->state);
    }
    url[w.n] = 0;
    message(a, 303, "You have signed in", "You may close this page.");
    answer_header(a, "Location", url);
}

void authorize_page(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct login_ask ask;
    const char *wrong = take_ask(f, from_query, &rq->url, &ask);
    if (wrong != NULL)
        message(a, 400, "Sign in", wrong);
    else
        ask_form(a, &ask, NULL);
}

void authorize_post(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct form form = {.n = 0};
    struct login_ask ask;
    struct principal who;
    char code[2048];
    struct wr w = wr_of(code, sizeof code);
    const char *wrong = "The form is damaged.";
    if (login_form(f, rq, form.p, PARAMS_MAX, &form.n))
        wrong = take_ask(f, from_form, &form, &ask);
    if (wrong != NULL) {
        message(a, 400, "Sign in", wrong);
        return;
    }
    a->secret = true;
    wrong = sign_in(f, rq, form.p, form.n, &who);
    if (wrong != NULL)
        ask_form(a, &ask, wrong);
    else if (code_make(f, &ask, who.oid, rq->now_ms / 1000, &w) != HSM_OK)
        message(a, 500, "Sign in", "The identity provider failed.");
    else if (ask.form_post)
        post_back(a, &ask, wr_view(&w));
    else
        send_back(a, &ask, wr_view(&w));
    secret_wipe(&who, sizeof who);
}
