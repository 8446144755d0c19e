"""The frozen files as values, for those who check them; nothing of the real code is needed to read them."""

from __future__ import annotations

import json
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.independent.curves import x25519_public
from tests.independent.people import Person

HERE = Path(__file__).parent


def _bytes_of(value: Any) -> Any:
    match value:
        case str() if value.startswith("0x"):
            return bytes.fromhex(value[2:])
        case list():
            return [_bytes_of(item) for item in value]
        case dict():
            return {key: _bytes_of(item) for key, item in value.items()}
        case _:
            return value


@cache
def vector(name: str) -> Any:
    return _bytes_of(json.loads((HERE / f"{name}.json").read_text("utf-8")))


@cache
def entry(name: str) -> dict[str, Any]:
    return next(one for one in vector("people")["people"] if one["name"] == name)


@cache
def person(name: str) -> Person:
    one = entry(name)
    seeds = ("account_seed", "device_seed", "dik_secret", "intro_secret", "node_seed")
    return Person(*(one[seed] for seed in seeds))


def card(name: str) -> list[bytes]:
    return [entry(name)[part] for part in ("certificate", "device_list", "bundle", "node_record")]


def leaf(name: str) -> list[Any]:
    return [entry(name)["leaf_id"], x25519_public(entry(name)["leaf_secret"])]


def plain_hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def filler(kind: int, size: int) -> bytes:
    return bytes([0x92, kind]) + bytes(at % 251 for at in range(size - 2))
