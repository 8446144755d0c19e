"""Who has a node's whole state and every envelope ever sent: what can they compute?

`knowledge` takes every key out of memory and rows. `closure` follows every derivation, agreement and box that
anybody in the run ever computed, from what is known to what is not: a Dolev-Yao attacker with real bytes.
What the run's honest nodes never computed is left to the brute force of `tests/engine/oracle.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from node.sim import SimNode
from tests.engine.invariants.record import Recorder
from tests.engine.oracle import _children

SIZES = (32, 64)
MOST = 64 * 1024


def knowledge(node: SimNode) -> frozenset[bytes]:
    """Return every 32-byte value in the memory and the rows of a node that runs, cut out of longer ones."""
    assert node.engine is not None
    engine = node.engine
    seen: set[int] = set()
    found: set[bytes] = set()
    stack: list[Any] = [engine.state, engine.desk.inbox, engine.desk.inviting, engine.replay]
    stack += [node.setup.identity]
    for rows in node.store.load().rows.values():
        stack += rows.values()
    keep: list[Any] = []  # an id names an object only while it lives
    while stack:
        thing = stack.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        keep.append(thing)
        if isinstance(thing, bytes):
            found.update(cuts(thing))
        else:
            stack += _children(thing)
    return frozenset(found)


@lru_cache(1 << 15)
def cuts(data: bytes) -> tuple[bytes, ...]:
    """Return what may be keys in a byte string: it, its aligned pieces, and what msgpack holds in it."""
    return tuple(_cut(data))


def _cut(data: bytes) -> Iterator[bytes]:
    if len(data) in SIZES:
        yield data
    if len(data) % 32 == 0 and len(data) <= MOST:
        yield from (data[at : at + 32] for at in range(0, len(data), 32))
    elif 32 < len(data) <= MOST:
        try:
            yield from _inside(msgspec.msgpack.decode(data))
        except (msgspec.MsgspecError, ValueError):
            yield from _marked(data)


def _inside(thing: Any) -> Iterator[bytes]:
    if isinstance(thing, bytes):
        yield from _cut(thing)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from _inside(key)
            yield from _inside(value)
    elif isinstance(thing, list):
        for item in thing:
            yield from _inside(item)


def _marked(data: bytes) -> Iterator[bytes]:
    for size in SIZES:
        marker = bytes((0xC4, size))
        at = data.find(marker)
        while at >= 0:
            yield data[at + 2 : at + 2 + size]
            at = data.find(marker, at + 1)


def closure(known: Iterable[bytes], run: Recorder, *, traffic: bool) -> set[bytes]:
    """Return all that follows from `known`; with `traffic`, from all recorded boxes and public keys too."""
    have: set[bytes] = set()
    waiting: dict[bytes, list[bytes]] = defaultdict(list)
    stack = [*known, *(bytes(size) for size in SIZES)]
    while stack:
        while stack:
            key = stack.pop()
            if key not in have:
                have.add(key)
                stack += waiting.pop(key, ())
                stack += _follow(key, have, waiting, run)
                if traffic:
                    stack += run.agreed.get(key, ())
                    stack += (cut for boxed in run.boxes.get(key, ()) for cut in cuts(boxed.plain))
        if traffic:
            stack = [out for out, parts in run.joint.items() if out not in have and have.issuperset(parts)]
    return have


def _follow(
    key: bytes, have: set[bytes], waiting: dict[bytes, list[bytes]], run: Recorder
) -> Iterator[bytes]:
    """Yield what hashing with `key` gives; where a second secret is needed, it waits for that."""
    for step in run.derived.get(key, ()):
        outs = [step.out, step.out[:32], step.out[32:64]]
        if step.also is None or step.also in have:
            yield from outs
        else:
            waiting[step.also] += outs
