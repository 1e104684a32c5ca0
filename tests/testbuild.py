"""Pools that run the test build of the boundary (keyhold-boundary-test)."""
import os
import pathlib
import shutil

import keyhold

TOOLS = keyhold.BIN.parent / "tests"
BOUNDARY = TOOLS / "keyhold-boundary-test"
KEYLOG_FD = 250


def bindir(folder, keylog=None, env=None):
    """A folder of programs in which keyhold-boundary is the test build. keylog: file for the private parts of
    every new key. The command finds the others beside its own file, so it is copied, not linked."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for program in keyhold.BIN.glob("keyhold*"):
        if program.name == "keyhold":
            shutil.copy2(program, folder / program.name)
        elif program.name != "keyhold-boundary":
            (folder / program.name).symlink_to(program)
    script = folder / "keyhold-boundary"
    lines = ["#!/bin/bash"] + [f"export {k}={v}" for k, v in (env or {}).items()]
    if keylog:
        lines += [f"exec {KEYLOG_FD}>>{keylog}", f"export KEYHOLD_TEST_KEYLOG_FD={KEYLOG_FD}"]
    script.write_text("\n".join(lines + [f'exec {BOUNDARY} "$@"']) + "\n")
    os.chmod(script, 0o755)
    return folder
