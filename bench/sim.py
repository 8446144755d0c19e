"""The simulated mesh beside its floors: one copy a node, and the shortest way over the links that stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node.commandline.sim import run
from node.sim_mesh.scenario import PRESETS, Scenario

PRESETS_RUN = {name: PRESETS[name] for name in ("w3", "w4")}
"""Presets that are run; `w5` takes a quarter of an hour: `gossamer sim --preset w5`."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """The figures of one preset."""

    what: str
    figures: dict[str, Any]

    def line(self) -> str:
        """Return them as lines of the report."""
        seen = self.figures
        lines = [
            f"{self.what}: {seen['nodes']} nodes, {seen['messages']} messages,"
            f" {seen['delivered']:.4%} delivered, in {seen['wall_s']:.0f} s here",
            f"  copies {seen['copies']} (floor 1.0), ids {seen['control_ids']} and bytes"
            f" {seen['bytes_per_delivery']:.0f} a delivery",
            f"  p50 {seen['p50_ms']} ms, p99 {seen['p99_ms']} ms, {seen['hops_max']} hops, the last"
            f" {seen['last_over_shortest']} times the shortest way of {seen['shortest_ms']} ms (floor 1.0)",
        ]
        lines += [
            f"  {phase['name']}: copies {phase['copies']}, last {phase['max_ms']} ms"
            for phase in seen["phases"]
        ]
        if seen["recovered_ms"] is not None:
            lines.append(f"  recovered {seen['recovered_ms']} ms after the kill")
        return "\n  ".join(lines)

    def row(self) -> dict[str, object]:
        """Return them as data."""
        return {"what": self.what, **self.figures}


def measure(scenarios: Mapping[str, Scenario] = PRESETS_RUN) -> Iterator[Mesh]:
    """Run the scenarios."""
    for name, scenario in scenarios.items():
        yield Mesh(name, run(scenario)[0])
