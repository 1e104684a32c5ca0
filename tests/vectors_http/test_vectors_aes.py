"""AES vectors. The service makes the IV of GCM itself, so published ciphertexts are decrypted; encryption is checked by
opening the result with another implementation under the published key. Rules of the service that a vector may break, each
with the text that is expected then: GCM takes IVs of 12 and tags of 16 bytes; CBC whole blocks; key wrap 16 bytes and more.
Whatever depends on key bytes fails with one text (hsm.FAILED)."""
import pytest
import sources
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hsm import FAILED, Refusal, oct_key

unhex = bytes.fromhex
GCM_IV = Refusal("iv of 12 bytes is required.")
IV_LONG = Refusal("Property 'iv' is longer than 64 bytes.")
GCM_TAG = Refusal("tag of 16 bytes is required.")
BLOCKS = Refusal("value must be a multiple of 16 bytes.")
KW_VALUE = Refusal("value must be at least 16 bytes and a multiple of 8.")
KWP_VALUE = Refusal("value must not be empty.")
WRONG = Refusal(FAILED)
BITS = (128, 192, 256)
REPETITION = "repetition with other random values"

WYCHEPROOF = ["aes_gcm", "aes_cbc_pkcs5", "aes_wrap", "aes_kwp"]
CAVP_GCM = [f"GCM/gcmDecrypt{b}" for b in BITS] + [f"GCM/gcmEncryptExtIV{b}" for b in BITS]
CAVP_CBC = [f"CBC/CBC{kind}{b}" for kind in ("GFSbox", "KeySbox", "VarTxt", "VarKey", "MMT") for b in BITS]
CAVP_WRAP = [f"{kind}_{way}_{b}{inverse}" for kind in ("KW", "KWP") for way in ("AE", "AD") for b in BITS
             for inverse in ("", "_inv")]
FILES = [f"wycheproof {n}" for n in WYCHEPROOF] + [f"cavp {n}" for n in CAVP_GCM + CAVP_CBC + CAVP_WRAP]


class Aes:
    def __init__(self, hsm, row, key):
        self.hsm, self.row = hsm, row
        self.raw = unhex(key)
        self.path = hsm.key(oct_key(self.raw))
        self.name = f"A{len(self.raw) * 8}"

    def gcm(self, label, iv, aad, plain, sealed, tag):
        """plain None: the tag is wrong."""
        wanted = WRONG if plain is None else plain
        wanted = GCM_TAG if len(tag) != 16 else wanted
        wanted = wanted if len(iv) == 12 else GCM_IV if len(iv) <= 64 else IV_LONG
        aad = {"aad": aad} if aad else {}
        got = self.hsm.do(self.path, "decrypt", self.name + "GCM", sealed, iv=iv, tag=tag, **aad)
        self.row.check(got, wanted, f"{label} decrypt")
        if plain is not None:
            made, new_iv, new_tag = self.hsm.seal(self.path, self.name + "GCM", plain, **aad)
            self.row.check(AESGCM(self.raw).decrypt(new_iv, made + new_tag, aad.get("aad")), plain, f"{label} encrypt")

    def cbc(self, label, alg, iv, plain, sealed, ways=("encrypt", "decrypt")):
        if "encrypt" in ways:
            self.row.check(self.hsm.do(self.path, "encrypt", self.name + alg, plain, iv=iv), sealed, f"{label} encrypt")
        if "decrypt" in ways:
            self.row.check(self.hsm.do(self.path, "decrypt", self.name + alg, sealed, iv=iv), plain, f"{label} decrypt")

    def both(self, label, op, padded, value, wanted):
        """The algorithm has two names."""
        names = (self.name + "KWPAD", "CKM_AES_KEY_WRAP_PAD") if padded else (self.name + "KW", "CKM_AES_KEY_WRAP")
        for alg in names:
            self.row.check(self.hsm.do(self.path, op, alg, value), wanted, f"{label} {op} {alg}")


def wycheproof_gcm(aes, t, label):
    plain = unhex(t["msg"]) if t["result"] == "valid" else None
    aes.gcm(label, unhex(t["iv"]), unhex(t["aad"]), plain, unhex(t["ct"]), unhex(t["tag"]))


def wycheproof_cbc(aes, t, label):
    iv, plain, sealed = unhex(t["iv"]), unhex(t["msg"]), unhex(t["ct"])
    if t["result"] == "valid":
        aes.cbc(label, "CBCPAD", iv, plain, sealed)
    else:
        wanted = WRONG if sealed and len(sealed) % 16 == 0 else BLOCKS
        aes.cbc(label, "CBCPAD", iv, wanted, sealed, ways=("decrypt",))


def wycheproof_wrap(aes, t, label, padded):
    plain, sealed = unhex(t["msg"]), unhex(t["ct"])
    if t["result"] == "valid":
        aes.both(label, "wrapkey", padded, plain, sealed)
        aes.both(label, "unwrapkey", padded, sealed, plain)
        return
    # "acceptable" are keys of 8 bytes in RFC 3394's own construction, which the RFC does not define.
    aes.both(label, "unwrapkey", padded, sealed, WRONG)
    if not padded and (len(plain) < 16 or len(plain) % 8 != 0):
        aes.both(label, "wrapkey", padded, plain, KW_VALUE)
    if padded and not plain:
        aes.both(label, "wrapkey", padded, plain, KWP_VALUE)


@pytest.mark.parametrize("name", WYCHEPROOF)
def test_wycheproof(hsm, table, name):
    row = table.row(f"wycheproof {name}")

    def one(t):
        aes, label = Aes(hsm, row, t["key"]), f"tcId {t['tcId']} {t['flags']}"
        if name == "aes_gcm":
            wycheproof_gcm(aes, t, label)
        elif name == "aes_cbc_pkcs5":
            wycheproof_cbc(aes, t, label)
        else:
            wycheproof_wrap(aes, t, label, padded=name == "aes_kwp")

    hsm.map(one, [t for g in sources.wycheproof(name) for t in g["tests"]])
    table.close(row)


@pytest.mark.parametrize("name", CAVP_GCM)
def test_cavp_gcm(hsm, table, name):
    """Every combination of lengths that the service takes, and one record of each other combination of IV and tag."""
    row = table.row(f"cavp {name}")
    chosen, refused = [], set()
    for section, r in sources.cavp(f"ciphers/AES/{name}.rsp"):
        kind = section["IVlen"], section["Taglen"]
        if kind == ("96", "128") and int(r["Count"]) < 3 or kind not in {("96", "128"), *refused}:
            chosen.append((section, r))
            refused.add(kind)
        else:
            row.skip(REPETITION)

    def one(item):
        section, r = item
        label = f"{section} {r['Count']}"
        plain = None if "FAIL" in r else unhex(r["PT"])
        aes = Aes(hsm, row, r["Key"])
        aes.gcm(label, unhex(r["IV"]), unhex(r["AAD"]), plain, unhex(r["CT"]), unhex(r["Tag"]))

    hsm.map(one, chosen)
    table.close(row)


@pytest.mark.parametrize("name", CAVP_CBC)
def test_cavp_cbc(hsm, table, name):
    row = table.row(f"cavp {name}")

    def one(item):
        section, r = item
        way = "encrypt" if "ENCRYPT" in section else "decrypt"
        aes = Aes(hsm, row, r["KEY"])
        aes.cbc(f"{way} {r['COUNT']}", "CBC", unhex(r["IV"]), unhex(r["PLAINTEXT"]), unhex(r["CIPHERTEXT"]), ways=(way,))

    hsm.map(one, list(sources.cavp(f"ciphers/AES/{name}.rsp")))
    table.close(row)


@pytest.mark.parametrize("name", CAVP_WRAP)
def test_cavp_wrap(hsm, table, name):
    row = table.row(f"cavp {name}")
    records = list(sources.cavp(f"keywrap/kwtestvectors/{name}.txt"))
    if name.endswith("_inv"):
        row.skip("wrapping with the inverse cipher", len(records))
        table.close(row)
        return
    chosen = list(sources.sample(records, 10))
    row.skip(REPETITION, len(records) - len(chosen))

    def one(item):
        section, r = item
        label = f"{section} {r['COUNT']}"
        aes, padded, sealed = Aes(hsm, row, r["K"]), name.startswith("KWP"), unhex(r["C"])
        if "_AE_" in name:
            aes.both(label, "wrapkey", padded, unhex(r["P"]), sealed)
        aes.both(label, "unwrapkey", padded, sealed, WRONG if "FAIL" in r else unhex(r["P"]))

    hsm.map(one, chosen)
    table.close(row)
