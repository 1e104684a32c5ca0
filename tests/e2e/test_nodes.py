"""A host that runs partitions for the fabric of another one: token, joining, connection, removal."""
import contextlib
import json
import subprocess
import time

import keyhold


@contextlib.contextmanager
def link_of(pool):
    p = subprocess.Popen([keyhold.BIN / "keyhold-node-link", "--home", pool.home], stderr=subprocess.DEVNULL)
    try:
        yield p
    finally:
        p.terminate()
        assert p.wait(10) == 0


def nodes(pool):
    return {n["name"]: n for n in json.loads(pool.cli("node", "list", "-o", "json").stdout)["nodes"]}


def wait_for(pool, name, up):
    end = time.monotonic() + 20
    while nodes(pool).get(name, {}).get("up") is not up:
        assert time.monotonic() < end, nodes(pool)
        time.sleep(0.05)


def join(far, near, token, name="far", **labels):
    labels = {"region": "local", "zone": "2", "rack": "b", **labels}
    words = [w for k, v in labels.items() for w in (f"--{k}", v)]
    return subprocess.run([keyhold.BIN / "keyhold", "--home", far.home, "node", "join", "--fabric", f"https://localhost:{near.port}",
                           "--token", token, "--name", name, *words], capture_output=True, text=True, timeout=60)


def test_a_node_of_another_host():
    with contextlib.ExitStack() as stack:
        near, far = keyhold.Pool(name="near"), keyhold.Pool(name="far")
        for pool in (near, far):
            stack.callback(pool.stop)
            pool.start(activate=False)
        refused = subprocess.run([keyhold.BIN / "keyhold", "--home", near.home, "node", "token"], capture_output=True, text=True)
        assert refused.returncode == 1 and "address for nodes" in refused.stderr
        near.down()
        config = near.home / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "nodes": f"127.0.0.1:{keyhold.free_port()}"}))
        near.up()
        wait_for(near, "local", True)
        token = near.cli("node", "token").stdout.strip()
        strange = join(far, near, token[:-4] + "0000")
        assert strange.returncode == 1 and "not of the installation" in strange.stderr
        wrong = join(far, near, token, name="Not A Name")
        assert wrong.returncode == 1 and "lower-case" in wrong.stderr
        assert join(far, near, token).returncode == 0
        used = join(far, near, token, name="other")
        assert used.returncode == 1 and "used" in used.stderr
        assert nodes(near)["far"] == {"name": "far", "region": "local", "zone": "2", "rack": "b", "up": False, "partitions": 0}
        assert (far.home / "link/peer.key").stat().st_mode & 0o777 == 0o600
        with link_of(far):
            wait_for(near, "far", True)
            assert nodes(near)["far"]["partitions"] == 1  # the far node answered itself
            near.down()
            near.up()
            wait_for(near, "far", True)  # the registration outlives a restart, the link comes back
        wait_for(near, "far", False)
        with link_of(far):
            wait_for(near, "far", True)
            near.cli("node", "remove", "--name", "far")
            assert "far" not in nodes(near)
            time.sleep(1)
            assert "far" not in nodes(near)
