"""Time from a request of the control plane until what it asked for is done, on an embedded installation: a pool of three
partitions created, deleted, recovered and purged, one after the other."""
import statistics
import time

from rig import keyhold

import arm as plane

TARGET_S = 3.0  # create, from the request to "Succeeded"
STEPS = ("create", "delete", "recover", "purge")


def measure(pools, say):
    times = {s: [] for s in STEPS}
    with keyhold.Pool(name="control") as pool:
        arm = plane.Arm(pool)
        arm.group("rg")
        for i in range(pools):
            name = f"bench-{i}"
            for step, run in (("create", lambda n: arm.create("rg", n)), ("delete", lambda n: arm.delete("rg", n)),
                              ("recover", lambda n: arm.recover("rg", n)), ("delete", lambda n: arm.delete("rg", n)),
                              ("purge", arm.purge)):
                t = time.monotonic()
                run(name)
                times[step].append(time.monotonic() - t)
            say(f"{name}: created in {times['create'][-1]:.2f} s")
    return {s: {"p50_s": statistics.median(t), "max_s": max(t), "n": len(t)} for s, t in times.items()}


def lines(r):
    out = ["| a pool of three partitions | median | slowest | of | target |", "|---|---|---|---|---|"]
    return out + [f"| {s} | {v['p50_s']:.2f} s | {v['max_s']:.2f} s | {v['n']} | "
                  f"{f'<= {TARGET_S:g} s' if s == 'create' else ''} |" for s, v in r.items()]


def misses(r):
    return ["create a pool: " + f"{r['create']['p50_s']:.2f} s"] if r["create"]["p50_s"] > TARGET_S else []
