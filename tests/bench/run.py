#!/usr/bin/env python3
"""Ratios against named baselines, measured interleaved: every round runs each operation over HTTPS and its
baseline, the server (door, fabric, gateway, boundary) on one core, the generator on another, 32 keep-alive TLS
connections, authorization and audit on. The baselines: raw libcrypto on the server's core, nginx static TLS."""
import base64
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import keyhold  # noqa: E402

TOOLS = ROOT / "build/release/bench"
SERVER_CPU, LOAD_CPU = "0", "1"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = os.environ.get("BENCH_SECONDS", "2")

# name, raw baseline (or "nginx"), key, operation, body, target ratio
OPERATIONS = [
    ("RSA-2048 sign RS256", "rsa2048-sign", "bench-rsa", "sign", {"alg": "RS256", "value": 32}, 0.85),
    ("EC P-256 sign ES256", "p256-sign", "bench-ec", "sign", {"alg": "ES256", "value": 32}, 0.45),
    ("AES-256 wrapKey A256KW", "nginx", "bench-aes", "wrapkey", {"alg": "A256KW", "value": 32}, 0.50),
    ("get key", "nginx", "bench-aes", None, None, None),
]


def on(cpu, *argv, **kw):
    return subprocess.run(["taskset", "-c", cpu, *map(str, argv)], capture_output=True, text=True, check=True, **kw)


def cpu_seconds(pids):
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(f[11]) + int(f[12])
    return total / tick


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0


class Nginx:
    def __init__(self, pool):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kh-nginx-"))
        self.port = keyhold.free_port()
        body = json.dumps({"alg": "A256KW", "kid": "x" * 300, "value": "y" * 54}, separators=(",", ":"))
        conf = (ROOT / "tests/bench/nginx.conf.in").read_text()
        for k, v in {"AFFINITY": "1", "DIR": self.dir, "PORT": self.port, "BODY": body,
                     "CERT": pool.home / "pki/server.pem", "KEY": pool.home / "pki/server.key"}.items():
            conf = conf.replace(f"@{k}@", str(v))
        (self.dir / "nginx.conf").write_text(conf)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.proc = subprocess.Popen(["taskset", "-c", SERVER_CPU, nginx, "-c", self.dir / "nginx.conf", "-p", self.dir])
        time.sleep(0.5)

    def pids(self):
        out = subprocess.run(["pgrep", "-P", str(self.proc.pid)], capture_output=True, text=True).stdout.split()
        return [self.proc.pid, *map(int, out)]

    def stop(self):
        self.proc.terminate()
        self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def request_file(directory, name, host, path, token, body):
    data = json.dumps(body).encode() if body else b""
    head = (f"{'POST' if body else 'GET'} {path}?api-version=7.6 HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {token}\r\nUser-Agent: bench\r\nAccept: application/json\r\n")
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    f = pathlib.Path(directory) / name
    f.write_bytes(head.encode() + b"\r\n" + data)
    return f


def load(port, sni, file, pids, connections=32):
    before = cpu_seconds(pids)
    out = on(LOAD_CPU, TOOLS / "bench-load", "--port", port, "--sni", sni, "--request", file, "--seconds", SECONDS,
             "--connections", connections)
    r = json.loads(out.stdout)
    r["cpu_us"] = (cpu_seconds(pids) - before) / r["requests"] * 1e6
    return r


def prepare(pool, work):
    pool.ok("POST", "/keys/bench-rsa/create", {"kty": "RSA-HSM", "key_size": 2048})
    pool.ok("POST", "/keys/bench-ec/create", {"kty": "EC-HSM", "crv": "P-256"})
    pool.ok("POST", "/keys/bench-aes/create", {"kty": "oct-HSM", "key_size": 256})
    files = {}
    for name, _, key, op, body, _ in OPERATIONS:
        sent = body and {**body, "value": base64.urlsafe_b64encode(os.urandom(body["value"])).decode().rstrip("=")}
        kid = pool.ok("GET", f"/keys/{key}")["key"]["kid"].split("/keys/", 1)[1]
        files[name] = request_file(work, name.replace(" ", "-"), pool.host, f"/keys/{kid}" + (f"/{op}" if op else ""),
                                   pool.token(), sent)
    return files


def measure(pool, nginx, files):
    rates = {name: {"rate": [], "cpu_us": [], "base_rate": [], "base_cpu_us": [], "p99": []} for name, *_ in OPERATIONS}
    server = [pid for n, pid in pool.pids().items() if n in ("gateway", "boundary")]
    for round_ in range(ROUNDS):
        for name, base, *_ in OPERATIONS:
            r = load(pool.port, pool.host.split(":")[0], files[name], server)
            if base == "nginx":
                b = load(nginx.port, "localhost", files[name], nginx.pids())
            else:
                raw = json.loads(on(SERVER_CPU, TOOLS / "bench-raw", base, SECONDS).stdout)
                b = {"rate": raw["rate"], "cpu_us": 1e6 / raw["rate"]}
            row = rates[name]
            row["rate"].append(r["rate"])
            row["cpu_us"].append(r["cpu_us"])
            row["p99"].append(r["p99"])
            row["base_rate"].append(b["rate"])
            row["base_cpu_us"].append(b["cpu_us"])
            print(f"round {round_ + 1}: {name}: {r['rate']:.0f}/s ({r['cpu_us']:.1f} us CPU), "
                  f"baseline {b['rate']:.0f}/s ({b['cpu_us']:.1f} us)", flush=True)
    return rates


def start_time():
    times = []
    for _ in range(3):
        p = keyhold.Pool(name="start")
        try:
            t = time.monotonic()
            p.up()
            first = time.monotonic() - t
            p.down()
            t = time.monotonic()
            p.up()
            times.append((first, time.monotonic() - t))
        finally:
            p.stop()
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def report(rates, memory, started, out):
    med = statistics.median
    lines = ["| operation | HTTPS /s | CPU us | baseline | baseline /s | CPU us | ratio (rate) | ratio (CPU) | target | p99 us |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    ok = True
    for name, base, *_, target in OPERATIONS:
        r = rates[name]
        ratio = med(r["rate"]) / med(r["base_rate"])
        cpu_ratio = med(r["base_cpu_us"]) / med(r["cpu_us"])
        ok = ok and (target is None or ratio >= target)
        lines.append(f"| {name} | {med(r['rate']):.0f} | {med(r['cpu_us']):.1f} | {base} | {med(r['base_rate']):.0f} | "
                     f"{med(r['base_cpu_us']):.1f} | {ratio:.2f} | {cpu_ratio:.2f} | "
                     f"{'-' if target is None else f'>= {target:.2f}'} | {med(r['p99']):.0f} |")
    lines += ["", "| what | measured | target |", "|---|---|---|",
              f"| idle partition, gateway + boundary, resident | {memory:.1f} MB | <= 40 MB |",
              f"| `keyhold up`, first run (creates everything) | {started[0]:.2f} s | <= 2 s |",
              f"| `keyhold up`, later runs | {started[1]:.2f} s | <= 2 s |"]
    text = "\n".join(lines)
    print(text)
    (out / "results.md").write_text(text + "\n")
    (out / "results.json").write_text(json.dumps({"rates": rates, "memory_mb": memory, "start_s": started}, indent=1))
    return ok and memory <= 40 and max(started) <= 2


def main():
    out = ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
    print(f"{cpu}; {os.cpu_count()} CPUs; Linux {platform.release()}; {openssl}; {ROUNDS} rounds of {SECONDS} s")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two CPUs are needed: one for the server, one for the generator")
    started = start_time()
    pool = keyhold.Pool(name="bench", cpus=SERVER_CPU)
    nginx = None
    try:
        os.sched_setaffinity(0, {int(SERVER_CPU)})  # what starts now stays on the server's core
        pool.start()
        os.sched_setaffinity(0, {int(LOAD_CPU)})
        r = pool.assign(keyhold.CRYPTO_USER, pool.env["KEYHOLD_ADMIN_OID"])
        assert r.status_code == 201, r.text
        time.sleep(2)
        pids = pool.pids()
        memory = rss_mb(pids["gateway"]) + rss_mb(pids["boundary"])
        nginx = Nginx(pool)
        files = prepare(pool, pool.home)
        ok = report(measure(pool, nginx, files), memory, started, out)
    finally:
        if nginx:
            nginx.stop()
        pool.stop()
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
