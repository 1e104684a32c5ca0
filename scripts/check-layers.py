#!/usr/bin/env python3
"""Lower folders never include upper ones; boundary and gateway share only base, codec, model, wire."""
import pathlib
import re
import sys

ALLOWED = {
    "base": set(),
    "codec": {"base"},
    "model": {"base", "codec"},
    "wire": {"base", "codec", "model"},
    "boundary": {"base", "codec", "model", "wire"},
    "store": {"base", "codec", "model", "wire"},
    "net": {"base", "codec"},
    "gateway": {"base", "codec", "model", "wire", "store", "net"},
    "door": {"base", "codec", "net"},
    "partition": {"base", "codec", "model", "wire"},
    "fabric": {"base", "codec", "model", "net", "wire", "store"},
    "nodelink": {"base", "codec", "model", "net", "wire", "store", "fabric"},
    "client": {"base", "codec", "model"},
    "cli": {"base", "codec", "model", "client", "partition", "fabric"},
}
# The boundary links no sockets or loops; these headers must not appear in it.
BOUNDARY_BANNED = re.compile(r"#include <(uv|curl/|lmdb|raft|sys/socket|netinet/|arpa/)")

root = pathlib.Path(__file__).resolve().parent.parent / "src"
bad = []
files = 0
for path in sorted(root.rglob("*.[ch]")) + sorted(root.rglob("*.def")):
    layer = path.relative_to(root).parts[0]
    files += 1
    if layer not in ALLOWED:
        bad.append(f"{path}: folder {layer} is not in the list of layers")
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        m = re.match(r'\s*#include "([^"/]+)/', line)
        if m and m.group(1) != layer and m.group(1) not in ALLOWED[layer]:
            bad.append(f"{path.relative_to(root.parent)}:{number}: {layer} must not include {m.group(1)}")
        if layer == "boundary" and BOUNDARY_BANNED.search(line) and not path.name.endswith(("_test.c", "_testing.h", "test_hooks.c")):
            bad.append(f"{path.relative_to(root.parent)}:{number}: not in the boundary: {line.strip()}")
print("\n".join(bad) if bad else f"layers ok: {files} files")
sys.exit(1 if bad else 0)
