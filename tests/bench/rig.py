"""What every measurement needs: a pool on one core, the load generator on the other, the baselines, CPU time."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import keyhold  # noqa: E402

TOOLS = ROOT / "build/release/bench"
OUT = ROOT / "build/bench"
SERVER_CPU, LOAD_CPU = "0", "1"
CONNECTIONS = 32
NO_STOCK = {"2048": 0, "3072": 0, "4096": 0}


def b64u(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def taskset(cpu, *argv):
    return ["taskset", "-c", cpu, *map(str, argv)]


def cpu_seconds(pids):
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(f[11]) + int(f[12])
    return total / tick


def memory_kb(pid, what="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    return 0


def median(values):
    s = sorted(values)
    return (s[(len(s) - 1) // 2] + s[len(s) // 2]) / 2


class Rig:
    """A pool whose processes run on the server's core. Administrator and crypto user is the same principal."""

    def __init__(self, stock=None, bindir=keyhold.BIN, partitions=1):
        self.pool = keyhold.Pool(name="bench", cpus=SERVER_CPU, bindir=bindir, partitions=partitions)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="kh-bench-"))
        self.n = 0
        os.sched_setaffinity(0, {int(SERVER_CPU)})  # what starts now stays there
        try:
            self.pool.up()
            if stock is not None:
                self.pool.down()
                self.pool.configure(preparedKeys=stock)
            self.pool.start()
        except BaseException:
            self.stop()
            raise
        finally:
            os.sched_setaffinity(0, {int(LOAD_CPU)})
        r = self.pool.assign(keyhold.CRYPTO_USER, self.pool.env["KEYHOLD_ADMIN_OID"])
        assert r.status_code == 201, r.text
        self.note_pids()

    def note_pids(self):
        pids = self.pool.pids()
        self.server = [pid for name, pid in pids.items() if name.startswith(("gateway", "boundary"))]

    def restart(self):
        os.sched_setaffinity(0, {int(SERVER_CPU)})
        try:
            self.pool.up()
        finally:
            os.sched_setaffinity(0, {int(LOAD_CPU)})
        self.note_pids()

    def stop(self):
        self.pool.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def kid_path(self, key):
        return "/keys/" + self.pool.ok("GET", f"/keys/{key}")["key"]["kid"].split("/keys/", 1)[1]

    def request(self, method, path, body=None, authorized=True):
        """A file with the bytes of one request; "########" in it is counted by the generator."""
        data = json.dumps(body).encode() if body is not None else b""
        sep = "&" if "?" in path else "?"
        head = (f"{method} {path}{sep}api-version=7.6 HTTP/1.1\r\nHost: {self.pool.host}\r\n"
                + (f"Authorization: Bearer {self.pool.token()}\r\n" if authorized else "") + "User-Agent: bench\r\nAccept: application/json\r\n")
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self.n += 1
        f = self.work / f"request-{self.n}"
        f.write_bytes(head.encode() + b"\r\n" + data)
        return f

    def load(self, files, port=None, pids=None, seconds=None, count=None, first=0, connections=CONNECTIONS, rate=None,
             expect=200, sleepy=False):
        pids = pids or self.server
        before = cpu_seconds(pids)
        out = subprocess.run(self.load_command(files, port, seconds, count, first, connections, rate, expect, sleepy),
                             capture_output=True, text=True)
        if out.returncode != 0:
            raise RuntimeError(f"load: {out.stdout}{out.stderr}\n{self.pool.logs()}")
        r = json.loads(out.stdout)
        r["cpu_us"] = (cpu_seconds(pids) - before) / r["requests"] * 1e6
        return r

    def load_command(self, files, port=None, seconds=None, count=None, first=0, connections=CONNECTIONS, rate=None,
                     expect=200, sleepy=False):
        files = files if isinstance(files, list) else [files]
        argv = [TOOLS / "bench-load", "--port", port or self.pool.port, "--sni", self.pool.host.split(":")[0],
                "--connections", connections, "--expect", expect, "--first", first,
                "--seconds", 0 if seconds is None else seconds]
        for f in files:
            argv += ["--request", f]
        if count is not None:
            argv += ["--count", count]
        if rate is not None:
            argv += ["--rate", rate]
        return taskset(LOAD_CPU, *argv, *(["--sleepy"] if sleepy else []))


class Raw:
    """libcrypto alone, on the server's core. While it runs the generator's core is as busy as it is during a measurement
    over HTTPS: on machines whose processors share a physical core that is the same speed, else it changes nothing."""

    def __init__(self):
        self.procs = {}

    def measure(self, operation, seconds):
        if operation not in self.procs:
            self.procs[operation] = subprocess.Popen(taskset(SERVER_CPU, TOOLS / "bench-raw", operation), text=True,
                                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        p = self.procs[operation]
        busy = subprocess.Popen(taskset(LOAD_CPU, "sh", "-c", "while :; do :; done"))
        try:
            p.stdin.write(f"{seconds}\n")
            line = p.stdout.readline()
        finally:
            busy.kill()
            busy.wait()
        if not line:
            raise RuntimeError(f"bench-raw {operation}: {p.wait()}")
        r = json.loads(line)
        return {"rate": r["rate"], "cpu_us": 1e6 / r["rate"]}

    def stop(self):
        for p in self.procs.values():
            p.stdin.close()
            p.wait()


def returns(body):
    """A parameter of nginx.conf has at most 4,095 bytes."""
    body = body.replace("$", "-").replace("'", "-")
    parts = [body[i:i + 3000] for i in range(0, len(body), 3000)]
    if len(parts) == 1:
        return f"return 200 '{body}';"
    sets = "".join(f"set $part{i} '{p}'; " for i, p in enumerate(parts))
    return sets + "return 200 '" + "".join(f"${{part{i}}}" for i in range(len(parts))) + "';"


class Nginx:
    """Static answers over TLS, on the server's core, with the pool's certificate. pages: location -> body."""

    def __init__(self, pool, pages):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kh-nginx-"))
        self.port = keyhold.free_port()
        places = "".join(f"        location {where} {{ {returns(body)} }}\n" for where, body in pages.items())
        conf = (ROOT / "tests/bench/nginx.conf.in").read_text()
        for k, v in {"AFFINITY": "1", "DIR": self.dir, "PORT": self.port, "PLACES": places,
                     "CERT": pool.home / "pki/server.pem", "KEY": pool.home / "pki/server.key"}.items():
            conf = conf.replace(f"@{k}@", str(v))
        (self.dir / "nginx.conf").write_text(conf)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.proc = subprocess.Popen(taskset(SERVER_CPU, nginx, "-c", self.dir / "nginx.conf", "-p", self.dir))
        end = time.monotonic() + 10
        while not (self.dir / "nginx.pid").exists():
            if self.proc.poll() is not None or time.monotonic() > end:
                raise RuntimeError("nginx does not start")
            time.sleep(0.02)

    def pids(self):
        out = subprocess.run(["pgrep", "-P", str(self.proc.pid)], capture_output=True, text=True).stdout.split()
        return [self.proc.pid, *map(int, out)]

    def stop(self):
        self.proc.terminate()
        self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
