"""The gateway's table of routes, read from its source, for the checks of the pages that describe it."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent


def routes():
    """{(method, path): implemented}, and what is wrong with the table or this script."""
    text = (ROOT / "src/gateway/route.c").read_text()
    table = text[text.index("static const struct entry table[]"):]
    table = table[:table.index("\n};")]
    auth = re.search(r'#define AUTH_PATH "([^"]+)"', text)[1]
    found = {}
    for path in re.findall(r'CRYPTO\("(\w+)", OP_\w+\)', table):
        for version in ("", "/{v}"):
            found["POST", f"/keys/{{n}}{version}/{path}"] = True
    for method, path in re.findall(r'\{\s*HTTP1_(\w+), OP_\w+, "([^"]+)", NULL\s*\}', table):
        found[method, "/" + path] = True
    for method, path in re.findall(r'MISSING\(HTTP1_(\w+), "([^"]+)", "[^"]+"\)', table):
        found[method, "/" + path] = False
    roles = text[text.index("#define ROLES(scope)"):text.index("static const struct entry table[]")]
    for scope in re.findall(r'ROLES\("([^"]*)"\)', table):
        for method, tail in re.findall(r'HTTP1_(\w+), OP_\w+, scope AUTH_PATH "([^"]+)"', roles):
            found[method, f"/{scope}{auth}{tail}"] = True
    lines = len(re.findall(r"^    \S", table, re.M))
    understood = lines == len(re.findall(r"CRYPTO\(|MISSING\(|ROLES\(|\{\s*HTTP1_", table))
    return found, [] if understood else ["src/gateway/route.c: an entry of the table is not understood by " + __name__]
