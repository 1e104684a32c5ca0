import base64
import importlib.util
import json
import os
import pathlib
import select
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import keyhold  # noqa: E402

VECTORS = keyhold.ROOT / "tests/vectors/security-domain"


def vector(name):
    return json.loads((VECTORS / name).read_text())


@pytest.fixture(scope="session")
def oracle():
    """The independent reader of security domains that stands beside the vectors."""
    spec = importlib.util.spec_from_file_location("check_vectors", VECTORS / "check_vectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def custodians(tmp_path_factory, oracle):
    """Three custodians' certificate and key files, and {thumbprint: private key}."""
    class Custodians:
        vector = vector("sd-2of3.json")
        certificates, private, keys = [], [], {}
    made = Custodians()
    folder = tmp_path_factory.mktemp("custodians")
    for c in made.vector["custodians"]:
        cer, pem = folder / f"{c['index']}.cer", folder / f"{c['index']}.pem"
        cer.write_text(c["certificate_pem"])
        pem.write_text(c["private_key_pem"])
        made.certificates.append(str(cer))
        made.private.append(str(pem))
        made.keys[oracle.thumb(c["certificate_pem"])] = oracle.key(c["private_key_pem"])
    return made


def request_of(pem, **more):
    """A member of "certificates" as azure-cli sends it, from a certificate in PEM."""
    cert = x509.load_pem_x509_certificate(pem.encode())
    der = cert.public_bytes(serialization.Encoding.DER)
    jwk = {"kty": "RSA", "key_ops": ["verify", "encrypt", "wrapKey"], "alg": "RSA-OAEP-256",
           "x5c": [base64.b64encode(der).decode()]}
    public = cert.public_key()
    if hasattr(public, "public_numbers") and hasattr(public.public_numbers(), "n"):
        numbers = public.public_numbers()
        for name, value in (("n", numbers.n), ("e", numbers.e)):
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            jwk[name] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {**jwk, **more}


class Az:
    """The Azure CLI with a configuration folder of its own."""

    def __init__(self, folder, env):
        self.exe = os.environ.get("KEYHOLD_AZ", str(keyhold.ROOT / "build/venv-az/bin/az"))
        folder.mkdir(parents=True, exist_ok=True)
        self.env = {**env, "AZURE_CONFIG_DIR": str(folder), "AZURE_CORE_COLLECT_TELEMETRY": "no",
                    "AZURE_CORE_NO_COLOR": "yes", "AZURE_CORE_SURVEY_MESSAGE": "no"}

    def run(self, *args, timeout=120):
        return subprocess.run([self.exe, *map(str, args)], env=self.env, capture_output=True,
                              text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def __call__(self, *args, timeout=120):
        """Parsed output; the command must succeed."""
        r = self.run(*args, "-o", "json", timeout=timeout)
        assert r.returncode == 0, f"az {' '.join(map(str, args))}: exit {r.returncode}\n{r.stderr}"
        return json.loads(r.stdout) if r.stdout.strip() else None

    def fails(self, *args):
        """Exit status and error text; the command must fail."""
        r = self.run(*args, "-o", "json")
        assert r.returncode != 0, f"az {' '.join(map(str, args))} succeeded:\n{r.stdout}"
        return r.returncode, r.stderr


class LoadedAz(Az):
    """The same, with the modules loaded once for all of its commands (az_server.py)."""

    def __init__(self, folder, env):
        super().__init__(folder, env)
        self.server = None

    def run(self, *args, timeout=120):
        if self.server is None:
            python = pathlib.Path(self.exe).parent / "python"
            self.server = subprocess.Popen([python, "-u", pathlib.Path(__file__).with_name("az_server.py")], env=self.env,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server.stdin.write(json.dumps({"args": [str(a) for a in args]}) + "\n")
        self.server.stdin.flush()
        ready = select.select([self.server.stdout], [], [], timeout)[0]
        assert ready, f"az {args}: no answer in {timeout} s"
        r = json.loads(self.server.stdout.readline())
        return subprocess.CompletedProcess(args, r["status"], r["out"], r["err"])

    def close(self):
        if self.server:
            self.server.stdin.close()
            self.server.wait(30)
            self.server.stdout.close()


@pytest.fixture(scope="session")
def make_az(tmp_path_factory):
    made = []

    def make(env):
        made.append(LoadedAz(tmp_path_factory.mktemp("azure"), env))
        return made[-1]
    yield make
    for az in made:
        az.close()
