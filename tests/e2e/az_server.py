"""The Azure CLI, loaded once: by az's own Python, reads {"args": [...]} as lines, runs each in a process forked from itself
and answers {"status", "out", "err"}. What a command does and keeps is as with a process of its own; only the second or so in
which Python reads az's modules is spent once."""
import json
import os
import runpy
import sys
import tempfile

import azure.cli.core  # noqa: F401
import azure.cli.command_modules.keyvault.custom  # noqa: F401
import azure.cli.core.commands.arm  # noqa: F401
import azure.core.pipeline.transport  # noqa: F401
import azure.keyvault.keys.crypto  # noqa: F401
import azure.mgmt.keyvault  # noqa: F401
import msal  # noqa: F401
import requests  # noqa: F401


def run(args, out, err):
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, target in ((null, 0), (out.fileno(), 1), (err.fileno(), 2)):
            os.dup2(fd, target)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
        sys.argv = ["az", *args]
        status = 0
        try:
            runpy.run_module("azure.cli", run_name="__main__")
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        except BaseException:  # noqa: BLE001
            import traceback
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = run(json.loads(line)["args"], out, err)
            for f in (out, err):
                f.seek(0)
            sys.__stdout__.write(json.dumps({"status": status, "out": out.read().decode(errors="replace"),
                                             "err": err.read().decode(errors="replace")}) + "\n")
            sys.__stdout__.flush()


main()
