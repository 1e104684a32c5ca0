#!/usr/bin/env python3
"""Stands in for door, fabric, boundary and gateway where the supervisor is tested: they start, report, answer on the control
sockets and end as the files say that a test puts beside them.
  HOME/leader            number of the partition that leads (missing: 0)
  partition-N/status-P   exit status of program P (boundary, gateway) at its next starts
  partition-N/slow       the gateway never becomes ready
  partition-N/stubborn   it does not give up the lead
  HOME/events            what happened, a line each"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

program = os.path.basename(sys.argv[0]).removeprefix("keyhold-")
args = {}
for i, a in enumerate(sys.argv):
    if a.startswith("--"):
        follows = sys.argv[i + 1] if i + 1 < len(sys.argv) and not sys.argv[i + 1].startswith("--") else ""
        args[a[2:]] = follows
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def event(home, text):
    with open(home / "events", "a") as f:
        f.write(text + "\n")


def end_as_told(folder):
    f = folder / f"status-{program}"
    if f.exists():
        os._exit(int(f.read_text()))


def ready():
    os.write(int(args["ready-fd"]), b"\n")
    os.close(int(args["ready-fd"]))


def wait():
    while True:
        time.sleep(3600)


def boundary():
    seal = pathlib.Path(args["seal"])
    home, number = seal.parent.parent, seal.parent.name.removeprefix("partition-")
    end_as_told(seal.parent)
    flags = " ".join(f for f in ("join", "alone") if f in args)
    event(home, f"boundary {number} {flags}".rstrip())
    if not seal.exists():
        if "join" in args:
            seal.write_text("joined")
            os._exit(70)
        seal.write_text("made")
    (seal.parent / "serving").write_text(str(os.getpid()))
    wait()


def boundary_serves(folder):
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / "serving").read_text()), 0)
        return True
    return False


def commands(home, number, line):
    leader = (home / "leader").read_text().strip() if (home / "leader").exists() else "0"
    if leader != number:
        return f"error: node {int(leader) + 1} leads"
    if (home / f"partition-{number}" / "stubborn").exists():
        return "error: another change is under way"
    word = line.split()
    if word[0] == "transfer":
        others = [d.parent.name.removeprefix("partition-") for d in sorted(home.glob("partition-*/serving"))
                  if not d.parent.name.endswith("-" + number)]
        (home / "leader").write_text(str(int(word[1]) - 1) if len(word) > 1 else others[0])
    event(home, f"{line} at {number}")
    return "ok"


def serve(path, answer):
    path.unlink(missing_ok=True)
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()

    def run():
        while True:
            c, _ = s.accept()
            with c:
                c.sendall(answer(c))
    threading.Thread(target=run, daemon=True).start()


def gateway():
    store = pathlib.Path(args["store"])
    folder = store.parent
    home, number = folder.parent, folder.name.removeprefix("partition-")
    end_as_told(folder)
    while not boundary_serves(folder):
        time.sleep(0.01)
    if (folder / "slow").exists():
        wait()
    store.mkdir(exist_ok=True)
    event(home, f"gateway {number} peers={args.get('peers', '')} cpus={args.get('cpus', '')}")

    def status(_):
        leader = (home / "leader").read_text().strip() if (home / "leader").exists() else "0"
        role = "leader" if leader == number else "follower"
        return (json.dumps({"state": "NotActivated", "protection": "software", "raft": {
            "id": int(number) + 1, "role": role, "leader": int(leader) + 1, "term": 7, "applied": 40 + int(number),
            "released": 40}}) + "\n").encode()
    serve(pathlib.Path(args["control"]), status)
    serve(pathlib.Path(args["control"] + ".cmd"),
          lambda c: (commands(home, number, c.recv(200).decode().strip()) + "\n").encode())
    ready()
    wait()


if program in ("boundary", "gateway"):
    {"boundary": boundary, "gateway": gateway}[program]()
ready()
wait()
