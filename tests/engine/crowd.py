"""Rooms of hundreds in one process: whole engines with real keys, on a sparse mesh.

What many nodes would work out alike is worked out once (`sharing`): that a signature over these bytes by this
key holds, what these bytes are as an envelope or an op, what a channel's key signs and opens, which chains
come of this secret, what a set of ops comes to. Each is a pure
function of what it is remembered by, so every node comes to what it would come to alone. Equal stored rows
are one object. Nodes of the daemon share nothing: the protocol is what is tested here.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from node.chat import membership, turn as turns
from node.chat.joining import Joining
from node.chat.objects import Assembly
from node.chat.resolver import Graph, Outcome
from node.chat.room import Room
from node.chat.roster import State
from node.crypto import channel, epoch, ops, primitives
from node.crypto.channel import Inner
from node.crypto.epoch import REASON_ROSTER
from node.crypto.joining import invite_keypair, link_invite_id
from node.crypto.links import RoomLink
from node.crypto.primitives import box_open, dh
from node.engine import shelving
from node.errors import CryptoFault
from node.mesh import exchange, spreading
from node.sim import SimNode, Simulation
from node.wire import codec, envelope
from tests.engine.hostile import engine_of, release, room_of, turn_of
from tests.engine.oracle import _inner, _outer, knowledge

NEAR = 20
"""A new node links to one of so many before it: paths stay short, and few links carry much."""
AT_ONCE = 25
"""Welcomes in one turn: what a link's queue holds."""
OUTCOMES = 400
"""Sets of ops whose outcome is remembered: nodes are not far apart in what they know."""
CHORDS = 8
"""Every eighth has a second link, so that the mesh is no tree."""


def _once(real: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def call(*args: Any) -> Any:
        if args not in known:
            known[args] = real(*args)
        return known[args]

    return call


def _resolved(real: Callable[[Graph, int], Outcome]) -> Callable[[Graph, int], Outcome]:
    """Work out once what a set of ops comes to; each log gets a state of its own, which it goes on with."""
    known: dict[frozenset[bytes], Outcome] = {}

    def call(graph: Graph, bits: int) -> Outcome:
        key = frozenset(node.op.op_id for node in graph.nodes(bits))
        found = known.pop(key) if key in known else real(graph, bits)
        known[key] = found  # the newest last
        while len(known) > OUTCOMES:
            del known[next(iter(known))]
        fields = {name: copy(getattr(found.state, name)) for name in State.__slots__}
        return replace(found, state=State(**fields))

    return call


@contextmanager
def sharing() -> Iterator[None]:
    """Share pure work among the nodes of this process; refusals are worked out each time."""
    derive = _once(lambda secret, epoch_id, devices: epoch_derive(secret, epoch_id, list(devices)))
    epoch_derive = epoch._derive
    card = _once(lambda raw: ops.card_of(ops.parse_op(raw)))
    parse_envelope, parse_op = _once(envelope.parse), _once(ops.parse_op)
    rows: dict[bytes, bytes] = {}
    pack = turns.pack_row
    gc.collect()
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1_000)  # millions of objects that stay are not looked at again and again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(primitives, "verify_raw", _once(primitives.verify_raw))
        for name in ("sign", "box_open", "ed25519_keypair"):  # of a channel that many have the secret of
            patch.setattr(channel, name, _once(getattr(channel, name)))
        patch.setattr(epoch, "_derive", lambda secret, name, devices: derive(secret, name, tuple(devices)))
        patch.setattr(membership, "card_of", lambda op: card(op.raw))
        patch.setattr(envelope, "parse", parse_envelope)
        patch.setattr(exchange, "parse", parse_envelope)
        patch.setattr(spreading, "parse", parse_envelope)
        patch.setattr(ops, "parse_op", parse_op)
        patch.setattr(membership, "resolve", _resolved(membership.resolve))
        patch.setattr(ops, "check_leaf", _once(ops.check_leaf))
        patch.setattr(turns, "pack_row", lambda value: rows.setdefault(data := pack(value), data))
        patch.setattr(shelving, "_put", _once(shelving._put))
        yield
    gc.set_threshold(*usual)


class _Forgotten(list[bytes]):
    """What a node has sent is not kept: a thousand of them would keep gigabytes."""

    def append(self, _data: bytes) -> None:
        pass


def mesh_of(world: Simulation, count: int, seed: int = 1) -> list[SimNode]:
    """Add so many nodes that know of each other only whom they dial."""
    chance, nodes = Random(seed), []
    for number in range(count):
        peers = {f"n{chance.randrange(max(0, number - NEAR), number)}"} if number else set()
        if number > NEAR and number % CHORDS == 0:
            peers.add(f"n{chance.randrange(number)}")
        nodes.append(world.add(f"n{number}", peers=sorted(peers), listed=False))
        nodes[-1].sent_bytes = _Forgotten()
    return nodes


def batch_of(world: Simulation, nodes: list[SimNode], link: RoomLink) -> None:
    """Let the first node answer everybody's join request in one turn: many adds, one epoch.

    The requests reach it past the mesh, and the adds travel in the welcomes alone, for nobody else is in the
    room; log, slots and welcomes then go the usual way.
    """
    host = nodes[0]
    room, joins = room_of(host), engine_of(host).state.joins
    invite_id = link_invite_id(invite_keypair(link.invite_seed)[0])
    turn, requests = turn_of(host), []
    for guest in nodes[1:]:
        request, invite = joins.judge(turn, room, invite_id, _asked(guest, link, invite_id))
        op = room.signed(turn, joins._add_of(request, invite.role))
        room.log.add(op)
        room.store_op(turn, op)
        host_people = engine_of(host).state.people
        host_people.pin(
            turn, host_people.meet(turn, request.account, request.name), request.cert, request.devices
        )
        requests.append(request)
    room.rekey(turn, REASON_ROSTER)
    room.save(turn)
    release(host, turn)
    world.run(1)
    for at in range(0, len(requests), AT_ONCE):
        turn = turn_of(host)
        batch = joins.batch(room)
        for one in requests[at : at + AT_ONCE]:
            batch.add(turn, one.account, one.cert.device_id, invite_id, one.cert.intro)
        joins.welcome_named(turn, batch)
        release(host, turn)
        world.run(0.1)


def _asked(guest: SimNode, link: RoomLink, invite_id: bytes) -> bytes:
    """Return a guest's join request, kept from the mesh; the guest waits for the answer."""
    engine, turn = engine_of(guest), turn_of(guest)
    now = turn.mesh_ms
    wish = Joining(link.room_id, invite_id, link.inviter, "", now, now, link.invite_seed)
    engine.state.joins.ask(turn, wish)
    (sealed,) = turn.posts
    turn.posts.clear()
    release(guest, turn)
    return engine.state.joins.route(wish).channel.open(sealed)


def closed_to(node: SimNode, raws: Iterable[bytes], insider: SimNode, *, slots: int) -> int:
    """Return how many envelopes nothing that a node knows opens, `insider` knowing their channels.

    Every 32 bytes of its memory and store are tried: as chain key of any step on messages, as a leaf on so
    many slots of every announce, taken evenly.
    """
    room = room_of(insider)
    channels = [held.channel for held in room.epochs.held.values()]
    keys = knowledge(node)
    chains = {key for held in room_of(node).epochs.held.values() for key in held.idle.values()}
    closed, parts = 0, Assembly()
    for raw in raws:
        inner = _outer(envelope.parse(raw), channels)
        assert inner is not None
        content = parts.take(inner) if inner[1] == Inner.OBJECT_PART else inner
        if content is None:
            closed += 1
        elif content[1] == Inner.ANNOUNCE:
            closed += not _slot_opens(content, keys - chains, room, slots)
        else:
            closed += not _inner(content, keys)
    return closed


def _slot_opens(inner: bytes, keys: Iterable[bytes], room: Room, most: int) -> bool:
    announce, packed = epoch.parse_announce_inner(inner)
    salted = announce.salt + announce.commitment + announce.room_id
    devices = room.log.roster_at(announce.heads).device_ids()
    pairs = list(zip(devices, codec.unpack(packed), strict=True))[:: max(1, len(devices) // most)]
    for key in keys:
        with suppress(CryptoFault):
            shared = dh(key, announce.ek_pub)
            for device, (leaf_id, box) in pairs:
                with suppress(CryptoFault):
                    box_open(
                        box, bytes(24), epoch._slot_key(shared, salted, device, leaf_id, announce.ek_pub)
                    )
                    return True
    return False
