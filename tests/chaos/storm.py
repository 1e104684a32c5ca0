"""Writes against a pool, and what must be true of it afterwards.

Every thread of a storm owns its keys and keeps, per key, what the service acknowledged. A write that got
no answer may have happened or not: the key is left alone until the next check, which accepts either state,
but nothing in between."""
import base64
import copy
import hashlib
import json
import os
import threading
import time
import uuid

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import keyhold

CURVES = {"P-256": (ec.SECP256R1, "ES256", "sha256", hashes.SHA256, 32),
          "P-384": (ec.SECP384R1, "ES384", "sha384", hashes.SHA384, 48)}


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def unb64u(s):
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


class Lost(Exception):
    """No answer, or one that does not say whether the write happened."""


class Client:
    """Requests of one thread."""

    def __init__(self, pool):
        self.pool = pool
        self.answered = []  # (request id, status)
        self.fresh_session()

    def fresh_session(self):
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method, path, body=None, timeout=30, **kw):
        try:
            r = self.pool.call(method, path, body, session=self.session, timeout=timeout, **kw)
        except requests.RequestException as e:
            self.fresh_session()
            raise Lost(str(e)) from e
        self.answered.append((r.headers.get("x-ms-request-id"), r.status_code))
        if r.status_code >= 500 or r.status_code == 429:
            raise Lost(f"{r.status_code} {r.text}")
        return r

    def ok(self, method, path, body=None, **kw):
        r = self.call(method, path, body, **kw)
        assert 200 <= r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}"
        return r.json() if r.content else None


def version_of(key):
    """What is compared of a key version: everything the service says of it but lifecycle times."""
    k = key["key"]
    return {"id": k["kid"].rsplit("/", 1)[1], "jwk": {n: k[n] for n in k if n != "kid"},
            "attributes": {n: v for n, v in key["attributes"].items() if n != "updated"},
            "tags": key.get("tags", {})}


def states(key):
    return [key["now"], key["maybe"]] if "maybe" in key else [key["now"]]


class Writer(threading.Thread):
    """One thread of a storm. key: {"name", "now": state, "maybe": state after an unanswered write}; state:
    None (absent) or {"deleted": bool, "versions": [...]}; unknown version ids are None in a "maybe"."""

    def __init__(self, pool, number, rng, round_no, most=60):
        """most: keys that it makes (a pool holds 5,000 at most)."""
        super().__init__(daemon=True)
        self.client = Client(pool)
        self.pool, self.rng, self.prefix = pool, rng, f"s{round_no}-{number}"
        self.keys, self.roles, self.wrapped = [], [], []
        self.most = most
        self.made = self.acked = self.lost = 0
        self.stop = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.step()
        except BaseException as e:  # noqa: BLE001  shown by the test's thread
            self.failure = e

    def attempt(self, subject, after, method, path, body=None):
        """after: the state when it happened. Returns the answer, or None when it got lost."""
        try:
            r = self.client.ok(method, path, body)
            self.acked += 1
            return r if r is not None else {}
        except Lost:
            self.lost += 1
            subject["maybe"] = after
            self.stop.wait(0.05)
            return None

    def step(self):
        settled = [k for k in self.keys if "maybe" not in k]
        live = [k for k in settled if k["now"] and not k["now"]["deleted"]]
        dead = [k for k in settled if k["now"] and k["now"]["deleted"]]
        what = self.rng.choices(["create", "version", "update", "delete", "recover", "purge", "assign", "unassign",
                                 "wrap"], [30, 12, 20, 8, 4, 4, 8, 4, 8])[0]
        if self.made < self.most and (what == "create" or not live):
            self.create()
        elif what == "create" and live:
            self.version(self.rng.choice(live))
        elif not live:
            self.assign()
        elif what == "version":
            self.version(self.rng.choice(live))
        elif what == "update":
            self.update(self.rng.choice(live))
        elif what == "delete":
            self.delete(self.rng.choice(live))
        elif what in ("recover", "purge") and dead:
            self.undelete(self.rng.choice(dead), what)
        elif what == "assign":
            self.assign()
        elif what == "unassign" and [r for r in self.roles if r["now"] and "maybe" not in r]:
            self.unassign(self.rng.choice([r for r in self.roles if r["now"] and "maybe" not in r]))
        elif what == "wrap":
            self.wrap(self.rng.choice(live))

    def create_body(self):
        body = {"kty": "oct-HSM", "key_size": self.rng.choice([128, 192, 256])}
        if self.rng.random() < 0.6:
            body = {"kty": "EC-HSM", "crv": self.rng.choice(list(CURVES))}
        body["tags"] = {f"t{i}": self.rng.randbytes(self.rng.randrange(40)).hex() for i in range(self.rng.randrange(4))}
        body["attributes"] = {"exp": 4000000000 + self.rng.randrange(1000)}
        return body

    def create(self):
        self.made += 1
        key = {"name": f"{self.prefix}-{self.made}", "now": None}
        self.keys.append(key)
        unknown = {"deleted": False, "versions": [None]}
        r = self.attempt(key, unknown, "POST", f"/keys/{key['name']}/create", self.create_body())
        if r is not None:
            key["now"] = {"deleted": False, "versions": [version_of(r)]}

    def version(self, key):
        after = copy.deepcopy(key["now"])
        after["versions"].append(None)
        r = self.attempt(key, after, "POST", f"/keys/{key['name']}/create", self.create_body())
        if r is not None:
            key["now"]["versions"].append(version_of(r))

    def update(self, key):
        after = copy.deepcopy(key["now"])
        v = self.rng.choice(after["versions"])
        v["tags"] = {"u": self.rng.randbytes(20).hex(), f"v{self.rng.randrange(5)}": ""}
        v["attributes"]["exp"] = 4000000000 + self.rng.randrange(100000)
        body = {"tags": v["tags"], "attributes": {"exp": v["attributes"]["exp"]}}
        r = self.attempt(key, after, "PATCH", f"/keys/{key['name']}/{v['id']}", body)
        if r is not None:
            assert version_of(r) == v, (version_of(r), v)
            key["now"] = after

    def delete(self, key):
        after = {**copy.deepcopy(key["now"]), "deleted": True}
        if self.attempt(key, after, "DELETE", f"/keys/{key['name']}") is not None:
            key["now"] = after

    def undelete(self, key, what):
        after = {**copy.deepcopy(key["now"]), "deleted": False} if what == "recover" else None
        path = f"/deletedkeys/{key['name']}"
        r = (self.attempt(key, after, "POST", path + "/recover") if what == "recover" else
             self.attempt(key, after, "DELETE", path))
        if r is not None:
            key["now"] = after

    @staticmethod
    def role_path(role):
        return f"{role['scope']}/providers/Microsoft.Authorization/roleAssignments/{role['name']}"

    def assign(self):
        role = {"name": str(uuid.UUID(bytes=self.rng.randbytes(16), version=4)), "now": None,
                "scope": f"/keys/{self.prefix}-r{len(self.roles)}"}
        principal = str(uuid.UUID(bytes=self.rng.randbytes(16), version=4))
        self.roles.append(role)
        body = {"properties": {"principalId": principal, "roleDefinitionId":
                "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/" + keyhold.CRYPTO_USER}}
        if self.attempt(role, principal, "PUT", self.role_path(role), body) is not None:
            role["now"] = principal

    def unassign(self, role):
        if self.attempt(role, None, "DELETE", self.role_path(role)) is not None:
            role["now"] = None

    def wrap(self, key):
        v = self.rng.choice(key["now"]["versions"])
        if v["jwk"]["kty"] != "oct-HSM":
            return
        secret = os.urandom(32)
        for alg in ("A128KW", "A192KW", "A256KW"):
            try:
                r = self.client.call("POST", f"/keys/{key['name']}/{v['id']}/wrapkey",
                                     {"alg": alg, "value": b64u(secret)})
            except Lost:
                return
            if r.status_code == 200:
                self.wrapped.append((key, v["id"], alg, secret, r.json()["value"]))
                return


class Checker:
    """Compares a pool with what writers know. Every write without an answer is settled here."""

    def __init__(self, pool):
        self.client = Client(pool)
        self.settled = 0

    def get(self, path):
        r = self.client.call("GET", path)
        return r.json() if r.status_code == 200 else None

    def pages(self, path):
        items = []
        while path:
            page = self.client.ok("GET", path)
            items += page["value"]
            nxt = page.get("nextLink")
            path = nxt and "/" + nxt.split("/", 3)[3].replace(f"api-version={keyhold.API}&", "")
        return items

    def observed(self, name):
        """State of a key; asserts that all ways to look at it agree."""
        current, gone = self.get(f"/keys/{name}"), self.get(f"/deletedkeys/{name}")
        assert not (current and gone), f"{name} is there and deleted at once"
        if not current:
            assert not self.pages(f"/keys/{name}/versions"), f"{name} has versions but no key"
            if gone:
                assert gone["recoveryId"].endswith(f"/deletedkeys/{name}") and gone["deletedDate"] > 0
                return {"deleted": True, "current": version_of(gone)}
            return None
        listed = self.pages(f"/keys/{name}/versions")
        versions = []
        for item in listed:
            one = self.get(f"/keys/{name}/" + item["kid"].rsplit("/", 1)[1])
            assert one, f"{name}: a listed version is not there"
            assert one["attributes"] == item["attributes"] and one.get("tags") == item.get("tags")
            versions.append(version_of(one))
        now = version_of(current)
        assert now in versions, f"{name}: the current version is not listed"
        return {"deleted": False, "current": now, "versions": versions}

    @staticmethod
    def matches(expected, seen):
        """expected as a Writer keeps it. Unknown (None) versions take what is there beyond the known ones."""
        if expected is None or seen is None:
            return expected is None and seen is None
        if expected["deleted"] != seen["deleted"]:
            return False
        last = expected["versions"][-1]
        if expected["deleted"]:
            return last is None or seen["current"] == last
        known = {v["id"]: v for v in expected["versions"] if v}
        got = {v["id"]: v for v in seen["versions"]}
        if len(got) != len(expected["versions"]) or any(got.get(i) != v for i, v in known.items()):
            return False
        return seen["current"] == last if last else seen["current"]["id"] not in known

    def key(self, key):
        seen = self.observed(key["name"])
        fits = [s for s in states(key) if self.matches(s, seen)]
        assert fits, f"{key['name']}\nis       {json.dumps(seen)}\nexpected {json.dumps(states(key))}"
        self.settled += "maybe" in key
        key.pop("maybe", None)
        state = copy.deepcopy(fits[0])
        if state:
            found = {v["id"] for v in state["versions"] if v}
            extra = [v for v in seen.get("versions", [seen["current"]]) if v["id"] not in found]
            state["versions"] = [v or extra.pop() for v in state["versions"]]
        key["now"] = state
        if state and not state["deleted"]:
            for v in state["versions"]:
                self.use(key["name"], v)

    def use(self, name, v):
        if v["jwk"]["kty"] == "EC-HSM":
            curve, alg, digest_name, hash_type, size = CURVES[v["jwk"]["crv"]]
            digest = hashlib.new(digest_name, name.encode() + os.urandom(8)).digest()
            r = self.client.ok("POST", f"/keys/{name}/{v['id']}/sign", {"alg": alg, "value": b64u(digest)})
            raw = unb64u(r["value"])
            public = ec.EllipticCurvePublicNumbers(int.from_bytes(unb64u(v["jwk"]["x"]), "big"),
                                                   int.from_bytes(unb64u(v["jwk"]["y"]), "big"), curve()).public_key()
            der = utils.encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))
            try:
                public.verify(der, digest, ec.ECDSA(utils.Prehashed(hash_type())))
            except InvalidSignature as e:
                raise AssertionError(f"{name}/{v['id']}: wrong signature") from e
            return
        secret = os.urandom(32)
        for alg in ("A128KW", "A192KW", "A256KW"):
            r = self.client.call("POST", f"/keys/{name}/{v['id']}/wrapkey", {"alg": alg, "value": b64u(secret)})
            if r.status_code == 200:
                back = self.client.ok("POST", f"/keys/{name}/{v['id']}/unwrapkey",
                                      {"alg": alg, "value": r.json()["value"]})
                assert unb64u(back["value"]) == secret
                return
        raise AssertionError(f"{name}/{v['id']} wraps with no algorithm")

    def writer(self, w, keys=None):
        for key in w.keys if keys is None else keys:
            self.key(key)
        for role in w.roles:
            seen = self.get(Writer.role_path(role))
            principal = seen and seen["properties"]["principalId"]
            assert principal in states(role), f"role assignment {role}: {principal}"
            self.settled += "maybe" in role
            role.pop("maybe", None)
            role["now"] = principal
        for key, vid, alg, secret, value in w.wrapped:
            if key["now"] and not key["now"]["deleted"]:
                r = self.client.ok("POST", f"/keys/{key['name']}/{vid}/unwrapkey", {"alg": alg, "value": value})
                assert unb64u(r["value"]) == secret, f"{key['name']}: unwraps to something else"

    def nothing_else(self, writers):
        """The lists name exactly the keys and assignments that writers know."""
        for path, deleted in (("/keys", False), ("/deletedkeys", True)):
            listed = {i["kid"].split("/keys/", 1)[1].split("/")[0] for i in self.pages(path)}
            known = {k["name"] for w in writers for k in w.keys if k["now"] and k["now"]["deleted"] == deleted}
            assert listed == known, f"{path}: too many {listed - known}, missing {known - listed}"
        for r in (r for w in writers for r in w.roles):
            rows = self.client.ok("GET", r["scope"] + "/providers/Microsoft.Authorization/roleAssignments")["value"]
            here = {i["name"]: i["properties"]["principalId"] for i in rows if i["properties"]["scope"] == r["scope"]}
            assert here == ({r["name"]: r["now"]} if r["now"] else {}), f"role assignments at {r['scope']}: {here}"


def audit_lines(pool):
    with open(pool.home / "partition-0/audit/audit.jsonl", "rb") as f:
        return [json.loads(line) for line in f]


def check_audit(pool, clients):
    """Every answered request is in the log, with the status the client saw; the log verifies."""
    logged = {}
    for r in audit_lines(pool):
        if "checkpoint" not in r:
            logged[r["correlationId"]] = r["httpStatusCode"]
    missing = [(i, s) for c in clients for i, s in c.answered
               if i is not None and s < 500 and logged.get(i) != s]
    assert not missing, f"{len(missing)} answered requests are not in the audit log: {missing[:5]}"
    time.sleep(1.6)  # a checkpoint follows within a second
    r = pool.cli("audit", "verify", check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def wait_serving(pool, timeout=40):
    """Until an authenticated request succeeds; returns the seconds it took."""
    start, client, last = time.monotonic(), Client(pool), None
    while time.monotonic() - start < timeout:
        try:
            r = client.call("GET", "/keys?maxresults=1", timeout=5)
            if r.status_code == 200:
                return time.monotonic() - start
            last = f"{r.status_code} {r.text}"
        except Lost as e:
            last = str(e)
        time.sleep(0.05)
    raise AssertionError(f"the pool does not come back: {last}\n{pool.logs()}")


def new_pool(name, **kw):
    pool = keyhold.Pool(name=name, **kw)
    try:
        pool.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert pool.assign(role, pool.env["KEYHOLD_ADMIN_OID"]).status_code == 201
    except BaseException:
        pool.stop()  # a failed set-up leaves no processes behind
        raise
    return pool
