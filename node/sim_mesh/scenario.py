"""What a simulation is asked to show: sizes, the network, what goes wrong; settings that have names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.errors import Refused
from node.wire.envelope import BUCKETS

MAX_NODES = 100_000
"""More than one process has memory for: some 80 KiB a node, and 600 bytes for each message there."""
MAX_DEGREE = 32
"""A mesh takes 64 links, and a node is dialled as often as it dials."""
MAX_PAIRS = 100_000_000
"""Messages times nodes: 9 bytes are kept of each pair."""
MAX_REAL = 2_000
"""Nodes with real cryptography, which costs a node some 10 ms to link up."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run. Times are virtual seconds; what is a share lies in [0, 1].

    `sybils` are among the `nodes`. `kill` of the honest nodes stop at once, `damage_after` the first counted
    message (None: after half of the messages); `churn` of them stop each second, for `churn_for` (None: until
    the last message), and are back after about `away`. It begins `churn_after` that moment, or, without one,
    `churn_after` the first counted message. `partition` parts two halves for so long, from `damage_after` on.
    Senders stay. With `overlay` nodes link up with others too, of whom they hear.
    """

    nodes: int = 1000
    degree: int = 6
    latency: tuple[float, float] = (0.010, 0.050)
    jitter: float = 0.001
    loss: float = 0.0
    rooms: int = 1
    senders: int = 20
    messages: int = 200
    rate: float = 10.0
    size: int = 300
    warmup: int = 20
    kill: float = 0.0
    damage_after: float | None = None
    silent: bool = False
    churn: float = 0.0
    churn_after: float = 0.0
    churn_for: float | None = None
    away: float = 10.0
    partition: float = 0.0
    sybils: int = 0
    introduced: int = 0
    overlay: bool = False
    real: bool = False
    settle: float = 5.0
    patience: float = 400.0
    seed: str = "1"

    @property
    def damaged_after(self) -> float:
        """When nodes are killed or parted: seconds after the first counted message."""
        return self.damage_after if self.damage_after is not None else self.messages / self.rate / 2

    @property
    def has_event(self) -> bool:
        """Whether something happens at one moment."""
        return self.kill > 0 or self.partition > 0


_W3 = Scenario()
PRESETS = {
    "w3": _W3,
    "w3-small": replace(_W3, nodes=150, messages=60, senders=10),
    "w4": replace(
        _W3, messages=240, rate=1.5, kill=0.2, damage_after=15.0, churn=0.01, churn_after=45.0, churn_for=60.0
    ),
    "w4-kill": replace(_W3, messages=200, rate=4.0, kill=0.2, damage_after=10.0),
    "w5": replace(_W3, nodes=10_000, messages=100, sybils=1_000),
}
"""The settings of docs/simulator.md."""


def check(asked: Scenario) -> None:
    """Raise Refused (`invalid`) for what cannot be played."""
    honest = asked.nodes - asked.sybils
    pairs = asked.nodes * (asked.messages + asked.warmup)
    ranges = (
        ("nodes", asked.nodes, 2, MAX_REAL if asked.real else MAX_NODES),
        ("degree", asked.degree, 2, MAX_DEGREE),
        ("sybils", asked.sybils, 0, asked.nodes - 2),
        ("senders", asked.senders, 1, honest),
        ("messages", asked.messages, 1, MAX_PAIRS),
        ("warmup", asked.warmup, 0, MAX_PAIRS),
        ("rooms", asked.rooms, 1, 10_000),
        ("rate", asked.rate, 0.01, 10_000),
        ("size", asked.size, 1, BUCKETS[-1] - 1),
        ("introduced", asked.introduced, 0, 512),
        ("messages x nodes", pairs, 0, MAX_PAIRS),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise Refused("invalid", f"{name} is {value:g}: from {least:g} to {most:,} can be simulated")
