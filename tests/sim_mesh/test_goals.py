"""What meshes of a thousand and of ten thousand promise (docs/simulator.md, "Settings that have names")."""

from __future__ import annotations

import time
from math import log2
from typing import Any

import pytest

from node.commandline.sim import run
from node.sim_mesh.scenario import PRESETS


def played(name: str) -> tuple[dict[str, Any], float]:
    """The figures of a preset, and the processor's seconds that it took: others may use this machine too."""
    started = time.process_time()
    seen, _ = run(PRESETS[name])
    return seen, time.process_time() - started


@pytest.mark.gate
@pytest.mark.timeout(600)
def test_w3_a_thousand_nodes_get_one_copy_each_nearly_as_fast_as_the_shortest_way() -> None:
    seen, spent = played("w3")
    assert seen["delivered"] == seen["delivered_5s"] == 1.0
    assert seen["copies"] <= 1.02
    assert seen["p99_ms"] <= 280
    assert seen["last_over_shortest"] <= 1.7
    assert seen["hops_max"] <= 2 * log2(1000)
    assert spent < 180


@pytest.mark.gate
@pytest.mark.timeout(600)
def test_w4_a_fifth_killed_and_a_hundredth_leaving_each_second_loses_nothing() -> None:
    seen, _ = played("w4")
    assert seen["left"] >= 400
    assert seen["delivered"] == 1.0
    before, meanwhile, between, churn, after = seen["phases"]
    assert before["copies"] <= 1.02
    assert meanwhile["copies"] <= 1.5
    assert meanwhile["max_ms"] <= 2_000
    assert between["copies"] <= 1.05
    assert churn["delivered_5s"] >= 0.999
    assert after["copies"] <= 1.1  # half a minute after the last came or went the tree is not yet what it was


@pytest.mark.gate
@pytest.mark.timeout(600)
def test_w4_when_a_fifth_is_killed_all_others_have_everything_within_two_seconds() -> None:
    seen, _ = played("w4-kill")
    assert seen["delivered"] == seen["delivered_5s"] == 1.0
    assert seen["recovered_ms"] <= 2_000
    assert seen["phases"][1]["copies"] <= 1.5


@pytest.mark.hours
@pytest.mark.timeout(1800)
def test_w5_ten_thousand_nodes_of_which_a_tenth_drop_everything() -> None:
    seen, spent = played("w5")
    assert seen["delivered_5s"] >= 0.9999
    assert seen["delivered"] == 1.0
    assert spent <= 1200
    assert seen["peak_mib"] <= 4096
