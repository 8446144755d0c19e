"""What a run has shown, in numbers (docs/simulator.md says what each means)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from node.sim_mesh.graph import percentile
from node.sim_mesh.messages import Message, Messages
from node.sim_mesh.network import SimMesh, World
from node.sim_mesh.scenario import Scenario
from node.wire.frames import Number

NEVER = float("inf")
SOON = 5.0
"""Seconds within which `delivered_5s` counts."""
MEANWHILE = 30.0
"""Seconds after an event that make up the phase `meanwhile`."""
LATE = 2.0
"""Times the slowest delivery from before an event: what takes longer was held up by it."""
TOUCHED = 5.0
"""Seconds after an event in which messages are still said to be touched by it."""


@dataclass(slots=True)
class Marks:
    """Moments of a run, and what had been counted at its first counted message."""

    begun: float = 0.0
    bytes_before: int = 0
    deliveries_before: int = 0
    parted_at: float | None = None
    event_at: float | None = None
    churn_at: float | None = None
    calm_at: float | None = None
    left: int = 0

    @property
    def parted(self) -> tuple[float, float]:
        """From when to when there was a partition."""
        if self.parted_at is None:
            return NEVER, NEVER
        return self.parted_at, NEVER if self.event_at is None else self.event_at

    @property
    def damaged_at(self) -> float:
        """When the kill, the partition or (without either) the churn began."""
        if self.parted_at is not None:
            return self.parted_at
        return self.begun if self.event_at is None else self.event_at


@dataclass(frozen=True, slots=True)
class Phase:
    """The messages of a part of a run."""

    name: str
    messages: int
    delivered_5s: float
    copies: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers; those in ms are rounded to a tenth."""

    nodes: int
    live: int
    links: float
    messages: int
    delivered: float
    delivered_5s: float
    copies: float
    control_ids: float
    hops_max: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    shortest_ms: float
    last_over_shortest: float
    last_over_shortest_max: float
    bytes_per_delivery: float
    recovered_ms: float | None
    left: int
    frames: dict[str, int]
    virtual_s: float
    phases: list[Phase] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Return them as data."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["phases"] = [{name: getattr(phase, name) for name in phase.__slots__} for phase in self.phases]
        return row


class _Seen:
    """The deliveries of some messages to honest nodes; times are of those that were up all the while."""

    def __init__(self, world: World, messages: list[Message]) -> None:
        self._now, self._live = world.clock.time, list(world.honest())
        self._honest = [node.number for node in world.nodes if not node.sybil]
        self.messages = messages
        self.pairs = self.had = self.due = self.soon = self.copies = self.got = self.hops = 0
        self.times: list[float] = []
        for message in messages:
            self._count(message)
        self.times.sort()

    def _count(self, message: Message) -> None:
        self.copies += message.copies
        self.got += sum(map(message.has, self._honest)) - 1
        self.hops = max(self.hops, *(message.hops[number] for number in self._honest))
        old = self._now >= message.published + SOON
        for node in self._live:
            if node.number == message.sender:
                continue
            has = message.has(node.number)
            self.pairs += 1
            self.had += has
            if node.since <= message.published:
                took = message.times[node.number] - message.published
                if has:
                    self.times.append(took)
                self.due += old
                self.soon += old and has and took <= SOON

    def ms(self, share: float) -> float:
        return round(1000 * percentile(self.times, share), 1) if self.times else 0.0

    def phase(self, name: str) -> Phase:
        return Phase(
            name, len(self.messages), _share(self.soon, self.due), _share(self.copies, self.got, digits=3),
            self.ms(0.5), self.ms(0.99), self.ms(1.0),
        )  # fmt: skip


def figures(scenario: Scenario, world: World, messages: Messages, marks: Marks) -> Figures:
    """Return what the counted messages of a run have shown so far."""
    live = list(world.honest())
    counted = [message for message in messages.all if message.counted]
    seen = _Seen(world, counted)
    ratios = _ratios(live, counted, marks)
    deliveries = max(1, world.deliveries - marks.deliveries_before)
    return Figures(
        nodes=scenario.nodes,
        live=len(live),
        links=round(sum(map(len, world.graph().values())) / max(1, len(live)), 2),
        messages=len(counted),
        delivered=_share(seen.had, seen.pairs),
        delivered_5s=_share(seen.soon, seen.due),
        copies=_share(seen.copies, seen.got, digits=3),
        control_ids=round(world.tally.ids / deliveries, 3),
        hops_max=seen.hops,
        p50_ms=seen.ms(0.5),
        p99_ms=seen.ms(0.99),
        max_ms=seen.ms(1.0),
        shortest_ms=round(1000 * median(m.shortest for m in counted), 1) if counted else 0.0,
        last_over_shortest=round(median(ratios), 2) if ratios else 0.0,
        last_over_shortest_max=round(max(ratios), 2) if ratios else 0.0,
        bytes_per_delivery=round((world.bytes - marks.bytes_before) / deliveries, 1),
        recovered_ms=_recovered(live, counted, marks),
        left=marks.left,
        frames={name.name: n for name in Number if (n := world.tally.frames[name])},
        virtual_s=round(world.clock.time, 1),
        phases=[_Seen(world, part).phase(name) for name, part in _phases(counted, marks) if part],
    )


def _share(part: int, whole: int, *, digits: int = 6) -> float:
    return round(part / whole, digits) if whole else 0.0


def _taken(live: list[SimMesh], message: Message) -> list[float]:
    """The seconds in which those had it that were up all the time."""
    return [
        message.times[node.number] - message.published
        for node in live
        if node.since <= message.published and message.has(node.number)
    ]


def _ratios(live: list[SimMesh], messages: Sequence[Message], marks: Marks) -> list[float]:
    """For each message its last delivery, as a multiple of the longest of the shortest ways.

    Messages that were said in a partition are left out: there was no way.
    """
    begins, ends = marks.parted
    return [
        max(_taken(live, m), default=0.0) / m.shortest
        for m in messages
        if m.shortest and not begins <= m.published < ends
    ]


def _phases(messages: list[Message], marks: Marks) -> list[tuple[str, list[Message]]]:
    """The messages from before the damage, from then to 30 s after its end, and later ones.

    Churn that begins later than 30 s after the event is damage of its own, and parts these from one another.
    """
    cuts: list[tuple[str, float]] = [("before", marks.damaged_at)]
    ends, stirred, calm = marks.event_at, marks.churn_at, marks.calm_at
    if ends is not None and stirred is not None and stirred >= ends + MEANWHILE:
        cuts += [("meanwhile", ends + MEANWHILE), ("between", stirred)]
        cuts.append(("churn", NEVER if calm is None else calm + MEANWHILE))
    elif ends is None and calm is None:
        return []
    else:
        cuts.append(("meanwhile", max(ends or 0.0, calm or 0.0) + MEANWHILE))
    cuts.append(("after", NEVER))
    begins = [float("-inf"), *(until for _, until in cuts)]
    return [
        (name, [m for m in messages if since <= m.published < until])
        for since, (name, until) in zip(begins, cuts, strict=False)
    ]


def _recovered(live: list[SimMesh], messages: list[Message], marks: Marks) -> float | None:
    """The ms from the event to the last delivery that took twice as long as any before it; None without one.

    Messages that were said more than 5 s after the event are left out: what delays them is something else.
    """
    event_at = marks.event_at
    if event_at is None:
        return None
    before = [m for m in messages if m.published < marks.damaged_at - 1]
    usual = max((took for m in before for took in _taken(live, m)), default=0.0)
    late = [
        m.published + took
        for m in messages
        if m.published < event_at + TOUCHED
        for took in _taken(live, m)
        if took > LATE * usual
    ]
    return round(1000 * max(0.0, max(late, default=event_at) - event_at), 1)
