"""What can happen to a pool. Each fault is begun, lasts, and is ended; ending it does not mean that the pool is well again."""
import shutil
import time

HOUR = 3600_000


class Fault:
    alone = False  # nothing else happens in its round

    def __init__(self, world, rng, numbers, longest):
        self.world = world
        self.rng = rng
        self.number = rng.choice(numbers)
        self.others = [n for n in numbers if n != self.number]
        self.lasts = rng.uniform(0.2, longest)
        self.choose()

    def choose(self):
        self.text = ""

    def __str__(self):
        return f"{type(self).__name__} {self.number} {self.text}".strip()

    def begin(self):
        pass

    def end(self):
        pass


class Kill(Fault):
    def choose(self):
        self.parts = self.rng.choice([["boundary"], ["gateway"], ["boundary", "gateway"]])
        self.again = self.rng.random() < 0.3
        self.text = "+".join(self.parts) + (" twice" if self.again else "")
        self.lasts = self.rng.uniform(0.3, 1)

    def begin(self):
        for part in self.parts:
            self.world.kill(part, self.number)

    def end(self):
        if self.again:
            self.begin()


class KillTwoPartitions(Kill):
    def begin(self):
        for n in [self.number, *self.others[:1]]:
            for part in self.parts:
                self.world.kill(part, n)


class KillAll(Kill):
    def begin(self):
        for n in [self.number, *self.others]:
            for part in self.parts:
                self.world.kill(part, n)


class Stop(Fault):
    def choose(self):
        self.parts = self.rng.choice([["boundary"], ["gateway"], ["boundary", "gateway"]])
        self.text = f"{'+'.join(self.parts)} for {self.lasts:.1f} s"

    def begin(self):
        for part in self.parts:
            self.world.freeze(part, self.number)

    def end(self):
        self.world.thaw()


class Cut(Fault):
    """Between one partition and the others, or one of them."""

    def choose(self):
        self.way = self.rng.choice(["out", "in", "both"])
        self.peers = self.others if self.rng.random() < 0.6 else self.rng.sample(self.others, min(1, len(self.others)))
        self.text = f"{self.way} with {self.peers} for {self.lasts:.1f} s"

    def each(self, what):
        for n in self.peers:
            if self.way in ("out", "both"):
                what(self.number, n)
            if self.way in ("in", "both"):
                what(n, self.number)

    def begin(self):
        self.each(self.world.cut)

    def end(self):
        self.each(self.world.mend)


class FullDisk(Fault):
    def begin(self):
        if self.number in self.world.disks:
            self.world.fill(self.number)

    def end(self):
        if self.number in self.world.disks:
            self.world.empty(self.number)


class SlowDisk(Fault):
    def choose(self):
        self.ms = self.rng.choice([20, 100, 500])
        self.text = f"{self.ms} ms a sync for {self.lasts:.1f} s"

    def begin(self):
        self.world.slow(self.number, self.ms)

    def end(self):
        self.world.slow(self.number, 0)


class Clock(Fault):
    """Of one partition, or of all that look at a clock."""

    def choose(self):
        self.who = [self.number] if self.rng.random() < 0.5 else [*sorted([self.number, *self.others]), "fabric"]
        self.ms = self.rng.choice([HOUR, -HOUR])
        self.text = f"{self.who} by {self.ms // HOUR} h for {self.lasts:.1f} s"

    def begin(self):
        for who in self.who:
            self.world.clock(who, self.ms)

    def end(self):
        for who in self.who:
            self.world.clock(who, 0)


class OldDisk(Fault):
    """The partition is put back to what its disk held some rounds ago. Nothing else fails meanwhile: with one copy
    in three of an old day, the other two have all that was acknowledged."""

    alone = True

    def choose(self):
        self.saved = self.world.dir / f"saved-{self.number}"
        self.restores = self.saved.exists()
        self.text = "put back" if self.restores else "is copied"

    def begin(self):
        here = self.world.pool.home / f"partition-{self.number}"
        with self.world.down(self.number):
            if self.restores:
                put(self.saved, here)
                shutil.rmtree(self.saved)
            else:
                shutil.copytree(here, self.saved, ignore=shutil.ignore_patterns("filler"))
        time.sleep(0.2)


def put(source, target):
    """What source holds instead of what target holds; folders that are file systems stay."""
    for f in target.iterdir():
        if f.is_dir() and not f.is_symlink():
            if f.is_mount():
                for g in f.iterdir():
                    shutil.rmtree(g) if g.is_dir() else g.unlink()
            else:
                shutil.rmtree(f)
        else:
            f.unlink()
    shutil.copytree(source, target, dirs_exist_ok=True)


KINDS = [Kill, Kill, Kill, KillTwoPartitions, KillAll, Stop, Stop, Stop, Cut, Cut, Cut, Cut, FullDisk, SlowDisk, Clock, OldDisk, OldDisk]


def plan(world, rng, longest):
    """The faults of one round: one, or two that overlap."""
    numbers = world.numbers()
    first = rng.choice(KINDS)(world, rng, numbers, longest)
    if first.alone or rng.random() < 0.6:
        return [first]
    second = rng.choice([k for k in KINDS if not k.alone])(world, rng, numbers, longest)
    return [first, second]
