"""The client programs: how each is made ready with the toolchain that is here, run against a pool, and judged."""
import dataclasses
import glob
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import scenario

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "build/conformance"


class NotRun(Exception):
    """The toolchain that is here cannot build this client; not a failure of the server."""


@dataclasses.dataclass
class Program:
    argv: list
    versions: dict  # of the client's packages
    toolchain: str
    trust_store: bool = False  # needs the pool's CA in a store of Java


def output(*argv, **kw):
    return subprocess.run(argv, capture_output=True, text=True, check=True, **kw).stdout.strip()


def build(*argv, **kw):
    """A step of making a program ready; its output is shown only when it fails."""
    r = subprocess.run(list(map(str, argv)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if r.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, argv))}: exit {r.returncode}\n{r.stdout}")


def numbers(text):
    return tuple(int(n) for n in re.search(r"\d+(\.\d+)*", text)[0].split("."))


def once(folder, mark, make):
    """Calls make() unless the folder was made for the same mark before."""
    done = folder / ".complete"
    if done.exists() and done.read_text() == mark:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make()
    done.write_text(mark)


def digest_of(*files):
    h = hashlib.sha256()
    for f in files:
        h.update(f.read_bytes())
    return h.hexdigest()


# ---- one function for each client

def python():
    packages = ("azure-keyvault-keys", "azure-keyvault-administration", "azure-identity")
    return Program([sys.executable, HERE / "python/conformance.py"],
                   {p: importlib.metadata.version(p) for p in packages}, "Python " + sys.version.split()[0])


def javascript():
    node = output("node", "--version").lstrip("v")
    # The newest packages that this Node.js runs; the lock files name the rest of them.
    chosen = HERE / "javascript" / ("node20" if numbers(node) >= (20,) else "node18")
    files = [chosen / "package.json", chosen / "package-lock.json"]
    folder = OUT / "javascript"

    def make():
        for f in files:
            shutil.copy(f, folder)
        build("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    once(folder, f"{node} {digest_of(*files)}", make)
    for f in (HERE / "javascript").glob("*.mjs"):
        shutil.copy(f, folder)
    packages = json.loads(files[0].read_text())["dependencies"]
    return Program(["node", folder / "conformance.mjs"], packages, f"Node.js {node}")


def go():
    found = [shutil.which("go"), *glob.glob("/usr/lib/go-*/bin/go")]
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    versions = {g: output(g, "env", "GOVERSION", env=env) for g in found if g}
    if not versions:
        raise SystemExit("no Go is here: make packages-conformance")
    best = max(versions, key=lambda g: numbers(versions[g]))
    # Of each pair of module files the newest that this Go understands.
    wanted = {m: numbers(re.search(r"^go (\S+)", m.read_text(), re.M)[1]) for m in (HERE / "go").glob("*.mod")}
    usable = [m for m in wanted if wanted[m] <= numbers(versions[best])]
    if not usable:
        raise NotRun(f"needs Go {'.'.join(map(str, min(wanted.values())))}, this is {versions[best]}")
    module = max(usable, key=wanted.get)
    (OUT / "go").mkdir(parents=True, exist_ok=True)
    build(best, "build", f"-modfile={module}", "-o", OUT / "go/conformance", ".", cwd=HERE / "go", env=env)
    packages = dict(re.findall(r"^\t\S*/(azkeys|azidentity|azcore) v(\S+)$", module.read_text(), re.M))
    return Program([OUT / "go/conformance"], packages, versions[best])


def java():
    version = re.search(r"\d\S*", output("javac", "-version"))[0]
    pom, folder = HERE / "java/pom.xml", OUT / "java"
    env = dict(os.environ)
    bundle = env.get("SSL_CERT_FILE")
    (OUT / "java-trust").mkdir(parents=True, exist_ok=True)
    if bundle and os.path.exists(bundle):  # Java alone does not look there
        store = OUT / "java-trust/system.p12"
        build("java", HERE / "java/TrustStore.java", bundle, store)
        env["MAVEN_OPTS"] = f"{env.get('MAVEN_OPTS', '')} {' '.join(trust_options(store))}"

    def make():
        build("mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={folder}/lib", env=env)
    once(folder, digest_of(pom), make)
    build("javac", "-proc:none", "-cp", f"{folder}/lib/*", "-d", folder / "classes", *(HERE / "java").glob("*.java"))
    packages = dict(re.findall(r"<artifactId>(azure-(?:security-keyvault-\w+|identity))</artifactId>\s*"
                               r"<version>([^<]+)</version>", pom.read_text()))
    argv = ["java", "-Djava.net.useSystemProxies=true", "-cp", f"{folder}/classes:{folder}/lib/*", "Conformance"]
    return Program(argv, packages, f"OpenJDK {version}", trust_store=True)


def trust_options(store):
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]


def rust():
    manifest = (HERE / "rust/Cargo.toml").read_text()
    needed = re.search(r'^rust-version = "(.*)"', manifest, re.M)[1]
    try:
        version = output("rustc", "--version").split()[1]
    except FileNotFoundError:
        raise NotRun(f"needs rustc {needed}, there is none") from None
    if numbers(version) < numbers(needed):
        raise NotRun(f"needs rustc {needed}, this is {version}")
    # A copy, so that the lock file that cargo writes stays out of the source tree.
    source = OUT / "rust"
    shutil.rmtree(source / "src", ignore_errors=True)
    shutil.copytree(HERE / "rust", source, dirs_exist_ok=True)
    env = dict(os.environ)
    if "SSL_CERT_FILE" in env:  # Debian's cargo does not look there
        env.setdefault("CARGO_HTTP_CAINFO", env["SSL_CERT_FILE"])
    build("cargo", "build", "--quiet", cwd=source, env=env)
    packages = dict(re.findall(r'^(azure_\w+) = "=(.*)"', manifest, re.M))
    return Program([source / "target/debug/conformance"], packages, f"rustc {version}")


CLIENTS = {"python": python, "javascript": javascript, "go": go, "java": java, "rust": rust}


# ---- running and judging

def drive(program, pool, material):
    """Runs a program against a pool as the cloud's names show it; the lines that it reports."""
    env = pool.client_env(azure_names=True, KEYHOLD_MATERIAL=str(material), KEYHOLD_OWN_URL=pool.pool_url)
    argv = list(map(str, program.argv))
    if program.trust_store:
        store = material.with_suffix(".p12")
        build("java", HERE / "java/TrustStore.java", pool.ca, store)
        argv[1:1] = trust_options(store)
    r = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
    if r.returncode != 0:
        lines.append({"step": "(the program itself)", "ok": False, "detail": f"exit {r.returncode}: {r.stderr[-2000:]}"})
    return lines


def judge(lines):
    """{step: its line}, with ok false and a detail for what is wrong: a step that was not reported, one that nobody
    knows, a signature that does not hold."""
    known = [name for name, _ in scenario.STEPS]
    results = {}
    for line in lines:
        step = line["step"]
        wrong = None
        if step in results:
            wrong = "reported twice"
        elif step not in known and line["ok"]:
            wrong = "not a step of the scenario"
        elif line["ok"] and step.startswith("sign-") and "proof" not in line:
            wrong = "no signature was handed over"
        elif "proof" in line and not scenario.holds(line["proof"]):
            wrong = "the signature does not hold outside"
        results[step] = {**line, "ok": False, "detail": wrong} if wrong else line
    for step in known:
        if step not in results:
            results[step] = {"step": step, "ok": False, "detail": "not reported"}
    return results
