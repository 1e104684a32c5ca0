"""The keyhold command: every command, both output forms, exit statuses, what it says to do next, starts and stops."""
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import uuid

import pytest
from cryptography.hazmat.primitives import serialization

import keyhold
from conftest import vector

COMMANDS = ["up", "down", "status", "env", "activate", "security-domain download", "key create", "key show", "key list",
            "key list-versions", "key set-attributes", "key delete", "key list-deleted", "key show-deleted",
            "key recover", "key purge", "key encrypt", "key decrypt", "key wrap", "key unwrap", "key sign", "key verify",
            "role definition list", "role definition create", "role definition delete", "role assignment list",
            "role assignment create", "role assignment delete", "audit tail", "audit verify",
            "pool status", "pool roll", "partition list", "partition add", "partition remove", "partition transfer",
            "partition certificate", "plan", "bill", "subscription show", "subscription set-state"]
NEEDS = {"security-domain download": "--sd-wrapping-keys", "subscription set-state": "--state", "role definition create": "--role-definition",
         "role definition delete": "--name", "role assignment create": "--role", "role assignment delete": "--name",
         **{c: "--name" for c in COMMANDS if c.startswith("key ") and c not in ("key list", "key list-deleted")}}


@pytest.fixture
def home():
    """A short path, outside pytest's own: sockets live below it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="kh-cli-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def installation(home, **kw):
    p = keyhold.Pool(home=home, **kw)
    try:
        yield p
    finally:
        p.stop()


@pytest.fixture(scope="module")
def own():
    """Made and activated by the commands alone; the administrator may use keys."""
    p = keyhold.Pool(name="Cli-1")
    try:
        p.start()
        for role in ("Managed HSM Crypto User", "Managed HSM Crypto Officer"):
            p.cli("role", "assignment", "create", "--role", role, "--assignee", p.env["KEYHOLD_ADMIN_OID"])
        yield p
    finally:
        p.stop()


def run(p, *args, status=0, says=None, **kw):
    r = p.cli(*args, check=False, **kw)
    assert r.returncode == status, f"{args}: exit {r.returncode}, not {status}\n{r.stdout}{r.stderr}"
    if status != 0:
        assert r.stderr.startswith("keyhold: ") and r.stderr.endswith("\n") or "usage:" in r.stdout, r.stderr
    if says is not None:
        assert says in r.stderr if status else says in r.stdout, (says, r.stdout, r.stderr)
    return r


def js(p, *args, **kw):
    return json.loads(run(p, *args, "-o", "json", **kw).stdout)


# ---- grammar

def test_help(home):
    p = keyhold.Pool(home=home)
    text = run(p, "--help").stdout
    assert text == run(p, "help").stdout
    for c in COMMANDS:
        assert f"\n  {c} " in text, c
        one = run(p, *c.split(), "--help").stdout
        assert one.startswith(f"usage: keyhold {c}"), one
        assert run(p, *c.split(), "-h").stdout == one
    assert run(p, "--version").stdout.startswith("keyhold ")
    assert list(home.iterdir()) == [], "help makes nothing"


@pytest.mark.parametrize("args,says", [
    ([], None), (["fly"], "no such command: fly"), (["key"], "no such command: key"), (["key", "fly"], "no such command: key fly"),
    (["status", "-o", "xml"], "-o takes json or table, not 'xml'"), (["status", "-o"], "-o needs a value"),
    (["status", "--fast"], "unrecognized argument: --fast (see --help)"), (["status", "now"], "unrecognized argument: now"),
    (["up", "--port"], "--port needs a value"), (["up", "--foreground=1"], "--foreground takes no value"),
    (["key", "create", "--name", "x", "--enabled", "yes"], "--enabled takes true or false, not 'yes'"),
    (["--home", "/" + "x" * 5000, "status"], "--home: the path is too long"),
])
def test_wrong_usage(home, args, says):
    r = run(keyhold.Pool(home=home), *args, status=2)
    if says is not None:
        assert f"keyhold: {says}" in r.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", NEEDS)
def test_required_options(home, command):
    run(keyhold.Pool(home=home), *command.split(), status=2, says="is required (see --help)")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a?b", "../keys", "a%2Fb", "ä", "x" * 128])
def test_names_cannot_reach_another_path(own, name):
    for c in ("show", "delete", "purge", "recover", "list-versions", "set-attributes", "create"):
        run(own, "key", c, "--name", name, status=2, says="--name: 1 to 127 letters, digits and hyphens")
    run(own, "key", "show", "--name", "a", "--version", name, status=2, says="--version: 1 to 127")


# ---- start and stop

def test_without_an_installation(home):
    p = keyhold.Pool(home=home)
    for c in COMMANDS:
        if c in ("up", "down", "audit tail", "audit verify", "plan") or c in NEEDS:
            continue
        run(p, *c.split(), status=1, says=f"no installation in {home}; start one with `keyhold up`")
    run(p, "down", says="not running")
    run(p, "audit", "tail", status=1, says="is there a pool (`keyhold up`)?")
    run(p, "audit", "verify", status=1, says="cannot read")
    run(p, "key", "show", "--name", "x", status=1, says="no installation")


@pytest.mark.parametrize("args,says", [
    (["--port", "0"], "--port: 1 to 65535"), (["--port", "65536"], "--port: 1 to 65535"), (["--port", "x"], "--port: 1 to 65535"),
    (["--name", "a"], "--name: 3 to 24"), (["--name", "1abc"], "--name: 3 to 24"), (["--name", "a--b"], "--name: 3 to 24"),
    (["--name", "a" * 25], "--name: 3 to 24"), (["--name", "a_b"], "--name: 3 to 24"), (["--name", "abc-"], "--name: 3 to 24"),
])
def test_up_with_bad_settings(home, args, says):
    p = keyhold.Pool(home=home)
    run(p, "up", *args, status=2, says=says)
    assert p.pids() == {}


def test_life(home):
    """First start to last stop, as a person would do it."""
    with installation(home, name="life") as p:
        text = run(p, "up", "--port", p.port, "--name", "life").stdout
        for part in ("pool          life (NotActivated)", f"https://life.managedhsm.localhost:{p.port}", "next: `keyhold activate`",
                     "no FIPS certificate"):
            assert part in text, text
        pids = p.pids()
        assert set(pids) == {"supervisor", "pool", "door", "fabric", "boundary", "gateway", "boundary-1", "gateway-1", "boundary-2",
                             "gateway-2"}
        assert run(p, "up").stdout == run(p, "up", "--port", p.port, "--name", "life").stdout
        run(p, "up", "--port", keyhold.free_port(), status=1, says=f"pool life runs on port {p.port} already; `keyhold down` first")
        run(p, "up", "--name", "other", status=1, says="`keyhold down` first")
        assert p.pids() == pids, "up again starts nothing"
        run(p, "key", "list", status=1, says="(Forbidden) The HSM is not activated")
        for _ in range(2):
            out = run(p, "activate").stdout
            assert "pool life is active" in out and "any 2 of the 3 open it" in out
        assert "next: eval \"$(keyhold env)\"" in run(p, "status").stdout
        assert js(p, "status")["state"] == "Active"
        run(p, "role", "assignment", "create", "--role", "Managed HSM Crypto User", "--assignee", p.env["KEYHOLD_ADMIN_OID"])
        key = js(p, "key", "create", "--name", "k1", "--kty", "EC-HSM")
        assert run(p, "down").stdout == "stopped\n"
        assert p.pids() == {}
        assert run(p, "down").stdout == "not running\n"
        run(p, "status", status=3, says=f"the pool in {home} does not run; start it with `keyhold up`")
        run(p, "key", "list", status=1, says="is the pool running (`keyhold status`)?")
        run(p, "env")
        run(p, "up", "--name", "other", status=1, says="keeps its name")
        moved = keyhold.free_port()
        run(p, "up", "--port", moved)
        p.port, p._env, p._tokens = moved, None, {}
        assert f":{moved}" in p.env["KEYHOLD_POOL_URL"]
        again = js(p, "key", "show", "-n", "k1")
        assert again["key"]["x"] == key["key"]["x"] and f":{moved}/keys/k1/" in again["key"]["kid"]
        assert js(p, "key", "sign", "-n", "k1", "-a", "ES256", "--digest", "A" * 43 + "=")["alg"] == "ES256"


def test_files_are_private(own):
    assert stat.S_IMODE(own.home.stat().st_mode) & 0o077 == 0
    for path in own.home.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o022 == 0, path
        if path.suffix in (".key",) or path.parent.name == "custodians" and path.suffix == ".pem" or "seal" in path.name or \
                path.name in ("security-domain.json", "directory.json", "config.json"):
            assert mode & 0o077 == 0, (path, oct(mode))


def test_the_home_comes_from_the_environment(own):
    exe = str(own.bindir / "keyhold")
    env = {k: v for k, v in os.environ.items() if not k.startswith("KEYHOLD_")}
    expect = own.cli("env").stdout
    for how in ({"KEYHOLD_HOME": str(own.home)}, {"KEYHOLD_HOME": own.home.name, "cwd": str(own.home.parent)}):
        cwd = how.pop("cwd", "/")
        assert subprocess.run([exe, "env"], env={**env, **how}, cwd=cwd, capture_output=True, text=True).stdout == expect
    r = subprocess.run([exe, "--home", own.home.name, "env"], env=env, cwd=own.home.parent, capture_output=True, text=True)
    assert r.stdout == expect
    r = subprocess.run([exe, "status"], env={**env, "XDG_STATE_HOME": "/nonexistent", "HOME": "/x"}, capture_output=True, text=True)
    assert "no installation in /nonexistent/keyhold;" in r.stderr
    r = subprocess.run([exe, "status"], env={"HOME": "/nonexistent"}, capture_output=True, text=True)
    assert "no installation in /nonexistent/.local/state/keyhold;" in r.stderr


def test_home_path_too_long(home):
    p = keyhold.Pool(home=home / ("d" * 90))
    run(p, "up", "--port", p.port, status=1, says="choose a shorter --home")
    assert list(home.iterdir()) == [] and p.pids() == {}


def test_home_cannot_be_made(home):
    (home / "file").write_text("")
    p = keyhold.Pool(home=home / "file")
    run(p, "up", "--port", p.port, status=1, says=f"cannot create {home}/file")


def test_port_in_use(home):
    with socket.socket() as s, installation(home, name="busy") as p:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = run(p, "up", "--port", port, "--name", "busy", status=1)
        assert f"port {port} on 127.0.0.1 cannot be used (Address already in use)" in r.stderr
        assert "choose another one with `keyhold up --port N`" in r.stderr
        assert p.pids() == {}
        run(p, "status", status=3)
        run(p, "up", "--port", p.port)
        assert f":{p.port}" in run(p, "status").stdout


def test_a_damaged_configuration_is_named(home):
    with installation(home, name="dam") as p:
        run(p, "up", "--port", p.port, "--name", "dam")
        run(p, "down")
        config = home / "config.json"
        good = config.read_text()
        config.write_text(good[:-5])
        for c in (["up"], ["status"], ["env"], ["key", "list"]):
            run(p, *c, status=1, says=f"{config} is not a valid configuration")
        config.write_text(good)
        run(p, "up")


def test_after_kill_of_the_supervisor(home):
    with installation(home, name="killed") as p:
        p.start()
        p.cli("role", "assignment", "create", "--role", "Managed HSM Crypto User", "--assignee", p.env["KEYHOLD_ADMIN_OID"])
        js(p, "key", "create", "--name", "kept", "--kty", "oct-HSM")
        for _ in range(3):
            before = p.pids()
            os.kill(before["supervisor"], signal.SIGKILL)
            run(p, "up", timeout=60)
            after = p.pids()
            assert set(after) == set(before) and not set(after.values()) & set(before.values())
            assert js(p, "key", "show", "--name", "kept")["attributes"]["enabled"] is True
        assert [k["kid"].rsplit("/", 1)[1] for k in js(p, "key", "list")] == ["kept"]
        run(p, "audit", "verify")


def test_two_ups_at_once(home):
    with installation(home, name="twice") as p:
        args = [str(p.bindir / "keyhold"), "--home", str(home), "up", "--port", str(p.port), "--name", "twice"]
        both = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        results = [(*b.communicate(timeout=60), b.returncode) for b in both]
        assert [r[2] for r in results] == [0, 0] and results[0][0] == results[1][0], results
        assert len(p.pids()) == 10
        run(p, "up")
        run(p, "activate")


# ---- env

def test_env_can_be_evaluated(home):
    """Whatever is in the path of the home directory."""
    odd = home / "it's $(a) \"home\" `x` \\ ;"
    with installation(odd, name="odd") as p:
        run(p, "up", "--port", p.port, "--name", "odd")
        script = f'eval "$({shlex.quote(str(p.bindir / "keyhold"))} --home "$1" env)" && env -0'
        env = {"PATH": os.environ["PATH"], "AZURE_CLIENT_ID": "old"}
        for shell in ("bash", "sh"):
            r = subprocess.run([shell, "-c", script, shell, str(odd)], env=env, capture_output=True, text=True, check=True)
            got = dict(item.split("=", 1) for item in r.stdout.split("\0") if item)
            assert got["KEYHOLD_HOME"] == str(odd)
            assert got["KEYHOLD_POOL_URL"] == f"https://odd.managedhsm.localhost:{p.port}"
            assert got["AZURE_AUTHORITY_HOST"] == got["KEYHOLD_ORIGIN"] == f"https://localhost:{p.port}"
            assert got["AZURE_CLIENT_ID"] == got["KEYHOLD_CLIENT_ID"] != "old"
            assert got["HTTPS_PROXY"] == f"http://localhost:{p.port}"
            for ca in ("KEYHOLD_CA", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"):
                assert pathlib.Path(got[ca]).read_text().startswith("-----BEGIN CERTIFICATE-----")
            for name in ("TENANT", "SUBSCRIPTION", "CLIENT_ID", "ADMIN_OID", "USER_OID", "GUEST_CLIENT_ID", "GUEST_OID", "MANAGED_OID"):
                assert uuid.UUID(got["KEYHOLD_" + name]), name
            assert got["ARM_CLOUD_METADATA_URL"].startswith(got["KEYHOLD_ORIGIN"] + "/metadata/endpoints")


def test_env_with_the_public_names(own):
    text = run(own, "env", "--azure-names").stdout
    got = dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines() if line.startswith("export "))
    assert shlex.split(got["KEYHOLD_POOL_URL"]) == ["https://Cli-1.managedhsm.azure.net"]
    assert shlex.split(got["AZURE_AUTHORITY_HOST"]) == ["https://login.microsoftonline.com"]
    assert "unset ARM_CLOUD_METADATA_URL" in text.splitlines() and "ARM_CLOUD_METADATA_URL" not in got
    assert {k: v for k, v in got.items() if "URL" not in k and k != "AZURE_AUTHORITY_HOST"} == {
        k: "'" + v + "'" for k, v in own.env.items() if "URL" not in k and k != "AZURE_AUTHORITY_HOST"}


# ---- activation

def test_activation_files(own, oracle):
    custodians = own.home / "custodians"
    assert sorted(f.name for f in custodians.iterdir()) == [f"custodian-{i}.{e}" for i in (1, 2, 3) for e in ("cer", "pem")]
    before = {f.name: f.read_bytes() for f in custodians.iterdir()}
    first = json.loads((own.home / "security-domain.json").read_text())
    run(own, "activate")
    assert {f.name: f.read_bytes() for f in custodians.iterdir()} == before, "custodian keys are kept"
    second = (own.home / "security-domain.json").read_text()
    assert json.loads(second)["SharedKeys"]["required"] == 2 and json.loads(second) != first
    keys = {oracle.thumb((custodians / f"custodian-{i}.cer").read_text()): oracle.key((custodians / f"custodian-{i}.pem").read_text())
            for i in (1, 2)}
    assert oracle.open_domain(second, keys), "two custodians open it"


def test_download_with_certificates_of_ones_own(own, custodians, tmp_path, oracle):
    out = tmp_path / "sd.json"
    der = tmp_path / "1.der"
    der.write_bytes(oracle.x509.load_pem_x509_certificate(pathlib.Path(custodians.certificates[0]).read_bytes()).public_bytes(
        serialization.Encoding.DER) if hasattr(oracle, "x509") else der_of(custodians.certificates[0]))
    certificates = [str(der), *custodians.certificates[1:]]
    text = run(own, "security-domain", "download", "--sd-wrapping-keys", *certificates, "--sd-quorum", 3,
               "--security-domain-file", out).stdout
    assert f"pool Cli-1 is active; the security domain is in {out}" in text and "without a quorum" in text
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert oracle.open_domain(out.read_text(), custodians.keys)
    with pytest.raises(oracle.Bad):
        oracle.open_domain(out.read_text(), dict(list(custodians.keys.items())[:2]))
    assert custodians.vector == vector("sd-2of3.json")


def der_of(path):
    from cryptography import x509
    return x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes()).public_bytes(serialization.Encoding.DER)


def test_downloads_that_fail(own, custodians, tmp_path):
    out = tmp_path / "sd.json"
    good = custodians.certificates

    def fail(certs, quorum, says, file=out):
        run(own, "security-domain", "download", "--sd-wrapping-keys", *certs, "--sd-quorum", quorum, "--security-domain-file",
            file, status=1, says=says)
    fail([tmp_path / "none.cer", *good[1:]], 2, f"cannot read {tmp_path}/none.cer: No such file or directory")
    (tmp_path / "junk.cer").write_text("junk")
    fail([tmp_path / "junk.cer", *good[1:]], 2, "junk.cer is not an X.509 certificate (PEM or DER)")
    fail([good[0], good[1], custodians.private[2]], 2, "is not an X.509 certificate")
    fail(good[:2], 2, "(BadParameter)")
    fail(good, 4, "(BadParameter)")
    fail(good, 1, "(BadParameter)")
    fail([good[0], good[0], good[1]], 2, "(BadParameter)")
    assert not out.exists()
    fail(good, 2, "download again to another place", tmp_path / "no/such/dir/sd.json")
    assert js(own, "status")["state"] == "Active"


# ---- keys

def test_keys_from_birth_to_purge(own):
    made = js(own, "key", "create", "-n", "Life", "--kty", "RSA-HSM", "--size", 3072, "--ops", "sign", "verify", "--tags", "a=1",
              "b=x=y", "--expires", "2039-01-31T12:00:00Z", "--not-before", "2020-02-29", "--protection", "hsm")
    assert made == own.ok("GET", "/keys/life"), "-o json is the service's answer"
    assert made["attributes"]["exp"] == 2179915200 + 0 or made["attributes"]["exp"] == int(
        time.mktime((2039, 1, 31, 12, 0, 0, 0, 0, 0)) - time.timezone)
    assert made["attributes"]["nbf"] == 1582934400
    assert made["tags"] == {"a": "1", "b": "x=y"} and set(made["key"]["key_ops"]) == {"sign", "verify"}
    assert len(base64.urlsafe_b64decode(made["key"]["n"] + "==")) == 384
    v1 = made["key"]["kid"].rsplit("/", 1)[1]
    for args, expect in ((["--kty", "EC-HSM", "--curve", "P-521"], "EC-HSM P-521"), (["--kty", "oct-HSM", "--size", 192], "oct-HSM"),
                         ([], "RSA-HSM")):
        line = run(own, "key", "create", "--hsm-name", "Cli-1", "--name", "life", *args).stdout
        assert line.startswith(f"{own.pool_url}/keys/Life/") or "/keys/Life/" in line
        assert expect in line and "enabled=true" in line and line.count("\n") == 1
    assert js(own, "key", "show", "-n", "life", "-v", v1) == made
    assert run(own, "key", "show", "-n", "life").stdout.split()[0] == own.ok("GET", "/keys/life")["key"]["kid"]
    versions = js(own, "key", "list-versions", "-n", "life")
    assert versions == own.ok("GET", "/keys/life/versions")["value"] and len(versions) == 4
    assert run(own, "key", "list-versions", "-n", "life").stdout.count("\n") == 4
    changed = js(own, "key", "set-attributes", "-n", "life", "-v", v1, "--enabled", "false", "--tags", "c=d", "--ops", "sign")
    assert changed["attributes"]["enabled"] is False and changed["tags"] == {"c": "d"} and changed["key"]["key_ops"] == ["sign"]
    assert "tags" not in js(own, "key", "set-attributes", "-n", "life", "-v", v1, "--tags", "")
    assert js(own, "key", "set-attributes", "-n", "life", "--disabled")["attributes"]["enabled"] is False
    assert js(own, "key", "create", "-n", "born-off", "--kty", "EC", "--disabled", "true")["attributes"]["enabled"] is False
    assert [k["kid"].rsplit("/", 1)[1] for k in js(own, "key", "list") if "life" in k["kid"].lower()] == ["Life"]
    assert f"{own.pool_url.lower()}/keys/Life  " in run(own, "key", "list").stdout
    gone = js(own, "key", "delete", "-n", "life")
    assert gone == js(own, "key", "show-deleted", "-n", "life")
    assert "  deleted=" in run(own, "key", "show-deleted", "-n", "life").stdout
    assert [k["recoveryId"] for k in js(own, "key", "list-deleted")] == [gone["recoveryId"]]
    assert run(own, "key", "list-deleted").stdout.startswith(gone["recoveryId"])
    assert len(js(own, "key", "list-versions", "-n", "life")) == 0
    assert js(own, "key", "recover", "-n", "life")["key"]["kid"] == gone["key"]["kid"]
    assert run(own, "key", "delete", "-n", "life").stdout.startswith(gone["recoveryId"])
    assert run(own, "key", "purge", "-n", "life").stdout == ""
    assert js(own, "key", "list-deleted") == []


@pytest.mark.parametrize("args,status,says", [
    (["key", "show", "-n", "none"], 3, "(KeyNotFound) Key not found: "),
    (["key", "show-deleted", "-n", "none"], 3, "/deletedkeys/none (Activity ID: "),
    (["key", "purge", "-n", "none"], 3, "(KeyNotFound)"), (["key", "recover", "-n", "none"], 3, "(KeyNotFound)"),
    (["key", "show", "-n", "none", "-v", "1"], 1, "(Invalidkeyidentifier) Invalid key identifier"),
    (["key", "create", "-n", "x", "--kty", "DSA"], 1, "(BadParameter) Property 'kty' has an unknown value."),
    (["key", "create", "-n", "x", "--size", "many"], 1, "(BadParameter)"),
    (["key", "create", "-n", "x", "--ops", "fly"], 1, "(BadParameter)"),
    (["key", "create", "-n", "x", "--expires", "soon"], 2, "--expires: a UTC time such as 2027-01-31T12:00:00Z, or Unix seconds"),
    (["key", "list", "--hsm-name", "other"], 1, "is Cli-1, not other; name its home with --home"),
    (["role", "assignment", "create", "--role", "No Role", "--assignee", "x"], 1, "no role is named 'No Role'; `keyhold role definition list`"),
    (["role", "assignment", "create", "--role", "Managed HSM Backup User", "--assignee", "x"], 1, "(BadParameter) principalId must be a GUID"),
    (["role", "assignment", "delete", "--name", "0" * 8 + "-0000-0000-0000-" + "0" * 12], 3, "(RoleAssignmentNotFound)"),
    (["role", "definition", "delete", "--name", keyhold.CRYPTO_USER], 1, "(BadParameter) Cannot re-use"),
    (["role", "definition", "create", "--role-definition", "{"], 2, "--role-definition: JSON text or @FILE"),
    (["role", "definition", "create", "--role-definition", "@/nonexistent"], 2, "cannot read /nonexistent"),
])
def test_errors(own, args, status, says):
    for form in ([], ["-o", "json"]):
        r = run(own, *args, *form, status=status, says=says)
        assert r.stdout == ""


def b64(b):
    return base64.b64encode(b).decode()


def test_cryptography(own):
    js(own, "key", "create", "-n", "c-rsa")
    js(own, "key", "create", "-n", "c-oct", "--kty", "oct-HSM")
    js(own, "key", "create", "-n", "c-ec", "--kty", "EC-HSM")
    secret = b"\xfb\xff\xfe some bytes \x00"
    for alg in ("RSA-OAEP-256", "RSA1_5"):
        ct = run(own, "key", "encrypt", "-n", "c-rsa", "-a", alg, "--value", b64(secret)).stdout.strip()
        assert run(own, "key", "decrypt", "-n", "c-rsa", "-a", alg, "--value", ct).stdout.strip() == b64(secret)
    out = run(own, "key", "encrypt", "-n", "c-oct", "-a", "A256GCM", "--value", "héllo", "--data-type", "plaintext", "--aad", b64(b"a"))
    ct, iv, tag = (line.split(": ")[-1] for line in out.stdout.splitlines())
    args = ["key", "decrypt", "-n", "c-oct", "-a", "A256GCM", "--value", ct, "--iv", iv, "--aad", b64(b"a")]
    assert base64.b64decode(run(own, *args, "--tag", tag).stdout) == "héllo".encode()
    run(own, *args, "--tag", b64(bytes(16)), status=1, says="(BadParameter)")
    wrapped = run(own, "key", "wrap", "-n", "c-oct", "-a", "A256KW", "--value", b64(bytes(range(32)))).stdout.strip()
    for spelled in (wrapped, wrapped.replace("+", "-").replace("/", "_").rstrip("=")):
        assert run(own, "key", "unwrap", "-n", "c-oct", "-a", "A256KW", "--value", spelled).stdout.strip() == b64(bytes(range(32)))
    digest = b64(hashlib.sha256(b"x").digest())
    answer = js(own, "key", "sign", "-n", "c-ec", "-a", "ES256", "--digest", digest)
    sig = answer["value"]
    version = answer["kid"].rsplit("/", 1)[1]
    check = ["key", "verify", "-n", "c-ec", "-v", version, "-a", "ES256", "--digest"]
    assert run(own, *check, digest, "--signature", sig).stdout == "true\n"
    assert run(own, *check, b64(bytes(32)), "--signature", sig).stdout == "false\n"
    assert js(own, *check, digest, "--signature", sig)["value"] is True
    run(own, *check, "***", "--signature", sig, status=2, says="--digest is not base64")
    run(own, *check, digest, "--signature", "A", status=2, says="--signature is not base64")
    run(own, "key", "encrypt", "-n", "c-oct", "-a", "A256GCM", "--value", "AA==", "--data-type", "hex", status=2,
        says="--data-type is base64 or plaintext")
    run(own, "key", "sign", "-n", "c-ec", "-a", "RS256", "--digest", digest, status=1,
        says="(BadParameter) The algorithm does not fit the type of the key.")


def test_long_lists_come_whole(own):
    for i in range(30):
        own.ok("POST", f"/keys/long-{i}/create", {"kty": "EC"})
    listed = js(own, "key", "list")
    assert len([k for k in listed if "/long-" in k["kid"]]) == 30
    assert run(own, "key", "list").stdout.count("/long-") == 30


def test_roles(own, tmp_path):
    assert len(js(own, "role", "definition", "list")) == 9
    assert "AKVBuiltInRole Managed HSM Administrator" in run(own, "role", "definition", "list").stdout
    action = "Microsoft.KeyVault/managedHsm/keys/read/action"
    definition = json.dumps({"roleName": "My \"role\"", "description": "d", "dataActions": [action], "notDataActions": []})
    made = js(own, "role", "definition", "create", "--role-definition", definition)
    assert made["properties"]["roleName"] == "My \"role\"" and made["properties"]["permissions"][0]["dataActions"] == [action]
    file, guid = tmp_path / "role.json", str(uuid.uuid4())
    file.write_text(json.dumps({"properties": {"roleName": "Whole", "permissions": [{"dataActions": [action]}]}}))
    line = run(own, "role", "definition", "create", "--role-definition", f"@{file}", "--name", guid).stdout
    assert line.startswith(guid) and "CustomRole" in line and "Whole" in line
    who = str(uuid.uuid4())
    a = js(own, "role", "assignment", "create", "--role", "Whole", "--assignee-object-id", who, "--scope", "/keys/none")
    assert a["properties"] == {"principalId": who, "scope": "/keys/none",
                               "roleDefinitionId": f"Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/{guid}"}
    assert js(own, "role", "assignment", "list", "--scope", "/keys/none") == [a]
    line = run(own, "role", "assignment", "list", "--scope", "/keys/none").stdout
    assert line == f"{a['name']}  principal={who}  role={guid}  scope=/keys/none\n"
    run(own, "role", "assignment", "create", "--role", guid, "--assignee", who, "--scope", "/keys/none", status=1,
        says="(MatchingRoleAssignmentExists)")
    assert js(own, "role", "assignment", "delete", "--ids", a["id"], "--scope", "/keys/none") == a
    for n in (guid, made["name"]):
        run(own, "role", "definition", "delete", "--name", n)
    assert len(js(own, "role", "definition", "list")) == 9


def test_another_principal(own):
    guest = {"KEYHOLD_CLIENT_ID": own.env["KEYHOLD_GUEST_CLIENT_ID"], "KEYHOLD_CLIENT_SECRET": own.env["KEYHOLD_GUEST_CLIENT_SECRET"]}
    run(own, "key", "list", env=guest, status=1, says="(AccessDenied) Not authorized to access Microsoft.KeyVault/managedHsm/")
    run(own, "key", "list", env={**guest, "KEYHOLD_CLIENT_SECRET": "wrong"}, status=1,
        says="check the client id and secret of `keyhold env`")


# ---- audit

def test_audit(own, tmp_path):
    js(own, "key", "create", "-n", "audited", "--kty", "EC")
    r = own.call("GET", "/keys/audited")
    line = run(own, "audit", "tail", "-n", 1).stdout
    assert "KeyGet" in line and " 200 " in line and "/keys/audited" in line and line.count("\n") == 1
    assert js(own, "audit", "tail", "--lines", 1)["correlationId"] == r.headers["x-ms-request-id"]
    assert run(own, "audit", "tail").stdout.count("\n") == 10
    everything = run(own, "audit", "tail", "-n", 1000000, "-o", "json").stdout
    assert everything == (own.home / "partition-0/audit/audit.jsonl").read_text()
    assert "signed checkpoints" in run(own, "audit", "verify").stdout
    got = js(own, "audit", "verify")
    assert got["ok"] is True and got["gaps"] == 0 and got["entries"] >= len(everything.splitlines())
    lines = everything.splitlines(keepends=True)
    for what, text in {"edited": everything.replace("KeyGet", "KeyPut", 1), "removed": "".join(lines[:5] + lines[6:]),
                       "moved": "".join([lines[1], lines[0], *lines[2:]])}.items():
        file = tmp_path / what
        file.write_text(text)
        run(own, "audit", "verify", "--file", file, "--key", own.home / "audit-key.pem", status=1, says=f"{file}: ")
    run(own, "audit", "verify", "--file", tmp_path / "none", status=1, says="cannot read")
    run(own, "audit", "verify", "--key", tmp_path / "none", status=1, says="holds no public key in PEM form")


def test_audit_follows(own):
    p = subprocess.Popen([str(own.bindir / "keyhold"), "--home", str(own.home), "audit", "tail", "-n", "0", "-f"],
                         stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        for i in range(3):
            own.call("GET", f"/keys/followed-{i}")
            while f"/keys/followed-{i}" not in p.stdout.readline():
                assert p.poll() is None
    finally:
        p.terminate()
        p.wait(timeout=10)
