"""Private key bytes are nowhere but in the boundary: not in the memory or a core of any other process, not in
any file of the installation. The test build of the boundary tells the bytes of every new key to a file outside."""
import base64
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import keyhold

sys.path.insert(0, str(keyhold.ROOT / "tests"))
import testbuild  # noqa: E402

MEMSCAN = testbuild.TOOLS / "memscan"
RSA = 1  # kty in a private part
OTHERS = ("gateway", "fabric", "door", "supervisor", "pool")


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def number(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def rsa_secrets(e, p, q):
    """Both private exponents: as keys are made, and as they are opened."""
    shortest, other = pow(e, -1, math.lcm(p - 1, q - 1)), pow(e, -1, (p - 1) * (q - 1))
    return {k: number(v) for k, v in {"p": p, "q": q, "d": shortest, "d2": other, "dp": other % (p - 1), "dq": other % (q - 1),
                                      "qi": pow(q, -1, p)}.items()}


def fields_of(private):
    """Name -> bytes of the secret fields of a private part as the boundary encodes it, and of what it computes of them."""
    assert private[:3] == b"KM\x02", private[:4]
    kty, rest, fields = private[3], private[9:], []
    while rest:
        n = int.from_bytes(rest[:4], "big")
        fields.append(rest[4:4 + n])
        assert len(fields[-1]) == n
        rest = rest[4 + n:]
    if len(fields) == 4:
        return rsa_secrets(*(int.from_bytes(f, "big") for f in fields[1:]))
    if len(fields) == 3:  # scalar x y
        return {"scalar": fields[0]}
    assert len(fields) == 1, (kty, len(fields))
    return {"k": fields[0]}


def forms(secret):
    """What a careless copy could look like: raw, reversed (little-endian numbers), hex, base64 at any offset."""
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(lead) + secret + bytes(2))
            # characters that also hold bits of the neighbours are left out
            yield text[(lead * 8 + 5) // 6:(lead + len(secret)) * 8 // 6]


def scan(folder, patterns, targets, window=16):
    """Lines of finds, and bytes searched."""
    f = folder / "patterns"
    f.write_text("".join(p.hex() + "\n" for p in patterns))
    r = subprocess.run([MEMSCAN, f, str(window), *map(str, targets)], capture_output=True, text=True, timeout=300)
    assert r.returncode in (0, 1), r.stderr
    *finds, last = r.stdout.splitlines()
    assert bool(finds) == (r.returncode == 1)
    words = last.split()
    return finds, int(words[1]), int(words[3])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("memscan")


@pytest.fixture(scope="module")
def own(work):
    if not testbuild.BOUNDARY.exists():
        pytest.fail(f"{testbuild.BOUNDARY} is not built")
    p = keyhold.Pool(name="scan", bindir=testbuild.bindir(work / "bin", keylog=work / "keylog"))
    try:
        p.up()
        p.down()
        p.configure(preparedKeys={"2048": 2, "3072": 0, "4096": 0})
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def use_rsa(p, name, bits):
    key = p.ok("POST", f"/keys/{name}/create", {"kty": "RSA-HSM", "key_size": bits})["key"]
    for alg in ("RS256", "PS512"):
        digest = os.urandom(int(alg[2:]) // 8)
        s = p.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(digest)})["value"]
        assert p.ok("POST", f"/keys/{name}/verify", {"alg": alg, "digest": b64u(digest), "value": s})["value"] is True
    for there, back in (("encrypt", "decrypt"), ("wrapkey", "unwrapkey")):
        text = b64u(os.urandom(32))
        c = p.ok("POST", f"/keys/{name}/{there}", {"alg": "RSA-OAEP-256", "value": text})["value"]
        assert p.ok("POST", f"/keys/{name}/{back}", {"alg": "RSA-OAEP-256", "value": c})["value"] == text
    return key


def use_ec(p, name, crv, alg, size):
    p.ok("POST", f"/keys/{name}/create", {"kty": "EC-HSM", "crv": crv})
    p.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(os.urandom(size))})


def use_oct(p, name, bits):
    p.ok("POST", f"/keys/{name}/create", {"kty": "oct-HSM", "key_size": bits})
    text = b64u(os.urandom(32))
    c = p.ok("POST", f"/keys/{name}/wrapkey", {"alg": f"A{bits}KW", "value": text})["value"]
    assert p.ok("POST", f"/keys/{name}/unwrapkey", {"alg": f"A{bits}KW", "value": c})["value"] == text
    c = p.ok("POST", f"/keys/{name}/encrypt", {"alg": f"A{bits}GCM", "value": text})
    back = p.ok("POST", f"/keys/{name}/decrypt", {"alg": f"A{bits}GCM", "value": c["value"], "iv": c["iv"],
                                                  "tag": c["tag"]})
    assert back["value"] == text
    iv = b64u(os.urandom(16))
    c = p.ok("POST", f"/keys/{name}/encrypt", {"alg": f"A{bits}CBCPAD", "value": text, "iv": iv})["value"]
    assert p.ok("POST", f"/keys/{name}/decrypt", {"alg": f"A{bits}CBCPAD", "value": c, "iv": iv})["value"] == text


def rsa_jwk():
    n = rsa.generate_private_key(65537, 2048).private_numbers()
    secret = {"d": n.d, "p": n.p, "q": n.q, "dp": n.dmp1, "dq": n.dmq1, "qi": n.iqmp}
    public = {"n": n.public_numbers.n, "e": n.public_numbers.e}
    return ({"kty": "RSA", **{k: b64u(number(v)) for k, v in {**public, **secret}.items()}},
            [number(v) for v in secret.values()])


def ec_jwk():
    d = number(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value)
    return {"kty": "EC", "crv": "P-256", "d": b64u(d)}, [d]


def oct_jwk(size):
    k = os.urandom(size)
    return {"kty": "oct", "k": b64u(k)}, [k]


def import_keys(p):
    """Keys that come in, on every way a body can take through the gateway, and keys that are refused, wherever that
    happens. Returns the secret numbers of those that became keys, and of those that never did."""
    known, lost = [], []

    def good(jwk_and_secrets):
        known.extend(jwk_and_secrets[1])
        return jwk_and_secrets[0]

    def made(jwk_and_secrets):
        lost.extend(jwk_and_secrets[1])
        return jwk_and_secrets[0]

    p.ok("PUT", "/keys/in-rsa", {"key": good(rsa_jwk())})
    p.ok("POST", "/keys/in-rsa/sign", {"alg": "RS256", "value": b64u(os.urandom(32))})
    p.ok("PUT", "/keys/in-ec", {"key": {**good(ec_jwk()), "x5c": ["A" * 20000]}})  # too long to stay beside its head
    p.ok("PUT", "/keys/in-oct", {"key": good(oct_jwk(32))})
    body = json.dumps({"key": good(oct_jwk(64))}).encode()
    pieces = [body[i:i + 30] for i in range(0, len(body), 30)]
    assert p.call("PUT", "/keys/in-chunks", raw=iter(pieces)).status_code == 200
    assert p.call("PUT", "/keys/in-oct", {"key": {**made(rsa_jwk()), "qi": "AQ"}}).status_code == 400  # by the numbers
    assert p.call("PUT", "/keys/in-oct", {"key": {**made(ec_jwk()), "key_ops": ["fly"]}}).status_code == 400
    assert p.call("PUT", "/keys/in-oct", {"key": [made(oct_jwk(32))]}).status_code == 400  # by the gateway
    assert p.call("PUT", "/keys/in-oct", raw=json.dumps({"key": made(oct_jwk(32))})[:-1]).status_code == 400
    assert p.call("PUT", "/keys/in-oct", {"key": {**made(oct_jwk(32)), "key_hsm": "AA"}}).status_code == 400
    assert p.call("PUT", "/keys/in-oct", {"key": made(oct_jwk(32))}, token="").status_code == 401
    assert p.call("PUT", "/keys/in-oct", {"key": made(oct_jwk(32))}, token="a.b.c").status_code == 401
    assert p.call("PUT", "/keys/in-oct", {"key": made(oct_jwk(32))}, token=p.guest_token()).status_code == 403
    assert p.call("POST", "/keys/in-oct", {"key": made(oct_jwk(32))}).status_code == 405
    assert p.call("PUT", "/keys/in-oct", {"key": made(oct_jwk(32))}, api="1.0").status_code == 400
    assert p.call("PUT", "/somewhere", {"key": made(oct_jwk(32))}).status_code == 404
    assert p.call("PUT", "/keys/in-oct", {"key": {**made(oct_jwk(32)), "x5c": ["A" * 70000]}}).status_code == 413
    return known, lost


def move_keys(p):
    """Imported keys leave as backups and come back, while the key is still there as well as after its end."""
    for name, alg, size in (("in-rsa", "PS256", 32), ("in-ec", "ES256", 32), ("in-oct", None, 0)):
        value = p.ok("POST", f"/keys/{name}/backup")["value"]
        assert p.call("POST", "/keys/restore", {"value": value}).status_code == 409
        p.ok("DELETE", f"/keys/{name}")
        assert p.call("DELETE", f"/deletedkeys/{name}").status_code == 204
        p.ok("POST", "/keys/restore", {"value": value})
        if alg:
            p.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(os.urandom(size))})
        else:
            p.ok("POST", f"/keys/{name}/wrapkey", {"alg": "A256KW", "value": b64u(os.urandom(32))})


@pytest.fixture(scope="module")
def secrets(own, work):
    """Every secret field of every key that was made and used, also over a restart and a new version."""
    for bits in (2048, 3072, 4096):
        use_rsa(own, f"r{bits}", bits)
    for crv, alg, size in (("P-256", "ES256", 32), ("P-384", "ES384", 48), ("P-521", "ES512", 64),
                           ("P-256K", "ES256K", 32)):
        use_ec(own, crv, crv, alg, size)
    for bits in (128, 192, 256):
        use_oct(own, f"o{bits}", bits)
    earlier, _ = import_keys(own)
    own.down()
    own.up()
    known, lost = import_keys(own)  # once more: what is looked at is the process that saw them
    move_keys(own)
    for name, alg, size in (("r2048", "RS256", 32), ("P-256", "ES256", 32)):
        own.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(os.urandom(size))})
    use_rsa(own, "r2048", 2048)
    own.ok("DELETE", "/keys/P-384")
    own.ok("PATCH", "/keys/o256", {"tags": {"a": "b"}})
    own.ok("GET", "/keys/r4096")
    own.hurry()
    end = time.monotonic() + 60
    while sum(own.status()["preparedKeys"].values()) == 0 and time.monotonic() < end:
        time.sleep(0.2)
    parts = [bytes.fromhex(line) for line in (work / "keylog").read_text().split()]
    kinds = [part[3] for part in parts]
    # Keys that are only prepared count as well.
    assert kinds.count(RSA) > 4 + 2 and len(kinds) - kinds.count(RSA) == 4 + 3 + 2 * 3, kinds
    found = [s for part in parts for s in fields_of(part).values()]
    assert len(found) == 7 * kinds.count(RSA) + 4 + 3 + 2 * 3
    assert len(known) == len(earlier) == 6 + 1 + 1 + 1 and len(lost) == 6 + 1 + 10
    assert {s.lstrip(b"\0") for s in earlier + known} <= {s.lstrip(b"\0") for s in found}
    return found + lost


@pytest.fixture(scope="module")
def patterns(secrets):
    return [f for s in secrets for f in forms(s)]


def test_the_scanner_finds_what_is_there(own, work, secrets, patterns):
    """The keylog itself, a marker in a file, the server's public key in the gateway's memory."""
    finds, _, _ = scan(work, patterns, [work / "keylog"])
    assert finds
    window = secrets[3][8:24]
    for number, form in enumerate(forms(window)):
        planted = own.home / "log/planted"
        planted.write_bytes(os.urandom(5000 + number) + form + os.urandom(100))
        finds, _, _ = scan(work, patterns, [planted])
        planted.unlink()
        assert finds, f"form {number} is not found"
    pem = (own.home / "pki/server.pem").read_bytes()
    from cryptography import x509
    public = x509.load_pem_x509_certificate(pem).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    finds, n, _ = scan(work, [public[-64:]], [f"pid:{own.pids()['gateway']}"])
    assert finds and n > 1 << 20, "the gateway's memory was not searched"


def test_not_in_memory_of_other_processes(own, work, patterns):
    pids = own.pids()
    for name in OTHERS:
        finds, n, _ = scan(work, patterns, [f"pid:{pids[name]}"])
        print(f"{name}: {n} bytes searched")
        assert n > 100000
        assert not finds, f"{name}: {finds[:10]}"


def test_not_in_a_core_of_the_gateway(own, work, patterns):
    if shutil.which("gcore") is None:
        pytest.skip("gdb is not installed")
    pid = own.pids()["gateway"]
    subprocess.run(["gcore", "-a", "-o", work / "core", str(pid)], check=True, capture_output=True, timeout=120)
    core = work / f"core.{pid}"
    finds, n, _ = scan(work, patterns, [core])
    core.unlink()
    print(f"core: {n} bytes searched")
    assert n > 1 << 20 and not finds, finds[:10]
    own.wait_ready()


def test_not_in_any_file(own, work, patterns):
    files = [f for f in own.home.rglob("*") if f.is_file()]
    assert any(f.name == "audit.jsonl" for f in files) and any("store" in str(f) for f in files)
    finds, n, _ = scan(work, patterns, files)
    print(f"{len(files)} files, {n} bytes searched")
    assert n > 100000 and not finds, finds[:10]


def test_boundary_memory_and_core(own, work, patterns):
    """Root may look at ordinary memory, but key pages have no mapping to read them through; no core is written."""
    pid = own.pids()["boundary"]
    finds, n, unreadable = scan(work, patterns, [f"pid:{pid}"])
    print(f"boundary: {n} bytes read, {unreadable} could not be read, {len(finds)} finds")
    if own.status()["secretMemory"] == "memfd_secret":
        assert unreadable >= 1 << 20, "the key pages could be read"
        assert not finds, finds[:10]
    limits = open(f"/proc/{pid}/limits").read()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core
    before = {f for d in ("/", str(own.home), "/tmp") for f in os.listdir(d) if f.startswith("core")}
    os.kill(pid, signal.SIGABRT)
    time.sleep(0.5)
    own.wait_ready()
    own.ok("GET", "/keys/r2048")
    after = {f for d in ("/", str(own.home), "/tmp") for f in os.listdir(d) if f.startswith("core")}
    assert after == before
