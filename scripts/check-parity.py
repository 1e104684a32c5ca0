#!/usr/bin/env python3
"""docs/PARITY.md against the code: every route has its row and the right status, every test that is named exists.
check-parity.py --ran FOLDER: and each of them ran and passed, by the results that `make test` left there."""
import itertools
import pathlib
import re
import sys
import xml.etree.ElementTree

import gateway_routes

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPERATIONS = 60
PROMISES = {"000": 59, "001": 62, "002": 57, "003": 55}
bad = []


def say(text):
    bad.append(f"docs/PARITY.md: {text}")


def tests():
    """{file stem: names of its test functions}"""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.setdefault(path.stem, set()).update(re.findall(r"^def (test_\w+)\(", path.read_text(), re.M))
    for path in (ROOT / "src").rglob("*_test.c"):
        found.setdefault(path.stem, set()).update(re.findall(r"^static void (\w+)\(void \*\*", path.read_text(), re.M))
    return found


def spellings(request):
    """`GET /keys/{n}[/{v}]` and `{scope}` stand for several paths."""
    method, path = request.split(" ", 1)
    scopes = ["", "/keys", "/keys/{n}"] if path.startswith("{scope}") else [None]
    parts = re.split(r"\[([^\]]*)\]", path)
    choices = [[p] if i % 2 == 0 else ["", p] for i, p in enumerate(parts)]
    for combined in map("".join, itertools.product(*choices)):
        for s in scopes:
            yield method, (combined if s is None else s + combined.removeprefix("{scope}")).lower()


def rows(text, heading, columns):
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if section is None:
        say(f"no section '{heading}'")
        return []
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in section[1].splitlines() if line.startswith("|")]
    for c in cells:
        if len(c) != columns:
            say(f"'{heading}': {len(c)} instead of {columns} columns: {' | '.join(c)[:60]}")
    return [c for c in cells[2:] if len(c) == columns]


def check_tests(where, status, cell, known):
    named = re.findall(r"`(\w+)::(\w+)`", cell)
    for file, name in named:
        if name not in known.get(file, ()):
            say(f"{where}: test {file}::{name} does not exist")
    if status == "done" and not named:
        say(f"{where}: done, but no test is named")
    if status in ("missing", "n/a") and named:
        say(f"{where}: {status}, but a test is named")


def check_operations(text, known):
    table = rows(text, "Operations", 6)
    if [r[0] for r in table] != [str(i + 1) for i in range(OPERATIONS)]:
        say(f"the operations are not numbered 1 to {OPERATIONS}")
    there, problems = gateway_routes.routes()
    bad.extend(problems)
    seen = {}
    for number, _, request, status, test, _ in table:
        where = f"operation {number}"
        if status not in ("done", "partial", "missing"):
            say(f"{where}: status '{status}'")
        check_tests(where, status, test, known)
        if status == "partial" and "::" not in test:
            say(f"{where}: partial, but no test is named")
        for r in re.findall(r"`([^`]+)`", request):
            for key in spellings(r):
                if key in seen:
                    say(f"{where}: {' '.join(key)} is in row {seen[key]} already")
                seen[key] = number
                if key not in there:
                    say(f"{where}: the gateway does not know {' '.join(key)}")
                elif there[key] != (status != "missing"):
                    say(f"{where}: {' '.join(key)} is {'answered' if there[key] else 'answered with 501'}, the row says {status}")
    for key in there.keys() - seen.keys():
        say(f"no row for {' '.join(key)}")
    return len(there)


def check_control_plane(text, known):
    for operation, _, status, test, remark in rows(text, "Control plane", 5):
        where = f"control plane, {operation}"
        if status not in ("done", "partial", "missing"):
            say(f"{where}: status '{status}'")
        if status == "partial" and (not remark or "::" not in test):
            say(f"{where}: partial, but no test or no gap is named")
        check_tests(where, status, test, known)


def check_promises(text, known):
    table = rows(text, "Promises", 5)
    every = [f"{s}-{i:02}" for s, n in PROMISES.items() for i in range(1, n + 1)]
    if [r[0] for r in table] != every:
        say(f"the promises are not the {len(every)} rows 000-01 to 003-55 in their order")
    for number, promise, status, test, remark in table:
        where = f"promise {number}"
        if status not in ("done", "partial", "missing", "n/a"):
            say(f"{where}: status '{status}'")
        if not promise:
            say(f"{where}: says nothing")
        if status == "partial" and not remark:
            say(f"{where}: partial, but the gap is not named")
        check_tests(where, status, test, known)


def passed_tests(folder):
    """{(file stem, function)} that ran and passed, {…} that failed, from the results that the layers of
    `make test` leave: pytest's XML and ctest's log with cmocka's lines."""
    passed, failed = set(), set()
    for path in folder.glob("*.xml"):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            key = case.get("classname", "").split(".")[-1], case.get("name", "").split("[")[0]
            bad_case = case.find("failure") is not None or case.find("error") is not None
            if bad_case:
                failed.add(key)
            elif case.find("skipped") is None:
                passed.add(key)
    for path in folder.glob("*.log"):
        stem = ""
        for line in path.read_text(errors="replace").splitlines():
            if m := re.match(r"\d+/\d+ Testing: \S+/(\S+)$", line):
                stem = m[1]
            elif m := re.match(r"\[\s+(OK|FAILED)\s+\] (?:\S+: )?(\w+)$", line):
                (passed if m[1] == "OK" else failed).add((stem, m[2]))
    return passed, failed


def check_ran(text, folder):
    """Every test named on the page ran in this run of `make test`, and passed."""
    passed, failed = passed_tests(folder)
    for test in sorted(set(re.findall(r"`(\w+)::(\w+)`", text))):
        if test in failed:
            say(f"{test[0]}::{test[1]} failed")
        elif test not in passed:
            say(f"{test[0]}::{test[1]} did not run")
    return len(passed)


def main():
    text = (ROOT / "docs/PARITY.md").read_text()
    known = tests()
    n = check_operations(text, known)
    check_control_plane(text, known)
    check_promises(text, known)
    for file, name in re.findall(r"`(\w+)::(\w+)`", text):
        if name not in known.get(file, ()):
            say(f"test {file}::{name} does not exist")
    ran = ""
    if len(sys.argv) == 3 and sys.argv[1] == "--ran":
        ran = f", {check_ran(text, pathlib.Path(sys.argv[2]))} tests ran"
    print("\n".join(dict.fromkeys(bad)) if bad else f"parity ok: {n} routes, {OPERATIONS} operations, "
          f"{sum(PROMISES.values())} promises{ran}")
    return 1 if bad else 0


sys.exit(main())
