"""I1 to I14 of docs/crypto.md 3.12, all at once, over everything that can happen: see `machine.py`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.invariants.machine import Invariants

SHORT = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whatever_happens_the_invariants_hold() -> None:
    run_state_machine_as_test(Invariants, settings=SHORT)
