"""Tokens of other issuers: a real OpenID Connect provider (oidc-provider) with a certificate of its own authority."""
import contextlib
import datetime
import ipaddress
import json
import pathlib
import shutil
import subprocess

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import keyhold

HERE = pathlib.Path(__file__).resolve().parent / "oidc"
AUDIENCE = "https://keys.example/keyhold"


@pytest.fixture(scope="module")
def program():
    """The provider with what it needs, fetched once."""
    folder = keyhold.ROOT / "build/oidc"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "package-lock.json").read_text()
    mark = folder / "installed"
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(HERE / name, folder)
    if not mark.exists() or mark.read_text() != lock:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True, timeout=300,
                       capture_output=True)
        mark.write_text(lock)
    return folder / "server.mjs"


class Authority:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.pem = folder / "ca.pem"
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self.pem.write_bytes(self.sign(self.name, self.key.public_key(), None).public_bytes(serialization.Encoding.PEM))

    def sign(self, name, public, names):
        now = datetime.datetime.now(datetime.timezone.utc)
        b = (x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(public)
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
             .not_valid_after(now + datetime.timedelta(days=2))
             .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True))
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return b.sign(self.key, hashes.SHA256())

    def server(self):
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.sign(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]), key.public_key(),
                         [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        files = self.folder / "server.pem", self.folder / "server.key"
        files[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return [str(f) for f in files]


class Provider:
    def __init__(self, program, folder, authority, path="", alg="RS256", **more):
        self.authority = authority
        cert, key = authority.server()
        self.port = keyhold.free_port()
        self.issuer = f"https://localhost:{self.port}{path}"
        config = folder / f"op-{self.port}.json"
        config.write_text(json.dumps({"port": self.port, "cert": cert, "key": key, "path": path, "alg": alg, **more}))
        self.process = subprocess.Popen(["node", str(program), str(config)], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
        raise AssertionError("the provider does not start")

    def ask(self, method, path, **kw):
        return requests.request(method, f"https://localhost:{self.port}{path}", verify=str(self.authority.pem), timeout=30,
                                proxies={"https": None}, **kw)

    def token(self, client="robot", audience=AUDIENCE):
        path = self.issuer.partition(str(self.port))[2]
        r = self.ask("POST", f"{path}/token", auth=(client, f"secret of {client}"),
                     data={"grant_type": "client_credentials", "resource": audience})
        assert r.status_code == 200, r.text
        return r.json()["access_token"]

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def world(program, tmp_path_factory):
    """A pool that trusts two providers, and one that names keys of another host; and a provider that nobody trusts."""
    class World:
        pass
    w = World()
    folder = tmp_path_factory.mktemp("issuers")
    with contextlib.ExitStack() as stack:
        def provider(name, **kw):
            p = Provider(program, folder, Authority(folder / name), **kw)
            stack.callback(p.stop)
            return p
        w.one = provider("one")
        w.two = provider("two", path="/realms/two", alg="ES256", claims={"oid": "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"})
        w.liar = provider("liar", jwksUri=f"https://localhost:{w.one.port}/jwks")
        w.stranger = provider("stranger")
        options = ["--issuer", *(f"{p.issuer},audience={AUDIENCE},roots={p.authority.pem}" for p in (w.one, w.two, w.liar))]
        w.pool = keyhold.Pool(name="issuers", options=options)
        stack.callback(w.pool.stop)
        w.pool.start()
        yield w


def principal(pool, issuer, subject):
    return pool.cli("login", "principal", "--issuer", issuer, "--subject", subject).stdout.strip()


def test_a_subject_gets_a_role(world):
    pool, one = world.pool, world.one
    t = one.token()
    me = principal(pool, one.issuer, "robot")
    code, text = pool.error(pool.call("GET", "/keys", token=t))
    assert code == "AccessDenied", text
    assert pool.assign(keyhold.CRYPTO_USER, me, "/keys").status_code == 201
    assert pool.call("POST", "/keys/foreign/create", {"kty": "EC-HSM", "crv": "P-256"}, token=t).status_code == 200
    assert pool.call("GET", "/keys", token=t).status_code == 200
    # another client of that provider, and the same subject at another provider, are other principals
    assert pool.call("GET", "/keys", token=one.token("other")).status_code == 403
    assert principal(pool, world.two.issuer, "robot") != me
    lines = "".join(f.read_text() for f in pool.home.glob("partition-*/audit/*") if f.is_file())
    assert one.issuer in lines and me in lines


def test_two_providers(world):
    pool, two = world.pool, world.two
    assert pool.assign(keyhold.CRYPTO_USER, principal(pool, two.issuer, "robot"), "/keys").status_code == 201
    assert pool.call("GET", "/keys", token=two.token()).status_code == 200
    # what it says of object ids gives nobody that principal's rights
    assert pool.assign(keyhold.CRYPTO_USER, "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb", "/keys").status_code == 201
    assert pool.call("GET", "/keys", token=two.token("other")).status_code == 403


def test_refusals(world):
    pool = world.pool
    assert pool.call("GET", "/keys", token=world.stranger.token()).status_code == 401
    r = pool.call("GET", "/keys", token=world.one.token(audience="https://other.example"))
    assert r.status_code == 401 and "aud=https://other.example" in r.json()["error"]["message"]
    head, body, signature = world.one.token().split(".")
    assert pool.call("GET", "/keys", token=".".join((head, body, signature[:-4] + "AAAA"))).status_code == 401
    # keys that its metadata name on another host are not fetched
    assert pool.call("GET", "/keys", token=world.liar.token()).status_code == 503
    # the installation's own tokens are good as before
    assert pool.call("GET", "/keys").status_code in (200, 403)


def test_new_keys_of_a_provider(world):
    """A key id that is not known makes the boundary ask again."""
    pool, one = world.pool, world.one
    old = one.token()
    assert pool.call("GET", "/keys", token=old).status_code == 200
    one.ask("GET", "/rotate")

    def answered():
        return pool.call("GET", "/keys", token=one.token()).status_code
    end = datetime.datetime.now() + datetime.timedelta(seconds=30)
    while (status := answered()) != 200 and datetime.datetime.now() < end:
        assert status in (401, 503)
    assert status == 200


def test_up_again(world, tmp_path):
    """The same issuers are fine, others are refused: they are sealed with the pool."""
    pool = world.pool
    again = ["--issuer", *(f"{p.issuer},audience={AUDIENCE},roots={p.authority.pem}" for p in (world.one, world.two, world.liar))]
    assert pool.cli("up", *again).returncode == 0
    r = pool.cli("up", "--issuer", f"{world.stranger.issuer},audience=x,roots={world.stranger.authority.pem}", check=False)
    assert r.returncode == 1 and "other issuers" in r.stderr
    for bad in ("http://a,audience=b,roots=c", "https://a,audience=b", f"https://a,audience=b,roots={tmp_path}/none",
                "https://a,audience=b,roots=c,x=d"):
        assert pool.cli("up", "--issuer", bad, check=False).returncode == 2
