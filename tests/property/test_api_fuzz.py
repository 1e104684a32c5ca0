"""Requests that schemathesis makes out of docs/openapi.yaml, good and bad ones, against a running pool: no server error, no
hang, every answer as described, and a refused request changes nothing. KEYHOLD_FUZZ_EXAMPLES: of each kind for each operation."""
import os

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (content_type_conformance, negative_data_rejection, response_headers_conformance,
                                               response_schema_conformance, status_code_conformance)

import apicheck
import keyhold
from furniture import GRANT, KEYS, ROLE, Furniture, free_guid
from rig import TIMEOUT, Rig, Watch

EXAMPLES = int(os.environ.get("KEYHOLD_FUZZ_EXAMPLES", "6"))
SEED = int(os.environ.get("KEYHOLD_FUZZ_SEED", "1"))
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
# Tokens are the tests' business.
SCHEMA = schemathesis.openapi.from_dict({**apicheck.description().doc, "security": []})
OPERATIONS = {o.ok().definition.raw["operationId"]: o.ok() for o in SCHEMA.get_all_operations()}
# POST that does not change anything when it succeeds.
ONLY_READS = {"encrypt", "decrypt", "sign", "verify", "wrapkey", "unwrapkey", "rng", "backup", "release"}
SETTING = "AllowKeyManagementOperationsThroughARM"


@pytest.fixture(scope="module")
def rig():
    with Rig("fuzz") as r:
        r.pool.session.proxies = {"https": f"http://127.0.0.1:{r.pool.port}"}
        yield r


@pytest.fixture(scope="module")
def furniture(rig):
    return Furniture(rig)


def places(operation, furniture):
    """Values of path parameters that mean something here, beside those that are made up."""
    known = {"key-name": [*KEYS, "none"], "key-version": [*furniture.versions.values()],
             "role-definition-name": [ROLE, free_guid(1), keyhold.CRYPTO_USER], "role-assignment-name": [GRANT, free_guid(2)],
             "setting-name": [SETTING], "job-id": ["1"], "endpoint-name": ["e"], "operation-id": ["1"]}
    names = [p.definition["name"] for p in operation.path_parameters]
    return st.fixed_dictionaries({n: st.sampled_from(known[n]) for n in names})


def good_bodies(operation, furniture):
    """(path parameters, body) pairs that the pool takes."""
    id_ = operation.definition.raw["operationId"].removesuffix("WithVersion").removesuffix("Version")
    action = {"CreateKey": "create", "UpdateKey": "update", "ImportKey": "import", "RestoreKey": "restore",
              "UpdateKeyRotationPolicy": "rotationpolicy"}.get(id_, id_.lower())
    rows = []
    for op, key, body in furniture.bodies():
        if op == action:
            rows.append(({"key-name": key, "key-version": furniture.versions.get(key, "0" * 32)}, body))
    wanted = {p.definition["name"] for p in operation.path_parameters}
    return [({k: v for k, v in at.items() if k in wanted}, body) for at, body in rows]


def cases(operation, furniture, mode):
    """Everything made up; or in a place that exists; or a body that works there, where one does not come up by chance."""
    made_up = operation.as_strategy(mode)
    here = places(operation, furniture).flatmap(lambda at: operation.as_strategy(mode, path_parameters=at))
    good = good_bodies(operation, furniture) if mode is GenerationMode.POSITIVE else []
    if not good:
        return made_up | here
    return made_up | here | st.sampled_from(good).flatmap(
        lambda row: operation.as_strategy(mode, body=row[1], **({"path_parameters": row[0]} if row[0] else {})))


def run(strategy, body):
    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=False,
                         suppress_health_check=list(hypothesis.HealthCheck),
                         phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
    @hypothesis.given(case=strategy)
    def each(case):
        body(case)
    each()


def send(rig, case, token):
    case.headers.pop("Authorization", None)  # may be a made-up one
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return case.call(base_url=rig.pool.pool_url, session=rig.pool.session, headers=headers, timeout=TIMEOUT, verify=rig.pool.ca)


def may_change(case, status):
    if status >= 300 or case.method.upper() == "GET":
        return False
    return case.path.rsplit("/", 1)[1] not in ONLY_READS


def asks_for_what_is_not_here(case):
    """501 of an operation that is there otherwise."""
    body = case.body if isinstance(case.body, dict) else {}
    attributes = body.get("attributes")
    return body.get("kty") in ("AKP", "AKP-HSM") or (isinstance(attributes, dict) and attributes.get("external_key") is not None)


def described(response):
    headers = {k.lower(): v[0] if isinstance(v, list) else v for k, v in response.headers.items()}
    bad = apicheck.description().errors(response.request.method, response.request.path_url, response.status_code, headers,
                                        response.content)
    assert not bad, "\n".join(bad)


def check_answer(case, response):
    status = response.status_code
    described(response)
    if status == 501:
        assert case.operation.definition.raw.get("x-keyhold-status") == "missing" or asks_for_what_is_not_here(case)
    else:
        assert status < 500, response.text


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda m: m.value)
def test_described_requests(rig, furniture, operation, mode):
    op = OPERATIONS[operation]
    missing = op.definition.raw.get("x-keyhold-status") == "missing"
    furniture.restore()
    watch = Watch(rig)
    checks = CHECKS + ([negative_data_rejection] if mode is GenerationMode.NEGATIVE and not missing else [])
    seen = set()

    def one(case):
        r = send(rig, case, rig.pool.token())
        seen.add(r.status_code)
        check_answer(case, r)
        case.validate_response(r, checks=checks)
        watch.look(may_change(case, r.status_code), lambda: send(rig, case, rig.pool.token()))
    run(cases(op, furniture, mode), one)
    watch.settle()
    if mode is GenerationMode.POSITIVE:
        assert missing <= (501 in seen), seen


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_token_or_a_right(rig, furniture, operation):
    """401 whatever is sent, and with a good token of a caller without roles nothing works: not one change."""
    op = OPERATIONS[operation]
    missing = op.definition.raw.get("x-keyhold-status") == "missing"
    watch = Watch(rig)
    refused = {400, 501} if missing else {400, 403}

    def one(case):
        r = send(rig, case, None)
        assert r.status_code == 401 and r.content == (b"OK" if r.request.method == "GET" else b""), (r.status_code, r.text)
        described(r)
        watch.look(False, lambda: send(rig, case, None))
        r = send(rig, case, rig.pool.guest_token())
        assert r.status_code in refused or (r.status_code == 501 and asks_for_what_is_not_here(case)), (r.status_code, r.text)
        described(r)
        watch.look(False, lambda: send(rig, case, rig.pool.guest_token()))
    run(cases(op, furniture, GenerationMode.POSITIVE), one)
    watch.settle()
