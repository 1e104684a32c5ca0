"""Exportable keys and their release policies: what is taken, how it is shown, when it can be changed. The release itself is
not part of this version."""
import base64
import json
import uuid

import pytest

import keyhold
from test_import import b64u, unb64u

VECTORS = keyhold.ROOT / "tests/vectors/release-policy"
CLAIM = {"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "azure-compliant-cvm"}
IMMUTABLE = "AKV.SKR.1020: Immutable Key Release Policy cannot be modified."
NO_POLICY = "Exportable keys must have release policy"
NO_EXPORT = "Non-exportable keys must not have release policy"


def oct_jwk(size):
    return {"kty": "oct", "k": b64u(bytes(size))}


def policy(*conditions, authority="https://attest.example/", version="1.0.0"):
    return {"version": version, "anyOf": [{"authority": authority, "allOf": list(conditions or [CLAIM])}]}


def compact(p):
    return json.dumps(p, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def given(p, **more):
    return {"data": b64u(json.dumps(p, indent=1).encode()), **more}


def shown(p, immutable=False):
    return {"contentType": "application/json; charset=utf-8", "data": b64u(compact(p)), "immutable": immutable}


EXPORT = {"attributes": {"exportable": True}}


@pytest.fixture
def name():
    return "p-" + uuid.uuid4().hex[:12]


@pytest.fixture
def key(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC", **EXPORT, "release_policy": given(policy()), "tags": {"a": "1"}})
    return name


def refused(pool, method, path, body, text, status=400, code="BadParameter"):
    before = pool.call("GET", "/keys/" + path.split("/")[2])
    r = pool.call(method, path, body)
    assert r.status_code == status, (r.status_code, r.text)
    assert pool.error(r) == (code, text)
    after = pool.call("GET", "/keys/" + path.split("/")[2])
    assert after.status_code == before.status_code
    assert after.status_code == 404 or after.json() == before.json()


@pytest.mark.parametrize("kty", ["RSA-HSM", "EC-HSM", "oct-HSM"])
def test_create(pool, name, kty):
    b = pool.ok("POST", f"/keys/{name}/create", {"kty": kty, **EXPORT, "release_policy": given(policy())})
    assert b["attributes"]["exportable"] is True
    assert b["release_policy"] == shown(policy())
    assert set(b) == {"attributes", "key", "release_policy"}
    for path in (f"/keys/{name}", f"/keys/{name}/{b['key']['kid'].rsplit('/', 1)[1]}"):
        assert pool.ok("GET", path) == b
    item = pool.ok("GET", f"/keys/{name}/versions")["value"][0]
    assert item["attributes"] == b["attributes"] and "release_policy" not in item


def test_import(pool, name):
    b = pool.ok("PUT", f"/keys/{name}", {"key": oct_jwk(32), **EXPORT, "release_policy": given(policy(), immutable=True)})
    assert b["attributes"]["exportable"] is True and b["release_policy"] == shown(policy(), immutable=True)
    assert pool.ok("GET", f"/keys/{name}") == b


@pytest.mark.parametrize("p", [
    policy({"claim": "a", "equals": "text"}, {"claim": "b", "equals": True}, {"claim": "c", "equals": False},
           {"claim": "d", "equals": 0}, {"claim": "e", "equals": -1.5}, {"claim": "ä", "equals": "\"\\\n\u2028"}),
    policy({"anyOf": [CLAIM, {"allOf": [CLAIM, CLAIM]}]}),
    {"version": "1.0.0", "anyOf": [{"authority": "https://a.example", "anyOf": [CLAIM]},
                                   {"authority": "https://b.example:8443/x/", "allOf": [CLAIM]}]},
    policy(version="0.2"), policy(version="1.0"),
    json.loads((VECTORS / "policy-os-disk.json").read_text()), json.loads((VECTORS / "policy-data-disk.json").read_text()),
], ids=["values", "nested", "authorities", "0.2", "1.0", "os-disk", "data-disk"])
def test_canonical_form(pool, name, p):
    """Sorted members, no white space, the same values: byte for byte what an independent writer makes of it."""
    b = pool.ok("POST", f"/keys/{name}/create", {"kty": "oct", **EXPORT, "release_policy": given(p)})
    assert b["release_policy"] == shown(p)
    assert json.loads(unb64u(b["release_policy"]["data"])) == p


@pytest.mark.parametrize("encode", [base64.urlsafe_b64encode, base64.b64encode])
@pytest.mark.parametrize("padding", [True, False])
def test_all_forms_of_base64(pool, name, encode, padding):
    text = json.dumps(policy({"claim": "???", "equals": "~~~ >>>"})).encode() + b" "
    data = encode(text).decode()
    assert set("+/-_") & set(data) and data.endswith("=")
    b = pool.ok("POST", f"/keys/{name}/create",
                {"kty": "oct", **EXPORT, "release_policy": {"data": data if padding else data.rstrip("="),
                                                           "contentType": "application/json; charset=utf-8"}})
    assert json.loads(unb64u(b["release_policy"]["data"])) == json.loads(text)


@pytest.mark.parametrize("p,text", [
    ({}, "missing 'version' property"),
    ({"anyOf": policy()["anyOf"]}, "missing 'version' property"),
    (policy(version="2.0"), "unsupported 'version' property"),
    ({"version": "1.0.0"}, "'anyOf' must be an array of authorities that is not empty"),
    ({"version": "1.0.0", "anyOf": []}, "'anyOf' must be an array of authorities that is not empty"),
    ({"version": "1.0.0", "allOf": policy()["anyOf"]}, "'anyOf' must be an array of authorities that is not empty"),
    ({**policy(), "more": 1}, "it has more properties than 'version' and 'anyOf'"),
    (policy(authority="http://a.example"), "'authority' must be an https URL"),
    (policy(authority=""), "'authority' must be an https URL"),
    ({"version": "1.0.0", "anyOf": [{"authority": "https://a.example", "allOf": [CLAIM], "anyOf": [CLAIM]}]},
     "there must be exactly one of 'anyOf' and 'allOf', and nothing else"),
    ({"version": "1.0.0", "anyOf": [{"authority": "https://a.example"}]},
     "there must be exactly one of 'anyOf' and 'allOf', and nothing else"),
    (policy({}), "there must be exactly one of 'anyOf' and 'allOf', and nothing else"),
    (policy({"claim": "a"}), "a claim needs 'equals', and no other operator is supported"),
    (policy({"claim": "a", "greater": 1}), "a claim needs 'equals', and no other operator is supported"),
    (policy({"claim": "a", "condition": "equals", "value": "x"}), "a claim needs 'equals', and no other operator is supported"),
    (policy({"claim": "a..b", "equals": 1}), "'claim' must be a name, or names separated by dots"),
    (policy({"claim": "a", "equals": None}), "value of 'equals' must be a string, a number, true or false"),
    (policy({"claim": "a", "equals": ["x"]}), "value of 'equals' must be a string, a number, true or false"),
    (policy("claim"), "a condition must be an object"),
    ([], "it is not a valid JSON object"),
])
def test_wrong_policies(pool, name, p, text):
    for method, path, body in (("POST", f"/keys/{name}/create", {"kty": "EC"}), ("PUT", f"/keys/{name}", {"key": oct_jwk(16)})):
        refused(pool, method, path, {**body, **EXPORT, "release_policy": given(p)}, "Key Release Policy: " + text)


def test_wrong_policies_of_an_update(pool, key):
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": given({})}, "Key Release Policy: missing 'version' property")
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": {}}, "Property 'release_policy' needs 'data'.")
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": {"data": ""}}, "Property 'release_policy' needs 'data'.")
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": {"data": "!"}}, "Property 'data' is not valid base64url.")
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": []}, "Property 'release_policy' must be an object.")
    refused(pool, "PATCH", f"/keys/{key}", {"release_policy": given(policy(), immutable="yes")},
            "Property 'immutable' must be true or false.")


def test_duplicate_members(pool, name):
    text = b'{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":1,"equals":2}]}]}'
    refused(pool, "POST", f"/keys/{name}/create", {"kty": "EC", **EXPORT, "release_policy": {"data": b64u(text)}},
            "Key Release Policy: it is not a valid JSON object")


def test_exportable_and_policy_belong_together(pool, name):
    p = given(policy())
    for method, path, body in (("POST", f"/keys/{name}/create", {"kty": "EC"}), ("PUT", f"/keys/{name}", {"key": oct_jwk(16)})):
        refused(pool, method, path, {**body, **EXPORT}, NO_POLICY)
        refused(pool, method, path, {**body, "release_policy": p}, NO_EXPORT)
        refused(pool, method, path, {**body, "attributes": {"exportable": False}, "release_policy": p}, NO_EXPORT)
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
    for body in ({"release_policy": p}, {"release_policy": {"immutable": True}}):
        refused(pool, "PATCH", f"/keys/{name}", body, NO_EXPORT)


def test_change(pool, key):
    other = policy({"claim": "sdk-test", "equals": "true"})
    before = pool.ok("GET", f"/keys/{key}")
    b = pool.ok("PATCH", f"/keys/{key}", {"release_policy": given(other)})
    assert b["release_policy"] == shown(other) and b["tags"] == {"a": "1"} and b["key"] == before["key"]
    assert pool.ok("GET", f"/keys/{key}") == b
    # what is sent back as it was read, .NET does so, changes nothing
    b = pool.ok("PATCH", f"/keys/{key}/{b['key']['kid'].rsplit('/', 1)[1]}",
                {"release_policy": b["release_policy"], "attributes": {"exportable": True}, "tags": {"b": "2"}})
    assert b["release_policy"] == shown(other) and b["tags"] == {"b": "2"}
    refused(pool, "PATCH", f"/keys/{key}", {"attributes": {"exportable": False}},
            "The exportable attribute of a key cannot be changed.")


@pytest.mark.parametrize("how", [{"immutable": True}, given(policy(), immutable=True),
                                 given(policy({"claim": "x", "equals": 1}), immutable=True)])
def test_immutable_once(pool, key, how):
    b = pool.ok("PATCH", f"/keys/{key}", {"release_policy": how})
    p = json.loads(unb64u(how["data"])) if "data" in how else policy()
    assert b["release_policy"] == shown(p, immutable=True)
    for change in (given(policy(authority="https://other.example")), given(p, immutable=False), {"immutable": False},
                   given(policy(authority="https://other.example"), immutable=True)):
        refused(pool, "PATCH", f"/keys/{key}", {"release_policy": change, "tags": {"no": "no"}}, IMMUTABLE)
    for same in (given(p), given(p, immutable=True), {"immutable": True}, b["release_policy"]):
        assert pool.ok("PATCH", f"/keys/{key}", {"release_policy": same})["release_policy"] == b["release_policy"]
    assert pool.ok("PATCH", f"/keys/{key}", {"tags": {"c": "3"}})["release_policy"] == b["release_policy"]


def test_versions_have_their_own(pool, key):
    first = pool.ok("GET", f"/keys/{key}")
    second = pool.ok("POST", f"/keys/{key}/create", {"kty": "EC"})
    assert second["attributes"]["exportable"] is False and "release_policy" not in second
    pool.down()
    pool.up()
    assert pool.ok("GET", f"/keys/{key}/{first['key']['kid'].rsplit('/', 1)[1]}") == first
    deleted = pool.ok("DELETE", f"/keys/{key}")
    assert "release_policy" not in deleted
    pool.ok("DELETE", f"/deletedkeys/{key}")


def test_deleted_and_recovered(pool, key):
    before = pool.ok("GET", f"/keys/{key}")
    assert pool.ok("DELETE", f"/keys/{key}")["release_policy"] == shown(policy())
    assert pool.ok("POST", f"/deletedkeys/{key}/recover") == before


def test_release_is_still_missing(pool, key):
    r = pool.call("POST", f"/keys/{key}/release", {"target": "a.b.c"})
    assert r.status_code == 501 and pool.error(r)[0] == "NotImplemented"
