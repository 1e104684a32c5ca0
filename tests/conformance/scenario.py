"""The scenario that every client program runs: its steps, and the keys and values made outside of the pool for it."""
import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# name, what a program does under it. All names of keys begin with conf-<program>-.
STEPS = (
    ("own-names", "read a key through the pool's own name and its own authority instead of the public cloud's names"),
    ("create-rsa", "RSA of 2048 bits: RSA-HSM, n of 256 bytes, e 65537, no private part"),
    ("create-ec", "EC on P-256, P-384, P-521, P-256K"),
    ("create-oct", "oct of 128, 192, 256 bits: no key material in the answer"),
    ("import-rsa", "import a JWK; decrypt what was encrypted with its public half outside"),
    ("import-ec", "import a JWK; verify a signature made outside, refuse it for another digest"),
    ("import-oct", "import a JWK; open an AES-GCM text sealed outside"),
    ("get", "the newest version and, by its id, an older one"),
    ("update", "tags, expiry and enabled, read back"),
    ("list-keys", "28 keys of its own, more than a page"),
    ("list-versions", "28 versions of one key, more than a page"),
    ("encrypt-RSA-OAEP-256", "encrypt, decrypt; a damaged text is refused"),
    ("encrypt-A256GCM", "encrypt with associated data, decrypt; other associated data is refused"),
    ("encrypt-A256CBCPAD", "encrypt, decrypt"),
    ("wrap-RSA-OAEP-256", "wrap, unwrap"),
    ("wrap-A256KW", "wrap, unwrap; a damaged text is refused"),
    ("sign-RS256", "sign, verify; the signature also holds outside"),
    ("sign-PS256", "as above"),
    ("sign-ES256", "as above"),
    ("sign-ES384", "as above"),
    ("sign-ES512", "as above"),
    ("sign-ES256K", "as above"),
    ("rotation-policy", "set a policy with an expiry and a rotation, read it back"),
    ("rotate", "a new version of the same kind, the old one still there"),
    ("delete", "delete and wait; the key is gone with the client's error for that, its name stays taken"),
    ("get-deleted", "the deleted key with its dates"),
    ("list-deleted", "28 deleted keys, more than a page"),
    ("recover", "the same version comes back"),
    ("purge", "the name is free again"),
    ("backup-restore", "back up, delete, purge, restore: the same version, a signature of the old one holds"),
    ("random-bytes", "two times 32 bytes that differ"),
    ("settings-list", "all settings, and one by name"),
    ("settings-update", "set one setting to its other value and back"),
    ("role-definitions", "the built-in roles are listed"),
    ("role-definition-custom", "make a role, read, change and delete it"),
    ("refused", "a second principal is refused with the client's error for 403"),
    ("role-assignment-create", "a role at one key for the second principal"),
    ("role-assignment-get", "read it"),
    ("role-assignment-list", "it is in the list"),
    ("accepted", "the second principal may now use this key, and no other"),
    ("role-assignment-delete", "after it the second principal is refused again, with the token that it has"),
    ("not-found", "the client's error for 404, with the code of the service"),
)


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, length=None):
    return b64u(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def material():
    """Keys for import with something that only they can open or check."""
    text = b"made outside of the pool"
    key = rsa.generate_private_key(65537, 2048)
    n = key.private_numbers()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    made = {"rsa": {"n": number(n.public_numbers.n, 256), "e": number(n.public_numbers.e), "d": number(n.d, 256),
                    "p": number(n.p, 128), "q": number(n.q, 128), "dp": number(n.dmp1, 128),
                    "dq": number(n.dmq1, 128), "qi": number(n.iqmp, 128), "plaintext": b64u(text),
                    "ciphertext": b64u(key.public_key().encrypt(text, oaep))}}
    key = ec.generate_private_key(ec.SECP256R1())
    n = key.private_numbers()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text)
    digest = digest.finalize()
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
    made["ec"] = {"crv": "P-256", "x": number(n.public_numbers.x, 32), "y": number(n.public_numbers.y, 32),
                  "d": number(n.private_value, 32), "digest": b64u(digest),
                  "signature": b64u(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}
    key = AESGCM.generate_key(256)
    sealed = AESGCM(key).encrypt(b"twelve bytes", text, b"about")
    made["oct"] = {"k": b64u(key), "iv": b64u(b"twelve bytes"), "aad": b64u(b"about"), "plaintext": b64u(text),
                   "ciphertext": b64u(sealed[:-16]), "tag": b64u(sealed[-16:])}
    return made


CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "P-256K": ec.SECP256K1}


def holds(proof):
    """Whether a reported signature holds, computed outside of the pool and of the client."""
    digest, signature = unb64u(proof["digest"]), unb64u(proof["signature"])
    made = {"2": hashes.SHA256, "3": hashes.SHA384, "5": hashes.SHA512}[proof["alg"][2]]()
    value = {k: int.from_bytes(unb64u(proof[k]), "big") for k in ("n", "e", "x", "y") if k in proof}
    try:
        if proof["alg"].startswith("ES"):
            public = ec.EllipticCurvePublicNumbers(value["x"], value["y"], CURVES[proof["crv"]]()).public_key()
            half = len(signature) // 2
            der = utils.encode_dss_signature(int.from_bytes(signature[:half], "big"),
                                             int.from_bytes(signature[half:], "big"))
            public.verify(der, digest, ec.ECDSA(utils.Prehashed(made)))
        else:
            public = rsa.RSAPublicNumbers(value["e"], value["n"]).public_key()
            kind = (padding.PKCS1v15() if proof["alg"].startswith("RS")
                    else padding.PSS(padding.MGF1(made), made.digest_size))
            public.verify(signature, digest, kind, utils.Prehashed(made))
    except InvalidSignature:
        return False
    return True
