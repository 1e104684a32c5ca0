"""Random bytes and settings over HTTP: exact bodies and errors."""
import base64

import pytest

SETTING = "AllowKeyManagementOperationsThroughARM"
COUNT = "GetRandomBytesRequest: count cannot be greater than 128 or less than 1"


def random_bytes(pool, count):
    answer = pool.ok("POST", "/rng", {"count": count})
    assert set(answer) == {"value"} and "=" not in answer["value"]
    return base64.urlsafe_b64decode(answer["value"] + "=" * (-len(answer["value"]) % 4))


def test_random_bytes(pool):
    for n in (1, 2, 3, 16, 127, 128):
        assert len(random_bytes(pool, n)) == n
    drawn = [random_bytes(pool, 128) for _ in range(16)]
    assert len(set(drawn)) == 16
    # 16384 fair bits: further than this from one half once in 10^12 runs
    ones = sum(byte.bit_count() for block in drawn for byte in block)
    assert abs(ones - 8192) < 460


@pytest.mark.parametrize("body", [{"count": 0}, {"count": 129}, {"count": -1}, {"count": 2**40}, {}, {"count": None}])
def test_counts_out_of_range(pool, body):
    r = pool.call("POST", "/rng", body)
    assert r.status_code == 400 and pool.error(r) == ("BadParameter", COUNT)


@pytest.mark.parametrize("raw", ["", "{", "[1]", '{"count":"3"}', '{"count":1.5}', '{"count":true}', '{"count":1,"count":2}'])
def test_counts_that_are_none(pool, raw):
    r = pool.call("POST", "/rng", raw=raw)
    assert r.status_code == 400 and pool.error(r)[0] == "BadParameter"


def setting(value):
    return {"name": SETTING, "type": "boolean", "value": value}


def test_settings(pool):
    assert pool.ok("GET", "/settings") == {"settings": [setting("false")]}
    assert pool.ok("GET", f"/settings/{SETTING}") == setting("false")
    try:
        assert pool.ok("PATCH", f"/settings/{SETTING}", {"value": "true"}) == setting("true")
        assert pool.ok("GET", f"/settings/{SETTING.lower()}/") == setting("true")
        assert pool.ok("GET", "/settings") == {"settings": [setting("true")]}
        for body in ({"value": "yes"}, {"value": ""}, {"value": True}, {"value": None}, {}, {"value": ["true"]}):
            r = pool.call("PATCH", f"/settings/{SETTING}", body)
            assert r.status_code == 400 and pool.error(r)[0] == "BadParameter", body
        assert pool.ok("GET", f"/settings/{SETTING}") == setting("true")
    finally:
        assert pool.ok("PATCH", f"/settings/{SETTING}", {"value": "false"}) == setting("false")


def test_no_such_setting(pool):
    for method, name, body in (("GET", "Other", None), ("PATCH", "Other", {"value": "true"}), ("GET", "x" * 300, None)):
        r = pool.call(method, f"/settings/{name}", body)
        assert r.status_code == 404 and pool.error(r)[0] == "NotFound", r.text
    assert pool.call("PUT", f"/settings/{SETTING}", {"value": "true"}).status_code == 405
