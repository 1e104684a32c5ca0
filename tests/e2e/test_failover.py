"""Two of three partitions are lost and come back; and what goes between partitions and onto their disks shows no key."""
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import time

import pytest
import requests
from test_memory_scan import fields_of, forms, import_keys, scan, use_ec, use_oct, use_rsa

import keyhold
import testbuild
from capture import Capture


@pytest.fixture(scope="module")
def pool():
    p = keyhold.Pool(name="failover", partitions=3)
    try:
        p.start()
        p.wait_whole()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        yield p
    finally:
        p.stop()


def named(part, number):
    return part if number == 0 else f"{part}-{number}"


@contextlib.contextmanager
def lost(pool, numbers):
    """Both processes of these partitions are killed, and nobody starts them for now."""
    supervisor = pool.pids()["pool"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        pids = pool.pids()
        for n in numbers:
            for part in ("gateway", "boundary"):
                os.kill(pids[named(part, n)], signal.SIGKILL)
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


def ask(pool, method, path, body=None):
    """None: no answer, or 503 and when to come again."""
    try:
        with requests.Session() as s:
            s.trust_env = False
            r = pool.call(method, path, body, session=s, timeout=10)
    except requests.RequestException:
        return None
    if r.status_code == 503:
        assert int(r.headers["Retry-After"]) >= 1
        return None
    return r


@pytest.mark.parametrize("stays", ["leader", "follower"])
def test_two_of_three_are_lost(pool, stays):
    """The one that is left answers nothing once its lease is over: neither a read nor a use of a key, nor a write."""
    leader = pool.wait_whole()["leader"]
    left = leader if stays == "leader" else next(n for n in pool.partitions() if n != leader)
    pool.ok("POST", f"/keys/{stays}/create", {"kty": "oct-HSM", "key_size": 256, "tags": {"value": "before"}})
    wrap = {"alg": "A256KW", "value": "A" * 43}
    value = pool.ok("POST", f"/keys/{stays}/wrapkey", wrap)["value"]
    with lost(pool, [n for n in pool.partitions() if n != left]):
        time.sleep(1)  # the lease: 300 ms
        asked = {"read without a lease": ("GET", f"/keys/{stays}"),
                     "used without a lease": ("POST", f"/keys/{stays}/wrapkey", wrap),
                     "written without a majority": ("PATCH", f"/keys/{stays}", {"tags": {"value": "alone"}})}
        with concurrent.futures.ThreadPoolExecutor() as threads:
            answers = {why: threads.submit(ask, pool, *r) for why, r in asked.items()}
        for why, answer in answers.items():
            assert answer.result() is None, why
        assert pool.partition_status(left)["lease"].get("msLeft", 0) == 0
    pool.wait_whole()
    assert pool.partitions() == [0, 1, 2]
    after = pool.ok("GET", f"/keys/{stays}")["tags"]["value"]
    assert after in ("before", "alone"), "the write without an answer happened, or it did not"
    assert pool.ok("POST", f"/keys/{stays}/wrapkey", wrap)["value"] == value
    pool.ok("PATCH", f"/keys/{stays}", {"tags": {"value": "after"}})
    assert pool.ok("GET", f"/keys/{stays}")["tags"]["value"] == "after"


def test_one_that_comes_back_is_enough(pool):
    """Of three that were lost two serve again."""
    pool.ok("POST", "/keys/enough/create", {"kty": "EC-HSM", "tags": {"value": "kept"}})
    leader = pool.wait_whole()["leader"]
    stopped = [pool.pids()[named(part, leader)] for part in ("gateway", "boundary")]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        others = [n for n in pool.partitions() if n != leader]
        with lost(pool, others[:1]):
            time.sleep(0.3)
        end = time.monotonic() + 30
        while True:
            with requests.Session() as s:  # a new connection each time: it may be the stopped one's
                s.trust_env = False
                r = None
                with contextlib.suppress(requests.RequestException):
                    r = pool.call("PATCH", "/keys/enough", {"tags": {"value": "changed"}}, session=s, timeout=2)
                if r is not None and r.status_code == 200:
                    break
            assert time.monotonic() < end, pool.logs()
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    pool.wait_whole()
    assert pool.ok("GET", "/keys/enough")["tags"]["value"] == "changed"


# ---- what goes over the network, and what is on the disks

def test_no_key_on_the_network_or_on_a_disk(tmp_path):
    """Keys are made, imported and used through all partitions, one partition is added and gets everything, another is
    removed. The test build of the boundary tells the bytes of every key to a file outside."""
    assert testbuild.BOUNDARY.exists(), f"{testbuild.BOUNDARY} is not built"
    capture = tmp_path / "capture"
    marker = os.urandom(32)
    p = keyhold.Pool(name="scan", bindir=testbuild.bindir(tmp_path / "bin", keylog=tmp_path / "keylog"), partitions=3)
    try:
        try:
            recording = Capture(capture)
        except PermissionError:
            pytest.skip("packets cannot be captured here")
        with recording:
            p.up()
            p.down()
            p.configure(preparedKeys={"2048": 0, "3072": 0, "4096": 0})
            p.start()
            p.wait_whole()
            for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
                assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
            for i in range(3):
                p.session.close()  # the next partition's turn
                use_ec(p, f"e{i}", "P-256", "ES256", 32)
                use_oct(p, f"o{i}", 256)
            use_rsa(p, "r", 2048)
            imported, refused = import_keys(p)
            assert p.cli("partition", "add").stdout == "partition 3 serves\n"
            p.cli("partition", "remove", 0)
            p.wait_whole()
            for i in range(4):
                p.session.close()
                use_oct(p, f"o{i}", 256)
            with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as s:
                s.sendall(marker)  # what the scanner has to find
            ports = [int(e["peer"].rsplit(":", 1)[1]) for e in json.loads((p.home / "config.json").read_text())["partitions"]]
        assert recording.dropped() == 0
        parts = [bytes.fromhex(line) for line in (tmp_path / "keylog").read_text().split()]
        secrets = [s for part in parts for s in fields_of(part).values()] + imported + refused
        assert len(parts) > 3 + 3 + 1 + len({p[3] for p in parts})
        patterns = [f for s in secrets for f in forms(s)]
        finds, searched, _ = scan(tmp_path, [marker], [capture])
        assert finds and searched > 1 << 20, "the capture misses what went by"
        raw = capture.read_bytes()
        assert all(port.to_bytes(2, "big") in raw for port in ports), "nothing of the links was captured"
        finds, _, _ = scan(tmp_path, patterns, [capture])
        assert not finds, finds[:5]
        files = [f for f in p.home.rglob("*") if f.is_file()]
        assert sum("store" in f.parts for f in files) > 6
        finds, searched, _ = scan(tmp_path, patterns, files)
        assert searched > 1 << 20 and not finds, finds[:5]
        p.down()
        finds, _, _ = scan(tmp_path, patterns, [f for f in p.home.rglob("*") if f.is_file()])
        assert not finds, finds[:5]
    finally:
        p.stop()
