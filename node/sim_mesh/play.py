"""One run from start to end: nodes come up, a tree is built, messages are said, things break, all settles."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from node.mesh.ports import AddAddress, Publish
from node.sim_mesh.dice import Dice
from node.sim_mesh.figures import Figures, Marks, figures
from node.sim_mesh.graph import dials, longest
from node.sim_mesh.messages import Author, Message, Messages
from node.sim_mesh.network import Physics, SimMesh, World
from node.sim_mesh.scenario import Scenario

START_WITHIN = 2.0
"""Seconds in which all nodes start."""
LINKED_AFTER = 5.0
"""Seconds from the first start to the first message: every dial has been answered by then."""
ACQUAINTED_AFTER = 150.0
"""The same where nodes look for others: each has asked its peers twice, and let go of links too many."""
SLICE = 0.25
"""Virtual seconds between two looks at how far the run is."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `stage` in words, virtual seconds, messages said of all, deliveries."""

    stage: str
    time: float
    said: int
    messages: int
    deliveries: int


class Play:
    """A run: iterate `steps` to its end or as long as you like, and ask for `figures` at any time."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.messages = Messages(scenario.nodes)
        low, high = scenario.latency
        physics = Physics(
            scenario.seed, low, high, scenario.jitter, scenario.loss, private=not scenario.overlay
        )
        self.world = World(physics, self.messages, real=scenario.real)
        self.marks = Marks()
        self._dice = Dice(f"{scenario.seed} play")
        self._author = Author(scenario.seed, rooms=scenario.rooms, size=scenario.size)
        self._stage = "starting"
        self._todo: list[tuple[float, int, str]] = []
        self._order = count()
        self._senders: list[SimMesh] = []
        self._shortest: tuple[int, dict[int, float]] = (-1, {})
        self._said = 0
        self._people()

    def _people(self) -> None:
        asked = self.scenario
        sybils = set(self._dice.some(range(asked.nodes), asked.sybils))
        for number, chosen in enumerate(dials(asked.nodes, asked.degree, self._dice)):
            self.world.add([self.world.address_of(other) for other in chosen], sybil=number in sybils)
        honest = [node for node in self.world.nodes if not node.sybil]
        self._senders = self._dice.some(honest, asked.senders)

    def figures(self) -> Figures:
        """Return what can be said so far."""
        return figures(self.scenario, self.world, self.messages, self.marks)

    def steps(self) -> Iterator[Progress]:
        """Run, telling now and then how far it is."""
        self._plan()
        clock = self.world.clock
        yield self._progress()
        while self._todo:
            moment = min(self._todo[0][0], clock.time + SLICE)
            clock.run(moment)
            while self._todo and self._todo[0][0] <= clock.time:
                self._do(heapq.heappop(self._todo)[2])
            yield self._progress()
        self._stage = "settling"
        end = clock.time + max(self.scenario.settle, 2 * self.scenario.away if self.marks.left else 0.0)
        while clock.time < end:
            clock.run(min(end, clock.time + SLICE))
            yield self._progress()
        self._stage = "waiting for a sync"
        end = clock.time + self.scenario.patience
        lacking = list(self.messages.all)
        while clock.time < end and (lacking := self._lacking(lacking)):
            clock.run(clock.time + 1.0)
            yield self._progress()
        self._stage = "done"
        yield self._progress()

    def _progress(self) -> Progress:
        asked = self.scenario
        total = asked.warmup + asked.messages
        return Progress(self._stage, self.world.clock.time, self._said, total, self.world.deliveries)

    def _lacking(self, messages: list[Message]) -> list[Message]:
        """Return those of the messages that some honest node that runs has not."""
        live = [node.number for node in self.world.honest()]
        return [m for m in messages if not all(m.has(number) for number in live)]

    # what is to happen

    def _plan(self) -> None:
        asked = self.scenario
        for node in self.world.nodes:
            self.world.clock.later(self._dice.between(0, START_WITHIN), node.start)
        if asked.introduced:
            self._at(START_WITHIN, "introduce")
        linked = ACQUAINTED_AFTER if asked.overlay else LINKED_AFTER
        for number in range(asked.warmup):
            self._at(linked + number / asked.rate, "warm up")
        first = linked + asked.warmup / asked.rate + (2.0 if asked.warmup else 0.0)
        self._at(first, "begin")
        for number in range(asked.messages):
            self._at(first + number / asked.rate, "say")
        last = first + asked.messages / asked.rate
        damage = first + asked.damaged_after
        if asked.kill:
            self._at(damage, "kill")
        if asked.partition:
            self._at(damage, "part")
            self._at(damage + asked.partition, "heal")
        if asked.churn:
            start = (damage if asked.has_event else first) + asked.churn_after
            self._at(start, "stir")
            end = last if asked.churn_for is None else start + asked.churn_for
            self._plan_churn(start, end)
            self._at(end, "calm")

    def _plan_churn(self, start: float, end: float) -> None:
        asked = self.scenario
        living = (asked.nodes - asked.sybils) * (1 - asked.kill)
        each = 1.0 / (asked.churn * living)
        moment = start
        while moment < end:
            self._at(moment, "leave")
            moment += each

    def _at(self, moment: float, what: str) -> None:
        heapq.heappush(self._todo, (moment, next(self._order), what))

    def _do(self, what: str) -> None:
        match what:
            case "introduce":
                self._introduce()
            case "warm up":
                self._stage = "building the tree"
                self._say(counted=False)
            case "begin":
                self._stage = "sending"
                self.marks = Marks(begun=self.world.clock.time, bytes_before=self.world.bytes)
                self.marks.deliveries_before = self.world.deliveries
                self.world.tally.clear()
            case "say":
                self._say(counted=True)
            case "kill":
                self._kill()
            case "part":
                self._part()
            case "heal":
                self._heal()
            case "leave":
                self._leave()
            case "stir":
                self.marks.churn_at = self.world.clock.time
            case "calm":
                self.marks.calm_at = self.world.clock.time

    def _introduce(self) -> None:
        for node in self.world.nodes:
            for _ in range(self.scenario.introduced):
                other = self._dice.below(self.scenario.nodes)
                if other != node.number:
                    node.feed(AddAddress(self.world.address_of(other), "room"))

    def _say(self, *, counted: bool) -> None:
        node = self._senders[self._said % len(self._senders)]
        self._said += 1
        clock = self.world.clock
        envelope = self._author.write(clock.now.wall_ms)
        message = self.messages.add(envelope, node.number, clock.time, counted=counted)
        if counted:
            message.shortest = self._longest_way(node.number)
        node.feed(Publish((envelope,)))

    def _longest_way(self, node: int) -> float:
        if self._shortest[0] != self.world.changes:
            self._graph = self.world.graph()
            self._shortest = (self.world.changes, {})
        known = self._shortest[1]
        if node not in known:
            known[node] = longest(self._graph, node)
        return known[node]

    def _mortal(self) -> list[SimMesh]:
        staying = {node.number for node in self._senders}
        return [node for node in self.world.honest() if node.number not in staying]

    def _kill(self) -> None:
        honest = sum(1 for _ in self.world.honest())
        for node in self._dice.some(self._mortal(), round(honest * self.scenario.kill)):
            node.stop(silent=self.scenario.silent)
        self.world.changes += 1
        self.marks.event_at = self.world.clock.time

    def _part(self) -> None:
        nodes = self.world.nodes
        self.world.part(self._dice.some(nodes, len(nodes) // 2))
        self.world.changes += 1
        self.marks.parted_at = self.world.clock.time

    def _heal(self) -> None:
        self.world.heal()
        self.world.changes += 1
        self.marks.event_at = self.world.clock.time

    def _leave(self) -> None:
        mortal = self._mortal()
        if not mortal:
            return
        node = mortal[self._dice.below(len(mortal))]
        node.stop(silent=self.scenario.silent)
        self.world.changes += 1
        self.marks.left += 1
        away = self.scenario.away * self._dice.between(0.5, 1.5)
        self.world.clock.later(away, lambda: None if node.up else node.start())
