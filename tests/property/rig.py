"""A pool for tests that send thousands of requests: quick calls, callers of any name, and the question whether the state changed."""
import base64
import http.client
import json
import socket
import ssl
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

import keyhold

AUTHZ = "/providers/Microsoft.Authorization"
DEFINITION_ID = f"Microsoft.KeyVault{AUTHZ}/roleDefinitions/"
TIMEOUT = 20  # of one answer; a longer one counts as a hang


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Connection(http.client.HTTPSConnection):
    """To the pool by its name, which no resolver needs to know."""

    def __init__(self, pool):
        super().__init__(pool.host, timeout=TIMEOUT)
        self.port_there = pool.port
        self.context = ssl.create_default_context(cafile=pool.ca)
        self.name = pool.host.split(":")[0]

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port_there), timeout=TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.name)


class Callers:
    """Tokens as the identity provider makes them, for object ids of the test's choice."""

    def __init__(self, pool):
        head, payload, _ = pool.token().split(".")
        self.head, self.claims = head, json.loads(unb64u(payload))
        self.key = serialization.load_pem_private_key((pool.home / "fabric/signing.key").read_bytes(), None)
        self.made = {}

    def token(self, oid):
        if oid not in self.made:
            signed = f"{self.head}.{b64u(json.dumps({**self.claims, 'oid': oid}).encode())}"
            self.made[oid] = f"{signed}.{b64u(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
        return self.made[oid]


class Rig:
    """An activated pool whose administrator may also use, delete and purge keys."""

    def __init__(self, name):
        self.pool = keyhold.Pool(name=name)
        self.used = 0.0

    def __enter__(self):
        try:
            self.pool.start()
            self.admin = self.pool.env["KEYHOLD_ADMIN_OID"]
            for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
                assert self.pool.assign(role, self.admin).status_code == 201
            self.callers = Callers(self.pool)
            self.connection = Connection(self.pool)
        except BaseException:
            self.pool.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.connection.close()
        self.pool.stop()

    def send(self, method, target, body=None, token=None, headers=()):
        """(status, headers in lower case, body) of a request for exactly this target."""
        head = {"Authorization": f"Bearer {token or self.pool.token()}"} if token != "" else {}
        if body is not None:
            head["Content-Type"] = "application/json"
        head.update(headers)
        if time.monotonic() - self.used > 5:  # the server closes what is idle
            self.connection.close()
        self.connection.request(method, target, body, head)
        r = self.connection.getresponse()
        self.used = time.monotonic()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()

    def call(self, method, path, body=None, token=None):
        """(status, parsed body or None)"""
        sep = "&" if "?" in path else "?"
        status, _, raw = self.send(method, f"{path}{sep}api-version={keyhold.API}",
                                   None if body is None else json.dumps(body), token)
        return status, json.loads(raw) if raw else None

    def ok(self, method, path, body=None):
        status, doc = self.call(method, path, body)
        assert 200 <= status < 300, (method, path, status, doc)
        return doc

    # ---- the state
    def status(self):
        """As `keyhold status`, without starting a program."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(str(self.pool.home / "run/gateway-0.sock"))
            text = b""
            while chunk := s.recv(65536):
                text += chunk
        return json.loads(text)

    def applied(self):
        """How far the log of changes is. It also holds the audit log's position, at most once a minute."""
        return self.status()["applied"]

    def every(self, path):
        page = self.ok("GET", path)
        items = page["value"]
        while "nextLink" in page:
            page = json.loads(self.send("GET", page["nextLink"].removeprefix(self.pool.pool_url))[2])
            items += page["value"]
        return items

    def snapshot(self):
        """All that an administrator can see, in a form that can be compared."""
        found = {p: self.every(p) for p in ("/keys", "/deletedkeys", f"{AUTHZ}/roleDefinitions", f"{AUTHZ}/roleAssignments",
                                            f"/keys{AUTHZ}/roleAssignments")}
        found["/settings"] = self.ok("GET", "/settings")
        for item in found["/keys"]:
            path = item["kid"].removeprefix(self.pool.pool_url)
            found[path] = [self.ok("GET", v["kid"].removeprefix(self.pool.pool_url)) for v in self.every(path + "/versions")]
            found[path + "/rotationpolicy"] = self.ok("GET", path + "/rotationpolicy")
            found[path + "/roles"] = self.every(f"{path}{AUTHZ}/roleAssignments")
            for bundle in found[path]:
                bundle["key"]["key_ops"].sort()
        for item in found["/deletedkeys"]:
            found[item["recoveryId"]] = self.ok("GET", item["recoveryId"].removeprefix(self.pool.pool_url))
        status = self.status()
        found["status"] = {k: status[k] for k in ("state", "keys", "versions")}
        return found


class Watch:
    """Whether requests that must not change anything do change something. look() after each request is cheap: it asks how far
    the log is. settle() now and then compares everything, if only such requests were sent since the last time."""

    def __init__(self, rig):
        self.rig = rig
        self.log = rig.applied()
        self.last = rig.snapshot()
        self.may_have_changed = False
        self.pids = rig.pool.pids()

    def look(self, may_change, again):
        """again: sends the same request once more. The audit log's position cannot be due twice in a row, so a
        change that shows twice is the request's."""
        now = self.rig.applied()
        if may_change:
            self.may_have_changed = True
        elif now != self.log:
            again()
            later = self.rig.applied()
            assert later == now, f"a request that was refused, or only reads, changed the state ({self.log}, {now}, {later})"
        self.log = now

    def settle(self):
        now = self.rig.snapshot()
        if not self.may_have_changed:
            different = [k for k in now.keys() | self.last.keys() if now.get(k) != self.last.get(k)]
            assert not different, f"requests that were refused, or only read, changed {different}"
        self.last, self.may_have_changed = now, False
        assert self.rig.pool.pids() == self.pids, "a process was restarted\n" + self.rig.pool.logs()
