from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.errors import Refused
from node.sim_mesh.scenario import MAX_PAIRS, PRESETS, Scenario, check


@pytest.mark.parametrize("name", PRESETS)
def test_what_has_a_name_can_be_played(name: str) -> None:
    check(PRESETS[name])


@pytest.mark.parametrize(
    "bad",
    [
        {"nodes": 1},
        {"nodes": 1_000_000},
        {"nodes": 5_000, "real": True},
        {"degree": 1},
        {"degree": 100},
        {"sybils": -1},
        {"sybils": 999},
        {"senders": 0},
        {"senders": 901, "sybils": 100},
        {"messages": 0},
        {"messages": MAX_PAIRS // 1000},
        {"warmup": -1},
        {"rate": 0.0},
        {"size": 0},
        {"size": 32_768},
        {"introduced": 1_000},
        {"rooms": 0},
    ],
    ids=str,
)
def test_what_cannot_be_played_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(Refused) as fault:
        check(replace(Scenario(), **bad))
    assert fault.value.code == "invalid"
    assert "can be simulated" in str(fault.value)


def test_damage_is_done_in_the_middle_unless_told() -> None:
    assert Scenario(messages=100, rate=5.0).damaged_after == 10.0
    assert Scenario(damage_after=0.0).damaged_after == 0.0
    assert not Scenario(churn=0.01).has_event
    assert Scenario(partition=1.0).has_event
