"""I1 to I14 of docs/crypto.md 3.12, all at once, over everything that can happen: see `machine.py`.

The short form is the same every time. The long one (`make gate`) draws a seed and prints it. To run it again:
`GOSSAMER_SEED=… GOSSAMER_EXAMPLES=… make gate ARGS="tests/engine/invariants"`.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.invariants.machine import Invariants

COMMON = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
SHORT = settings(COMMON, max_examples=30, stateful_step_count=25, derandomize=True, phases=[Phase.generate])
"""Not shrunk: a failure prints all its steps, and the long form makes them fewer."""

ATTACKS = ("A03", "A07", "A09", "A10", "A11", "A12", "A17", "A18", "A20", "A34")
"""What the machine mounts: forgeries, flipped bits, replays, bad networks, old stores, withheld removals."""


def shows(test: object) -> object:
    """Mark a test with every attack that the machine mounts."""
    for attack in ATTACKS:
        test = pytest.mark.attack(attack)(test)  # type: ignore[call-overload]
    return test


@shows
@pytest.mark.timeout(600)
def test_whatever_happens_the_invariants_hold() -> None:
    run_state_machine_as_test(Invariants, settings=SHORT)


@pytest.mark.gate
def test_whatever_happens_for_long_the_invariants_hold() -> None:
    chosen = int(os.environ.get("GOSSAMER_SEED") or random.SystemRandom().randrange(1 << 32))
    examples = int(os.environ.get("GOSSAMER_EXAMPLES") or 120)
    print(f"GOSSAMER_SEED={chosen} GOSSAMER_EXAMPLES={examples}")
    long = settings(
        COMMON,
        max_examples=examples,
        stateful_step_count=60,
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )

    @seed(chosen)
    class Seeded(Invariants):
        """The same machine under a seed of its own."""

        tries_every = True

    run_state_machine_as_test(Seeded, settings=long)
