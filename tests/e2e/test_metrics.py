"""The listener of monitoring: what it says is true, names nobody, and disturbs nothing."""
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import threading
import time

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

import keyhold
from test_clock import eventually

SIGN = {"alg": "ES256", "value": "A" * 43}


@pytest.fixture(scope="module")
def own():
    p = keyhold.Pool(name="metrics", options=["--metrics-port", "0"])
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def port(pool):
    return int((pool.home / "run/metrics-port").read_text())


LABELS = r'\{(?:[a-z_]+="[^"\\\n]*")(?:,[a-z_]+="[^"\\\n]*")*\}'
SAMPLE = re.compile(rf"([a-z_]+)({LABELS})? (-?[0-9]+(?:\.[0-9]+)?|\+Inf)")


def parse(text):
    """{(series, label values in their order): value}. Strict: each family once, HELP and TYPE in front, known types,
    nothing twice, whole histograms."""
    found, kind = {}, {}
    lines = text.split("\n")
    assert lines.pop() == "", "the last line has no end"
    at = 0
    while at < len(lines):
        m = re.fullmatch(r"# HELP ([a-z_]+) \S.*", lines[at])
        assert m and m[1] not in kind, lines[at]
        family = m[1]
        m = re.fullmatch(rf"# TYPE {family} (counter|gauge|histogram)", lines[at + 1])
        assert m, lines[at + 1]
        kind[family] = m[1]
        at += 2
        while at < len(lines) and not lines[at].startswith("#"):
            m = SAMPLE.fullmatch(lines[at])
            assert m, lines[at]
            suffix = m[1].removeprefix(family)
            assert m[1].startswith(family) and suffix in (("_bucket", "_sum", "_count") if kind[family] == "histogram" else ("",))
            key = (m[1], *re.findall(r'="([^"]*)"', m[2] or ""))
            assert key not in found, key
            found[key] = float(m[3])
            at += 1
    buckets = collections.defaultdict(list)
    for (name, *labels), value in found.items():
        if name.endswith("_bucket"):
            buckets[name.removesuffix("_bucket"), *labels[:-1]].append((float(labels[-1]), value))
    for (name, *labels), b in buckets.items():
        assert b == sorted(b) and [n for _, n in b] == sorted(n for _, n in b) and b[-1][0] == float("inf")
        assert found[f"{name}_count", *labels] == b[-1][1]
        assert 0 <= found[f"{name}_sum", *labels] <= 3600 * b[-1][1]
    return found, kind


def metrics(pool):
    status, text = pool.monitor("/metrics")
    assert status == 200
    return parse(text)[0]


def diff(before, after):
    return {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}


# ---- what it says

def test_the_format(own):
    own.ok("POST", "/keys/format/create", {"kty": "EC"})
    r = requests.get(f"http://127.0.0.1:{port(own)}/metrics", timeout=10, proxies={"http": None})
    assert r.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert r.headers["connection"] == "close" and int(r.headers["content-length"]) == len(r.content)
    ours, kinds = parse(r.text)
    theirs = {}
    for family in text_string_to_metric_families(r.text):
        assert family.type == kinds[family.name + "_total" if family.type == "counter" else family.name]
        for s in family.samples:
            theirs[s.name, *s.labels.values()] = s.value
    assert ours == theirs
    documented = set(re.findall(r"`((?:keyhold|process)_\w+)", (keyhold.ROOT / "docs/METRICS.md").read_text()))
    assert set(kinds) == documented


def test_requests_are_counted(own):
    """Exactly, by operation, status and reason, at the latest when the client has its answer."""
    own.ok("POST", "/keys/counted/create", {"kty": "EC"})
    before = metrics(own)
    for _ in range(5):
        own.ok("GET", "/keys/counted")
    for _ in range(4):
        own.ok("POST", "/keys/counted/sign", SIGN)
    assert own.call("GET", "/keys/none-such").status_code == 404
    assert own.call("GET", "/keys/none-such").status_code == 404
    assert own.call("POST", "/keys/counted/sign", {**SIGN, "alg": "RS256"}).status_code == 400
    assert own.call("POST", "/keys/counted/create", raw="{").status_code == 400
    assert own.call("GET", "/keys/counted", token="").status_code == 401
    assert own.call("GET", "/keys/counted", token="a.b.c").status_code == 401
    assert own.call("GET", "/keys/counted", token=own.guest_token()).status_code == 403
    assert own.call("GET", "/nowhere").status_code == 404
    assert own.call("POST", "/backup", {}).status_code == 501
    change = diff(before, metrics(own))
    counted = {k[1:]: v for k, v in change.items() if k[0] == "keyhold_requests_total"}
    assert counted == {("KeyGet", "2xx"): 5, ("KeyGet", "4xx"): 4, ("KeySign", "2xx"): 4, ("KeySign", "4xx"): 1,
                       ("KeyCreate", "4xx"): 1, ("Unknown", "4xx"): 2, ("NotImplemented", "5xx"): 1}
    refused = {k[1:]: v for k, v in change.items() if k[0] == "keyhold_refusals_total"}
    assert refused == {("key_not_found", "KeyNotFound"): 2, ("bad_parameter", "BadParameter"): 2,
                       ("token_missing", "Unauthorized"): 1, ("token_malformed", "Unauthorized"): 1,
                       ("denied", "AccessDenied"): 1, ("not_found", "NotFound"): 1, ("not_implemented", "NotImplemented"): 1}
    timed = {k[1]: v for k, v in change.items() if k[0] == "keyhold_request_duration_seconds_count"}
    assert timed == {"KeyGet": 9, "KeySign": 5, "KeyCreate": 1, "Unknown": 2, "NotImplemented": 1}
    assert change["keyhold_request_duration_seconds_sum", "KeySign"] > 0


def test_what_is_no_request_is_counted(own):
    before = metrics(own)
    from rawhttp import Wire
    with Wire(own) as w:
        w.send("GET / HTTP/1.1\r\n\r\n")
        assert w.read().status == 400
    change = diff(before, metrics(own))
    assert change["keyhold_requests_total", "Unknown", "4xx"] == 1
    assert change["keyhold_refusals_total", "malformed", "BadParameter"] == 1
    assert ("keyhold_request_duration_seconds_count", "Unknown") not in change


def test_token_cache(own):
    own.ok("GET", "/keys")
    before = metrics(own)
    for _ in range(10):
        own.ok("GET", "/keys")
    own.forget_tokens()
    time.sleep(1.1)  # another second, another token
    own.ok("GET", "/keys")
    change = diff(before, metrics(own))
    assert (change["keyhold_token_cache_hits_total",], change["keyhold_token_cache_misses_total",]) == (10, 1)
    m = metrics(own)
    assert m["keyhold_token_issuers",] == m["keyhold_token_issuers_known",] == 1


def test_state_of_the_pool(own):
    for _ in range(2):
        own.ok("POST", "/keys/state/create", {"kty": "EC"})
    own.ok("POST", "/keys/state-2/create", {"kty": "EC"})
    own.ok("DELETE", "/keys/state-2")

    def written():
        return json.loads((own.home / "partition-0/audit/audit.jsonl").read_text().splitlines()[-1])["chain"]["seq"]
    from_line, m, s = written(), metrics(own), own.status()
    assert 0 < from_line <= m["keyhold_audit_position",] <= s["auditSeq"] <= written()
    assert (m["keyhold_keys",], m["keyhold_key_versions",], m["keyhold_keys_deleted",]) == (s["keys"], s["versions"], 1)
    assert m["keyhold_store_committed_index",] >= m["keyhold_boundary_applied_index",] > 0
    assert m["keyhold_store_records",] == s["records"]
    assert [m["keyhold_pool_state", x] for x in ("New", "NotActivated", "Active")] == [0, 0, 1]
    assert (m["keyhold_retention_days",], m["keyhold_purge_protection",]) == (90, 0)
    assert m["keyhold_protection_info", s["protection"], s["secretMemory"]] == 1
    assert m["keyhold_build_info", s["version"]] == 1
    assert abs(m["process_start_time_seconds",] - time.time()) < 600
    eventually(lambda: metrics(own)["keyhold_prepared_keys", "2048"] > 0, 30)
    for name in ("ready", "boundary_up", "store_leader", "store_writable", "audit_writable"):
        assert m[f"keyhold_{name}",] == 1, name


def test_it_names_nobody(own):
    """Neither keys nor callers nor the pool, whatever they sent."""
    own.ok("POST", "/keys/Confidential-Name/create", {"kty": "EC", "tags": {"confidentialtag": "confidentialvalue"}})
    own.ok("POST", "/keys/Confidential-Name/sign", SIGN)
    for path, token in (("/keys/Confidential-Missing", None), ("/confidential/path", None), ("/keys/Confidential-Name", ""),
                        ("/keys/Confidential-Name", own.guest_token()), ("/keys/Confidential-Name", "confidential.to.ken")):
        own.call("GET", path, token=token, headers={"user-agent": "confidential-agent"})
    own.assign(keyhold.CRYPTO_USER, own.env["KEYHOLD_GUEST_OID"], "/keys/Confidential-Name")
    text = "".join(own.monitor(p)[1] for p in ("/metrics", "/readyz", "/healthz")).lower()
    assert "keysign" in text and "confidential" not in text
    secrets = [v for k, v in own.env.items() if re.search("OID|CLIENT_ID|SECRET|TENANT|SUBSCRIPTION|USER|PASSWORD|HEADER", k)]
    assert len(secrets) >= 10
    for value in [*secrets, own.token(), own.guest_token(), own.status()["poolId"], f"{own.name}.managedhsm"]:
        assert value.lower() not in text
    assert {k[1] for k in metrics(own) if k[0] == "keyhold_boundary_queue"} == {"lanes", "slow", "makers", "issuer_keys",
                                                                              "commit", "same_record", "lease"}


def connect(pool):
    s = socket.create_connection(("127.0.0.1", port(pool)), timeout=10)
    s.settimeout(10)
    return s


def read_all(s):
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := s.recv(65536):
            data += piece
    return data.decode(errors="replace")


# ---- readiness

def halt(pid):
    """All threads stand still when it returns; the signal alone takes a moment to reach them."""
    os.kill(pid, signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{pid}/task")
    eventually(lambda: all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for t in tasks.iterdir()))


def test_a_boundary_that_hangs(own):
    """The gateway says so, and what waits for it; afterwards all is as before. A client that says nothing meanwhile
    is sent away."""
    assert own.monitor("/readyz") == (200, "ready\n") and own.monitor("/healthz") == (200, "alive\n")
    pid = own.pids()["boundary"]
    own.token()
    halt(pid)
    answers = []
    t = threading.Thread(target=lambda: answers.append(own.call("GET", "/keys").status_code))
    with connect(own) as silent:
        from_s = time.monotonic()
        try:
            t.start()
            assert own.monitor("/readyz") == (503, "not ready: the boundary does not answer\n")
            assert own.monitor("/healthz") == (200, "alive\n")
            m = metrics(own)
            assert m["keyhold_boundary_up",] == m["keyhold_ready",] == 0 and ("keyhold_keys",) not in m
            assert sum(v for k, v in m.items() if k[0] == "keyhold_requests_in_flight") == 1
        finally:
            os.kill(pid, signal.SIGCONT)
            t.join()
        assert answers == [200]
        assert own.monitor("/readyz") == (200, "ready\n")
        assert sum(v for k, v in metrics(own).items() if k[0] == "keyhold_requests_in_flight") == 0
        assert read_all(silent) == "" and time.monotonic() - from_s > 4.5


def test_a_boundary_that_is_killed(own):
    """Not ready until the partition serves again; the port stays, the counters start anew."""
    pids, at, before = own.pids(), port(own), metrics(own)
    halt(pids["pool"])  # nobody starts it again yet
    try:
        os.kill(pids["boundary"], signal.SIGKILL)
        assert own.monitor("/readyz") == (503, "not ready: the boundary does not answer\n")
    finally:
        os.kill(pids["pool"], signal.SIGCONT)

    def ready():
        with contextlib.suppress(requests.RequestException):
            return own.monitor("/readyz")[0] == 200
    eventually(ready, 20)
    assert port(own) == at and own.pids()["gateway"] != pids["gateway"]
    after = metrics(own)
    assert sum(v for k, v in after.items() if k[0] == "keyhold_requests_total") == 0
    assert after["process_start_time_seconds",] >= before["process_start_time_seconds",]
    assert after["keyhold_keys",] == before["keyhold_keys",]


# ---- whoever else may open the port

@pytest.mark.parametrize("text,status", [
    ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"), ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"),
    ("GET /readyz?x=y HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"), ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"),
    ("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"), ("GET /keys HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"),
    ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
    ("DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"),
    ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "400 Bad Request"),
    ("GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request"),
    ("GET /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"), ("\x16\x03\x01\x02garbage\r\n\r\n", "400 Bad Request"),
    ("GET /metrics\r\n\r\n", "400 Bad Request"),
    ("GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + "a" * 9000 + "\r\n\r\n", "431 Request Header Fields Too Large"),
    ("GET /" + "a" * 30000, "431 Request Header Fields Too Large"),
])
def test_requests_by_hand(own, text, status):
    with connect(own) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(text.encode("latin-1"))
        answer = read_all(s)
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\n") and "\r\nConnection: close" in head, answer[:300]
    assert body.count("HTTP/1.1 ") == 0 and (body == "") == text.startswith("HEAD")


def test_half_closed(own):
    with connect(own) as s:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        assert "keyhold_build_info" in read_all(s)


def test_bad_company_disturbs_nobody(own):
    """Silent, slow and greedy ones, more than the listener holds: monitoring and the pool go on."""
    with contextlib.ExitStack() as stack:
        for i in range(60):
            s = stack.enter_context(connect(own))
            with contextlib.suppress(ConnectionError):
                if i % 4 == 1:
                    s.sendall(b"GET /met")
                elif i % 4 == 2:
                    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")  # and does not read
                elif i % 4 == 3:
                    s.sendall(bytes(range(256)))
            if i % 12 == 0:
                assert own.monitor("/metrics")[0] == 200
                assert own.call("GET", "/keys").status_code == 200
        assert own.monitor("/readyz") == (200, "ready\n")
        files = len(os.listdir(f"/proc/{own.pids()['gateway']}/fd"))
    eventually(lambda: len(os.listdir(f"/proc/{own.pids()['gateway']}/fd")) <= files)


def test_a_flood_is_answered_little_by_little(own):
    assert [own.monitor("/healthz")[0] for _ in range(250)] == [200] * 250
    assert own.monitor("/metrics")[0] == 200


# ---- settings

def up(pool, *args, status=0, says=None):
    r = pool.cli("up", *args, check=False)
    assert r.returncode == status and (says is None or says in r.stdout + r.stderr), r.stdout + r.stderr
    return r.stdout


def test_the_option():
    """Off unless wanted; kept from start to start; a port that is taken is named."""
    pool = keyhold.Pool(name="metrics-opt")
    try:
        file = pool.home / "run/metrics-port"
        assert "monitoring" not in up(pool, "--port", pool.port) and "metricsPort" not in pool.status()
        gateway = pool.pids()["gateway"]
        assert "--metrics-fd" not in open(f"/proc/{gateway}/cmdline").read() and not file.exists()
        up(pool, "--metrics-port", "1234", status=1, says="`keyhold down` first")
        pool.down()
        for bad in ("x", "65536", "-1", ""):
            up(pool, "--metrics-port", bad, status=2, says="--metrics-port")
        with contextlib.closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            number = taken.getsockname()[1]
            up(pool, "--metrics-port", str(number), status=1, says=f"port {number} on 127.0.0.1 cannot be used for monitoring")
        assert pool.pids() == {}
        number = keyhold.free_port()
        text = up(pool, "--metrics-port", str(number), says=f"monitoring    http://127.0.0.1:{number}/metrics")
        assert up(pool) == text and pool.status()["metricsPort"] == port(pool) == number
        eventually(lambda: pool.monitor("/readyz") == (200, "ready\n"))  # although it is not activated
        assert metrics(pool)["keyhold_pool_state", "NotActivated"] == 1
        pool.down()
        assert not file.exists()
        assert f"127.0.0.1:{number}/metrics" in up(pool)
        listening = {(r.split()[1]) for r in open("/proc/net/tcp").readlines()[1:] if r.split()[3] == "0A"}
        assert f"0100007F:{number:04X}" in listening and f"00000000:{number:04X}" not in listening, "loopback only"
        pool.down()
        assert "monitoring" not in up(pool, "--metrics-port", "off") and not file.exists()
    finally:
        pool.stop()
