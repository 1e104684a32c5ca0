"""ECDSA vectors. Verification needs an imported key, and an import needs the private part, which published verification
vectors do not have: those (Wycheproof's P1363 files, CAVP's SigVer) go through the verification code of the boundary alone
(tests/tools/verify_public.c). Over HTTPS run the vectors with private keys: CAVP's SigGen and KeyPair, and on their keys the
faults that Wycheproof tries.

The service takes digests of exactly the length that belongs to the algorithm. A digest of another hash is cut to it, or
gets zeros in front, which is what ECDSA does with it (FIPS 186-4, 6.4)."""
import hashlib
import os
import subprocess

import pytest
import sources
import testbuild
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hsm import WIDTH, Refusal, ec_key, unb64u

unhex = bytes.fromhex
CURVES = {"P-256": ("ES256", ec.SECP256R1, hashes.SHA256), "P-256K": ("ES256K", ec.SECP256K1, hashes.SHA256),
          "P-384": ("ES384", ec.SECP384R1, hashes.SHA384), "P-521": ("ES512", ec.SECP521R1, hashes.SHA512)}
OTHER_POINT = Refusal("JSON Web Key: x and y are not the public key of d.")
ORDER = {"P-256": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551,
         "P-256K": 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141,
         "P-384": int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
         "P-521": int("1" + "f" * 65 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16)}
DIGEST = {"P-256": 32, "P-256K": 32, "P-384": 48, "P-521": 64}
WYCHEPROOF_CURVE = {"secp256r1": "P-256", "secp256k1": "P-256K", "secp384r1": "P-384", "secp521r1": "P-521"}
WYCHEPROOF = sorted(n for n in sources.wycheproof_names()
                    if n.startswith("ecdsa_") and n.endswith("_p1363") and n.split("_")[1] in WYCHEPROOF_CURVE)
SIGGEN = {"asymmetric/ECDSA/FIPS_186-3/SigGen.txt": "cavp ECDSA SigGen", "asymmetric/ECDSA/SECP256K1/SigGen.txt":
          "ECDSA SigGen of P-256K in CAVP's form"}
FILES = [f"wycheproof {n}" for n in WYCHEPROOF] + list(SIGGEN.values())
FILES += ["cavp ECDSA SigVer", "cavp ECDSA KeyPair"] + [f"faults of signatures {c}" for c in CURVES]


def digest_of(curve, sha, message):
    digest = hashlib.new(sha.lower().replace("-", ""), message).digest()[:DIGEST[curve]]
    return digest.rjust(DIGEST[curve], b"\0")


def raw(curve, r, s):
    return r.to_bytes(WIDTH[curve], "big") + s.to_bytes(WIDTH[curve], "big")


def verify_public(cases):
    """[(curve, x, y, digest, signature)] -> answers of the boundary's code."""
    lines = [" ".join([CURVES[c][0], *(v.hex() or "-" for v in values)]) for c, *values in cases]
    done = subprocess.run([testbuild.TOOLS / "verify_public"], input="\n".join(lines) + "\n", capture_output=True,
                          text=True, timeout=120, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(cases)
    return answers


@pytest.mark.parametrize("name", WYCHEPROOF)
def test_wycheproof_p1363(table, name):
    row = table.row(f"wycheproof {name}", "boundary")
    curve = WYCHEPROOF_CURVE[name.split("_")[1]]
    cases, wanted = [], []
    for group in sources.wycheproof(name):
        x, y = (int(group["publicKey"][c], 16).to_bytes(WIDTH[curve], "big") for c in ("wx", "wy"))
        for t in group["tests"]:
            assert t["result"] in ("valid", "invalid"), t
            cases.append((curve, x, y, digest_of(curve, group["sha"], unhex(t["msg"])), unhex(t["sig"])))
            wanted.append(("true" if t["result"] == "valid" else "false", f"tcId {t['tcId']} {t['flags']}"))
    for got, (want, label) in zip(verify_public(cases), wanted):
        row.check(got, want, label)
    table.close(row)


def cavp_curve(section):
    """(curve, hash) of "[P-256,SHA-224]"; curve None when the service does not have it."""
    curve, _, sha = next(iter(section)).partition(",")
    curve = {"K-256": "P-256K"}.get(curve, curve)
    return (curve if curve in CURVES and curve.startswith("P-") else None), sha


def test_cavp_sig_ver(table):
    row = table.row("cavp ECDSA SigVer", "boundary")
    cases, wanted = [], []
    for section, r in sources.cavp("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp"):
        curve, sha = cavp_curve(section)
        if curve is None:
            row.skip("curve that the service does not have")
            continue
        x, y = (int(r[q], 16).to_bytes(WIDTH[curve], "big") for q in ("Qx", "Qy"))
        signature = raw(curve, int(r["R"], 16), int(r["S"], 16))
        cases.append((curve, x, y, digest_of(curve, sha, unhex(r["Msg"])), signature))
        wanted.append(("true" if r["Result"].startswith("P") else "false", f"{section} {r['Result']}"))
    for got, (want, label) in zip(verify_public(cases), wanted):
        row.check(got, want, label)
    table.close(row)


def holds(curve, x, y, digest, signature):
    """Another implementation's opinion; raises when it is against."""
    _, group, sha = CURVES[curve]
    w = WIDTH[curve]
    der = utils.encode_dss_signature(int.from_bytes(signature[:w], "big"), int.from_bytes(signature[w:], "big"))
    public = ec.EllipticCurvePublicNumbers(x, y, group()).public_key()
    public.verify(der, digest, ec.ECDSA(utils.Prehashed(sha())))
    return True


@pytest.mark.parametrize("place", SIGGEN)
def test_cavp_sig_gen(hsm, table, place):
    """The published signatures verify with the imported keys, with another digest they do not, and new ones hold elsewhere."""
    row = table.row(SIGGEN[place])

    def one(item):
        section, r = item
        curve, sha = cavp_curve(section)
        if curve is None:
            row.skip("curve that the service does not have")
            return
        d, x, y, big_r, s = (int(r[k], 16) for k in ("d", "Qx", "Qy", "R", "S"))
        alg, digest = CURVES[curve][0], digest_of(curve, sha, unhex(r["Msg"]))
        label = f"{section} {r['d'][:16]}"
        path = hsm.key(ec_key(curve, d, x, y))
        row.check(hsm.do(path, "verify", alg, raw(curve, big_r, s), digest=digest), True, f"{label} verify")
        other = digest[:-1] + bytes([digest[-1] ^ 1])
        row.check(hsm.do(path, "verify", alg, raw(curve, big_r, s), digest=other), False, f"{label} other digest")
        row.check(holds(curve, x, y, digest, hsm.do(path, "sign", alg, digest)), True, f"{label} sign")

    records = list(sources.cavp(place))
    chosen = list(sources.sample(records, 15))  # as many as CAVP itself has
    row.skip("repetition with other random values", len(records) - len(chosen))
    hsm.map(one, chosen)
    table.close(row)


def key_pairs(curve):
    """[(d, x, y)] of CAVP; P-256K has no file of key pairs, so those of its signatures."""
    if curve == "P-256K":
        records = sources.cavp("asymmetric/ECDSA/SECP256K1/SigGen.txt")
    else:
        records = ((s, r) for s, r in sources.cavp("asymmetric/ECDSA/FIPS_186-3/KeyPair.rsp") if curve in s)
    return [tuple(int(r[k], 16) for k in ("d", "Qx", "Qy")) for _, r in records if "d" in r]


def test_cavp_key_pairs(hsm, table):
    """Imported keys show their point and sign what it verifies; a scalar with another key's point is no key."""
    row = table.row("cavp ECDSA KeyPair")

    def one(item):
        curve, (d, x, y), (_, other_x, other_y) = item
        bundle, w = hsm.bundle(ec_key(curve, d, x, y)), WIDTH[curve]
        shown = bundle["crv"], unb64u(bundle["x"]), unb64u(bundle["y"])
        row.check(shown, (curve, x.to_bytes(w, "big"), y.to_bytes(w, "big")), f"{curve} public part")
        digest = os.urandom(DIGEST[curve])
        made = hsm.do(hsm.key(ec_key(curve, d, x, y)), "sign", CURVES[curve][0], digest)
        row.check(holds(curve, x, y, digest, made), True, f"{curve} sign")
        row.check(hsm.bundle(ec_key(curve, d, other_x, other_y)), OTHER_POINT, f"{curve} point of another key")

    for curve in ("P-256", "P-384", "P-521"):
        pairs = key_pairs(curve)
        hsm.map(one, [(curve, a, b) for a, b in zip(pairs, pairs[1:] + pairs[:1])])
    table.close(row)


def faults(curve, r, s):
    """(name, signature, whether it is valid) from a valid one: the classes of Wycheproof's P1363 files."""
    n, w = ORDER[curve], WIDTH[curve]
    top = 1 << 8 * w
    good = raw(curve, r, s)
    yield "as it is", good, True
    yield "n - s", raw(curve, r, n - s), True  # ECDSA signatures are malleable; no rule of the service forbids it
    for name, a, b in [("r = 0", 0, s), ("s = 0", r, 0), ("both 0", 0, 0), ("r = 1", 1, s), ("s = 1", r, 1), ("r = n", n, s),
                       ("s = n", r, n), ("r = n - 1", n - 1, s), ("r = n + 1", n + 1, s), ("s = n + 1", r, n + 1),
                       ("r + n", r + n, s), ("s + n", r, s + n), ("n - r", n - r, s), ("all ones", top - 1, top - 1),
                       ("swapped", s, r), ("-r", top - r, s), ("-s", r, top - s), ("r twice", r, r)]:
        if a < top and b < top:
            yield name, raw(curve, a, b), False
    for name, value in [("empty", b""), ("r only", good[:w]), ("one byte short", good[:-1]), ("one byte long", good + b"\0"),
                        ("zero in front", b"\0" + good), ("zeros in front of both", b"\0" + good[:w] + b"\0" + good[w:]),
                        ("twice", good + good), ("DER", utils.encode_dss_signature(r, s)),
                        ("shorter numbers", good[1:w] + good[w + 1:])]:
        yield name, value, False


@pytest.mark.parametrize("curve", CURVES)
def test_faults_of_signatures(hsm, table, curve):
    row = table.row(f"faults of signatures {curve}")
    alg, w = CURVES[curve][0], WIDTH[curve]

    def one(pair):
        path = hsm.key(ec_key(curve, *pair))
        for digest in (os.urandom(DIGEST[curve]), bytes(DIGEST[curve]), b"\xff" * DIGEST[curve]):
            made = hsm.do(path, "sign", alg, digest)
            r, s = int.from_bytes(made[:w], "big"), int.from_bytes(made[w:], "big")
            for name, signature, valid in faults(curve, r, s):
                row.check(hsm.do(path, "verify", alg, signature, digest=digest), valid, f"{name} {digest[:4].hex()}")

    hsm.map(one, key_pairs(curve)[:4])
    table.close(row)
