from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from node.commandline import sim
from node.commandline.app import DONE, INTERRUPTED, USAGE
from node.sim_mesh.figures import Figures, Phase
from node.sim_mesh.play import Play, Progress
from node.sim_mesh.scenario import PRESETS, Scenario

Exits = Callable[..., tuple[int, str, str]]
TINY = ("sim", "--nodes", "12", "--messages", "6", "--senders", "3", "--warmup", "2")
PROMISED = {"nodes", "delivered", "copies", "control_ids", "hops_max", "p50_ms", "p99_ms", "max_ms"} | {
    "last_over_shortest", "bytes_per_delivery", "recovered_ms", "wall_s"
}  # fmt: skip
PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")


def test_json_is_one_object_with_every_figure_and_what_was_asked(gossamer_exits: Exits) -> None:
    code, out, err = gossamer_exits(*TINY, "--json", "--seed", "x", "--kill", "20%")
    assert code == DONE
    assert out.count("\n") == 1
    row = json.loads(out)
    assert row.keys() >= PROMISED
    assert (row["nodes"], row["delivered"], row["interrupted"]) == (12, 1.0, False)
    assert row["wall_s"] > 0
    assert row["peak_mib"] > 1
    assert (row["scenario"]["seed"], row["scenario"]["kill"]) == ("x", 0.2)
    assert "messages" in err


def test_without_json_the_figures_are_tables_and_the_talk_is_elsewhere(gossamer_exits: Exits) -> None:
    code, out, err = gossamer_exits(*TINY, "--kill", "20%")
    assert code == DONE
    lines = out.splitlines()
    assert any(re.fullmatch(r"copies +[\d.]+", line) for line in lines)
    assert any(line.startswith("meanwhile ") for line in lines)
    assert any(line.startswith("frames sent: PUSH ") for line in lines)
    assert "sending: " in err
    assert "sending: " not in out
    assert gossamer_exits(*TINY, "--quiet")[2] == ""


@pytest.mark.parametrize(
    "bad",
    [
        ("--latency", "fast"),
        ("--latency", "50-10ms"),
        ("--kill", "120%"),
        ("--kill", "-1"),
        ("--churn", "some"),
        ("--partition", "10"),
        ("--nodes", "many"),
        ("--nodes", "1"),
        ("--sybils", "12"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--preset", "w9"),
        ("--crypto", "none"),
        ("--size", "40000"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(gossamer_exits: Exits, bad: tuple[str, str]) -> None:
    code, out, err = gossamer_exits(*TINY, *bad)
    assert (code, out) == (USAGE, "")
    assert "rror" in err


def test_options_are_read_in_the_units_that_they_show(
    monkeypatch: pytest.MonkeyPatch, gossamer_exits: Exits
) -> None:
    asked: list[Scenario] = []

    def run(scenario: Scenario, _app: Any) -> tuple[dict[str, Any], bool]:
        asked.append(scenario)
        return {"phases": [], "frames": {}}, False

    monkeypatch.setattr(sim, "run", run)
    wires = "--latency 5-7.5ms --jitter 0.5ms --loss 1%"
    damage = "--churn 0.25 --churn-for 1m --away 2s --silent"
    words = f"sim --preset w4 --nodes 500 --crypto real {wires} {damage}"
    assert gossamer_exits(*words.split())[0] == DONE
    (seen,) = asked
    assert (seen.latency, seen.jitter, seen.loss) == ((0.005, 0.0075), 0.0005, 0.01)
    assert (seen.churn, seen.churn_for, seen.away) == (0.25, 60.0, 2.0)
    assert (seen.silent, seen.real, seen.nodes, seen.kill) == (True, True, 500, PRESETS["w4"].kill)


def test_ctrl_c_prints_what_there_is_and_says_so(
    monkeypatch: pytest.MonkeyPatch, gossamer_exits: Exits
) -> None:
    whole = Play.steps

    def interrupted(self: Play) -> Iterator[Progress]:
        for step in whole(self):
            yield step
            if step.said >= 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(Play, "steps", interrupted)
    code, out, err = gossamer_exits(*TINY, "--json")
    assert code == INTERRUPTED
    row = json.loads(out)
    assert row["interrupted"] is True
    assert 0 < row["messages"] < 6
    assert "interrupted" in err


def test_the_page_explains_every_option_figure_and_preset() -> None:
    options = {name for param in sim.sim.params for name in param.opts if name.startswith("--")}
    assert {name for name in options if f"`{name}" not in PAGE} == set()
    keys = {field.name for kind in (Figures, Phase) for field in fields(kind)}
    keys |= {"interrupted", "wall_s", "peak_mib", "scenario"}
    keys |= {field.name for field in fields(Scenario) if f"--{field.name.replace('_', '-')}" not in options}
    assert {key for key in keys if f"`{key}`" not in PAGE} == set()
    assert {name for name in PRESETS if f"`{name}`" not in PAGE} == set()
