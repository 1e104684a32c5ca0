"""The question whether the state changed is answered rightly: otherwise the fuzz tests could not fail."""
import pytest

import keyhold
from furniture import Furniture
from rig import Rig, Watch


@pytest.fixture(scope="module")
def rig():
    with Rig("watch") as r:
        yield r


def test_a_change_is_noticed(rig):
    def change():
        rig.ok("POST", "/keys/new/create", {"kty": "EC"})
    watch = Watch(rig)
    change()
    with pytest.raises(AssertionError, match="changed the state"):
        watch.look(False, change)
    with pytest.raises(AssertionError, match="changed .*/keys"):
        watch.settle()


def test_one_line_of_the_audit_log_is_no_change(rig):
    watch = Watch(rig)
    watch.log -= 1  # as if the log had grown
    watch.look(False, lambda: rig.call("GET", "/keys"))
    watch.settle()


def test_what_may_change_may_change(rig):
    watch = Watch(rig)
    rig.ok("POST", "/keys/other/create", {"kty": "EC"})
    watch.look(True, None)
    watch.settle()
    watch.look(False, None)
    watch.settle()


def test_restart_of_a_process_is_noticed(rig):
    watch = Watch(rig)
    watch.pids = {**watch.pids, "boundary": 1}
    with pytest.raises(AssertionError, match="a process was restarted"):
        watch.settle()


def test_furniture_is_put_back(rig):
    furniture = Furniture(rig)
    before = rig.snapshot()
    for path in ("/keys/ec", "/deletedkeys/ec", "/deletedkeys/gone"):
        rig.ok("DELETE", path)
    rig.ok("POST", "/keys/rsa/create", {"kty": "oct"})
    rig.ok("PATCH", "/keys/oct", {"attributes": {"enabled": False}})
    furniture.restore()
    after = rig.snapshot()
    assert after.keys() == before.keys()
    assert all(rig.ok("GET", f"/keys/{k}")["attributes"]["enabled"] for k in ("rsa", "ec", "oct"))
    assert rig.ok("GET", "/keys/rsa")["key"]["kty"] == "RSA-HSM" and keyhold.API == "7.6"
