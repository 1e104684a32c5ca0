#include "net/http_internal.h"

static const struct {
    unsigned status;
    const char *line;
} lines[] = {
    {200, "HTTP/1.1 200 OK\r\n"},
    {201, "HTTP/1.1 201 Created\r\n"},
    {202, "HTTP/1.1 202 Accepted\r\n"},
    {204, "HTTP/1.1 204 No Content\r\n"},
    {302, "HTTP/1.1 302 Found\r\n"},
    {303, "HTTP/1.1 303 See Other\r\n"},
    {304, "HTTP/1.1 304 Not Modified\r\n"},
    {400, "HTTP/1.1 400 Bad Request\r\n"},
    {401, "HTTP/1.1 401 Unauthorized\r\n"},
    {403, "HTTP/1.1 403 Forbidden\r\n"},
    {404, "HTTP/1.1 404 Not Found\r\n"},
    {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
    {408, "HTTP/1.1 408 Request Timeout\r\n"},
    {409, "HTTP/1.1 409 Conflict\r\n"},
    {412, "HTTP/1.1 412 Precondition Failed\r\n"},
    {413, "HTTP/1.1 413 Content Too Large\r\n"},
    {415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
    {421, "HTTP/1.1 421 Misdirected Request\r\n"},
    {429, "HTTP/1.1 429 Too Many Requests\r\n"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    {500, "HTTP/1.1 500 Internal Server Error\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\n"},
    {502, "HTTP/1.1 502 Bad Gateway\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    {504, "HTTP/1.1 504 Gateway Timeout\r\n"},
};

static void put_number(struct wr *w, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    wr_bytes(w, digits + at, sizeof(digits) - at);
}

static void put_line(struct wr *w, unsigned status)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].status == status) {
            wr_str(w, lines[i].line);
            return;
        }
    }
    wr_str(w, "HTTP/1.1 ");
    put_number(w, status);
    wr_str(w, " Status\r\n");
}

bool answer_has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

void answer_head(struct wr *w, const struct answer_info *a)
{
    put_line(w, a->status);
    wr_bytes(w, a->date.p, a->date.n);
    wr_bytes(w, a->headers.p, a->headers.n);
    if (answer_has_body(a->status)) {
        wr_str(w, "content-length: ");
        put_number(w, a->body_n);
        wr_str(w, "\r\n");
    }
    if (a->close) {
        wr_str(w, "connection: close\r\n");
    } else if (a->minor == 0) {
        wr_str(w, "connection: keep-alive\r\n");
    }
    wr_str(w, "\r\n");
}
