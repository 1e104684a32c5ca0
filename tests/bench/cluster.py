"""Three partitions: commits next to etcd, crypto next to one partition on the same core, what the loss of a partition
costs. Each comparison is interleaved."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from rig import CONNECTIONS, NO_STOCK, TOOLS, Rig, b64u, keyhold, median

WRITERS = (1, 16, 64)
KILLS = int(os.environ.get("BENCH_KILLS", "20"))
VALUE = 2048


# ---- commits

class Store:
    """Three voters, three processes, TLS between them, their logs on disk; nothing before or behind it."""

    def __init__(self, folder):
        pool = keyhold.Pool(name="commits", partitions=3)  # for the certificates of its links
        try:
            pool.up()
            pool.down()
            peers = folder / "peers"
            shutil.copytree(pool.home, peers, ignore=lambda d, names: [n for n in names if n in ("store", "audit", "run")])
        finally:
            pool.stop()
        address = [f"127.0.0.1:{keyhold.free_port()}" for _ in range(3)]
        seeds = ",".join(f"{i + 1}={a}" for i, a in enumerate(address))
        self.procs = []
        for i in range(3):
            store = folder / f"store-{i}"
            p = peers / f"partition-{i}"
            argv = [TOOLS / "bench-commits", i + 1, store, "commits", address[i], p / "peer.pem", p / "peer.key", peers / "pki/ca.pem", seeds]
            self.procs.append(subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1))
        assert self.procs[0].stdout.readline() == "ready\n", "the store does not come up"

    def measure(self, writers, seconds):
        self.procs[0].stdin.write(f"{writers} {max(1, round(seconds))}\n")
        r = json.loads(self.procs[0].stdout.readline())
        assert r["failed"] == 0, r
        return r

    def stop(self):
        for p in self.procs:
            p.stdin.close()
            p.wait()


class Etcd:
    """Three members on this machine, written to through the JSON gateway of the leader, over TLS as all that the generator asks."""

    def __init__(self, folder, rig):
        self.rig = rig
        pki = rig.pool.home / "pki"
        ports = [(keyhold.free_port(), keyhold.free_port()) for _ in range(3)]
        members = ",".join(f"m{i}=http://127.0.0.1:{peer}" for i, (_, peer) in enumerate(ports))
        self.procs = []
        for i, (client, peer) in enumerate(ports):
            self.procs.append(subprocess.Popen(
                [shutil.which("etcd") or "/usr/bin/etcd", "--name", f"m{i}", "--data-dir", str(folder / f"etcd-{i}"),
                 "--listen-client-urls", f"https://127.0.0.1:{client}", "--advertise-client-urls", f"https://127.0.0.1:{client}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                 "--initial-cluster", members, "--cert-file", str(pki / "server.pem"), "--key-file", str(pki / "server.key"),
                 "--log-level", "error", "--quota-backend-bytes", str(4 << 30)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.ports = [c for c, _ in ports]
        self.port = self.leader()
        value = base64.b64encode(b"x" * VALUE).decode()
        self.file = rig.request("POST", "/v3/kv/put", {"key": "Zm9v########", "value": value}, authorized=False)

    def ask(self, port, path):
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        c = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls)
        try:
            c.request("POST", path, "{}")
            return json.loads(c.getresponse().read())
        finally:
            c.close()

    def leader(self):
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError):
                for port in self.ports:
                    s = self.ask(port, "/v3/maintenance/status")
                    if s["leader"] == s["header"]["member_id"]:
                        return port
            assert time.monotonic() < end, "etcd does not come up"
            time.sleep(0.1)

    def measure(self, writers, seconds):
        return self.rig.load(self.file, port=self.port, pids=[p.pid for p in self.procs], seconds=seconds, connections=writers)

    def stop(self):
        for p in self.procs:
            p.kill()
            p.wait()


def commits(rig, rounds, seconds, say):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kh-commits-"))
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        affinity = os.sched_getaffinity(0)
        os.sched_setaffinity(0, range(os.cpu_count()))
        ends.callback(os.sched_setaffinity, 0, affinity)
        etcd = Etcd(folder, rig)
        ends.callback(etcd.stop)
        store = Store(folder)
        ends.callback(store.stop)
        rows = []
        for writers in WRITERS:
            mine, base = [], []
            for round_ in range(rounds):
                if round_ % 2 == 0:
                    mine.append(store.measure(writers, seconds))
                base.append(etcd.measure(writers, seconds))
                if round_ % 2 != 0:
                    mine.append(store.measure(writers, seconds))
            rows.append({"writers": writers, "store": median([r["rate"] for r in mine]), "etcd": median([r["rate"] for r in base]),
                         "ratio": median([m["rate"] / b["rate"] for m, b in zip(mine, base)]),
                         "p50_us": median([r["p50"] for r in mine]), "etcd_p50_us": median([r["p50"] for r in base])})
            say(f"commits, {writers} writers: {rows[-1]}")
        return rows


# ---- crypto

def crypto(three, rounds, seconds, say):
    """All processes of a pool are on the server's core. A third of the connections go to each partition: as many as a
    partition has in the other measurements."""
    rows = []
    with Rig(stock=NO_STOCK) as one:
        work = {}
        for rig in (one, three):
            rig.pool.ok("POST", "/keys/ec/create", {"kty": "EC-HSM", "crv": "P-256"})
            rig.pool.ok("POST", "/keys/rsa/create", {"kty": "RSA-HSM", "key_size": 2048})
            rig.pool.ok("POST", "/keys/aes/create", {"kty": "oct-HSM", "key_size": 256})
            work[rig] = {"RSA-2048 sign": rig.request("POST", rig.kid_path("rsa") + "/sign", {"alg": "RS256", "value": b64u(bytes(32))}),
                         "P-256 sign": rig.request("POST", rig.kid_path("ec") + "/sign", {"alg": "ES256", "value": b64u(bytes(32))}),
                         "AES-256 wrap": rig.request("POST", rig.kid_path("aes") + "/wrapkey", {"alg": "A256KW", "value": b64u(bytes(32))})}
        for name in work[one]:
            pairs = []
            for round_ in range(2 * rounds):
                rigs = (one, three) if round_ % 2 == 0 else (three, one)
                r = {rig: rig.load(work[rig][name], seconds=seconds, connections=3 * CONNECTIONS) for rig in rigs}
                pairs.append((r[three], r[one]))
            rows.append({"name": name, "three": median([t["rate"] for t, _ in pairs]), "one": median([o["rate"] for _, o in pairs]),
                         "ratio": median([t["rate"] / o["rate"] for t, o in pairs]),
                         "ratio_cpu": median([o["cpu_us"] / t["cpu_us"] for t, o in pairs])})
            say(f"crypto, {name}: {rows[-1]}")
    return rows


# ---- loss of a partition

class Clients:
    """They wrap data keys and write in turn; what fails is tried once more on a new connection. The longest time from the
    first try to the answer is the pause that a loss makes."""

    def __init__(self, pool, n=3):
        self.pool = pool
        self.tls = ssl.create_default_context(cafile=pool.ca)
        self.failed, self.done, self.longest, self.running = [], 0, 0.0, True
        self.lock = threading.Lock()
        self.head = {"Authorization": f"Bearer {pool.token()}", "Host": pool.host, "Content-Type": "application/json"}
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def connect(self):
        c = http.client.HTTPSConnection("localhost", self.pool.port, timeout=10, context=self.tls)
        c.sock = self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.pool.port), 10),
                                      server_hostname=self.pool.host.split(":")[0])
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return c

    def once(self, c, method, path, body):
        try:
            c = c or self.connect()
            c.request(method, path + "?api-version=7.6", json.dumps(body), self.head)
            r = c.getresponse()
            text = r.read()
        except (OSError, http.client.HTTPException) as e:
            if c:
                c.close()
            return None, repr(e)
        return (c, None) if r.status == 200 else (c, f"{r.status} {text}")

    def run(self, number):
        c, n = None, 0
        while self.running:
            n += 1
            what = ("PATCH", f"/keys/load-{number}", {"tags": {"n": str(n)}}) if n % 2 else \
                ("POST", "/keys/load/wrapkey", {"alg": "A256KW", "value": "A" * 43})
            began = time.monotonic()
            c, why = self.once(c, *what)
            if why:
                if c:
                    c.close()
                c, again = self.once(None, *what)
                if again:
                    self.failed.append((why, again))
            with self.lock:
                self.done += 1
                self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.002)

    def pause(self):
        with self.lock:
            longest, self.longest = self.longest, 0.0
        return longest

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join()


def named(part, number):
    return part if number == 0 else f"{part}-{number}"


def follower(pool, leader):
    return next(n for n in pool.partitions() if n != leader)


def losses(pool, say):
    """Pauses of KILLS kills, of leader and follower in turn, and what failed although it was tried twice."""
    pool.ok("POST", "/keys/load/create", {"kty": "oct-HSM", "key_size": 256})
    for i in range(3):
        pool.ok("POST", f"/keys/load-{i}/create", {"kty": "oct-HSM", "key_size": 256})
    clients, pauses, whole = Clients(pool), {"leader": [], "follower": []}, []
    try:
        for i in range(KILLS):
            leader = pool.wait_whole()["leader"]
            time.sleep(1)
            clients.pause()
            whom = "leader" if i % 2 == 0 else "follower"
            number = leader if whom == "leader" else follower(pool, leader)
            pids = pool.pids()
            began = time.monotonic()
            for part in ("gateway", "boundary"):
                os.kill(pids[named(part, number)], signal.SIGKILL)
            time.sleep(1.5)
            pool.wait_whole()
            whole.append(time.monotonic() - began)
            pauses[whom].append(clients.pause())
            say(f"kill {i}: {whom}, pause {pauses[whom][-1] * 1000:.0f} ms")
        fresh = json.loads((pool.home / "config.json").read_text())["nextPartition"]
        victim = follower(pool, pool.wait_whole()["leader"])
        pids = pool.pids()
        os.kill(pids[named("gateway", victim)], signal.SIGSTOP)
        shutil.rmtree(pool.home / f"partition-{victim}")
        began = time.monotonic()
        os.kill(pids[named("gateway", victim)], signal.SIGKILL)
        while victim in pool.partitions() or fresh not in pool.partitions():
            assert time.monotonic() < began + 60, pool.logs()
            time.sleep(0.02)
        pool.wait_whole()
        healed = time.monotonic() - began
    finally:
        clients.stop()
    return {"pauses": pauses, "p95": p95(pauses["leader"] + pauses["follower"]), "failed": clients.failed[:5],
            "failures": len(clients.failed), "requests": clients.done, "healed": healed}


def p95(values):
    s = sorted(values)
    return s[min(len(s) - 1, -(-len(s) * 95 // 100) - 1)]


def cold_starts(pool, n=3):
    times = []
    for _ in range(n):
        pool.down()
        began = time.monotonic()
        pool.up()
        pool.wait_whole()
        pool.forget_tokens()
        assert pool.call("GET", "/keys/load").status_code == 200
        times.append(time.monotonic() - began)
    return median(times)


def measure(rounds, seconds, say):
    with Rig(stock=NO_STOCK, partitions=3) as three:
        r = {"crypto": crypto(three, rounds, seconds, say), "commits": commits(three, rounds, seconds, say)}
    pool = keyhold.Pool(name="losses", partitions=3)
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        pool.start()
        assert pool.assign(keyhold.CRYPTO_USER, pool.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        r["losses"] = losses(pool, say)
        r["cold_start"] = cold_starts(pool)
    finally:
        pool.stop()
        os.sched_setaffinity(0, affinity)
    return r


# ---- the report

def lines(c):
    out = ["| committed writes, three voters | writers | store /s | p50 us | etcd /s | p50 us | ratio (target >= 2) |",
           "|---|---|---|---|---|---|---|"]
    out += [f"| 2 KB | {r['writers']} | {r['store']:.0f} | {r['p50_us']:.0f} | {r['etcd']:.0f} | {r['etcd_p50_us']:.0f} | "
            f"{r['ratio']:.2f} |" for r in c["commits"]]
    out += ["", "| crypto on one core | three partitions /s | one /s | ratio (target >= 0.95) | ratio (CPU) |", "|---|---|---|---|---|"]
    out += [f"| {r['name']} | {r['three']:.0f} | {r['one']:.0f} | {r['ratio']:.3f} | {r['ratio_cpu']:.3f} |" for r in c["crypto"]]
    x = c["losses"]
    worst = {k: max(v, default=0) for k, v in x["pauses"].items()}
    out += ["", "| loss of a partition under load | measured | target |", "|---|---|---|",
            f"| pause, p95 over {sum(map(len, x['pauses'].values()))} kills | {x['p95'] * 1000:.0f} ms (worst: leader "
            f"{worst['leader'] * 1000:.0f}, follower {worst['follower'] * 1000:.0f}) | <= 1000 ms |",
            f"| requests that failed twice, of {x['requests']} | {x['failures']} | 0 |",
            f"| replaced after the loss of its disk | {x['healed']:.1f} s | <= 10 s |",
            f"| cold start of all three | {c['cold_start']:.2f} s | <= 5 s |"]
    return out


def misses(c):
    out = [f"commits with {r['writers']} writers: {r['ratio']:.2f} times etcd" for r in c["commits"] if r["ratio"] < 2]
    out += [f"{r['name']} with three partitions: {r['ratio']:.3f}" for r in c["crypto"] if r["ratio"] < 0.95]
    x = c["losses"]
    if x["p95"] > 1 or x["failures"] or x["healed"] > 10 or c["cold_start"] > 5:
        out.append("loss of a partition")
    return out
