"""What time changes: tokens, key windows, retention, issuer keys, audit records. The pool's clock is moved, nobody
waits."""
import base64
import datetime
import email.utils
import json
import subprocess
import time

import pytest

import keyhold
from test_first_contact import mint

SKEW = 300  # seconds by which clocks may differ


@pytest.fixture(scope="module")
def own():
    """Its clock only moves on, from test to test."""
    p = keyhold.Pool(name="clock", clocked=True)
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def eventually(what, seconds=10):
    """The boundary looks at its clock once a second."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.03)


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def status(pool, method, path, body=None, token=None):
    return pool.call(method, path, body, token=token).status_code


# ---- the clock itself

def test_only_programs_of_the_tests_have_it():
    names = {p.name for p in keyhold.BIN.glob("keyhold*")}
    assert names == {p.name for p in keyhold.CLOCKED.glob("keyhold*")} and len(names) == 7
    for name in names:
        assert b"KEYHOLD_TEST_CLOCK" in (keyhold.CLOCKED / name).read_bytes()
        program = (keyhold.BIN / name).read_bytes()
        assert b"KEYHOLD_TEST" not in program and b"moved_clock" not in program
        symbols = subprocess.run(["nm", keyhold.CLOCKED / name], capture_output=True, text=True, check=True).stdout
        assert "map_clock" in symbols
        symbols = subprocess.run(["nm", keyhold.BIN / name], capture_output=True, text=True, check=True).stdout
        assert "clock_now_ms" in symbols and "map_clock" not in symbols


@pytest.mark.parametrize("days", [3, -2])
def test_every_process_sees_it(own, days):
    own.clock.advance(days=days)

    def is_now(seconds):
        assert abs(seconds - own.clock.now()) < 5
    is_now(claims(own.token())["iat"])  # identity provider
    r = own.call("POST", "/keys/seen/create", {"kty": "EC"})
    is_now(r.json()["attributes"]["updated"])  # boundary

    def date():  # gateway; it makes the line twice a second
        return email.utils.parsedate_to_datetime(own.call("GET", "/keys").headers["date"]).timestamp()
    eventually(lambda: abs(date() - own.clock.now()) < 5)

    def of_text(t):
        return datetime.datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp()
    line = json.loads((own.home / "partition-0/audit/audit.jsonl").read_text().splitlines()[-1])
    is_now(of_text(line["time"] if "time" in line else line["checkpoint"]["time"]))
    assert own.cli("audit", "verify").returncode == 0
    if days > 0:  # the log of whatever starts next says so, too
        own.down()
        own.up()
        for name in ("supervisor", "boundary", "gateway", "door", "fabric"):
            is_now(of_text((own.home / f"log/{name}.log").read_text().splitlines()[-1].split()[0]))
        assert own.ok("GET", "/keys/seen")["attributes"] == r.json()["attributes"]


# ---- tokens

@pytest.mark.parametrize("known", [True, False])
def test_tokens_end(own, known):
    """Whether the boundary has verified it before or not."""
    token = own.token()
    lifetime = claims(token)["exp"] - claims(token)["iat"]
    assert lifetime == 3599
    if known:
        assert status(own, "GET", "/keys", token=token) == 200
    own.clock.advance(seconds=lifetime + SKEW - 20)
    if known:
        assert status(own, "GET", "/keys", token=token) == 200
    own.clock.advance(seconds=22)
    r = own.call("GET", "/keys", token=token)
    assert (r.status_code, *own.error(r)) == (401, "Unauthorized", own.error(r)[1])
    assert own.error(r)[1].startswith("Token expired") and 'error="insufficient_claims"' in r.headers["www-authenticate"]
    assert status(own, "GET", "/keys") == 200, "with a new one"


def test_tokens_of_the_future(own):
    token = own.token()
    assert status(own, "GET", "/keys", token=token) == 200
    own.clock.advance(seconds=-SKEW + 20)
    assert status(own, "GET", "/keys", token=token) == 200
    own.clock.advance(seconds=-25)
    r = own.call("GET", "/keys", token=token)
    assert r.status_code == 401 and own.error(r)[1].startswith("Token not yet valid"), r.text
    own.clock.advance(seconds=SKEW + 5)
    assert status(own, "GET", "/keys", token=token) == 200


def test_a_withdrawn_issuer_key_is_forgotten(own, tmp_path):
    """The boundary asks for the issuer's keys every ten minutes of its clock."""
    token = own.token()
    assert status(own, "GET", "/keys", token=token) == 200
    file = own.home / "fabric/signing.key"
    before = file.read_bytes()
    subprocess.run(["openssl", "genrsa", "-out", tmp_path / "new.key", "2048"], check=True, capture_output=True)
    file.write_bytes((tmp_path / "new.key").read_bytes())
    pid = own.pids()["fabric"]
    subprocess.run(["kill", str(pid)], check=True)
    eventually(lambda: own.pids().get("fabric", pid) != pid)
    own.clock.advance(minutes=11)
    eventually(lambda: status(own, "GET", "/keys", token=token) == 401)
    r = own.call("GET", "/keys", token=token)
    assert r.status_code == 401 and "signature" in own.error(r)[1].lower(), r.text
    file_key = file.read_bytes()
    assert file_key != before and status(own, "GET", "/keys") == 200


def test_issuer_keys_are_fresh_after_a_day(own):
    assert status(own, "GET", "/keys") == 200
    own.clock.advance(days=2)
    assert status(own, "GET", "/keys", token=mint(own)) == 200
    assert status(own, "GET", "/keys") == 200


# ---- keys

USES = {"encrypt": {"alg": "A256GCM", "value": "AAAA"}, "wrapkey": {"alg": "A256KW", "value": "A" * 43}}


def test_window(own):
    """Before nbf and after exp, each with the leeway: new data is refused, old data stays readable."""
    from_s = int(own.clock.now()) + 7200
    until_s = from_s + 7200
    key = own.ok("POST", "/keys/window/create", {"kty": "oct", "key_size": 256})
    signer = own.ok("POST", "/keys/window-ec/create", {"kty": "EC"})
    old = {op: own.ok("POST", f"/keys/window/{op}", body) for op, body in USES.items()}
    signed = own.ok("POST", "/keys/window-ec/sign", {"alg": "ES256", "value": "A" * 43})["value"]
    window = {"attributes": {"nbf": from_s, "exp": until_s}}
    own.ok("PATCH", "/keys/window/", window)
    own.ok("PATCH", "/keys/window-ec/", window)

    def look(open_for_use, text=None):
        for op, body in USES.items():
            r = own.call("POST", f"/keys/window/{op}", body)
            assert r.status_code == (200 if open_for_use else 403), r.text
            if text:
                assert own.error(r) == ("Forbidden", f"Operation is not allowed on {text}.")
        assert status(own, "POST", "/keys/window-ec/sign", {"alg": "ES256", "value": "A" * 43}) == \
            (200 if open_for_use else 403)
        back = {"encrypt": "decrypt", "wrapkey": "unwrapkey"}
        for op, r in old.items():
            more = {k: r[k] for k in ("iv", "tag") if k in r}
            assert own.ok("POST", f"/keys/window/{back[op]}", {"alg": USES[op]["alg"], "value": r["value"],
                                                               **more})["value"] == USES[op]["value"]
        assert own.ok("POST", "/keys/window-ec/verify", {"alg": "ES256", "digest": "A" * 43, "value": signed})["value"]
        assert own.ok("GET", "/keys/window")["key"] == key["key"]
        assert own.ok("GET", "/keys/window-ec")["attributes"]["created"] == signer["attributes"]["created"]
    look(False, "a key that is not yet valid")
    to_come = from_s - own.clock.now()
    own.clock.advance(seconds=to_come - SKEW - 10)
    look(False, "a key that is not yet valid")
    own.clock.advance(seconds=20)
    look(True)
    own.clock.advance(seconds=7200 + 2 * SKEW - 30)
    look(True)
    own.clock.advance(seconds=30)
    look(False, "an expired key")
    own.ok("PATCH", "/keys/window/", {"attributes": {"exp": until_s + 86400}})
    own.ok("PATCH", "/keys/window-ec/", {"attributes": {"exp": until_s + 86400}})
    look(True)


# ---- retention

def test_the_end_of_the_retention(own):
    """Each deleted key goes at its own date, with all versions; one that was recovered stays."""
    for name in ("gone", "stays", "later"):
        own.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
        own.ok("POST", f"/keys/{name}/create", {"kty": "EC"})
    gone = own.ok("DELETE", "/keys/gone")
    assert gone["scheduledPurgeDate"] == gone["deletedDate"] + 90 * 86400
    own.ok("DELETE", "/keys/stays")
    own.clock.advance(days=1)
    own.ok("DELETE", "/keys/later")
    own.clock.advance(days=88, hours=23)
    own.ok("POST", "/deletedkeys/stays/recover")
    time.sleep(1.2)  # it has looked at least once
    assert own.ok("GET", "/deletedkeys/gone") == gone
    own.clock.advance(hours=1)
    eventually(lambda: status(own, "GET", "/deletedkeys/gone") == 404)
    assert status(own, "GET", "/keys/gone") == 404 and own.ok("GET", "/keys/gone/versions")["value"] == []
    assert status(own, "POST", "/deletedkeys/gone/recover") == 404
    own.ok("POST", "/keys/gone/create", {"kty": "EC"})
    assert len(own.ok("GET", "/keys/gone/versions")["value"]) == 1, "the name is free"
    assert status(own, "GET", "/deletedkeys/later") == 200
    assert len(own.ok("GET", "/keys/stays/versions")["value"]) == 2
    own.clock.advance(days=1)
    eventually(lambda: status(own, "GET", "/deletedkeys/later") == 404)
    own.clock.advance(days=90)
    time.sleep(1.2)
    assert status(own, "GET", "/keys/stays") == 200


def test_many_end_together_also_while_it_is_stopped(own):
    names = [f"end-{i}" for i in range(12)]
    for n in names:
        own.ok("POST", f"/keys/{n}/create", {"kty": "EC"})
        own.ok("DELETE", f"/keys/{n}")
    own.down()
    own.clock.advance(days=91)
    own.up()
    eventually(lambda: own.ok("GET", "/deletedkeys")["value"] == [])
    assert {n for n in names if status(own, "GET", f"/deletedkeys/{n}") != 404} == set()


def test_a_clock_that_was_wrong_for_a_moment(own):
    """Set on and back before anything fell due: nothing has happened, and the dates are as they were."""
    own.ok("POST", "/keys/back/create", {"kty": "EC"})
    before = own.ok("DELETE", "/keys/back")
    own.clock.advance(days=80)
    assert status(own, "GET", "/keys") == 200
    own.clock.advance(days=-80)
    time.sleep(1.2)
    now = own.ok("GET", "/deletedkeys/back")
    assert [now[k] for k in ("deletedDate", "scheduledPurgeDate")] == \
        [before[k] for k in ("deletedDate", "scheduledPurgeDate")]
    own.ok("POST", "/deletedkeys/back/recover")


# ---- roles, audit

def test_rights_do_not_age(own):
    guest = own.env["KEYHOLD_GUEST_OID"]
    own.ok("POST", "/keys/aged/create", {"kty": "EC"})
    kept = own.assign(keyhold.CRYPTO_USER, guest, "/keys/aged").json()
    gone = own.assign(keyhold.CRYPTO_USER, guest, "/keys/window").json()
    path = "/providers/Microsoft.Authorization/roleAssignments/"
    assert status(own, "GET", "/keys/window", token=own.guest_token()) == 200
    own.ok("DELETE", f"/keys/window{path}{gone['name']}")
    for days in (30, -1):
        own.clock.advance(days=days)
        assert status(own, "GET", "/keys/window", token=own.guest_token()) == 403
        assert status(own, "GET", "/keys/aged", token=own.guest_token()) == 200
    own.ok("DELETE", f"/keys/aged{path}{kept['name']}")
    assert status(own, "GET", "/keys/aged", token=own.guest_token()) == 403


def test_the_audit_log_follows_and_holds(own):
    times = []
    for line in (own.home / "partition-0/audit/audit.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "time" in record:
            times.append(record["time"])
    assert max(times) > min(times[:3]) and times != sorted(times), "it was set on and back in here"
    assert own.cli("audit", "verify").returncode == 0
