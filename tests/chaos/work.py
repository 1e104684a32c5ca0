"""Clients that change and use one pool at the same time, and the history of what they asked and were told."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import random
import socket
import ssl
import threading
import time
import urllib.parse
import uuid

import keyhold

UNKNOWN = "?"
WRAP = {"alg": "A256KW", "value": base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")}
LIFE_UNKNOWN_MAX = 6  # of one key; then it is only looked at
WAIT = 5  # for one answer; longer than a partition lets a request wait


class Lost(Exception):
    """No answer, or one that does not say what happened."""


class Tokens:
    """Shared by all clients; fetched again when the service does not like them any more (moved clocks)."""

    def __init__(self, pool):
        self.pool = pool
        self.lock = threading.Lock()
        self.fetched = 0.0
        self.failure = None
        e = pool.env
        self.who = {"admin": (e["KEYHOLD_CLIENT_ID"], e["KEYHOLD_CLIENT_SECRET"]),
                    "worker": (e["KEYHOLD_GUEST_CLIENT_ID"], e["KEYHOLD_GUEST_CLIENT_SECRET"])}
        self.text = {}
        self.refresh()

    def refresh(self):
        with self.lock:
            if time.monotonic() - self.fetched < 0.3:
                return
            self.pool.forget_tokens()
            with contextlib.suppress(OSError, AssertionError):
                self.text = {name: self.pool.token(*who) for name, who in self.who.items()}
                self.fetched = time.monotonic()


class Line:
    """One connection to the pool's port, which some partition has got; a new one when it broke."""

    def __init__(self, world, tokens):
        self.world, self.tokens = world, tokens
        self.pool = world.pool
        self.tls = ssl.create_default_context(cafile=self.pool.ca)
        self.http = None
        self.number = None

    def close(self):
        if self.http:
            self.http.close()
        self.http = self.number = None

    def open(self):
        c = http.client.HTTPSConnection("localhost", self.pool.port, timeout=WAIT, context=self.tls)
        s = socket.create_connection(("127.0.0.1", self.pool.port), timeout=WAIT)
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c.sock = self.tls.wrap_socket(s, server_hostname=self.pool.host.partition(":")[0])
        except BaseException:
            s.close()
            raise
        self.http = c

    def partition(self):
        """Whose connection it is: who has the other end of its socket."""
        if self.number is None and self.http and self.http.sock:
            here = f"0100007F:{self.http.sock.getsockname()[1]:04X}"
            there = f"0100007F:{self.pool.port:04X}"
            for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
                f = row.split()
                if f[1] == there and f[2] == here:
                    self.number = self._owner(f"socket:[{f[9]}]")
        return self.number

    def _owner(self, link):
        for name, pid in self.pool.pids().items():
            if not name.startswith("gateway"):
                continue
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(f"/proc/{pid}/fd/{fd}") == link:
                            return int(name.partition("-")[2] or 0)
        return None

    def request(self, method, path, body=None, who="admin"):
        """Status and body of the answer, or Lost."""
        try:
            if self.http is None:
                self.open()
            head = {"Authorization": f"Bearer {self.tokens.text[who]}", "Host": self.pool.host}
            data = None
            if body is not None:
                data, head["Content-Type"] = json.dumps(body), "application/json"
            self.http.request(method, f"{path}?api-version={keyhold.API}", data, head)
            r = self.http.getresponse()
            text = r.read()
        except (OSError, http.client.HTTPException) as e:
            self.close()
            raise Lost(repr(e)) from e
        self.partition()
        if r.getheader("Connection", "").lower() == "close":
            self.close()
        if r.status == 401:
            self.tokens.refresh()
        return r.status, json.loads(text) if text else None


def reach(world, tokens, number, timeout=20):
    """A line to that partition."""
    end = time.monotonic() + timeout
    line = Line(world, tokens)
    while True:
        with contextlib.suppress(Lost):
            if line.request("GET", "/keys")[0] == 200 and line.partition() == number:
                return line
        line.close()
        assert time.monotonic() < end, f"partition {number} is not reached\n{world.pool.logs()}"
        time.sleep(0.01)


class History:
    """Requests on the objects of one epoch. Objects: register/NAME, role/NAME, life/NAME; NAME is a key's."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.rows = []
        self.odd = []  # answers that no client should ever see
        self.codes = {}
        self.unknown = {}  # object -> writes whose outcome is not known

    def add(self, **row):
        with self.lock:
            self.rows.append(row)
            if row["out"] == UNKNOWN and row["op"] not in ("get", "read", "use"):
                self.unknown[row["object"]] = self.unknown.get(row["object"], 0) + 1

    def count(self, status):
        with self.lock:
            self.codes[status] = self.codes.get(status, 0) + 1

    def write(self):
        with open(self.path, "w") as f:
            for row in self.rows:
                f.write(json.dumps(row) + "\n")


class Doer:
    """Makes requests on one line and writes them down."""

    def __init__(self, world, tokens, history, client, line=None):
        self.history, self.client = history, client
        self.line = line or Line(world, tokens)
        self.lost = 0  # since it was last looked at

    def do(self, target, op, given, method, path, body=None, who="admin", judge=None):
        """judge(status, body): the outcome, or None when that answer says nothing. Returns the outcome."""
        start = time.monotonic_ns()
        status = None
        try:
            status, answer = self.line.request(method, path, body, who)
            out = judge(status, answer)
        except Lost:
            out = UNKNOWN
        end = time.monotonic_ns()
        self.history.count(status)
        if status == 500 or (out is None and status not in (401, 429, 503)):
            self.history.odd.append(f"{method} {path} {who}: {status} {answer}")
        if status in (401, 429):  # refused before anything else
            return None
        if out in (None, UNKNOWN):
            self.lost += 1
        self.history.add(object=target, op=op, **{"in": given}, out=out or UNKNOWN, client=self.client, start=start, end=end,
                         partition=self.line.number, status=status)
        return out

    # ---- registers
    def read(self, name):
        def judge(status, answer):
            return answer.get("tags", {}).get("value", "") if status == 200 else None
        return self.do(f"register/{name}", "read", "", "GET", f"/keys/{name}", judge=judge)

    def write(self, name, value):
        def judge(status, answer):
            return answer["tags"]["value"] if status == 200 else None
        return self.do(f"register/{name}", "write", value, "PATCH", f"/keys/{name}", {"tags": {"value": value}}, judge=judge)

    # ---- role assignments
    def use(self, name):
        def judge(status, answer):
            return {200: "ok", 403: "refused"}.get(status)
        return self.do(f"role/{name}", "use", "", "POST", f"/keys/{name}/wrapkey", WRAP, "worker", judge)

    def put(self, name, assignment, principal):
        def judge(status, answer):
            if status == 201:
                return "ok"
            return "exists" if status == 400 and answer["error"]["code"] == "RoleAssignmentExists" else None
        body = {"properties": {"principalId": principal, "roleDefinitionId":
                               "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/" + keyhold.CRYPTO_USER}}
        return self.do(f"role/{name}", "put", assignment, "PUT", assignment_path(name, assignment), body, judge=judge)

    def delete(self, name, assignment):
        def judge(status, answer):
            return {200: "ok", 204: "absent", 404: "absent"}.get(status)
        return self.do(f"role/{name}", "delete", assignment, "DELETE", assignment_path(name, assignment), judge=judge)

    # ---- lives
    def live(self, name, op):
        def judge(status, answer):
            if status == 409 and op == "create":
                return "conflict"
            return {200: "ok", 404: "absent"}.get(status)
        method, path, body = {"create": ("POST", f"/keys/{name}/create", {"kty": "oct-HSM", "key_size": 256}),
                              "delete": ("DELETE", f"/keys/{name}", None),
                              "recover": ("POST", f"/deletedkeys/{name}/recover", None),
                              "get": ("GET", f"/keys/{name}", None)}[op]
        return self.do(f"life/{name}", op, "", method, path, body, judge=judge)


def assignment_path(name, assignment):
    return f"/keys/{name}/providers/Microsoft.Authorization/roleAssignments/{urllib.parse.quote(assignment)}"


class Client(threading.Thread):
    """Asks at random until it is stopped. Of one key it alone gives and takes the worker's right."""

    def __init__(self, number, rng, doer, epoch):
        super().__init__(daemon=True)
        self.number, self.rng, self.doer, self.epoch = number, rng, doer, epoch
        self.halt = threading.Event()
        self.failure = None
        self.written = 0
        own = epoch.roles[number:number + 1]
        self.own = own[0] if own else None
        self.names = {}  # assignment -> "there" or "perhaps"; what is gone for good is not in it

    def run(self):
        try:
            while not self.halt.is_set():
                self.step()
                self.halt.wait(self.pause())
        except BaseException as e:  # noqa: BLE001
            self.failure = e
        finally:
            self.doer.line.close()

    def pause(self):
        """Writes without outcome make a history hard to check: after one it waits a moment."""
        rows = self.doer.lost
        self.doer.lost = 0
        return self.rng.uniform(0.1, 0.3) if rows else self.rng.uniform(0, 0.02)

    def step(self):
        rng, d, e = self.rng, self.doer, self.epoch
        if rng.random() < 0.02:
            d.line.close()  # and to another partition
        dice = rng.random()
        if self.own and dice < 0.2:
            self.administer()
        elif dice < 0.55:
            d.use(rng.choice(e.roles))
        elif dice < 0.88:
            name = rng.choice(e.registers)
            if rng.random() < 0.5:
                d.read(name)
            else:
                self.written += 1
                d.write(name, f"{self.number}-{e.number}-{self.written}")
        else:
            name = rng.choice(e.lives)
            op = rng.choice(["create", "delete", "delete", "recover", "recover", "get", "get"])
            if op != "get" and e.history.unknown.get(f"life/{name}", 0) >= LIFE_UNKNOWN_MAX:
                op = "get"
            d.live(name, op)

    def administer(self):
        d = self.doer
        if not self.names:
            name = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            out = d.put(self.own, name, self.epoch.principal)
            if out == "ok":
                self.names[name] = "there"
            elif out is None or out == UNKNOWN:
                self.names[name] = "perhaps"
            return
        name = self.rng.choice(list(self.names))
        out = d.delete(self.own, name)
        # What was there and is absent was deleted by an earlier try. What never was may still come.
        if out == "ok" or (out == "absent" and self.names[name] == "there"):
            del self.names[name]
        elif out == "absent" and self.rng.random() < 0.2:
            self.names[name] = "given up"
            if all(v == "given up" for v in self.names.values()):
                self.names.clear()


class Epoch:
    """Some rounds on keys of their own."""

    def __init__(self, number, history, world, tokens):
        self.number, self.history = number, history
        self.registers = [f"r{number}-{i}" for i in range(3)]
        self.roles = [f"w{number}-{i}" for i in range(3)]
        self.lives = [f"l{number}-{i}" for i in range(2)]
        self.principal = world.pool.env["KEYHOLD_GUEST_OID"]
        line = Line(world, tokens)
        for name in self.registers + self.roles:
            end = time.monotonic() + 30
            while True:  # a try that was lost may have made it: another version of it does not matter
                with contextlib.suppress(Lost):
                    status, body = line.request("POST", f"/keys/{name}/create", {"kty": "oct-HSM", "key_size": 256})
                    if status == 200:
                        break
                assert time.monotonic() < end, f"{name} cannot be made"
                time.sleep(0.05)
        line.close()
