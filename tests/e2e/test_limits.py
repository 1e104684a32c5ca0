"""Limits of the service: keys, versions, tags, roles, assignments, pages."""
import concurrent.futures
import json
import time
import uuid

import pytest

import keyhold
from rawhttp import Wire

AUTHZ = "/providers/Microsoft.Authorization"
ACTION = "Microsoft.KeyVault/managedHsm/keys/read/action"


@pytest.fixture(scope="module")
def own():
    p = keyhold.Pool(name="limits")
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def refused(pool, r, text):
    assert (r.status_code, *pool.error(r)) == (400, "BadParameter", text), r.text


def walk(pool, path):
    items, page = [], pool.ok("GET", path)
    while True:
        assert len(page["value"]) <= 25
        items += page["value"]
        if "nextLink" not in page:
            return items
        page = pool.ok("GET", page["nextLink"].removeprefix(pool.pool_url), api=None)


def test_versions_of_a_key(own):
    kids = [own.ok("POST", "/keys/versions/create", {"kty": "EC"})["key"]["kid"] for _ in range(100)]
    refused(own, own.call("POST", "/keys/versions/create", {"kty": "EC"}), "A key can have at most 100 versions.")
    assert [i["kid"] for i in walk(own, "/keys/versions/versions")] == kids
    assert own.ok("GET", "/keys/versions")["key"]["kid"] == kids[-1]
    own.ok("POST", f"{kids[0].removeprefix(own.pool_url)}/sign", {"alg": "ES256", "value": "A" * 43})
    own.ok("DELETE", "/keys/versions")
    own.ok("POST", "/deletedkeys/versions/recover")
    assert [i["kid"] for i in walk(own, "/keys/versions/versions")] == kids
    own.ok("DELETE", "/keys/versions")
    assert own.call("DELETE", "/deletedkeys/versions").status_code == 204
    own.ok("POST", "/keys/versions/create", {"kty": "EC"})
    assert len(walk(own, "/keys/versions/versions")) == 1


WIDE = "\U0001f511"  # one character, four bytes of UTF-8, two units of UTF-16


@pytest.mark.parametrize("tags", [
    {f"n{i}": "v" for i in range(15)}, {"n" * 256: "v" * 256}, {WIDE * 256: "ä" * 256},
    {f"{i:02}" + WIDE * 254: WIDE * 256 for i in range(15)},
])
def test_tags_at_the_limit(own, tags):
    def utf8(body):
        return json.dumps(body, ensure_ascii=False).encode()
    assert own.ok("POST", "/keys/tags/create", raw=utf8({"kty": "EC", "tags": tags}))["tags"] == tags
    assert own.ok("GET", "/keys/tags")["tags"] == tags
    assert [i["tags"] for i in walk(own, "/keys") if i["kid"].endswith("/tags")] == [tags]
    assert own.ok("PATCH", "/keys/tags/", {"tags": {}}).get("tags") is None
    assert own.ok("PATCH", "/keys/tags/", raw=utf8({"tags": tags}))["tags"] == tags


@pytest.mark.parametrize("tags", [
    {f"n{i}": "v" for i in range(16)}, {"n" * 257: "v"}, {"n": "v" * 257}, {WIDE * 257: "v"}, {"n": "ä" * 257},
])
def test_tags_beyond_the_limit(own, tags):
    before = own.ok("POST", "/keys/tags/create", {"kty": "EC", "tags": {"a": "b"}})
    for method, path, body in (("POST", "/keys/tags/create", {"kty": "EC", "tags": tags}),
                               ("PATCH", "/keys/tags/", {"tags": tags})):
        r = own.call(method, path, body)
        assert (r.status_code, own.error(r)[0]) == (400, "BadParameter")
        assert "tag" in own.error(r)[1].lower()
    assert own.ok("GET", "/keys/tags") == before


def test_custom_roles(own):
    names = [str(uuid.uuid4()) for _ in range(50)]

    def put(n, text="x"):
        return own.call("PUT", f"{AUTHZ}/roleDefinitions/{n}",
                        {"properties": {"roleName": text + n, "permissions": [{"dataActions": [ACTION]}]}})
    for n in names:
        assert put(n).status_code == 201
    extra = str(uuid.uuid4())
    refused(own, put(extra), "The limit of 50 custom role definitions is reached.")
    assert put(names[0], "renamed").status_code == 201, "an existing one can still be changed"
    listed = own.ok("GET", f"{AUTHZ}/roleDefinitions")["value"]
    assert {d["name"] for d in listed if d["properties"]["type"] == "CustomRole"} == set(names)
    assert len([d for d in listed if d["properties"]["type"] == "AKVBuiltInRole"]) == 9
    own.ok("DELETE", f"{AUTHZ}/roleDefinitions/{names[1]}")
    assert put(extra).status_code == 201
    for n in (set(names) | {extra}) - {names[1]}:
        own.ok("DELETE", f"{AUTHZ}/roleDefinitions/{n}")


def test_assignments_at_the_scope_of_one_key(own):
    for key in ("one", "two"):
        made = []
        for _ in range(10):
            r = own.assign(keyhold.AUDITOR, str(uuid.uuid4()), f"/keys/{key}")
            assert r.status_code == 201
            made.append(r.json())
        r = own.assign(keyhold.AUDITOR, str(uuid.uuid4()), f"/keys/{key}")
        refused(own, r, "The limit of 10 role assignments at the scope of one key is reached.")
        path = f"/keys/{key}{AUTHZ}/roleAssignments"
        listed = own.ok("GET", path)["value"]
        assert sorted(a["name"] for a in listed) == sorted(a["name"] for a in made)
        assert all(a["id"] == f"{AUTHZ}/roleAssignments/{a['name']}" and a["properties"]["scope"] == f"/keys/{key}"
                   for a in listed)
        assert own.ok("DELETE", f"{path}/{made[0]['name']}") == made[0]
        assert own.assign(keyhold.AUDITOR, str(uuid.uuid4()), f"/keys/{key}").status_code == 201


def test_assignments_of_the_pool(own):
    path = f"{AUTHZ}/roleAssignments"
    have, made = len(own.ok("GET", path)["value"]), []
    assert have >= 3
    while have + len(made) < 50:
        r = own.assign(keyhold.AUDITOR, str(uuid.uuid4()), ("/", "/keys")[len(made) % 2])
        assert r.status_code == 201
        made.append(r.json())
    text = "The limit of 50 role assignments at '/' and '/keys' is reached."
    for scope in ("/", "/keys"):
        refused(own, own.assign(keyhold.AUDITOR, str(uuid.uuid4()), scope), text)
    assert own.assign(keyhold.AUDITOR, str(uuid.uuid4()), "/keys/three").status_code == 201, "keys count apart"
    listed = own.ok("GET", path)["value"]
    assert len(listed) == 50 and {a["name"] for a in made} <= {a["name"] for a in listed}
    one = next(a for a in made if a["properties"]["scope"] == "/keys")
    assert own.ok("DELETE", f"/keys{path}/{one['name']}") == one
    made.remove(one)
    r = own.assign(keyhold.AUDITOR, str(uuid.uuid4()))
    assert r.status_code == 201
    for a in [*made, r.json()]:
        scope = a["properties"]["scope"]
        own.ok("DELETE", f"{'' if scope == '/' else scope}{path}/{a['name']}")
    assert len(own.ok("GET", path)["value"]) == have


def test_the_last_administrator_stays(own):
    path = f"{AUTHZ}/roleAssignments"
    admins = [a for a in own.ok("GET", path)["value"] if a["properties"]["roleDefinitionId"].endswith(keyhold.ADMINISTRATOR)]
    me = own.env["KEYHOLD_ADMIN_OID"]
    others = [a for a in admins if a["properties"]["principalId"] != me]
    last = next(a for a in admins if a["properties"]["principalId"] == me)
    for a in others:
        own.ok("DELETE", f"{path}/{a['name']}")
    r = own.call("DELETE", f"{path}/{last['name']}")
    assert (r.status_code, own.error(r)[0]) == (409, "Conflict")
    assert "last assignment" in own.error(r)[1]
    assert own.ok("GET", f"{path}/{last['name']}") == last


KEYS = 5000


def fill(pool, token, names):
    """Create keys over one connection, several requests in flight."""
    body = '{"kty":"EC"}'
    done = 0
    with Wire(pool, timeout=120) as w:
        for at in range(0, len(names), 20):
            batch = names[at:at + 20]
            w.send("".join(f"POST /keys/{n}/create?api-version=7.6 HTTP/1.1\r\nHost: {w.host}\r\nAuthorization: Bearer {token}"
                           f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                           for n in batch))
            for _ in batch:
                r = w.read()
                assert r.status == 200, r.body
                done += 1
    return done


def test_keys_of_a_pool(own):
    """The whole 5,000: active and deleted ones count. Last in this file, the pool is full afterwards."""
    token = own.token()
    have = len(walk(own, "/keys")) + len(walk(own, "/deletedkeys"))
    names = [f"full-{i:05}" for i in range(KEYS - have)]
    from_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as ex:
        assert sum(ex.map(lambda part: fill(own, token, part), [names[i::8] for i in range(8)])) == len(names)
    took = time.monotonic() - from_s
    assert took < 120, f"{took:.0f} s for {len(names)} keys"
    text = f"The HSM can hold at most {KEYS} keys."
    refused(own, own.call("POST", "/keys/one-more/create", {"kty": "EC"}), text)
    own.ok("DELETE", f"/keys/{names[0]}")
    refused(own, own.call("POST", "/keys/one-more/create", {"kty": "EC"}), text)
    own.ok("POST", f"/keys/{names[1]}/create", {"kty": "EC"})
    kids = [i["kid"].rsplit("/", 1)[1] for i in walk(own, "/keys")]
    assert len(kids) == len(set(kids)) == KEYS - 1 and kids == sorted(kids)
    assert set(names[1:]) <= set(kids)
    assert own.call("DELETE", f"/deletedkeys/{names[0]}").status_code == 204
    own.ok("POST", "/keys/one-more/create", {"kty": "EC"})
    refused(own, own.call("POST", "/keys/two-more/create", {"kty": "EC"}), text)


def test_a_full_pool_starts_again(own):
    before = own.ok("GET", "/keys/full-00042")
    versions = own.status()["versions"]
    own.down()
    from_s = time.monotonic()
    own.up()
    assert time.monotonic() - from_s < 20
    assert own.status()["keys"] == KEYS and own.status()["versions"] == versions
    assert own.ok("GET", "/keys/full-00042") == before
    own.ok("POST", "/keys/full-00042/sign", {"alg": "ES256", "value": "A" * 43})
    assert json.loads(own.cli("status", "-o", "json").stdout)["state"] == "Active"
