"""What a pool is made with: retention, purge protection, administrators. Fixed from then on."""
import json
import shutil
import time

import pytest

import keyhold
from test_clock import eventually, status

AUTHZ = "/providers/Microsoft.Authorization/roleAssignments"
CASES = {  # days, purge protection: recoveryLevel
    (90, False): "Recoverable+Purgeable", (7, False): "CustomizedRecoverable+Purgeable",
    (90, True): "Recoverable", (7, True): "CustomizedRecoverable",
}


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{'on' if c[1] else 'off'}")
def case(request):
    days, protected = request.param
    options = ([] if days == 90 else ["--retention-days", days]) + (["--purge-protection"] if protected else [])
    p = keyhold.Pool(name="made", options=options, clocked=True)
    try:
        p.start()
        assert p.assign(keyhold.CRYPTO_OFFICER, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        assert p.assign(keyhold.CRYPTO_USER, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p, days, protected
    finally:
        p.stop()


def refused_up(pool, *options, says, status=1):
    r = pool.cli("up", *options, check=False)
    assert r.returncode == status and says in r.stderr, r.stdout + r.stderr


def test_recovery_level(case):
    pool, days, protected = case
    key = pool.ok("POST", "/keys/level/create", {"kty": "EC"})
    for attributes in (key["attributes"], pool.ok("GET", "/keys/level")["attributes"],
                       pool.ok("GET", "/keys")["value"][0]["attributes"]):
        assert (attributes["recoverableDays"], attributes["recoveryLevel"]) == (days, CASES[days, protected])
    gone = pool.ok("DELETE", "/keys/level")
    assert gone["scheduledPurgeDate"] - gone["deletedDate"] == days * 86400
    assert gone["attributes"]["recoveryLevel"] == CASES[days, protected]
    item = pool.ok("GET", "/deletedkeys")["value"][0]
    assert (item["attributes"]["recoverableDays"], item["attributes"]["recoveryLevel"]) == (days, CASES[days, protected])
    pool.ok("POST", "/deletedkeys/level/recover")


def test_status_says_it(case):
    pool, days, protected = case
    s = pool.status()
    assert (s["retentionDays"], s["purgeProtection"]) == (days, protected)
    text = pool.cli("status").stdout
    assert f"retention     {days} days, purge protection {'on' if protected else 'off'}\n" in text
    assert f"first admins  {pool.env['KEYHOLD_ADMIN_OID']}\n" in text and pool.env["KEYHOLD_USER_OID"] in text


def test_purge(case):
    """With purge protection nobody can, before the end of the retention; then the pool does it by itself."""
    pool, days, protected = case
    created = pool.ok("POST", "/keys/purged/create", {"kty": "EC"})
    pool.ok("DELETE", "/keys/purged")
    r = pool.call("DELETE", "/deletedkeys/purged")
    if not protected:
        assert r.status_code == 204
        assert status(pool, "GET", "/deletedkeys/purged") == 404
        pool.ok("POST", "/keys/purged/create", {"kty": "EC"})
        pool.ok("DELETE", "/keys/purged")
    else:
        assert (r.status_code, pool.error(r)[0]) == (403, "Forbidden") and "purge protection" in pool.error(r)[1]
        assert pool.ok("GET", "/deletedkeys/purged")["key"] == created["key"]
        pool.ok("POST", "/deletedkeys/purged/recover")
        assert pool.ok("GET", "/keys/purged")["key"] == created["key"]
        pool.ok("DELETE", "/keys/purged")
    pool.clock.advance(days=days - 1, hours=23)
    time.sleep(1.2)
    r = pool.call("DELETE", "/deletedkeys/none")
    assert r.status_code == 404
    if protected:
        assert status(pool, "DELETE", "/deletedkeys/purged") == 403
    assert status(pool, "GET", "/deletedkeys/purged") == 200
    pool.clock.advance(hours=1)
    eventually(lambda: status(pool, "GET", "/deletedkeys/purged") == 404)
    assert status(pool, "GET", "/keys/purged") == 404
    assert pool.cli("audit", "verify").returncode == 0


def test_it_is_fixed(case):
    """Neither the command nor an edited pool.json changes it."""
    pool, days, protected = case
    same = ["--retention-days", days, "--purge-protection", str(protected).lower()]
    other = 97 - days
    changed = str(not protected).lower()
    for running in (True, False):
        if not running:
            pool.down()
        refused_up(pool, "--retention-days", other, says=f"keeps deleted keys for {days} days; the retention is fixed")
        refused_up(pool, "--purge-protection", changed,
                   says=f"was made with{'' if protected else 'out'} purge protection; that is fixed")
        refused_up(pool, "--administrators", "00000000-0000-4000-8000-000000000001", says="made with other administrators")
        assert bool(pool.pids()) == running
        if running:
            assert pool.cli("up", *same).returncode == 0
    if (days, protected) == (7, True):  # the supervisor tries for some seconds
        file = pool.home / "pool.json"
        text = file.read_text()
        file.write_text(json.dumps({**json.loads(text), "purgeProtection": False}))
        refused_up(pool, says="does not stay up")
        assert "pool.json has another name, tenant, retention or purge protection" in pool.logs(100)
        file.write_text(text)
    pool.cli("up", *same)
    s = pool.status()
    assert (s["retentionDays"], s["purgeProtection"]) == (days, protected)
    assert pool.ok("POST", "/keys/still/create", {"kty": "EC"})["attributes"]["recoveryLevel"] == CASES[days, protected]


def test_administrators(custodians):
    """They alone have a right in the new pool."""
    pool = keyhold.Pool(name="admins")
    try:
        pool.start(activate=False)
        guest, admin = pool.env["KEYHOLD_GUEST_OID"], pool.env["KEYHOLD_ADMIN_OID"]
        pool.down()
        for made in ("partition-0", "run"):  # the directory of identities stays
            shutil.rmtree(pool.home / made)
        other = "00000000-0000-4000-8000-00000000ABCD"
        pool.cli("up", "--administrators", f"{guest},{other}", "--port", pool.port)
        assert f"first admins  {guest}\n              {other.lower()}\n" in pool.cli("status").stdout
        body = custodians.vector["download_request"]
        r = pool.call("POST", "/securitydomain/download", body)
        assert r.status_code == 403, r.text
        assert pool.call("POST", "/securitydomain/download", body, token=pool.guest_token()).status_code == 202
        assert pool.status()["state"] == "Active"
        assert status(pool, "GET", AUTHZ) == 403
        made = pool.ok("GET", AUTHZ, token=pool.guest_token())["value"]
        assert {a["properties"]["principalId"] for a in made} == {guest, other.lower()}
        assert all(a["properties"]["roleDefinitionId"].endswith(keyhold.ADMINISTRATOR)
                   and a["properties"]["scope"] == "/" for a in made)
        assert pool.cli("up", "--administrators", other, guest).returncode == 0, "the same ones, in another order"
        refused_up(pool, "--administrators", f"{guest},{admin}", says="made with other administrators")
    finally:
        pool.stop()


@pytest.mark.parametrize("options,says", [
    (["--retention-days", "6"], "--retention-days: 7 to 90"), (["--retention-days", "91"], "--retention-days: 7 to 90"),
    (["--retention-days", "x"], "--retention-days: 7 to 90"), (["--purge-protection", "maybe"], "takes true or false"),
    (["--administrators", "root"], "--administrators: 1 to 10 object ids"), (["--administrators"], "needs a value"),
    (["--administrators", "00000000-0000-4000-8000-000000000001,"], "--administrators: 1 to 10 object ids"),
    (["--administrators", ",".join(f"00000000-0000-4000-8000-{i:012}" for i in range(11))], "1 to 10 object ids"),
])
def test_bad_options(tmp_path, options, says):
    pool = keyhold.Pool(home=tmp_path)
    refused_up(pool, *options, says=says, status=2)
    assert pool.pids() == {} and not (tmp_path / "pool.json").exists()
