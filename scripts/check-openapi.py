#!/usr/bin/env python3
"""docs/openapi.yaml against the gateway's table of routes: the same paths and methods, and the right x-keyhold-status."""
import pathlib
import re
import sys

import gateway_routes

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACES = {"key-name": "{n}", "key-version": "{v}", "role-definition-name": "{g}", "role-assignment-name": "{g}",
          "setting-name": "{s}"}


def template(path):
    """A path as the gateway's table spells it."""
    return "/".join(PLACES.get(s[1:-1], "*") if s.startswith("{") else s.lower() for s in path.split("/"))


def described():
    """{(method, path): it is implemented}. By lines: the machine that builds need not have a YAML library."""
    text = (ROOT / "docs/openapi.yaml").read_text()
    paths = re.search(r"^paths:\n(.*?)^\w", text, re.M | re.S)[1]
    found, path, key = {}, None, None
    for line in paths.splitlines():
        if m := re.fullmatch(r"  (/\S*):", line):
            path = template(m[1])
        elif m := re.fullmatch(r"    (get|put|post|patch|delete|head|options|trace):", line):
            key = m[1].upper(), path
            if key in found:
                raise SystemExit(f"docs/openapi.yaml: {' '.join(key)} is there twice")
            found[key] = True
        elif m := re.fullmatch(r"      x-keyhold-status: (\w+)", line):
            if m[1] not in ("missing", "partial"):
                raise SystemExit(f"docs/openapi.yaml: status '{m[1]}' of {' '.join(key)}")
            found[key] = m[1] != "missing"
    return found


def main():
    there, bad = gateway_routes.routes()
    here = described()
    for key in sorted(there.keys() - here.keys()):
        bad.append(f"docs/openapi.yaml: {' '.join(key)} is not described")
    for key in sorted(here.keys() - there.keys()):
        bad.append(f"docs/openapi.yaml: the gateway does not know {' '.join(key)}")
    for key in sorted(here.keys() & there.keys()):
        if here[key] != there[key]:
            bad.append(f"docs/openapi.yaml: {' '.join(key)} is {'answered' if there[key] else 'answered with 501'}")
    print("\n".join(bad) if bad else f"openapi ok: {len(here)} operations")
    return 1 if bad else 0


sys.exit(main())
