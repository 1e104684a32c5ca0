"""Full disks, damaged disks, old disks: a clear refusal or the right data, never wrong data.

KEYHOLD_SEED=N repeats a run's choices, KEYHOLD_ROUNDS=N makes it longer."""
import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

import pytest
import storm

import keyhold

SEED = int(os.environ.get("KEYHOLD_SEED", random.SystemRandom().randrange(1 << 32)))
DAMAGES = int(os.environ.get("KEYHOLD_ROUNDS", "10"))
DISK_SIZE = "120m"


# ---- full disk

@pytest.fixture(scope="module")
def small_disk():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kh-disk-"))
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=0700", "none", folder],
                       capture_output=True, text=True)
    if r.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small file system cannot be mounted here: {r.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)
    folder.rmdir()


@pytest.fixture(scope="module")
def on_small_disk(small_disk):
    p = storm.new_pool("full", home=small_disk / "home", options=["--metrics-port", "0"])
    try:
        yield p
    finally:
        p.stop()


@contextlib.contextmanager
def filled(folder, leave):
    """Takes all room on the disk but leave bytes."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as f:
        with contextlib.suppress(OSError):
            while True:
                s = os.statvfs(folder)
                room = s.f_bavail * s.f_bsize - leave
                if room <= 0:
                    break
                f.write(bytes(min(room, 1 << 20)))
    try:
        yield
    finally:
        filler.unlink()


def writer(pool, number):
    w = storm.Writer(pool, number, random.Random(SEED + number), f"d{number}")
    for _ in range(25):
        w.step()
    assert w.lost == 0 and w.acked > 0
    return w


def write_until_refused(pool, name, seconds=60):
    """Creates keys until one is refused; returns (keys that were acknowledged, the refusal)."""
    acked, end = [], time.monotonic() + seconds
    tags = {f"t{i}": "x" * 250 for i in range(15)}
    while time.monotonic() < end:
        key = f"{name}{len(acked)}"
        r = pool.call("POST", f"/keys/{key}/create", {"kty": "EC-HSM", "tags": tags})
        if r.status_code != 200:
            return acked, r
        acked.append((key, storm.version_of(r.json())))
    raise AssertionError("the disk does not become full")


def check_keys(pool, keys):
    check = storm.Checker(pool)
    for name, v in keys:
        seen = check.observed(name)
        assert seen and seen["current"] == v and len(seen["versions"]) == 1
        check.use(name, v)


def recovers(pool, name):
    """Writes are taken again; returns the key. The gateway may have to start again meanwhile."""
    end, client = time.monotonic() + 40, storm.Client(pool)
    while True:
        try:
            return name, storm.version_of(client.ok("POST", f"/keys/{name}/create", {"kty": "EC-HSM"}))
        except storm.Lost:
            assert time.monotonic() < end, pool.logs()
        time.sleep(0.2)


def test_writes_are_refused_while_the_disk_is_full(on_small_disk, small_disk):
    p = on_small_disk
    w = writer(p, 1)
    with filled(small_disk, leave=17 << 20):
        acked, r = write_until_refused(p, "full")
        print(f"{len(acked)} writes went into the last room")
        assert r.status_code == 503, r.text
        code, message = p.error(r)
        assert code == "ServiceUnavailable" and "disk is full" in message, message
        pids = p.pids()
        check_keys(p, acked[-5:])  # reads and uses go on
        storm.Checker(p).writer(w)
        for method, path, body in (("PATCH", f"/keys/{acked[0][0]}", {"tags": {}}),
                                   ("DELETE", f"/keys/{acked[0][0]}", None)):
            assert p.call(method, path, body).status_code == 503
        assert p.assign(keyhold.CRYPTO_USER, "00000000-0000-4000-8000-000000000001").status_code == 503
        assert p.monitor("/readyz") == (503, "not ready: the disk is full\n")
        assert "keyhold_store_writable 0\n" in p.monitor("/metrics")[1]
        assert p.pids() == pids, "a process was restarted\n" + p.logs()
    new = recovers(p, "after")
    assert p.monitor("/readyz") == (200, "ready\n")
    check_keys(p, acked + [new])
    storm.Checker(p).writer(w)
    p.down()
    p.up()
    check_keys(p, acked + [new])
    storm.Checker(p).writer(w)
    time.sleep(1.6)
    r = p.cli("audit", "verify", check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def test_not_one_byte_left(on_small_disk, small_disk):
    """Not even the audit log can grow: no request is answered that it does not hold. Then all is well again."""
    p = on_small_disk
    clients = [storm.Client(p)]
    known = recovers(p, "before")
    with filled(small_disk, leave=0):
        refused = 0
        for i in range(300):
            r = p.call("GET", f"/keys/{known[0]}")
            assert r.status_code in (200, 503), r.text
            refused += r.status_code == 503
        assert p.call("POST", "/keys/none/create", {"kty": "EC-HSM"}).status_code == 503
        assert p.monitor("/readyz")[0] == 503
        assert "keyhold_audit_writable 0\n" in p.monitor("/metrics")[1]
        print(f"{refused} of 300 reads refused")
    new = recovers(p, "room-again")
    check_keys(p, [known, new])
    for _ in range(20):
        clients[0].ok("GET", f"/keys/{known[0]}")
    storm.check_audit(p, clients)


def test_start_on_a_full_disk(on_small_disk, small_disk):
    """It starts, and answers 503 as long as the audit log cannot grow; with room all goes on by itself."""
    p = on_small_disk
    known = recovers(p, "full-start")
    p.down()
    with filled(small_disk, leave=0):
        p.up()
        for _ in range(20):  # a few lines may go into the page that the audit log has begun
            r = p.call("GET", f"/keys/{known[0]}")
            if r.status_code != 200:
                break
        assert r.status_code == 503 and "disk is full" in p.error(r)[1], r.text
    storm.wait_serving(p)
    check_keys(p, [known, recovers(p, "full-start-2")])
    p.down()
    p.up()
    check_keys(p, [known])


# ---- damage

@pytest.fixture(scope="module")
def pool():
    p = storm.new_pool("disk")
    try:
        yield p
    finally:
        p.stop()


def store_files(pool):
    """Files of the store that hold data."""
    return [f for f in sorted((pool.home / "partition-0/store").rglob("*"))
            if f.is_file() and f.stat().st_size > 0 and f.name not in ("reserve", "state.mdb-lock")]


def damage(path, rng):
    """One thing that a disk does to a file; says what it was."""
    size = path.stat().st_size
    used = size
    if path.name.startswith("open-"):  # preallocated: damage where data is
        data = path.read_bytes().rstrip(b"\0")
        used = max(len(data), 64)
    at = rng.randrange(used)
    what = rng.choice(["flip", "flip", "zero", "garbage", "truncate", "page"])
    if what == "truncate":
        os.truncate(path, at)
        return f"{path.name} ends at {at} of {size}"
    with open(path, "r+b") as f:
        n = {"flip": 1, "zero": 64, "garbage": 200, "page": 4096}[what]
        if what == "page":
            at -= at % 4096
        f.seek(at)
        old = f.read(n)
        new = {"flip": bytes(b ^ (1 << rng.randrange(8)) for b in old), "zero": bytes(len(old)),
               "garbage": rng.randbytes(len(old)), "page": rng.randbytes(len(old))}[what]
        f.seek(at)
        f.write(new)
    return f"{path.name}: {what} of {len(old)} bytes at {at} of {size}"


def start_or_refuse(pool, check):
    """Start; when it serves, check() must hold; else the refusal must be clear. Returns whether it served."""
    r = pool.cli("up", check=False)
    if r.returncode == 0:
        check()
        return True
    assert r.stderr.strip().startswith("keyhold:"), r.stderr
    last = [line for part in ("gateway", "boundary") for line in
            (pool.home / f"log/{part}.log").read_text().splitlines()[-4:]]
    assert any(" error " in line for line in last), f"{r.stderr}\nno reason in the log:\n" + "\n".join(last)
    signals = [line for line in (pool.home / "log/supervisor.log").read_text().splitlines()[-14:]
               if "ended by signal" in line and not line.endswith((" 9", " 15"))]
    assert not signals, f"a crash: {signals}\n{pool.logs()}"
    return False


def put_back(pool, saved):
    pool.down()
    shutil.rmtree(pool.home / "partition-0")
    shutil.copytree(saved, pool.home / "partition-0")


def test_damaged_files(pool, tmp_path):
    print(f"KEYHOLD_SEED={SEED}")
    rng = random.Random(SEED)
    w = writer(pool, 1)
    pool.down()
    saved = tmp_path / "saved"
    shutil.copytree(pool.home / "partition-0", saved)
    served = 0
    for number in range(DAMAGES):
        files = store_files(pool)
        target = rng.choice([f for f in files if f.name == "state.mdb"] if number % 2 else files)
        what = damage(target, rng)
        try:
            ok = start_or_refuse(pool, lambda: storm.Checker(pool).writer(w))
        except AssertionError as e:
            raise AssertionError(f"after {what}: {e}") from e
        served += ok
        print(f"{what}: {'healed' if ok else 'refused'}")
        put_back(pool, saved)
    # the untouched copy is still good: what failed above failed because of the damage
    pool.up()
    storm.Checker(pool).writer(w)
    print(f"{served} of {DAMAGES} served")


@pytest.mark.parametrize("name", ["seal", "seal.key"])
def test_damaged_root_secrets(pool, tmp_path, name):
    """One wrong bit in the sealed root secrets or their key: no start, no new secrets over the old ones."""
    pool.down()
    target = next(iter(pool.home.rglob(name)), None)
    assert target is not None, sorted(pool.home.rglob("*seal*"))
    good = target.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 4
    try:
        for content in (bytes(bad), good[:-5], b""):
            target.write_bytes(content)
            assert not start_or_refuse(pool, lambda: None)
            pool.down()
            assert target.read_bytes() == content, "the damaged file was replaced"
    finally:
        pool.down()
        target.write_bytes(good)
    pool.up()
    storm.wait_serving(pool)


# ---- old files put back
#
# What one partition can know: the log and the state each have their place in one history, and the digest binds all
# records of a state together. An old state under the newer log is brought up to date from the log; any other mixture
# is refused. A complete old copy of the disk is a consistent state of its day: one partition alone serves it
# (docs/THREATS.md); only the audit log's position, when it is newer, shows it.

@pytest.fixture
def history(pool, tmp_path):
    """Two days of a pool: saved/old and saved/new; in between a right was given back and keys changed."""
    pool.up()
    storm.wait_serving(pool)
    w = writer(pool, random.Random().randrange(1 << 30))
    guest = pool.env["KEYHOLD_GUEST_OID"] if "KEYHOLD_GUEST_OID" in pool.env else None
    client = storm.Client(pool)
    name = f"old{time.monotonic_ns()}"
    key = client.ok("POST", f"/keys/{name}/create", {"kty": "EC-HSM"})
    doomed = client.ok("POST", f"/keys/{name}-purged/create", {"kty": "EC-HSM"})
    oid = guest or guest_oid(pool)
    role = pool.assign(keyhold.CRYPTO_USER, oid, scope=f"/keys/{name}")
    assert role.status_code == 201, role.text
    assert pool.call("GET", f"/keys/{name}", token=pool.guest_token()).status_code == 200
    pool.down()
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(pool.home / "partition-0", old)
    pool.up()
    storm.wait_serving(pool)
    assert client.call("DELETE", f"/keys/{name}/providers/Microsoft.Authorization/roleAssignments/"
                       + role.json()["name"]).status_code == 200
    updated = client.ok("PATCH", f"/keys/{name}", {"tags": {"day": "new"}})
    client.ok("DELETE", f"/keys/{name}-purged")
    client.ok("DELETE", f"/deletedkeys/{name}-purged")
    for _ in range(10):
        w.step()
    pool.down()
    shutil.copytree(pool.home / "partition-0", new)
    assert key["key"]["x"] == updated["key"]["x"] and doomed["key"]["kid"]

    def is_new():
        check = storm.Checker(pool)
        assert pool.call("GET", f"/keys/{name}", token=pool.guest_token()).status_code == 403, "a removed right is back"
        assert check.observed(name)["current"] == storm.version_of(updated)
        assert check.observed(f"{name}-purged") is None, "a purged key is back"
        check.writer(w)

    yield pool, old, new, name, is_new
    put_back(pool, new)
    pool.up()
    storm.wait_serving(pool)
    is_new()


def guest_oid(pool):
    import base64
    import json
    body = pool.guest_token().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["oid"]


def mix(pool, base, store_from, what):
    """partition-0 is base's, but the named part of the store is the other's."""
    put_back(pool, base)
    target, source = pool.home / "partition-0/store" / what, store_from / "store" / what
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    with contextlib.suppress(FileNotFoundError):
        (pool.home / "partition-0/store/state.mdb-lock").unlink()


def test_old_state_under_the_new_log(history):
    pool, old, new, _, is_new = history
    mix(pool, new, old, "state.mdb")
    print("healed" if start_or_refuse(pool, is_new) else "refused")


def test_new_state_over_the_old_log(history):
    pool, old, new, _, is_new = history
    mix(pool, new, old, "log")
    print("healed" if start_or_refuse(pool, is_new) else "refused")


def test_new_seal_old_store_is_the_old_day(history):
    """The whole store of an earlier day: consistent in itself. It is that day's state, nothing mixed."""
    pool, old, new, name, is_new = history
    put_back(pool, new)
    shutil.rmtree(pool.home / "partition-0/store")
    shutil.copytree(old / "store", pool.home / "partition-0/store")

    def is_old():
        check = storm.Checker(pool)
        assert pool.call("GET", f"/keys/{name}", token=pool.guest_token()).status_code == 200
        assert check.observed(name)["current"]["tags"] == {}
        assert check.observed(f"{name}-purged") is not None

    print("served as it was" if start_or_refuse(pool, is_old) else "refused")


def test_store_of_another_pool(history, tmp_path):
    pool, old, new, _, is_new = history
    other = storm.new_pool("disk")  # same name, other secrets
    try:
        other.ok("POST", "/keys/a/create", {"kty": "EC-HSM"})
        other.down()
        put_back(pool, new)
        shutil.rmtree(pool.home / "partition-0/store")
        shutil.copytree(other.home / "partition-0/store", pool.home / "partition-0/store")
        assert not start_or_refuse(pool, lambda: None), "it serves another pool's store"
    finally:
        other.stop()


def test_empty_store_under_old_secrets(history):
    """The store is gone (or its first start was interrupted): a new pool, visibly so, in which nobody has old rights."""
    pool, old, new, name, is_new = history
    put_back(pool, new)
    shutil.rmtree(pool.home / "partition-0/store")

    def is_empty():
        assert pool.status()["state"] == "NotActivated"
        for token in (pool.guest_token(), None):
            assert pool.call("GET", f"/keys/{name}", token=token).status_code in (403, 409)

    print("starts empty" if start_or_refuse(pool, is_empty) else "refused")
