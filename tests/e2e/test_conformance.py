"""The scenario of `make conformance` with the SDKs for Python and JavaScript, and how its results are judged."""
import json
import sys

import pytest

import keyhold

sys.path.insert(0, str(keyhold.ROOT / "tests/conformance"))
import clients  # noqa: E402
import scenario  # noqa: E402


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    path = tmp_path_factory.mktemp("conformance") / "material.json"
    path.write_text(json.dumps(scenario.material()))
    return path


@pytest.mark.parametrize("client", ["python", "javascript"])
def test_every_step(pool, material, client):
    results = clients.judge(clients.drive(clients.CLIENTS[client](), pool, material))
    assert {step: r.get("detail") for step, r in results.items() if not r["ok"]} == {}
    assert list(results) == [step for step, _ in scenario.STEPS]


def lines():
    """Of a program for which all went well."""
    ec = scenario.material()["ec"]
    proof = {"alg": "ES256", **{m: ec[m] for m in ("crv", "x", "y", "digest", "signature")}}
    return [{"step": s, "ok": True, **({"proof": dict(proof)} if s.startswith("sign-") else {})}
            for s, _ in scenario.STEPS]


def test_what_is_missing_or_wrong_is_a_failure():
    def failed(reported):
        return {s: r["detail"] for s, r in clients.judge(reported).items() if not r["ok"]}
    good = lines()
    assert failed(good) == {}
    assert failed(good[1:]) == {good[0]["step"]: "not reported"}
    assert failed([*good, good[3]]) == {good[3]["step"]: "reported twice"}
    assert failed([*good, {"step": "other", "ok": True}]) == {"other": "not a step of the scenario"}
    assert failed([*good, {"step": "(the program itself)", "ok": False, "detail": "exit 1"}]) == {
        "(the program itself)": "exit 1"}
    sign = next(i for i, line in enumerate(good) if line["step"] == "sign-ES256")
    for member in ("digest", "signature"):  # of another message, of another key
        bad = lines()
        bad[sign]["proof"][member] = scenario.b64u(bytes(32)) if member == "digest" else lines()[sign]["proof"][member]
        assert failed(bad) == {"sign-ES256": "the signature does not hold outside"}
    good[sign].pop("proof")
    assert failed(good) == {"sign-ES256": "no signature was handed over"}
