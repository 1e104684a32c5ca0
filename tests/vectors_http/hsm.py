"""Imported keys and operations on them over HTTPS: several threads, each with a connection that stays open, because
thousands of vectors must not take minutes."""
import base64
import concurrent.futures
import http.client
import json
import ssl
import threading

import keyhold

THREADS = 4
VERSIONS = 60  # imports under one name; a key has at most 100 versions, a pool at most 5000 keys
SIGN = ["sign", "verify"]
EVERY = ["encrypt", "decrypt", "wrapKey", "unwrapKey", *SIGN]
# Every failure that depends on key bytes has this text and no other.
FAILED = "The cryptographic input could not be processed."
WIDTH = {"P-256": 32, "P-256K": 32, "P-384": 48, "P-521": 66}


def operations(jwk):
    """All that the key can do; an oct key of another size than AES has is for HMAC."""
    aes = jwk["kty"] == "oct" and len(unb64u(jwk["k"])) in (16, 24, 32)
    return EVERY if aes or jwk["kty"] == "RSA" else SIGN


class Refusal(str):
    """The text of a 400 BadParameter."""


def b64u(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def unb64u(s):
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


def number(n, width=None):
    return b64u(n.to_bytes(width or max(1, (n.bit_length() + 7) // 8), "big"))


def number_of(text):
    return int.from_bytes(unb64u(text), "big")


def oct_key(raw):
    return {"kty": "oct", "k": b64u(raw)}


def ec_key(crv, d, x, y):
    w = WIDTH[crv]
    return {"kty": "EC", "crv": crv, "d": number(d, w), "x": number(x, w), "y": number(y, w)}


def rsa_key(n, e, d, p, q, dp=None, dq=None, qi=None):
    return {"kty": "RSA", "n": number(n), "e": number(e), "d": number(d), "p": number(p), "q": number(q),
            "dp": number(dp or d % (p - 1)), "dq": number(dq or d % (q - 1)), "qi": number(qi or pow(q, -1, p))}


class Hsm:
    def __init__(self, pool):
        self.pool = pool
        self.tls = ssl.create_default_context(cafile=pool.ca)
        self.headers = {"Authorization": f"Bearer {pool.token()}", "Content-Type": "application/json"}
        self.local = threading.local()
        self.lock = threading.Lock()
        self.imported = {}
        self.names = 0
        self.workers = concurrent.futures.ThreadPoolExecutor(THREADS)

    def map(self, function, items):
        """function(item) of all items, in several threads; the first exception is raised here."""
        return list(self.workers.map(function, items))

    def request(self, method, path, body):
        c = getattr(self.local, "connection", None)
        if c is None:
            c = http.client.HTTPSConnection("127.0.0.1", self.pool.port, context=self.tls, timeout=60)
            c.set_tunnel(f"{self.pool.name}.managedhsm.localhost", self.pool.port)
            self.local.connection = c
        c.request(method, f"{path}?api-version={keyhold.API}", json.dumps(body).encode(), self.headers)
        r = c.getresponse()
        return r.status, json.loads(r.read())

    def answer(self, method, path, body):
        """The answer of a 200, or the Refusal; anything else is a failure of the test."""
        status, got = self.request(method, path, body)
        if status == 200:
            return got
        assert status == 400 and got["error"]["code"] == "BadParameter", (method, path, status, got)
        return Refusal(got["error"]["message"].partition(" (Activity ID: ")[0])

    def bundle(self, jwk):
        """Import a key; its "key" member, or the Refusal. The same material is imported once."""
        with self.lock:
            known = self.imported.get(json.dumps(jwk))
            if known is None:
                known = self.imported[json.dumps(jwk)] = concurrent.futures.Future()
                mine, name = True, f"vectors-{self.names // VERSIONS}"
                self.names += 1
            else:
                mine = False
        if mine:
            body = {"key": {**jwk, "key_ops": operations(jwk)}, "tags": {"purpose": "vectors"}}
            try:
                got = self.answer("PUT", f"/keys/{name}", body)
                known.set_result(got if isinstance(got, Refusal) else got["key"])
            except BaseException as e:
                known.set_exception(e)
        return known.result()

    def key(self, jwk):
        """The path of an imported key."""
        key = self.bundle(jwk)
        assert not isinstance(key, Refusal), f"import refused: {key}"
        return "/keys/" + key["kid"].split("/keys/", 1)[1]

    def do(self, path, op, alg, value, **more):
        """The value of the answer as bytes (verify: as bool), or the Refusal."""
        body = {"alg": alg, "value": b64u(value), **{k: b64u(v) for k, v in more.items()}}
        got = self.answer("POST", f"{path}/{op}", body)
        if isinstance(got, Refusal):
            return got
        assert got["alg"] == alg
        return got["value"] if op == "verify" else unb64u(got["value"])

    def seal(self, path, alg, value, aad=None):
        """AES-GCM encryption: (value, iv, tag)."""
        body = {"alg": alg, "value": b64u(value), **({} if aad is None else {"aad": b64u(aad)})}
        got = self.answer("POST", f"{path}/encrypt", body)
        assert not isinstance(got, Refusal), got
        return unb64u(got["value"]), unb64u(got["iv"]), unb64u(got["tag"])
