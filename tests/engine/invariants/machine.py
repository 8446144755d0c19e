"""The stateful test: four people do what people do, and everything that can go wrong goes wrong meanwhile.

Rules act through frontends (`people.py`), through the world (weather, partitions, crashes between any two
effects, restored stores) and as attackers (`attacks.py`: thefts, turned bits, replays, forging insiders).
What has to hold all the time is checked in `seals.py` with every turn and here after every rule; the rest at
the end, when all is well again.
"""

from __future__ import annotations

import logging

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from node.clock import HORIZON_DAYS
from node.sim import SimNode
from tests.engine.hostile import engine_of
from tests.engine.invariants.attacks import Attacks
from tests.engine.invariants.base import ANY, NAMES, SOME
from tests.engine.invariants.checks import one_verifier
from tests.engine.invariants.faults import FAIR, FOUL
from tests.engine.invariants.people import People

DAY = 86_400
SETTLE_S = 900.0
"""Virtual seconds in which everything has to come right once nothing goes wrong any more."""
MOST_DAYS = 24
"""Days that may pass before all must have been well once: half a message's life is left to bring it."""
WEEKS = 4
"""Times that the others are up meanwhile."""
MOST_TRIED = 4
"""Texts of a run on which every key of a stolen state is tried; each costs a tenth of a second."""


class Invariants(People, Attacks):
    """One world and everything that happens in it."""

    tries_every = False
    """Whether every key of one stolen state is tried on every text that is closed to it: seconds a run."""

    # -- what the world does ----------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.01, 0.05, 0.3, 3.0, 40.0)))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(kind=st.sampled_from(sorted(FOUL)), loss=st.sampled_from((0.0, 0.0, 0.02)))
    def weather(self, kind: str, loss: float) -> None:
        self.network.weather, self.world.loss = FOUL[kind], loss

    @rule(side=st.sets(SOME, min_size=1, max_size=3))
    def part(self, side: set[str]) -> None:
        self.world.partition(sorted(side), [name for name in NAMES if name not in side])

    @rule()
    def heal(self) -> None:
        self.world.heal()
        self.world.run(2)

    @rule(name=SOME, effects=st.integers(0, 9), pick=ANY, speaks=st.booleans())
    def crash(self, name: str, effects: int, pick: int, speaks: bool) -> None:
        """Kill a node after so many effects, of what it says or of whatever comes next."""
        node = self.node(name)
        if node.up:
            node.effects_left = effects
            if speaks:
                self.speak(node, self.room(pick))

    @rule(name=SOME)
    def start(self, name: str) -> None:
        self.wake(self.node(name))

    @precondition(lambda self: self.restorable)
    @rule(name=SOME, pick=ANY, times=st.integers(1, 3), wait=st.sampled_from((0.0, 1.0)))
    def twice(self, name: str, pick: int, times: int, wait: float) -> None:
        """Go back to a moment ago and say something else: what a restored machine does first."""
        node = self.node(name)
        if node.up:
            self.snapshot(name)
            self.say(name, pick, times)
            self.world.run(wait)
            self.roll_back(name)
            self.say(name, pick, times)

    @precondition(lambda self: self.restorable)
    @rule(name=SOME)
    def snapshot(self, name: str) -> None:
        self.snapshots[name] = self.node(name).snapshot(), self.run.memory(name)
        self.snapped[name] = self.world.time

    @precondition(lambda self: self.restorable)
    @rule(name=SOME)
    def roll_back(self, name: str) -> None:
        """Restore a store of before, as of a virtual machine: what was spent since is there again.

        One from beyond the horizon is not asked to heal (docs/threat-model.md), nor what is older than that.
        """
        if self.snapped.get(name, -1.0) < self.world.time - MOST_DAYS * DAY or name not in self.snapshots:
            return
        node = self.node(name)
        node.effects_left = None
        if node.up:
            node.crash()
        store, memory = self.snapshots[name]
        node.store.restore(store)
        self.run.go_back(name, memory)
        self.ledger.rolled_back[name] = self.world.time
        self.ledger.forget_log(name)
        self.wake(node)

    @rule(days=st.sampled_from((1, 8, 8, 36)))
    def days_pass(self, days: int) -> None:
        """Days in which nobody runs; before more than a message lives, all is well once."""
        if self.days + days > MOST_DAYS:
            self.settle()
            self.ledger.excuse()
        self.days += days
        self.jump(days)
        for name in NAMES:
            self.wake(self.node(name))
        self.world.run(3)

    def jump(self, days: float) -> None:
        """Let time go by in which nobody runs."""
        for node in self.world.nodes.values():
            node.effects_left = None
            if node.up:
                node.crash()
        self.world.run(1)
        self.world.time += days * DAY

    @rule(name=SOME, days=st.sampled_from((26, 33, 41)))
    def away(self, name: str, days: int) -> None:
        """One is away for weeks while others go on: it reads what a message's life allows, and all after."""
        self.settle()
        for _ in range(WEEKS):
            self.jump(days / WEEKS)
            for other in NAMES:
                if other != name:
                    self.wake(self.node(other))
            self.world.run(20)
            self.all_speak()
            self.world.run(20)
        self.ledger.excuse(self.world.time - (HORIZON_DAYS - 1) * DAY)
        self.settle()

    # -- what must hold ---------------------------------------------------------------------------

    @invariant()
    def always(self) -> None:
        """What those who acted show and keep is right, whatever is wrong around them."""
        for name in sorted(self.acted):
            node = self.world.nodes[name]
            self.checks.shown_is_said(node)
            if node.up:
                self.checks.spent_is_gone(node)
        self.checks.only_peer_faults()
        self.acted.clear()

    def settle(self) -> None:
        """Let all be well: everybody up and linked, fair weather, time; then nothing is missing."""
        self.network.weather, self.world.loss = FAIR, 0.0
        self.world.heal()
        for node in self.world.nodes.values():
            node.effects_left = None
            if node.up:
                node.crash()
        for name in NAMES:
            self.wake(self.node(name))
        nodes = list(self.world.nodes.values())
        self.world.run(30)
        self.always()
        self.nothing_missing(nodes)
        self.all_speak()
        self.nothing_missing(nodes)
        for node in nodes:
            self.checks.in_causal_order(node)
            self.checks.old_is_gone(node)
        self.checks.rosters_agree()
        self.days = 0
        self.always()

    def all_speak(self) -> None:
        """Let everybody who runs say something in each of their rooms."""
        for node in self.checks.up():
            for inbox in list(engine_of(node).state.rooms.inboxes.values()):
                if inbox.room.open:
                    self.speak(node, inbox.room.uuid)

    def nothing_missing(self, nodes: list[SimNode]) -> None:
        """Whatever was acknowledged comes to all who should read it, within SETTLE_S."""
        self.world.run_until(lambda: not any(self.checks.missing(node) for node in nodes), SETTLE_S)
        lost = {node.name: sorted(missing) for node in nodes if (missing := self.checks.missing(node))}
        assert not lost, f"acknowledged and lost: {lost}"

    def teardown(self) -> None:
        """Judge the whole run, unless it has failed already."""
        try:
            if self.rooms:
                self.settle()
                for node in self.checks.up():
                    self.checks.steal(node)
                self.checks.signed_by_authors()
                self.checks.one_plaintext_a_key()
                self.checks.one_use_a_key()
                self.checks.outsiders_open_nothing()
                self.checks.nothing_is_told(self.told.lines)
                one_verifier()
                self.run.remove()
                self.checks.trying_opens_nothing(MOST_TRIED, every=self.tries_every)
        finally:
            logging.getLogger().removeHandler(self.told)
            self.network.remove()
            self.run.remove()
