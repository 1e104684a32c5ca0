"""Every algorithm over HTTP, checked with another implementation (python cryptography) wherever it can be."""
import base64
import hashlib
import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, serialization  # noqa: F401
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

RSA_SIZES = [2048, 3072, 4096]
CURVES = {"P-256": (ec.SECP256R1, "ES256", hashes.SHA256, 32), "P-256K": (ec.SECP256K1, "ES256K", hashes.SHA256, 32),
          "P-384": (ec.SECP384R1, "ES384", hashes.SHA384, 48), "P-521": (ec.SECP521R1, "ES512", hashes.SHA512, 66)}
OCT = [128, 192, 256]
HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def unb64u(s):
    assert "=" not in s
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


def number(s):
    return int.from_bytes(unb64u(s), "big")


@pytest.fixture(scope="module")
def keys(pool):
    made = {}
    for bits in RSA_SIZES:
        made[f"rsa{bits}"] = pool.ok("POST", f"/keys/crypto-rsa{bits}/create", {"kty": "RSA-HSM", "key_size": bits})["key"]
    for crv in CURVES:
        made[crv] = pool.ok("POST", f"/keys/crypto-{crv}/create", {"kty": "EC-HSM", "crv": crv})["key"]
    for bits in OCT:
        made[f"oct{bits}"] = pool.ok("POST", f"/keys/crypto-oct{bits}/create", {"kty": "oct-HSM", "key_size": bits})["key"]
    return made


def path(key):
    return "/keys/" + key["kid"].split("/keys/", 1)[1]


def do(pool, key, op, body):
    r = pool.ok("POST", f"{path(key)}/{op}", body)
    assert r["kid"] == key["kid"] and r["alg"] == body["alg"]
    return r


def refused(pool, key, op, body, status=400, code="BadParameter"):
    r = pool.call("POST", f"{path(key)}/{op}", body)
    assert r.status_code == status, r.text
    assert pool.error(r)[0] == code
    return pool.error(r)[1]


@pytest.mark.parametrize("bits", RSA_SIZES)
def test_rsa(pool, keys, bits):
    key = keys[f"rsa{bits}"]
    assert key["kty"] == "RSA-HSM" and key["e"] == "AQAB"
    public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
    assert public.key_size == bits
    for alg, h in [("RSA-OAEP", hashes.SHA1), ("RSA-OAEP-256", hashes.SHA256), ("RSA1_5", None)]:
        pad = padding.OAEP(padding.MGF1(h()), h(), None) if h else padding.PKCS1v15()
        text = os.urandom(40)
        for enc, dec in (("encrypt", "decrypt"), ("wrapkey", "unwrapkey")):
            assert unb64u(do(pool, key, dec, {"alg": alg, "value": b64u(public.encrypt(text, pad))})["value"]) == text
            sealed = do(pool, key, enc, {"alg": alg, "value": b64u(text)})["value"]
            assert unb64u(do(pool, key, dec, {"alg": alg, "value": sealed})["value"]) == text
            refused(pool, key, dec, {"alg": alg, "value": b64u(os.urandom(bits // 8))})
        limit = bits // 8 - {"RSA-OAEP": 42, "RSA-OAEP-256": 66, "RSA1_5": 11}[alg]
        do(pool, key, "encrypt", {"alg": alg, "value": b64u(os.urandom(limit))})
        refused(pool, key, "encrypt", {"alg": alg, "value": b64u(os.urandom(limit + 1))})
    for n, h in HASH.items():
        digest = hashlib.new("sha" + n, b"message").digest()
        for alg, pad in [("RS" + n, padding.PKCS1v15()), ("PS" + n, padding.PSS(padding.MGF1(h()), len(digest)))]:
            sig = do(pool, key, "sign", {"alg": alg, "value": b64u(digest)})["value"]
            public.verify(unb64u(sig), digest, pad, utils.Prehashed(h()))
            assert do(pool, key, "verify", {"alg": alg, "digest": b64u(digest), "value": sig})["value"] is True
            bad = bytearray(unb64u(sig))
            bad[-1] ^= 1
            assert do(pool, key, "verify", {"alg": alg, "digest": b64u(digest), "value": b64u(bytes(bad))})["value"] is False
            refused(pool, key, "sign", {"alg": alg, "value": b64u(digest[:-1])})


@pytest.mark.parametrize("crv", list(CURVES))
def test_ec(pool, keys, crv):
    curve, alg, h, width = CURVES[crv]
    key = keys[crv]
    assert len(unb64u(key["x"])) == len(unb64u(key["y"])) == width
    public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), curve()).public_key()
    digest = os.urandom(h.digest_size)
    for _ in range(8):
        raw = unb64u(do(pool, key, "sign", {"alg": alg, "value": b64u(digest)})["value"])
        assert len(raw) == 2 * width
        r, s = int.from_bytes(raw[:width], "big"), int.from_bytes(raw[width:], "big")
        public.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(h())))
        body = {"alg": alg, "digest": b64u(digest), "value": b64u(raw)}
        assert do(pool, key, "verify", body)["value"] is True
        assert do(pool, key, "verify", {**body, "digest": b64u(os.urandom(h.digest_size))})["value"] is False
    refused(pool, key, "sign", {"alg": alg, "value": b64u(digest + b"x")})
    for other in {"ES256", "ES256K", "ES384", "ES512", "RS256", "A256GCM"} - {alg}:
        refused(pool, key, "sign", {"alg": other, "value": b64u(digest)})


@pytest.mark.parametrize("bits", OCT)
def test_aes(pool, keys, bits):
    key = keys[f"oct{bits}"]
    assert set(key) == {"key_ops", "kid", "kty"}
    text = os.urandom(100)
    aad = os.urandom(20)
    gcm = f"A{bits}GCM"
    e = do(pool, key, "encrypt", {"alg": gcm, "value": b64u(text), "aad": b64u(aad)})
    assert len(unb64u(e["iv"])) == 12 and len(unb64u(e["tag"])) == 16 and e["aad"] == b64u(aad)
    d = {"alg": gcm, "value": e["value"], "iv": e["iv"], "tag": e["tag"], "aad": e["aad"]}
    r = do(pool, key, "decrypt", d)
    assert unb64u(r["value"]) == text and set(r) == {"alg", "kid", "value"}
    ivs = {do(pool, key, "encrypt", {"alg": gcm, "value": b64u(text)})["iv"] for _ in range(5)}
    assert len(ivs) == 5
    refused(pool, key, "decrypt", {**d, "tag": b64u(os.urandom(16))})
    refused(pool, key, "decrypt", {**d, "aad": b64u(b"other")})
    refused(pool, key, "decrypt", {k: v for k, v in d.items() if k != "tag"})
    refused(pool, key, "decrypt", {k: v for k, v in d.items() if k != "iv"})
    iv = b64u(os.urandom(16))
    for alg, n in [(f"A{bits}CBC", 64), (f"A{bits}CBCPAD", 61)]:
        e = do(pool, key, "encrypt", {"alg": alg, "value": b64u(text[:n]), "iv": iv})
        assert e["iv"] == iv
        r = do(pool, key, "decrypt", {"alg": alg, "value": e["value"], "iv": iv})
        assert unb64u(r["value"]) == text[:n] and "iv" not in r
        refused(pool, key, "encrypt", {"alg": alg, "value": b64u(text[:n]), "iv": b64u(os.urandom(15))})
        refused(pool, key, "encrypt", {"alg": alg, "value": b64u(text[:n])})
    refused(pool, key, "encrypt", {"alg": f"A{bits}CBC", "value": b64u(text[:61]), "iv": iv})
    dek = os.urandom(32)
    for alg in (f"A{bits}KW", "CKM_AES_KEY_WRAP", "CKM_AES_KEY_WRAP_PAD"):
        w = do(pool, key, "wrapkey", {"alg": alg, "value": b64u(dek)})["value"]
        assert len(unb64u(w)) == 40
        assert unb64u(do(pool, key, "unwrapkey", {"alg": alg, "value": w})["value"]) == dek
        bad = bytearray(unb64u(w))
        bad[3] ^= 4
        refused(pool, key, "unwrapkey", {"alg": alg, "value": b64u(bytes(bad))})
    refused(pool, key, "wrapkey", {"alg": f"A{bits}KW", "value": b64u(dek[:15])})
    assert len(unb64u(do(pool, key, "wrapkey", {"alg": "CKM_AES_KEY_WRAP_PAD", "value": b64u(dek[:15])})["value"])) == 24
    for wrong in [b for b in OCT if b != bits]:
        refused(pool, key, "encrypt", {"alg": f"A{wrong}GCM", "value": b64u(text)})


@pytest.mark.parametrize("n", list(HASH))
def test_hmac(pool, keys, n):
    key = keys["oct256"]
    digest = hashlib.new("sha" + n, b"x").digest()
    mac = do(pool, key, "sign", {"alg": "HS" + n, "value": b64u(digest)})["value"]
    assert len(unb64u(mac)) == int(n) // 8
    assert do(pool, key, "verify", {"alg": "HS" + n, "digest": b64u(digest), "value": mac})["value"] is True
    assert do(pool, key, "verify", {"alg": "HS" + n, "digest": b64u(digest[::-1]), "value": mac})["value"] is False


def test_hmac_of_a_long_message(pool, keys):
    message = os.urandom(40000)
    mac = do(pool, keys["oct256"], "sign", {"alg": "HS512", "value": b64u(message)})["value"]
    body = {"alg": "HS512", "digest": b64u(message), "value": mac}
    assert do(pool, keys["oct256"], "verify", body)["value"] is True
    assert do(pool, keys["oct256"], "verify", {**body, "digest": b64u(message[:-1])})["value"] is False


def test_rsnull_verifies_the_longest_digest_info(pool, keys):
    info = bytes.fromhex("3051300d060960864801650304020305000440") + hashlib.sha512(b"m").digest()
    sig = do(pool, keys["rsa2048"], "sign", {"alg": "RSNULL", "value": b64u(info)})["value"]
    for alg, tbs in (("RSNULL", info), ("RS512", info[19:])):
        assert do(pool, keys["rsa2048"], "verify", {"alg": alg, "digest": b64u(tbs), "value": sig})["value"] is True


def test_large_aes_values(pool, keys):
    text = os.urandom(65536)
    e = do(pool, keys["oct256"], "encrypt", {"alg": "A256GCM", "value": b64u(text)})
    d = {"alg": "A256GCM", "value": e["value"], "iv": e["iv"], "tag": e["tag"]}
    assert unb64u(do(pool, keys["oct256"], "decrypt", d)["value"]) == text


def test_versionless_path_uses_the_newest_version(pool):
    first = pool.ok("POST", "/keys/crypto-versions/create", {"kty": "EC-HSM"})["key"]["kid"]
    second = pool.ok("POST", "/keys/crypto-versions/create", {"kty": "EC-HSM"})["key"]["kid"]
    body = {"alg": "ES256", "value": b64u(os.urandom(32))}
    for p in ("/keys/crypto-versions/sign", "/keys/crypto-versions//sign", "/keys/CRYPTO-versions/SIGN"):
        assert pool.ok("POST", p, body)["kid"] == second
    assert pool.ok("POST", path({"kid": first}) + "/sign", body)["kid"] == first


def test_rsa_public_exponent_three(pool):
    key = pool.ok("POST", "/keys/crypto-e3/create", {"kty": "RSA", "key_size": 2048, "public_exponent": 3})["key"]
    assert key["e"] == "Aw" and key["kty"] == "RSA-HSM"
    digest = hashlib.sha256(b"m").digest()
    sig = unb64u(do(pool, key, "sign", {"alg": "PS256", "value": b64u(digest)})["value"])
    public = rsa.RSAPublicNumbers(3, number(key["n"])).public_key()
    public.verify(sig, digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32), utils.Prehashed(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(sig, hashlib.sha256(b"n").digest(), padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                      utils.Prehashed(hashes.SHA256()))
