"""kill -9 of any process during writes: what was acknowledged is there and works, nothing is half there.

KEYHOLD_SEED=N repeats a run's choices, KEYHOLD_ROUNDS=N makes it longer."""
import contextlib
import os
import random
import signal
import time

import pytest
import storm

ROUNDS = int(os.environ.get("KEYHOLD_ROUNDS", "9"))
WRITERS = 3
PARTS = ["boundary", "gateway", "door", "fabric", "pool", "supervisor", "all"]


@pytest.fixture(scope="module")
def pool():
    p = storm.new_pool("kill")
    try:
        p.token()  # cached: the storm needs no identity provider
        yield p
    finally:
        p.stop()


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def up_again(pool):
    """The children of a dead supervisor end by themselves; until then the port is not free."""
    end = time.monotonic() + 20
    while True:
        r = pool.cli("up", check=False)
        if r.returncode == 0:
            return
        assert time.monotonic() < end, r.stderr + pool.logs()
        time.sleep(0.1)


def strike(pool, what, rng):
    pids = pool.pids()
    if what == "all":
        kill([pids[n] for n in rng.sample(sorted(pids), len(pids))])
    else:
        kill([pids[what]])
    if what in ("all", "supervisor"):
        up_again(pool)


def test_kill_during_writes(pool):
    seed = int(os.environ.get("KEYHOLD_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"KEYHOLD_SEED={seed}")
    rng = random.Random(seed)
    order = PARTS + rng.choices(PARTS, k=max(0, ROUNDS - len(PARTS)))
    rng.shuffle(order)
    most = min(60, 4500 // (ROUNDS * WRITERS))
    writers, clients = [], []
    for number, what in enumerate(order[:ROUNDS]):
        storming = [storm.Writer(pool, i, random.Random(rng.random()), number, most) for i in range(WRITERS)]
        for w in storming:
            w.start()
        time.sleep(rng.uniform(0.4, 2.0))
        strike(pool, what, rng)
        if rng.random() < 0.3:  # again, while it recovers
            time.sleep(rng.uniform(0, 0.4))
            with contextlib.suppress(KeyError):
                kill([pool.pids()[rng.choice(["boundary", "gateway"])]])
        took = storm.wait_serving(pool)
        time.sleep(0.3)
        for w in storming:
            w.stop.set()
        for w in storming:
            w.join(60)
            assert not w.is_alive(), "a request hangs"
            if w.failure:
                raise w.failure
        writers += storming
        check = storm.Checker(pool)
        for w in storming:
            check.writer(w)
        old = [w for w in writers[:-WRITERS] if w.keys]
        for w in rng.sample(old, min(2, len(old))):
            check.writer(w, rng.sample(w.keys, min(4, len(w.keys))))
        clients += [check.client] + [w.client for w in storming]
        print(f"round {number}: {what}, back after {took:.1f} s, {sum(w.acked for w in storming)} writes acknowledged, "
              f"{sum(w.lost for w in storming)} without answer")
        assert sum(w.acked for w in storming) > 0
    storm.Checker(pool).nothing_else(writers)
    storm.check_audit(pool, clients)
    # a start from disk alone
    pool.down()
    pool.up()
    check = storm.Checker(pool)
    for w in writers[-2 * WRITERS:]:
        check.writer(w)
    check.nothing_else(writers)


def test_key_ids_are_never_given_twice(pool):
    """A kill does not bring back a purged key: its name gets a new version, not the old bytes."""
    client = storm.Client(pool)
    first = client.ok("POST", "/keys/again/create", {"kty": "EC-HSM"})
    client.ok("DELETE", "/keys/again")
    client.ok("DELETE", "/deletedkeys/again")
    kill([pool.pids()["gateway"]])
    storm.wait_serving(pool)
    assert client.call("GET", "/deletedkeys/again").status_code == 404
    second = client.ok("POST", "/keys/again/create", {"kty": "EC-HSM"})
    assert second["key"]["kid"] != first["key"]["kid"] and second["key"]["x"] != first["key"]["x"]
