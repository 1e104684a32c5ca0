"""Seal providers: a pool whose root secrets a TPM or a token protects starts again without a human, and does not
when that TPM or token says no."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import pytest

import keyhold


def free_pair():
    for port in range(26000 + os.getpid() % 2000 * 2, 32000, 2):
        with contextlib.suppress(OSError), socket.socket() as a, socket.socket() as b:
            a.bind(("127.0.0.1", port))
            b.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two free ports")


class Tpm:
    def __init__(self, folder):
        self.folder, self.port = folder, free_pair()
        folder.mkdir()
        self.provider = f"tpm2:pcrs=0,7;tcti=swtpm:host=127.0.0.1,port={self.port}"
        self.on()

    def on(self):
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--server", f"type=tcp,port={self.port}",
             "--ctrl", f"type=tcp,port={self.port + 1}", "--flags", "not-need-init,startup-clear"])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port + 1), 1):
                return
            time.sleep(0.01)
        raise AssertionError("swtpm does not start")

    def off(self):
        self.process.terminate()
        self.process.wait(20)

    reachable, unreachable, closed = on, off, "no TPM at swtpm"


class Token:
    closed = "refused the PIN"

    def __init__(self, folder, monkeypatch):
        (folder / "tokens").mkdir(parents=True)
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "keyhold", "--so-pin", "so-12345",
                        "--pin", "4711-right"], check=True, capture_output=True)
        self.pin = folder / "pin"
        self.reachable()
        self.pin.chmod(0o600)
        module = next(p for p in [pathlib.Path("/usr/lib/softhsm/libsofthsm2.so"),
                                  *pathlib.Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")] if p.exists())
        self.provider = f"pkcs11:module={module};token=keyhold;pin-file={self.pin}"

    def reachable(self):
        self.pin.write_text("4711-right\n")

    def unreachable(self):
        self.pin.write_text("4711-wrong\n")

    def off(self):
        pass


@pytest.fixture(params=["tpm2", "pkcs11"])
def sealed(request, tmp_path, monkeypatch):
    """A fresh pool under that provider, and the device."""
    device = Tpm(tmp_path / "tpm") if request.param == "tpm2" else Token(tmp_path / "token", monkeypatch)
    pool = keyhold.Pool(name="seal")
    try:
        pool.up()
        pool.down()
        for f in (pool.home / "partition-0").iterdir():
            if f.name.startswith("seal"):
                f.unlink()
        for name in ("store", "audit"):
            shutil.rmtree(pool.home / "partition-0" / name)
        config = pool.home / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "seal": device.provider}))
        pool.start()
        yield request.param, pool, device
    finally:
        pool.stop()
        device.off()


def test_restarts_without_a_human(sealed):
    level, pool, device = sealed
    files = {f.name for f in (pool.home / "partition-0").iterdir() if f.name.startswith("seal")}
    assert files == {"seal", f"seal.{level}"}
    assert pool.status()["protection"] == level
    first = (pool.home / "partition-0/audit/audit.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["checkpoint"]["protection"] == level
    assert pool.assign(keyhold.CRYPTO_USER, pool.env["KEYHOLD_ADMIN_OID"]).status_code == 201
    kid = pool.ok("POST", "/keys/k/create", {"kty": "EC-HSM", "crv": "P-256"})["key"]["kid"]
    os.kill(pool.pids()["boundary"], 9)
    pool.wait_ready()
    assert pool.ok("GET", "/keys/k")["key"]["kid"] == kid
    pool.down()
    pool.up()
    assert pool.ok("GET", "/keys/k")["key"]["kid"] == kid


def test_stays_closed_without_its_device(sealed):
    level, pool, device = sealed
    pool.down()
    device.unreachable()
    r = pool.cli("up", "--port", pool.port, "--name", pool.name, check=False)
    assert r.returncode != 0
    assert device.closed in pool.logs(200) + r.stderr
    pool.down()
    device.reachable()
    pool.up()
    assert pool.status()["state"] == "Active"
