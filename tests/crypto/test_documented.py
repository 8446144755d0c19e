"""docs/crypto.md, section 5, names each field of each structure and each label: counted against real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.crypto.labels import REGISTRY
from node.crypto.primitives import seal_open
from node.wire.codec import unpack
from tests.crypto import artefacts as a
from tests.crypto.all_artefacts import WRAPPED

PAGE = (Path(__file__).parents[2] / "docs" / "crypto.md").read_text()
SECTION = PAGE.split("\n## 5. Field by field")[1]


def sealed(inner: bytes, signatures: int) -> bytes:
    """Return what the box of an inner `[type, sealed box]` holds, its signatures cut off."""
    plain = seal_open(a.BEN.keys.intro_secret, a.BEN.keys.intro_pub, unpack(inner)[1])
    return plain[: len(plain) - 64 * signatures]


MESSAGE = a.make_room_message()
STRUCTURES = {
    "DeviceCert": a.ADA.cert.raw[:-128],
    "DeviceList": a.ADA.devices.raw[:-64],
    "PrekeyBundle": a.ADA_BUNDLE.raw[:-64],
    "ContactRequest": sealed(a.make_request(), 1),
    "Intro": sealed(a.make_intro(), 0),
    "Direct message": a.make_direct(),
    "Room message": MESSAGE,
    "Core": unpack(MESSAGE)[1],
    "Op": a.OP.raw[:-64],
    "EpochAnnounce": a.NEW_EPOCH.announce[:-64],
    "JoinReq": unpack(a.make_join_request())[1][:-128],
    "Welcome": a.WELCOME.encode(),
    "Node record": a.RECORD[:-64],
    "Ephemeral": next(kind.raw for kind in a.INNERS.values() if kind.inner == a.Inner.EPHEMERAL),
    "Object part": next(kind.raw for kind in a.INNERS.values() if kind.inner == a.Inner.OBJECT_PART),
    "Wrap record": WRAPPED,
}


def documented() -> dict[str, list[list[str]]]:
    """Return the rows of each structure's table that begin with a field's number."""
    tables = {}
    for part in SECTION.split("\n#### ")[1:]:
        name, _, rest = part.partition("\n")
        rest = re.split(r"\n###? ", rest)[0]
        rows = [
            line.strip("|").split("|") for line in rest.splitlines() if re.match(r"\| \d+ \|.*\|.*\|", line)
        ]
        tables[name.strip()] = [[cell.strip() for cell in row] for row in rows]
    return tables


TABLES = documented()


def test_every_structure_has_a_table_and_every_table_a_structure() -> None:
    assert TABLES.keys() == STRUCTURES.keys()


@pytest.mark.parametrize("name", STRUCTURES)
def test_each_field_has_its_row(name: str) -> None:
    fields = unpack(STRUCTURES[name])
    rows = [row for row in TABLES[name] if len(row) == 4]
    assert [int(row[0]) for row in rows] == list(range(len(fields)))


@pytest.mark.parametrize("name", STRUCTURES)
def test_sizes_in_the_table_are_those_of_the_bytes(name: str) -> None:
    for row, value in zip(TABLES[name], unpack(STRUCTURES[name]), strict=False):
        if exact := re.fullmatch(r"bin (\d+)", row[2]):
            assert type(value) is bytes and len(value) == int(exact[1]), row
        elif re.fullmatch(r"u\d+|\d+", row[2]):
            assert type(value) is int, row
            assert not row[2].isdigit() or value == int(row[2]), row
        elif row[2] == "nil":
            assert value is None, row


def test_the_labels_listed_are_the_labels_there_are() -> None:
    table = SECTION.split("\n### The labels")[1]
    listed = [
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted(listed) == sorted(REGISTRY)
