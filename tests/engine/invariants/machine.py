"""The stateful test: four people do what people do, and everything that can go wrong goes wrong meanwhile.

Rules act through frontends and through the world (weather, partitions, crashes between any two effects,
restored stores, thefts, an insider who forges). What has to hold all the time is checked in `seals.py` with
every turn and here after every rule; the rest at the end, when all is well again.
"""

from __future__ import annotations

import logging
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node import ids
from node.chat import commands as c
from node.crypto import roommsg
from node.crypto.chain import SendChain
from node.crypto.channel import Inner
from node.crypto.roommsg import Kind
from node.errors import PeerFault
from node.mesh.ports import Arrived
from node.sim import CallError, SimNode, Simulation
from node.store.memory import Snapshot
from node.wire import envelope
from node.wire.envelope import Envelope
from node.wire.payload import Payload, Type
from tests.engine.hostile import engine_of, turn_of
from tests.engine.invariants.checks import Checks, one_verifier
from tests.engine.invariants.faults import FAIR, FOUL, Network
from tests.engine.invariants.ledger import Ledger
from tests.engine.invariants.record import Recorder
from tests.engine.invariants.seals import Seals
from tests.engine.test_malformed import facts
from tests.engine.worlds import befriend, invite

NAMES = ("ann", "bob", "cat", "dan")
DAY = 86_400
SETTLE_S = 900.0
"""Virtual seconds in which everything has to come right once nothing goes wrong any more."""
MOST_DAYS = 24
"""Days that may pass before all must have been well once: half a message's life is left to bring it."""
FLIPPED = frozenset({Inner.ROOM_MESSAGE, Inner.ANNOUNCE, Inner.DM, Inner.CONTACT_REQUEST, Inner.INTRO})
"""What a signature or a box protects; parts, joins and asked-for ops are judged elsewhere."""
TWO_DOORS_OPEN = False
"""Let one person ask at two doors of one room at once: two greeters let it in, one epoch is never heard."""
SOME = st.sampled_from(NAMES)
ANY = st.integers(0, 1 << 16)


class Told(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(level=logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Invariants(RuleBasedStateMachine):
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
        self.create("ann")
        for name in ("bob", "cat"):
            invite(self.world, self.node("ann"), self.node(name), self.rooms[0])
        for name in NAMES:
            self.node(name).attach()
        self.world.run(5)

    # -- helpers ----------------------------------------------------------------------------------

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

    # -- what people do ---------------------------------------------------------------------------

    @rule(name=SOME)
    def create(self, name: str) -> None:
        if len(self.rooms) < 3:
            made = self.ask(self.node(name), c.RoomCreate(name=f"room {len(self.rooms)}"))
            if made is not None:
                self.rooms.append(made["room"])

    def speak(self, node: SimNode, room: str, direct: str | None = None) -> None:
        if not node.up:
            return
        self.number += 1
        said = self.ledger.say(node, room, f"{node.name} says {self.number}", direct)
        doomed = node.effects_left is not None
        try:
            node.call(c.UserMessage(room=room, message=said.text))
            said.acked = True
        except CallError as fault:
            assert doomed or fault.code != "no_answer"
            said.refused = fault.code != "no_answer"

    @rule(name=SOME, pick=ANY, times=st.integers(1, 4))
    def say(self, name: str, pick: int, times: int) -> None:
        for _ in range(times):
            self.speak(self.node(name), self.room(pick))

    @rule(names=st.permutations(NAMES), pick=ANY)
    def talk(self, names: list[str], pick: int) -> None:
        for name in names:
            self.speak(self.node(name), self.room(pick))
            self.world.run(0.3)

    @rule(a=SOME, b=SOME)
    def whisper(self, a: str, b: str) -> None:
        opened = self.ask(self.node(a), c.DmOpen(username=b))
        if opened is not None:
            self.speak(self.node(a), opened["room"], direct=b)

    @rule(host=SOME, guest=SOME, pick=ANY, wait=st.sampled_from((0.0, 0.02, 2.0)))
    def invite(self, host: str, guest: str, pick: int, wait: float) -> None:
        """Invite, and let the guest accept whatever offers it has."""
        room, who = self.room(pick), self.node(guest)
        if not TWO_DOORS_OPEN and (guest, room) in self.asked:
            return
        if self.ask(self.node(host), c.UserInvite(target=guest, room=room)) is not None:
            self.asked.add((guest, room))
        self.world.run(1)
        for row in (self.ask(who, c.InviteList()) or {"invites": []})["invites"]:
            if row["target"] == guest and row["state"] == "open":
                self.ask(who, c.UserInviteResponse(response="accept", invite=row["invite"]))
        self.world.run(wait)

    @rule(host=SOME, guest=SOME, pick=ANY, wait=st.sampled_from((0.0, 0.02, 2.0)))
    def link(self, host: str, guest: str, pick: int, wait: float) -> None:
        room, who = self.room(pick), self.node(guest)
        if not TWO_DOORS_OPEN and (guest, room) in self.asked:
            return
        made = self.ask(self.node(host), c.RoomLinkCreate(room=room))
        if made is not None and self.ask(who, c.RoomLinkUse(link=made["link"])) is not None:
            self.asked.add((guest, room))
            self.world.run(wait)

    @rule(by=SOME, who=SOME, pick=ANY)
    def remove(self, by: str, who: str, pick: int) -> None:
        node, room = self.node(by), self.room(pick)
        if self.in_room(node, room) is None:
            return
        self.ledger.depart(room, who, node)
        if self.ask(node, c.MemberRemove(room=room, username=who)) is not None:
            accounts = self.in_room(node, room).log.roster.members
            assert self.node(who).setup.identity.account not in accounts
            self.asked.discard((who, room))
        elif node.up:
            self.ledger.departures.pop()

    @rule(name=SOME, pick=ANY)
    def leave(self, name: str, pick: int) -> None:
        node, room = self.node(name), self.room(pick)
        if self.in_room(node, room) is None:
            return
        self.ledger.depart(room, name, node)
        if self.ask(node, c.UserLeave(room=room)) is not None:
            self.asked.discard((name, room))
        elif node.up:
            self.ledger.departures.pop()

    @rule(by=SOME, who=SOME, pick=ANY, role=st.sampled_from(("admin", "greeter", "member")))
    def rule_over(self, by: str, who: str, pick: int, role: Any) -> None:
        self.ask(self.node(by), c.MemberRole(room=self.room(pick), username=who, role=role))

    @rule(name=SOME, pick=ANY, end=st.sampled_from((False, False, False, True)))
    def change(self, name: str, pick: int, end: bool) -> None:
        """Rename a room, or, seldom, end it; the first one stays."""
        room = self.room(pick)
        if end and room != self.rooms[0]:
            self.ask(self.node(name), c.RoomDelete(room=room))
        else:
            self.ask(self.node(name), c.RoomUpdate(room=room, topic=f"topic {self.number}"))

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

    @precondition(lambda self: self.restorable)
    @rule(name=SOME)
    def roll_back(self, name: str) -> None:
        """Restore a store of before, as of a virtual machine: what was spent since is there again."""
        if name not in self.snapshots:
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
        for node in self.world.nodes.values():
            node.effects_left = None
            if node.up:
                node.crash()
        self.world.run(1)
        self.world.time += days * DAY
        for name in NAMES:
            self.wake(self.node(name))
        self.world.run(3)

    # -- what attackers do ------------------------------------------------------------------------

    @rule(name=SOME)
    def steal(self, name: str) -> None:
        if self.node(name).up and len(self.checks.stolen) < 6:
            self.checks.steal(self.node(name))

    def envelope(self, pick: int) -> Envelope:
        return envelope.parse(list(self.run.envelopes.values())[-1 - pick % len(self.run.envelopes)])

    def give(self, node: SimNode, raw: bytes) -> None:
        """Hand bytes to a node as its mesh would, if their signature holds."""
        try:
            sealed = envelope.parse(raw)
            engine_of(node)._verify(sealed)
        except PeerFault:
            return
        node.perform(engine_of(node)._release(turn_of(node), [Arrived(sealed, None)]))

    @rule(name=SOME, pick=ANY, bit=ANY, inside=st.booleans())
    def flip(self, name: str, pick: int, bit: int, inside: bool) -> None:
        """I2: a bit turned anywhere, also under a good outer seal, changes nothing."""
        node = self.node(name)
        if not node.up or node.effects_left is not None:
            return
        env = self.envelope(pick)
        raw = env.raw
        try:
            channel, inner = self.seals.open(env)
        except PeerFault:
            return
        if inside and inner[1] in FLIPPED:
            at = 16 + bit % (8 * len(inner) - 16)
            changed = _flipped(inner, at)
            raw = channel.seal(changed, ts_ms=turn_of(node).mesh_ms, ttl_days=1, entropy=self.world._entropy)
        else:
            raw = _flipped(raw, bit % (8 * len(raw)))
        before = facts(node)
        self.give(node, raw)
        assert facts(node) == before, "I2: changed by bytes that do not open"

    @rule(name=SOME, pick=ANY)
    def replay(self, name: str, pick: int) -> None:
        """The same inner in another envelope: shown again by nobody, which the log is asked in the end."""
        node, env = self.node(name), self.envelope(pick)
        if node.up and node.effects_left is None:
            try:
                channel, inner = self.seals.open(env)
            except PeerFault:
                return
            ts_ms = turn_of(node).mesh_ms
            self.give(node, channel.seal(inner, ts_ms=ts_ms, ttl_days=1, entropy=self.world._entropy))

    @rule(insider=SOME, victim=SOME, reader=SOME, pick=ANY)
    def forge(self, insider: str, victim: str, reader: str, pick: int) -> None:
        """An insider seals with another's chain key, under another's name, and signs itself."""
        forger, target = self.node(insider), self.node(reader)
        room = self.in_room(forger, self.room(pick))
        if room is None or not target.up or len({insider, victim}) == 1:
            return
        held = room.epochs.sending(room.roster_hash(), forger.now().wall_ms)
        device = self.node(victim).setup.identity.device_id
        chain = None if held is None else held.chain_of(device)
        if held is None or chain is None:
            return
        payload = Payload(
            self.world._entropy(16), forger.now().wall_ms, 1, Type.TEXT, ["forged", "text", None]
        )
        _, inner = roommsg.seal(
            SendChain(chain.key, chain.next_index, held.last.get(device, (bytes(16),))[0] or bytes(16)),
            kind=Kind.MESSAGE,
            room_id=room.room_id,
            epoch16=held.epoch16,
            device_id=device,
            view16=room.log.view16,
            payload=payload.encode(),
            dsk_sk=forger.setup.identity.dsk_sk,
            entropy=self.world._entropy,
        )
        ts_ms = turn_of(forger).mesh_ms
        self.give(target, held.channel.seal(inner, ts_ms=ts_ms, ttl_days=1, entropy=self.world._entropy))

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
        for node in nodes:
            for inbox in list(engine_of(node).state.rooms.inboxes.values()):
                if inbox.room.open:
                    self.speak(node, inbox.room.uuid)
        self.nothing_missing(nodes)
        for node in nodes:
            self.checks.in_causal_order(node)
            self.checks.old_is_gone(node)
        self.checks.rosters_agree()
        self.days = 0
        self.always()

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
        finally:
            logging.getLogger().removeHandler(self.told)
            self.network.remove()
            self.run.remove()


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
