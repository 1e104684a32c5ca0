"""The table: one row for every operation and kind of key. A row names its baseline and, if it has one, its target
for the ratio of rates."""
import dataclasses
import os
import typing

from rig import b64u

RSA_SIZES = (2048, 3072, 4096)
CURVES = {"P-256": ("ES256", 32, "p256"), "P-384": ("ES384", 48, "p384"), "P-521": ("ES512", 64, "p521"),
          "P-256K": ("ES256K", 32, "p256k")}
SIGN_TARGET = {"RSA-2048": 0.90, "RSA-3072": 0.96, "RSA-4096": 0.96, "P-256": 0.50, "P-384": 0.90, "P-521": 0.90,
               "P-256K": 0.90}
NGINX, NONE = "nginx static TLS", None
PAGE = 25  # keys in a list, versions of a key


@dataclasses.dataclass
class Row:
    group: str
    name: str
    base: typing.Optional[str]  # operation of bench-raw, NGINX, or none
    target: typing.Optional[float]
    make: typing.Callable  # rig -> request file


def call(key, op, body):
    """POST on a key; body: a dict, or what makes one from the rig."""
    def make(rig):
        return rig.request("POST", f"{rig.kid_path(key)}/{op}", body(rig) if callable(body) else body)
    return make


def first(key, op, body):
    """The answer of a call that another one is made from."""
    return lambda rig: rig.pool.ok("POST", f"{rig.kid_path(key)}/{op}", body)


def digest(n):
    return b64u(os.urandom(n))


def verify_row(key, alg, n):
    def body(rig):
        d = digest(n)
        return {"alg": alg, "digest": d, "value": first(key, "sign", {"alg": alg, "value": d})(rig)["value"]}
    return call(key, "verify", body)


def back_row(key, there, back, request):
    """The operation that undoes another one."""
    def body(rig):
        r = first(key, there, request)(rig)
        return {k: v for k, v in r.items() if k in ("value", "iv", "aad", "tag")} | {"alg": request["alg"]}
    return call(key, back, body)


def sign_rows():
    for bits in RSA_SIZES:
        yield Row("sign", f"RSA-{bits} sign RS256", f"rsa{bits}-sign", SIGN_TARGET[f"RSA-{bits}"],
                  call(f"rsa-{bits}", "sign", {"alg": "RS256", "value": digest(32)}))
    for crv, (alg, n, raw_name) in CURVES.items():
        yield Row("sign", f"EC {crv} sign {alg}", f"{raw_name}-sign", SIGN_TARGET[crv],
                  call(f"ec-{crv}", "sign", {"alg": alg, "value": digest(n)}))
    yield Row("sign", "oct HS256 sign", NGINX, None, call("mac", "sign", {"alg": "HS256", "value": digest(32)}))


def verify_rows():
    for bits in RSA_SIZES:
        yield Row("verify", f"RSA-{bits} verify RS256", f"rsa{bits}-verify", None, verify_row(f"rsa-{bits}", "RS256", 32))
    for crv, (alg, n, raw_name) in CURVES.items():
        yield Row("verify", f"EC {crv} verify {alg}", f"{raw_name}-verify", None, verify_row(f"ec-{crv}", alg, n))
    yield Row("verify", "oct HS256 verify", NGINX, None, verify_row("mac", "HS256", 32))


def cipher_rows():
    for bits in RSA_SIZES:
        request = {"alg": "RSA-OAEP-256", "value": digest(32)}
        yield Row("cipher", f"RSA-{bits} encrypt RSA-OAEP-256", f"rsa{bits}-encrypt", None,
                  call(f"rsa-{bits}", "encrypt", request))
        yield Row("cipher", f"RSA-{bits} decrypt RSA-OAEP-256", f"rsa{bits}-decrypt", None,
                  back_row(f"rsa-{bits}", "encrypt", "decrypt", request))
    for alg, more in (("A256GCM", {}), ("A256CBCPAD", {"iv": digest(16)})):
        request = {"alg": alg, "value": digest(256), **more}
        yield Row("cipher", f"AES-256 encrypt {alg}", NGINX, None, call("aes", "encrypt", request))
        yield Row("cipher", f"AES-256 decrypt {alg}", NGINX, None, back_row("aes", "encrypt", "decrypt", request))


def wrap_rows():
    rsa, kw = {"alg": "RSA-OAEP-256", "value": digest(32)}, {"alg": "A256KW", "value": digest(32)}
    yield Row("wrap", "RSA-2048 wrapKey RSA-OAEP-256", "rsa2048-encrypt", None, call("rsa-2048", "wrapkey", rsa))
    yield Row("wrap", "RSA-2048 unwrapKey RSA-OAEP-256", "rsa2048-decrypt", None,
              back_row("rsa-2048", "wrapkey", "unwrapkey", rsa))
    yield Row("wrap", "AES-256 wrapKey A256KW", NGINX, 0.60, call("aes", "wrapkey", kw))
    yield Row("wrap", "AES-256 unwrapKey A256KW", NGINX, None, back_row("aes", "wrapkey", "unwrapkey", kw))


def read_rows():
    yield Row("read", "get key", NGINX, 0.70, lambda rig: rig.request("GET", rig.kid_path("aes")))
    yield Row("read", f"list keys, page of {PAGE}", NGINX, None,
              lambda rig: rig.request("GET", f"/keys?maxresults={PAGE}"))
    yield Row("read", f"list versions, page of {PAGE}", NGINX, None,
              lambda rig: rig.request("GET", f"/keys/many/versions?maxresults={PAGE}"))
    yield Row("read", "random bytes, 32", NGINX, None, lambda rig: rig.request("POST", "/rng", {"count": 32}))


def all_rows():
    return [*sign_rows(), *verify_rows(), *cipher_rows(), *wrap_rows(), *read_rows()]


def prepare(rig):
    ok = rig.pool.ok
    for bits in RSA_SIZES:
        ok("POST", f"/keys/rsa-{bits}/create", {"kty": "RSA-HSM", "key_size": bits})
    for crv in CURVES:
        ok("POST", f"/keys/ec-{crv}/create", {"kty": "EC-HSM", "crv": crv})
    ok("POST", "/keys/aes/create", {"kty": "oct-HSM", "key_size": 256})
    ok("POST", "/keys/mac/create", {"kty": "oct-HSM", "key_size": 256, "key_ops": ["sign", "verify"]})
    for _ in range(PAGE):
        ok("POST", "/keys/many/create", {"kty": "EC-HSM", "crv": "P-256"})
    for i in range(PAGE):
        ok("POST", f"/keys/page-{i}/create", {"kty": "oct-HSM", "key_size": 256})
    # What nginx answers is as long as what the pool answers.
    texts = {"/": rig.pool.call("GET", rig.kid_path("aes")).text}
    for where, path in (("= /keys", f"/keys?maxresults={PAGE}"), ("~ /versions$", f"/keys/many/versions?maxresults={PAGE}")):
        texts[where] = rig.pool.call("GET", path).text
    return texts
