"""Requests that no generator of well-formed ones makes: broken JSON, members twice, depths, numbers without end, bytes that are
no text, strange paths and queries. Pure; everything comes from the random generator that is handed in."""
import json


class Raw:
    """Text that stands in a body as it is."""

    def __init__(self, text):
        self.text = text


def pairs(value):
    """A parsed document with objects as lists of pairs, so that a member can be there twice."""
    if isinstance(value, dict):
        return ("object", [[k, pairs(v)] for k, v in value.items()])
    if isinstance(value, list):
        return ("array", [[None, pairs(v)] for v in value])
    return value


def render(node):
    if isinstance(node, Raw):
        return node.text
    if not isinstance(node, tuple):
        return json.dumps(node).encode()
    kind, items = node
    if kind == "array":
        return b"[" + b",".join(render(v) for _, v in items) + b"]"
    return b"{" + b",".join((k.text if isinstance(k, Raw) else json.dumps(k).encode()) + b":" + render(v)
                            for k, v in items) + b"}"


def containers(node, found):
    if isinstance(node, tuple):
        found.append(node)
        for _, v in node[1]:
            containers(v, found)
    return found


NUMBERS = [b"-1", b"0", b"-0", b"1e999", b"1E+2", b"2048.0", b"01", b"+1", b".5", b"5.", b"0x10", b"NaN", b"-Infinity", b"9" * 400,
           b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"4294967296", b"1" + b"0" * 5000]
STRINGS = [b'""', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\/\\b\\f"', b'"\\x41"', b'"\\u12"', b'"\xff"',
           b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"\x00"', b'"\n"', b'"\xef\xbb\xbf"', b'"' + b"A" * 9000 + b'"',
           b'"A==="', b'"+/"', b'"AAAA\\n"', b"'x'", b'"', b'"*"', b'"../.."', b'"%2F"', b'"\xc3\xa4"']
OTHERS = [b"null", b"true", b"False", b"[]", b"{}", b"[[]]", b'{"":{}}', b"", b",", b"/**/", b"[" * 17 + b"]" * 17,
          b'{"a":' * 20 + b"1" + b"}" * 20, b"[" * 3000, b"[" + b"1," * 4000 + b"1]"]
TAILS = [b"", b" ", b"\0", b"{}", b",", b"]", b"\xef\xbb\xbf", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"]


def junk(rng):
    return Raw(rng.choice(rng.choice((NUMBERS, STRINGS, OTHERS))))


def change_tree(rng, doc):
    """One change at a random place of a document."""
    tree = pairs(doc)
    _, items = rng.choice(containers(tree, []))
    what = rng.randrange(7)
    if not items or what == 0:
        items.insert(rng.randint(0, len(items)), [rng.choice(["kty", "alg", "value", "x", "", "__proto__"]), junk(rng)])
    else:
        at = rng.randrange(len(items))
        if what == 1:
            items.append(list(items[at]))
        elif what == 2:
            items.append([Raw(escaped(items[at][0])), junk(rng)])
        elif what == 3:
            del items[at]
        elif what == 4:
            items[at][0] = Raw(rng.choice(STRINGS))
        else:
            items[at][1] = junk(rng)
    return render(tree)


def escaped(name):
    """The same name, written with an escape."""
    return (f'"\\u{ord(name[0]):04x}{name[1:]}"' if name else '"\\u0061"').encode()


def change_bytes(rng, body):
    """A few changes that know nothing of JSON."""
    b = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(b))
        what = rng.randrange(5)
        if what == 0 and b:
            b[rng.randrange(len(b))] = rng.randrange(256)
        elif what == 1:
            del b[at:]
        elif what == 2:
            b[at:at] = rng.randbytes(rng.randint(1, 4))
        elif what == 3:
            b[at:at] = b[:rng.randint(0, 40)]
        else:
            del b[at:at + rng.randint(1, 5)]
    return bytes(b)


def change_body(rng, doc):
    what = rng.randrange(10)
    good = json.dumps(doc).encode()
    if what == 0:
        return rng.choice(OTHERS + STRINGS + NUMBERS)
    if what == 1:
        return good + rng.choice(TAILS)
    if what == 2:
        return good.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"]))
    if what < 5:
        return change_bytes(rng, good)
    return change_tree(rng, doc)


PIECES = ["//", "/./", "/../", "/%2e%2e/", "%2F", "%00", "%", "%zz", "%c0%af", "%ff", "\\", ";x=y", "~", "%0d%0a", "+", "%20", "*",
          "{n}", "%25", "/" * 30, "a" * 200, "\xe4", "@", ":", "?", "#"]
QUERIES = ["api-version=7.5", "api-version=", "api-version=7.6%00", "api-version", "API-VERSION=7.6", "api%2Dversion=7.4", "maxresults=0",
           "maxresults=1", "maxresults=-1", "maxresults=%31", "maxresults=1&maxresults=2", "$skiptoken=AA", "%24skiptoken=!", "$skiptoken=",
           "$filter=atScope()", "$filter=x", "$filter=principalId%20eq%20", "=", "&&", "a=%", "a=%00", "x=" + "y" * 3000, "&".join("z=1" for _ in
           range(70)), "?", "a[]=1", "a=\xff"]


def change_target(rng, path, query):
    what = rng.randrange(4)
    if what == 0:
        at = rng.randint(0, len(path))
        path = path[:at] + rng.choice(PIECES) + path[at:]
    elif what == 1:
        at = rng.randrange(len(path))
        path = path[:at] + f"%{ord(path[at]):02{rng.choice('xX')}}" + path[at + 1:]
    elif what == 2:
        parts = path.split("/")
        del parts[rng.randrange(1, len(parts))]
        path = "/".join(parts) or "/"
    if what == 3 or rng.random() < 0.3:
        query = rng.choice([query, ""]) + "&" + rng.choice(QUERIES)
    return path + "?" + query.lstrip("&")


HEADERS = ["Content-Type: text/plain", "Content-Type: application/xml", "Content-Type: application/json; charset=utf-16", "Content-Type:",
           "Content-Type: multipart/form-data; boundary=x", "Content-Encoding: gzip", "Accept: text/html", "Accept-Encoding: gzip, br",
           "X-HTTP-Method-Override: DELETE", "X-HTTP-METHOD: DELETE", "X-Original-URL: /keys/rsa", "X-Forwarded-Host: other.example",
           "Expect: 100-continue", "Connection: close", "Connection: upgrade", "Upgrade: h2c", "Range: bytes=0-1", "If-Match: *",
           "If-None-Match: *", "Cookie: a=b", "Transfer-Encoding: identity", "X: \xff", "X-MS-Client-Request-Id: \x7f", "Te: trailers"]
METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "M" * 40, "CONNECT"]


def change(rng, method, path, query, doc):
    """(method, target, header lines, body) near a good request."""
    target = f"{path}?{query}"
    body = None if doc is None else json.dumps(doc).encode()
    headers = []
    what = rng.randrange(12)
    if what < 6 and doc is not None:
        body = change_body(rng, doc)
    elif what < 9:
        target = change_target(rng, path, query)
    elif what == 9:
        method = rng.choice(METHODS)
    elif what == 10:
        body = change_body(rng, doc or {})
    else:
        headers = [rng.choice(HEADERS)]
    if rng.random() < 0.15:
        headers.append(rng.choice(HEADERS))
    return method, target, headers, body
