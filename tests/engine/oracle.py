"""The compromise oracle: everything a node knows, tried as a key on everything that was ever sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from node.crypto import chain, roommsg
from node.crypto.channel import Channel, ChannelKind
from node.crypto.labels import Label
from node.crypto.primitives import box_open, dh, digest, kdf
from node.errors import CryptoFault, PeerFault
from node.sim import SimNode
from node.wire import codec, envelope

STEPS = 40
"""How far every 32-byte value is walked as a chain key."""


def knowledge(node: SimNode) -> set[bytes]:
    """Return every 32-byte value in a node's memory and store, cut out of longer ones too."""
    found: set[bytes] = set()
    seen: set[int] = set()
    assert node.engine is not None
    stack: list[Any] = [node.engine.state, node.setup.identity]
    stack += [v for rows in node.store.load().rows.values() for v in rows.values()]
    while stack:
        thing = stack.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, bytes):
            found |= set(_cuts(thing))
            continue
        stack += _children(thing)
    return found


def _cuts(data: bytes) -> Iterator[bytes]:
    if len(data) == 64:
        yield data[:32]
        yield data[32:]
    elif len(data) == 32:
        yield data
    elif len(data) < 2000:
        marker = b"\xc4\x20"
        at = data.find(marker)
        while at >= 0:
            yield data[at + 2 : at + 34]
            at = data.find(marker, at + 1)


def _children(thing: Any) -> Iterable[Any]:
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    slots, ours = _layout(type(thing))
    if not ours:
        return []
    return [*(getattr(thing, name, None) for name in slots), *getattr(thing, "__dict__", {}).values()]


@cache
def _layout(kind: type) -> tuple[tuple[str, ...], bool]:
    """Return the names of what instances hold outside a `__dict__`, and whether the type is ours."""
    slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    fields = getattr(kind, "__struct_fields__", ())
    return (*slots, *(fields if isinstance(fields, tuple) else ())), kind.__module__.startswith(
        ("node", "tests")
    )


def opened(
    node: SimNode, raws: Iterable[bytes], insiders: Iterable[Channel], devices: Iterable[bytes]
) -> list[bytes]:
    """Return the plaintexts of room messages that a node's knowledge opens.

    The outer layer is given away for free (`insiders` are the real channels), so that what is tried is
    the message key itself: as chain key of any step, as seed, and straight.
    """
    keys = knowledge(node)
    plains: list[bytes] = []
    for raw in raws:
        sealed = envelope.parse(raw)
        inner = _outer(sealed, insiders)
        if inner is not None and inner[1] == 1:
            plains += _inner(inner, keys)
        elif inner is not None and inner[1] == 2:
            plains += _slots(inner, keys, set(devices))
    return plains


def _outer(sealed: envelope.Envelope, insiders: Iterable[Channel]) -> bytes | None:
    for channel in insiders:
        if channel.kind is ChannelKind.ROOM:
            try:
                return channel.open(sealed)
            except PeerFault:
                continue
    return None


def _inner(inner: bytes, keys: set[bytes]) -> list[bytes]:
    msg = roommsg.parse(inner)
    bound = digest(Label.RHDR, msg.core_bytes)
    for key in keys:
        step = key
        for _ in range(STEPS):
            step, seed = chain.step(Label.RCHAIN, step)
            for candidate in (kdf(Label.RMK, seed, bound, 32), kdf(Label.RMK, key, bound, 32), key):
                if kdf(Label.RKC, candidate, b"", 32) == msg.kc:
                    return [box_open(msg.ct, msg.nonce, candidate)]
    return []


def _slots(inner: bytes, keys: set[bytes], devices: set[bytes]) -> list[bytes]:
    """Try every value as a leaf's private half on every slot of an announce."""
    from node.crypto import epoch

    announce, slots = epoch.parse_announce_inner(inner)
    salted = announce.salt + announce.commitment + announce.room_id
    found: list[bytes] = []
    for key in keys:
        try:
            shared = dh(key, announce.ek_pub)
        except CryptoFault:
            continue
        for leaf_id, box in codec.unpack(slots):
            for device in devices:
                slot = epoch._slot_key(shared, salted, device, leaf_id, announce.ek_pub)
                try:
                    found.append(box_open(box, bytes(24), slot))
                except CryptoFault:
                    continue
    return found
