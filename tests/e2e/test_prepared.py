"""RSA keys that are made in advance: used once, real keys, gone with the process."""
import base64
import concurrent.futures
import time

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

import keyhold

WANT = {"2048": 3, "3072": 1, "4096": 1}


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def number(s):
    return int.from_bytes(base64.urlsafe_b64decode(s + "=" * (-len(s) % 4)), "big")


def wait_prepared(p, want):
    p.hurry()
    end = time.monotonic() + 100
    while p.status()["preparedKeys"] != want and time.monotonic() < end:
        time.sleep(0.2)
    assert p.status()["preparedKeys"] == want, p.logs()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A pool with a small stock."""
    p = keyhold.Pool(name="prepared")
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        p.down()
        p.configure(preparedKeys=WANT)
        p.up()
        yield p
    finally:
        p.stop()


def public(bundle):
    key = bundle["key"]
    assert key["e"] == "AQAB"
    return rsa.RSAPublicNumbers(65537, number(key["n"])).public_key()


def test_prepared_keys_are_keys(own):
    """One of each size comes out of the stock, another exponent does not, and each works."""
    wait_prepared(own, WANT)
    for size in (2048, 3072, 4096):
        made = own.ok("POST", f"/keys/k{size}/create", {"kty": "RSA-HSM", "key_size": size})
        assert public(made).key_size == size
        digest = bytes(range(32))
        s = own.ok("POST", f"/keys/k{size}/sign", {"alg": "PS256", "value": b64u(digest)})["value"]
        public(made).verify(base64.urlsafe_b64decode(s + "=="), digest,
                            padding.PSS(padding.MGF1(hashes.SHA256()), 32), utils.Prehashed(hashes.SHA256()))
        c = public(made).encrypt(b"secret", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
        assert own.ok("POST", f"/keys/k{size}/decrypt", {"alg": "RSA-OAEP-256", "value": b64u(c)})["value"] == \
            b64u(b"secret")
    made = own.ok("POST", "/keys/three/create", {"kty": "RSA-HSM", "public_exponent": 3})
    assert made["key"]["e"] == "Aw"


def test_more_than_there_are_at_once(own):
    """Six callers for at most three prepared keys: the others wait for theirs, and no two get the same."""

    def create(i):
        with requests.Session() as s:
            s.trust_env = False
            return own.ok("POST", f"/keys/many{i}/create", {"kty": "RSA-HSM"}, session=s)["key"]["n"]

    own.token()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        made = list(pool.map(create, range(6)))
    assert len(set(made)) == 6


def test_they_end_with_the_process_and_can_be_turned_off(own):
    keys = own.status()["keys"]
    own.down()
    own.configure(preparedKeys={size: 0 for size in WANT})
    own.up()
    status = own.status()
    assert status["keys"] == status["versions"] == keys
    assert sum(status["preparedKeys"].values()) == 0
    assert public(own.ok("POST", "/keys/off/create", {"kty": "RSA-HSM"})).key_size == 2048
