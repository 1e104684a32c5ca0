#include "codec/http1.h"

/* Extensions and trailers are read over, within these bounds. */
#define SIZE_LINE_MAX 256
#define TRAILER_MAX   4096
#define SIZE_DIGITS   15

/* The zero value is the start. */
enum state {
    SIZE,      /* digits of the size */
    EXTENSION, /* behind them, up to CR */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE_START, /* of a trailer line or the empty line */
    TRAILER,
    TRAILER_LF,
    END_LF,
    DONE,
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t l = (uint8_t)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static hsm_err size_byte(struct http1_chunks *c, uint8_t b)
{
    int h = hex_value(b);
    if (h >= 0) {
        if (c->line_n == SIZE_DIGITS)
            return HSM_E_MALFORMED;
        c->left = c->left << 4 | (uint64_t)h;
        c->line_n++;
        return HSM_OK;
    }
    if (c->line_n == 0 || (b != ';' && b != '\r'))
        return HSM_E_MALFORMED;
    c->state = b == ';' ? EXTENSION : SIZE_LF;
    return HSM_OK;
}

/* Text up to CR in state, then next. */
static hsm_err text_byte(struct http1_chunks *c, uint8_t b, enum state next, size_t max)
{
    if (b == '\r') {
        c->state = next;
        return HSM_OK;
    }
    if (!is_text(b) || ++c->line_n > max)
        return HSM_E_MALFORMED;
    return HSM_OK;
}

static hsm_err expect_byte(struct http1_chunks *c, uint8_t b, uint8_t want, enum state next)
{
    if (b != want)
        return HSM_E_MALFORMED;
    c->state = next;
    return HSM_OK;
}

static hsm_err line_start_byte(struct http1_chunks *c, uint8_t b)
{
    if (b == '\r') {
        c->state = END_LF;
        return HSM_OK;
    }
    c->state = TRAILER;
    return text_byte(c, b, TRAILER_LF, TRAILER_MAX);
}

static hsm_err framing_byte(struct http1_chunks *c, uint8_t b)
{
    switch ((enum state)c->state) {
    case SIZE:
        return size_byte(c, b);
    case EXTENSION:
        return text_byte(c, b, SIZE_LF, SIZE_LINE_MAX);
    case SIZE_LF:
        c->line_n = 0;
        return expect_byte(c, b, '\n', c->left == 0 ? LINE_START : DATA);
    case DATA_CR:
        return expect_byte(c, b, '\r', DATA_LF);
    case DATA_LF:
        return expect_byte(c, b, '\n', SIZE);
    case LINE_START:
        return line_start_byte(c, b);
    case TRAILER:
        return text_byte(c, b, TRAILER_LF, TRAILER_MAX);
    case TRAILER_LF:
        return expect_byte(c, b, '\n', LINE_START);
    case END_LF:
        return expect_byte(c, b, '\n', DONE);
    case DATA:
    case DONE:
        break;
    }
    return HSM_E_MALFORMED;
}

static hsm_err data_bytes(struct http1_chunks *c, struct bytes in, struct wr *out, size_t *ret_n)
{
    /* The whole chunk must fit: no waiting for bytes that will be refused. */
    if (out->overflow || c->left > out->cap - out->n)
        return HSM_E_TOO_LARGE;
    size_t n = c->left < in.n ? (size_t)c->left : in.n;
    wr_bytes(out, in.p, n);
    c->left -= n;
    c->total += n;
    if (c->left == 0)
        c->state = DATA_CR;
    *ret_n = n;
    return HSM_OK;
}

hsm_err http1_chunks_feed(struct http1_chunks *c, struct bytes in, struct wr *out, size_t *ret_used)
{
    size_t at = 0;
    while (at < in.n && c->state != DONE) {
        size_t n = 1;
        if (c->state == DATA)
            TRY(data_bytes(c, bytes_of(in.p + at, in.n - at), out, &n));
        else
            TRY(framing_byte(c, in.p[at]));
        at += n;
    }
    *ret_used = at;
    return c->state == DONE ? HSM_OK : HSM_E_AGAIN;
}
