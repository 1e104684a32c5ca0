"""What must be true of a history besides its being linearizable; nothing here is shared with the checker of that."""
import json
import pathlib
import subprocess

import keyhold

CHECKER = keyhold.ROOT / "build/chaos/checker"
CHECKER_SOURCE = keyhold.ROOT / "tests/chaos/checker"
FOREVER = 1 << 62


def go():
    newer = pathlib.Path("/usr/lib/go-1.23/bin/go")
    return newer if newer.exists() else "go"


def build_checker():
    CHECKER.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([go(), "build", "-o", CHECKER, "."], check=True, cwd=CHECKER_SOURCE)


def linearizable(path):
    r = subprocess.run([CHECKER, path], capture_output=True, text=True, check=False)
    assert r.returncode == 0, f"{path}: exit {r.returncode}\n{r.stdout}{r.stderr}"
    return r.stdout


def revoked_windows(rows):
    """(from, to) during which no assignment can exist: from the answer to the deletion of the last one until another is
    asked for. An assignment whose fate is not known may exist as long as it was not deleted."""
    windows, open_names, since = [], {}, None
    events = []
    for r in rows:
        if r["op"] == "put":
            events.append((r["start"], 1, "asked", r))
            if r["out"] in ("ok", "exists"):
                events.append((r["end"], 0, "put", r))
        elif r["op"] == "delete" and r["out"] in ("ok", "absent"):
            events.append((r["end"], 0, "deleted", r))
    for at, _, what, r in sorted(events, key=lambda e: e[:2]):
        name = r["in"]
        if what == "asked":
            if since is not None:
                windows.append((since, at))
                since = None
            open_names[name] = "perhaps"
        elif what == "put" and name in open_names:
            if r["out"] == "ok":
                open_names[name] = "there"
            else:
                del open_names[name]
        elif what == "deleted" and (r["out"] == "ok" or open_names.get(name) == "there"):
            open_names.pop(name, None)
            if not open_names and since is None:
                since = at
    if since is not None:
        windows.append((since, FOREVER))
    return windows


def no_use_after_revocation(rows):
    """Number of requests that were made while the right was gone; none of them was granted."""
    tried = 0
    for target in sorted({r["object"] for r in rows if r["object"].startswith("role/")}):
        mine = [r for r in rows if r["object"] == target]
        windows = revoked_windows(mine)
        uses = sorted((r for r in mine if r["op"] == "use"), key=lambda r: r["start"])
        at = 0
        for r in uses:
            while at < len(windows) and windows[at][1] <= r["start"]:
                at += 1
            if at == len(windows):
                break
            if windows[at][0] < r["start"] and r["end"] < windows[at][1]:
                assert r["out"] != "ok", f"used after it was revoked: {json.dumps(r)}, revoked {windows[at]}"
                tried += 1
    return tried
