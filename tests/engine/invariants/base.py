"""The world of the stateful test: its four people, what is watched of them, how anything is asked of them."""

from __future__ import annotations

import logging
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from node import ids
from node.chat import commands as c
from node.sim import CallError, SimNode, Simulation
from node.store.memory import Snapshot
from tests.engine.hostile import engine_of
from tests.engine.invariants.checks import Checks
from tests.engine.invariants.faults import Network
from tests.engine.invariants.ledger import Ledger
from tests.engine.invariants.record import Recorder
from tests.engine.invariants.seals import Seals
from tests.engine.worlds import befriend, invite

NAMES = ("ann", "bob", "cat", "dan")
SOME = st.sampled_from(NAMES)
ANY = st.integers(0, 1 << 16)


class Told(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class World(RuleBasedStateMachine):
    """One world and everything that happens in it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Simulation("invariants")
        self.run = Recorder(self.world)
        self.network = Network(self.world)
        self.ledger = Ledger(self.world)
        self.seals = Seals(self.world, self.run, self.ledger)
        self.checks = Checks(self.world, self.run, self.ledger, self.seals)
        self.told = Told()
        self.rooms: list[str] = []
        self.snapshots: dict[str, tuple[Snapshot, tuple[set[bytes], dict[bytes, float]]]] = {}
        self.snapped: dict[str, float] = {}
        self.days = 0
        self.number = 0
        self.acted: set[str] = set()
        self.asked: set[tuple[str, str]] = set()
        self.restorable = False
        self.run.install()
        self.network.install()
        logging.getLogger().addHandler(self.told)

    @initialize(seed=st.integers(0, 1 << 16), restorable=st.sampled_from((False, False, False, True)))
    def begin(self, seed: int, restorable: bool) -> None:
        """Ann, bob and cat are in a room; dan knows ann; all are linked; in a few worlds stores go back."""
        self.restorable = restorable
        self.world._entropy = Simulation(str(seed))._entropy
        for at, name in enumerate(NAMES):
            self.world.add(name, peers=NAMES[:at][-2:])
        self.world.run(2)
        for one, other in (("ann", "bob"), ("ann", "cat"), ("ann", "dan"), ("bob", "cat")):
            befriend(self.world, self.node(one), self.node(other))
            self.ledger.contacts.append({one, other})
        self.rooms.append(self.node("ann").call(c.RoomCreate(name="room 0"))["room"])
        for name in ("bob", "cat"):
            invite(self.world, self.node("ann"), self.node(name), self.rooms[0])
        for name in NAMES:
            self.node(name).attach()
        self.world.run(5)

    # -- shared -----------------------------------------------------------------------------------

    def node(self, name: str) -> SimNode:
        self.acted.add(name)
        return self.world.nodes[name]

    def room(self, pick: int) -> str:
        return self.rooms[pick % len(self.rooms)]

    def ask(self, node: SimNode, command: c.Command) -> dict[str, Any] | None:
        """Do a command; None if it was refused, or the node went down over it."""
        if not node.up:
            return None
        doomed = node.effects_left is not None
        try:
            return node.call(command)
        except CallError as fault:
            assert fault.code != "internal"
            assert doomed or fault.code != "no_answer", command
            return None

    def wake(self, node: SimNode) -> None:
        node.effects_left = None
        if not node.up:
            node.start()
            node.attach()

    def in_room(self, node: SimNode, room: str) -> Any:
        """Return the room as a node that is in it has it, else None."""
        if not node.up:
            return None
        inbox = engine_of(node).state.rooms.inboxes.get(ids.parse(room))
        return inbox.room if inbox is not None and inbox.room.open else None
