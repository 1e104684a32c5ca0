"""Operations that change the pool: each request names another key, a fixed number of them, 32 connections. A write is
answered when it is durable, so these rows are about the disk as much as about the program; they have no baseline."""
import subprocess

from rig import b64u, keyhold

COUNT = 400
FEW = 24  # RSA imports: the boundary tests the primes of each
BATCH = 16  # keys that are backed up and restored
OID = "22222222-2222-4222-8222-########2222"


def der_numbers(data):
    """The INTEGERs of a DER SEQUENCE (a PKCS#1 private key)."""
    def length(at):
        n = data[at]
        if n < 0x80:
            return n, at + 1
        k = n & 0x7F
        return int.from_bytes(data[at + 1:at + 1 + k], "big"), at + 1 + k
    end, at = length(1)
    end += at
    numbers = []
    while at < end:
        assert data[at] == 2
        n, at = length(at + 1)
        numbers.append(data[at:at + n].lstrip(b"\0"))
        at += n
    return numbers


def rsa_jwk(bits):
    pem = subprocess.run(["openssl", "genrsa", "-traditional", str(bits)], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "rsa", "-traditional", "-outform", "DER"], input=pem, capture_output=True,
                         check=True).stdout
    _, n, e, d, p, q, dp, dq, qi = der_numbers(der)
    return {"kty": "RSA-HSM", **{k: b64u(v) for k, v in zip(("n", "e", "d", "p", "q", "dp", "dq", "qi"),
                                                           (n, e, d, p, q, dp, dq, qi))}}


def steps():
    """In this order: later ones work on what earlier ones made. name, method, path, body, status."""
    ec, oct_ = {"kty": "EC-HSM", "crv": "P-256"}, {"kty": "oct-HSM", "key_size": 256}
    role = "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-0000########"
    assign = {"properties": {"roleDefinitionId": "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"
                             "21dbd100-6940-42c2-9190-5d6cb909625b", "principalId": OID}}
    policy = {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P30D"}, "action": {"type": "Rotate"}}]}
    yield "create EC P-256", "POST", "/keys/e-########/create", ec, 200
    yield "create oct 256", "POST", "/keys/o-########/create", oct_, 200
    yield "import RSA-2048", "PUT", "/keys/i-########", {"key": rsa_jwk(2048)}, 200
    yield "import oct 256", "PUT", "/keys/k-########", {"key": {"kty": "oct-HSM", "k": b64u(bytes(32))}}, 200
    yield "update attributes", "PATCH", "/keys/o-########", {"tags": {"a": "b"}}, 200
    yield "rotation policy put", "PUT", "/keys/o-########/rotationpolicy", policy, 200
    yield "rotate oct 256", "POST", "/keys/o-########/rotate", {}, 200
    yield "delete", "DELETE", "/keys/o-########", None, 200
    yield "recover", "POST", "/deletedkeys/o-########/recover", {}, 200
    yield "delete again", "DELETE", "/keys/o-########", None, 200
    yield "purge", "DELETE", "/deletedkeys/o-########", None, 204
    yield "role assignment put", "PUT", role, assign, 201
    yield "role assignment delete", "DELETE", role, None, 200


def restore(rig):
    """Backup of keys that then go, and their restore. The first COUNT keys e-… are there."""
    pool = rig.pool
    blobs = []
    out = {"backup EC P-256": rig.load(rig.request("POST", "/keys/e-########/backup", {}), count=COUNT)}
    for i in range(BATCH):
        blobs.append(pool.ok("POST", f"/keys/e-{i:08d}/backup", {})["value"])
    for method, path, status in (("DELETE", "/keys/e-########", 200), ("DELETE", "/deletedkeys/e-########", 204)):
        rig.load(rig.request(method, path), count=BATCH, expect=status)
    files = [rig.request("POST", "/keys/restore", {"value": b}) for b in blobs]
    out["restore EC P-256"] = rig.load(files, count=BATCH)
    return out


def measure(rig, say):
    r = rig.pool.assign(keyhold.CRYPTO_OFFICER, rig.pool.env["KEYHOLD_ADMIN_OID"])  # recover, purge
    assert r.status_code == 201, r.text
    results = {}
    for name, method, path, body, status in steps():
        count = min(COUNT, FEW) if name == "import RSA-2048" else COUNT
        results[name] = rig.load(rig.request(method, path, body), count=count, expect=status)
        say(name, results[name])
    for name, r in restore(rig).items():
        results[name] = r
        say(name, r)
    del results["delete again"]
    return results


def measure_creation(rig, say):
    """One caller after the other, while prepared keys last: what a client waits for a new RSA key."""
    results = {}
    for bits, count, most_us in ((2048, 32, 5000), (3072, 16, None), (4096, 16, 10000)):
        r = rig.load(rig.request("POST", f"/keys/new-{bits}-########/create", {"kty": "RSA-HSM", "key_size": bits}),
                     count=count, connections=1)
        r["most_us"] = most_us
        results[f"create RSA-{bits}, prepared"] = r
        say(f"create RSA-{bits}", r)
    return results
