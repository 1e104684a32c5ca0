"""Rotation: policies, new versions on demand, and by themselves while the clock of a pool is moved over years."""
import base64
import collections
import datetime
import json
import os
import signal
import time
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import keyhold
from test_clock import eventually
from test_keys import unb64u
from test_release_policy import given, policy as release_policy

NONE = {"attributes": {}, "lifetimeActions": []}
DAY = 86400


@pytest.fixture
def name():
    return "rot-" + uuid.uuid4().hex[:12]


def rotate(after=None, before=None):
    return action("Rotate", after, before)


def notify(after=None, before=None):
    return action("Notify", after, before)


def action(kind, after, before):
    trigger = {k: v for k, v in (("timeAfterCreate", after), ("timeBeforeExpiry", before)) if v}
    return {"action": {"type": kind}, "trigger": trigger}


def policy(*actions, expiry=None):
    return {"lifetimeActions": list(actions), "attributes": {"expiryTime": expiry} if expiry else {}}


def put(pool, name, *actions, expiry=None):
    return pool.ok("PUT", f"/keys/{name}/rotationpolicy", policy(*actions, expiry=expiry))


def create(pool, name, **body):
    return pool.ok("POST", f"/keys/{name}/create", {"kty": "oct-HSM", **body})


def versions(pool, name):
    return pool.ok("GET", f"/keys/{name}/versions")["value"]


def version_of(bundle):
    return bundle["key"]["kid"].rsplit("/", 1)[1]


# ---- policies

def test_policy(pool, name):
    create(pool, name.upper())
    ident = f"{pool.pool_url}/keys/{name.upper()}/rotationpolicy"
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == {"id": ident, **NONE}
    actions = [rotate(after="P18M"), notify(before="P30D")]
    sent = {"id": "ignored", "lifetimeActions": [
        {"trigger": {"timeAfterCreate": "P18M", "timeBeforeExpiry": None}, "action": {"type": "rotate"}},
        {"trigger": {"timeAfterCreate": None, "timeBeforeExpiry": "P30D"}, "action": {"type": "NOTIFY"}}],
        "attributes": {"expiryTime": "P2Y", "created": 1, "updated": 2}}
    made = pool.ok("PUT", f"/keys/{name}/rotationpolicy", sent)
    now = made["attributes"]["created"]
    assert abs(now - time.time()) < 5
    assert made == {"attributes": {"created": now, "expiryTime": "P2Y", "updated": now}, "id": ident,
                    "lifetimeActions": actions}
    assert pool.ok("GET", f"/keys/{name}/rotationPolicy/") == made
    assert list(made) == sorted(made) and list(made["attributes"]) == sorted(made["attributes"])
    changed = put(pool, name, notify(after="P4W"), expiry="P1Y")
    assert changed["attributes"]["created"] == now <= changed["attributes"]["updated"]
    assert changed["lifetimeActions"] == [notify(after="P4W")] and changed["attributes"]["expiryTime"] == "P1Y"
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == changed
    create(pool, name)  # a policy belongs to the key, not to a version
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == changed
    assert pool.ok("PUT", f"/keys/{name}/rotationpolicy", NONE) == {"id": ident, **NONE}
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == {"id": ident, **NONE}


def test_policy_stays_with_a_deleted_key(pool, name):
    create(pool, name)
    made = put(pool, name, rotate(after="P90D"))
    pool.ok("DELETE", f"/keys/{name}")
    for method, path, body in (("GET", "rotationpolicy", None), ("PUT", "rotationpolicy", NONE), ("POST", "rotate", None)):
        r = pool.call(method, f"/keys/{name}/{path}", body)
        assert r.status_code == 404
        assert pool.error(r) == ("KeyNotFound", f"Key not found: {pool.pool_url}/keys/{name}")
    pool.ok("POST", f"/deletedkeys/{name}/recover")
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy") == made
    pool.ok("DELETE", f"/keys/{name}")
    pool.ok("DELETE", f"/deletedkeys/{name}")
    create(pool, name)
    assert pool.ok("GET", f"/keys/{name}/rotationpolicy")["attributes"] == {}


DURATION = "must be a duration in years, months, weeks and days, such as P2Y, P18M or P90D."
EACH = "A rotation policy can have at most one action of each type."
EITHER = "A trigger needs either timeAfterCreate or timeBeforeExpiry."
SHORTER = "timeBeforeExpiry must be at least 28 days shorter than expiryTime."


@pytest.mark.parametrize("body,text", [
    (policy(expiry="P27D"), "expiryTime must be at least 28 days."),
    (policy(expiry="2 years"), f"expiryTime {DURATION}"),
    (policy(expiry="P1Y6MT12H"), f"expiryTime {DURATION}"),
    (policy(rotate(after="P27D")), "timeAfterCreate must be at least 28 days."),
    (policy(rotate(after="90")), f"timeAfterCreate {DURATION}"),
    (policy(rotate(before="P0D")), "timeBeforeExpiry must be at least one day."),
    (policy(rotate(before="p90d")), f"timeBeforeExpiry {DURATION}"),
    (policy(rotate(before="P29D"), expiry="P56D"), SHORTER),
    (policy(notify(before="P1Y"), expiry="P1Y"), SHORTER),
    (policy(rotate(after="P90D", before="P90D"), expiry="P2Y"), EITHER),
    (policy(rotate(), expiry="P2Y"), EITHER),
    (policy(rotate(after="P90D"), rotate(after="P80D")), EACH),
    (policy(rotate(after="P90D"), notify(after="P90D"), notify(after="P80D")), EACH),
    (policy(action("Renew", "P90D", None)), "The type of an action must be Rotate or Notify."),
    ({"lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D"}}]}, "The type of an action must be Rotate or Notify."),
    ({"lifetimeActions": [{"action": {"type": "Rotate"}}]}, EITHER),
    ({"lifetimeActions": {}}, "Property 'lifetimeActions' must be an array."),
    ({"attributes": {"expiryTime": 730}}, "Property 'expiryTime' must be a string."),
    ({"attributes": {"expiryTime": "P" + "0" * 40 + "1Y"}}, "Property 'expiryTime' is longer than 32 bytes."),
])
def test_policies_refused(pool, body, text):
    made = pool.call("POST", "/keys/rot-refused/create", {"kty": "oct-HSM"}) \
        if pool.call("GET", "/keys/rot-refused").status_code == 404 else None
    assert made is None or made.status_code == 200
    r = pool.call("PUT", "/keys/rot-refused/rotationpolicy", body)
    assert r.status_code == 400 and pool.error(r) == ("BadParameter", text), r.text
    assert pool.ok("GET", "/keys/rot-refused/rotationpolicy")["attributes"] == {}


# ---- on demand

def test_rotate(pool, name):
    old = create(pool, name, kty="RSA-HSM", key_size=2048, key_ops=["sign", "verify"], tags={"a": "b"},
                 attributes={"nbf": 1700000000, "exp": 4000000000})
    r = pool.call("POST", f"/keys/{name}/rotate")
    assert r.status_code == 400
    assert pool.error(r) == ("BadParameter", "A key can be rotated only while it has a rotation policy.")
    put(pool, name, rotate(after="P90D"), expiry="P2Y")
    new = pool.ok("POST", f"/keys/{name}/rotate", {"whatever": "is ignored"})
    assert version_of(new) != version_of(old) and new["key"]["n"] != old["key"]["n"]
    assert len(unb64u(new["key"]["n"])) == 256
    assert {k: v for k, v in new["key"].items() if k not in ("kid", "n")} == {
        k: v for k, v in old["key"].items() if k not in ("kid", "n")}
    assert new["tags"] == {"a": "b"} and "nbf" not in new["attributes"]
    made = datetime.datetime.fromtimestamp(new["attributes"]["created"], datetime.timezone.utc)
    due = made.replace(year=made.year + 2) if (made.month, made.day) != (2, 29) else None
    assert due is None or new["attributes"]["exp"] == due.timestamp()
    assert new["attributes"]["created"] == new["attributes"]["updated"]
    assert pool.ok("GET", f"/keys/{name}") == new
    assert pool.ok("GET", f"/keys/{name}/{version_of(old)}") == old
    assert [v["kid"] for v in versions(pool, name)] == [old["key"]["kid"], new["key"]["kid"]]
    # both work
    signed = pool.ok("POST", f"/keys/{name}/sign", {"alg": "PS256", "value": "A" * 43})
    assert signed["kid"] == new["key"]["kid"]
    assert pool.ok("POST", f"/keys/{name}/{version_of(old)}/sign", {"alg": "PS256", "value": "A" * 43})["kid"] == \
        old["key"]["kid"]


@pytest.mark.parametrize("body", [
    {"kty": "RSA-HSM", "public_exponent": 3}, {"kty": "EC-HSM", "crv": "P-521"}, {"kty": "EC", "crv": "P-256K"},
    {"kty": "oct-HSM", "key_size": 128}, {"kty": "oct-HSM", "key_size": 192}])
def test_rotate_keeps_the_kind(pool, name, body):
    old = create(pool, name, **body)
    put(pool, name, notify(after="P90D"))
    new = pool.ok("POST", f"/keys/{name}/rotate")
    same = ("kty", "crv", "e", "key_ops")
    assert {k: new["key"].get(k) for k in same} == {k: old["key"].get(k) for k in same}
    assert "exp" not in new["attributes"]
    if "key_size" in body:  # not shown, but only algorithms of that size work
        for size in (128, 192):
            r = pool.call("POST", f"/keys/{name}/wrapkey", {"alg": f"A{size}KW", "value": "A" * 32})
            assert r.status_code == (200 if size == body["key_size"] else 400)


def test_rotate_an_imported_key(pool, name):
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    def b64(number):
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    jwk = {"kty": "RSA-HSM", "n": b64(private.public_numbers.n), "e": b64(65537), "d": b64(private.d),
           "p": b64(private.p), "q": b64(private.q), "dp": b64(private.dmp1), "dq": b64(private.dmq1),
           "qi": b64(private.iqmp), "key_ops": ["sign", "verify"]}
    old = pool.ok("PUT", f"/keys/{name}", {"key": jwk})
    put(pool, name, rotate(after="P90D"))
    new = pool.ok("POST", f"/keys/{name}/rotate")
    assert new["key"]["e"] == old["key"]["e"] and new["key"]["n"] != old["key"]["n"]
    assert new["key"]["key_ops"] == old["key"]["key_ops"]


@pytest.mark.parametrize("immutable", [False, True])
def test_release_policies_are_inherited(pool, name, immutable):
    old = create(pool, name, kty="EC-HSM", attributes={"exportable": True},
                 release_policy=given(release_policy(), immutable=immutable))
    put(pool, name, rotate(after="P90D"))
    new = pool.ok("POST", f"/keys/{name}/rotate")
    assert new["key"]["kid"] != old["key"]["kid"] and new["attributes"]["exportable"] is True
    assert new["release_policy"] == old["release_policy"] and new["release_policy"]["immutable"] is immutable
    other = given(release_policy(authority="https://other.example"))
    r = pool.call("PATCH", f"/keys/{name}", {"release_policy": other})
    assert r.status_code == (400 if immutable else 200)
    assert not immutable or pool.error(r)[1].startswith("AKV.SKR.1020")


def test_a_disabled_key_stays_disabled(pool, name):
    create(pool, name)
    put(pool, name, rotate(after="P90D"))
    pool.ok("PATCH", f"/keys/{name}/", {"attributes": {"enabled": False}})
    assert pool.ok("POST", f"/keys/{name}/rotate")["attributes"]["enabled"] is False


def test_no_more_than_a_hundred_versions(pool, name):
    create(pool, name)
    put(pool, name, rotate(after="P90D"))
    for _ in range(99):
        pool.ok("POST", f"/keys/{name}/rotate")
    r = pool.call("POST", f"/keys/{name}/rotate")
    assert r.status_code == 400 and pool.error(r) == ("BadParameter", "A key can have at most 100 versions.")


# ---- by itself

@pytest.fixture(scope="module")
def own():
    """Its clock only moves on."""
    p = keyhold.Pool(name="rotation", clocked=True)
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def records(p, key=None):
    """Audit records of the pool's own doing: Counter of (operation, result)."""
    lines = map(json.loads, (p.home / "partition-0/audit/audit.jsonl").read_text().splitlines())
    own = [x for x in lines if x.get("clientInfo") == "keyhold-boundary"]
    return collections.Counter((x["operationName"], x["resultType"]) for x in own
                               if key is None or x["requestUri"] == f"/keys/{key}/rotate")


def advance(pool, **delta):
    """Moves the clock; a new token, and issuer keys, are there afterwards."""
    pool.clock.advance(**delta)
    pool.wait_ready()


ROTATED, NOTIFIED, REFUSED = ("KeyRotateIfDue", "Success"), ("KeyRotationNotify", "Success"), ("KeyRotateIfDue", "Failure")


def test_rotation_again_and_again(own):
    kinds = ("RSA-HSM", "EC-HSM", "oct-HSM")
    for kty in kinds:
        create(own, kty, kty=kty, tags={"kind": kty})
        put(own, kty, rotate(before="P1M"), notify(before="P2M"), expiry="P3M")
        own.ok("POST", f"/keys/{kty}/rotate")  # the first one has no exp
    for turn in range(1, 4):
        exp = own.ok("GET", "/keys/EC-HSM")["attributes"]["exp"]
        assert all(len(versions(own, kty)) == turn + 1 for kty in kinds)
        advance(own, seconds=exp - own.clock.now() - 50 * DAY)
        eventually(lambda: all(records(own, kty)[NOTIFIED] == turn for kty in kinds), 30)
        assert all(len(versions(own, kty)) == turn + 1 for kty in kinds)
        advance(own, seconds=exp - own.clock.now() - 25 * DAY)
        eventually(lambda: all(records(own, kty)[ROTATED] == turn for kty in kinds), 60)
        for kty in kinds:
            now = own.ok("GET", f"/keys/{kty}")
            assert now["tags"] == {"kind": kty} and now["attributes"]["enabled"] is True
            assert 89 * DAY <= now["attributes"]["exp"] - now["attributes"]["created"] <= 92 * DAY
            assert abs(now["attributes"]["created"] - own.clock.now()) < 60
            assert len(versions(own, kty)) == turn + 2
            assert records(own, kty) == {ROTATED: turn, NOTIFIED: turn}
    assert own.cli("audit", "verify").returncode == 0
    for kty in kinds:
        put(own, kty)


def test_a_notice_is_given_once(own):
    create(own, "notice")
    put(own, "notice", notify(after="P30D"))
    advance(own, days=31)
    eventually(lambda: records(own, "notice") == {NOTIFIED: 1})
    own.down()
    own.up()
    os.kill(own.pids()["boundary"], signal.SIGKILL)
    own.wait_ready()
    advance(own, days=10)
    create(own, "later")  # a commit after whatever the boundary had to do at its start
    assert records(own, "notice") == {NOTIFIED: 1} and len(versions(own, "notice")) == 1


def test_killed_while_it_rotates(own):
    names = [f"killed-{i}" for i in range(12)]
    for name in names:
        create(own, name, kty="EC-HSM")
        put(own, name, rotate(after="P28D"))
    own.clock.advance(days=29)
    for _ in range(3):
        time.sleep(0.05)
        os.kill(own.pids()["boundary"], signal.SIGKILL)
        own.wait_ready()
    eventually(lambda: all(len(versions(own, n)) == 2 for n in names), 60)
    advance(own, days=27)
    for name in names:
        assert len(versions(own, name)) == 2, "once each"
        assert records(own, name)[ROTATED] <= 1
        put(own, name)


def test_full_and_disabled_keys(own):
    """At the limit it is said once a day; what is disabled waits."""
    create(own, "full")
    put(own, "full", rotate(after="P28D"))
    for _ in range(99):
        own.ok("POST", "/keys/full/rotate")
    create(own, "disabled", attributes={"enabled": False})
    put(own, "disabled", rotate(after="P28D"))
    for day in range(1, 4):
        advance(own, days=29 if day == 1 else 1, minutes=1)
        eventually(lambda: records(own, "full") == {REFUSED: day})
    assert own.call("POST", "/keys/full/rotate").status_code == 400 and len(versions(own, "disabled")) == 1
    own.ok("PATCH", "/keys/disabled/", {"attributes": {"enabled": True}})
    eventually(lambda: len(versions(own, "disabled")) == 2)
    assert records(own, "full") == {REFUSED: 3}
