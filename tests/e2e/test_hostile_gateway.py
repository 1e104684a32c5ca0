"""A gateway that lies (tests/tools/hostile_*.c), against the boundary program of this build.

KEYHOLD_SEED and KEYHOLD_ROUNDS are passed on. KEYHOLD_ASAN_BUILD names a build folder with sanitizers (by default
build/asan when it exists): the same attacks run there with the boundary's code in one process."""
import os
import pathlib
import re
import subprocess

import pytest

import keyhold

BUILDS = {"release": keyhold.BIN.parent,
          "asan": pathlib.Path(os.environ.get("KEYHOLD_ASAN_BUILD", keyhold.ROOT / "build/asan"))}
ATTACKS = [(program, name) for program in ("hostile_gateway", "hostile_store")
           for name in re.findall(r"cmocka_unit_test\((\w+)\)", (keyhold.ROOT / f"tests/tools/{program}.c").read_text())]


def attack(build, program, name):
    program = BUILDS[build] / "tests" / program
    if build != "release" and not program.exists():
        pytest.skip(f"{BUILDS[build]} is not built")
    r = subprocess.run([program, BUILDS[build] / "bin/keyhold-boundary", name], capture_output=True, text=True,
                       timeout=600)
    return r.returncode, r.stdout + r.stderr


@pytest.mark.parametrize("program,name", ATTACKS)
@pytest.mark.parametrize("build", BUILDS)
def test_attack(build, program, name):
    code, text = attack(build, program, name)
    assert re.search(rf"\[ RUN      \] {name}", text), text
    assert code == 0, text
    if re.search(rf"\[  SKIPPED \] {name}", text):
        pytest.skip("not in one process")
    assert re.search(rf"\[       OK \] {name}", text), text


def test_all_attacks_are_listed():
    assert len(ATTACKS) >= 16


def test_the_program_fails_without_a_boundary():
    """So that a pass above means something: with a boundary that ends at once no attack passes."""
    r = subprocess.run([BUILDS["release"] / "tests" / ATTACKS[0][0], "/bin/false", ATTACKS[0][1]],
                       capture_output=True, text=True, timeout=120)
    assert r.returncode != 0
