"""Bring your own key: what another HSM wrapped for a key exchange key becomes a key here, and nobody sees it."""
import base64
import json
import os
import pathlib
import uuid

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import keyhold
from test_import import b64u, number, rsa_jwk, unb64u

VECTORS = keyhold.ROOT / "tests/vectors/byok"
GOOD = ["rsa2048", "ecp256", "ecp521", "aes128", "aes256", "var-padded-base64url", "var-aes128-ephemeral"]
UNWRAP = "Key transfer blob: it cannot be unwrapped to a key of this type."


@pytest.fixture
def name():
    return "b-" + uuid.uuid4().hex[:12]


@pytest.fixture(scope="module")
def kek(pool):
    """The key exchange key of the vectors, in the pool: versioned id."""
    private = serialization.load_pem_private_key((VECTORS / "kek-private.pem").read_bytes(), None)
    b = pool.ok("PUT", "/keys/byok-kek-" + uuid.uuid4().hex[:8], {"key": rsa_jwk(private, key_ops=["import"])})
    assert b["key"]["key_ops"] == ["import"]
    return b["key"]["kid"]


def blob(vector, kid, **header):
    b = json.loads((VECTORS / f"{vector}.byok").read_text())
    b["header"] = {**b["header"], "kid": kid, **header}
    return json.dumps(b).encode()


def shape(vector):
    kind = vector if vector in ("rsa2048", "ecp256", "ecp521", "aes128") else "aes256"
    return {"rsa2048": {"kty": "RSA-HSM"}, "ecp256": {"kty": "EC-HSM", "crv": "P-256"},
            "ecp521": {"kty": "EC-HSM", "crv": "P-521"}, "aes128": {"kty": "oct-HSM"}, "aes256": {"kty": "oct-HSM"}}[kind], kind


def put(pool, name, file, **jwk):
    return pool.call("PUT", f"/keys/{name}", {"key": {"kty": "RSA-HSM", **jwk, "key_hsm": b64u(file)}, "Hsm": False,
                                              "attributes": {"enabled": True}})


def is_that_key(pool, name, kind, bundle):
    plain = (VECTORS / f"{kind}.plain").read_bytes()
    if kind.startswith("aes"):
        dek = os.urandom(32)
        r = pool.ok("POST", f"/keys/{name}/wrapkey", {"alg": f"A{len(plain) * 8}KW", "value": b64u(dek)})
        assert keywrap.aes_key_unwrap(plain, unb64u(r["value"])) == dek
        return
    key = serialization.load_der_private_key(plain, None)
    if kind == "rsa2048":
        assert bundle["key"]["n"] == number(key.public_key().public_numbers().n)
        digest = os.urandom(32)
        s = pool.ok("POST", f"/keys/{name}/sign", {"alg": "PS256", "value": b64u(digest)})["value"]
        key.public_key().verify(unb64u(s), digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                                utils.Prehashed(hashes.SHA256()))
        return
    n, md = (32, hashes.SHA256()) if kind == "ecp256" else (64, hashes.SHA512())
    digest = os.urandom(n)
    s = unb64u(pool.ok("POST", f"/keys/{name}/sign", {"alg": "ES256" if n == 32 else "ES512", "value": b64u(digest)})["value"])
    half = len(s) // 2
    der = utils.encode_dss_signature(int.from_bytes(s[:half], "big"), int.from_bytes(s[half:], "big"))
    key.public_key().verify(der, digest, ec.ECDSA(utils.Prehashed(md)))


@pytest.mark.parametrize("vector", GOOD)
def test_vectors(pool, kek, name, vector):
    jwk, kind = shape(vector)
    r = put(pool, name, blob(vector, kek), **jwk)
    assert r.status_code == 200, r.text
    assert not {"d", "k", "p", "q", "key_hsm"} & set(r.json()["key"])
    assert r.json()["key"]["kty"] == jwk["kty"] and r.json()["attributes"]["exportable"] is False
    is_that_key(pool, name, kind, r.json())


@pytest.mark.parametrize("vector", ["neg-oaep-sha256", "neg-tampered", "neg-not-pkcs8"])
def test_broken_blobs_have_one_answer(pool, kek, name, vector):
    r = put(pool, name, blob(vector, kek), kty="RSA-HSM" if vector == "neg-not-pkcs8" else "oct-HSM")
    assert r.status_code == 400 and pool.error(r) == ("BadParameter", UNWRAP)
    assert pool.call("GET", f"/keys/{name}").status_code == 404


def test_what_does_not_fit_is_refused(pool, kek, name):
    good = blob("rsa2048", kek)
    host, path = kek.split("/keys/")
    plain_rsa = pool.ok("POST", f"/keys/{name}-rsa/create", {"kty": "RSA-HSM"})["key"]["kid"]
    for file, jwk, text in (
            (blob("neg-truncated", kek), {}, "Key transfer blob: the length of ciphertext does not fit the key exchange key."),
            (good, {"kty": "EC-HSM", "crv": "P-256"}, UNWRAP), (good, {"kty": "oct-HSM"}, UNWRAP),
            (blob("ecp256", kek), {"kty": "EC-HSM", "crv": "P-384"}, UNWRAP),
            (blob("aes256", kek), {"kty": "RSA-HSM"}, UNWRAP),
            (good, {"kty": "what"}, "JSON Web Key: kty is missing or unknown."),
            (good, {"d": "AQ"}, "JSON Web Key: beside key_hsm there must be no numbers of a key."),
            (good, {"key_ops": ["fly"]}, "JSON Web Key: key_ops contains an unknown operation."),
            (good, {"key_ops": ["import", "sign"]}, "import must be the only operation of a key."),
            (b"{}", {}, "Key transfer blob: schema_version must be 1.0.0."),
            (b"garbage", {}, "Key transfer blob: it is not a valid JSON object."),
            (blob("rsa2048", kek, enc="RSA_AES_KEY_WRAP_256"), {}, "Key transfer blob: header.enc must be CKM_RSA_AES_KEY_WRAP."),
            (blob("rsa2048", f"{host}/keys/no-such-key"), {}, "Key transfer blob: header.kid is no key of this HSM."),
            (blob("rsa2048", f"{host}/keys/{path.split('/')[0]}/" + "0" * 32), {}, "Key transfer blob: header.kid is no key of this HSM."),
            (blob("rsa2048", plain_rsa), {},
             "Key transfer blob: header.kid is no key exchange key; its key_ops must be import."),
            (b" " * 16390, {}, "JSON Web Key: key_hsm is longer than a file of 16384 bytes.")):
        r = put(pool, name, file, **jwk)
        assert r.status_code == 400 and pool.error(r) == ("BadParameter", text), (r.text, text)
    r = pool.call("PUT", f"/keys/{name}", {"key": {"kty": "RSA-HSM", "key_hsm": "*"}})
    assert pool.error(r) == ("BadParameter", "JSON Web Key: key_hsm is not base64url of a key transfer blob.")
    assert pool.call("GET", f"/keys/{name}").status_code == 404


def test_a_disabled_key_exchange_key_unwraps_nothing(pool, name):
    kid = pool.ok("POST", f"/keys/{name}-kek/create", {"kty": "RSA-HSM", "key_ops": ["import"]})["key"]["kid"]
    pool.ok("PATCH", f"/keys/{name}-kek", {"attributes": {"enabled": False}})
    r = put(pool, name, blob("aes256", kid), kty="oct-HSM")
    assert r.status_code == 403 and pool.error(r)[0] == "Forbidden"


def wrap(public, plain):
    """CKM_RSA_AES_KEY_WRAP as a source HSM makes it."""
    aes = os.urandom(32)
    sealed = public.encrypt(aes, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    return sealed + keywrap.aes_key_wrap_with_padding(aes, plain)


def test_with_az(pool, name, tmp_path, make_az):
    """The documented way: key exchange key by az, blob by a source HSM, import by az, with a new version on top."""
    env = pool.client_env()
    az = make_az(env)
    az("cloud", "register", "--name", "Keyhold", "--endpoint-resource-manager", env["KEYHOLD_ORIGIN"])
    az("cloud", "set", "--name", "Keyhold")
    az("login", "--service-principal", "-u", env["KEYHOLD_CLIENT_ID"], "-p", env["KEYHOLD_CLIENT_SECRET"], "-t",
       env["KEYHOLD_TENANT"])
    kek = az("keyvault", "key", "create", "--hsm-name", pool.name, "--name", f"{name}-kek", "--kty", "RSA-HSM", "--size", "4096",
             "--ops", "import")["key"]["kid"]
    pem = tmp_path / "kek.pem"
    az("keyvault", "key", "download", "--hsm-name", pool.name, "--name", f"{name}-kek", "--file", str(pem))
    public = serialization.load_pem_public_key(pem.read_bytes())
    mine = rsa.generate_private_key(65537, 3072)
    der = mine.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = pathlib.Path(tmp_path / "mine.byok")
    file.write_text(json.dumps({"schema_version": "1.0.0", "header": {"kid": kek, "alg": "dir", "enc": "CKM_RSA_AES_KEY_WRAP"},
                                "ciphertext": base64.urlsafe_b64encode(wrap(public, der)).decode(), "generator": "a test"}))
    first = az("keyvault", "key", "import", "--hsm-name", pool.name, "--name", name, "--byok-file", str(file),
               "--ops", "wrapKey", "unwrapKey")
    assert sorted(first["key"]["keyOps"]) == ["unwrapKey", "wrapKey"]
    second = az("keyvault", "key", "import", "--hsm-name", pool.name, "--name", name, "--byok-file", str(file))
    assert first["key"]["kid"] != second["key"]["kid"]
    c = mine.public_key().encrypt(b"data key", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    r = pool.ok("POST", f"/keys/{name}/unwrapkey", {"alg": "RSA-OAEP-256", "value": b64u(c)})
    assert unb64u(r["value"]) == b"data key"
