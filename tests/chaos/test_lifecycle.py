"""Pools are created, deleted, recovered and purged while processes are killed: every operation ends, in a state that is
documented, and nothing is left of a pool that was purged: no process, no listener, no directory, no open file.

KEYHOLD_SEED=N repeats a run's choices of the moment; KEYHOLD_ROUNDS=N rounds of each victim; KEYHOLD_POOLS=N pools made and
purged in a loop (the long form: KEYHOLD_ROUNDS=8 KEYHOLD_POOLS=50)."""
import contextlib
import os
import random
import signal
import time

import arm as control
import keyhold
import pytest
import requests

ROUNDS = int(os.environ.get("KEYHOLD_ROUNDS", "1"))
POOLS = int(os.environ.get("KEYHOLD_POOLS", "5"))
SEED = int(os.environ.get("KEYHOLD_SEED", random.SystemRandom().randrange(1 << 32)))
GROUP = "rg-life"
VICTIMS = ["fabric", "node", "pool", "partition"]
MOMENTS = [0, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0]
# What each operation may end in when something was killed meanwhile. The first is what it is for; the others are those
# that a failed operation leaves, and the next one goes on from any of them.
ENDS = {"create": ["Succeeded", "Failed", "gone"], "delete": ["deleted", "Succeeded"],
        "recover": ["Succeeded", "Failed", "deleted"], "purge": ["gone", "deleted"]}
UNDER_WAY = ("Provisioning", "Deleting", "Updating", "Restoring")


@pytest.fixture(scope="module")
def world():
    pool = keyhold.Pool(name="life-first")
    try:
        pool.start(activate=False)
        a = control.Arm(pool)
        a.group(GROUP)
        whole(a, "life-warm")
        yield a
    finally:
        pool.stop()


def whole(arm, name):
    """One life; seconds until it was there."""
    t = time.monotonic()
    arm.create(GROUP, name)
    took = time.monotonic() - t
    arm.delete(GROUP, name)
    arm.purge(name)
    return took


def patiently(fn, timeout=30):
    """The answer of a request that is asked again while the control plane starts."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(requests.RequestException):
            r = fn()
            if r.status_code not in (502, 503, 504):
                return r
        assert time.monotonic() < end, "the control plane does not come back"
        time.sleep(0.02)


def state(arm, name):
    r = patiently(lambda: arm.call("GET", arm.hsm_id(GROUP, name)))
    if r.status_code == 200:
        return r.json()["properties"]["provisioningState"]
    return "deleted" if patiently(lambda: arm.call("GET", arm.deleted_id(name))).status_code == 200 else "gone"


REQUESTS = {"create": lambda a, n: ("PUT", a.hsm_id(GROUP, n), a.hsm_body()),
            "delete": lambda a, n: ("DELETE", a.hsm_id(GROUP, n), None),
            "recover": lambda a, n: ("PUT", a.hsm_id(GROUP, n), a.recovery()),
            "purge": lambda a, n: ("POST", a.deleted_id(n) + "/purge", None)}


def find(arm, victim, name):
    """Its pid; None: there is none now."""
    home = arm.pool.home
    at = f"{home}/pools/{name}"
    for pid, command in control.processes(home).items():
        program = command.split()[0].rsplit("/", 1)[1]
        inside = at in command
        if (victim == "fabric" and program == "keyhold-fabric") or \
                (victim == "node" and program == "keyhold-supervisor" and "--pool" not in command.split()) or \
                (victim == "pool" and program == "keyhold-supervisor" and inside) or \
                (victim == "partition" and program == "keyhold-boundary" and inside):
            return pid
    return None


def kill(arm, victim, name, limit):
    """Kills it; when there is none yet, as soon as it is there. Whether it did."""
    end = time.monotonic() + limit
    while (pid := find(arm, victim, name)) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if victim == "node":
        while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX":
            time.sleep(0.005)
        arm.pool.up()
    return True


def disturbed(arm, op, name, victim, moment):
    """One operation with one kill. Ends in a documented state, which is returned."""
    first = None
    with contextlib.suppress(requests.RequestException):
        method, path, body = REQUESTS[op](arm, name)
        first = arm.call(method, path, body)
        assert first.status_code in (200, 202, 503), f"{op}: {first.status_code} {first.text}"
    time.sleep(moment)
    killed = kill(arm, victim, name, 1 if op in ("create", "recover") else 0)
    end = time.monotonic() + 60
    if first is not None and "Location" in first.headers:
        while True:
            r = patiently(lambda: arm.call("GET", first.headers["Location"], api=None))
            if r.status_code != 202:
                break
            assert time.monotonic() < end, f"{op}, {victim} killed after {moment} s: it does not end\n{arm.pool.logs()}"
            time.sleep(0.05)
        assert r.status_code == 200 or r.json()["error"]["code"], r.text
    while (now := state(arm, name)) in UNDER_WAY:
        assert time.monotonic() < end, f"{op}: {now}"
        time.sleep(0.05)
    where = f"{op}, {victim}{'' if killed else ' (there was none)'} killed after {moment} s"
    assert now in ENDS[op], f"{where}: {now}"
    if op != "create" and first is not None and first.status_code == 202 and r.status_code == 200:
        assert now == ENDS[op][0], f"{where}: it was told to have succeeded, and is {now}"
    return now


def finish(arm, op, name, now):
    """Without a kill, whatever was before: it gets there."""
    end = time.monotonic() + 60
    while now != ENDS[op][0]:
        assert time.monotonic() < end, f"{op}: {now}\n{arm.pool.logs()}"
        step = op
        if now == "Failed":
            step = "delete"  # a pool that failed is removed as any other
        elif op in ("create", "recover") and now == "deleted":
            step = "recover"
        elif op in ("create", "recover") and now == "gone":
            step = "create"
        elif op == "purge" and now == "Succeeded":
            step = "delete"
        method, path, body = REQUESTS[step](arm, name)
        r = patiently(lambda: arm.call(method, path, body))
        while r.status_code == 202:
            url = r.headers["Location"]
            r = patiently(lambda: arm.call("GET", url, api=None))
            assert time.monotonic() < end, f"{step} does not end"
            time.sleep(0.05)
        now = state(arm, name)
    return now


def key_of(arm, name):
    """A key in the pool that was just made: its id."""
    hsm = arm.hsm(name)
    assert hsm.assign(keyhold.CRYPTO_USER, arm.pool.env["KEYHOLD_ADMIN_OID"]).status_code == 201
    return hsm.ok("POST", "/keys/kept/create", {"kty": "EC-HSM", "crv": "P-256"})["key"]["kid"]


@pytest.fixture(scope="module")
def certificates():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    import base64
    import datetime
    made = []
    for i in range(3):
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"c{i}")])
        now = datetime.datetime.now(datetime.timezone.utc)
        cert = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(
            i + 1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2)).sign(key, hashes.SHA256())
        der = cert.public_bytes(serialization.Encoding.DER)
        made.append({"kty": "RSA", "alg": "RSA-OAEP-256", "key_ops": ["encrypt"], "x5c": [base64.b64encode(der).decode()]})
    return made


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_every_step(world, victim, certificates):
    print(f"KEYHOLD_SEED={SEED}")
    rng = random.Random(f"{SEED}{victim}")
    before = control.Residue(world.pool.home)
    for i in range(ROUNDS):
        name = f"life-{victim}-{i}"
        moment = {op: MOMENTS[i % len(MOMENTS)] if ROUNDS >= len(MOMENTS) else rng.choice(MOMENTS) for op in ENDS}
        finish(world, "create", name, disturbed(world, "create", name, victim, moment["create"]))
        control.wait_pool(world.pool.home, name)
        hsm = world.hsm(name)
        control.activate(hsm, certificates)
        kid = key_of(world, name)
        finish(world, "delete", name, disturbed(world, "delete", name, victim, moment["delete"]))
        finish(world, "recover", name, disturbed(world, "recover", name, victim, moment["recover"]))
        control.wait_pool(world.pool.home, name)
        r = patiently(lambda h=world.hsm(name): h.call("GET", "/keys/kept"))
        assert r.status_code == 200 and r.json()["key"]["kid"] == kid, f"recovery brings keys and roles back: {r.text}"
        world.delete(GROUP, name)
        finish(world, "purge", name, disturbed(world, "purge", name, victim, moment["purge"]))
        assert name not in world.names() | world.deleted_names()
    control.settled(world.pool.home, before)


def test_pools_come_and_go(world):
    """Made and purged one after the other: nothing grows."""
    home = world.pool.home
    before = control.Residue(home)
    files = control.descriptors(control.processes(home))
    took = []
    for i in range(POOLS):
        took.append(whole(world, f"loop-{i}"))
        assert not (home / f"pools/loop-{i}").exists()
    control.settled(home, before)
    after = control.descriptors(control.processes(home))
    end = time.monotonic() + 10
    while any(after.get(p, n) > n + 2 for p, n in files.items()) and time.monotonic() < end:
        time.sleep(0.1)
        after = control.descriptors(control.processes(home))
    grown = {p: (n, after[p]) for p, n in files.items() if after.get(p, n) > n + 2}
    assert not grown, f"open files before and after {POOLS} pools: {grown}"
    print(f"{POOLS} pools, create: {min(took):.2f} to {max(took):.2f} s, median {sorted(took)[len(took) // 2]:.2f} s")


def test_two_pools_share_nothing(world):
    """No process, directory or listener; each with keys of its own for its peers and its server."""
    home = world.pool.home
    names = ["share-a", "share-b"]
    for n in names:
        world.create(GROUP, n)
    running = control.processes(home)
    own = {n: {p for p, c in running.items() if f"{home}/pools/{n}/" in c + "/" or f"{home}/pools/{n} " in c + " "} for n in names}
    assert not own[names[0]] & own[names[1]] and all(len(p) >= 7 for p in own.values()), own  # a supervisor, three pairs
    listen = {n: control.listeners(own[n]) for n in names}
    assert not listen[names[0]] & listen[names[1]]
    pem = {n: {f.read_bytes() for f in (home / "pools" / n).rglob("*") if f.is_file() and f.suffix in (".key", ".pem")}
           for n in names}
    shared = pem[names[0]] & pem[names[1]]
    assert not [k for k in shared if b"PRIVATE KEY" in k], "a private key is in both pools"
    for n in names:
        world.delete(GROUP, n)
        world.purge(n)
