"""Rounds of faults against three partitions under load, and the verdict on what the clients saw.

    build/venv/bin/python tests/chaos/rounds.py [--rounds N] [--seed N] [--longest SECONDS]

The seed decides the faults and what the clients ask for; how both fall together is up to the machine. Everything of a
failed run stays in build/chaos/SEED: the history, a picture of what is wrong with it, the logs. Exit status: 0 passed,
1 failed, 77 namespaces are not allowed here."""
import argparse
import contextlib
import pathlib
import random
import shutil
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import faults  # noqa: E402
import keyhold  # noqa: E402
import verdicts  # noqa: E402
import work  # noqa: E402
import world as worlds  # noqa: E402

EPOCH = 5  # rounds
CLIENTS = 5


class Run:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.out = keyhold.ROOT / f"build/chaos/{options.seed}"
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.world = worlds.World(options.partitions)
        self.round = 0
        self.finals = {}  # register -> its value at the end of its epoch
        self.material = {}  # key -> the fixed data key wrapped with it
        self.requests = self.refused = self.granted = 0
        self.codes = {}
        self.slowest_heal = 0.0

    def all(self):
        self.world.start()
        self.tokens = work.Tokens(self.world.pool)
        number = 0
        while self.round < self.options.rounds:
            self.epoch(number, min(EPOCH, self.options.rounds - self.round))
            number += 1
        if len(self.finals) > 0:
            self.restart()
        assert self.refused > 0 and self.granted > 0, "the worker's right was never gone, or never there"

    # ---- an epoch
    def epoch(self, number, rounds):
        history = work.History(self.out / f"history-{number}.jsonl")
        epoch = work.Epoch(number, history, self.world, self.tokens)
        clients = [work.Client(i, random.Random(self.rng.getrandbits(64)),
                               work.Doer(self.world, self.tokens, history, i), epoch) for i in range(CLIENTS)]
        for c in clients:
            c.start()
        try:
            for _ in range(rounds):
                self.one_round(history, clients)
                self.round += 1
        finally:
            for c in clients:
                c.halt.set()
            for c in clients:
                c.join(30)
            history.write()
        assert not any(c.is_alive() for c in clients), "a request hangs"
        self.read_all(epoch, history)
        history.write()
        self.judge(number, epoch, history)

    def one_round(self, history, clients):
        plan = faults.plan(self.world, self.rng, self.options.longest)
        before = time.monotonic()
        print(f"round {self.round}: {'; '.join(map(str, plan))}", end="", flush=True)
        ends = []
        for f in plan:
            f.begin()
            ends.append((time.monotonic() + f.lasts, len(ends), f))
        for at, _, f in sorted(ends):
            time.sleep(max(0, at - time.monotonic()))
            f.end()
        self.world.heal()
        ended = time.monotonic()
        time.sleep(0.1)
        self.world.wait_whole()
        took = time.monotonic() - ended
        self.slowest_heal = max(self.slowest_heal, took)
        self.answered(history)
        for c in clients:
            if c.failure:
                raise c.failure
        print(f" — whole {took:.1f} s after, {time.monotonic() - before:.1f} s", flush=True)

    def answered(self, history, timeout=20):
        """The clients get on."""
        at = len(history.rows)
        end = time.monotonic() + timeout
        wanted = {"write", "put", "delete"}
        while not any(r["out"] == "ok" or r["op"] == "write" and r["out"] != work.UNKNOWN
                      for r in history.rows[at:] if r["op"] in wanted):
            assert time.monotonic() < end, "no write is answered although all partitions are back"
            time.sleep(0.02)

    def read_all(self, epoch, history):
        """Everything is read through every partition; these reads belong to the history."""
        earlier = self.rng.sample(sorted(self.finals), min(6, len(self.finals)))
        keys = epoch.registers + epoch.roles
        last = {}
        for number in self.world.numbers():
            line = work.reach(self.world, self.tokens, number)
            d = work.Doer(self.world, self.tokens, history, CLIENTS + number, line)
            for name in epoch.registers:
                out = self.sure(lambda n=name: d.read(n))
                assert last.setdefault(name, out) == out, f"{name} is {out!r} at partition {number} and {last[name]!r} at another"
            for name in epoch.roles:
                self.sure(lambda n=name: d.use(n))
            for name in epoch.lives:
                self.sure(lambda n=name: d.live(n, "get"))
            self.look_back(line, number, earlier)
            for name in keys + self.rng.sample(sorted(self.material), min(6, len(self.material))):
                self.same_material(line, number, name)
            line.close()
        self.finals.update(last)

    def sure(self, ask):
        end = time.monotonic() + 20
        while True:
            out = ask()
            if out not in (None, work.UNKNOWN):
                return out
            assert time.monotonic() < end, "a read is not answered although all partitions are back"
            time.sleep(0.05)

    def ask(self, line, *request):
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(work.Lost):
                status, body = line.request(*request)
                if status not in (401, 429, 503):
                    return status, body
            assert time.monotonic() < end, f"no answer to {request} although all partitions are back"
            time.sleep(0.05)

    def look_back(self, line, number, names):
        for name in names:
            status, body = self.ask(line, "GET", f"/keys/{name}")
            value = body.get("tags", {}).get("value", "") if status == 200 else status
            assert value == self.finals[name], f"{name} was {self.finals[name]!r} and is {value!r} at partition {number}"

    def same_material(self, line, number, name):
        status, body = self.ask(line, "POST", f"/keys/{name}/wrapkey", work.WRAP)
        assert status == 200, f"{name} at partition {number}: {status} {body}"
        wrapped = {"kid": body["kid"], "value": body["value"]}
        assert self.material.setdefault(name, wrapped) == wrapped, f"key {name} differs at partition {number}"
        status, body = self.ask(line, "POST", f"/keys/{name}/unwrapkey", {"alg": "A256KW", "value": wrapped["value"]})
        assert status == 200 and body["value"] == work.WRAP["value"], f"{name} at partition {number}: {status} {body}"

    def judge(self, number, epoch, history):
        assert not history.odd, f"{len(history.odd)} answers that nobody should get: {history.odd[:5]}"
        began = time.monotonic()
        text = verdicts.linearizable(history.path)
        refused = verdicts.no_use_after_revocation(history.rows)
        self.refused += refused
        self.granted += sum(r["op"] == "use" and r["out"] == "ok" for r in history.rows)
        self.requests += len(history.rows)
        for status, n in history.codes.items():
            self.codes[str(status)] = self.codes.get(str(status), 0) + n
        lost = sum(r["out"] == work.UNKNOWN for r in history.rows)
        by = {n: sum(r["partition"] == n for r in history.rows) for n in self.world.numbers()}
        print(f"epoch {number}: {len(history.rows)} requests {by}, {lost} without outcome, {refused} refused after a revocation; "
              f"linearizable ({time.monotonic() - began:.1f} s)", flush=True)
        if self.options.verbose:
            print(text)
        if not self.options.keep:
            history.path.unlink()

    def restart(self):
        """From the disks alone."""
        self.world.pool.down()
        began = time.monotonic()
        self.world.pool.up()
        self.world.wait_whole()
        print(f"cold start of all: {time.monotonic() - began:.1f} s")
        self.tokens.refresh()
        names = sorted(self.finals)
        for number in self.world.numbers():
            line = work.reach(self.world, self.tokens, number)
            self.look_back(line, number, names)
            for name in sorted(self.material):
                self.same_material(line, number, name)
            line.close()

    def keep_evidence(self):
        shutil.copytree(self.world.pool.home / "log", self.out / "log", dirs_exist_ok=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=1000)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--longest", type=float, default=10, help="seconds that a fault may last")
    p.add_argument("--partitions", type=int, default=3)
    p.add_argument("--keep", action="store_true", help="histories of what passed, too")
    p.add_argument("--verbose", action="store_true")
    options = p.parse_args()
    print(f"SEED={options.seed}", flush=True)
    sys.argv = [sys.argv[0], *[f"--{k}={v}" for k, v in vars(options).items() if not isinstance(v, bool)],
                *[f"--{k}" for k, v in vars(options).items() if v is True]]
    worlds.enter()
    run = Run(options)
    failed = False
    try:
        run.all()
    except BaseException:  # noqa: BLE001
        failed = True
        print(f"\nfailed in round {run.round}, SEED={options.seed}, evidence in {run.out}", flush=True)
        traceback.print_exc(file=sys.stdout)
        with contextlib.suppress(OSError):
            run.keep_evidence()
    finally:
        with contextlib.suppress(Exception):
            run.world.stop()
        shutil.rmtree(run.world.dir, ignore_errors=True)
    print(f"{run.round} rounds, {run.requests} requests {run.codes}, {run.refused} refused after a revocation, {run.granted} uses "
          f"granted, whole again after at most {run.slowest_heal:.1f} s, SEED={options.seed}: {'FAILED' if failed else 'passed'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
