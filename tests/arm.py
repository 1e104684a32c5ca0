"""The control plane of an installation, over REST: groups, pools, operations; and what an installation leaves behind."""
import contextlib
import copy
import json
import os
import pathlib
import re
import socket
import time

import keyhold
import requests

API = "2025-05-01"  # of Microsoft.KeyVault
GROUPS = "2021-04-01"
REGION = "local"
KEYVAULT = "/providers/Microsoft.KeyVault"


class Arm:
    """Requests of one caller; by default the installation's administrator."""

    def __init__(self, pool, client=None, secret=None):
        self.pool = pool
        self.client, self.secret = client, secret
        self.subscription = pool.env["KEYHOLD_SUBSCRIPTION"]
        self.tenant = pool.env["KEYHOLD_TENANT"]
        self.at = f"/subscriptions/{self.subscription}"

    def token(self):
        return self.pool.token(self.client, self.secret, resource=f"https://localhost:{self.pool.port}/")

    def call(self, method, path, body=None, api=API, token=None, raw=None, headers=None, timeout=60):
        """path: from "/subscriptions", or a whole URL."""
        url = path if path.startswith("https://") else self.pool.url + path
        if api:
            url += f"{'&' if '?' in path else '?'}api-version={api}"
        h = {"Authorization": f"Bearer {token or self.token()}"} if token != "" else {}
        if body is not None or raw is not None:
            h["Content-Type"] = "application/json; charset=utf-8"
        h.update(headers or {})
        return self.pool.session.request(method, url, data=raw, json=body, headers=h, verify=self.pool.ca, timeout=timeout,
                                         allow_redirects=False)

    def ok(self, method, path, body=None, **kw):
        r = self.call(method, path, body, **kw)
        assert 200 <= r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}\n{self.pool.logs()}"
        return r.json() if r.content else None

    def error(self, method, path, body=None, **kw):
        """Status, code and message of a refusal."""
        r = self.call(method, path, body, **kw)
        assert r.status_code >= 400, f"{method} {path}: {r.status_code} {r.text}"
        e = r.json()["error"]
        assert isinstance(e["code"], str) and isinstance(e["message"], str) and e["message"], e
        assert r.headers["x-ms-request-id"]
        return r.status_code, e["code"], e["message"]

    def wait(self, r, timeout=60):
        """The end of an operation that was answered with 202 (or 200 and Azure-AsyncOperation): its last answer."""
        end = time.monotonic() + timeout
        while r.status_code == 202:
            assert r.headers["Retry-After"] == "1", r.headers
            url = r.headers["Location"]
            assert url.startswith("https://"), "a client follows only absolute URLs"
            assert time.monotonic() < end, f"{url}: still under way\n{self.pool.logs()}"
            time.sleep(0.05)
            r = self.call("GET", url, api=None)
        return r

    def done(self, method, path, body=None, timeout=60, **kw):
        """As ok(), and the operation that it started has succeeded."""
        r = self.wait(self.call(method, path, body, **kw), timeout)
        assert r.status_code in (200, 201, 204), f"{method} {path}: {r.status_code} {r.text}\n{self.pool.logs()}"
        return r.json() if r.content else None

    # ---- groups and pools
    def group(self, name, **more):
        return self.ok("PUT", self.group_id(name), {"location": REGION, **more}, api=GROUPS)

    def group_id(self, name):
        return f"{self.at}/resourcegroups/{name}"

    def hsm_id(self, group, name):
        return f"{self.at}/resourceGroups/{group}{KEYVAULT}/managedHSMs/{name}"

    def deleted_id(self, name):
        return f"{self.at}{KEYVAULT}/locations/{REGION}/deletedManagedHSMs/{name}"

    def hsm_body(self, **properties):
        """As az sends it; a property that is None is left out."""
        p = {"tenantId": self.tenant, "initialAdminObjectIds": [self.pool.env["KEYHOLD_ADMIN_OID"]],
             "enableSoftDelete": True, "softDeleteRetentionInDays": 7,
             "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"}, **properties}
        return {"location": REGION, "sku": {"family": "B", "name": "Standard_B1"}, "tags": {},
                "properties": {k: v for k, v in p.items() if v is not None}}

    def create(self, group, name, timeout=60, **properties):
        return self.done("PUT", self.hsm_id(group, name), self.hsm_body(**properties), timeout)

    def get(self, group, name):
        return self.ok("GET", self.hsm_id(group, name))

    def delete(self, group, name, timeout=60):
        return self.done("DELETE", self.hsm_id(group, name), timeout=timeout)

    def recover(self, group, name, timeout=60):
        return self.done("PUT", self.hsm_id(group, name), self.recovery(), timeout)

    def recovery(self):
        """As az sends it, with its capital R."""
        return {"location": REGION, "sku": {"family": "B", "name": "Standard_B1"},
                "properties": {"tenantId": self.tenant, "createMode": "Recover"}}

    def purge(self, name, timeout=60):
        return self.done("POST", self.deleted_id(name) + "/purge", timeout=timeout)

    def names(self):
        return {h["name"] for h in self.pages(f"{self.at}{KEYVAULT}/managedHSMs")}

    def deleted_names(self):
        return {h["name"] for h in self.pages(f"{self.at}{KEYVAULT}/deletedManagedHSMs")}

    def pages(self, path, **kw):
        """All items of a list, over its nextLink."""
        items, page = [], self.ok("GET", path, **kw)
        while True:
            items += page["value"]
            if not page.get("nextLink"):
                return items
            page = self.ok("GET", page["nextLink"], api=None)

    def hsm(self, name):
        """The data plane of a pool of this installation."""
        other = copy.copy(self.pool)
        other.session = requests.Session()
        other.session.trust_env = False
        other.name = name.lower()
        return other


# ---- what is left

def processes(home):
    """{pid: command line} of everything that belongs to an installation."""
    mark, found = str(home).encode(), {}
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit() and int(p.name) != os.getpid():
            try:
                argv = (p / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(argv[0]).startswith(b"keyhold") and any(mark in a for a in argv):
                found[int(p.name)] = b" ".join(argv).decode(errors="replace")
    return found


def listeners(pids):
    """Where these processes listen, TCP of both families and named Unix sockets."""
    inodes = set()
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                m = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
                inodes |= {m[1]} if m else set()
        except OSError:
            continue
    found = set()
    for file in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
            f = line.split()
            if f[3] == "0A" and f[9] in inodes:
                found.add(f"{file}:{int(f[1].rsplit(':', 1)[1], 16)}")
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        f = line.split(maxsplit=7)
        if len(f) == 8 and f[6] in inodes and int(f[3], 16) & 0x10000:
            found.add(f"unix:{f[7]}")
    return found


def descriptors(pids):
    """{pid: number of open files}"""
    counts = {}
    for pid in pids:
        try:
            counts[pid] = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
    return counts


class Residue:
    """What an installation has on this machine: processes, listeners, directories and sockets of its home. Two of them
    are compared around something that must leave nothing behind."""

    def __init__(self, home):
        home = pathlib.Path(home)
        running = processes(home)
        self.processes = sorted(self._plain(c, str(home)) for c in running.values())
        self.listeners = sorted(listeners(running))
        self.files = sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_dir() or p.is_socket())

    @staticmethod
    def _plain(command, home):
        """Without numbers of descriptors, which differ when it started again."""
        program, *more = command.split()
        return " ".join([program.rsplit("/", 1)[1], *sorted(m for m in more if home in m), *(m for m in more if m == "--pool")])

    def missing(self, before):
        """What is there now and was not there then, and the other way round; {} when nothing."""
        out = {}
        for what in ("processes", "listeners", "files"):
            old, new = list(getattr(before, what)), list(getattr(self, what))
            for x in list(new):
                if x in old:
                    old.remove(x)
                    new.remove(x)
            if old or new:
                out[what] = {"gone": old, "left": new}
        return out


def settled(home, before, timeout=30):
    """Nothing is left of what happened since; processes that just end may take their time."""
    end = time.monotonic() + timeout
    while (d := Residue(home).missing(before)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not d, d


def ask_node(home, **question):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(f"{home}/run/node.sock")
        s.sendall(json.dumps(question).encode() + b"\n")
        with s.makefile() as f:
            return json.loads(f.readline())


def wait_pool(home, name, timeout=30):
    """All partitions of a pool serve, as its node says."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError, ValueError):
            pools = {p["name"]: p for p in ask_node(home, op="status")["pools"]}
            p = pools.get(name, {})
            if p.get("state") == "running" and p["ready"] == p["partitions"]:
                return
            assert time.monotonic() < end, pools
        assert time.monotonic() < end, "the node does not answer"
        time.sleep(0.02)


def activate(pool, certificates):
    """Download the security domain of a pool with these certificates (request members), two of them open it."""
    end = time.monotonic() + 30
    body = {"certificates": certificates, "required": 2}
    # 503 while the pool cannot ask who signs tokens: the control plane may just be starting.
    while (r := pool.call("POST", "/securitydomain/download", body, api="7.4")).status_code == 503:
        assert time.monotonic() < end, r.text
        time.sleep(0.05)
    assert r.status_code == 202, r.text
    while pool.ok("GET", "/securitydomain/download/pending", api="7.4")["status"] != "Success":
        assert time.monotonic() < end
        time.sleep(0.05)
    return r.json()["value"]
