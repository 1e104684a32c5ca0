#!/usr/bin/env python3
"""A pool that is full: SCALE_KEYS keys (5000) of SCALE_VERSIONS versions (100), made by import. How fast they come in,
how long the next start takes, what an idle version costs in the boundary's memory, and whether list and get are as
quick as in a pool that is almost empty. SCALE_KTY: EC (P-256), oct, or RSA-2048, RSA-3072, RSA-4096 (slow to import:
few of them)."""
import json
import os
import subprocess
import sys
import time

import run
from rig import CONNECTIONS, NO_STOCK, OUT, Rig, b64u, median, memory_kb
from writes import rsa_jwk

KEYS = int(os.environ.get("SCALE_KEYS", "5000"))
VERSIONS = int(os.environ.get("SCALE_VERSIONS", "100"))
KTY = os.environ.get("SCALE_KTY", "EC")
SECONDS = float(os.environ.get("SCALE_SECONDS", "1"))
ROUNDS = 7
START_MAX_S, BYTES_MAX, SLOWER_MAX = 10, 2048, 1.15


def ec_jwk():
    """From the first octets of SEC1: 30 len 02 01 01 04 20 d ... 04 x y at the end."""
    pem = subprocess.run(["openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1"], capture_output=True,
                         check=True).stdout
    der = subprocess.run(["openssl", "ec", "-outform", "DER"], input=pem, capture_output=True, check=True).stdout
    assert der[5:7] == b"\x04\x20" and der[-65] == 4
    return {"kty": "EC-HSM", "crv": "P-256", "d": b64u(der[7:39]), "x": b64u(der[-64:-32]), "y": b64u(der[-32:])}


def jwk():
    if KTY == "oct":
        return {"kty": "oct-HSM", "k": b64u(os.urandom(32))}
    return ec_jwk() if KTY == "EC" else rsa_jwk(int(KTY.removeprefix("RSA-")))


def reads(rig):
    return {"get": rig.request("GET", rig.kid_path("k-00000000")), "list": rig.request("GET", "/keys?maxresults=25")}


def compare(full, empty):
    """CPU time and latency of get and of a page of the list in both pools, round by round in turn: what the machine
    does besides hits both."""
    pools = {"full": (full, reads(full)), "empty": (empty, reads(empty))}
    out = {}
    for op in ("get", "list"):
        rounds = {name: [] for name in pools}
        for _ in range(ROUNDS):
            for name, (rig, files) in pools.items():
                rounds[name].append(rig.load(files[op], seconds=SECONDS))
        out[op] = {name: {k: median([r[k] for r in rs]) for k in ("rate", "p50", "cpu_us")} for name, rs in rounds.items()}
        out[op]["slower"] = median([f["cpu_us"] / e["cpu_us"] for f, e in zip(rounds["full"], rounds["empty"])])
    return out


def fill(rig, file, done, want, keys):
    """Passes over all keys, one version each."""
    start = time.monotonic()
    for n in range(done, want):
        rig.load(file, count=keys, connections=min(CONNECTIONS, keys))
        if (n + 1) % 10 == 0:
            run.say(f"{(n + 1) * keys} versions, {(n + 1 - done) * keys / (time.monotonic() - start):.0f}/s")
    return time.monotonic() - start


def restart(rig):
    """Seconds until it serves; the boundary's memory then, when all versions are idle."""
    rig.pool.down()
    start = time.monotonic()
    rig.restart()
    return time.monotonic() - start, memory_kb(rig.pool.pids()["boundary"])


def almost_empty(rig):
    """A page of keys, one version each."""
    file = rig.request("PUT", "/keys/k-########", {"key": jwk()})
    first = min(25, KEYS)
    rig.load(file, count=first, connections=first)
    return file, first


def measure(rig, empty):
    almost_empty(empty)
    file, first = almost_empty(rig)
    _, empty_kb = restart(rig)
    if KEYS > first:
        rig.load(file, count=KEYS - first, first=first)
    seconds = fill(rig, file, 1, VERSIONS, KEYS)
    start_s, full_kb = restart(rig)
    versions = KEYS * VERSIONS
    return {"machine": run.machine(), "kty": KTY, "keys": KEYS, "versions": versions,
            "import_rate": KEYS * (VERSIONS - 1) / seconds, "start_s": start_s, "empty_kb": empty_kb, "full_kb": full_kb,
            "bytes_per_version": (full_kb - empty_kb) * 1024 / (versions - first), "reads": compare(rig, empty)}


def lines(r):
    get, list_ = (r["reads"][op]["slower"] for op in ("get", "list"))
    return [r["machine"], "", f"| {r['versions']} versions, {r['keys']} keys, {r['kty']} | measured | target |", "|---|---|---|",
            f"| import, {CONNECTIONS} connections | {r['import_rate']:.0f}/s | - |",
            f"| restart to ready | {r['start_s']:.1f} s | <= {START_MAX_S} s |",
            f"| boundary, resident, full | {r['full_kb'] / 1024:.0f} MB | - |",
            f"| resident for each idle version | {r['bytes_per_version']:.0f} bytes | <= {BYTES_MAX} |",
            f"| get, CPU time against an almost empty pool | {get:.2f} | <= {SLOWER_MAX} |",
            f"| list, CPU time against an almost empty pool | {list_:.2f} | <= {SLOWER_MAX} |"]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    with Rig(stock=NO_STOCK) as rig, Rig(stock=NO_STOCK) as empty:
        r = measure(rig, empty)
    text = "\n".join(lines(r))
    print(text)
    (OUT / "scale.md").write_text(text + "\n")
    (OUT / "scale.json").write_text(json.dumps(r, indent=1))
    slower = max(r["reads"][op]["slower"] for op in ("get", "list"))
    ok = r["start_s"] <= START_MAX_S and r["bytes_per_version"] <= BYTES_MAX and slower <= SLOWER_MAX
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
