"""Evidence of a TPM: what config.json and pool.json say of it decides which partition gets into a pool."""
import json
import subprocess
import time

import pytest

import keyhold
from test_seal import Tpm


def printed_ak(evidence):
    out = subprocess.run([keyhold.BIN / "keyhold-boundary", "--print-ak", "--evidence", evidence], check=True,
                         capture_output=True, text=True).stdout
    assert len(bytes.fromhex(out.strip())) == 32
    return out.strip()


def joins(pool):
    log = (pool.home / "partition-0/audit/audit.jsonl").read_text().splitlines()
    return [line for line in log if '"PartitionJoin"' in line]


@pytest.fixture
def machine(tmp_path):
    tpm = Tpm(tmp_path / "tpm")
    yield f"tpm2:swtpm:host=127.0.0.1,port={tpm.port}"
    tpm.off()


@pytest.fixture
def pool(machine):
    p = keyhold.Pool(name="evidence")
    try:
        p.up()
        p.down()
        config = p.home / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "evidence": machine}))
        yield p
    finally:
        p.stop()


def test_a_partition_is_vouched_for(pool, machine):
    ak = printed_ak(machine)
    pool.configure(peers={"providers": ["tpm2"], "aks": [ak]})
    pool.up()
    assert pool.cli("partition", "add").stdout == "partition 1 serves\n"
    lines = joins(pool)
    assert len(lines) == 1
    assert "evidence tpm2 of pool evidence" in lines[0] and f"attestation key {ak}" in lines[0]
    assert f"attestation key {ak}, PCRs 7, their digest " in (pool.home / "log/boundary-1.log").read_text()


def test_an_unknown_machine_stays_outside(pool):
    pool.configure(peers={"providers": ["tpm2"], "aks": ["ab" * 32]})
    pool.up()
    log = pool.home / "log/boundary-1.log"
    adding = subprocess.Popen([pool.bindir / "keyhold", "--home", pool.home, "partition", "add"])
    try:
        end = time.monotonic() + 30
        while not (log.exists() and "its attestation key is not accepted (peers.aks)" in log.read_text() and joins(pool)):
            assert time.monotonic() < end, pool.logs()
            time.sleep(0.02)
        assert adding.poll() is None
        assert not any('"resultType":"Success"' in line for line in joins(pool))
        assert not (pool.home / "partition-1/seal").exists()
    finally:
        adding.kill()
        adding.wait()
