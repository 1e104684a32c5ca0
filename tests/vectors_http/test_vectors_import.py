"""Imported keys at the edges. What is no key is refused; what is one, in whatever legal spelling, shows its public part in the
one canonical form and signs what another implementation verifies."""
import math
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from hsm import WIDTH, Refusal, b64u, ec_key, number, number_of, oct_key, rsa_key, unb64u
from test_vectors_ec import CURVES, DIGEST, ORDER, holds

FILES = ["edges of RSA keys"] + [f"edges of EC keys {c}" for c in CURVES] + ["edges of oct keys"]
FIELD = {"P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "P-256K": 2**256 - 2**32 - 977,
         "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1, "P-521": 2**521 - 1}
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


def zeros(jwk, name, count):
    return {**jwk, name: b64u(bytes(count) + unb64u(jwk[name]))}


def refused(row, got, label):
    """The text says that it is about the key; no number of it comes back."""
    row.check(type(got) is Refusal and got.startswith("JSON Web Key: "), True, f"{label}: {got}"[:160])


# ---- RSA
def rsa_numbers(bits=2048, e=65537):
    k = rsa.generate_private_key(e, bits).private_numbers()
    return k.public_numbers.n, e, k.d, k.p, k.q


def prime(bits):
    """A prime with its two topmost bits set, out of a fresh key."""
    while True:
        p = rsa.generate_private_key(65537, bits * 2).private_numbers().p
        if p >> bits - 2 == 3:
            return p


def rsa_good(n, e, d, p, q):
    """(label, jwk) of the same key."""
    lam = math.lcm(p - 1, q - 1)
    jwk = rsa_key(n, e, d, p, q)
    yield "as it is", jwk
    yield "primes the other way round", rsa_key(n, e, d, q, p)
    yield "without dp, dq, qi", {k: v for k, v in jwk.items() if k not in ("dp", "dq", "qi")}
    yield "with dp only", {k: v for k, v in jwk.items() if k not in ("dq", "qi")}
    yield "d modulo the least common multiple", rsa_key(n, e, pow(e, -1, lam), p, q)
    yield "d modulo the product", rsa_key(n, e, pow(e, -1, (p - 1) * (q - 1)), p, q)
    largest = d % lam + (n - 1 - d % lam) // lam * lam
    yield "the largest d below n", rsa_key(n, e, largest, p, q)
    for name in ("n", "e", *PRIVATE):
        yield f"zero in front of {name}", zeros(jwk, name, 1)
        yield f"eight zeros in front of {name}", zeros(jwk, name, 8)
        yield f"padded {name}", {**jwk, name: jwk[name] + "=" * (-len(jwk[name]) % 4)}


def rsa_bad(n, e, d, p, q, other):
    """(label, jwk) of no key; other is another key's numbers."""
    lam, jwk, foreign = math.lcm(p - 1, q - 1), rsa_key(n, e, d, p, q), rsa_key(*other)
    for name in PRIVATE:
        yield f"{name} + 1", {**jwk, name: number(number_of(jwk[name]) + 1)}
        yield f"{name} = 0", {**jwk, name: number(0)}
        yield f"empty {name}", {**jwk, name: ""}
        yield f"{name} of another key", {**jwk, name: foreign[name]}
        yield f"many zeros in front of {name}", zeros(jwk, name, 600)
    yield "n of another key", {**jwk, "n": foreign["n"]}
    yield "n + 2", {**jwk, "n": number(n + 2)}
    yield "n of 2047 bits", {**jwk, "n": number(n >> 1 | 1)}
    for value in (0, 1, 2, 3, 65536, 65539, 2**64 - 1, 2**64 + 1, n - 2):
        yield f"e = {hex(value)[:20]}", {**jwk, "e": number(value)}
    yield "p and q swapped, dp and dq not", {**jwk, "p": jwk["q"], "q": jwk["p"]}
    yield "dp and dq swapped", {**jwk, "dp": jwk["dq"], "dq": jwk["dp"]}
    yield "d not below n", {**jwk, "d": number(d % lam + (n // lam + 1) * lam)}
    yield "dp not reduced", {**jwk, "dp": number(d % (p - 1) + p - 1)}
    yield "qi not reduced", {**jwk, "qi": number(pow(q, -1, p) + p)}
    yield "inverse of p instead of q", {**jwk, "qi": number(pow(p, -1, q))}
    yield "negative qi", {**jwk, "qi": number(p - pow(q, -1, p))}
    for name in ("n", "e", "d", "p", "q"):
        yield f"without {name}", {k: v for k, v in jwk.items() if k != name}
    yield "n - d", {**jwk, "d": number(n - d)}


NOT_PRIME = "JSON Web Key: p or q is not a prime."
NEAR = "JSON Web Key: p and q are too close to each other."
HALF = "JSON Web Key: p and q must have half the length of n."


def rsa_factors(p, q):
    """(label, p, q, the refusal) that make a modulus which looks right and is not."""
    near = p + 2
    while any(near % small == 0 for small in (3, 5, 7, 11, 13)):
        near += 2
    third = 3 << 1022 | 1
    while third % 3:
        third += 2
    composite = prime(512) * prime(512)
    return [("a square", p, p, NEAR), ("factors close to each other", p, near, NEAR), ("composite p", composite, q, NOT_PRIME),
            ("composite q", p, composite, NOT_PRIME), ("p divisible by 3", third, q, NOT_PRIME),
            ("n divisible by 3", 3, (1 << 2046) + 1, HALF), ("1016 and 1032 bits", prime(1016), prime(1032), HALF)]


def without_primes(e, a, b):
    """A key of numbers that fit each other as far as can be told without asking for primes."""
    while math.gcd(e, (a - 1) * (b - 1)) != 1:
        e += 2
    return rsa_key(a * b, e, pow(e, -1, (a - 1) * (b - 1)), a, b, qi=1 if a == b else pow(b, -1, a))


def test_rsa(hsm, table):
    row = table.row("edges of RSA keys")
    numbers, other = rsa_numbers(), rsa_numbers()
    n, e = numbers[:2]
    public = rsa.RSAPublicNumbers(e, n).public_key()

    def good(item):
        label, jwk = item
        bundle = hsm.bundle(jwk)
        assert not isinstance(bundle, Refusal), f"{label}: {bundle}"
        row.check((bundle["kty"], bundle["n"], bundle["e"]), ("RSA-HSM", number(n), number(e)), label)
        row.check(sorted(set(bundle) & set(PRIVATE)), [], f"{label}: private members")
        digest = os.urandom(48)
        made = hsm.do(hsm.key(jwk), "sign", "PS384", digest)
        public.verify(made, digest, padding.PSS(padding.MGF1(hashes.SHA384()), 48), utils.Prehashed(hashes.SHA384()))

    hsm.map(good, list(rsa_good(*numbers)))
    hsm.map(lambda item: refused(row, hsm.bundle(item[1]), item[0]), list(rsa_bad(*numbers, other)))
    for label, a, b, text in rsa_factors(*numbers[3:]):
        row.check(hsm.bundle(without_primes(65537, a, b)), Refusal(text), label)
    for e in (257, 2**32 + 15, 2**64 - 59):  # primes; 3 and 17 are in CAVP's files
        a, b = numbers[3], other[4]
        while math.gcd(e, (a - 1) * (b - 1)) != 1:
            b = prime(1024)
        jwk = rsa_key(a * b, e, pow(e, -1, (a - 1) * (b - 1)), a, b)
        row.check(hsm.bundle(jwk)["e"], number(e), f"e = {e}")
        digest = os.urandom(32)
        made = hsm.do(hsm.key(jwk), "sign", "RS256", digest)
        rsa.RSAPublicNumbers(e, a * b).public_key().verify(made, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    table.close(row)


# ---- EC
def point(curve, d):
    numbers = ec.derive_private_key(d, CURVES[curve][1]()).public_key().public_numbers()
    return numbers.x, numbers.y


def short(curve, which):
    """The smallest scalar whose x (0) or y (1) has a zero byte in front; of P-521, whose coordinates begin with seven zero
    bits anyway, with a whole one."""
    d = 1
    while point(curve, d)[which] >> 8 * (WIDTH[curve] - 1):
        d += 1
    return d


def ec_good(curve):
    """(label, scalar, jwk)"""
    n, w = ORDER[curve], WIDTH[curve]
    scalars = {"1": 1, "2": 2, "n - 1": n - 1, "half of n": n >> 1, "one byte": 0xff, "zeros in front": n >> 20,
               "short x": short(curve, 0), "short y": short(curve, 1)}
    for label, d in scalars.items():
        x, y = point(curve, d)
        jwk = ec_key(curve, d, x, y)
        yield label, d, jwk
        yield f"{label}, without the point", d, {k: v for k, v in jwk.items() if k not in ("x", "y")}
        yield f"{label}, no zeros in front", d, {**jwk, "d": number(d), "x": number(x), "y": number(y)}
    for name in ("d", "x", "y"):
        yield f"zero in front of {name}", d, zeros(jwk, name, 1)
        yield f"eight zeros in front of {name}", d, zeros(jwk, name, 8)


def ec_bad(curve):
    """(label, jwk)"""
    n, p, w = ORDER[curve], FIELD[curve], WIDTH[curve]
    d = n // 3
    x, y = point(curve, d)
    jwk = ec_key(curve, d, x, y)
    for label, value in (("0", 0), ("n", n), ("n + 1", n + 1), ("n + d", n + d), ("2n", 2 * n), ("all ones", (1 << 8 * w) - 1),
                         ("d + 1", d + 1), ("n - d", n - d)):
        yield f"d = {label}", {**jwk, "d": number(value)}
        if label not in ("d + 1", "n - d"):
            yield f"d = {label}, without the point", {"kty": "EC", "crv": curve, "d": number(value)}
    for label, a, b in (("the other y", x, p - y), ("x and y swapped", y, x), ("x + p", x + p, y), ("y + p", x, y + p),
                        ("y + 1", x, y + 1), ("0, 0", 0, 0), ("x = 0", 0, y), ("x = p", p, y), ("point of 2d", *point(curve, 2 * d % n)),
                        ("generator", *point(curve, 1))):
        yield label, {**jwk, "x": number(a), "y": number(b)}
    for name in ("d", "x", "y"):
        yield f"without {name}", {k: v for k, v in jwk.items() if k != name}
        yield f"empty {name}", {**jwk, name: ""}
        yield f"many zeros in front of {name}", zeros(jwk, name, 600)
    for other in CURVES:
        if other != curve:
            yield f"as {other}", {**jwk, "crv": other}
    yield "no curve", {k: v for k, v in jwk.items() if k != "crv"}


@pytest.mark.parametrize("curve", CURVES)
def test_ec(hsm, table, curve):
    row = table.row(f"edges of EC keys {curve}")

    def good(item):
        label, d, jwk = item
        bundle, (x, y) = hsm.bundle(jwk), point(curve, d)
        assert not isinstance(bundle, Refusal), f"{label}: {bundle}"
        shown = bundle["kty"], bundle["crv"], bundle["x"], bundle["y"], "d" in bundle
        row.check(shown, ("EC-HSM", curve, number(x, WIDTH[curve]), number(y, WIDTH[curve]), False), label)
        digest = os.urandom(DIGEST[curve])
        made = hsm.do(hsm.key(jwk), "sign", CURVES[curve][0], digest)
        row.check(holds(curve, x, y, digest, made), True, f"{label} sign")

    hsm.map(good, list(ec_good(curve)))
    hsm.map(lambda item: refused(row, hsm.bundle(item[1]), item[0]), list(ec_bad(curve)))
    table.close(row)


# ---- oct
def test_oct(hsm, table):
    row = table.row("edges of oct keys")
    for n in (1, 15, 16, 17, 24, 31, 32, 33, 63, 64):
        bundle = hsm.bundle(oct_key(bytes(n - 1) + b"\1"))
        row.check((bundle["kty"], "k" in bundle), ("oct-HSM", False), f"{n} bytes")
    # Zeros in front belong to the key: HMAC pads at the end, so only there they make no difference.
    made = [hsm.do(hsm.key(oct_key(k)), "sign", "HS256", b"m") for k in (b"\1", b"\0\1", b"\1\0")]
    row.check((made[0] == made[1], made[0] == made[2]), (False, True), "zeros of an HMAC key")
    for label, jwk in (("0 bytes", oct_key(b"")), ("65 bytes", oct_key(bytes(65))), ("1000 bytes", oct_key(bytes(1000)))):
        refused(row, hsm.bundle(jwk), label)
    table.close(row)
