"""HMAC vectors: the message is the value. A truncated tag must match the beginning of the service's and must not verify;
keys longer than 64 bytes cannot be imported."""
import pytest
import sources
from hsm import Refusal, oct_key

unhex = bytes.fromhex
TOO_LONG = Refusal("JSON Web Key: k property of oct key is too large, maximum size is 64")
HASHES = ("256", "384", "512")
FILES = [f"wycheproof hmac_sha{n}" for n in HASHES] + [f"rfc 4231 sha{n}" for n in HASHES]


def one_tag(hsm, row, label, n, key, message, tag, valid):
    if len(key) > 64:
        row.check(hsm.bundle(oct_key(key)), TOO_LONG, f"{label} import")
        return
    path = hsm.key(oct_key(key))
    made = hsm.do(path, "sign", "HS" + n, message)
    row.check(made[:len(tag)] == tag and len(made) == int(n) // 8, valid, f"{label} sign")
    whole = len(tag) == int(n) // 8
    row.check(hsm.do(path, "verify", "HS" + n, tag, digest=message), valid and whole, f"{label} verify")


@pytest.mark.parametrize("n", HASHES)
def test_wycheproof(hsm, table, n):
    row = table.row(f"wycheproof hmac_sha{n}")

    def one(t):
        one_tag(hsm, row, f"tcId {t['tcId']} {t['flags']}", n, unhex(t["key"]), unhex(t["msg"]), unhex(t["tag"]),
                t["result"] == "valid")

    hsm.map(one, [t for g in sources.wycheproof(f"hmac_sha{n}") for t in g["tests"]])
    table.close(row)


@pytest.mark.parametrize("n", HASHES)
def test_rfc_4231(hsm, table, n):
    row = table.row(f"rfc 4231 sha{n}")
    for i, (_, r) in enumerate(sources.cavp(f"HMAC/rfc-4231-sha{n}.txt")):
        one_tag(hsm, row, f"case {i}", n, unhex(r["Key"]), unhex(r["Msg"]), unhex(r["MD"]), True)
    table.close(row)
