"""Backup and restore of one key: the same key comes back, with all its versions and under the same ids, and nothing else
does."""
import base64
import json
import os
import uuid

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import keyhold
from test_import import b64u, unb64u

BAD = ("MalformedBackupBlob", "Backup blob belongs to a different crypto domain and cannot be used with this instance.")
POLICY = {"version": "1.0.0", "anyOf": [{"authority": "https://a.example", "allOf": [{"claim": "c", "equals": 1}]}]}


@pytest.fixture
def name():
    return "b-" + uuid.uuid4().hex[:12]


def versions(pool, name):
    kids = [i["kid"] for i in pool.ok("GET", f"/keys/{name}/versions")["value"]]
    return [pool.ok("GET", "/keys/" + kid.split("/keys/")[1]) for kid in kids]


def backup(pool, name):
    b = pool.ok("POST", f"/keys/{name}/backup")
    assert set(b) == {"value"}
    return b["value"]


def purge(pool, name):
    pool.ok("DELETE", f"/keys/{name}")
    pool.ok("DELETE", f"/deletedkeys/{name}")


def restore(pool, value):
    return pool.ok("POST", "/keys/restore", {"value": value})


def make(pool, name):
    """A key with something of everything. Returns what an EC version of it was imported from."""
    private = ec.generate_private_key(ec.SECP256R1())
    d = private.private_numbers().private_value.to_bytes(32, "big")
    pool.ok("POST", f"/keys/{name}/create", {"kty": "RSA", "tags": {"a": "ä", "b": ""}, "key_ops": ["sign", "verify"]})
    pool.ok("PUT", f"/keys/{name}", {"key": {"kty": "EC", "crv": "P-256", "d": b64u(d)}, "attributes": {"enabled": True, "nbf": 1}})
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct", "attributes": {"enabled": False, "exp": 2 ** 33}})
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC", "crv": "P-521", "attributes": {"exportable": True},
                                             "release_policy": {"data": b64u(json.dumps(POLICY).encode()), "immutable": True}})
    pool.ok("PUT", f"/keys/{name}/rotationpolicy", {"lifetimeActions": [
        {"trigger": {"timeAfterCreate": "P50D"}, "action": {"type": "Rotate"}}], "attributes": {"expiryTime": "P90D"}})
    return private


def test_the_same_key_comes_back(pool, name):
    shown = name.upper()
    private = make(pool, shown)
    before, rotation = versions(pool, name), pool.ok("GET", f"/keys/{name}/rotationpolicy")
    value = backup(pool, name)
    assert versions(pool, name) == before, "a backup changes nothing"
    purge(pool, name)
    assert pool.call("GET", f"/keys/{name}").status_code == 404
    b = restore(pool, value)
    assert b == before[-1] and f"/keys/{shown}/" in b["key"]["kid"]
    assert versions(pool, name) == before
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == rotation
    pool.down()
    pool.up()
    assert versions(pool, name) == before
    digest = os.urandom(32)
    version = before[1]["key"]["kid"].rsplit("/", 1)[1]
    raw = unb64u(pool.ok("POST", f"/keys/{name}/{version}/sign", {"alg": "ES256", "value": b64u(digest)})["value"])
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    private.public_key().verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    # it goes on: new versions follow the old ones, and a backup of it can be made again
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
    assert versions(pool, name)[:4] == before and backup(pool, name) != value


def test_form(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    first, second = backup(pool, name), backup(pool, name)
    assert first != second
    for value in (first, second):
        text = unb64u(value).decode()
        header, key, iv, ciphertext, tag = text.split(".")
        assert unb64u(header) == b'{"alg":"dir","enc":"A256CBC-HS512","kid":"backup-protection-key"}'
        assert key == "" and len(unb64u(iv)) == 16 and len(unb64u(tag)) == 32 and len(unb64u(ciphertext)) % 16 == 0
        assert name not in text
        assert not set("+/=") & set(value)


def test_a_value_with_padding_is_taken(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    value = backup(pool, name)
    purge(pool, name)
    restore(pool, value + "=" * (-len(value) % 4))


@pytest.mark.parametrize("path", ["/keys/restore", "/keys//restore", "/keys/restore/"])
def test_paths(pool, name, path):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    value = pool.ok("POST", f"/keys/{name}//backup" if path == "/keys//restore" else f"/keys/{name}/backup/")["value"]
    purge(pool, name)
    assert pool.ok("POST", path, {"value": value})["key"]["kty"] == "oct-HSM"


def test_names_in_use(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    value = backup(pool, name)
    r = pool.call("POST", "/keys/restore", {"value": value})
    assert r.status_code == 409 and pool.error(r) == ("Conflict", f"A key with the name {name} already exists.")
    pool.ok("DELETE", f"/keys/{name}")
    r = pool.call("POST", "/keys/restore", {"value": value})
    assert r.status_code == 409 and pool.error(r) == (
        "Conflict", f"Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this "
                    "state, the key can only be recovered or purged.")
    r = pool.call("POST", f"/keys/{name}/backup")
    assert r.status_code == 404 and pool.error(r) == ("KeyNotFound", f"Key not found: {pool.pool_url}/keys/{name}")


def test_every_damage_has_one_answer(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
    value = backup(pool, name)
    purge(pool, name)
    text = unb64u(value)
    parts = text.split(b".")

    def swapped(i, part):
        return b64u(b".".join([*parts[:i], part, *parts[i + 1:]]))
    other = b64u(b'{"alg":"dir","enc":"A256CBC-HS512","kid":"other"}').encode()
    bad = ["", "A", "AAAA", "????", "a b", "ä", value[:-1], value + "A", value[:-8], value[1:], b64u(text + b"."), b64u(text[:-1]),
           b64u(b"{}"), b64u(b"...."), b64u(os.urandom(5000)), base64.b64encode(os.urandom(300)).decode() + "/+",
           swapped(0, other), swapped(1, b"AAAA"), swapped(2, parts[2][::-1]), swapped(3, parts[3][:-22]), swapped(3, b""),
           swapped(4, parts[4][::-1]), "A" * 1186672]
    for i in range(40, len(text), 97):
        bad.append(b64u(text[:i] + bytes([text[i] ^ 1]) + text[i + 1:]))
    for v in bad:
        r = pool.call("POST", "/keys/restore", {"value": v})
        assert r.status_code == 400 and pool.error(r) == BAD, (v[:100], r.text)
    assert pool.call("GET", f"/keys/{name}").status_code == 404
    restore(pool, value)


def test_bodies(pool, name):
    for body, text in (({}, "Property 'value' is missing."), ({"value": None}, "Property 'value' is missing."),
                       ({"value": 7}, "Property 'value' must be a base64url string."),
                       ({"value": ["AAAA"]}, "Property 'value' must be a base64url string.")):
        r = pool.call("POST", "/keys/restore", body)
        assert r.status_code == 400 and pool.error(r) == ("BadParameter", text)
    assert pool.call("POST", "/keys/restore", raw=b'{"value":"' + b"A" * 1300000 + b'"}').status_code == 413
    assert pool.call("POST", f"/keys/{name}/backup", raw=b" " * 70000).status_code == 413
    assert pool.call("GET", f"/keys/{name}/backup").status_code in (400, 405)


def test_another_pool_does_not_take_it(pool, name):
    pool.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
    value = backup(pool, name)
    with keyhold.Pool(name="elsewhere") as other:
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert other.assign(role, other.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        r = other.call("POST", "/keys/restore", {"value": value})
        assert r.status_code == 400 and other.error(r) == BAD
        assert other.ok("GET", "/keys")["value"] == []


def test_a_key_with_many_versions(pool, name):
    """More than the bodies of other operations may have."""
    tags = {f"t{i}": "v" * 250 for i in range(15)}
    for _ in range(60):
        pool.ok("POST", f"/keys/{name}/create", {"kty": "oct", "tags": tags})
    before = versions(pool, name)
    value = backup(pool, name)
    assert len(value) > 400000
    purge(pool, name)
    restore(pool, value)
    assert versions(pool, name) == before


BACKUP_USER, RESTORE_USER = "7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8", "6efe6056-5259-49d2-8b3d-d3d73544b20b"


def test_roles(pool, name):
    """Who may back up cannot restore, and the other way round; neither reads or uses the key."""
    pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    value, token = backup(pool, name), pool.guest_token()
    calls = {"backup": lambda: pool.call("POST", f"/keys/{name}/backup", token=token),
             "restore": lambda: pool.call("POST", "/keys/restore", {"value": value}, token=token),
             "read": lambda: pool.call("GET", f"/keys/{name}", token=token),
             "import": lambda: pool.call("PUT", f"/keys/{name}", {"key": {"kty": "oct", "k": "AA"}}, token=token)}
    for role, allowed in ((None, None), (BACKUP_USER, "backup"), (RESTORE_USER, "restore")):
        made = pool.assign(role, pool.env["KEYHOLD_GUEST_OID"]) if role else None
        try:
            for what, call in calls.items():
                want = {"backup": 200, "restore": 409}[what] if what == allowed else 403
                assert call().status_code == want, (role, what)
        finally:
            if made:
                path = f"/providers/Microsoft.Authorization/roleAssignments/{made.json()['name']}"
                assert pool.call("DELETE", path).status_code == 200
