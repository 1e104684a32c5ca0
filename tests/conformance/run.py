#!/usr/bin/env python3
"""make conformance: one scenario, the Azure SDKs of five languages, one pool, one table.
run.py [CLIENT...]          only these
run.py --prepare CLIENT...  fetch and build, run nothing
run.py --record             the table goes into docs/CONFORMANCE.md as well"""
import argparse
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import clients  # noqa: E402
import keyhold  # noqa: E402
import scenario  # noqa: E402

PAGE = clients.ROOT / "docs/CONFORMANCE.md"


def cell(result):
    """How a result is shown, and the footnote that it needs."""
    if not result["ok"]:
        return "FAILED", None
    return "ok", result.get("via") or result.get("note")


def table(results, programs, not_run):
    """The table of Markdown, with its footnotes."""
    columns = list(results) + list(not_run)
    lines = ["| step | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    notes = []
    for step, _ in scenario.STEPS:
        cells = []
        for c in columns:
            text, note = cell(results[c][step]) if c in results else ("not run", None)
            if note:
                key = f"{c}: {note}"
                if key not in notes:
                    notes.append(key)
                text += f" [{notes.index(key) + 1}]"
            cells.append(text)
        lines.append(f"| {step} | " + " | ".join(cells) + " |")
    versions = [f"* {c}: {p.toolchain}; " + ", ".join(f"{k} {v}" for k, v in p.versions.items())
                for c, p in programs.items() if c in results]
    versions += [f"* {c}: not run: {why}" for c, why in not_run.items()]
    numbered = [f"{i}. {n}" for i, n in enumerate(notes, 1)]
    return "\n".join([*lines, "", *numbered, *([""] if numbered else []), *versions]) + "\n"


def record(text):
    page = PAGE.read_text()
    PAGE.write_text(re.sub(r"(?<=<!-- results -->\n).*(?=<!-- end -->)", lambda _: text, page, flags=re.S))


def narrow(text):
    """The table for a terminal: columns as wide as they need to be."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    wide = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(r, wide)).rstrip() for r in rows]
    return "\n".join(shown) + "\n\n" + text.split("\n\n", 1)[1]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("client", nargs="*", choices=[[], *clients.CLIENTS])
    p.add_argument("--prepare", action="store_true")
    p.add_argument("--record", action="store_true")
    args = p.parse_args()
    programs, not_run, results = {}, {}, {}
    for name in args.client or clients.CLIENTS:
        print(f"making ready: {name}", flush=True)
        try:
            programs[name] = clients.CLIENTS[name]()
        except clients.NotRun as e:
            not_run[name] = str(e)
    if args.prepare:
        return 0
    clients.OUT.mkdir(parents=True, exist_ok=True)
    material = clients.OUT / "material.json"
    material.write_text(json.dumps(scenario.material()))
    with keyhold.Pool(name="conformance") as pool:
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            r = pool.assign(role, pool.env["KEYHOLD_ADMIN_OID"])
            assert r.status_code == 201, r.text
        for name, program in programs.items():
            print(f"running: {name}", flush=True)
            results[name] = clients.judge(clients.drive(program, pool, material))
    material.unlink()
    text = table(results, programs, not_run)
    (clients.OUT / "results.md").write_text(text)
    (clients.OUT / "results.json").write_text(json.dumps(
        {"results": results, "not_run": not_run,
         "versions": {c: {"toolchain": p.toolchain, **p.versions} for c, p in programs.items()}}, indent=1))
    if args.record:
        record(text)
    print("\n" + narrow(text))
    failed = [(c, r) for c, steps in results.items() for r in steps.values() if not r["ok"]]
    for c, r in failed:
        print(f"FAILED: {c}: {r['step']}: {r.get('detail')}")
    passed = sum(r["ok"] for steps in results.values() for r in steps.values())
    skipped = len(not_run) * len(scenario.STEPS)
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
