"""Import of plain JWKs: what comes in works and is the same key, and what does not fit changes nothing."""
import base64
import hashlib
import hmac
import os
import time
import uuid

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

import keyhold

RSA_OPS = {"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
CURVES = {"P-256": (ec.SECP256R1(), 32, "ES256", hashes.SHA256()), "P-384": (ec.SECP384R1(), 48, "ES384", hashes.SHA384()),
          "P-521": (ec.SECP521R1(), 66, "ES512", hashes.SHA512()),
          "P-256K": (ec.SECP256K1(), 32, "ES256K", hashes.SHA256())}


@pytest.fixture
def name():
    return "i-" + uuid.uuid4().hex[:12]


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def unb64u(s):
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


def number(n, width=None):
    return b64u(n.to_bytes(width or (n.bit_length() + 7) // 8, "big"))


def rsa_jwk(key, kty="RSA-HSM", **more):
    n = key.private_numbers()
    values = {"n": n.public_numbers.n, "e": n.public_numbers.e, "d": n.d, "p": n.p, "q": n.q, "dp": n.dmp1,
              "dq": n.dmq1, "qi": n.iqmp}
    return {"kty": kty, **{k: number(v) for k, v in values.items()}, **more}


def ec_jwk(key, crv, kty="EC-HSM", **more):
    width, n = CURVES[crv][1], key.private_numbers()
    return {"kty": kty, "crv": crv, "d": number(n.private_value, width), "x": number(n.public_numbers.x, width),
            "y": number(n.public_numbers.y, width), **more}


@pytest.fixture(scope="module")
def rsa2048():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def p256():
    return ec.generate_private_key(ec.SECP256R1())


def put(pool, name, jwk, **more):
    return pool.ok("PUT", f"/keys/{name}", {"key": jwk, **more})


def refused(pool, name, body, text, status=400, code="BadParameter", raw=None):
    """The exact refusal; the key does not come into being."""
    r = pool.call("PUT", f"/keys/{name}", body, raw=raw)
    assert r.status_code == status, (r.status_code, r.text)
    assert pool.error(r) == (code, text)
    assert r.headers["x-ms-request-id"] in r.text
    assert pool.call("GET", f"/keys/{name}").status_code == 404
    return r


# ---- what comes in works

@pytest.mark.parametrize("bits,kty", [(2048, "RSA"), (2048, "RSA-HSM"), (3072, "RSA-HSM"), (4096, "RSA-HSM")])
def test_rsa(pool, name, bits, kty):
    key = rsa.generate_private_key(65537, bits)
    b = put(pool, name, rsa_jwk(key, kty), Hsm=True)
    assert set(b) == {"attributes", "key"} and set(b["key"]) == {"kid", "kty", "key_ops", "n", "e"}
    assert b["key"]["kty"] == "RSA-HSM" and set(b["key"]["key_ops"]) == RSA_OPS
    assert b["key"]["n"] == number(key.public_key().public_numbers().n) and b["key"]["e"] == "AQAB"
    assert b["attributes"]["exportable"] is False and b["attributes"]["enabled"] is True
    assert pool.ok("GET", f"/keys/{name}") == b
    digest = os.urandom(32)
    s = pool.ok("POST", f"/keys/{name}/sign", {"alg": "RS256", "value": b64u(digest)})["value"]
    key.public_key().verify(unb64u(s), digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    c = key.public_key().encrypt(b"secret", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    back = pool.ok("POST", f"/keys/{name}/decrypt", {"alg": "RSA-OAEP-256", "value": b64u(c)})["value"]
    assert unb64u(back) == b"secret"


def test_rsa_exponent_3_and_missing_crt_numbers(pool, name):
    key = rsa.generate_private_key(3, 2048)
    jwk = {k: v for k, v in rsa_jwk(key).items() if k not in ("dp", "dq", "qi")}
    assert put(pool, name, jwk)["key"]["e"] == "Aw"
    digest = os.urandom(32)
    s = pool.ok("POST", f"/keys/{name}/sign", {"alg": "PS256", "value": b64u(digest)})["value"]
    key.public_key().verify(unb64u(s), digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                            utils.Prehashed(hashes.SHA256()))


def test_rsa_numbers_with_leading_zeros_and_padding(pool, name, rsa2048):
    jwk = {k: b64u(b"\0" + unb64u(v)) + "=" * (-len(b64u(b"\0" + unb64u(v))) % 4) if k != "kty" else v
           for k, v in rsa_jwk(rsa2048).items()}
    assert put(pool, name, jwk)["key"]["n"] == rsa_jwk(rsa2048)["n"]


@pytest.mark.parametrize("crv", CURVES)
@pytest.mark.parametrize("kty", ["EC", "EC-HSM"])
def test_ec(pool, name, crv, kty):
    curve, width, alg, hash_ = CURVES[crv]
    key = ec.generate_private_key(curve)
    jwk = ec_jwk(key, crv, kty)
    b = put(pool, name, jwk)
    assert set(b["key"]) == {"kid", "kty", "key_ops", "crv", "x", "y"}
    assert b["key"]["kty"] == "EC-HSM" and set(b["key"]["key_ops"]) == {"sign", "verify"}
    assert {k: b["key"][k] for k in ("crv", "x", "y")} == {k: jwk[k] for k in ("crv", "x", "y")}
    digest = os.urandom(hash_.digest_size)
    raw = unb64u(pool.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(digest)})["value"])
    r, s = int.from_bytes(raw[:width], "big"), int.from_bytes(raw[width:], "big")
    key.public_key().verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(hash_)))


def test_ec_without_its_point(pool, name, p256):
    jwk = ec_jwk(p256, "P-256")
    b = put(pool, name, {k: v for k, v in jwk.items() if k not in "xy"})
    assert (b["key"]["x"], b["key"]["y"]) == (jwk["x"], jwk["y"])


@pytest.mark.parametrize("kty", ["oct", "oct-HSM"])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_aes(pool, name, kty, size):
    k = os.urandom(size)
    b = put(pool, name, {"kty": kty, "k": b64u(k)})
    assert set(b["key"]) == {"kid", "kty", "key_ops"} and b["key"]["kty"] == "oct-HSM"
    assert set(b["key"]["key_ops"]) == RSA_OPS | {"deriveKey"}
    iv, text = os.urandom(16), os.urandom(32)
    c = pool.ok("POST", f"/keys/{name}/encrypt", {"alg": f"A{size * 8}CBC", "value": b64u(text), "iv": b64u(iv)})
    e = Cipher(algorithms.AES(k), modes.CBC(iv)).encryptor()
    assert unb64u(c["value"]) == e.update(text) + e.finalize()
    w = pool.ok("POST", f"/keys/{name}/wrapkey", {"alg": f"A{size * 8}KW", "value": b64u(text)})["value"]
    assert aes_key_unwrap(k, unb64u(w)) == text
    m = pool.ok("POST", f"/keys/{name}/sign", {"alg": "HS256", "value": b64u(text)})["value"]
    assert unb64u(m) == hmac.new(k, text, hashlib.sha256).digest()


@pytest.mark.parametrize("size", [1, 15, 20, 33, 48, 64])
def test_hmac_keys_of_other_sizes(pool, name, size):
    k = os.urandom(size)
    b = put(pool, name, {"kty": "oct-HSM", "k": b64u(k)})
    assert set(b["key"]["key_ops"]) == {"sign", "verify", "deriveKey"}
    for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        m = pool.ok("POST", f"/keys/{name}/sign", {"alg": alg, "value": b64u(b"text")})["value"]
        assert unb64u(m) == hmac.new(k, b"text", digest).digest()
        v = pool.ok("POST", f"/keys/{name}/verify", {"alg": alg, "digest": b64u(b"text"), "value": m})
        assert v["value"] is True
    r = pool.call("POST", f"/keys/{name}/wrapkey", {"alg": "CKM_AES_KEY_WRAP", "value": b64u(bytes(16))})
    assert r.status_code == 403
    text = "An oct key of this size is for HMAC: it cannot encrypt, decrypt, wrapKey or unwrapKey."
    r = pool.call("PATCH", f"/keys/{name}", {"key_ops": ["wrapKey"]})
    assert r.status_code == 400 and pool.error(r) == ("BadParameter", text)
    refused(pool, name + "x", {"key": {"kty": "oct", "k": b64u(k), "key_ops": ["sign", "encrypt"]}}, text)


# ---- attributes, versions, names

def test_attributes_tags_and_key_ops(pool, name, p256):
    nbf, exp = int(time.time()) - 100, int(time.time()) + 86400
    b = put(pool, name, ec_jwk(p256, "P-256", key_ops=["sign", "sign"], kid="ignored", alg="ES256", use="sig"),
            Hsm=False, attributes={"enabled": False, "nbf": nbf, "exp": exp}, tags={"b": "2", "a": "1"})
    assert b["key"]["key_ops"] == ["sign"] and b["tags"] == {"a": "1", "b": "2"}
    a = b["attributes"]
    assert (a["enabled"], a["nbf"], a["exp"]) == (False, nbf, exp) and a["created"] == a["updated"]
    assert pool.ok("GET", f"/keys/{name}") == b


@pytest.mark.parametrize("ops", [[], None])
def test_no_key_ops_mean_the_defaults(pool, name, p256, ops):
    assert put(pool, name, ec_jwk(p256, "P-256", key_ops=ops))["key"]["key_ops"] == ["sign", "verify"]


def test_an_existing_name_gets_a_new_version(pool, name, p256):
    first = pool.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
    second = put(pool, name.upper(), ec_jwk(p256, "P-256"))
    assert second["key"]["kid"].rsplit("/", 1)[0] == first["key"]["kid"].rsplit("/", 1)[0]
    third = put(pool, name, {"kty": "oct", "k": b64u(os.urandom(32))})
    listed = [i["kid"] for i in pool.ok("GET", f"/keys/{name}/versions")["value"]]
    assert listed == [b["key"]["kid"] for b in (first, second, third)]
    assert pool.ok("GET", f"/keys/{name}") == third


def test_over_a_soft_deleted_name(pool, name, p256):
    put(pool, name, ec_jwk(p256, "P-256"))
    pool.ok("DELETE", f"/keys/{name}")
    refused(pool, name, {"key": ec_jwk(p256, "P-256")},
            f"Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this "
            "state, the key can only be recovered or purged.", 409, "Conflict")
    b = pool.ok("POST", f"/deletedkeys/{name}/recover")
    assert len(pool.ok("GET", f"/keys/{name}/versions")["value"]) == 1 and b["key"]["crv"] == "P-256"
    pool.ok("DELETE", f"/keys/{name}")
    pool.ok("DELETE", f"/deletedkeys/{name}")


def test_after_a_restart(pool, name, rsa2048):
    put(pool, name, rsa_jwk(rsa2048))
    pool.down()
    pool.up()
    digest = os.urandom(32)
    s = pool.ok("POST", f"/keys/{name}/sign", {"alg": "RS256", "value": b64u(digest)})["value"]
    rsa2048.public_key().verify(unb64u(s), digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))


# ---- what does not fit

def test_bodies(pool, name, p256):
    jwk = ec_jwk(p256, "P-256")
    for body, text in (({}, "Property 'key' is missing."), ({"key": None}, "Property 'key' is missing."),
                       ({"key": "x"}, "Property 'key' must be an object."),
                       ({"key": [jwk]}, "Property 'key' must be an object."),
                       ({"key": jwk, "attributes": {"exp": "x"}}, "Property 'exp' must be an integer."),
                       ({"key": jwk, "tags": {str(i): "" for i in range(16)}}, "A key can have at most 15 tags."),
                       ({"key": {**jwk, "x5c": ["A" * 33000]}}, "Property 'key' is longer than 32768 bytes."),
                       ({"key": jwk, "attributes": {"exportable": True}}, "Exportable keys must have release policy"),
                       ({"key": jwk, "release_policy": {"data": b64u(b"{}")}},
                        "Non-exportable keys must not have release policy")):
        refused(pool, name, body, text)
    d = jwk["d"]
    refused(pool, name, None, "The request body is not a valid JSON object.",
            raw=f'{{"key":{{"kty":"EC","crv":"P-256","d":"{d}","d":"{d}"}}}}')
    r = pool.call("PUT", f"/keys/{name}", raw='{"x":"' + "A" * 70000 + '"}')
    assert r.status_code == 413


def test_members_of_the_jwk(pool, name, p256, rsa2048):
    e, r, k = ec_jwk(p256, "P-256"), rsa_jwk(rsa2048), {"kty": "oct", "k": b64u(bytes(16))}
    for jwk, text in (({}, "kty is missing or unknown."), ({"kty": "rsa"}, "kty is missing or unknown."),
                      ({**e, "kty": "OKP"}, "kty is missing or unknown."),
                      ({**e, "kty": 1}, "kty property is malformed."),
                      ({**e, "crv": "P-255"}, "crv of the EC key is missing or unknown."),
                      ({**e, "crv": None}, "crv of the EC key is missing or unknown."),
                      ({**e, "key_ops": ["fly"]}, "key_ops contains an unknown operation."),
                      ({**e, "key_ops": "sign"}, "key_ops property is malformed."),
                      ({**e, "d": None}, "d of the EC key is required."),
                      ({**e, "d": 5}, "d property is malformed."), ({**e, "d": "A"}, "d property is malformed."),
                      ({**e, "d": "+/"}, "d property is malformed."), ({**e, "d": ""}, "d is not in the range of the curve."),
                      ({**e, "x": None}, "x and y of the EC key belong together."),
                      ({**e, "x": e["y"], "y": e["x"]}, "x and y are not the public key of d."),
                      ({**k, "k": None}, "k of the oct key is missing or empty."),
                      ({**k, "k": ""}, "k of the oct key is missing or empty."),
                      ({**k, "k": b64u(bytes(65))}, "k property of oct key is too large, maximum size is 64"),
                      ({**k, "k": b64u(bytes(900))}, "k property of oct key is too large, maximum size is 64"),
                      ({**k, "k": "AB"}, "k property is malformed."),
                      ({**r, "d": None}, "n, e and d of the RSA key are required."),
                      ({**r, "p": None, "q": None, "dp": None, "dq": None, "qi": None},
                       "p and q of the RSA key are required."),
                      ({**r, "e": "Ag"}, "e must be an odd number from 3 to 2^64 - 1."),
                      ({**r, "n": b64u(b"\xff" * 513)}, "n property is too large."),
                      ({**r, "oth": []}, "RSA keys of more than two primes are not supported."),
                      ({**r, "dp": r["dq"], "dq": r["dp"]}, "dp is not d modulo p - 1."),
                      ({**r, "qi": "AQ"}, "qi is not the inverse of q modulo p."),
                      ({**r, "n": b64u(b"\xff" * 256)}, "n is not the product of p and q."),
                      ({**k, **{f"m{i}": 0 for i in range(100)}}, "it has too many members.")):
        refused(pool, name, {"key": jwk}, f"JSON Web Key: {text}")
    small = rsa_jwk(rsa.generate_private_key(65537, 1024))
    refused(pool, name, {"key": small}, "JSON Web Key: the RSA key must have 2048, 3072 or 4096 bits.")
    refused(pool, name, {"key": {**e, "key_ops": ["import"]}}, "import is for RSA-HSM keys only.")
    refused(pool, name, {"key": {**r, "key_ops": ["import", "sign"]}},
            "import must be the only operation of a key.")


def test_wrong_places(pool, name, p256):
    assert pool.call("PUT", f"/keys/{name}/" + "0" * 32, {"key": ec_jwk(p256, "P-256")}).status_code == 405
    assert pool.call("PUT", "/keys/bad_name", {"key": ec_jwk(p256, "P-256")}).status_code == 400


def test_who_may_import(pool, name, p256):
    body = {"key": ec_jwk(p256, "P-256")}
    r = pool.call("PUT", f"/keys/{name}", body, token=pool.guest_token())
    assert r.status_code == 403 and pool.error(r) == (
        "AccessDenied", "Not authorized to access Microsoft.KeyVault/managedHsm/keys/import/action on /keys")
    assert pool.call("PUT", f"/keys/{name}", body, token="").status_code == 401
    assert pool.call("GET", f"/keys/{name}").status_code == 404
