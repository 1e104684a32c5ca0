"""Bodies that are no JSON, and members of the wrong kind, for test_bad_input.py."""


def nested(n, kind):
    return b'{"a":' * n + b"1" + b"}" * n if kind == "object" else b'{"a":' + b"[" * n + b"]" * n + b"}"


NOT_JSON = {
    "empty": b"", "open": b"{", "closed": b"}", "array": b"[]", "array of objects": b"[{}]", "null": b"null",
    "true": b"true", "number": b"1", "string": b'"{}"', "text": b"kty=RSA", "xml": b"<a/>",
    "duplicate": b'{"kty":"EC","kty":"RSA"}', "escaped duplicate": b'{"kty":"EC","\\u006bty":"RSA"}',
    "inner duplicate": b'{"kty":"EC","tags":{"a":"1","a":"2"}}', "depth 20": nested(20, "object"),
    "depth 20 of arrays": nested(20, "array"), "depth 10000": nested(10000, "array"),
    "invalid UTF-8": b'{"kty":"EC","tags":{"a":"\xff"}}', "overlong UTF-8": b'{"kty":"EC","tags":{"a":"\xc0\xaf"}}',
    "UTF-8 surrogate": b'{"kty":"EC","tags":{"a":"\xed\xa0\x80"}}', "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "cut UTF-8": b'{"kty":"EC","tags":{"a":"\xe2\x82"}}', "NUL": b'{"kty":"EC\x00"}', "NUL behind": b"{}\x00",
    "control": b'{"kty":"EC","tags":{"a":"\x01"}}', "line feed": b'{"a":"\n"}',
    "high surrogate": b'{"kty":"EC","tags":{"a":"\\ud800"}}', "low surrogate": b'{"kty":"EC","tags":{"a":"\\udc00"}}',
    "swapped surrogates": b'{"kty":"EC","tags":{"a":"\\udc00\\ud800"}}', "two objects": b"{}{}", "tail": b"{} x",
    "BOM": b"\xef\xbb\xbf{}", "UTF-16": '{"kty":"EC"}'.encode("utf-16"), "comma": b'{"kty":"EC",}',
    "no colon": b'{"kty" "EC"}', "single quotes": b"{'kty':'EC'}", "no quotes": b'{kty:"EC"}', "comment": b"{/**/}",
    "NaN": b'{"a":NaN}', "infinity": b'{"a":Infinity}', "leading zero": b'{"a":01}', "plus": b'{"a":+1}',
    "hex": b'{"a":0x10}', "dot": b'{"a":1.}', "half a number": b'{"a":-}', "bad escape": b'{"a":"\\x41"}',
    "half an escape": b'{"a":"\\u12"}', "open string": b'{"a":"', "True": b'{"a":True}', "5000 members":
        b"{" + b",".join(b'"%d":1' % i for i in range(5000)) + b"}",
}


STRINGS = [1, 1.5, True, [], {}, ["EC"], {"a": "EC"}]
INTEGERS = ["2048", 2048.5, True, [], {}, -1, 0, 2 ** 31, 2 ** 63, 10 ** 30, 10 ** 400]
OBJECTS = [1, "x", True, [], [{}]]
ARRAYS = [1, "sign", True, {}, {"0": "sign"}]
BOOLS = [0, 1, "true", [], {}]
TIMES = ["1", 1.5, True, [], {}, -1, 2 ** 63, 10 ** 30, 10 ** 400, 253402300800]
B64 = [1, True, [], {}, "A", "AAAAA", "AB", "AA=A", "=", "AA=", "AA===", "AAA==", "A A", "AA\n", "+A", "/A", "AA.", "\u00e4\u00e4",
       "A\u0000A", "AA\\"]


def wrong(base, member, values, inner=None):
    for v in values:
        yield {**base, (inner or member): ({member: v} if inner else v)}


def bad_attributes(base):
    yield from wrong(base, "attributes", OBJECTS)
    for m in ("enabled", "exportable"):
        yield from wrong(base, m, BOOLS, "attributes")
    for m in ("nbf", "exp"):
        yield from wrong(base, m, TIMES, "attributes")
    yield from wrong(base, "tags", OBJECTS)
    for v in (1, True, None, [], {}, "x" * 257, "\u0000"):
        yield {**base, "tags": {"name": v}}
    yield {**base, "tags": {"n" * 257: "v"}}
    yield {**base, "tags": {"a\u0000b": "v"}}
    yield {**base, "tags": {str(i): "v" for i in range(16)}}
    yield from wrong(base, "key_ops", ARRAYS)
    for v in ([1], [None], [[]], ["SIGN"], ["sign", ""], ["si\u0067n\u0000"], [{"sign": 1}]):
        yield {**base, "key_ops": v}
    yield from wrong(base, "release_policy", OBJECTS)
    for v in ({}, {"data": 1}, {"data": ""}, {"data": "%"}, {"data": "AAAA"}, {"data": "AAAA", "immutable": "x"}):
        yield {**base, "release_policy": v}
