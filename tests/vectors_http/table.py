"""What became of each vector: it ran, or it does not apply to this service for a counted reason. A vector with another
result than the published one fails the test, and so does a file of which fewer vectors ran than once recorded."""
import collections
import json
import os
import pathlib
import threading

RECORDED = pathlib.Path(__file__).with_name("recorded.json")
RECORD = bool(os.environ.get("KEYHOLD_RECORD_VECTORS"))  # write the numbers of this run instead of comparing them


def recorded():
    return json.loads(RECORDED.read_text()) if RECORDED.exists() else {}


class Row:
    def __init__(self, name, way):
        self.name, self.way = name, way
        self.run = 0
        self.skipped = collections.Counter()
        self.wrong = []
        self.lock = threading.Lock()

    def check(self, got, wanted, label):
        """One vector, one expectation. wanted may be a set of allowed answers."""
        fits = got in wanted if isinstance(wanted, (set, frozenset)) else got == wanted and type(got) is type(wanted)
        with self.lock:
            self.run += 1
            if not fits:
                shown = got.hex() if isinstance(got, bytes) else repr(got)
                expected = wanted.hex() if isinstance(wanted, bytes) else repr(wanted)
                self.wrong.append(f"{label}: got {shown[:120]}, expected {expected[:120]}")

    def skip(self, reason, count=1):
        with self.lock:
            self.skipped[reason] += count


class Table:
    def __init__(self):
        self.rows = []

    def row(self, name, way="HTTPS"):
        self.rows.append(Row(name, way))
        return self.rows[-1]

    def close(self, row):
        """The verdict on a file."""
        assert not row.wrong, f"{row.name}: {len(row.wrong)} results differ\n" + "\n".join(row.wrong[:20])
        if RECORD:
            return
        floor = recorded().get(row.name)
        assert floor is not None, f"{row.name} is not in {RECORDED.name}"
        assert row.run >= floor, f"{row.name}: only {row.run} checks ran, {floor} are recorded"

    def lines(self):
        yield f"{'vectors':58} {'by':8} {'checks':>6} {'n/a':>6}  why not applicable"
        reasons = collections.Counter()
        for r in self.rows:
            why = "; ".join(f"{n} {reason}" for reason, n in r.skipped.most_common())
            yield f"{r.name:58} {r.way:8} {r.run:6} {sum(r.skipped.values()):6}  {why}"
            reasons += r.skipped
        for way in sorted({r.way for r in self.rows}):
            yield f"{'sum':58} {way:8} {sum(r.run for r in self.rows if r.way == way):6}"
        yield f"{'sum':58} {'n/a':8} {'':6} {sum(reasons.values()):6}"

    def record(self):
        RECORDED.write_text(json.dumps({**recorded(), **{r.name: r.run for r in self.rows}}, indent=1, sort_keys=True) + "\n")
