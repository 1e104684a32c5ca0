"""Tokens that look almost right, for test_bad_input.py."""
import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

FREE = "33333333-2222-4333-8444-555555555555"


def b64u(b):
    return base64.urlsafe_b64encode(b if isinstance(b, bytes) else json.dumps(b).encode()).decode().rstrip("=")


def unb64u(s):
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


def signed(head, payload, key):
    text = f"{b64u(head)}.{b64u(payload)}"
    return f"{text}.{b64u(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def public_pem(own, kid):
    r = own.session.get(f"{own.url}/{own.env['KEYHOLD_TENANT']}/discovery/v2.0/keys", verify=own.ca)
    jwk = next(k for k in r.json()["keys"] if k["kid"] == kid)
    numbers = rsa.RSAPublicNumbers(*(int.from_bytes(unb64u(jwk[m]), "big") for m in "en"))
    return numbers.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hs256(head, payload, secret):
    text = f"{b64u({**head, 'alg': 'HS256'})}.{b64u(payload)}"
    return f"{text}.{b64u(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


MALFORMED = "Error decoding or parsing JWT components"
SIGNATURE = "Signature validation failed"


def bad_tokens(own, parts):
    """what -> (token, text or None)"""
    head, payload, sig = parts
    mine = rsa.generate_private_key(65537, 2048)
    own_jwk = {"kty": "RSA", "e": "AQAB", "n": b64u(mine.public_key().public_numbers().n.to_bytes(256, "big"))}
    pem = public_pem(own, head["kid"])
    now = int(time.time())
    guest = own.guest_token().split(".")
    good = own.token()
    edits = {"expired": {"exp": now - 10000}, "later expiry": {"exp": now + 10 ** 6}, "not yet": {"nbf": now + 10000},
             "other tenant": {"tid": FREE}, "other audience": {"aud": "https://vault.azure.net"},
             "other principal": {"oid": FREE}, "groups": {"groups": [own.env["KEYHOLD_ADMIN_OID"]]}}
    t = {f"edited: {k}": (f"{b64u(head)}.{b64u({**payload, **v})}.{sig}", SIGNATURE) for k, v in edits.items()}
    t |= {f"own key: {k}": (signed(head, {**payload, **v}, mine), SIGNATURE) for k, v in edits.items()}
    t |= {
        "guest's signature under the administrator's claims": (".".join(good.split(".")[:2]) + "." + guest[2], SIGNATURE),
        "guest's payload": (f"{good.split('.')[0]}.{guest[1]}.{sig}", SIGNATURE),
        "own issuer": (signed(head, {**payload, "iss": "https://sts.windows.net/" + FREE + "/"}, mine), None),
        "own kid": (signed({**head, "kid": "mine"}, payload, mine), SIGNATURE),
        "no kid": (signed({k: v for k, v in head.items() if k not in ("kid", "x5t")}, payload, mine), None),
        "embedded key": (signed({**head, "jwk": own_jwk}, payload, mine), None),
        "key's address": (signed({**head, "jku": "https://localhost:1/keys"}, payload, mine), None),
        "critical": (signed({**head, "crit": ["exp"]}, payload, mine), None),
        "alg none": (f"{b64u({**head, 'alg': 'none'})}.{b64u(payload)}.", None),
        "alg None with a signature": (f"{b64u({**head, 'alg': 'None'})}.{b64u(payload)}.{sig}", None),
        "no alg": (f"{b64u({'kid': head['kid'], 'typ': 'JWT'})}.{b64u(payload)}.{sig}", None),
        "HS256 with the public key": (hs256(head, payload, pem), None),
        "HS256 with an empty key": (hs256(head, payload, b""), None),
        "no signature": (".".join(good.split(".")[:2]) + ".", None),
        "two parts": (".".join(good.split(".")[:2]), MALFORMED), "four parts": (good + ".AAAA", MALFORMED),
        "cut": (good[:-1], None), "flipped": (good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:], SIGNATURE),
        "padded": (good + "==", None), "dots": ("..", MALFORMED), "junk": ("junk", MALFORMED),
        "junk with dots": ("a.b.c", MALFORMED), "JSON": ('{"a":1}', MALFORMED), "standard alphabet": ("+/+/.+/+/.+/+/", MALFORMED),
        "header no JSON": (f"{b64u(b'x')}.{b64u(payload)}.{sig}", MALFORMED),
        "payload no JSON": (f"{b64u(head)}.{b64u(b'{')}.{sig}", None),
        "payload an array": (f"{b64u(head)}.{b64u([payload])}.{sig}", None),
        "duplicate claim": (f"{b64u(head)}.{b64u(json.dumps(payload)[:-1].encode() + b',' + b64u_dup(payload))}.{sig}", None),
        "16 KB": ("A" * 16384, MALFORMED), "16 KB of a token": (good + "A" * (16384 - len(good)), None),
        "17 KB": ("A" * 17000, MALFORMED),
    }
    return t


def b64u_dup(payload):
    return f'"oid":{json.dumps(payload["oid"])}}}'.encode()
