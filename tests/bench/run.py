#!/usr/bin/env python3
"""Ratios against named baselines, measured interleaved: every round runs each operation over HTTPS and its
baseline, the server (door, fabric, gateway, boundary) on one core, the generator on another, 32 keep-alive TLS
connections, authorization and audit on. The baselines: raw libcrypto on the server's core, nginx static TLS.

BENCH=crypto,read,write,create,mixed,system,cluster,control (default: all; crypto is sign, verify, cipher, wrap)"""
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import cluster
import control
import mixed
import report
import rows
import writes
from rig import NO_STOCK, OUT, Nginx, Raw, Rig, keyhold, memory_kb

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))  # three times as many for rows with a target
SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
CRYPTO = {"sign", "verify", "cipher", "wrap"}
GROUPS = CRYPTO | {"read", "write", "create", "mixed", "system", "cluster", "control"}


def say(text):
    print(text, flush=True)


def measure_once(rig, nginx, raw, row, file, mine_first):
    def base():
        if row.base == rows.NGINX:
            return rig.load(file, port=nginx.port, pids=nginx.pids(), seconds=SECONDS)
        return raw.measure(row.base, SECONDS)
    b = None if mine_first else base()
    r = rig.load(file, seconds=SECONDS)
    b = b or base()
    say(f"{row.name}: {r['rate']:.0f}/s ({r['cpu_us']:.1f} us CPU), baseline {b['rate']:.0f}/s ({b['cpu_us']:.1f} us)")
    return r, b


def measure_rows(rig, groups):
    table = [r for r in rows.all_rows() if r.group in groups]
    nginx, raw = Nginx(rig.pool, rows.prepare(rig)), Raw()
    try:
        files = {r.name: r.make(rig) for r in table}
        results = {r.name: [] for r in table}
        for round_ in range(3 * ROUNDS):
            for r in table:
                if round_ < ROUNDS or r.target is not None:
                    results[r.name].append(measure_once(rig, nginx, raw, r, files[r.name], round_ % 2 == 0))
    finally:
        nginx.stop()
        raw.stop()
    return [report.Ratio(r, results[r.name]) for r in table]


def measure_writes(rig):
    return writes.measure(rig, lambda name, r: say(f"{name}: {r['rate']:.0f}/s, p50 {r['p50'] / 1000:.1f} ms"))


def measure_creation():
    with Rig() as rig:
        want = {"2048": 32, "3072": 16, "4096": 16}
        say("waiting until the prepared keys are there")
        end = time.monotonic() + 300
        while rig.pool.status()["preparedKeys"] != want:
            if time.monotonic() > end:
                raise RuntimeError("no prepared keys: " + json.dumps(rig.pool.status()))
            time.sleep(0.5)
        return writes.measure_creation(rig, lambda name, r: say(f"{name}: p50 {r['p50'] / 1000:.1f} ms"))


def measure_system():
    times, memory = [], 0
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
            pids = p.pids()
            memory = (memory_kb(pids["gateway"]) + memory_kb(pids["boundary"])) / 1024
        finally:
            p.stop()
    return {"memory_mb": memory, "first_s": statistics.median(t[0] for t in times),
            "later_s": statistics.median(t[1] for t in times)}


def wanted():
    names = {n for n in os.environ.get("BENCH", "").split(",") if n}
    if "crypto" in names:
        names = (names - {"crypto"}) | CRYPTO
    if names - GROUPS:
        sys.exit(f"BENCH: unknown {', '.join(sorted(names - GROUPS))}; there are crypto, {', '.join(sorted(GROUPS))}")
    return names or GROUPS


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()
    return f"{cpu}, {os.cpu_count()} processors, Linux {platform.release()}, OpenSSL {openssl[1]}"


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    if (os.cpu_count() or 1) < 2:
        sys.exit("two processors are needed: one for the server, one for the generator")
    groups, results = wanted(), {"machine": f"{machine()}; {ROUNDS} rounds of {SECONDS:g} s"}
    say(results["machine"])
    if "system" in groups:
        results["system"] = measure_system()
    if groups & (CRYPTO | {"read", "write", "mixed"}):
        with Rig(stock=NO_STOCK) as rig:
            results["ratios"] = measure_rows(rig, groups)
            if "mixed" in groups:
                results["mixed"] = mixed.measure(rig, say)
            if "write" in groups:
                results["writes"] = measure_writes(rig)
    if "create" in groups:
        results["creation"] = measure_creation()
    if "cluster" in groups:
        results["cluster"] = cluster.measure(ROUNDS, SECONDS, say)
    if "control" in groups:
        results["control"] = control.measure(4 * ROUNDS, say)
    ok = report.write(results, OUT)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
