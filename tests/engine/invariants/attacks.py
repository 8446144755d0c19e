"""What attackers do in the stateful test: steal states, turn bits, replay, and forge as an insider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import rule

from node.crypto import roommsg
from node.crypto.chain import SendChain
from node.crypto.channel import Inner
from node.crypto.roommsg import Kind
from node.errors import PeerFault
from node.mesh.ports import Arrived
from node.sim import SimNode
from node.tables import Table
from node.wire import envelope
from node.wire.envelope import Envelope
from node.wire.payload import Payload, Type
from tests.engine.hostile import engine_of, turn_of
from tests.engine.invariants.base import ANY, SOME, World
from tests.engine.test_malformed import dump, facts

FLIPPED = frozenset({Inner.ROOM_MESSAGE, Inner.ANNOUNCE, Inner.DM, Inner.CONTACT_REQUEST, Inner.INTRO})
"""What a signature or a box protects; parts, joins and asked-for ops are judged elsewhere."""


class Attacks(World):
    """The rules of what attackers do."""

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
        """I2: a bit turned anywhere, also under a good outer seal, changes nothing.

        What does not open on a direct session came from one of the two, and begins another session
        (docs/crypto.md 3.4, Reset): then what is there already stays as it was.
        """
        node = self.node(name)
        if not node.up or node.effects_left is not None:
            return
        env = self.envelope(pick)
        raw = env.raw
        try:
            channel, inner = self.seals.open(env)
        except PeerFault:
            return
        judge: Callable[[SimNode], str] = facts
        if inside and inner[1] in FLIPPED:
            if inner[1] == Inner.DM:
                judge = partial(lasting, sessions=list(engine_of(node).state.dms.sessions))
            at = 16 + bit % (8 * len(inner) - 16)
            changed = _flipped(inner, at)
            raw = channel.seal(changed, ts_ms=turn_of(node).mesh_ms, ttl_days=1, entropy=self.world._entropy)
        else:
            raw = _flipped(raw, bit % (8 * len(raw)))
        before = judge(node)
        self.give(node, raw)
        assert judge(node) == before, "I2: changed by bytes that do not open"

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


def lasting(node: SimNode, sessions: Iterable[bytes]) -> str:
    """Return what no reset may touch: rooms with their keys, what was shown, these sessions' ratchets."""
    state = engine_of(node).state
    ratchets = [dump(state.dms.sessions[session].ratchet) for session in sessions]
    shown = [event for _, event in node.store.events_after(0, 100_000) if b'"user_message"' in event]
    rows = node.store.load().rows
    kept = [
        sorted(rows.get(table, {}).items()) for table in (Table.ROOMS, Table.OPS, Table.EPOCHS, Table.CHAINS)
    ]
    return repr((kept, ratchets, shown))


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
