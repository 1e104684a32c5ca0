"""Near-misses of good requests, byte by byte, against a running pool: an answer in time, no server error, the described shape,
and nothing changes by what was refused. KEYHOLD_FUZZ_EXAMPLES: hundreds of them for each kind of good request."""
import json
import os
import random

import pytest

import apicheck
import keyhold
from furniture import GRANT, POLICIES, ROLE, Furniture, free_guid
from mutate import change
from rawhttp import Wire
from rig import AUTHZ, Rig, Watch

EXAMPLES = 10 * int(os.environ.get("KEYHOLD_FUZZ_EXAMPLES", "8"))
SEED = int(os.environ.get("KEYHOLD_FUZZ_SEED", "1"))
READS = {"Encrypt", "Decrypt", "Sign", "Verify", "WrapKey", "UnwrapKey", "GetRandomBytes", "BackupKey"}
SETTING = "AllowKeyManagementOperationsThroughARM"


@pytest.fixture(scope="module")
def rig():
    with Rig("raw") as r:
        yield r


@pytest.fixture(scope="module")
def furniture(rig):
    return Furniture(rig)


def templates(furniture):
    """name -> (method, path, body) of good requests."""
    rows = {f"{op} {key} {body['alg']}": ("POST", f"/keys/{key}/{op}", body)
            for op, key, body in furniture.bodies() if "alg" in body}
    rows.update({
        "create": ("POST", "/keys/new/create", {"kty": "EC", "crv": "P-256", "key_ops": ["sign"], "tags": {"a": "b"},
                                                "attributes": {"enabled": True, "nbf": 1, "exp": 2 ** 33}}),
        "update": ("PATCH", "/keys/rsa/", {"key_ops": ["sign", "verify"], "tags": {"a": "b"}, "attributes": {"enabled": True}}),
        "import": ("PUT", "/keys/new", {"key": {"kty": "oct", "k": "A" * 22, "key_ops": ["wrapKey"]}, "tags": {"a": "b"}}),
        "policy": ("PUT", "/keys/oct/rotationpolicy", POLICIES[0]), "restore": ("POST", "/keys/restore", {"value": furniture.backup}),
        "get": ("GET", f"/keys/ec/{furniture.versions['ec']}", None), "list": ("GET", "/keys", None),
        "versions": ("GET", "/keys/rsa/versions", None), "delete": ("DELETE", "/keys/none", None),
        "deleted": ("GET", "/deletedkeys/gone", None), "deleted list": ("GET", "/deletedkeys", None),
        "recover": ("POST", "/deletedkeys/none/recover", None), "purge": ("DELETE", "/deletedkeys/none", None),
        "definition": ("PUT", f"{AUTHZ}/roleDefinitions/{ROLE}", {"properties": {
            "roleName": "R", "description": "d", "type": "CustomRole", "assignableScopes": ["/"], "permissions": [
                {"actions": [], "dataActions": ["Microsoft.KeyVault/managedHsm/keys/read/action"]}]}}),
        "assignment": ("PUT", f"/keys/oct{AUTHZ}/roleAssignments/{free_guid(3)}", furniture.assignment()),
        "get assignment": ("GET", f"/keys/ec{AUTHZ}/roleAssignments/{GRANT}", None),
        "assignments": ("GET", f"/keys{AUTHZ}/roleAssignments", None),
        "delete assignment": ("DELETE", f"{AUTHZ}/roleAssignments/{free_guid(4)}", None),
        "download": ("POST", "/securitydomain/download", {"required": 2, "certificates": [{"x5c": ["AAAA"], "kty": "RSA"}] * 3}),
        "pending": ("GET", "/securitydomain/download/pending", None), "random": ("POST", "/rng", {"count": 16}),
        "setting": ("PATCH", f"/settings/{SETTING}", {"value": "true"}), "missing": ("POST", "/ekm/create", {"host": "x"}),
    })
    return rows


class Line:
    """One connection after the other: the server may close after a refusal."""

    def __init__(self, rig):
        self.rig, self.wire = rig, None
        self.auth = f"Authorization: Bearer {rig.pool.token()}"

    def close(self):
        if self.wire:
            self.wire.sock.close()
        self.wire = None

    def send(self, method, target, headers, body):
        """(status, headers, body) of the answer, also when the server does not read the whole request."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.rig.pool.host}", self.auth, *headers]
        if body is not None:
            if not any(h.lower().startswith("content-type") for h in headers):
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(body)}")
        text = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
        r = self.exchange(text, method)
        return r.status, {n.lower(): v for n, v in r.headers}, r.body

    def exchange(self, text, method):
        for fresh in (False, True):
            if self.wire is None:
                self.wire, fresh = Wire(self.rig.pool), True
            try:
                self.wire.send(text)
                r = self.wire.read_head() if method == "HEAD" else self.wire.read()
                while r.status == 100:
                    r = self.wire.read()
                if r.status in (400, 408, 413, 421, 431) or "close" in str(r.all("connection")):
                    self.close()
                return r
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.close()
                if fresh:
                    raise
        raise AssertionError("not reached")


def may_change(method, target, status):
    op = apicheck.description().find(method, target)
    return status < 300 and method != "GET" and (op is None or op.id.removesuffix("WithVersion") not in READS)


def wrong_with(rig, method, target, status, headers, body):
    """What must not be in an answer, as text; None: nothing."""
    if status >= 500 and status != 501:
        return "a server error"
    if method in ("HEAD", "CONNECT") and status >= 400:
        return None
    if headers.get("connection") == "close" and status in (400, 408, 413, 431):  # before there is an operation
        if set(json.loads(body)["error"]) != {"code", "message"}:
            return "no error object"
        return None
    bad = apicheck.description().errors(method, target, status, headers, body)
    return "\n".join(bad) or None


def test_near_misses(rig, furniture):
    """Every mutant is sent; the report shows the first of each kind of good request that something is wrong with."""
    failures, answers = {}, {}
    line = Line(rig)
    for name, (method, path, doc) in templates(furniture).items():
        rng = random.Random(f"{SEED} {name}")
        furniture.restore()
        watch = Watch(rig)
        for _ in range(EXAMPLES):
            request = change(rng, method, path, f"api-version={keyhold.API}", doc)
            answer = line.send(*request)
            answers[answer[0]] = answers.get(answer[0], 0) + 1
            watch.look(may_change(request[0], request[1], answer[0]), lambda r=request: line.send(*r))
            text = wrong_with(rig, request[0], request[1], *answer)
            if text:
                failures.setdefault(name, f"{name}: {text}\n  request {request}\n  answer {answer[0]} {answer[2][:300]}")
        watch.settle()
    print(f"seed {SEED}: answers {dict(sorted(answers.items()))}")
    assert not failures, "\n\n".join(failures.values())
    assert {200, 400, 404, 405} <= answers.keys(), answers
