"""Key management over HTTP: exact bodies, headers, lists, attributes, errors. What is not written out here is in
test_crypto.py (algorithms) and test_limits.py (limits)."""
import base64
import re
import time
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import keyhold

BUNDLE = {"attributes", "key"}
ATTRIBUTES = {"created", "enabled", "exportable", "recoverableDays", "recoveryLevel", "updated"}
DELETED = {"deletedDate", "recoveryId", "scheduledPurgeDate"}
RSA_OPS = {"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
OCT_OPS = RSA_OPS | {"deriveKey"}
CURVES = {"P-256": (ec.SECP256R1, 32), "P-384": (ec.SECP384R1, 48), "P-521": (ec.SECP521R1, 66),
          "P-256K": (ec.SECP256K1, 32)}
DAY = 86400
NO_POLICY = base64.urlsafe_b64encode(b'{"version":"1.0.0","anyOf":[]}').decode().rstrip("=")


@pytest.fixture
def name():
    return "k-" + uuid.uuid4().hex[:12]


def unb64u(s):
    assert "=" not in s and "+" not in s and "/" not in s
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


def create(pool, name, kty="EC-HSM", **more):
    return pool.ok("POST", f"/keys/{name}/create", {"kty": kty, **more})


def version_of(bundle):
    return bundle["key"]["kid"].rsplit("/", 1)[1]


def fails(pool, method, path, body=None, *, status, code, text):
    """The refusal, with its exact text and the request id as Activity ID."""
    r = pool.call(method, path, body)
    assert r.status_code == status, (r.status_code, r.text)
    assert list(r.json()) == ["error"] and set(r.json()["error"]) == {"code", "message"}
    assert r.json()["error"] == {"code": code, "message": f"{text} (Activity ID: {r.headers['x-ms-request-id']})"}
    return r


def missing(pool, method, path, body=None, *, at):
    fails(pool, method, path, body, status=404, code="KeyNotFound", text=f"Key not found: {pool.pool_url}{at}")


def check_attributes(a, **expect):
    more = {k for k in ("nbf", "exp") if k in expect}
    assert set(a) == ATTRIBUTES | more
    for k in ("created", "updated", "recoverableDays", *more):
        assert type(a[k]) is int, k
    for k in ("enabled", "exportable"):
        assert type(a[k]) is bool, k
    assert abs(a["created"] - time.time()) < 600 and a["updated"] >= a["created"]
    assert a["recoverableDays"] == 90 and a["recoveryLevel"] == "Recoverable+Purgeable"
    for k, v in {"enabled": True, "exportable": False, **expect}.items():
        assert a[k] == v, k


def check_bundle(pool, b, name, kty, members, ops, tags=None, **attributes):
    assert set(b) == BUNDLE | ({"tags"} if tags else set())
    assert b.get("tags") == tags
    check_attributes(b["attributes"], **attributes)
    key = b["key"]
    assert set(key) == {"kid", "kty", "key_ops"} | members
    assert key["kty"] == kty
    assert len(key["key_ops"]) == len(set(key["key_ops"])) and set(key["key_ops"]) == ops
    assert re.fullmatch(re.escape(f"{pool.pool_url}/keys/{name}/") + "[0-9a-f]{32}", key["kid"])


def sorted_everywhere(value):
    if isinstance(value, list):
        return all(map(sorted_everywhere, value))
    if not isinstance(value, dict):
        return True
    return list(value) == sorted(value) and all(map(sorted_everywhere, value.values()))


def walk(pool, path, **kw):
    """All items, following nextLink exactly as it came."""
    items, url = [], path
    page = pool.ok("GET", url, **kw)
    while True:
        assert set(page) <= {"value", "nextLink"}
        items += page["value"]
        if "nextLink" not in page:
            return items
        assert page["value"], "a page that goes on has items"
        link = page["nextLink"]
        assert link.startswith(f"{pool.pool_url}{path.split('?')[0]}?api-version=7.6&$skiptoken=")
        page = pool.ok("GET", link.removeprefix(pool.pool_url), api=None)


# ---- create

@pytest.mark.parametrize("kty", ["RSA", "RSA-HSM"])
@pytest.mark.parametrize("size", [None, 2048, 3072])
def test_create_rsa(pool, name, kty, size):
    b = create(pool, name, kty, **({"key_size": size} if size else {}))
    check_bundle(pool, b, name, "RSA-HSM", {"n", "e"}, RSA_OPS)
    n = unb64u(b["key"]["n"])
    assert len(n) * 8 == (size or 2048) and n[0] >= 0x80
    assert b["key"]["e"] == "AQAB"
    rsa.RSAPublicNumbers(65537, int.from_bytes(n, "big")).public_key()


@pytest.mark.parametrize("exponent,shown", [(3, "Aw"), (65537, "AQAB"), (0, "AQAB")])
def test_create_rsa_with_an_exponent(pool, name, exponent, shown):
    b = create(pool, name, "RSA", public_exponent=exponent)
    assert b["key"]["e"] == shown
    assert pool.ok("GET", f"/keys/{name}")["key"]["e"] == shown


@pytest.mark.parametrize("kty", ["EC", "EC-HSM"])
@pytest.mark.parametrize("crv", [None, *CURVES])
def test_create_ec(pool, name, kty, crv):
    b = create(pool, name, kty, **({"crv": crv} if crv else {}))
    check_bundle(pool, b, name, "EC-HSM", {"crv", "x", "y"}, {"sign", "verify"})
    curve, width = CURVES[crv or "P-256"]
    assert b["key"]["crv"] == (crv or "P-256")
    x, y = unb64u(b["key"]["x"]), unb64u(b["key"]["y"])
    assert len(x) == len(y) == width
    ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve()).public_key()


def test_older_spelling_of_secp256k1_is_understood(pool, name):
    assert create(pool, name, "EC", crv="SECP256K1")["key"]["crv"] == "P-256K"


@pytest.mark.parametrize("kty", ["oct", "oct-HSM", "AES"])
@pytest.mark.parametrize("size", [None, 128, 192, 256])
def test_create_oct_shows_no_material(pool, name, kty, size):
    b = create(pool, name, kty, **({"key_size": size} if size else {}))
    check_bundle(pool, b, name, "oct-HSM", set(), OCT_OPS)
    bits = size or 256
    iv = "A" * 22
    pool.ok("POST", f"/keys/{name}/encrypt", {"alg": f"A{bits}CBC", "value": iv, "iv": iv})
    other = 128 if bits == 256 else 256
    fails(pool, "POST", f"/keys/{name}/encrypt", {"alg": f"A{other}CBC", "value": iv, "iv": iv}, status=400,
          code="BadParameter", text="The algorithm does not fit the size of the key.")


@pytest.mark.parametrize("ops", [["sign"], ["verify", "sign"], ["sign", "sign"], ["import"]])
def test_create_with_key_ops(pool, name, ops):
    b = create(pool, name, "RSA-HSM", key_ops=ops)
    assert sorted(b["key"]["key_ops"]) == sorted(set(ops))


@pytest.mark.parametrize("ops", [[], None])
def test_no_key_ops_mean_the_defaults(pool, name, ops):
    assert set(create(pool, name, "RSA-HSM", key_ops=ops)["key"]["key_ops"]) == RSA_OPS


def test_create_with_everything(pool, name):
    nbf, exp = int(time.time()) - DAY, int(time.time()) + DAY
    tags = {"b": "2", "a": "ä \"\\ \U0001f511", "": "empty name", "empty value": ""}
    body = {"key_size": 2048, "public_exponent": 65537, "key_ops": ["sign", "verify"], "tags": tags,
            "attributes": {"enabled": False, "nbf": nbf, "exp": exp, "exportable": False},
            "release_policy": None, "crv": None, "something": {"new": [1, 2.5e3, None, True]}}
    b = create(pool, name, "RSA-HSM", **body)
    check_bundle(pool, b, name, "RSA-HSM", {"n", "e"}, {"sign", "verify"}, tags, enabled=False, nbf=nbf, exp=exp)
    assert pool.ok("GET", f"/keys/{name}") == b


def test_members_are_sorted_and_compact(pool, name):
    r = pool.call("POST", f"/keys/{name}/create", {"kty": "RSA", "tags": {"z": "1", "a": "2"}})
    assert sorted_everywhere(r.json()) and b": " not in r.content and b", " not in r.content
    for path in (f"/keys/{name}", f"/keys/{name}/versions", "/keys"):
        assert sorted_everywhere(pool.ok("GET", path))
    assert sorted_everywhere(pool.ok("DELETE", f"/keys/{name}"))
    assert sorted_everywhere(pool.ok("GET", "/deletedkeys"))


def test_create_again_makes_a_new_current_version(pool, name):
    first = create(pool, name, "EC", tags={"v": "1"}, attributes={"enabled": False})
    second = create(pool, name, "RSA")
    assert first["key"]["kid"].rsplit("/", 1)[0] == second["key"]["kid"].rsplit("/", 1)[0]
    assert version_of(first) != version_of(second)
    assert pool.ok("GET", f"/keys/{name}") == second, "nothing is inherited"
    assert pool.ok("GET", f"/keys/{name}/{version_of(first)}") == first


@pytest.mark.parametrize("n", ["a", "9", "-", "--a--", "A" * 127, "create", "versions", "restore", "0" * 32])
def test_unusual_names(pool, n):
    kid = create(pool, n)["key"]["kid"]
    assert f"/keys/{n}/" in kid
    assert pool.ok("GET", f"/keys/{n}/{kid.rsplit('/', 1)[1]}")["key"]["kid"] == kid
    pool.ok("DELETE", f"/keys/{n}")
    pool.ok("DELETE", f"/deletedkeys/{n}")


@pytest.mark.parametrize("body,text", [
    ({}, "Property 'kty' is missing."),
    ({"kty": None}, "Property 'kty' is missing."),
    ({"kty": "DSA"}, "Property 'kty' has an unknown value."),
    ({"kty": "rsa"}, "Property 'kty' has an unknown value."),
    ({"kty": "RSA", "key_size": 1024}, "key_size of an RSA-HSM key must be 2048, 3072 or 4096."),
    ({"kty": "RSA", "key_size": 2049}, "key_size of an RSA-HSM key must be 2048, 3072 or 4096."),
    ({"kty": "RSA", "public_exponent": 17}, "public_exponent must be 3 or 65537."),
    ({"kty": "EC", "crv": "P-224"}, "Property 'crv' has an unknown value."),
    ({"kty": "oct", "key_size": 512}, "key_size of an oct-HSM key must be 128, 192 or 256."),
    ({"kty": "RSA", "key_ops": ["sign", "fly"]}, "Property 'key_ops' contains an unknown operation."),
    ({"kty": "RSA", "key_ops": ["import", "sign"]}, "import must be the only operation of a key."),
    ({"kty": "EC", "key_ops": ["import"]}, "import is for RSA-HSM keys only."),
    ({"kty": "RSA", "attributes": {"exportable": True}}, "Exportable keys must have release policy"),
    ({"kty": "RSA", "release_policy": {"data": NO_POLICY}}, "Non-exportable keys must not have release policy"),
])
def test_create_refused(pool, name, body, text):
    fails(pool, "POST", f"/keys/{name}/create", body, status=400, code="BadParameter", text=text)
    missing(pool, "GET", f"/keys/{name}", at=f"/keys/{name}")


@pytest.mark.parametrize("body", [
    {"kty": "AKP-HSM", "alg": "ML-DSA-65"},
    {"kty": "oct", "attributes": {"external_key": {"id": "x"}}},
])
def test_what_this_version_cannot_make_is_said(pool, name, body):
    r = pool.call("POST", f"/keys/{name}/create", body)
    assert r.status_code == 501 and pool.error(r)[0] == "NotImplemented"
    missing(pool, "GET", f"/keys/{name}", at=f"/keys/{name}")


# ---- headers

HEADERS = {"cache-control": "no-cache", "content-type": "application/json; charset=utf-8",
           "content-security-policy": "default-src 'self'",
           "strict-transport-security": "max-age=31536000; includeSubDomains",
           "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN"}


def check_headers(r, get, error):
    h = r.headers
    for k, v in HEADERS.items():
        assert h[k] == v, k
    assert uuid.UUID(h["x-ms-request-id"]).version == 1
    assert re.fullmatch("[0-9]+", h["x-ms-server-latency"])
    assert ("x-ms-build-version" in h) == get
    assert ("x-ms-keyvault-network-info" in h) == (not error)
    assert ("x-ms-keyvault-region" in h) == (not error)
    if not error:
        assert h["x-ms-keyvault-network-info"] == "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=Ipv4;"
    for k in ("server", "x-ms-keyvault-service-version", "pragma", "expires", "x-powered-by", "www-authenticate"):
        assert k not in h, k


def test_headers(pool, name):
    ids = set()
    for method, path, body in [("POST", f"/keys/{name}/create", {"kty": "EC"}), ("GET", f"/keys/{name}", None),
                               ("GET", "/keys", None), ("PATCH", f"/keys/{name}/", {"tags": {}}),
                               ("POST", f"/keys/{name}/sign", {"alg": "ES256", "value": "A" * 43}),
                               ("DELETE", f"/keys/{name}", None)]:
        r = pool.call(method, path, body)
        assert r.status_code == 200
        check_headers(r, method == "GET", False)
        assert int(r.headers["content-length"]) == len(r.content)
        ids.add(r.headers["x-ms-request-id"])
    for method, path, body in [("GET", f"/keys/{name}", None), ("POST", f"/keys/{name}/create", {"kty": "?"}),
                               ("PUT", "/keys", None), ("POST", "/rng", {})]:
        r = pool.call(method, path, body)
        assert r.status_code >= 400
        check_headers(r, method == "GET", True)
        ids.add(r.headers["x-ms-request-id"])
    r = pool.call("DELETE", f"/deletedkeys/{name}")
    assert r.status_code == 204 and r.content == b""
    assert len(ids) == 10


# ---- get

def test_get(pool, name):
    first, second = create(pool, name), create(pool, name)
    for path, expect in [(f"/keys/{name}", second), (f"/keys/{name}/", second), (f"//keys//{name}//", second),
                         (f"/KEYS/{name}", second), (f"/keys/{name}/{version_of(first)}", first),
                         (f"/keys/{name}/{version_of(first).upper()}", first),
                         (f"/keys/{name}/{version_of(second)}/", second)]:
        assert pool.ok("GET", path) == expect, path


def test_get_missing(pool, name):
    missing(pool, "GET", f"/keys/{name}", at=f"/keys/{name}")
    missing(pool, "GET", f"/keys/{name}/", at=f"/keys/{name}")
    create(pool, name)
    v = "0" * 32
    missing(pool, "GET", f"/keys/{name}/{v}", at=f"/keys/{name}/{v}")
    missing(pool, "PATCH", f"/keys/{name}/{v}", {}, at=f"/keys/{name}/{v}")
    missing(pool, "POST", f"/keys/{name}/{v}/sign", {"alg": "ES256", "value": "A" * 43}, at=f"/keys/{name}/{v}")


@pytest.mark.parametrize("method,path,body", [
    ("GET", "/keys/{n}", None), ("DELETE", "/keys/{n}", None), ("PATCH", "/keys/{n}/", {"tags": {}}),
    ("POST", "/keys/{n}/sign", {"alg": "RS256", "value": "A" * 43}),
    ("POST", "/keys/{n}//wrapkey", {"alg": "A256KW", "value": "A" * 22}),
    ("POST", "/keys/{n}/verify", {"alg": "RS256", "value": "AA", "digest": "A" * 43}),
    ("GET", "/deletedkeys/{n}", None), ("POST", "/deletedkeys/{n}/recover", None), ("DELETE", "/deletedkeys/{n}", None),
])
def test_every_operation_on_a_missing_key(pool, name, method, path, body):
    at = f"/deletedkeys/{name}" if "deleted" in path else f"/keys/{name}"
    missing(pool, method, path.format(n=name), body, at=at)


@pytest.mark.parametrize("path", ["/keys/{n}/{v}", "/keys/{n}/{v}/encrypt", "/keys/{n}", "/deletedkeys/{n}"])
@pytest.mark.parametrize("bad", ["a_b", "a.b", "a%20b", "a%25b", "ä", "A" * 128, "a%2Fb%2Fc%2Fd"])
def test_bad_names_in_paths(pool, path, bad):
    method = "POST" if "encrypt" in path else "GET"
    r = pool.call(method, path.format(n=bad, v="0" * 32), {"alg": "RSA1_5", "value": "AA"} if method == "POST" else None)
    if "%2F" in bad:  # an escaped slash is a slash
        assert r.status_code in (400, 404), r.text
    else:
        assert (r.status_code, *pool.error(r)) == (400, "Invalidkeyidentifier", "Invalid key identifier")


@pytest.mark.parametrize("bad", ["0", "0" * 31, "0" * 33, "g" * 32, "latest", "0" * 16 + "-" + "0" * 15])
def test_bad_versions_in_paths(pool, name, bad):
    create(pool, name)
    for method, path in (("GET", f"/keys/{name}/{bad}"), ("PATCH", f"/keys/{name}/{bad}"),
                         ("POST", f"/keys/{name}/{bad}/sign")):
        r = pool.call(method, path, None if method == "GET" else {"alg": "ES256", "value": "A" * 43})
        assert (r.status_code, *pool.error(r)) == (400, "Invalidkeyidentifier", "Invalid key identifier"), path


# ---- update

def test_update(pool, name):
    nbf, exp = int(time.time()) - 50, int(time.time()) + 1000
    first = create(pool, name, "RSA", tags={"a": "1", "b": "2"})
    second = create(pool, name, "RSA", tags={"c": "3"})
    time.sleep(1.1)
    b = pool.ok("PATCH", f"/keys/{name}/{version_of(first)}",
                {"key_ops": ["sign"], "attributes": {"enabled": False, "nbf": nbf, "exp": exp}, "tags": {"z": "9"}})
    check_bundle(pool, b, name, "RSA-HSM", {"n", "e"}, {"sign"}, {"z": "9"}, enabled=False, nbf=nbf, exp=exp)
    assert b["attributes"]["updated"] > b["attributes"]["created"] == first["attributes"]["created"]
    assert b["key"]["n"] == first["key"]["n"] and b["key"]["kid"] == first["key"]["kid"]
    assert pool.ok("GET", f"/keys/{name}/{version_of(first)}") == b
    assert pool.ok("GET", f"/keys/{name}") == second, "other versions do not change"


@pytest.mark.parametrize("path", ["/keys/{n}", "/keys/{n}/"])
def test_update_without_version_takes_the_current_one(pool, name, path):
    first, second = create(pool, name), create(pool, name)
    assert pool.ok("PATCH", path.format(n=name), {"tags": {"x": "y"}})["key"]["kid"] == second["key"]["kid"]
    assert pool.ok("GET", f"/keys/{name}/{version_of(first)}") == first


def test_update_changes_only_what_is_given(pool, name):
    nbf, exp = int(time.time()) - 50, int(time.time()) + 1000
    b = create(pool, name, "RSA", tags={"a": "1"}, key_ops=["sign"], attributes={"nbf": nbf, "exp": exp, "enabled": False})

    def same(body, **differences):
        got = pool.ok("PATCH", f"/keys/{name}/", body)
        got["attributes"].pop("updated")
        expect = {**b, "attributes": {k: v for k, v in b["attributes"].items() if k != "updated"}, **differences}
        assert got == expect, body
    same({})
    same({"attributes": {}})
    same({"attributes": None, "tags": None, "key_ops": None, "release_policy": None})
    same({"attributes": {"enabled": None, "nbf": None, "exp": None, "exportable": None}})
    same({"attributes": {"exportable": False}})
    same({"key_ops": []})
    same({"unknown": 1, "attributes": {"unknown": {}, "created": 5, "recoveryLevel": "Purgeable", "recoverableDays": 1}})
    same({"tags": {"b": "2"}}, tags={"b": "2"})
    b["tags"] = {"b": "2"}
    got = pool.ok("PATCH", f"/keys/{name}/", {"tags": {}})
    assert "tags" not in got and "tags" not in pool.ok("GET", f"/keys/{name}")
    assert pool.ok("PATCH", f"/keys/{name}/", {"attributes": {"enabled": True}})["attributes"]["enabled"] is True


@pytest.mark.parametrize("body,text", [
    ({"key_ops": ["fly"]}, "Property 'key_ops' contains an unknown operation."),
    ({"key_ops": ["import", "sign"]}, "import must be the only operation of a key."),
    ({"attributes": {"exportable": True}}, "The exportable attribute of a key cannot be changed."),
    ({"release_policy": {"data": NO_POLICY}}, "Non-exportable keys must not have release policy"),
    ({"attributes": {"enabled": "yes"}}, "Property 'enabled' must be true or false."),
    ({"attributes": {"exp": "soon"}}, "Property 'exp' must be an integer."),
    ({"attributes": {"exp": -1}}, "Property 'exp' is out of range."),
    ({"attributes": {"nbf": 1.5}}, "Property 'nbf' must be an integer."),
    ({"tags": {"a": 1}}, "Tag values must be strings."),
    ({"tags": []}, "Property 'tags' must be an object."),
])
def test_update_refused(pool, name, body, text):
    b = create(pool, name, "RSA", tags={"a": "1"})
    fails(pool, "PATCH", f"/keys/{name}/", {"tags": {"new": "1"}, **body}, status=400, code="BadParameter", text=text)
    assert pool.ok("GET", f"/keys/{name}") == b


# ---- delete, recover, purge

def test_delete_recover_purge(pool, name):
    exp = int(time.time()) + 5000
    versions = [create(pool, name, "EC", tags={"i": str(i)}, attributes={"exp": exp + i, "enabled": i != 1})
                for i in range(3)]
    before = walk(pool, f"/keys/{name}/versions")
    now = time.time()
    gone = pool.ok("DELETE", f"/keys/{name}")
    assert set(gone) == BUNDLE | DELETED | {"tags"}
    assert {k: gone[k] for k in versions[2]} == versions[2]
    assert gone["recoveryId"] == f"{pool.pool_url}/deletedkeys/{name}"
    assert abs(gone["deletedDate"] - now) < 30
    assert gone["scheduledPurgeDate"] == gone["deletedDate"] + 90 * DAY
    assert pool.ok("GET", f"/deletedkeys/{name}") == gone, "at once"
    assert gone["recoveryId"] in [i["recoveryId"] for i in walk(pool, "/deletedkeys")]
    missing(pool, "GET", f"/keys/{name}", at=f"/keys/{name}")
    missing(pool, "GET", f"/keys/{name}/{version_of(versions[0])}", at=f"/keys/{name}")
    missing(pool, "DELETE", f"/keys/{name}", at=f"/keys/{name}")
    missing(pool, "PATCH", f"/keys/{name}/", {"tags": {}}, at=f"/keys/{name}")
    missing(pool, "POST", f"/keys/{name}/sign", {"alg": "ES256", "value": "A" * 43}, at=f"/keys/{name}")
    fails(pool, "POST", f"/keys/{name}/create", {"kty": "EC"}, status=409, code="Conflict",
          text=f"Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this "
               "state, the key can only be recovered or purged.")
    assert pool.call("POST", f"/keys/{name.upper()}/create", {"kty": "EC"}).status_code == 409
    assert pool.ok("POST", f"/deletedkeys/{name}/recover") == versions[2]
    missing(pool, "GET", f"/deletedkeys/{name}", at=f"/deletedkeys/{name}")
    missing(pool, "POST", f"/deletedkeys/{name}/recover", at=f"/deletedkeys/{name}")
    missing(pool, "DELETE", f"/deletedkeys/{name}", at=f"/deletedkeys/{name}")
    assert walk(pool, f"/keys/{name}/versions") == before
    for v in versions:
        assert pool.ok("GET", f"/keys/{name}/{version_of(v)}") == v
    pool.ok("POST", f"/keys/{name}/sign", {"alg": "ES256", "value": "A" * 43})
    pool.ok("DELETE", f"/keys/{name}")
    r = pool.call("DELETE", f"/deletedkeys/{name}")
    assert r.status_code == 204 and r.content == b""
    missing(pool, "GET", f"/deletedkeys/{name}", at=f"/deletedkeys/{name}")
    missing(pool, "POST", f"/deletedkeys/{name}/recover", at=f"/deletedkeys/{name}")
    fresh = create(pool, name.upper())
    assert f"/keys/{name.upper()}/" in fresh["key"]["kid"], "a purged name is free"
    assert [i["kid"] for i in walk(pool, f"/keys/{name}/versions")] == [fresh["key"]["kid"]]


def test_delete_twice_sets_new_dates(pool, name):
    create(pool, name)
    first = pool.ok("DELETE", f"/keys/{name}")
    pool.ok("POST", f"/deletedkeys/{name}/recover")
    time.sleep(1.1)
    assert pool.ok("DELETE", f"/keys/{name}")["deletedDate"] > first["deletedDate"]


# ---- when a key may be used

DIGEST = "A" * 43
USES = {"sign": {"alg": "RS256", "value": DIGEST}, "encrypt": {"alg": "RSA-OAEP-256", "value": "AAAA"},
        "wrapkey": {"alg": "RSA-OAEP-256", "value": "AAAA"}}


def reads(pool, name):
    """Requests that a good key answers with 200."""
    sig = pool.ok("POST", f"/keys/{name}/sign", USES["sign"])["value"]
    ct = pool.ok("POST", f"/keys/{name}/encrypt", USES["encrypt"])["value"]
    return {"verify": {"alg": "RS256", "digest": DIGEST, "value": sig},
            "decrypt": {"alg": "RSA-OAEP-256", "value": ct}, "unwrapkey": {"alg": "RSA-OAEP-256", "value": ct}}


def check_uses(pool, name, bodies, refusal):
    for op, body in bodies.items():
        if refusal is None:
            pool.ok("POST", f"/keys/{name}/{op}", body)
        else:
            fails(pool, "POST", f"/keys/{name}/{op}", body, status=403, code="Forbidden", text=refusal)


EARLY = "Operation is not allowed on a key that is not yet valid."
LATE = "Operation is not allowed on an expired key."
OFF = "Operation is not allowed on a disabled key."


@pytest.mark.parametrize("enabled,nbf,exp,use,read", [
    (True, None, None, None, None),
    (True, -3600, 3600, None, None),
    (True, 240, None, None, None),         # inside the leeway of five minutes
    (True, None, -240, None, None),
    (True, 3600, None, EARLY, None),
    (True, None, -3600, LATE, None),
    (True, 3600, 7200, EARLY, None),
    (True, 400, -400, EARLY, None),
    (False, None, None, OFF, OFF),
    (False, 3600, None, OFF, OFF),
    (False, None, -3600, OFF, OFF),
])
def test_window(pool, name, enabled, nbf, exp, use, read):
    create(pool, name, "RSA")
    old = reads(pool, name)
    now = int(time.time())
    attributes = {"enabled": enabled}
    attributes.update({k: now + v for k, v in (("nbf", nbf), ("exp", exp)) if v is not None})
    pool.ok("PATCH", f"/keys/{name}/", {"attributes": attributes})
    check_uses(pool, name, USES, use)
    check_uses(pool, name, old, read)
    pool.ok("GET", f"/keys/{name}")
    pool.ok("PATCH", f"/keys/{name}/", {"attributes": {"enabled": True, "nbf": 0, "exp": now + 10 ** 9}})
    check_uses(pool, name, USES, None)
    pool.ok("DELETE", f"/keys/{name}")


def test_window_belongs_to_the_version(pool, name):
    first = create(pool, name, "EC")
    create(pool, name, "EC", attributes={"enabled": False})
    body = {"alg": "ES256", "value": DIGEST}
    fails(pool, "POST", f"/keys/{name}/sign", body, status=403, code="Forbidden", text=OFF)
    assert pool.ok("POST", f"/keys/{name}/{version_of(first)}/sign", body)["kid"] == first["key"]["kid"]


@pytest.mark.parametrize("op", [*USES, "verify", "decrypt", "unwrapkey"])
def test_key_ops_are_enforced(pool, name, op):
    create(pool, name, "RSA")
    bodies = {**USES, **reads(pool, name)}
    spelling = {"wrapkey": "wrapKey", "unwrapkey": "unwrapKey"}.get(op, op)
    pool.ok("PATCH", f"/keys/{name}/", {"key_ops": [spelling]})
    for other, body in bodies.items():
        check_uses(pool, name, {other: body},
                   None if other == op else "Operation is not permitted by the key_ops of this key.")


def test_a_key_exchange_key_does_nothing_else(pool, name):
    create(pool, name, "RSA", key_ops=["import"])
    check_uses(pool, name, USES, "Operation is not permitted by the key_ops of this key.")


@pytest.mark.parametrize("kty,op,alg,text", [
    ("EC", "sign", "RS256", "The algorithm does not fit the type of the key."),
    ("EC", "sign", "ES384", "The algorithm does not fit the curve of the key."),
    ("RSA", "sign", "ES256", "The algorithm does not fit the type of the key."),
    ("RSA", "sign", "RSA-OAEP", "The algorithm does not support this operation."),
    ("oct", "encrypt", "A256KW", "The algorithm does not support this operation."),
    ("oct", "wrapkey", "A128KW", "The algorithm does not fit the size of the key."),
    ("RSA", "sign", "RS257", "Property 'alg' has an unknown value."),
    ("RSA", "sign", "rs256", "Property 'alg' has an unknown value."),
])
def test_algorithms_that_do_not_fit(pool, name, kty, op, alg, text):
    create(pool, name, kty)
    fails(pool, "POST", f"/keys/{name}/{op}", {"alg": alg, "value": "A" * 43}, status=400, code="BadParameter", text=text)


# ---- versions of the API

VERSIONS = ["7.0", "7.1", "7.2-preview", "7.2", "7.3-preview", "7.3", "7.4-preview.1", "7.4", "7.5-preview.1", "7.5",
            "7.6-preview.2", "7.6", "2025-06-01-preview", "2025-07-01", "2026-01-01-preview", "2026-03-01-preview",
            "2026-04-01", "2026-05-01-preview", "2026-07-01-preview"]


def test_api_versions(pool, name):
    for v in VERSIONS:
        assert pool.call("POST", f"/keys/{name}/create", {"kty": "EC"}, api=v).status_code == 200, v
        assert pool.call("GET", f"/keys/{name}", api=v).status_code == 200, v


@pytest.mark.parametrize("path", ["/keys", "/keys/x", "/providers/Microsoft.Authorization/roleAssignments"])
@pytest.mark.parametrize("api", ["", "6.0", "7.7", "7", "7.6.", "latest", "2019-01-01", "2025-07-01-beta", "7.6'", "9" * 99])
def test_bad_api_versions(pool, path, api):
    r = pool.call("GET", f"{path}?api-version={api}", api=None)
    assert (r.status_code, pool.error(r)[0]) == (400, "BadParameter"), r.text
    r = pool.call("GET", path, api=None)
    assert (r.status_code, *pool.error(r)) == (400, "BadParameter", "Query parameter api-version is missing.")


def test_the_guest_is_told_what_is_missing(pool, name):
    """The text names the action and the scope at which it is decided."""
    guest = pool.guest_token()
    create(pool, name)
    prefix = "Microsoft.KeyVault/managedHsm/"
    for method, path, body, action, scope in [
            ("GET", f"/keys/{name}", None, "keys/read/action", f"/keys/{name}"),
            ("GET", "/keys", None, "keys/read/action", "/keys"),
            ("GET", "/deletedkeys", None, "keys/deletedKeys/read/action", "/keys"),
            ("POST", f"/keys/{name}/create", {"kty": "EC"}, "keys/create", "/keys"),
            ("PATCH", f"/keys/{name}/", {}, "keys/write/action", f"/keys/{name}"),
            ("DELETE", f"/keys/{name}", None, "keys/delete", f"/keys/{name}"),
            ("DELETE", f"/deletedkeys/{name}", None, "keys/deletedKeys/delete", f"/keys/{name}"),
            ("POST", f"/keys/{name}/sign", {"alg": "ES256", "value": DIGEST}, "keys/sign/action", f"/keys/{name}")]:
        r = pool.call(method, path, body, token=guest)
        assert (r.status_code, *pool.error(r)) == (403, "AccessDenied",
                                                   f"Not authorized to access {prefix}{action} on {scope}"), path
    assert pool.ok("GET", f"/keys/{name}")["attributes"]["enabled"]


def test_refused_callers_learn_nothing_about_names(pool, name):
    """What a caller without rights is told does not depend on what exists."""
    guest = pool.guest_token()
    create(pool, name)
    for other in (name, name + "-none"):
        r = pool.call("GET", f"/keys/{other}", token=guest)
        assert (r.status_code, pool.error(r)[0]) == (403, "AccessDenied")


assert keyhold.API == "7.6"
