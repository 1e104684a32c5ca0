"""One pool on three hosts: network namespaces with addresses of their own behind a bridge, a configuration each, no door on
two of them. One host's network is cut and comes back."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import pytest
import urllib3
from test_memory_scan import b64u, ec_jwk, fields_of, forms, oct_jwk, rsa_jwk, scan

import keyhold
import testbuild
from capture import Capture

PORT, PEER_PORT = 8443, 7443
POOL = "hosts"


def has_namespaces():
    """In a chroot ip(8) cannot enter the namespaces that it makes."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"kh-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return False
    works = subprocess.run(["ip", "netns", "exec", name, "true"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return works


pytestmark = pytest.mark.skipif(not has_namespaces(), reason="needs root, ip(8) and namespaces that it can enter")


def ip(*args, check=True):
    return subprocess.run(["ip", *map(str, args)], check=check, capture_output=True, text=True)


class Network:
    """A bridge in the test's own namespace, and a namespace for each host."""

    def __init__(self, hosts=3):
        self.tag = f"kh{os.getpid() % 10000:04d}"
        self.net = f"10.213.{os.getpid() % 250 + 1}"
        self.hosts = range(hosts)

    def address(self, i):
        return f"{self.net}.{i + 1}"

    def space(self, i):
        return f"{self.tag}n{i}"

    def __enter__(self):
        bridge = f"{self.tag}br"
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", f"{self.net}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for i in self.hosts:
            ip("netns", "add", self.space(i))
            ip("link", "add", f"{self.tag}o{i}", "type", "veth", "peer", "name", "eth0", "netns", self.space(i))
            ip("link", "set", f"{self.tag}o{i}", "master", bridge, "up")
            ip("-n", self.space(i), "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
            ip("-n", self.space(i), "link", "set", "eth0", "up")
            ip("-n", self.space(i), "link", "set", "lo", "up")
        return self

    def __exit__(self, *exc):
        for i in self.hosts:
            ip("netns", "del", self.space(i), check=False)
            ip("link", "del", f"{self.tag}o{i}", check=False)
        ip("link", "del", f"{self.tag}br", check=False)

    def cut(self, i, is_cut=True):
        ip("link", "set", f"{self.tag}o{i}", "down" if is_cut else "up")

    def inside(self, i, *command, **kw):
        return subprocess.run(["ip", "netns", "exec", self.space(i), *map(str, command)], capture_output=True, text=True,
                              timeout=90, **kw)


ASK = """
import sys, urllib3
ip, name, ca, token, path = sys.argv[1:]
p = urllib3.HTTPSConnectionPool(ip, 8443, ca_certs=ca, server_hostname=name, assert_hostname=name, retries=False, timeout=10)
print(p.request("GET", path, headers={"Host": name + ":8443", "Authorization": "Bearer " + token}).status)
"""


class Hosts:
    def __init__(self, network, bindir):
        self.n, self.bin = network, bindir
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="kh-hosts-"))
        self.supervisors = {}

    def home(self, i):
        return self.root / str(i)

    def cli(self, i, *args):
        r = self.n.inside(i, self.bin / "keyhold", "--home", self.home(i), *args)
        assert r.returncode == 0, f"{args}\n{r.stdout}{r.stderr}\n{self.log(i)}"
        return r.stdout

    def log(self, i):
        return "\n".join(f"--- {f.name}\n" + "\n".join(f.read_text().splitlines()[-15:])
                         for f in sorted((self.home(i) / "log").glob("*.log")))

    def config(self, i, **more):
        peers = [{"number": k, "peer": f"{self.n.address(k)}:{PEER_PORT}", "rack": f"rack-{k}"} for k in self.n.hosts]
        self.home(i).mkdir(mode=0o700, exist_ok=True)
        (self.home(i) / "config.json").write_text(json.dumps({
            "name": POOL, "tenant": "00000000-0000-0000-0000-000000000000", "port": PORT, "loops": 1, "partitions": peers,
            "local": [i], "listen": f"{self.n.address(i)}:{PORT}", **more}))

    def make_first(self):
        self.config(0)
        self.cli(0, "up")
        self.tenant = json.loads((self.home(0) / "config.json").read_text())["tenant"]

    def make_other(self, i):
        """As packaging/README.md says: a configuration, and what is copied from the first host."""
        self.cli(0, "partition", "certificate", i)
        self.config(i, fabric=False, issuer=f"{self.n.address(0)}:{PORT}", tenant=self.tenant)
        (self.home(i) / "pki").mkdir()
        (self.home(i) / "log").mkdir()
        for name in ("pki/ca.pem", "pki/server.pem", "pki/server.key", "pool.json", "admission.key"):
            shutil.copy2(self.home(0) / name, self.home(i) / name)
        shutil.move(self.home(0) / f"partition-{i}", self.home(i) / f"partition-{i}")
        self.start(i)

    def start(self, i):
        with open(self.home(i) / "log/supervisor.log", "a") as log:
            self.supervisors[i] = subprocess.Popen(
                ["ip", "netns", "exec", self.n.space(i), self.bin / "keyhold-supervisor", "--home", self.home(i),
                 "--bindir", self.bin], stderr=log)

    def wait(self, what, timeout=40):
        end = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < end, "\n".join(f"=== host {i}\n{self.log(i)}" for i in self.n.hosts)
            time.sleep(0.1)

    def status(self, i):
        r = self.n.inside(i, self.bin / "keyhold", "--home", self.home(i), "pool", "status", "-o", "json")
        return json.loads(r.stdout) if r.returncode == 0 else None

    def is_ready(self, i):
        s = self.status(i)
        return s is not None and s["leader"] >= 0 and s["partitions"][i]["state"] == "ready"

    def stop(self):
        with contextlib.suppress(Exception):
            self.cli(0, "down")
        for p in self.supervisors.values():
            p.send_signal(signal.SIGTERM)
        for p in self.supervisors.values():
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    # ---- clients
    @property
    def ca(self):
        return str(self.home(0) / "pki/ca.pem")

    def connection(self, i, name):
        return urllib3.HTTPSConnectionPool(self.n.address(i), PORT, ca_certs=self.ca, server_hostname=name, assert_hostname=name,
                                           retries=False, timeout=10)

    def token(self, who):
        d = self.env
        body = urllib.parse.urlencode({
            "grant_type": "client_credentials", "client_id": d[f"KEYHOLD_{who}CLIENT_ID"],
            "client_secret": d[f"KEYHOLD_{who}CLIENT_SECRET"], "scope": f"https://managedhsm.localhost:{PORT}/.default"})
        r = self.connection(0, "localhost").request("POST", f"/{d['KEYHOLD_TENANT']}/oauth2/v2.0/token", body=body, headers={
            "Host": f"localhost:{PORT}", "Content-Type": "application/x-www-form-urlencoded"})
        assert r.status == 200, r.data
        return json.loads(r.data)["access_token"]

    def call(self, i, method, path, body=None, token=None):
        host = f"{POOL}.managedhsm.localhost"
        headers = {"Host": f"{host}:{PORT}", "Authorization": f"Bearer {token or self.admin}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self.connection(i, host) as c:
            r = c.request(method, f"{path}?api-version={keyhold.API}", body=json.dumps(body) if body is not None else None,
                          headers=headers)
            return r.status, json.loads(r.data) if r.data else None

    def inside_status(self, i, path, token):
        """What a client on that host itself gets."""
        r = self.n.inside(i, sys.executable, "-c", ASK, self.n.address(i), f"{POOL}.managedhsm.localhost", self.ca, token,
                          f"{path}?api-version={keyhold.API}")
        return int(r.stdout) if r.returncode == 0 else r.stderr

    def activate(self):
        self.cli(0, "activate")
        self.env = dict(line.removeprefix("export ").replace("'", "").split("=", 1)
                        for line in self.cli(0, "env").splitlines() if line.startswith("export "))
        self.admin, self.guest = self.token(""), self.token("GUEST_")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def hosts(work):
    """Every packet between the hosts is kept from the first one on, and the bytes of every key that a boundary makes."""
    assert testbuild.BOUNDARY.exists(), f"{testbuild.BOUNDARY} is not built"
    with Network() as network, contextlib.ExitStack() as stack:
        h = Hosts(network, testbuild.bindir(work / "bin", keylog=work / "keylog"))
        h.captures = [stack.enter_context(Capture(work / f"capture-{i}", f"{network.tag}o{i}")) for i in network.hosts]
        try:
            h.make_first()
            for i in (1, 2):
                h.make_other(i)
            for i in network.hosts:
                h.wait(lambda: h.is_ready(i))
            h.activate()
            yield h
        finally:
            h.stop()


def assignment(n):
    return f"/keys/spread/providers/Microsoft.Authorization/roleAssignments/0000000{n}-2222-4222-8222-222222222222"


def assign(h, host, n, role, principal):
    status, answer = h.call(host, "PUT", assignment(n), {"properties": {
        "roleDefinitionId": f"Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId": principal}})
    assert status == 201, answer


def test_three_hosts_are_one_pool(hosts):
    h = hosts
    assert h.cli(0, "role", "assignment", "create", "--role", "Managed HSM Crypto User", "--assignee", h.env["KEYHOLD_ADMIN_OID"])
    status, made = h.call(1, "POST", "/keys/spread/create", {"kty": "EC-HSM", "crv": "P-256"})
    assert status == 200, made
    for i in h.n.hosts:
        assert h.call(i, "GET", "/keys/spread") == (200, made)
    leader = h.status(0)["leader"]
    assert [h.status(i)["leader"] for i in h.n.hosts] == [leader] * 3
    s = h.status(1)
    assert [p["state"] for p in s["partitions"]] == ["linked", "ready", "linked"] and [p["rack"] for p in s["partitions"]] == [
        "rack-0", "rack-1", "rack-2"]
    assert not any("rack" in w for w in s["warnings"])
    assert not (h.home(1) / "fabric").exists() and not (h.home(1) / "pki/ca.key").exists()


@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_a_host_that_is_cut_off(hosts, whom):
    """It answers nothing from old state; the others go on; afterwards it has what they did."""
    h = hosts
    leader = h.status(1)["leader"]
    # the host with the identity provider stays: it leads or not, tokens are fetched before
    cut = leader if whom == "leader" else next(i for i in h.n.hosts if i != leader)
    others = [i for i in h.n.hosts if i != cut]
    n = {"leader": 1, "follower": 2}[whom]
    assign(h, cut, n, keyhold.CRYPTO_USER, h.env["KEYHOLD_GUEST_OID"])
    for i in h.n.hosts:
        assert h.call(i, "GET", "/keys/spread", token=h.guest)[0] == 200
    h.n.cut(cut)
    try:
        began = time.monotonic()

        def is_revoked():
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return h.call(others[0], "DELETE", assignment(n))[0] in (200, 404)
        h.wait(is_revoked, 20)
        print(f"{whom} cut off: a change went through after {time.monotonic() - began:.1f} s")
        for i in others:
            assert h.call(i, "GET", "/keys/spread", token=h.guest)[0] == 403
        assert h.inside_status(cut, "/keys/spread", h.guest) == 503, "no answer from state that may be old"
        assert h.call(others[1], "POST", f"/keys/while-{whom}/create", {"kty": "oct-HSM", "key_size": 256})[0] == 200
        h.wait(lambda: h.status(others[0])["partitions"][cut]["state"] == "no link")
    finally:
        h.n.cut(cut, False)

    def is_back():
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return h.call(cut, "GET", f"/keys/while-{whom}")[0] == 200
    h.wait(is_back, 20)
    assert h.call(cut, "GET", "/keys/spread", token=h.guest)[0] == 403


def test_a_host_that_restarts(hosts):
    """Its seal opens: nobody is asked for anything."""
    h = hosts
    h.supervisors[2].send_signal(signal.SIGTERM)
    h.supervisors[2].wait(20)
    assert h.call(0, "POST", "/keys/meanwhile/create", {"kty": "oct-HSM", "key_size": 256})[0] == 200
    h.start(2)
    h.wait(lambda: h.is_ready(2))
    assert h.call(2, "GET", "/keys/meanwhile")[0] == 200


def test_no_key_between_the_hosts_or_on_their_disks(hosts, work):
    """Three boundaries joined, keys were made and used on every host, others imported; one host restarted."""
    h = hosts
    assert h.cli(0, "role", "assignment", "create", "--role", "Managed HSM Crypto Officer", "--assignee", h.env["KEYHOLD_ADMIN_OID"])
    known = []
    for i, (jwk, secrets) in enumerate((rsa_jwk(), ec_jwk(), oct_jwk(32))):
        known += secrets
        status, answer = h.call(i, "PUT", f"/keys/in-{i}", {"key": jwk})
        assert status == 200, answer
        for k in h.n.hosts:  # a write is known everywhere once it was answered
            assert h.call(k, "GET", f"/keys/in-{i}")[0] == 200
        assert h.call(i, "POST", f"/keys/made-{i}/create", {"kty": "oct-HSM", "key_size": 256})[0] == 200
        for k in h.n.hosts:
            value = {"alg": "A256KW", "value": b64u(os.urandom(32))}
            assert h.call(k, "POST", f"/keys/made-{i}/wrapkey", value)[0] == 200
    marker = os.urandom(32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(marker, (h.n.address(1), 9))  # what the scanner has to find
    time.sleep(0.3)
    files = [c.path for c in h.captures]
    parts = [bytes.fromhex(line) for line in (work / "keylog").read_text().split()]
    assert len(parts) > 5
    secrets = known + [s for part in parts for s in fields_of(part).values()]
    patterns = [f for s in secrets for f in forms(s)]
    for c in h.captures:
        c.flush()
        assert c.dropped() == 0
        assert PEER_PORT.to_bytes(2, "big") in c.path.read_bytes()[:1 << 16], "nothing of the links was captured"
    finds, searched, _ = scan(work, [marker], files)
    assert finds and searched > 1 << 18, "the capture misses what went by"
    finds, _, _ = scan(work, patterns, files)
    assert not finds, finds[:5]
    on_disk = [f for i in h.n.hosts for f in h.home(i).rglob("*") if f.is_file()]
    assert sum("store" in f.parts for f in on_disk) > 6
    finds, _, _ = scan(work, patterns, on_disk)
    assert not finds, finds[:5]
