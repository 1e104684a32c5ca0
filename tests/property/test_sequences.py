"""Random sequences of key and role operations by several callers: a pool answers as the model does, and is in the end as the model
says. KEYHOLD_EXAMPLES: how many sequences; KEYHOLD_STEPS: how long; KEYHOLD_SEED."""
import os

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from machine import Machine
from rig import Rig
from server import Fake, Pool
from shortest import replay, shorten

EXAMPLES = int(os.environ.get("KEYHOLD_EXAMPLES", "150"))
STEPS = int(os.environ.get("KEYHOLD_STEPS", "50"))
SEED = int(os.environ.get("KEYHOLD_SEED", "1"))


class Difference(AssertionError):
    """steps: the shortest sequence that ends in it."""

    def __init__(self, text, steps):
        super().__init__(text)
        self.steps = steps


def report(machine, cause, seed):
    trace = shorten(machine, machine.last.trace)
    m, error = replay(machine, trace)
    if error is None:  # not the same twice in a row: show what there was
        return Difference(f"{cause!r}, which did not come again; seed {seed}, the steps were:\n" + "\n".join(machine.last.log), trace)
    return Difference(f"{error}\nafter (seed {seed}):\n" + "\n".join(m.log), trace)


def run(server, examples, steps=STEPS, seed=SEED):
    """Raises Difference when a sequence ends in one."""
    @hypothesis.seed(seed)
    class Run(Machine):
        pass
    Run.server = server
    try:
        run_state_machine_as_test(Run, settings=hypothesis.settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None, print_blob=False,
            report_multiple_bugs=False, phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck)))
    except Exception as e:
        raise report(Run, e, seed) from None


@pytest.fixture(scope="module")
def rig():
    with Rig("sequences") as r:
        yield r


def test_a_pool_does_what_the_model_does(rig):
    print(f"seed {SEED}, {EXAMPLES} sequences of {STEPS} steps")
    run(Pool(rig), EXAMPLES)


class Stale(Pool):
    """Between the test and a good pool: remembers the first answer of every read."""

    def __init__(self, rig):
        super().__init__(rig)
        self.seen = {}

    def call(self, operation, who, link=None, **arguments):
        key = repr((operation, who, link, arguments))
        if operation in ("get", "list_keys") and key in self.seen:
            return self.seen[key]
        answer = super().call(operation, who, link=link, **arguments)
        self.seen[key] = answer
        return answer

    def reset(self, assignments, definitions):
        self.seen.clear()
        super().reset(assignments, definitions)


def test_a_pool_that_does_not_is_found(rig):
    with pytest.raises(Difference, match="get|list_keys"):
        run(Stale(rig), 200)


def test_no_sequence_fails_by_itself():
    run(Fake(), 100)
