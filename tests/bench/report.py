"""Results as Markdown and JSON, and whether every target was met."""
import json

import cluster
import control
from rig import median


class Ratio:
    """A row's rounds: pairs of (over HTTPS, baseline). The ratio is the median of the pairs' ratios: a machine whose
    speed drifts is as fast for both halves of a pair."""

    def __init__(self, row, rounds):
        self.row = row
        self.mine = {k: median([m[k] for m, _ in rounds]) for k in ("rate", "cpu_us", "p99")}
        self.base = {k: median([b[k] for _, b in rounds]) for k in ("rate", "cpu_us")}
        self.by_rate = median([m["rate"] / b["rate"] for m, b in rounds])
        self.by_cpu = median([b["cpu_us"] / m["cpu_us"] for m, b in rounds])

    def ok(self):
        return self.row.target is None or self.by_rate >= self.row.target

    def line(self):
        target = "-" if self.row.target is None else f">= {self.row.target:.2f}"
        base = self.row.base if self.row.base.startswith("nginx") else "raw " + self.row.base.replace("-", " ")
        return (f"| {self.row.name} | {self.mine['rate']:.0f} | {self.mine['cpu_us']:.1f} | {base} | "
                f"{self.base['rate']:.0f} | {self.base['cpu_us']:.1f} | {self.by_rate:.2f} | {self.by_cpu:.2f} | {target} | "
                f"{self.mine['p99']:.0f} |")

    def data(self):
        return {"name": self.row.name, "base": self.row.base, "target": self.row.target, "mine": self.mine,
                "baseline": self.base, "ratio": self.by_rate, "ratio_cpu": self.by_cpu}


def ratio_lines(ratios):
    return ["| operation | HTTPS /s | CPU us | baseline | baseline /s | CPU us | ratio (rate) | ratio (CPU) | target | p99 us |",
            "|---|---|---|---|---|---|---|---|---|---|", *(r.line() for r in ratios)]


def latency_lines(results):
    lines = ["| operation | /s | p50 ms | p99 ms | target (p50) |", "|---|---|---|---|---|"]
    for name, r in results.items():
        most = r.get("most_us")
        lines.append(f"| {name} | {r['rate']:.0f} | {r['p50'] / 1000:.2f} | {r['p99'] / 1000:.2f} | "
                     f"{'-' if most is None else f'<= {most / 1000:g} ms'} |")
    return lines


def mixed_lines(m):
    return ["| AES wrap at half load | p50 us | p99 us |", "|---|---|---|",
            f"| alone, {m['rate']:.0f}/s | {m['idle']['p50']:.0f} | {m['idle']['p99']:.0f} |",
            f"| next to saturated slow pools | {m['noisy']['p50']:.0f} | {m['noisy']['p99']:.0f} |",
            f"| ratio of p99 | | {m['ratio']:.1f} (target <= {m['limit']:g}) |"]


def system_lines(s):
    return ["| what | measured | target |", "|---|---|---|",
            f"| new partition, gateway + boundary, resident | {s['memory_mb']:.1f} MB | <= 40 MB |",
            f"| `keyhold up`, first run (creates everything) to ready | {s['first_s']:.2f} s | <= 2 s |",
            f"| `keyhold up`, later runs | {s['later_s']:.2f} s | <= 2 s |"]


def misses(results):
    """What did not reach its target, as text."""
    out = [f"{r.row.name}: {r.by_rate:.3f}" for r in results.get("ratios", []) if not r.ok()]
    out += [f"{n}: p50 {r['p50']} us" for n, r in results.get("creation", {}).items()
            if r["most_us"] is not None and r["p50"] > r["most_us"]]
    m, s = results.get("mixed"), results.get("system")
    if m and m["ratio"] > m["limit"]:
        out.append(f"p99 next to slow operations: {m['ratio']:.1f} times its idle value")
    if s and (s["memory_mb"] > 40 or max(s["first_s"], s["later_s"]) > 2):
        out.append("memory or start")
    out += control.misses(results["control"]) if "control" in results else []
    return out + (cluster.misses(results["cluster"]) if "cluster" in results else [])


def write(results, out):
    parts = [[results["machine"]]]
    if results.get("ratios"):
        parts.append(ratio_lines(results["ratios"]))
    if "mixed" in results:
        parts.append(mixed_lines(results["mixed"]))
    for name in ("writes", "creation"):
        if name in results:
            parts.append(latency_lines(results[name]))
    if "system" in results:
        parts.append(system_lines(results["system"]))
    if "cluster" in results:
        parts.append(cluster.lines(results["cluster"]))
    if "control" in results:
        parts.append(control.lines(results["control"]))
    text = "\n\n".join("\n".join(p) for p in parts)
    missed = misses(results)
    print(text + ("\n\nmissed: " + "; ".join(missed) if missed else "\n\nall targets met"))
    (out / "results.md").write_text(text + "\n")
    data = {**results, "ratios": [r.data() for r in results.get("ratios", [])], "missed": missed}
    (out / "results.json").write_text(json.dumps(data, indent=1))
    return not missed
