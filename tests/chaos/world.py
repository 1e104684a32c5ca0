"""A pool of three partitions in namespaces of its own: every gateway has a network namespace with an address, all are on
one bridge, and the door and the clients are on the host's side of it. What a test does to it ends with its processes.

enter() starts the calling program again inside; everything here is for the program inside."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import keyhold

NET = "10.77.0"
HOST = f"{NET}.254"
DISK = "96m"
INSIDE = "KEYHOLD_CHAOS_INSIDE"
NOBODY = "02:00:00:00:fa:ce"  # an address on the bridge that nobody has

# Instead of the gateway: in the namespace of its partition, which is made when it is new; the addresses of the others
# are theirs, and the issuer is at the host's side.
GATEWAY = r"""#!/bin/sh
set -e
node=1 previous=
for a; do
    [ "$previous" = --node ] && node=$a
    previous=$a
done
if [ ! -e "/run/netns/p$node" ]; then
    ip netns add "p$node"
    ip link add "p$node" type veth peer name eth0 netns "p$node"
    ip link set "p$node" master pool up
    ip -n "p$node" link set lo up
    ip -n "p$node" addr add "@NET@.$node/24" dev eth0
    ip -n "p$node" link set eth0 up
fi
n=$# previous=
while [ "$n" -gt 0 ]; do
    a=$1
    shift
    case "$previous" in
    --peer-listen) a=@NET@.$node:${a##*:} ;;
    --issuer-connect) a=@HOST@:${a##*:} ;;
    --peers) a=$(echo "$a" | sed -E 's/([0-9]+)=[0-9.]+:/\1=@NET@.\1:/g') ;;
    esac
    previous=$a
    set -- "$@" "$a"
    n=$((n - 1))
done
exec nsenter --net="/run/netns/p$node" -- env LD_PRELOAD=@SLOW@ KEYHOLD_SLOW_DISK=@CONTROL@/slow-$((node - 1)) \
    KEYHOLD_TEST_CLOCK=@CONTROL@/clock-$((node - 1)) @REAL@/keyhold-gateway "$@"
"""
BOUNDARY = r"""#!/bin/sh
partition=0 previous=
for a; do
    [ "$previous" = --partition ] && partition=$a
    previous=$a
done
exec env KEYHOLD_TEST_CLOCK=@CONTROL@/clock-$partition @REAL@/keyhold-boundary "$@"
"""
FABRIC = r"""#!/bin/sh
exec env KEYHOLD_TEST_CLOCK=@CONTROL@/clock-fabric @REAL@/keyhold-fabric "$@"
"""


def enter():
    """Inside: returns. Outside: runs this program again inside and exits as it does; when it ends, so does all that
    it started."""
    if os.environ.get(INSIDE):
        return
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        argv[1:1] = ["--user", "--map-root-user"]
    if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode != 0:
        print("namespaces of its own are not allowed here")
        sys.exit(77)
    child = subprocess.Popen([*argv, sys.executable, *sys.argv], env={**os.environ, INSIDE: "1"})
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: child.kill())
    sys.exit(child.wait())


def run(*argv, check=True):
    return subprocess.run(list(map(str, argv)), check=check, capture_output=True, text=True)


class World:
    def __init__(self, partitions=3, home=None):
        self.dir = pathlib.Path(home or tempfile.mkdtemp(prefix="kc-"))
        self.control = self.dir / "control"
        self.control.mkdir(mode=0o700)
        self.partitions = partitions
        self.frozen = {}  # pid -> None
        self.disks = {}  # partition -> folder of its own file system
        run("mount", "-t", "tmpfs", "none", "/run")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "pool", "type", "bridge")
        run("ip", "addr", "add", f"{HOST}/24", "dev", "pool")
        run("ip", "link", "set", "pool", "up")
        self._programs()
        for name in ["fabric", *range(partitions + 60)]:
            (self.control / f"clock-{name}").write_bytes(bytes(8))
            (self.control / f"slow-{name}").write_bytes(bytes(8))
        self.pool = keyhold.Pool(name="chaos", home=self.dir / "home", bindir=self.dir / "bin", port=keyhold.free_port(),
                                 partitions=partitions)

    def _programs(self):
        real = keyhold.CLOCKED
        (self.dir / "bin").mkdir()
        for f in real.iterdir():
            shutil.copy2(f, self.dir / "bin" / f.name)
        slow = keyhold.BIN.parent / "tests/tools/libslow-disk.so"
        assert slow.exists(), f"{slow} is missing: cmake --build --preset release --target slow-disk"
        for name, text in (("gateway", GATEWAY), ("boundary", BOUNDARY), ("fabric", FABRIC)):
            f = self.dir / f"bin/keyhold-{name}"
            f.unlink()
            for mark, value in (("NET", NET), ("HOST", HOST), ("CONTROL", self.control), ("REAL", real), ("SLOW", slow)):
                text = text.replace(f"@{mark}@", str(value))
            f.write_text(text)
            f.chmod(0o755)

    def start(self):
        """The pool, activated; its stores on small file systems of their own."""
        p = self.pool
        p.up()
        p.down()
        f = p.home / "config.json"
        f.write_text(json.dumps({**json.loads(f.read_text()), "listen": f"{HOST}:{p.port}"}))
        for n in range(self.partitions):
            store = p.home / f"partition-{n}/store"
            aside = self.dir / f"aside-{n}"
            shutil.copytree(store, aside)
            shutil.rmtree(store)
            store.mkdir(mode=0o700)
            run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "none", store)
            shutil.copytree(aside, store, dirs_exist_ok=True)
            shutil.rmtree(aside)
            self.disks[n] = store
        p.up()
        p.cli("activate")
        self.wait_whole()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert p.assign(role, p.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        return self

    def wait_whole(self, timeout=60):
        return self.pool.wait_whole(timeout) if self.partitions > 1 else self.pool.wait_ready()

    def numbers(self):
        return self.pool.partitions()

    def pid(self, part, number):
        return self.pool.pids().get(part if number == 0 else f"{part}-{number}")

    # ---- processes
    def kill(self, part, number):
        pid = self.pid(part, number)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self, part, number):
        pid = self.pid(part, number)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.frozen[pid] = None

    def thaw(self):
        for pid in self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.frozen.clear()

    @contextlib.contextmanager
    def down(self, number):
        """Both processes of a partition are dead, and nobody starts them."""
        supervisor = self.pool.pids()["pool"]
        os.kill(supervisor, signal.SIGSTOP)
        try:
            for part in ("gateway", "boundary"):
                self.kill(part, number)
            end = time.monotonic() + 10
            while any(alive(self.pid(part, number)) for part in ("gateway", "boundary")):
                assert time.monotonic() < end
                time.sleep(0.01)
            yield
        finally:
            os.kill(supervisor, signal.SIGCONT)

    # ---- network
    def cut(self, source, target):
        """Packets from one partition to another get lost, from now on."""
        self._ip(source, "neigh", "replace", f"{NET}.{target + 1}", "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")

    def mend(self, source, target):
        self._ip(source, "neigh", "del", f"{NET}.{target + 1}", "dev", "eth0", check=False)

    def mend_all(self):
        numbers = [int(f.name[1:]) - 1 for f in pathlib.Path("/run/netns").glob("p*")]
        for a in numbers:
            for b in numbers:
                if a != b:
                    self.mend(a, b)

    @staticmethod
    def _ip(number, *argv, check=True):
        return run("ip", "-n", f"p{number + 1}", *argv, check=check)

    # ---- disks
    def fill(self, number):
        with contextlib.suppress(OSError), open(self.disks[number] / "filler", "ab", buffering=0) as f:
            while True:
                f.write(bytes(1 << 16))

    def empty(self, number):
        (self.disks[number] / "filler").unlink(missing_ok=True)

    def slow(self, number, ms):
        """Every sync of that partition's store takes so much longer."""
        poke(self.control / f"slow-{number}", ms)

    # ---- clocks
    def clock(self, who, ahead_ms):
        poke(self.control / f"clock-{who}", ahead_ms)

    def clocks(self):
        return ["fabric", *self.numbers()]

    def heal(self):
        self.thaw()
        self.mend_all()
        for n in self.disks:
            self.empty(n)
        for n in self.numbers():
            self.slow(n, 0)
        for who in self.clocks():
            self.clock(who, 0)

    def stop(self):
        self.heal()
        self.pool.stop()
        for store in self.disks.values():
            run("umount", "-l", store, check=False)


def poke(file, value):
    with open(file, "r+b", buffering=0) as f:
        f.write(struct.pack("=q", value))


def alive(pid):
    """Zombies are not."""
    if not pid:
        return False
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
