"""The supervisor with several partitions, apart from what the partitions do: stand-ins start, report and end as told."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import keyhold

STUB = keyhold.ROOT / "tests/tools/stub_program.py"


class Stubs:
    """An installation whose door, fabric, boundaries and gateways are stand-ins."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="kh-sup-"))
        self.bin = self.home / "bin"
        self.bin.mkdir()
        for name in ("keyhold", "keyhold-supervisor"):
            shutil.copy2(keyhold.BIN / name, self.bin / name)
        for name in ("door", "fabric", "boundary", "gateway"):
            shutil.copy2(STUB, self.bin / f"keyhold-{name}")
        self.port = keyhold.free_port()

    def cli(self, *args, status=0):
        r = subprocess.run([self.bin / "keyhold", "--home", self.home, *map(str, args)], capture_output=True, text=True, timeout=60)
        assert r.returncode == status, f"{args}: {r.returncode}\n{r.stdout}{r.stderr}\n{self.log()}"
        return r.stdout if status == 0 else r.stderr

    def up(self, partitions=3):
        extra = [] if (self.home / "config.json").exists() else ["--partitions", partitions]
        return self.cli("up", "--port", self.port, *extra)

    def log(self):
        return "\n".join(f"--- {f.name}\n{f.read_text(errors='replace')}" for f in sorted((self.home / "log").glob("*.log")))

    def config(self):
        return json.loads((self.home / "config.json").read_text())

    def numbers(self):
        return [p["number"] for p in self.config().get("partitions", [{"number": 0}])]

    def folder(self, number):
        return self.home / f"partition-{number}"

    def events(self):
        f = self.home / "events"
        return f.read_text().splitlines() if f.exists() else []

    def states(self):
        return {p["number"]: p["state"] for p in json.loads(self.cli("partition", "list", "-o", "json"))}

    def pid(self, program, number=None):
        mark = str(self.home if number is None else self.folder(number)).encode() + (b"/" if number is not None else b"")
        for p in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                argv = (p / "cmdline").read_bytes().split(b"\0") if p.name.isdigit() else []
                if any(a.endswith(b"/keyhold-" + program.encode()) for a in argv[:2]) and any(mark in a for a in argv):
                    return int(p.name)
        return None

    def wait(self, what, timeout=30):
        end = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < end, f"{self.config()}\n{self.events()}\n{self.log()}"
            time.sleep(0.02)

    def settled(self, numbers):
        self.wait(lambda: self.numbers() == numbers and self.states() == dict.fromkeys(numbers, "ready"))

    def stop(self):
        with contextlib.suppress(Exception):
            self.cli("down")
        pid = self.pid("supervisor")
        if pid:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def s():
    stubs = Stubs()
    try:
        yield stubs
    finally:
        stubs.stop()


def test_first_start_and_the_next(s):
    s.up()
    assert s.numbers() == [0, 1, 2] and s.config()["nextPartition"] == 3
    assert all(p["joined"] for p in s.config()["partitions"])
    ports = {p["peer"] for p in s.config()["partitions"]}
    assert len(ports) == 3 and all(p.startswith("127.0.0.1:") for p in ports)
    assert s.events()[0] == "boundary 0", "the first one makes the pool, before any other one starts"
    assert s.events().count("boundary 1 join") == 2, "once to join, once to serve"
    key = s.home / "admission.key"
    assert key.stat().st_size == 32 and key.stat().st_mode & 0o777 == 0o600
    for n in (0, 1, 2):
        text = subprocess.run(["openssl", "x509", "-in", s.folder(n) / "peer.pem", "-noout", "-subject", "-ext", "subjectAltName"],
                              capture_output=True, text=True, check=True).stdout
        assert f"CN=partition {n}" in text.replace(" = ", "=") and f"URI:keyhold:dev:{n}" in text
        log = s.home / "log" / ("gateway.log" if n == 0 else f"gateway-{n}.log")
        assert log.exists() and (s.home / f"run/gateway-{n}.sock").exists()
    before = s.config(), key.read_bytes()
    s.cli("down")
    (s.home / "events").unlink()
    s.up()
    assert (s.config(), key.read_bytes()) == before
    assert sorted(e for e in s.events() if e.startswith("boundary")) == ["boundary 0 join", "boundary 1 join", "boundary 2 join"]
    peers = {e.split()[1]: e.split("peers=")[1].split()[0] for e in s.events() if e.startswith("gateway")}
    of = {p["number"]: p["peer"] for p in s.config()["partitions"]}
    assert peers["1"] == f"1={of[0]},3={of[2]}"
    s.cli("up", "--partitions", 2, status=1)


def test_one_partition_has_nothing_of_it(s):
    s.up(1)
    assert s.events()[0] == "boundary 0 alone" and "partitions" not in s.config()
    assert not (s.home / "admission.key").exists() and not (s.folder(0) / "peer.pem").exists()
    assert s.events()[1] == "gateway 0 peers= cpus="
    assert "1 partition: the loss of one ends the service" in s.cli("pool", "status")


def test_cpus_are_shared_out(s):
    s.cli("up", "--port", s.port, "--partitions", 3, "--cpus", "0,1")
    cpus = {e.split()[1]: e.split("cpus=")[1] for e in s.events() if e.startswith("gateway")}
    assert cpus == {"0": "0", "1": "1", "2": "0"}


def test_a_killed_partition_starts_again_where_it_was(s):
    s.up()
    for number, program in ((0, "gateway"), (1, "boundary"), (2, "gateway")):
        old = s.pid(program, number)
        os.kill(old, signal.SIGKILL)
        s.wait(lambda: s.pid(program, number) not in (None, old))
        s.settled([0, 1, 2])
    assert not (s.home / "removed").exists()


def test_a_lost_store_is_replaced(s):
    s.up()
    (s.home / "leader").write_text("2")
    os.kill(s.pid("gateway", 1), signal.SIGSTOP)
    shutil.rmtree(s.folder(1))
    os.kill(s.pid("boundary", 1), signal.SIGKILL)
    s.settled([0, 2, 3])
    assert "remove 2 at 2" in s.events(), "raft id 2 is partition 1"
    assert s.config()["nextPartition"] == 4
    assert "replaces" not in json.dumps(s.config())
    assert s.events().count("boundary 1 join") == 2, "it did not start again"


def test_the_first_partition_never_makes_a_second_pool(s):
    """Its directory is gone while nothing runs: it is replaced, and no new secrets are made."""
    s.up()
    s.cli("down")
    shutil.rmtree(s.folder(0))
    (s.home / "leader").write_text("1")
    (s.home / "events").unlink()
    s.up()
    s.settled([1, 2, 3])
    assert "remove 1 at 1" in s.events()
    assert [e for e in s.events() if e.startswith("boundary 0")] == []


def test_a_refused_store_is_replaced(s):
    """By the statuses of the boundary that say so, at its start."""
    s.up()
    for number, status, then in ((2, 68, [0, 1, 3]), (1, 65, [0, 3, 4]), (4, 67, [0, 3, 5])):
        (s.folder(number) / "status-boundary").write_text(str(status))
        os.kill(s.pid("gateway", number), signal.SIGKILL)
        s.settled(then)
        kept = next((s.home / "removed").glob(f"partition-{number}-*"))
        assert (kept / "store").exists(), "for a look at it"


def test_one_that_fails_three_times_is_replaced(s):
    s.up()
    (s.folder(1) / "status-gateway").write_text("1")
    os.kill(s.pid("gateway", 1), signal.SIGKILL)
    s.settled([0, 2, 3])
    assert "failed three times in a row" in s.log()


def test_one_that_is_not_ready_is_replaced_and_one_that_hangs_starts_again(s):
    s.up()
    stopped = s.pid("gateway", 2)
    os.kill(stopped, signal.SIGSTOP)
    (s.folder(1) / "slow").write_text("")
    os.kill(s.pid("gateway", 1), signal.SIGKILL)
    s.wait(lambda: s.numbers() == [0, 2, 3])
    s.wait(lambda: s.pid("gateway", 2) not in (None, stopped))
    s.settled([0, 2, 3])
    assert "partition 1: it is not ready after 1" in s.log() and "partition 2 does not answer any more" in s.log()


def test_without_a_majority_nothing_is_replaced(s):
    s.up()
    for n in (1, 2):
        (s.folder(n) / "status-boundary").write_text("68")
        os.kill(s.pid("gateway", n), signal.SIGKILL)
    s.wait(lambda: s.states() == {0: "ready", 1: "failed", 2: "failed"})
    time.sleep(1)
    assert s.numbers() == [0, 1, 2] and not any(e.startswith("remove") for e in s.events())
    (s.folder(2) / "status-boundary").unlink()
    s.settled([0, 2, 3])


def test_a_replacement_goes_on_after_the_supervisor_was_killed(s):
    """Between the new one's readiness and the old one's removal."""
    s.up()
    (s.home / "leader").write_text("9")  # nobody here: the old one cannot be removed
    (s.folder(1) / "status-boundary").write_text("68")
    os.kill(s.pid("gateway", 1), signal.SIGKILL)
    s.wait(lambda: s.numbers() == [0, 1, 2, 3] and s.config()["partitions"][3].get("joined"))
    assert s.config()["partitions"][3]["replaces"] == 1
    os.kill(s.pid("supervisor"), signal.SIGKILL)
    s.wait(lambda: s.pid("gateway") is None)
    (s.home / "leader").write_text("0")
    subprocess.Popen([s.bin / "keyhold-supervisor", "--home", s.home, "--bindir", s.bin], stderr=open(s.home / "log/supervisor.log", "a"))
    s.settled([0, 2, 3])
    assert s.config()["nextPartition"] == 4


def test_add_and_remove(s):
    s.up()
    assert s.cli("partition", "add") == "partition 3 serves\n"
    s.settled([0, 1, 2, 3])
    (s.home / "leader").write_text("3")
    assert s.cli("partition", "remove", 0).startswith("partition 0 was removed; what it had lies in ")
    s.settled([1, 2, 3])
    assert "remove 1 at 3" in s.events() and s.pid("gateway", 0) is None
    assert [p.name.split("-")[1] for p in (s.home / "removed").iterdir()] == ["0"]
    s.cli("partition", "add")
    s.cli("partition", "remove", 3)
    assert s.events()[-2:] == ["transfer at 3", "remove 4 at 1"], "the one that goes gives up the lead"
    s.settled([1, 2, 4])
    assert "has no partition 0" in s.cli("partition", "remove", 0, status=3)
    assert "is missing" in s.cli("partition", "remove", status=2)
    s.cli("down")
    s.up()
    s.settled([1, 2, 4])


def test_a_leader_that_does_not_let_go_is_ended(s):
    s.up()
    (s.folder(0) / "stubborn").write_text("")
    gateway = s.pid("gateway", 0)
    remove = subprocess.Popen([s.bin / "keyhold", "--home", s.home, "partition", "remove", "0"], stdout=subprocess.PIPE, text=True)
    s.wait(lambda: s.pid("gateway", 0) != gateway)
    (s.home / "leader").write_text("1")  # as the others do
    assert remove.communicate(timeout=30)[0].startswith("partition 0 was removed")
    s.settled([1, 2])


def test_from_one_to_two_and_back(s):
    s.up(1)
    assert s.cli("partition", "add") == "partition 1 serves\n"
    assert s.numbers() == [0, 1]
    starts = [e for e in s.events() if e.startswith("boundary 0")]
    assert starts == ["boundary 0 alone", "boundary 0 join"], "it starts again, with a link for the new one"
    s.cli("partition", "remove", 1)
    assert s.numbers() == [0]
    assert "it is the only partition" in s.cli("partition", "remove", 0, status=1)
    s.cli("down")
    s.up()
    assert s.events()[-2] == "boundary 0 alone"


def test_a_partition_that_cannot_join_is_taken_back(s):
    s.up()
    (s.home / "pki/ca.key").rename(s.home / "pki/ca.key.away")
    assert "has no certificate" in s.cli("partition", "add", status=1)
    (s.home / "pki/ca.key.away").rename(s.home / "pki/ca.key")
    s.settled([0, 1, 2])
    assert s.cli("partition", "add") == "partition 4 serves\n"


def test_transfer_and_roll(s):
    s.up()
    for _ in range(2):
        assert s.cli("partition", "transfer", 1) == "partition 1 leads\n"
    assert [e for e in s.events() if e.startswith("transfer")] == ["transfer 2 at 0"]
    (s.home / "events").unlink()
    assert s.cli("pool", "roll") == "".join(f"partition {n} was restarted\n" for n in (0, 2, 1))
    order = [e.split()[1] for e in s.events() if e.startswith("gateway")]
    assert order == ["0", "2", "1"], "the leader comes last"
    assert s.events().index("transfer at 1") > s.events().index("boundary 2 join")
    s.settled([0, 1, 2])


def test_status_texts(s):
    s.up()
    text = s.cli("pool", "status")
    assert "leader        partition 0 (term 7)" in text
    assert "warning: no rack labels" in text and "sealed by a file" in text
    v = json.loads(s.cli("pool", "status", "-o", "json"))
    assert v["leader"] == 0 and [p["lag"] for p in v["partitions"]] == [2, 1, 0]
    assert [p["role"] for p in v["partitions"]] == ["leader", "follower", "follower"]
    c = s.config()
    for p in c["partitions"]:
        p["rack"] = "r1"
    (s.home / "config.json").write_text(json.dumps(c))
    assert "all partitions are in rack r1" in s.cli("pool", "status")
    c["partitions"][2]["rack"] = "r2"
    (s.home / "config.json").write_text(json.dumps(c))
    assert "rack" not in s.cli("pool", "status").split("warning:", 1)[1]
    for line in ("remove x", "restart 77", "add 1", ""):
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(s.home / "run/supervisor.sock"))
            c.sendall(line.encode() + b"\n")
            assert c.recv(300).startswith(b"error: ")
