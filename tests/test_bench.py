"""Every bench runs, with counts so small that its figures say nothing: none stops working unseen."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from bench.__main__ import SECTIONS, TINY, run
from bench.torture import Torture

QUICK = ("cryptography", "rooms", "many", "shelves", "sim", "sync")
"""Sections that take a second or two when they are tiny."""
WHOLE = [name for name in SECTIONS if name not in ("w1", "w2", "members")]
"""Those are the parts of `mesh`."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.gate) for name in WHOLE]
)
def test_a_section_runs_and_its_figures_are_numbers(name: str) -> None:
    found = run(name, TINY)
    assert found
    for figures in found:
        assert figures.line().strip()
        numbers = [value for value in figures.row().values() if isinstance(value, int | float)]
        assert numbers and all(map(math.isfinite, numbers)), figures
        json.dumps(figures.row())


@pytest.mark.gate
async def test_a_torture_of_one_kill_loses_nothing(tmp_path: Path) -> None:
    assert await Torture(tmp_path, random.Random(1)).run(1, 1.0)
