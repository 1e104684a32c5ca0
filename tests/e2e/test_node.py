"""The node of an installation: pools that come and go beside the first one, asked over run/node.sock as the fabric does it."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import time

import pytest
import requests

import keyhold


class Node:
    def __init__(self, pool):
        self.pool = pool

    def line(self, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.pool.home / "run/node.sock"))
            s.sendall(text if isinstance(text, bytes) else text.encode() + b"\n")
            s.shutdown(socket.SHUT_WR)
            with s.makefile() as f:
                return json.loads(f.readline() or "null")

    def ask(self, op, **members):
        return self.line(json.dumps({"op": op, **members}))

    def ok(self, op, **members):
        answer = self.ask(op, **members)
        assert answer["ok"] is True, answer
        return answer

    def refused(self, code, op, **members):
        answer = self.ask(op, **members)
        assert answer["ok"] is False and answer["code"] == code, answer
        return answer["text"]

    def wanted(self, partitions=3, **more):
        return {"tenant": self.pool.env["KEYHOLD_TENANT"], "administrators": [self.pool.env["KEYHOLD_ADMIN_OID"]],
                "retentionDays": 7, "purgeProtection": False, "region": "westeurope",
                "partitions": [{"rack": r} for r in "abcdefghi"[:partitions]], **more}

    def states(self):
        return {p["name"]: p["state"] for p in self.ok("status")["pools"]}

    def wait(self, name, state, timeout=20):
        end = time.monotonic() + timeout
        while True:
            p = next((p for p in self.ok("status")["pools"] if p["name"] == name), None)
            if p and p["state"] == state and (state != "running" or p["ready"] == p["partitions"]):
                return p
            assert time.monotonic() < end, f"{p}\n{self.pool.logs()}\n{logs(self.pool.home / 'pools' / name)}"
            time.sleep(0.02)

    def start(self, name):
        self.ok("start", name=name)
        return self.wait(name, "running")

    def stop(self, name):
        self.ok("stop", name=name)
        return self.wait(name, "stopped")

    def folder(self, name):
        return self.pool.home / "pools" / name


def logs(home):
    return "\n".join(f"--- {f}\n" + "\n".join(f.read_text(errors="replace").splitlines()[-10:]) for f in sorted(home.glob("log/*.log")))


class Other(keyhold.Pool):
    """A further pool of that installation, for requests and commands."""

    def __init__(self, first, name):
        super().__init__(name=name, home=first.home, port=first.port)
        self.first = first
        self._env = first.env

    def cli(self, *args, **kw):
        return super().cli("--pool", self.name, *args, **kw)


@pytest.fixture(scope="module")
def first():
    with keyhold.Pool(name="first") as p:
        yield p


@pytest.fixture
def node(first):
    n = Node(first)
    yield n
    for name, state in n.states().items():
        if name != "first":
            n.stop(name)
            n.ok("purge", name=name)


def all_pids(home):
    """Everything whose command line has that path, as it is."""
    found = {}
    for p in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if p.name.isdigit() and str(home).encode() in (p / "cmdline").read_bytes() and b"keyhold-" in (p / "cmdline").read_bytes():
                found[int(p.name)] = (p / "cmdline").read_bytes().split(b"\0")
    return found


def gone(pids, timeout=5):
    end = time.monotonic() + timeout
    while any(pathlib.Path(f"/proc/{p}").exists() and "State:\tZ" not in pathlib.Path(f"/proc/{p}/status").read_text() for p in pids):
        assert time.monotonic() < end, pids
        time.sleep(0.01)


def refused_at_once(pool):
    began = time.monotonic()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with socket.create_connection(("127.0.0.1", pool.port)) as s:
            ssl.create_default_context(cafile=pool.ca).wrap_socket(s, server_hostname=f"{pool.name}.managedhsm.localhost")
    assert time.monotonic() - began < 1


def test_life_of_a_pool(node, first):
    began = time.monotonic()
    node.ok("make", name="second", pool=node.wanted())
    assert node.states() == {"first": "running", "second": "stopped"}
    second = Other(first, "second")
    refused_at_once(second)
    p = node.start("second")
    took = time.monotonic() - began
    print(f"a pool of three partitions serves after {took:.2f} s")
    assert took < 10 and p["ready"] == 3 and p["activation"] == "NotActivated" and p["text"] == ""
    second.cli("activate")
    end = time.monotonic() + 5
    while node.wait("second", "running")["activation"] != "Active":
        assert time.monotonic() < end
    for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
        assert second.assign(role, first.env["KEYHOLD_ADMIN_OID"]).status_code == 201
    made = second.ok("POST", "/keys/kept/create", {"kty": "EC-HSM", "crv": "P-256"})
    assert made["key"]["kid"].startswith(f"https://second.managedhsm.localhost:{first.port}/keys/kept/")
    assert first.call("GET", "/keys/kept").status_code in (403, 404), "the other pool knows neither key nor role"
    node.stop("second")
    refused_at_once(second)
    assert all("second" not in k for k in first.pids())
    node.start("second")
    second.session = requests.Session()
    second.session.trust_env = False
    assert second.ok("GET", "/keys/kept") == made
    node.stop("second")
    node.ok("purge", name="second")
    assert not list((first.home / "pools").iterdir())
    node.ok("purge", name="second")  # it is done
    refused_at_once(second)
    assert first.ok("GET", "/providers/Microsoft.Authorization/roleDefinitions?")["value"]


def test_two_pools_share_nothing(node, first):
    for name in ("second", "third"):
        node.ok("make", name=name, pool=node.wanted(partitions=2))
        node.start(name)
    configs = [json.loads((h / "config.json").read_text()) for h in (first.home, node.folder("second"), node.folder("third"))]
    ports = [p["peer"] for c in configs for p in c.get("partitions", [])]
    assert len(set(ports)) == len(ports) == 4
    keys = [(h / "admission.key").read_bytes() for h in (node.folder("second"), node.folder("third"))]
    cas = [(h / "pki/ca.pem").read_bytes() for h in (first.home, node.folder("second"), node.folder("third"))]
    servers = [(h / "pki/server.key").read_bytes() for h in (first.home, node.folder("second"), node.folder("third"))]
    assert len(set(keys)) == 2 and len(set(cas)) == len(set(servers)) == 3
    parts = {k.rsplit("-", 1)[0] if k[-1].isdigit() else k for k in first.pids()}
    assert {"second:pool", "second:gateway", "second:boundary", "third:pool", "third:gateway", "third:boundary"} <= parts
    for name in ("second", "third"):
        mark = str(node.folder(name)).encode()
        other = str(node.folder("third" if name == "second" else "second")).encode()
        for argv in all_pids(node.folder(name)).values():
            assert not any(other in a for a in argv) and any(mark in a for a in argv)
    # the certificate of one does not serve for the other
    with socket.create_connection(("127.0.0.1", first.port)) as s:
        tls = ssl.create_default_context(cafile=first.ca).wrap_socket(s, server_hostname="second.managedhsm.localhost")
        assert {v for k, v in tls.getpeercert()["subjectAltName"]} == {"second.managedhsm.localhost", "second.managedhsm.azure.net"}
        tls.close()


def test_made_once(node, first):
    want = node.wanted(partitions=1)
    node.ok("make", name="second", pool=want)
    node.ok("make", name="second", pool=want)
    before = sorted(str(f) for f in node.folder("second").rglob("*"))
    assert "already" in node.refused("conflict", "make", name="second", pool={**want, "retentionDays": 8})
    assert "already" in node.refused("conflict", "make", name="SECOND", pool={**want, "region": "x"})
    assert "already" in node.refused("conflict", "make", name="first", pool=want)
    assert sorted(str(f) for f in node.folder("second").rglob("*")) == before
    assert node.folder("second").stat().st_mode & 0o777 == 0o700
    assert all(f.stat().st_mode & 0o077 == 0 for f in node.folder("second").iterdir())


@pytest.mark.parametrize("name", ["", "ab", "a" * 25, "1abc", "a..b", "../x", "a/b", ".new-x", "a_b", "a b", "-abc", "abc-", "a--b", "é" * 5])
def test_names(node, first, name):
    before = sorted(str(f) for f in first.home.rglob("*") if "/run/" not in str(f))
    node.refused("bad", "make", name=name, pool=node.wanted())
    for op in ("start", "stop", "configure"):
        assert node.ask(op, name=name)["code"] in ("not-found", "bad")
    node.ask("purge", name=name)  # there is none
    assert sorted(str(f) for f in first.home.rglob("*") if "/run/" not in str(f)) == before


@pytest.mark.parametrize("members", [
    {"tenant": "x"}, {"tenant": None}, {"administrators": []}, {"administrators": ["x"]}, {"administrators": "x"},
    {"administrators": ["00000000-0000-0000-0000-000000000001"] * 11}, {"retentionDays": 6}, {"retentionDays": 91},
    {"retentionDays": "7"}, {"purgeProtection": "yes"}, {"region": ""}, {"region": "a b"}, {"region": "x" * 40},
    {"partitions": []}, {"partitions": [{}] * 10}, {"partitions": ["a"]}, {"partitions": [{"rack": "a\nb"}]},
    {"partitions": [{"rack": "x" * 33}]}, {"issuers": {}}, {"issuers": ["x"]}])
def test_values(node, members):
    want = {k: v for k, v in {**node.wanted(), **members}.items()}
    node.refused("bad", "make", name="second", pool=want)
    assert not node.folder("second").exists()


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"op":1}', '{"op":"status","op":"status"}', '{"op":"no"}', '{"op":"make"}',
                                  '{"op":"make","name":"second"}', '{"op":"make","name":"second","pool":[]}', '{"op":"start"}',
                                  '{"op":"start","name":7}', '{"op":"configure","name":"first"}', '{"op":"status"', "\0\0",
                                  '{"op":"configure","name":"first","settings":[]}', "[" * 5000, "x" * 70000])
def test_hostile_lines(node, line):
    with contextlib.suppress(ConnectionError):
        answer = node.line(line)
        assert answer["ok"] is False and answer["code"] == "bad", answer
    assert node.states() == {"first": "running"}


def test_many_that_say_nothing(node):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for s in silent:
            s.connect(str(node.pool.home / "run/node.sock"))
            with contextlib.suppress(BrokenPipeError):
                s.sendall(b'{"op":')
        end = time.monotonic() + 15  # their places are given to others in time
        while True:
            with contextlib.suppress(ConnectionError, TypeError, AttributeError):
                if (node.line('{"op":"status"}') or {}).get("ok"):
                    break
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        for s in silent:
            s.close()


def test_settings(node, first):
    node.ok("make", name="second", pool=node.wanted(partitions=1))
    node.ok("configure", name="second", settings={"purgeProtection": True, "network": {"publicNetworkAccess": "Enabled"}})
    assert json.loads((node.folder("second") / "settings.json").read_text())["purgeProtection"] is True
    assert json.loads((node.folder("second") / "network.json").read_text()) == {"publicNetworkAccess": "Enabled"}


def test_commands_of_a_pool(node, first):
    node.ok("make", name="second", pool=node.wanted(partitions=2))
    node.start("second")
    text = first.cli("pool", "list").stdout
    assert "first" in text and "second" in text and "2 of 2 partitions" in text
    assert [p["name"] for p in json.loads(first.cli("pool", "list", "-o", "json").stdout)] == ["first", "second"]
    assert "second" in first.cli("status").stdout
    second = Other(first, "second")
    assert json.loads(second.cli("status", "-o", "json").stdout)["pool"] == "second"
    assert "(NotActivated)" in second.cli("status").stdout
    second.cli("activate")
    assert "custodians" in os.listdir(node.folder("second"))
    assert second.cli("partition", "add").stdout == "partition 2 serves\n"
    assert len(json.loads(second.cli("pool", "status", "-o", "json").stdout)["partitions"]) == 3
    assert "was removed" in second.cli("partition", "remove", 0).stdout
    r = second.cli("role", "assignment", "create", "--role", "Managed HSM Crypto User", "--assignee", first.env["KEYHOLD_ADMIN_OID"])
    assert r.returncode == 0
    first.cli("key", "create", "--hsm-name", "SECOND", "--name", "k", "--kty", "EC-HSM")
    assert "/keys/k" in first.cli("key", "list", "--hsm-name", "second").stdout
    second.cli("audit", "verify", "--partition", 1)
    r = first.cli("--pool", "nobody", "status", check=False)
    assert r.returncode == 3 and "there is no pool nobody" in r.stderr
    r = first.cli("key", "list", "--hsm-name", "nobody", check=False)
    assert r.returncode == 1 and "is first, not nobody" in r.stderr


def test_kills(node, first):
    """Whoever is killed leaves no orphan; what was wanted goes on."""
    node.ok("make", name="second", pool=node.wanted(partitions=2))
    node.ok("make", name="third", pool=node.wanted(partitions=1))
    node.start("second")
    # the pool's supervisor
    before = all_pids(node.folder("second"))
    os.kill(first.pids()["second:pool"], signal.SIGKILL)
    gone(before)
    node.wait("second", "running")
    assert not set(before) & set(all_pids(node.folder("second")))
    # the node: everybody
    before = all_pids(first.home)
    os.kill(first.pids()["supervisor"], signal.SIGKILL)
    gone(before)
    # what a crash may leave
    (first.home / "pools/.purge-old/partition-0").mkdir(parents=True)
    (first.home / "pools/.purge-old/partition-0/seal").write_text("x")
    (first.home / "pools/.new-half").mkdir()
    first.up()
    assert node.wait("second", "running")["ready"] == 2
    assert node.states() == {"first": "running", "second": "running", "third": "stopped"}
    assert sorted(os.listdir(first.home / "pools")) == ["second", "third"]
    first.down()
    assert all_pids(first.home) == {}
    first.up()
    node.wait("second", "running")
    assert node.states()["third"] == "stopped"
    first.forget_tokens()


def test_what_cannot_be_purged(node):
    node.ok("make", name="second", pool=node.wanted(partitions=1))
    node.start("second")
    node.refused("conflict", "purge", name="second")
    node.ok("stop", name="second")
    answer = node.ask("purge", name="second")
    assert answer["ok"] or answer["code"] == "busy"
    end = time.monotonic() + 10
    while not node.ask("purge", name="second")["ok"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert not node.folder("second").exists()


def test_one_that_cannot_start(node, first):
    node.ok("make", name="second", pool=node.wanted(partitions=1))
    config = node.folder("second") / "config.json"
    good = config.read_text()
    config.write_text("{")
    node.ok("start", name="second")
    p = node.wait("second", "failed")
    assert "prepare.log" in p["text"] and "not a valid configuration" in (node.folder("second") / "log/prepare.log").read_text()
    assert node.states()["first"] == "running"
    config.write_text(good)
    node.start("second")


def test_a_home_with_a_long_path(tmp_path):
    home = tmp_path / ("x" * max(1, 70 - len(str(tmp_path)) - 1))
    p = keyhold.Pool(name="long", home=home, partitions=1)
    try:
        p.up()
        n = Node(p)
        assert "too long" in n.refused("failed", "make", name="a" * 24, pool=n.wanted())
    finally:
        p.stop()
        shutil.rmtree(home, ignore_errors=True)


def test_the_first_pool_is_destroyed():
    """The installation goes on, with further pools and with none."""
    with keyhold.Pool(name="only", partitions=1) as p:
        n = Node(p)
        n.ok("make", name="second", pool=n.wanted(partitions=1))
        n.start("second")
        n.refused("conflict", "purge", name="only")
        n.stop("only")
        refused_at_once(p)
        assert "stopped" in p.cli("status").stdout
        p.down()
        p.up()
        assert n.wait("only", "stopped") and n.wait("second", "running")
        n.start("only")
        n.stop("only")
        n.ok("purge", name="only")
        n.ok("purge", name="only")
        left = {f.name for f in p.home.iterdir()}
        assert not left & {"partition-0", "admission.key", "pool.json", "audit-key.pem"} and {"config.json", "fabric", "pki"} <= left
        assert not list(p.home.glob("run/gateway-*")) and not list(p.home.glob("run/pool-state*"))
        n.refused("not-found", "start", name="only")
        assert n.states() == {"second": "running"}
        p.down()
        p.up()
        n.wait("second", "running")
        assert n.states() == {"second": "running"} and not (p.home / "partition-0").exists()
        assert p.token()
        n.ok("make", name="only", pool=n.wanted(partitions=1))
        n.start("only")
        assert Other(p, "only").call("GET", "/keys").status_code == 403


def test_private_endpoints(node, first):
    """The door opens the listeners that are wanted, in the order of the node's list; a new door, and a new node, too."""
    node.ok("make", name="second", pool=node.wanted(partitions=1))
    node.start("second")
    port = keyhold.free_port()
    entry = {"id": "/s/pe1", "pool": "second", "address": "127.0.0.1", "port": port, "device": "lo"}

    def listens(at):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", at), timeout=2):
            return True
        return False

    def eventually(what):
        end = time.monotonic() + 10
        while not what():
            assert time.monotonic() < end, first.logs()
            time.sleep(0.02)
    for bad in ({"id": "a b"}, {"pool": "x"}, {"port": 0}, {"address": ""}, {"device": 7}):
        node.refused("bad", "endpoints", list=[{**entry, **bad}])
    node.refused("bad", "endpoints", list=[entry, entry])
    node.refused("bad", "endpoints")
    node.ok("endpoints", list=[entry])
    node.ok("endpoints", list=[entry])
    eventually(lambda: listens(port))
    os.kill(first.pids()["door"], signal.SIGKILL)
    eventually(lambda: not listens(port))
    eventually(lambda: listens(port))
    first.down()
    assert not listens(port)
    first.up()
    eventually(lambda: listens(port))
    other = keyhold.free_port()
    node.ok("endpoints", list=[{**entry, "port": other}])
    eventually(lambda: listens(other) and not listens(port))
    node.ok("endpoints", list=[])
    eventually(lambda: not listens(other))


def test_usage(node, first):
    node.ok("make", name="second", pool=node.wanted(partitions=2))
    node.refused("busy", "usage", name="second")
    node.refused("not-found", "usage", name="nobody")
    node.start("second")
    assert node.ok("usage", name="second")["keys"] == {}
    second = Other(first, "second")
    second.cli("activate")
    for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
        assert second.assign(role, first.env["KEYHOLD_ADMIN_OID"]).status_code == 201
    for name, body in (("a", {"kty": "EC-HSM", "crv": "P-256"}), ("a", {"kty": "EC-HSM", "crv": "P-256K"}),
                       ("b", {"kty": "oct-HSM", "key_size": 256}), ("c", {"kty": "RSA-HSM", "key_size": 2048})):
        second.ok("POST", f"/keys/{name}/create", body)
    end = time.monotonic() + 5
    want = {"EC-P-256": 1, "EC-P-256K": 1, "RSA-2048": 1, "oct-256": 1}
    while node.ok("usage", name="second")["keys"] != want:
        assert time.monotonic() < end, node.ok("usage", name="second")
    before = node.ok("usage", name="second")["operations"]
    assert before >= 6
    second.ok("GET", "/keys/a")
    assert node.ok("usage", name="second")["operations"] >= before + 1
    second.ok("DELETE", "/keys/c")
    assert node.ok("usage", name="second")["keys"] == want, "until it is purged"
    second.ok("DELETE", "/deletedkeys/c")
    end = time.monotonic() + 5
    while "RSA-2048" in node.ok("usage", name="second")["keys"]:
        assert time.monotonic() < end
