"""What is on the wire, byte by byte: the traps that broke real clients."""
import base64
import json
import re
import socket
import ssl
import time
import uuid

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from rawhttp import Wire

# As recorded from the service, and Date, which RFC 9110 asks of every server that has a clock.
ANY = {"cache-control", "content-length", "content-security-policy", "content-type", "date",
       "strict-transport-security", "x-content-type-options", "x-frame-options",
       "x-ms-request-id", "x-ms-server-latency"}
NETWORK = {"x-ms-keyvault-network-info", "x-ms-keyvault-region"}
GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SAMPLE = "/keys/contact"


@pytest.fixture(scope="module")
def key(pool):
    return pool.ok("POST", f"{SAMPLE}/create", {"kty": "oct-HSM", "key_size": 256})["key"]["kid"]


@pytest.fixture(scope="module")
def bearer(pool):
    return f"Authorization: Bearer {pool.token()}"


@pytest.fixture
def wire(pool):
    with Wire(pool) as w:
        yield w


def challenge(pool, face="local"):
    tenant = pool.env["KEYHOLD_TENANT"]
    if face == "azure":
        return (f'Bearer authorization="https://login.microsoftonline.com/{tenant}", '
                'resource="https://managedhsm.azure.net"')
    return (f'Bearer authorization="https://localhost:{pool.port}/{tenant}", '
            f'resource="https://managedhsm.localhost:{pool.port}"')


# ---- the first answer

@pytest.mark.parametrize("method,path", [
    ("GET", "/keys?api-version=7.4"), ("POST", "/keys/x/create?api-version=7.4"),
    ("PUT", "/keys/x?api-version=7.4"), ("PATCH", "/keys/x/?api-version=7.4"),
    ("DELETE", "/keys/x?api-version=7.4"), ("GET", "/keys"), ("GET", "/no/such/path"),
    ("POST", "/securitydomain/download?api-version=7.4"),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions?api-version=nonsense"),
    ("GET", "/%zz"),
])
def test_without_a_token_everything_gets_the_same_challenge(pool, wire, method, path):
    body = None if method in ("GET", "DELETE") else ""
    r = wire.call(method, path, body=body)
    assert r.status == 401
    assert r.one("www-authenticate") == challenge(pool)
    expected = ANY | {"www-authenticate"} | ({"x-ms-build-version"} if method == "GET" else set())
    assert r.names == expected
    assert r.body == (b"OK" if method == "GET" else b"")
    assert r.one("content-type") == "application/json; charset=utf-8"
    assert r.one("cache-control") == "no-cache"
    assert r.one("content-security-policy") == "default-src 'self'"
    assert r.one("strict-transport-security") == "max-age=31536000; includeSubDomains"
    assert r.one("x-content-type-options") == "nosniff"
    assert r.one("x-frame-options") == "SAMEORIGIN"
    assert re.fullmatch(GUID, r.one("x-ms-request-id"))
    assert re.fullmatch(r"\d+", r.one("x-ms-server-latency"))


def test_the_challenge_comes_before_the_body_is_looked_at(pool, wire):
    r = wire.call("POST", "/keys/x/create?api-version=7.4", body="{ this is no JSON")
    assert (r.status, r.body) == (401, b"")
    assert wire.call("GET", "/keys?api-version=7.4").status == 401


@pytest.mark.parametrize("authorization", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Negotiate"])
def test_other_credentials_are_no_token(pool, wire, authorization):
    r = wire.call("GET", "/keys?api-version=7.4", [f"Authorization: {authorization}"])
    assert (r.status, r.body, r.one("www-authenticate")) == (401, b"OK", challenge(pool))


def test_the_connection_stays_open_after_the_challenge(pool, wire, bearer, key):
    create = f"{SAMPLE}/encrypt?api-version=7.4"
    body = json.dumps({"alg": "A256GCM", "value": "AAAA"})
    assert wire.call("POST", create, body="").status == 401
    assert wire.call("POST", create, [bearer], body=body).status == 200
    for _ in range(3):
        assert wire.call("GET", "/keys?api-version=7.4").status == 401
        assert wire.call("GET", "/keys?api-version=7.4", [bearer]).status == 200


def test_two_requests_in_one_packet_are_answered_in_order(wire, pool, bearer, key):
    one = f"GET {SAMPLE}?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\n"
    wire.send(f"{one}\r\n{one}{bearer}\r\n\r\n")
    assert [wire.read().status, wire.read().status] == [401, 200]


# ---- tokens

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mint(pool, header=None, **claims):
    """A token signed with the identity provider's own key; a claim of None is left out."""
    head, payload, _ = pool.token().split(".")

    def decode(part):
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    payload = {k: v for k, v in {**decode(payload), **claims}.items() if v is not None}
    signed = ".".join(b64(json.dumps(p).encode()) for p in ({**decode(head), **(header or {})},
                                                            payload))
    private = serialization.load_pem_private_key(
        (pool.home / "fabric/signing.key").read_bytes(), None)
    return signed + "." + b64(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def with_token(wire, token, path="/keys?api-version=7.4"):
    return wire.call("GET", path, [f"Authorization: Bearer {token}"])


def assert_reauthenticate(pool, r, text):
    """The form of the challenge that makes a client drop the token it has cached."""
    assert r.status == 401
    value = r.one("www-authenticate")
    assert value.startswith(challenge(pool) + ', error="insufficient_claims", claims="')
    claims = json.loads(base64.b64decode(value[:-1].rsplit('claims="', 1)[1], validate=True))
    assert claims["access_token"]["nbf"]["essential"] is True
    assert abs(int(claims["access_token"]["nbf"]["value"]) - time.time()) < 60
    error = json.loads(r.body)["error"]
    assert error["code"] == "Unauthorized"
    assert error["message"].startswith(text), error
    assert error["message"].endswith(f" (Activity ID: {r.one('x-ms-request-id')})")
    assert not NETWORK & r.names


def test_a_minted_token_is_like_the_providers(pool, wire):
    assert with_token(wire, mint(pool)).status == 200


@pytest.mark.parametrize("why,claims,text", [
    ("expired", {"exp": int(time.time()) - 3600}, "Token expired"),
    ("expiry missing", {"exp": None}, "Token expired"),
    ("not yet valid", {"nbf": int(time.time()) + 3600}, "Token not yet valid"),
    ("another issuer", {"iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"},
     "AKV10032: Invalid issuer."),
    ("another tenant", {"tid": str(uuid.UUID(int=7))}, "Invalid tenant."),
    ("audience of a vault", {"aud": "https://vault.azure.net"},
     "Found token with aud=https://vault.azure.net, but expected aud="),
    ("audience of the control plane", {"aud": "https://localhost/"},
     "Found token with aud=https://localhost/, but expected aud="),
])
def test_bad_claims(pool, wire, why, claims, text):
    assert_reauthenticate(pool, with_token(wire, mint(pool, **claims)), text)


@pytest.mark.parametrize("why,claims", [
    ("no issuer", {"iss": None}), ("no tenant", {"tid": None}), ("no audience", {"aud": None}),
    ("no object id", {"oid": None}), ("expiry a word", {"exp": "never"}),
])
def test_claims_that_must_be_there(pool, wire, why, claims):
    r = with_token(wire, mint(pool, **claims))
    assert r.status == 401 and json.loads(r.body)["error"]["code"] == "Unauthorized", r.body


def test_bad_signatures(pool, wire):
    good = pool.token()
    head, payload, signature = good.split(".")
    none = b64(b'{"alg":"none","typ":"JWT"}')
    hs256 = b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    other = b64(json.dumps({"aud": "x"}).encode())
    for token in (f"{head}.{payload}.{flipped}", f"{head}.{payload}.", f"{head}.{other}.{signature}",
                  f"{none}.{payload}.", f"{none}.{payload}.{signature}",
                  f"{hs256}.{payload}.{signature}", f"{head}.{payload}", "x", "a.b.c", "...",
                  f"{good}.{signature}", good[:-4], mint(pool, header={"kid": "unknown"}),
                  mint(pool, header={"crit": ["exp"]})):
        r = with_token(wire, token)
        assert_reauthenticate(pool, r, "")
    assert with_token(wire, good).status == 200


def test_audiences_of_both_names_with_and_without_a_slash(pool, wire):
    for aud in (f"https://managedhsm.localhost:{pool.port}", "https://managedhsm.azure.net",
                f"https://managedhsm.localhost:{pool.port}/", "https://managedhsm.azure.net/"):
        assert with_token(wire, mint(pool, aud=aud)).status == 200, aud


def test_a_token_is_not_remembered_past_its_expiry(pool, wire):
    token = mint(pool, exp=int(time.time()) - 299)  # the clocks may differ by 300 seconds
    first = with_token(wire, token).status
    time.sleep(2.1)
    assert (first, with_token(wire, token).status) == (200, 401)


# ---- spelling

@pytest.mark.parametrize("name", ["authorization", "AUTHORIZATION", "AuThOrIzAtIoN"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_header_names_and_the_scheme_in_any_case(pool, wire, name, scheme):
    r = wire.call("GET", "/keys?api-version=7.4", [f"{name}: {scheme} {pool.token()}"])
    assert r.status == 200


def paths_that_mean(name, version):
    return [f"/keys/{name}?api-version=7.4", f"/keys/{name}/?api-version=7.4",
            f"/keys/{name}//?api-version=7.4", f"//keys//{name}///?api-version=7.4",
            f"/keys/{name}?api%2Dversion=7.4", f"/keys/{name}?api%2dversion=7%2E4",
            f"/keys/{name}?x=1&api-version=7.4&y", f"/KEYS/{name}?api-version=7.4",
            f"/keys/{name}/{version}?api-version=7.4", f"/%6beys/{name}/{version}/?api-version=7.4",
            f"/keys%2F{name}?api-version=7.4"]


def test_one_key_under_many_spellings(wire, bearer, key):
    name, version = key.split("/")[-2:]
    for path in paths_that_mean(name, version):
        r = wire.call("GET", path, [bearer])
        assert r.status == 200, (path, r.body)
        assert json.loads(r.body)["key"]["kid"] == key, path


def test_operations_in_any_case_and_with_an_empty_version(wire, bearer, key):
    version = key.rsplit("/", 1)[1]
    body = json.dumps({"alg": "A256KW", "value": b64(bytes(32))})
    for op in ("wrapKey", "wrapkey", "WRAPKEY"):
        for at in ("", "/", f"/{version}"):
            r = wire.call("POST", f"{SAMPLE}{at}/{op}?api-version=7.4", [bearer], body=body)
            assert r.status == 200, (op, at, r.body)
            assert json.loads(r.body)["kid"] == key


@pytest.mark.parametrize("scope", ["", "/", "//", "/%2F", "/keys", "/%2Fkeys", "/keys/contact",
                                   "/keys%2Fcontact", "/keys/not-there"])
def test_roles_under_every_spelling_of_a_scope(wire, bearer, scope):
    for what in ("roleDefinitions", "roledefinitions", "ROLEDEFINITIONS"):
        r = wire.call("GET", f"{scope}/providers/Microsoft.Authorization/{what}?api-version=7.4",
                      [bearer])
        assert r.status == 200, (scope, r.body)
        names = {d["properties"]["roleName"] for d in json.loads(r.body)["value"]}
        assert "Managed HSM Crypto User" in names
    r = wire.call("GET", f"{scope}/providers/Microsoft.Authorization/roleAssignments"
                         "?api-version=7.4&$filter=atScope()", [bearer])
    assert r.status == 200


def test_authorization_looks_at_the_cleaned_path(pool, wire, key):
    guest = f"Authorization: Bearer {pool.guest_token()}"
    name, version = key.split("/")[-2:]
    for path in paths_that_mean(name, version):
        assert wire.call("GET", path, [guest]).status == 403, path


def test_base64_with_padding_is_accepted_and_never_sent(wire, bearer, key):
    for value in ("AA==", "AA", "AAA=", "AAAA"):
        r = wire.call("POST", f"{SAMPLE}/encrypt?api-version=7.4", [bearer],
                      body=json.dumps({"alg": "A256GCM", "value": value}))
        assert r.status == 200, (value, r.body)
        assert b"=" not in r.body
        sealed = json.loads(r.body)
        back = wire.call("POST", f"{SAMPLE}/decrypt?api-version=7.4", [bearer], body=json.dumps(
            {n: sealed[n] for n in ("alg", "value", "iv", "tag")}))
        assert json.loads(back.body)["value"] == value.rstrip("=")


def test_a_head_in_small_pieces(pool, wire, bearer, key):
    text = f"GET {SAMPLE}?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\n{bearer}\r\n\r\n"
    for i in range(0, len(text), 97):
        wire.send(text[i:i + 97])
        time.sleep(0.002)
    assert wire.read().status == 200


def test_expect_100_and_chunks(pool, wire, bearer, key):
    body = json.dumps({"alg": "A256GCM", "value": "AAAA"}).encode()
    head = (f"POST {SAMPLE}/encrypt?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\n{bearer}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire.send(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert wire.read().status == 200


# ---- api-version

@pytest.mark.parametrize("version", [
    "7.0", "7.1", "7.2-preview", "7.2", "7.3-preview", "7.3", "7.4-preview.1", "7.4",
    "7.5-preview.1", "7.5", "7.6-preview.2", "7.6", "2025-06-01-preview", "2025-07-01",
    "2026-01-01-preview", "2026-03-01-preview", "2026-04-01", "2026-05-01-preview",
    "2026-07-01-preview"])
def test_every_version_a_client_may_send(wire, bearer, version):
    assert wire.call("GET", f"/keys?api-version={version}", [bearer]).status == 200


@pytest.mark.parametrize("query", ["", "?api-version=", "?api-version=6.9", "?api-version=latest",
                                   "?api-version=2016-10-01", "?version=7.4"])
def test_a_missing_or_unknown_version(wire, bearer, query):
    r = wire.call("GET", f"/keys{query}", [bearer])
    assert r.status == 400 and json.loads(r.body)["error"]["code"] == "BadParameter", r.body


def test_polls_need_no_version(wire, bearer):
    for query in ("", "?api-version=7.4"):
        r = wire.call("GET", f"/securitydomain/download/pending{query}", [bearer])
        assert r.status == 200 and json.loads(r.body)["status"] == "Success"


# ---- answers

def test_headers_of_a_success(pool, wire, bearer, key):
    r = wire.call("GET", f"{SAMPLE}?api-version=7.4", [bearer])
    assert r.names == ANY | NETWORK | {"x-ms-build-version"}
    assert r.one("x-ms-keyvault-network-info") == (
        "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=Ipv4;")
    assert r.one("x-ms-keyvault-region")
    post = wire.call("POST", f"{SAMPLE}/encrypt?api-version=7.4", [bearer],
                     body=json.dumps({"alg": "A256GCM", "value": "AAAA"}))
    assert post.names == ANY | NETWORK
    text = r.body.decode()
    assert text == json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True)


def error_of(r):
    doc = json.loads(r.body)
    assert set(doc) == {"error"} and set(doc["error"]) == {"code", "message"}
    tail = f" (Activity ID: {r.one('x-ms-request-id')})"
    assert doc["error"]["message"].endswith(tail), doc
    assert not NETWORK & r.names
    return r.status, doc["error"]["code"], doc["error"]["message"].removesuffix(tail)


def test_texts_of_errors(pool, wire, bearer, key):
    guest = f"Authorization: Bearer {pool.guest_token()}"
    url = pool.pool_url
    auth = "providers/Microsoft.Authorization"

    def ask(method, path, who=bearer, body=None):
        return error_of(wire.call(method, f"{path}?api-version=7.4", [who], body=body))
    assert ask("GET", "/keys/nope") == (404, "KeyNotFound", f"Key not found: {url}/keys/nope")
    assert ask("GET", "/deletedkeys/nope") == (
        404, "KeyNotFound", f"Key not found: {url}/deletedkeys/nope")
    assert ask("GET", SAMPLE, guest) == (
        403, "AccessDenied",
        f"Not authorized to access Microsoft.KeyVault/managedHsm/keys/read/action on {SAMPLE}")
    assert ask("GET", "/keys", guest)[2].endswith("keys/read/action on /keys")
    assert ask("POST", "/keys/new/create", guest, '{"kty":"RSA-HSM"}') == (
        403, "AccessDenied",
        "Not authorized to access Microsoft.KeyVault/managedHsm/keys/create on /keys")
    assert ask("GET", f"/{auth}/roleAssignments", guest)[2].endswith(
        "roleAssignments/read/action on /")
    assert ask("GET", f"/{auth}/roleAssignments/{uuid.uuid4()}") == (
        404, "RoleAssignmentNotFound", "Requested role assignment not found")
    assert ask("GET", f"/{auth}/roleDefinitions/{uuid.uuid4()}") == (
        404, "RoleDefinitionNotFound", "Requested role definition not found")
    assert ask("GET", "/keys/a_b")[:2] == (400, "Invalidkeyidentifier")
    assert ask("GET", "/keys/contact/not-a-version")[:2] == (400, "Invalidkeyidentifier")
    assert ask("GET", "/no/such")[:2] == (404, "NotFound")
    assert ask("DELETE", "/keys")[:2] == (405, "MethodNotAllowed")
    assert ask("POST", f"{SAMPLE}/encrypt", body="{")[:2] == (400, "BadParameter")
    assert ask("POST", f"{SAMPLE}/encrypt", body="")[:2] == (400, "BadParameter")
    assert ask("POST", "/backup", body="{}")[:2] == (501, "NotImplemented")
    assert wire.call("GET", "/keys/nope/versions?api-version=7.4", [bearer]).body == b'{"value":[]}'


def test_a_purge_is_204_without_a_body(wire, bearer):
    for method, path, body, status in (
            ("POST", "/keys/brief/create", '{"kty":"oct-HSM"}', 200),
            ("DELETE", "/keys/brief", None, 200), ("DELETE", "/deletedkeys/brief", None, 204)):
        r = wire.call(method, f"{path}?api-version=7.4", [bearer], body=body)
        assert r.status == status, r.body
    assert r.body == b"" and r.one("x-ms-request-id")


# ---- names and addresses

def test_both_loopback_addresses(pool, bearer):
    with Wire(pool, address="::1") as w:
        r = w.call("GET", "/keys?api-version=7.4", [bearer])
        assert r.status == 200
        assert r.one("x-ms-keyvault-network-info") == "conn_type=Ipv6;addr=::1;act_addr_fam=Ipv6;"


def test_connect_and_tls_share_the_port(pool, bearer):
    with Wire(pool, connect=pool.host) as w:
        assert w.connect_answer.status == 200
        assert w.call("GET", "/keys?api-version=7.4", [bearer]).status == 200


def test_names_of_the_public_cloud(pool, bearer, key):
    host = f"{pool.name}.managedhsm.azure.net"
    with Wire(pool, connect=f"{host}:443", sni=host) as w:
        r = w.call("GET", "/keys?api-version=7.4", host=host)
        assert r.one("www-authenticate") == challenge(pool, "azure")
        r = w.call("GET", f"{SAMPLE}?api-version=7.4", [bearer], host=host)
        assert json.loads(r.body)["key"]["kid"] == (
            f"https://{host}{SAMPLE}/{key.rsplit('/', 1)[1]}")
        upper = w.call("GET", f"{SAMPLE}?api-version=7.4", [bearer], host=f"{host.upper()}:443")
        assert json.loads(upper.body)["key"]["kid"] == json.loads(r.body)["key"]["kid"]


@pytest.mark.parametrize("target", ["example.com:443", "169.254.169.254:80",
                                    "other.managedhsm.azure.net:443", "10.0.0.1:443",
                                    "raw.githubusercontent.com:443"])
def test_unknown_targets_are_refused_at_once(pool, target):
    start = time.monotonic()
    with Wire(pool, connect=target) as w:
        assert w.connect_answer.status in (403, 502), target
    assert time.monotonic() - start < 2


def test_connect_to_another_port_of_this_machine_does_not_leave_the_door(pool):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(0.5)
        with Wire(pool, connect=f"localhost:{other.getsockname()[1]}", sni="localhost") as w:
            r = w.call("GET", "/metadata/endpoints", host=f"localhost:{pool.port}")
            assert json.loads(r.body), "the control origin answers, whatever the port"
        with pytest.raises(TimeoutError):
            other.accept()


def test_plain_http_is_not_served(pool):
    with Wire(pool, tls=False) as w:
        w.send(f"GET /keys?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\n\r\n")
        try:
            assert w.read_head().status >= 400
        except (EOFError, ConnectionError):
            pass
    with Wire(pool) as w:
        assert w.call("GET", "/keys?api-version=7.4").status == 401


def test_a_host_that_is_not_the_pools(pool, wire, bearer):
    for host in ("other.managedhsm.localhost", "example.com", f"localhost:{pool.port}"):
        r = wire.call("GET", "/keys?api-version=7.4", [bearer], host=host)
        assert r.status == 421, host
        assert "www-authenticate" not in r.names


def test_the_certificate_names_what_clients_use(pool):
    context = ssl.create_default_context(cafile=pool.ca)
    for name in ("localhost", "managedhsm.localhost", pool.host.split(":")[0],
                 f"{pool.name}.managedhsm.azure.net", "login.microsoftonline.com",
                 "management.azure.com", "graph.microsoft.com"):
        with socket.create_connection(("127.0.0.1", pool.port), timeout=10) as s, \
                context.wrap_socket(s, server_hostname=name) as t:
            assert t.version() in ("TLSv1.2", "TLSv1.3"), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(pool):
    context = ssl.create_default_context(cafile=pool.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", pool.port), timeout=10) as s:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s, server_hostname=pool.host.split(":")[0])


# ---- requests that must not be believed

def test_unknown_methods(pool, wire, bearer):
    assert wire.call("BREW", "/keys?api-version=7.4").status == 401
    assert wire.call("BREW", "/keys?api-version=7.4", [bearer]).status in (405, 501)


@pytest.mark.parametrize("head", [
    "GET /keys HTTP/1.1\r\n\r\n",
    "GET /keys HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\n\r\n",
    "POST /keys/x/create HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
    "POST /keys/x/create HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /keys/x/create HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
    "POST /keys/x/create HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip\r\n\r\n",
    "GET /keys HTTP/1.1\r\nHost: {host}\r\nA : b\r\n\r\n",
    "GET /keys HTTP/1.1\r\nHost: {host}\r\n folded: x\r\n\r\n",
    "GET /keys HTTP/1.1\nHost: {host}\n\n",
    "GET  /keys HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET keys HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET /keys HTTP/3.0\r\nHost: {host}\r\n\r\n",
    "GET /k\0eys HTTP/1.1\r\nHost: {host}\r\n\r\n",
])
def test_ambiguous_requests_end_the_connection(pool, wire, head):
    wire.send(head.format(host=pool.host))
    r = wire.read()
    assert r.status in (400, 405, 501, 505), r.status
    with pytest.raises((EOFError, ConnectionError)):
        while True:
            wire.fill()


def test_limits(pool, bearer, key):
    with Wire(pool) as w:
        r = w.call("POST", f"{SAMPLE}/encrypt?api-version=7.4", [bearer],
                   body=json.dumps({"alg": "A256GCM", "value": "A" * 60000}))
        assert r.status == 200
    with Wire(pool) as w:
        w.send(f"POST {SAMPLE}/encrypt?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\n{bearer}\r\n"
               "Content-Length: 100000000\r\n\r\n")
        assert w.read().status == 413
    with Wire(pool) as w:
        w.send(f"GET /keys?api-version=7.4 HTTP/1.1\r\nHost: {pool.host}\r\nX-Filler: ")
        try:
            for _ in range(64):
                w.send("x" * 4096)
        except (ConnectionError, ssl.SSLError):
            pass
        assert w.read().status == 431
