"""Every error as a client sees it: status, all headers and each byte of the body, apart from ids. The table is the
catalogue; what the columns leave out (headers, form of the body) is the same for all rows and checked in exactly()."""
import base64
import json
import re
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

import keyhold
from error_rows import (ASSIGNMENT, BEFORE, DAY, DEFINITION, GRANT, OTHER_ROLE, ROLE, ROWS, TENANT, WRAP, Row, exportable, grant, release,
                        role)
from rawhttp import Wire


def b64u(b):
    return base64.urlsafe_b64encode(b if isinstance(b, bytes) else json.dumps(b).encode()).decode().rstrip("=")


def directory_token(p, **changed):
    """As the pool's own directory signs it, with other claims."""
    head, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in p.token().split("."))
    text = f"{b64u(head)}.{b64u({**json.loads(payload), **changed})}"
    key = serialization.load_pem_private_key((p.home / "fabric/signing.key").read_bytes(), None)
    return f"{text}.{b64u(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def bad_tokens(p):
    now = int(time.time())
    return {
        "other audience": directory_token(p, aud="https://vault.azure.net"), "malformed": "junk",
        "not yet": directory_token(p, nbf=now + 3600, exp=now + 7200), "expired": directory_token(p, exp=now - 3600),
        "other tenant": directory_token(p, tid=TENANT), "other key": p.token()[:-8] + "AAAAAAAA",
        "other issuer": directory_token(p, iss=f"https://sts.windows.net/{TENANT}/"),
    }


class Asked:
    """One connection to the pool, and what the rows leave open."""

    def __init__(self, p):
        self.p, self.wire = p, Wire(p)
        self.tokens = {"admin": p.token(), "guest": p.guest_token(), **bad_tokens(p)}
        tenant = p.env["KEYHOLD_TENANT"]
        self.fill = {"pool": p.pool_url, "tenant": tenant, "resource": f"https://managedhsm.localhost:{p.port}",
                     "first": None}
        self.challenge = f'Bearer authorization="{p.url}/{tenant}", resource="{self.fill["resource"]}"'

    def text(self, s):
        for k, v in self.fill.items():
            s = s.replace("{" + k + "}", str(v))
        return s

    def ask(self, row):
        method, path = self.text(row.request).split(" ", 1)
        if row.api:
            path += ("&" if "?" in path else "?") + f"api-version={row.api}"
        body = row.body
        if body is not None and not isinstance(body, bytes):
            body = self.text(json.dumps(body)).encode()
        headers = [f"Authorization: Bearer {self.tokens[row.token]}"] if row.token else []
        r = self.wire.call(method, path, headers, body if body is None else body.decode("latin-1"))
        if r.all("connection") == ["close"]:
            self.wire = Wire(self.p)
        return r


def headers_of(is_get, is_error):
    """Section 3 of the protocol: names as they are sent, and the form of each value."""
    h = {
        "date": r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
        "cache-control": "no-cache", "content-length": r"\d+",
        "content-type": re.escape("application/json; charset=utf-8"),
        "content-security-policy": "default-src 'self'",
        "strict-transport-security": re.escape("max-age=31536000; includeSubDomains"),
        "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN",
        "x-ms-request-id": "[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "x-ms-server-latency": r"\d+",
    }
    if is_get:
        h["x-ms-build-version"] = r"\d+\.\d+\.\d+"
    if not is_error:
        h["x-ms-keyvault-network-info"] = re.escape("conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=Ipv4;")
        h["x-ms-keyvault-region"] = "[a-z0-9]+"
    return h


def check_headers(r, want):
    assert sorted(n for n, _ in r.headers) == sorted(want)
    for name, value in r.headers:
        assert re.fullmatch(want[name], value), (name, value)
    assert int(r.one("content-length")) == len(r.body)


def exactly(asked, row, r):
    message = f"{asked.text(row.message)} (Activity ID: {r.one('x-ms-request-id')})"
    want = json.dumps({"error": {"code": row.code, "message": message}}, separators=(",", ":")).encode()
    assert (r.status, r.body) == (row.status, want)
    headers = headers_of(row.request.startswith("GET "), True)
    if row.status == 401:
        claims = r', error="insufficient_claims", claims="[A-Za-z0-9+/]+=*"'
        headers["www-authenticate"] = re.escape(asked.challenge) + claims
    if row.status in (429, 503):
        headers["retry-after"] = r"[1-9]\d*"
    if row.status == 413:  # the rest of the body is not read
        headers["connection"] = "close"
    check_headers(r, headers)


@pytest.fixture(scope="module")
def asked():
    """A pool with purge protection that holds a key in every state; and its answers from before activation."""
    p = keyhold.Pool(name="errors", options=["--purge-protection", "true"])
    try:
        p.up()
        a = Asked(p)
        a.before = [a.ask(row) for row in BEFORE]
        p.cli("activate")
        admin = p.env["KEYHOLD_ADMIN_OID"]
        for r in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(r, admin).status_code == 201
        now = int(time.time())
        for name, body in {
            "ec": {"kty": "EC"}, "rsa": {"kty": "RSA"}, "aes": {"kty": "oct"}, "gone": {"kty": "EC"},
            "off": {"kty": "EC", "attributes": {"enabled": False}}, "verifier": {"kty": "EC", "key_ops": ["verify"]},
            "early": {"kty": "EC", "attributes": {"nbf": now + DAY}},
            "frozen": exportable({**release(), "immutable": True}),
            "late": {"kty": "EC", "attributes": {"exp": now - DAY}},
        }.items():
            p.ok("POST", f"/keys/{name}/create", body)
        for name in ("ec", "gone"):
            a.fill[f"blob of {name}"] = p.ok("POST", f"/keys/{name}/backup")["value"]
        p.ok("DELETE", "/keys/gone")
        for r in (ROLE, OTHER_ROLE):
            p.ok("PUT", f"{DEFINITION}/{r}", role(roleName=r))
        p.ok("PUT", f"{ASSIGNMENT}/{GRANT}", grant(ROLE))
        a.fill["first"] = only_one_administrator(p, admin)
        yield a
    finally:
        p.stop()


def only_one_administrator(p, oid):
    """Of the assignments of Managed HSM Administrator at "/" that of oid stays: its name."""
    kept = None
    for v in p.ok("GET", ASSIGNMENT)["value"]:
        if not v["properties"]["roleDefinitionId"].endswith(keyhold.ADMINISTRATOR):
            continue
        if v["properties"]["principalId"] == oid:
            kept = v["name"]
        else:
            p.ok("DELETE", f"{ASSIGNMENT}/{v['name']}")
    return kept


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_row(asked, row):
    exactly(asked, row, asked.ask(row))


@pytest.mark.parametrize("i", range(len(BEFORE)), ids=[row.id for row in BEFORE])
def test_before_activation(asked, i):
    exactly(asked, BEFORE[i], asked.before[i])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/keys/ec", "/keys/ec/create", "/nope", "/keys/a_b"])
def test_no_token(asked, method, path):
    """The challenge: two characters for GET, nothing for the others, whatever else is wrong with the request."""
    r = asked.ask(Row(f"{method} {path}", 401, "", "", token=""))
    assert (r.status, r.body) == (401, b"OK" if method == "GET" else b"")
    check_headers(r, {**headers_of(method == "GET", True), "www-authenticate": re.escape(asked.challenge)})


def test_success_headers(asked):
    for request, body in (("GET /keys", None), ("POST /keys/aes/wrapkey", WRAP), ("PATCH /keys/ec", {"tags": {}})):
        r = asked.ask(Row(request, 200, "", "", body))
        assert r.status == 200, r.body
        check_headers(r, headers_of(request.startswith("GET "), False))


def test_too_many_keys_at_once(asked):
    """Last in this file: keys of 4096 bits in line until there is no more room; nobody waits for them."""
    p, wires = asked.p, []
    body = json.dumps({"kty": "RSA", "key_size": 4096, "public_exponent": 3})
    row = Row("POST /keys/k/create", 429, "Throttled", "Request was not processed because too many requests were "
              "received.")
    try:
        for i in range(200):
            w = Wire(p)
            wires.append(w)
            w.send(f"POST /keys/many{i}/create?api-version=7.6 HTTP/1.1\r\nHost: {w.host}\r\nAuthorization: Bearer "
                   f"{p.token()}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
            w.sock.settimeout(0.05)
            try:
                w.fill()
            except TimeoutError:
                continue
            break
        r = wires[-1].read()
        exactly(asked, row, r)
        assert i >= 20
    finally:
        for w in wires:
            w.sock.close()
