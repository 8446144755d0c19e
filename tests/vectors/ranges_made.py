"""Vectors of the comparing of days: two sides that differ, and all that they say to each other."""

from __future__ import annotations

from typing import Any

from node.clock import DAY_MS
from node.mesh.days import Entry
from node.mesh.index import Index, Items, fingerprint
from node.mesh.ranges import Found, answer, begin, go_on
from node.wire.negentropy import END, Bound
from tests.vectors.cast import NOW, fixed


def negentropy() -> dict[str, Any]:
    ids = [fixed(f"fingerprint {number}") for number in range(3)]
    return {
        "fingerprints": [
            {"ids": ids[:count], "fingerprint": fingerprint(_sum(ids[:count]), count)} for count in range(4)
        ],
        "conversations": [
            _conversation("milliseconds", NOW, 7_919, END),
            _conversation("seconds", NOW // 1_000, 3, END),
            _conversation("milliseconds, up to a time", NOW, 7_919, (NOW + 300_000, b"")),
        ],
    }


def _conversation(name: str, start: int, step: int, end: Bound) -> dict[str, Any]:
    both = [(start + step * (at // 2), fixed(f"both {name} {at}")) for at in range(70)]
    opener = [*both, *((start + step * at, fixed(f"opener {name} {at}")) for at in (3, 20))]
    other = [*both, *((start + step * at, fixed(f"other {name} {at}")) for at in (3, 33, 40))]
    said, found = [begin(_items(opener), end)], Found()
    while True:
        said.append(answer(_items(other), said[-1]))
        following = go_on(_items(opener), said[-1], found)
        if following is None:
            break
        said.append(following)
    return {
        "name": name,
        "end": list(end),
        "both": [list(entry) for entry in both],
        "opener_only": [list(entry) for entry in sorted(opener) if entry not in both],
        "other_only": [list(entry) for entry in sorted(other) if entry not in both],
        "messages": said,
        "have": sorted(eid for _, eid in found.have),
        "need": sorted(found.need),
    }


def _items(entries: list[Entry]) -> Items:
    day = entries[0][0] // DAY_MS
    return Index((eid, ts, 1 << 60) for ts, eid in entries).items(day, 0, 1 << 60)


def _sum(ids: list[bytes]) -> int:
    return sum(int.from_bytes(eid, "little") for eid in ids)
