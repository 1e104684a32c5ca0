"""Three partitions that act as one: seen through all at once, killed, replaced, added, removed, rolled under load."""
import base64
import json
import os
import secrets
import shutil
import signal
import threading
import time

import pytest
import requests

import keyhold


@pytest.fixture(scope="module")
def three():
    p = keyhold.Pool(name="three", partitions=3)
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        p.ok("POST", "/keys/load/create", {"kty": "oct-HSM", "key_size": 256})
        yield p
    finally:
        p.stop()


def fresh_session():
    s = requests.Session()
    s.trust_env = False
    return s


class Lines:
    """Connections that together reach every partition; each stays with the one that the door gave it to."""

    def __init__(self, pool, n=6):
        self.pool = pool
        self.sessions = [fresh_session() for _ in range(n)]

    def all(self, method, path, body=None, **kw):
        return [self.pool.call(method, path, body, session=s, **kw) for s in self.sessions]


class Load:
    """Clients that keep wrapping and unwrapping a data key. A request that fails is tried once more, on a new connection."""

    def __init__(self, pool, clients=3):
        self.pool = pool
        self.failed, self.done, self.retried, self.longest = [], 0, 0, 0.0
        self.running = True
        pool.token()
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]

    def once(self, session, path, body):
        try:
            r = self.pool.call("POST", path, body, session=session, timeout=15)
        except requests.RequestException as e:
            return None, repr(e), 0
        if r.status_code >= 500:
            return None, f"{r.status_code} {r.text}", float(r.headers.get("Retry-After", 0))
        assert r.status_code == 200, r.text
        return r.json()["value"], None, 0

    def client(self):
        session = fresh_session()
        while self.running:
            value = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
            began = time.monotonic()
            for operation in ("wrapkey", "unwrapkey"):
                answer, why, pause = self.once(session, f"/keys/load/{operation}", {"alg": "A256KW", "value": value})
                if why:
                    session.close()
                    session = fresh_session()
                    self.retried += 1
                    time.sleep(min(pause, 1))
                    answer, again, _ = self.once(session, f"/keys/load/{operation}", {"alg": "A256KW", "value": value})
                    if again:
                        self.failed.append((time.monotonic() - began, why, again))
                        break
                value, sent = answer, value
            self.done += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        enough, end = self.done + 10, time.monotonic() + 30  # and it goes on afterwards
        while exc[0] is None and self.done < enough and time.monotonic() < end:
            time.sleep(0.02)
        self.running = False
        for t in self.threads:
            t.join()
        if exc[0] is None:
            assert not self.failed, self.failed[:5]
            assert self.done >= enough


def kill(pool, name):
    pid = pool.pids()[name]
    os.kill(pid, signal.SIGKILL)
    return pid


def leader(pool):
    return pool.wait_whole()["leader"]


def audit_lines(pool, number):
    f = pool.home / f"partition-{number}/audit/audit.jsonl"
    return f.read_text().splitlines()


def same_through_all(pool, path="/keys/load"):
    answers = Lines(pool).all("GET", path)
    assert [r.status_code for r in answers] == [200] * len(answers), [r.text for r in answers]
    assert len({json.dumps(r.json(), sort_keys=True) for r in answers}) == 1


def test_three_come_up(three):
    assert set(three.pids()) == {"supervisor", "pool", "door", "fabric", "boundary", "gateway", "boundary-1", "gateway-1",
                                 "boundary-2", "gateway-2"}
    v = three.wait_whole()
    assert [p["number"] for p in v["partitions"]] == [0, 1, 2]
    assert sorted(p["role"] for p in v["partitions"]) == ["follower", "follower", "leader"]
    status = three.partition_status(v["leader"])
    assert [m["role"] for m in status["raft"]["members"]] == ["voter"] * 3
    assert len({three.partition_status(n)["auditKey"] for n in (0, 1, 2)}) == 1, "one pool, one set of secrets"
    assert any("no rack labels" in w for w in v["warnings"]) and any("sealed by a file" in w for w in v["warnings"])
    text = three.cli("pool", "status").stdout
    assert f"leader        partition {v['leader']} (term " in text and "lease" in text


def test_seen_through_all_at_once(three):
    lines = Lines(three)
    assert {r.status_code for r in lines.all("GET", "/keys?maxresults=1")} == {200}
    marks = {n: len(audit_lines(three, n)) for n in (0, 1, 2)}
    for i, s in enumerate(lines.sessions):
        r = three.call("POST", f"/keys/seen-{i}/create", {"kty": "EC-HSM", "crv": "P-256"}, session=s)
        assert r.status_code == 200, r.text
        seen = lines.all("GET", f"/keys/seen-{i}")
        assert [x.status_code for x in seen] == [200] * 6
        assert {x.json()["key"]["x"] for x in seen} == {r.json()["key"]["x"]}
    time.sleep(0.3)
    for n in (0, 1, 2):
        mine = "\n".join(audit_lines(three, n)[marks[n]:])
        assert "KeyCreate" in mine and "KeyGet" in mine, f"partition {n} took part"


def test_a_revoked_role_is_refused_by_all_at_once(three):
    lines = Lines(three)
    guest = three.guest_token()
    oid = three.env["KEYHOLD_GUEST_OID"]
    for i in range(4):
        r = three.call("PUT", f"/keys/load/providers/Microsoft.Authorization/roleAssignments/0000000{i}-1111-4111-8111-111111111111", {
            "properties": {"roleDefinitionId": "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"
                           + keyhold.CRYPTO_USER, "principalId": oid}}, session=lines.sessions[i])
        assert r.status_code == 201, r.text
        assert [x.status_code for x in lines.all("GET", "/keys/load", token=guest)] == [200] * 6
        path = f"/keys/load/providers/Microsoft.Authorization/roleAssignments/0000000{i}-1111-4111-8111-111111111111"
        assert three.call("DELETE", path, session=lines.sessions[-1 - i]).status_code == 200
        assert [x.status_code for x in lines.all("GET", "/keys/load", token=guest)] == [403] * 6


@pytest.mark.parametrize("process", ["gateway", "boundary"])
@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_killed_under_load(three, process, whom):
    first = leader(three)
    number = first if whom == "leader" else next(n for n in three.partitions() if n != first)
    name = process if number == 0 else f"{process}-{number}"
    with Load(three) as load:
        time.sleep(0.3)
        old = kill(three, name)
        end = time.monotonic() + 30
        while three.pids().get(name) in (None, old):
            assert time.monotonic() < end, three.logs()
            time.sleep(0.05)
        three.wait_whole()
    assert load.longest < 5, load.longest
    assert three.partitions() == [0, 1, 2], "it was started again, not replaced"


def test_roll_and_transfer_under_load(three):
    with Load(three):
        before = three.pids()
        assert three.cli("pool", "roll").stdout.count("was restarted") == 3
        after = three.pids()
        assert not {before[n] for n in before if "-" in n or n in ("gateway", "boundary")} & set(after.values())
        now = leader(three)
        other = next(n for n in three.partitions() if n != now)
        assert three.cli("partition", "transfer", other).stdout == f"partition {other} leads\n"


def test_add_and_remove_under_load(three):
    with Load(three):
        assert three.cli("partition", "add").stdout == "partition 3 serves\n"
        three.wait_whole()
        now = leader(three)
        victim = next(n for n in three.partitions() if n not in (now, 3))
        three.cli("partition", "remove", victim)
        three.wait_whole()
        three.cli("partition", "remove", leader(three))
        assert three.cli("partition", "add").stdout == "partition 4 serves\n"
        three.wait_whole()
    assert len(three.partitions()) == 3 and {3, 4} <= set(three.partitions())
    status = three.partition_status(leader(three))
    assert sorted(m["id"] - 1 for m in status["raft"]["members"]) == three.partitions()
    same_through_all(three)


@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_a_lost_store_is_replaced_under_load(three, whom):
    first = leader(three)
    number = first if whom == "leader" else next(n for n in three.partitions() if n != first)
    fresh = json.loads((three.home / "config.json").read_text())["nextPartition"]
    with Load(three):
        name = "gateway" if number == 0 else f"gateway-{number}"
        os.kill(three.pids()[name], signal.SIGSTOP)
        shutil.rmtree(three.home / f"partition-{number}")
        began = time.monotonic()
        kill(three, name)
        end = began + 60
        while number in three.partitions() or fresh not in three.partitions():
            assert time.monotonic() < end, three.logs()
            time.sleep(0.05)
        three.wait_whole()
        took = time.monotonic() - began
    assert took < 60
    print(f"healed after {took:.1f} s")
    assert three.ok("GET", "/keys/load")
    status = three.partition_status(leader(three))
    assert sorted(m["id"] - 1 for m in status["raft"]["members"]) == three.partitions()


def test_down_and_up_again(three):
    numbers = three.partitions()
    key = three.ok("GET", "/keys/load")
    three.down()
    assert three.pids() == {}
    three.up()
    assert three.partitions() == numbers
    three.forget_tokens()
    same_through_all(three)
    os.kill(three.pids()["supervisor"], signal.SIGKILL)
    three.up()
    assert three.partitions() == numbers
    same_through_all(three)
    assert three.ok("GET", "/keys/load") == key


def test_from_one_to_three_and_down_to_another_one():
    """A pool that was made as one partition, and whose first one goes."""
    with keyhold.Pool(name="grows") as p:
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        p.ok("POST", "/keys/load/create", {"kty": "oct-HSM", "key_size": 256})
        with Load(p, clients=1):
            for n in (1, 2):
                assert p.cli("partition", "add").stdout == f"partition {n} serves\n"
            same_through_all(p)
            for n in (0, 1):
                p.cli("partition", "remove", n)
        p.down()
        p.up()
        assert p.partitions() == [2]
        p.forget_tokens()
        same_through_all(p)
        assert "the loss of one ends the service" in p.cli("pool", "status").stdout
