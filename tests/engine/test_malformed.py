"""Changed bytes, at every depth: outside, inside a good outside, under a good signature. Nothing falls.

The corpus is what a small world really sent. What is changed must leave store and memory as they were; what
is well signed and means nothing may use up its place in a chain, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from node.chat import commands as c
from node.chat.channels import Route
from node.chat.turn import Turn
from node.crypto import ratchet, roommsg
from node.crypto.roommsg import Kind
from node.errors import PeerFault
from node.mesh.ports import Arrived
from node.sim import SimNode
from node.wire import codec, envelope
from node.wire.envelope import Envelope
from node.wire.payload import Type
from tests.engine.hostile import engine_of, give, room_of, sending, session_of, turn_of
from tests.engine.worlds import befriend, invite, trio

SEED = 20_260_801
MUTATIONS = 10_000
CACHES = frozenset({"_days", "_roster", "_states", "_user_ids", "entropy", "parted_then"})


@cache
def world() -> tuple[SimNode, SimNode, tuple[bytes, ...]]:
    """Return ann, bob, and what was sent until all three were in a room, talked, and one went."""
    around, ann, bob, cat, room = trio("malformed")
    befriend(around, bob, cat)
    invite(around, bob, cat, room)
    for node in (ann, bob, cat):
        node.call(c.UserMessage(room=room, message=f"from {node.name}"))
        around.run(2)
    bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="between us"))
    around.run(2)
    cat.call(c.UserLeave(room=room))
    bob.call(c.UserMessage(room=room, message="the last"))
    around.run(5)
    turn = turn_of(bob)
    engine_of(bob).desk.inbox.beats._post(turn, 1)
    raws = ann.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0]
    return ann, bob, (*raws, turn.posts[-1].raw)


def dump(thing: Any, seen: set[int] | None = None) -> Any:
    """Return everything a node remembers, as nested tuples; caches left out."""
    seen = set() if seen is None else seen
    if thing is None or isinstance(thing, bytes | str | int | float | bool):
        return thing
    if isinstance(thing, dict):
        return sorted(((repr(key), dump(value, seen)) for key, value in thing.items()), key=repr)
    if isinstance(thing, set | frozenset):
        return sorted(map(repr, thing))
    if isinstance(thing, list | tuple):
        return tuple(dump(item, seen) for item in thing)
    if id(thing) in seen or isinstance(thing, Callable) or not type(thing).__module__.startswith("node"):  # type: ignore[arg-type]
        return type(thing).__name__
    seen.add(id(thing))
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    names = sorted({*slots, *getattr(thing, "__dict__", {})} - CACHES)
    return type(thing).__name__, [(name, dump(getattr(thing, name, None), seen)) for name in names]


def facts(node: SimNode) -> str:
    """Return a hash of a node's rows and memory."""
    rows = dump(node.store.load().rows)
    engine = engine_of(node)
    memory = dump([engine.state, engine.desk.inbox, engine.desk.inviting.shown])
    return blake2b(repr((rows, memory)).encode()).hexdigest()


def mutated(rng: Random, raw: bytes, others: tuple[bytes, ...]) -> bytes:
    """Return other bytes: bits turned, bytes put, cut, doubled, or two things joined in the middle."""
    data = bytearray(raw)
    match rng.randrange(6):
        case 0 | 1:
            for _ in range(rng.choice((1, 1, 1, 2, 8))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0x90, 0xC0, 0xC4, 0xFF))
        case 3:
            at = rng.randrange(len(data))
            del data[at : at + rng.randrange(1, 40)]
        case 4:
            at, size = rng.randrange(len(data)), rng.randrange(1, 40)
            data[at:at] = data[at : at + size]
        case _:
            other = rng.choice(others)
            at = rng.randrange(len(data))
            data[at:] = other[at:]
    return bytes(data)


def take(node: SimNode, raw: bytes) -> None:
    """Do what a mesh does with bytes that it was given, and the engine with what comes of it."""
    engine = engine_of(node)
    try:
        sealed = envelope.parse(raw)
        engine._verify(sealed)
    except PeerFault:
        return
    node.perform(engine._release(turn_of(node), [Arrived(sealed, None)]))


@pytest.mark.attack("A07")
def test_envelopes_with_any_bytes_changed_leave_a_node_as_it_was() -> None:
    ann, _, corpus = world()
    rng = Random(SEED)
    before = facts(ann)
    for _ in range(MUTATIONS):
        raw = mutated(rng, rng.choice(corpus), corpus)
        if raw not in corpus:
            take(ann, raw)
    assert facts(ann) == before
    assert engine_of(ann).late_faults == 0


def insides(node: SimNode, corpus: Iterable[bytes]) -> list[tuple[Route, bytes]]:
    """Return (route, inner) of all that a node can open the outside of."""
    found = []
    for raw in corpus:
        sealed = envelope.parse(raw)
        route = engine_of(node).state.channels.find(sealed.rk)
        if route is not None:
            found.append((route, route.channel.open(sealed)))
    return found


def resealed(node: SimNode, route: Route, inner: bytes, kind: int) -> Envelope | None:
    """Return an envelope around changed bytes, as whoever knows the channel could make it."""
    try:
        raw = route.channel.seal(
            inner,
            ts_ms=node.now().wall_ms,
            ttl_days=0 if kind else 1,
            ephemeral=bool(kind),
            entropy=node.setup.entropy,
        )
    except (AssertionError, PeerFault):
        return None
    return envelope.parse(raw)


@pytest.mark.attack("A07")
def test_well_sealed_envelopes_with_any_bytes_changed_inside_leave_a_node_as_it_was() -> None:
    ann, _, corpus = world()
    rng = Random(SEED)
    inners = insides(ann, corpus)
    plain = tuple(inner for _, inner in inners)
    assert {route.channel.kind for route, _ in inners} == {1, 2, 3, 4, 5}
    for account in engine_of(ann).state.people.by_account:  # the one reset an hour has been done and noted
        engine_of(ann).state.contacts.resets.last[account] = (ann.now().wall_ms, True)
    before = facts(ann)
    tried = 0
    while tried < MUTATIONS:
        route, inner = rng.choice(inners)
        changed = mutated(rng, inner, plain)
        sealed = resealed(ann, route, changed, int(changed[1:2] == b"\x0a") ^ (rng.random() < 0.05))
        tried += 1
        if sealed is None or changed in plain or is_part(changed):
            continue
        turn = turn_of(ann)
        engine_of(ann)._open(turn, sealed)
        assert nothing_in(turn), (route.channel.kind, changed.hex())
    assert facts(ann) == before
    assert engine_of(ann).late_faults == 0


def is_part(inner: bytes) -> bool:
    """Parts of Objects are kept until all are there, and belong to nothing before."""
    return inner[1:2] == b"\x07"


def nothing_in(turn: Turn) -> bool:
    return not (turn.rows or turn.posts or turn.out or turn.watch or turn.unwatch or turn.addresses)


# -- what is well signed and means nothing --------------------------------------------------------

_TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
_IDS = st.binary(min_size=16, max_size=16)
_BODIES = st.one_of(
    _TREES,
    st.tuples(st.text(max_size=50), st.text(max_size=20), st.none() | _IDS),
    st.tuples(
        *[st.text(max_size=20), *[st.none() | st.text(max_size=20)] * 2, st.none() | st.just(bytes(32))]
    ),
    st.tuples(_IDS, st.integers(0, 255), st.none() | st.integers(0, (1 << 63) - 1)),
    st.tuples(
        _IDS,
        _IDS,
        st.just(bytes(32)),
        st.text(max_size=9),
        st.text(max_size=9),
        st.text(),
        st.integers(0, 1 << 62),
    ),
    st.tuples(st.text(min_size=1, max_size=50), st.integers(0, 255), st.sampled_from(["{}", "[", '{"a":1}'])),
    st.binary(min_size=64, max_size=300),
)
_LEAVES = st.none() | st.tuples(
    st.integers(0, (1 << 32) - 1), st.sampled_from([bytes(32), b"\x09" + bytes(31)])
)
_PAYLOADS = st.builds(
    lambda mid, times, refs, leaf, kind, body: codec.pack([1, mid, *times, refs, [], leaf, kind, body]),
    _IDS,
    st.tuples(st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1)),
    st.lists(_IDS, max_size=8),
    _LEAVES,
    st.sampled_from([*Type, 0, 8, 255]),
    _BODIES,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(payload=_PAYLOADS, kind=st.sampled_from(Kind), by_dm=st.booleans())
def test_whatever_a_member_or_contact_signs_and_seals_does_not_stop_a_node(
    payload: bytes, kind: Kind, by_dm: bool
) -> None:
    ann, bob, _ = world()
    turn = turn_of(bob)
    if by_dm:
        dms, session = engine_of(bob).state.dms, session_of(bob, ann)
        state, inner = ratchet.encrypt(session.ratchet, payload, bob.setup.entropy)
        dms._save(turn, type(session)(*[*[getattr(session, f) for f in _FIELDS], state]))
        sealed = turn.post(dms._channels[session.session_id], inner)
    else:
        room, held = room_of(bob), sending(bob)
        assert held.send is not None
        held.send, inner = roommsg.seal(
            held.send,
            kind=kind,
            room_id=room.room_id,
            epoch16=held.epoch16,
            device_id=room.me.device_id,
            view16=room.log.view16,
            payload=payload,
            dsk_sk=room.me.identity.dsk_sk,
            entropy=bob.setup.entropy,
        )
        sealed = turn.post(held.channel, inner)
    give(ann, [sealed])
    assert engine_of(ann).late_faults == 0


_FIELDS = ("session_id", "account", "initiator", "created_ms", "channel_secret")
