"""Small things to store."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from node.crypto.vault import StoreKeys
from node.store.records import AppendEvent, Put, PutEnvelope, PutMessage, Shelf, Table

KEYS = StoreKeys(master=b"m" * 32, shred=(b"s" * 32,))
ROOM = b"r" * 16
OTHER = b"o" * 16


def mid(number: int) -> bytes:
    return b"message " + number.to_bytes(8, "big")


def said(number: int, room: bytes = ROOM) -> PutMessage:
    return PutMessage(room, mid(number), number, b"text %d" % number)


def held(name: bytes, *, ts_ms: int = 1_000, expires_ms: int = 9_000, rk: bytes = b"k" * 32) -> PutEnvelope:
    raw = name.ljust(100, b".")
    return PutEnvelope(blake2b(raw, digest_size=32).digest(), rk, ts_ms, expires_ms, Shelf.OTHER, raw)


async def fill(store: Any) -> None:
    """One commit of every kind of record; seqs 1 to 4."""
    await store.commit(
        [
            Put(Table.ROOMS, b"room", b"its row"),
            Put(Table.ROOMS, b"room 2", b"its row"),
            Put(Table.CHAINS, b"chain", b"its key"),
            Put(Table.RATCHETS, b"ratchet", b"its key"),
            AppendEvent(1, 10, b"one"),
            AppendEvent(2, 10, b"two"),
            said(3),
            said(4),
            AppendEvent(3, 10, None, (ROOM, mid(3))),
            AppendEvent(4, 10, None, (ROOM, mid(4))),
            held(b"one"),
            held(b"two"),
        ]
    )
