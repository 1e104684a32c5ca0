"""A running pool for tests: real processes in a temporary home, a free port, ended by pid."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import uuid

import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("KEYHOLD_BIN", ROOT / "build/release/bin"))
API = "7.6"


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


CLOCKED = BIN.parent / "tests/clock"


class Clock:
    """The wall clock of one installation, which runs the programs of the target test-clock. Moving it makes the
    tokens of the past useless, so they are forgotten."""

    def __init__(self, pool):
        if not (CLOCKED / "keyhold").exists():
            raise AssertionError(f"{CLOCKED} is missing: cmake --build --preset release --target test-clock")
        self.file = pathlib.Path(f"{pool.home}.clock")
        self.pool = pool
        self.ahead_ms = 0
        self.file.write_bytes(bytes(8))

    def now(self):
        return time.time() + self.ahead_ms / 1000

    def advance(self, **delta):
        """As datetime.timedelta(): days=7, hours=-1, ..."""
        self.set(self.ahead_ms + round(datetime.timedelta(**delta) / datetime.timedelta(milliseconds=1)))

    def set(self, ahead_ms):
        self.ahead_ms = ahead_ms
        self.pool.forget_tokens()
        with open(self.file, "r+b", buffering=0) as f:
            f.write(struct.pack("=q", ahead_ms))


class Pool:
    """One installation. Use as a context manager, or start()/stop(). options: of its first `up`. clocked: tests
    move its clock."""

    on_answer = None  # called with method, path and response of every call(); conftest.py sets it

    def __init__(self, name="e2e", home=None, port=None, bindir=BIN, cpus=None, options=(), clocked=False, partitions=1):
        self.own_home = home is None
        self.home = pathlib.Path(home or tempfile.mkdtemp(prefix="kh-"))
        self.port = port or free_port()
        self.name = name
        self.clock = Clock(self) if clocked else None
        self.bindir = pathlib.Path(CLOCKED if clocked else bindir)
        self.cpus = cpus
        self.options = [*options, "--partitions", partitions]
        self._env = None
        self._tokens = {}
        self.session = requests.Session()
        self.session.trust_env = False

    # ---- processes
    def cli(self, *args, check=True, env=None, timeout=120):
        run_env = {k: v for k, v in os.environ.items() if not k.startswith(("KEYHOLD_", "AZURE_"))}
        if self.clock:
            run_env["KEYHOLD_TEST_CLOCK"] = str(self.clock.file)
        run_env.update(env or {})
        r = subprocess.run([str(self.bindir / "keyhold"), "--home", str(self.home), *map(str, args)],
                           capture_output=True, text=True, timeout=timeout, env=run_env)
        if check and r.returncode != 0:
            raise AssertionError(f"keyhold {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}"
                                 f"\n{self.logs()}")
        return r

    def up(self):
        extra = ["--cpus", self.cpus] if self.cpus else []
        if not any(self.home.glob("partition-*/seal")):
            extra += self.options
        return self.cli("up", "--port", self.port, "--name", self.name, *extra)

    def down(self):
        return self.cli("down", check=False)

    def hurry(self):
        """The thread that prepares keys gets what nobody else wants; on a busy machine that may be nothing."""
        pid = self.pids()["boundary"]
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            if os.sched_getscheduler(int(task.name)) == os.SCHED_IDLE:
                with contextlib.suppress(PermissionError):
                    os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))

    def configure(self, **members):
        """Members of pool.json, for the next start of the boundary."""
        f = self.home / "pool.json"
        f.write_text(json.dumps({**json.loads(f.read_text()), **members}))

    def start(self, activate=True):
        self.up()
        if activate and self.status()["state"] != "Active":
            self.cli("activate")
        return self

    def stop(self):
        self.down()
        for pid in self.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        if self.own_home:
            shutil.rmtree(self.home, ignore_errors=True)
        if self.clock:
            self.clock.file.unlink(missing_ok=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    def status(self):
        return json.loads(self.cli("status", "-o", "json").stdout)

    def monitor(self, path, timeout=10):
        """Status and text of a page of the monitoring listener (options: --metrics-port)."""
        port = (self.home / "run/metrics-port").read_text().strip()
        with requests.Session() as s:
            s.trust_env = False
            r = s.get(f"http://127.0.0.1:{port}{path}", timeout=timeout)
            return r.status_code, r.text

    def logs(self, lines=25):
        out = []
        for f in sorted((self.home / "log").glob("*.log")):
            tail = f.read_text(errors="replace").splitlines()[-lines:]
            out.append(f"--- {f.name}\n" + "\n".join(tail))
        return "\n".join(out)

    def pids(self):
        """Name -> pid of this installation's processes, from /proc: "supervisor" is the node, "pool" the supervisor of the first
        pool, "boundary" and "gateway" are those of partition 0, "boundary-1" and so on of the others; those of further pools
        have the pool's name and a colon before them."""
        found = {}
        mark = str(self.home).encode()
        for p in pathlib.Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                argv = (p / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            name = os.path.basename(argv[0]).decode(errors="replace")
            if name.startswith("keyhold-") and any(mark in a for a in argv):
                partition = next((m[1] for a in argv if (m := re.search(rb"/partition-([1-9][0-9]*)/", a))), None)
                suffix = f"-{partition.decode()}" if partition else ""
                other = next((m[1].decode() + ":" for a in argv if (m := re.match(re.escape(mark) + rb"/pools/([^/]+)", a))), "")
                name = "pool" if b"--pool" in argv and name == "keyhold-supervisor" else name
                found[other + name.removeprefix("keyhold-").removesuffix("-test") + suffix] = int(p.name)
        return found

    # ---- partitions
    def pool_status(self):
        return json.loads(self.cli("pool", "status", "-o", "json").stdout)

    def partitions(self):
        return [p["number"] for p in json.loads((self.home / "config.json").read_text()).get("partitions", [{"number": 0}])]

    def partition_status(self, number):
        """The status line of one partition; None while it does not answer."""
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.home / f"run/gateway-{number}.sock"))
            with s.makefile() as f:
                return json.loads(f.readline())
        return None

    def wait_whole(self, timeout=60):
        """All partitions serve, and nothing is under way."""
        end = time.monotonic() + timeout
        while True:
            v = self.pool_status()
            if v["operation"] == "none" and v["leader"] >= 0 and all(p["state"] == "ready" for p in v["partitions"]):
                return v
            assert time.monotonic() < end, f"{v}\n{self.logs()}"
            time.sleep(0.05)

    def wait_ready(self, timeout=30):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                # With a token: the gateway alone could answer 401.
                if self.call("GET", "/keys?maxresults=1", timeout=5).status_code < 500:
                    return
            time.sleep(0.05)
        raise AssertionError("the pool does not come back\n" + self.logs())

    # ---- settings
    def read_env(self, *args):
        text = self.cli("env", *args).stdout
        return {m[1]: m[2].replace("'\\''", "'") for m in re.finditer(r"^export (\w+)='(.*)'$", text, re.M)}

    @property
    def env(self):
        if self._env is None:
            self._env = self.read_env()
        return self._env

    @property
    def ca(self):
        return str(self.home / "pki/ca.pem")

    @property
    def host(self):
        return f"{self.name}.managedhsm.localhost:{self.port}"

    @property
    def url(self):
        """What requests connects to; *.localhost needs no resolver this way."""
        return f"https://localhost:{self.port}"

    @property
    def pool_url(self):
        return f"https://{self.host}"

    def client_env(self, azure_names=False, **more):
        """Environment for az and SDK programs; azure_names: as `keyhold env --azure-names`."""
        e = {k: v for k, v in os.environ.items() if not k.startswith(("KEYHOLD_", "AZURE_", "ARM_"))}
        for k in ("http_proxy", "https_proxy", "HTTP_PROXY", "NO_PROXY", "no_proxy"):
            e.pop(k, None)
        e.update(self.read_env("--azure-names") if azure_names else self.env)
        e.update(more)
        return e

    # ---- REST
    def token(self, client_id=None, secret=None, resource=None):
        client_id = client_id or self.env["KEYHOLD_CLIENT_ID"]
        secret = secret or self.env["KEYHOLD_CLIENT_SECRET"]
        resource = resource or f"https://managedhsm.localhost:{self.port}"
        key = (client_id, resource)
        if key not in self._tokens:
            r = requests.post(f"{self.url}/{self.env['KEYHOLD_TENANT']}/oauth2/v2.0/token", verify=self.ca,
                              proxies={"https": None}, timeout=30,
                              data={"grant_type": "client_credentials", "client_id": client_id,
                                    "client_secret": secret, "scope": resource + "/.default"})
            assert r.status_code == 200, r.text
            self._tokens[key] = r.json()["access_token"]
        return self._tokens[key]

    def forget_tokens(self):
        self._tokens.clear()

    def guest_token(self):
        return self.token(self.env["KEYHOLD_GUEST_CLIENT_ID"], self.env["KEYHOLD_GUEST_CLIENT_SECRET"])

    def call(self, method, path, body=None, token=None, api=API, raw=None, headers=None, timeout=60,
             session=None):
        """A request to the pool; returns requests.Response. SNI is the pool's name, through CONNECT. Threads bring
        sessions of their own."""
        sep = "&" if "?" in path else "?"
        url = self.pool_url + path + (f"{sep}api-version={api}" if api else "")
        h = {"Authorization": f"Bearer {token or self.token()}"} if token != "" else {}
        if body is not None or raw is not None:
            h["Content-Type"] = "application/json"
        h.update(headers or {})
        data = raw if raw is not None else (json.dumps(body) if body is not None else None)
        r = (session or self.session).request(method, url, data=data, headers=h, verify=self.ca, timeout=timeout,
                                              proxies={"https": f"http://127.0.0.1:{self.port}"})
        if Pool.on_answer is not None:
            Pool.on_answer(method, path, r)
        return r

    def ok(self, method, path, body=None, **kw):
        r = self.call(method, path, body, **kw)
        assert 200 <= r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}\n{self.logs()}"
        return r.json() if r.content else None

    def error(self, r):
        e = r.json()["error"]
        assert set(e) == {"code", "message"}, e
        assert re.search(r" \(Activity ID: [0-9a-f-]{36}\)$", e["message"]), e
        return e["code"], re.sub(r" \(Activity ID: [0-9a-f-]{36}\)$", "", e["message"])

    def assign(self, role_guid, principal, scope="/", token=None):
        prefix = "" if scope == "/" else scope
        name = str(uuid.uuid4())
        return self.call("PUT", f"{prefix}/providers/Microsoft.Authorization/roleAssignments/{name}",
                         {"properties": {"roleDefinitionId": "Microsoft.KeyVault/providers/Microsoft.Authorization/"
                                         f"roleDefinitions/{role_guid}", "principalId": principal}}, token=token)


CRYPTO_USER = "21dbd100-6940-42c2-9190-5d6cb909625b"
CRYPTO_OFFICER = "515eb02d-2335-4d2d-92f2-b1cbdf9c3778"
ADMINISTRATOR = "a290e904-7015-4bba-90c8-60543313cdb4"
AUDITOR = "2c18b078-7c48-4d3a-af88-5a3a1b3f82b3"
ENCRYPTION_USER = "33413926-3206-4cdd-b39a-83574fe37a17"
