"""Three partitions under load while processes die and stop, links are cut, disks fill, clocks jump and an old disk is put
back: 30 rounds of tests/chaos/rounds.py; `make chaos` has many more. KEYHOLD_SEED=N repeats a run's choices."""
import os
import random
import subprocess
import sys

import keyhold
import pytest
import verdicts


def test_thirty_rounds():
    verdicts.build_checker()
    seed = int(os.environ.get("KEYHOLD_SEED", random.SystemRandom().randrange(1 << 32)))
    r = subprocess.run([sys.executable, keyhold.ROOT / "tests/chaos/rounds.py", "--rounds", "30", "--longest", "3", "--seed", str(seed)],
                       capture_output=True, text=True, timeout=550, check=False)
    print(r.stdout, r.stderr)
    if r.returncode == 77:
        pytest.skip(r.stdout)
    assert r.returncode == 0, r.stdout + r.stderr
    assert "30 rounds" in r.stdout.splitlines()[-1]


# ---- the checker of revocations sees what it is there for

def row(op, start, end, out="ok", name="n1"):
    return {"object": "role/w", "op": op, "in": "" if op == "use" else name, "out": out, "start": start, "end": end}


GRANTED = [row("put", 1, 2), row("use", 3, 4), row("delete", 5, 6)]


def test_use_while_it_is_revoked_is_no_fault():
    assert verdicts.no_use_after_revocation([*GRANTED, row("use", 5, 7), row("use", 8, 9, "refused")]) == 1


def test_use_after_a_revocation_is_seen():
    with pytest.raises(AssertionError, match="used after it was revoked"):
        verdicts.no_use_after_revocation([*GRANTED, row("use", 7, 8)])


def test_nothing_is_said_of_a_right_that_is_given_again():
    again = [row("put", 7, 10, name="n2"), row("use", 8, 9), row("use", 11, 12)]
    assert verdicts.no_use_after_revocation(GRANTED + again) == 0
    assert verdicts.no_use_after_revocation([*GRANTED, row("use", 6.5, 6.8, "refused"), *again]) == 1


def test_an_assignment_without_answer_may_exist():
    lost = [row("put", 7, 8, "?", "n2"), row("delete", 9, 10, "absent", "n2"), row("use", 11, 12)]
    assert verdicts.no_use_after_revocation(GRANTED + lost) == 0
    found = [row("put", 7, 8, "?", "n2"), row("delete", 9, 10, "ok", "n2"), row("use", 11, 12)]
    with pytest.raises(AssertionError):
        verdicts.no_use_after_revocation(GRANTED + found)


def test_the_models_of_the_histories():
    """What the checker of linearizability accepts and refuses."""
    subprocess.run([verdicts.go(), "test", "-count=1", "./..."], cwd=verdicts.CHECKER_SOURCE, check=True, timeout=300)
