"""Activation: what every client sends for it, what must be refused, what the file must hold."""
import base64
import datetime
import itertools
import json
import time

import pytest
from conftest import request_of, vector
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import keyhold

FORMS = ["download_request", "download_request_powershell_style",
         "download_request_ansible_style", "download_request_terraform_style"]


def certificate(key, algorithm=hashes.SHA256()):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "custodian")])
    start = datetime.datetime(2024, 1, 1)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9000))
            .sign(key, algorithm))
    return cert.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def fresh_pool():
    p = keyhold.Pool(name="fresh")
    try:
        p.start(activate=False)
        yield p
    finally:
        p.stop()


@pytest.fixture(scope="module")
def good():
    return vector("sd-2of3.json")["download_request"]


@pytest.fixture(scope="module")
def eleven():
    """Eleven distinct certificates (2048 bits; the vectors' eight and three more)."""
    pems = [c["certificate_pem"] for f in ("sd-2of3.json", "sd-3of5.json")
            for c in vector(f)["custodians"]]
    while len(pems) < 11:
        pems.append(certificate(rsa.generate_private_key(65537, 2048)))
    return [request_of(p) for p in pems]


def download(pool, body, **kw):
    return pool.call("POST", "/securitydomain/download", body, **kw)


def test_the_pool_starts_not_activated(fresh_pool):
    assert fresh_pool.status()["state"] == "NotActivated"
    r = fresh_pool.call("GET", "/securitydomain/download/pending", api=None)
    assert r.json().get("status") != "Success"


@pytest.mark.parametrize("method,path,body", [
    ("GET", "/keys", None), ("GET", "/keys/k", None), ("GET", "/keys/k/versions", None),
    ("POST", "/keys/k/create", {"kty": "RSA-HSM"}), ("PATCH", "/keys/k/", {"tags": {}}),
    ("DELETE", "/keys/k", None), ("GET", "/deletedkeys", None), ("GET", "/deletedkeys/k", None),
    ("POST", "/deletedkeys/k/recover", None), ("DELETE", "/deletedkeys/k", None),
    ("POST", "/keys/k/encrypt", {"alg": "RSA-OAEP-256", "value": "AA"}),
    ("POST", "/keys/k/unwrapkey", {"alg": "A256KW", "value": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions", None),
    ("GET", "/providers/Microsoft.Authorization/roleAssignments", None),
])
def test_nothing_else_works_before_activation(fresh_pool, method, path, body):
    r = fresh_pool.call(method, path, body)
    assert r.status_code == 403, (path, r.text)
    code, text = fresh_pool.error(r)
    assert code == "Forbidden" and "not activated" in text


def test_only_an_administrator_may_download(fresh_pool, good):
    r = download(fresh_pool, good, token=fresh_pool.guest_token())
    assert r.status_code == 403
    assert fresh_pool.error(r) == ("AccessDenied",
                                   "Not authorized to perform Security Domain backup.")
    assert fresh_pool.status()["state"] == "NotActivated"


def without(jwk, *names):
    return {k: v for k, v in jwk.items() if k not in names}


def bad_requests(good, eleven):
    a, b, c = good["certificates"]
    der = base64.b64decode(a["x5c"][0])
    small = request_of(certificate(rsa.generate_private_key(65537, 1024)))
    curve = request_of(certificate(ec.generate_private_key(ec.SECP256R1())))
    exponent3 = rsa.generate_private_key(3, 2048)
    same_key = rsa.generate_private_key(65537, 2048)
    twins = [request_of(certificate(same_key)), request_of(certificate(same_key))]
    assert twins[0]["x5c"] != twins[1]["x5c"]

    def with_x5c(value):
        return {"certificates": [{**a, "x5c": value}, b, c], "required": 2}
    return {
        "two certificates": {"certificates": [a, b], "required": 2},
        "one certificate": {"certificates": [a], "required": 1},
        "no certificates": {"certificates": [], "required": 2},
        "certificates missing": {"required": 2},
        "certificates no array": {"certificates": {"x5c": a["x5c"]}, "required": 2},
        "eleven certificates": {"certificates": eleven, "required": 2},
        "quorum above N": {"certificates": [a, b, c], "required": 4},
        "quorum of one": {"certificates": [a, b, c], "required": 1},
        "quorum zero": {"certificates": [a, b, c], "required": 0},
        "quorum negative": {"certificates": [a, b, c], "required": -2},
        "quorum 258": {"certificates": [a, b, c], "required": 258},
        "quorum a string": {"certificates": [a, b, c], "required": "two"},
        "a certificate twice": {"certificates": [a, b, a], "required": 2},
        "one key in two certificates": {"certificates": [a, *twins], "required": 2},
        "EC certificate": {"certificates": [a, b, curve], "required": 2},
        "RSA-1024": {"certificates": [a, b, small], "required": 2},
        "n of another key": {"certificates": [{**a, "n": b["n"]}, b, c], "required": 2},
        "e of another key": {"certificates": [{**a, "e": request_of(certificate(exponent3))["e"]},
                                              b, c], "required": 2},
        "x5c missing": {"certificates": [without(a, "x5c"), b, c], "required": 2},
        "x5c empty": with_x5c([]),
        "x5c no base64": with_x5c(["%%%"]),
        "x5c garbage": with_x5c([base64.b64encode(b"garbage" * 40).decode()]),
        "x5c truncated": with_x5c([base64.b64encode(der[:-1]).decode()]),
        "x5c with a tail": with_x5c([base64.b64encode(der + b"\0").decode()]),
        "x5c no string": with_x5c([7]),
        "kty EC": {"certificates": [{**a, "kty": "EC"}, b, c], "required": 2},
        "alg RSA1_5": {"certificates": [{**a, "alg": "RSA1_5"}, b, c], "required": 2},
        "certificate null": {"certificates": [a, b, None], "required": 2},
        "body an array": [],
    }


def test_bad_requests_are_refused_and_change_nothing(fresh_pool, good, eleven):
    for what, body in bad_requests(good, eleven).items():
        r = download(fresh_pool, body)
        assert r.status_code == 400, (what, r.status_code, r.text)
        assert fresh_pool.error(r)[0] == "BadParameter", what
    for raw in (b"", b"{", b'{"required":2,"required":2,"certificates":[]}', b"\xff\xfe"):
        assert download(fresh_pool, None, raw=raw).status_code == 400, raw
    assert fresh_pool.status()["state"] == "NotActivated"


@pytest.fixture(scope="module")
def files(fresh_pool, good):
    """The four clients' requests, the first of which activates the pool."""
    answers = []
    for form in FORMS:
        r = download(fresh_pool, vector("sd-2of3.json")[form])
        assert r.status_code == 202, (form, r.text)
        answers.append(r)
    return answers


def test_the_answer(fresh_pool, files):
    for r in files:
        assert r.headers["azure-asyncoperation"].startswith(
            f"{fresh_pool.pool_url}/securitydomain/download/pending")
        assert int(r.headers["retry-after"]) > 0
        assert list(r.json()) == ["value"]
        poll = fresh_pool.call("GET", "/securitydomain/download/pending", api=None)
        assert poll.status_code == 200
        answer = poll.json()
        assert answer["status"] == "Success"
        assert answer["status_details"] == answer["statusDetails"] == "The resource is active."
    assert fresh_pool.status()["state"] == "Active"


def test_every_quorum_opens_every_file(files, custodians, oracle):
    seen = set()
    for r in files:
        text = r.json()["value"]
        opened = [oracle.open_domain(text, dict(pair))
                  for pair in itertools.combinations(custodians.keys.items(), 2)]
        assert len(opened) == 3 and all(o == opened[0] for o in opened)
        with pytest.raises(oracle.Bad):
            oracle.open_domain(text, dict(list(custodians.keys.items())[:1]))
        seen.add(opened[0][0])
    assert len(seen) == len(FORMS), "every download has a master key of its own"


def test_every_file_holds_the_same_items(fresh_pool, files, good, custodians, oracle):
    time.sleep(1.1)  # no time of the download may be in them
    later = download(fresh_pool, good)
    assert later.status_code == 202, later.text
    items = [oracle.open_domain(r.json()["value"], custodians.keys)[1] for r in [*files, later]]
    assert items[0] and all(i == items[0] for i in items)
    assert len({tag for tag, _ in items[0]}) == len(items[0])


def test_the_shape_of_the_file(files, good, oracle):
    text = files[0].json()["value"]
    sd = json.loads(text)
    assert text == json.dumps(sd, separators=(",", ":"), sort_keys=True)
    assert set(sd) == {"EncData", "SharedKeys", "version"} and sd["version"] == 2
    assert sd["EncData"]["kdf"] == "sp108_kdf"
    shared = sd["SharedKeys"]
    assert set(shared) == {"enc_shares", "key_algorithm", "required"}
    assert shared["key_algorithm"] == "shamir_share" and shared["required"] == 2
    thumbs = [oracle.thumb(c["certificate_pem"]) for c in vector("sd-2of3.json")["custodians"]]
    assert [s["x5t_256"] for s in shared["enc_shares"]] == thumbs, "shares in request order"


def test_other_quorum_and_other_key_sizes(fresh_pool, files, oracle):
    v = vector("sd-3of5.json")
    keys = {oracle.thumb(c["certificate_pem"]): oracle.key(c["private_key_pem"])
            for c in v["custodians"]}
    r = download(fresh_pool, v["download_request"])
    assert r.status_code == 202, r.text
    opened = [oracle.open_domain(r.json()["value"], dict(three))
              for three in itertools.combinations(keys.items(), 3)]
    assert len(opened) == 10 and all(o == opened[0] for o in opened)
    with pytest.raises(oracle.Bad):
        oracle.open_domain(r.json()["value"], dict(list(keys.items())[:2]))


def test_ten_custodians_and_the_default_quorum(fresh_pool, files, eleven):
    r = download(fresh_pool, {"certificates": eleven[:10]})
    assert r.status_code == 202, r.text
    shared = json.loads(r.json()["value"])["SharedKeys"]
    assert shared["required"] == 2 and len(shared["enc_shares"]) == 10


def test_after_activation_the_rules_still_hold(fresh_pool, files, good):
    assert download(fresh_pool, good, token=fresh_pool.guest_token()).status_code == 403
    assert download(fresh_pool, {**good, "required": 9}).status_code == 400
    assert fresh_pool.call("GET", "/keys").status_code == 403, "administrators hold no key rights"
    r = fresh_pool.call("GET", "/keys", token=fresh_pool.guest_token())
    assert fresh_pool.error(r)[0] == "AccessDenied"


def test_activation_survives_a_restart(fresh_pool, files):
    fresh_pool.down()
    fresh_pool.up()
    assert fresh_pool.status()["state"] == "Active"
    assert fresh_pool.call("GET", "/securitydomain/download/pending").json()["status"] == "Success"
