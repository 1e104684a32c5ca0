"""Keys with as many versions as a key can have, made by import: a restart brings all of them back. The large form,
with figures, is tests/bench/scale.py."""
import base64
import concurrent.futures

import pytest
import requests

import keyhold

KEYS, VERSIONS, PAGE = 4, 100, 25
PLAIN = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")


def jwk(key, n):
    return {"kty": "oct-HSM", "k": base64.urlsafe_b64encode(bytes([key, n]) * 16).decode().rstrip("=")}


@pytest.fixture
def full():
    with keyhold.Pool(name="scale") as p:
        assert p.assign(keyhold.CRYPTO_USER, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        p.token()
        yield p


def fill(p, key):
    """All versions of one key; their ids in order."""
    with requests.Session() as s:
        s.trust_env = False
        kids = []
        for n in range(VERSIONS):
            r = p.call("PUT", f"/keys/full-{key}", {"key": jwk(key, n)}, session=s)
            assert r.status_code == 200, r.text
            kids.append(r.json()["key"]["kid"])
        r = p.call("PUT", f"/keys/full-{key}", {"key": jwk(key, VERSIONS)}, session=s)
        assert r.status_code == 400 and "at most 100 versions" in r.text, r.text
        return kids


def versions(p, key):
    """The ids of all versions, page by page."""
    kids, path = [], f"/keys/full-{key}/versions?maxresults={PAGE}"
    pages = 0
    while path:
        page = p.ok("GET", path) if pages == 0 else p.call("GET", path, api=None).json()
        assert len(page["value"]) <= PAGE
        kids += [v["kid"] for v in page["value"]]
        path = page.get("nextLink", "").removeprefix(p.pool_url)
        pages += 1
    assert pages == VERSIONS // PAGE
    return kids


def wrap(p, kid):
    return p.ok("POST", kid.removeprefix(p.pool_url) + "/wrapkey", {"alg": "A256KW", "value": PLAIN})["value"]


def test_all_versions_are_there_after_a_restart(full):
    with concurrent.futures.ThreadPoolExecutor(KEYS) as threads:
        made = list(threads.map(lambda k: fill(full, k), range(KEYS)))
    before = {kid: wrap(full, kid) for kids in made for kid in (kids[0], kids[57], kids[-1])}
    full.down()
    full.up()
    full.wait_ready()
    for key, kids in enumerate(made):
        assert versions(full, key) == kids
        assert full.ok("GET", f"/keys/full-{key}")["key"]["kid"] == kids[-1]
    assert {kid: wrap(full, kid) for kid in before} == before
    assert len(set(before.values())) == len(before)
