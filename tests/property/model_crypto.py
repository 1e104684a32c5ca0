"""Cryptography of the reference model. Ciphertexts and signatures are known by what they were made of, not computed."""
import dataclasses
import re

from parts import Answer, Refused, b64u, blob, require

SIGNATURE = {"ES256": ("P-256", 32, 64), "ES256K": ("P-256K", 32, 64), "ES384": ("P-384", 48, 96), "ES512": ("P-521", 64, 132)}
HASH = {"256": 32, "384": 48, "512": 64}
ALGORITHMS = {"RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "RSNULL", "CKM_AES_KEY_WRAP", "CKM_AES_KEY_WRAP_PAD", *SIGNATURE,
              *(a + h for a in ("RS", "PS", "HS") for h in HASH),
              *(f"A{n}{m}" for n in (128, 192, 256) for m in ("GCM", "CBC", "CBCPAD", "KW", "KWPAD"))}
# What old data needs to stay readable.
ANY_TIME = {"decrypt", "unwrapKey", "verify"}


@dataclasses.dataclass
class Box:
    """A result of cryptography that can be given back."""
    alg: str
    material: object
    plain: bytes        # or the digest that was signed
    value: bytes
    iv: bytes = None
    aad: bytes = None
    tag: bytes = None

    @property
    def is_signature(self):
        return self.alg[:3] not in ("RSA", "A12", "A19", "A25")


class Cryptography:
    def usable(self, who, op, right, name, version, alg):
        require(alg in ALGORITHMS)
        self.allow(who, f"keys/{right}/action", f"/keys/{name}")
        key, v = self.version(name, version)
        require(v.enabled and op in v.ops, 403, "Forbidden")
        t = self.clock()[1]
        early, late = v.nbf is not None and v.nbf > t + 300, v.exp is not None and v.exp <= t - 300
        require(op in ANY_TIME or not (early or late), 403, "Forbidden")
        return key, v

    def result(self, key, v, alg, **more):
        return {"alg": alg, "kid": f"{self.base}/keys/{key.name}/{v.id}", **more}

    @staticmethod
    def fits(v, alg, wraps):
        """Whether an algorithm for ciphertexts is one of this key, and for this operation."""
        if v.kty == "RSA-HSM":
            return alg.startswith("RSA")
        m = re.fullmatch(r"A(\d+)(KW|GCM|CBC|CBCPAD)", alg)
        return v.kty == "oct-HSM" and m is not None and int(m[1]) == v.bits and (m[2] == "KW") == wraps

    def seal(self, who, op, right, name, version, alg, plain, iv=None, aad=None):
        """encrypt and wrapkey"""
        key, v = self.usable(who, op, right, name, version, alg)
        require(self.fits(v, alg, op == "wrapKey"))
        more = {}
        if alg.endswith("GCM"):
            require(iv is None)
            more = {"iv": blob("iv", 12), "tag": blob("tag", 16)}
        elif "CBC" in alg:
            require(iv is not None and len(iv) == 16 and (alg.endswith("PAD") or len(plain) % 16 == 0))
            more = {"iv": b64u(iv)}
        elif alg.endswith("KW"):
            require(len(plain) >= 16 and len(plain) % 8 == 0)
        else:
            require(len(plain) <= v.bits // 8 - {"RSA1_5": 11, "RSA-OAEP": 42, "RSA-OAEP-256": 66}[alg])
        if alg.endswith("GCM") and aad is not None:
            more["aad"] = b64u(aad)
        length = {"GCM": len(plain), "CBC": len(plain), "PAD": len(plain) // 16 * 16 + 16}.get(alg[-3:])
        if length is None:
            length = len(plain) + 8 if alg.endswith("KW") else v.bits // 8

        def effect(b):
            self.boxes.append(Box(alg, v.material, plain, b["value"], b.get("iv", iv), aad, b.get("tag")))
        return Answer(200, self.result(key, v, alg, value=blob("value", length), **more), effect=effect)

    def open(self, who, op, right, name, version, alg, value, iv=None, aad=None, tag=None):
        """decrypt and unwrapkey"""
        key, v = self.usable(who, op, right, name, version, alg)
        require(self.fits(v, alg, op == "unwrapKey"))
        if alg.endswith("GCM"):
            require(iv is not None and len(iv) == 12 and tag is not None and len(tag) == 16)
        for box in self.boxes:
            if (box.alg, box.material, box.value, box.iv, box.aad, box.tag) == (alg, v.material, value, iv, aad, tag):
                return Answer(200, self.result(key, v, alg, value=b64u(box.plain)))
        if "CBC" in alg:  # nothing protects it: wrong keys give rubbish, or wrong padding
            require(iv is not None and len(iv) == 16 and value and len(value) % 16 == 0)
            return Answer(200, or_else=(400,))
        raise Refused(400, "BadParameter")

    def encrypt(self, who, **a):
        return self.seal(who, "encrypt", "encrypt", **a)

    def decrypt(self, who, **a):
        return self.open(who, "decrypt", "decrypt", **a)

    def wrap(self, who, **a):
        return self.seal(who, "wrapKey", "wrap", **a)

    def unwrap(self, who, **a):
        return self.open(who, "unwrapKey", "unwrap", **a)

    @staticmethod
    def signature_length(v, alg, digest):
        """None when algorithm, key and digest do not go together."""
        if alg.startswith("HS"):
            return HASH[alg[2:]] if v.kty == "oct-HSM" else None
        if alg in SIGNATURE:
            crv, n, length = SIGNATURE[alg]
            return length if v.kty == "EC-HSM" and v.crv == crv and len(digest) == n else None
        return v.bits // 8 if v.kty == "RSA-HSM" and len(digest) == HASH[alg[2:]] else None

    def sign(self, who, name, alg, digest, version=None):
        key, v = self.usable(who, "sign", "sign", name, version, alg)
        length = self.signature_length(v, alg, digest)
        require(length is not None)

        def effect(b):
            self.boxes.append(Box(alg, v.material, digest, b["value"]))
        return Answer(200, self.result(key, v, alg, value=blob("value", length)), effect=effect)

    def verify(self, who, name, alg, digest, value, version=None):
        key, v = self.usable(who, "verify", "verify", name, version, alg)
        require(self.signature_length(v, alg, digest) is not None)
        known = any((b.alg, b.material, b.plain, b.value) == (alg, v.material, digest, value) for b in self.boxes)
        return Answer(200, self.result(key, v, alg, value=known))
