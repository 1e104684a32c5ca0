#!/usr/bin/env python3
"""Where the CPU time of an AES wrap goes: samples of gateway and boundary under full load (perf), summed up by area
and by symbol. Where perf cannot sample, instructions of the gateway alone under callgrind: the boundary's sandbox
lets nothing run beside it. Text to build/bench/profile.txt."""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from rig import NO_STOCK, OUT, Rig, b64u, keyhold

SECONDS = int(os.environ.get("PROFILE_SECONDS", "5"))
NET = re.compile(r"^(tcp_|__tcp|inet_|ip_|__ip_|sock_|__dev_queue|net_rx|process_backlog|skb_|__skb|__napi)")
FILE = re.compile(r"^(ext4|xfs|btrfs|generic_perform_write|iomap_|filemap_|__filemap|shmem_|ovl_)")
WAIT = re.compile(r"^(schedule|__schedule|finish_task_switch|futex|ep_|do_epoll|do_sys_poll|eventfd|pick_|try_to_wake)")


def area(process, dso, symbol, stack):
    """Kernel samples by what the system call was for, the others by the library."""
    who = "gateway" if "gateway" in process else "boundary"
    if "kernel" in dso or dso == "[unknown]":
        for name, what in ((NET, "kernel: sockets"), (FILE, "kernel: audit file"), (WAIT, "kernel: waiting, switching")):
            if any(name.match(s) for s in stack):
                return what
        return "kernel: other"
    if dso.startswith("libcrypto"):
        return f"libcrypto in the {who}"
    if dso.startswith("libssl"):
        return "libssl"
    if dso.startswith("keyhold"):
        return f"own code of the {who}"
    return f"libc, libuv, vdso in the {who}"


def samples(data):
    """(process, dso and symbol of the innermost frame, symbols of all frames) of each sample."""
    text = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"], capture_output=True, text=True,
                          check=True).stdout
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        frames = [re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line) for line in lines[1:]]
        frames = [f for f in frames if f]
        if frames:
            yield lines[0].strip(), os.path.basename(frames[0][2]), frames[0][1], [f[1] for f in frames]


def table(counter, total, most):
    return [f"{100 * n / total:6.1f} %  {name}" for name, n in counter.most_common(most)]


def by_perf(rig, file, work):
    data = work / "perf.data"
    pids = ",".join(map(str, rig.server))
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2999", "-g", "-o", data, "-p", pids,
                             "--", "sleep", str(SECONDS)])
    r = rig.load(file, seconds=SECONDS + 1)
    if perf.wait() != 0:
        raise RuntimeError("perf record failed")
    areas, symbols, total = collections.Counter(), collections.Counter(), 0
    for process, dso, symbol, stack in samples(data):
        areas[area(process, dso, symbol, stack)] += 1
        symbols[f"{process} {dso} {symbol}"] += 1
        total += 1
    return [f"AES-256 wrapKey A256KW, {r['rate']:.0f}/s, {r['cpu_us']:.1f} us CPU each; {total} samples of gateway and "
            "boundary (perf, cpu-clock)", "", *table(areas, total, 99), "", *table(symbols, total, 60)]


def perf_works(work):
    if shutil.which("perf") is None:
        return False
    return subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", work / "try.data", "true"],
                          capture_output=True).returncode == 0


def wrapped_programs(work):
    """A folder of programs in which the gateway runs under callgrind."""
    folder = work / "bin"
    folder.mkdir()
    for f in keyhold.BIN.iterdir():
        shutil.copy2(f, folder / f.name)  # no link: `keyhold` looks for the others beside itself
    gateway = folder / "keyhold-gateway"
    gateway.unlink()
    gateway.write_text("#!/bin/sh\nexec valgrind --tool=callgrind --instr-atstart=no "
                       f"--callgrind-out-file={work}/out.%p --log-file={work}/valgrind.log "
                       f"{keyhold.BIN}/keyhold-gateway \"$@\"\n")
    gateway.chmod(0o755)
    return folder


def gateway_pid(home):
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                line = (p / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "/keyhold-gateway\0" in line and home in line:
                return p.name
    raise RuntimeError("the gateway is not there")


def by_callgrind(work):
    with Rig(stock=NO_STOCK, bindir=wrapped_programs(work)) as rig:
        file = wrap_request(rig)
        pid = gateway_pid(str(rig.pool.home))
        for switch in ("on", "off"):
            rig.load(file, count=1000)
            subprocess.run(["callgrind_control", "-i", switch, pid], check=True, capture_output=True)
        subprocess.run(["callgrind_control", "-d", pid], check=True, capture_output=True)
        end = time.monotonic() + 20
        while not any(f.stat().st_size for f in work.glob("out.*")) and time.monotonic() < end:
            time.sleep(0.2)
        out = max(work.glob("out.*"), key=lambda f: f.stat().st_size)
        text = subprocess.run(["callgrind_annotate", "--auto=no", out], capture_output=True, text=True).stdout
    return ["Instructions of the gateway for 1000 AES-256 wrapKey A256KW (callgrind; perf cannot sample here)", "",
            *text.splitlines()[:120]]


def wrap_request(rig):
    rig.pool.ok("POST", "/keys/aes/create", {"kty": "oct-HSM", "key_size": 256})
    return rig.request("POST", rig.kid_path("aes") + "/wrapkey", {"alg": "A256KW", "value": b64u(os.urandom(32))})


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="kh-profile-"))
    try:
        if perf_works(work):
            with Rig(stock=NO_STOCK) as rig:
                lines = by_perf(rig, wrap_request(rig), work)
        elif shutil.which("valgrind"):
            lines = by_callgrind(work)
        else:
            sys.exit("neither perf nor valgrind can be used here")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = "\n".join(lines)
    (OUT / "profile.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
