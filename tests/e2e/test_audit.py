"""The audit log: every request is in it, refusals included; removal, reordering and edits are found."""
import hashlib
import json
import time

import pytest

import keyhold


@pytest.fixture(scope="module")
def own():
    p = keyhold.Pool(name="audit")
    try:
        p.start()
        assert p.assign(keyhold.CRYPTO_USER, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def log_file(p):
    return p.home / "partition-0/audit/audit.jsonl"


def lines(p):
    return log_file(p).read_bytes().decode().splitlines()


def records(p):
    return [r for r in map(json.loads, lines(p)) if "checkpoint" not in r]


def verify(p, path=None):
    extra = ["--file", path, "--key", p.home / "audit-key.pem"] if path else []
    return p.cli("audit", "verify", *extra, check=False)


def test_every_answer_is_already_in_the_file(own):
    own.ok("POST", "/keys/a1/create", {"kty": "EC-HSM"})
    for _ in range(20):
        r = own.call("GET", "/keys/a1")
        last = records(own)[-1]
        assert last["correlationId"] == r.headers["x-ms-request-id"]
        assert last["operationName"] == "KeyGet" and last["httpStatusCode"] == 200 and last["resultType"] == "Success"


def test_shape_of_a_record(own):
    r = own.call("GET", "/keys/a1", headers={"User-Agent": "shape/1"})
    rec = records(own)[-1]
    for k in ("time", "resourceId", "operationName", "operationVersion", "category", "resultType", "properties",
              "durationMs", "callerIpAddress", "identity", "clientInfo", "correlationId", "httpStatusCode", "requestUri",
              "resource", "PoolName"):
        assert k in rec, k
    assert rec["category"] == "AuditEvent" and rec["clientInfo"] == "shape/1" and rec["operationVersion"] == "7.6"
    assert rec["correlationId"] == r.headers["x-ms-request-id"]
    identity = json.loads(rec["identity"])["claim"]
    assert identity["http_schemas_microsoft_com_identity"]["claims"]["objectidentifier"] == own.env["KEYHOLD_ADMIN_OID"]
    assert identity["appid"] == own.env["KEYHOLD_CLIENT_ID"]
    assert rec["resourceId"] == rec["resourceId"].upper()


@pytest.mark.parametrize("what,expect", [
    (dict(method="GET", path="/keys/a1", token=""), ("Authentication", 401)),
    (dict(method="GET", path="/keys/a1", token="junk"), (None, 401)),
    (dict(method="GET", path="/keys/none"), ("KeyGet", 404)),
    (dict(method="GET", path="/no/such/path"), (None, 404)),
    (dict(method="POST", path="/keys/a1/create", raw="{"), (None, 400)),
    (dict(method="POST", path="/backup", body={}), (None, 501)),
    (dict(method="POST", path="/rng", body={"count": 0}), ("GetRandomBytes", 400)),
    (dict(method="GET", path="/keys/a1", token="guest"), ("KeyGet", 403)),
])
def test_refusals_are_recorded(own, what, expect):
    if what.get("token") == "guest":
        what = {**what, "token": own.guest_token()}
    r = own.call(**what)
    assert r.status_code == expect[1], r.text
    time.sleep(0.4)
    rec = [x for x in records(own) if x["correlationId"] == r.headers["x-ms-request-id"]]
    assert len(rec) == 1, rec
    assert rec[0]["httpStatusCode"] == expect[1] and rec[0]["resultType"] == "Failure"
    if expect[0]:
        assert rec[0]["operationName"] == expect[0]


def test_no_secrets_in_it(own):
    text = log_file(own).read_text()
    assert own.token() not in text and own.env["KEYHOLD_CLIENT_SECRET"] not in text


def test_chain_and_verification(own, tmp_path):
    for i in range(30):
        own.call("GET", f"/keys/none-{i}")
    time.sleep(1.6)
    good = verify(own)
    assert good.returncode == 0, good.stderr
    # the documented hash, computed here
    for line in lines(own):
        text, chain = line.rsplit(',"chain":', 1)
        chain = json.loads(chain[:-1])
        h = hashlib.sha256(bytes.fromhex(chain["prev"]) + chain["seq"].to_bytes(8, "big") + text.encode()).hexdigest()
        assert h == chain["hash"]
    all_lines = lines(own)
    middle = len(all_lines) // 2
    record = next(i for i in range(middle, len(all_lines)) if '"httpStatusCode":404' in all_lines[i])

    def rewrite(changed):
        """What an attacker without the audit key can do: recompute every hash."""
        out, prev, seq = [], json.loads(changed[0])["chain"]["prev"], 0
        for line in changed:
            text = line.rsplit(',"chain":', 1)[0]
            seq += 1
            h = hashlib.sha256(bytes.fromhex(prev) + seq.to_bytes(8, "big") + text.encode()).hexdigest()
            out.append(f'{text},"chain":{{"seq":{seq},"prev":"{prev}","hash":"{h}"}}}}')
            prev = h
        return out

    edited = all_lines[:]
    edited[record] = edited[record].replace('"httpStatusCode":404', '"httpStatusCode":200')
    assert edited != all_lines
    cases = {
        "removed": all_lines[:middle] + all_lines[middle + 1:],
        "reordered": all_lines[:middle] + [all_lines[middle + 1], all_lines[middle]] + all_lines[middle + 2:],
        "edited": edited,
        "edited, hashes recomputed": rewrite(edited),
        "removed, hashes recomputed": rewrite(all_lines[:record] + all_lines[record + 1:]),
        "reordered, hashes recomputed": rewrite(all_lines[:record - 1] + [all_lines[record], all_lines[record - 1]]
                                                + all_lines[record + 1:]),
    }
    for name, changed in cases.items():
        f = tmp_path / "changed.jsonl"
        f.write_text("\n".join(changed) + "\n")
        r = verify(own, f)
        assert r.returncode == 1, f"{name}: {r.stdout}{r.stderr}"
    f.write_text("\n".join(all_lines) + "\n")
    assert verify(own, f).returncode == 0


def test_a_cut_tail_is_found(own):
    own.ok("GET", "/keys/a1")
    time.sleep(1.6)
    own.down()  # writes the last checkpoint and seals its position
    f = log_file(own)
    whole = f.read_bytes()
    try:
        cut = b"\n".join(whole.splitlines()[:-12]) + b"\n"
        f.write_bytes(cut)
        own.up()
        time.sleep(1.5)
        r = verify(own)
        assert r.returncode == 1 and "removed from its end" in r.stderr, r.stdout + r.stderr
    finally:
        own.down()
        f.write_bytes(whole)
        own.up()


def test_log_goes_on_after_a_restart(own):
    own.down()
    own.up()
    own.ok("GET", "/keys/a1")
    time.sleep(1.5)
    r = verify(own)
    assert r.returncode == 0, r.stdout + r.stderr
