"""The boundary's cage, seen from outside: forbidden system calls end the process, and what it holds is little."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

import keyhold

sys.path.insert(0, str(keyhold.ROOT / "tests"))
import testbuild  # noqa: E402

RING_SLOT = 4096 + (1 << 20)
LANES = 2
RINGS = 2 * (LANES + 1) + 1
FORBIDDEN = ["socket", "connect", "open", "execve", "ptrace", "fork", "execmem", "kill"]


def pool_json(pool_home):
    """Any valid pool.json; the issuer is never asked."""
    roots = (pool_home / "pki/ca.pem").read_text()
    tenant = str(uuid.uuid4())
    return {"name": "cage", "tenant": tenant, "administrators": [str(uuid.uuid4())], "retentionDays": 90,
            "purgeProtection": False,
            "auth": {"audienceHosts": ["managedhsm.localhost"],
                     "issuers": [{"issuer": f"https://sts.windows.net/{tenant}/", "host": "localhost", "port": 8443,
                                  "path": "/keys", "roots": roots}]}}


@contextlib.contextmanager
def boundary(folder, pool_home, program=testbuild.BOUNDARY, env=None):
    """The program alone, with rings that nobody serves. Yields the process and its ring descriptors."""
    init = folder / "pool.json"
    init.write_text(json.dumps(pool_json(pool_home)))
    memfd = os.memfd_create("keyhold-rings", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, RINGS * RING_SLOT)
    events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2 * RINGS)]
    text = f"{memfd}:{LANES}:" + ",".join(map(str, events))
    log = open(folder / "boundary.log", "ab")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KEYHOLD_")}
    p = subprocess.Popen([program, "--rings", text, "--seal", folder / "seal", "--init", init, "--alone"], stderr=log,
                         stdin=subprocess.DEVNULL, stdout=log, pass_fds=[memfd, *events], env={**clean, **(env or {})})
    try:
        yield p, events
    finally:
        p.kill()
        p.wait()
        log.close()
        for fd in (memfd, *events):
            os.close(fd)


def wait_sandboxed(p, folder):
    end = time.monotonic() + 20
    while time.monotonic() < end and p.poll() is None:
        if "protection level" in (folder / "boundary.log").read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{p.poll()}: " + (folder / "boundary.log").read_text())


def status_of(path):
    return dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines() if ":\t" in line)


@pytest.mark.parametrize("call", FORBIDDEN)
def test_forbidden_call_ends_the_process(pool, tmp_path, call):
    with boundary(tmp_path, pool.home, env={"KEYHOLD_TEST_SYSCALL": call}) as (p, _):
        assert p.wait(30) == -signal.SIGSYS, (tmp_path / "boundary.log").read_text()


def test_the_same_program_lives_without_it(pool, tmp_path):
    """So that the test above can fail: neither no call nor an unknown name ends the program."""
    for env in ({}, {"KEYHOLD_TEST_SYSCALL": "none-of-them"}):
        with boundary(tmp_path, pool.home, env=env) as (p, _):
            wait_sandboxed(p, tmp_path)
            time.sleep(0.3)
            assert p.poll() is None


def test_the_installed_program_has_no_hooks(pool, tmp_path):
    env = {"KEYHOLD_TEST_SYSCALL": "open", "KEYHOLD_TEST_KEYLOG_FD": "2"}
    with boundary(tmp_path, pool.home, program=keyhold.BIN / "keyhold-boundary", env=env) as (p, _):
        wait_sandboxed(p, tmp_path)
        time.sleep(0.3)
        assert p.poll() is None
    assert b"KEYHOLD_TEST" not in (keyhold.BIN / "keyhold-boundary").read_bytes()
    assert b"KEYHOLD_TEST" in testbuild.BOUNDARY.read_bytes()


def test_what_it_holds(pool, tmp_path):
    """In the running pool: filter on every thread, no way to more rights, no descriptors but rings and the log."""
    pid = pool.pids()["boundary"]
    proc = pathlib.Path(f"/proc/{pid}")
    tasks = list((proc / "task").iterdir())
    assert len(tasks) >= 3
    for task in tasks:
        s = status_of(task)
        assert s["Seccomp"].strip() == "2" and s["NoNewPrivs"].strip() == "1", s
    fds = {int(f.name): os.readlink(f) for f in (proc / "fd").iterdir()}
    log = str(pool.home / "log/boundary.log")
    assert fds.pop(2) == log
    assert fds and all(target == "anon_inode:[eventfd]" for target in fds.values()), fds
    assert 0 not in fds and 1 not in fds
    limits = (proc / "limits").read_text()
    assert "Max core file size        0                    0" in limits


def test_not_dumpable(pool):
    """The kernel gives what belongs to a process that is not dumpable to root; others may not look into it."""
    pid = pool.pids()["boundary"]
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    drop = {} if os.getuid() != 0 else {"user": 65534, "group": 65534, "extra_groups": []}
    r = subprocess.run(["head", "-c1", f"/proc/{pid}/mem"], capture_output=True, text=True, timeout=30, **drop)
    assert r.returncode != 0 and "Permission denied" in r.stderr, r.stderr


def test_a_pool_works_in_it(tmp_path):
    """Everything a client may ask works inside the cage: no request ends the process."""
    p = keyhold.Pool(name="caged", bindir=testbuild.bindir(tmp_path / "bin"))
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        pid = p.pids()["boundary"]
        for i in range(120):  # lists longer than one page, sorting, growth of the heap
            p.ok("POST", f"/keys/c{i}/create", {"kty": "EC-HSM", "tags": {"a": "b" * 200}})
        p.ok("POST", "/keys/r/create", {"kty": "RSA-HSM", "key_size": 4096})
        p.ok("GET", "/keys")
        p.ok("GET", "/keys/c1/versions")
        p.ok("DELETE", "/keys/c2")
        p.ok("GET", "/deletedkeys")
        p.ok("POST", "/deletedkeys/c2/recover")
        assert p.pids()["boundary"] == pid, p.logs()
        p.down()
        p.up()
        p.ok("GET", "/keys/c119")
    finally:
        p.stop()
