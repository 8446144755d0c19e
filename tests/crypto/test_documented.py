"""docs/crypto.md, section 5, names each field of each structure and each label: counted against real ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from node.chat import backup as backups
from node.chat.op_exchange import _WANT
from node.crypto import backup, roomitem, roommsg, stream, welcome
from node.crypto.attachment import AttachmentSealer, block_names
from node.crypto.channel import Inner
from node.crypto.labels import REGISTRY
from node.crypto.primitives import seal_open
from node.wire import manifest as manifests
from node.wire.codec import decode, pack, unpack
from node.wire.payload import Payload, Type, decode as read_payload
from tests.crypto import artefacts as a
from tests.crypto.all_artefacts import BACKUP, WRAPPED

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "crypto.md").read_text()
SECTION = PAGE.split("\n## 5. Field by field")[1]


def sealed(inner: bytes, signatures: int) -> bytes:
    """Return what the box of an inner `[type, sealed box]` holds, its signatures cut off."""
    plain = seal_open(a.BEN.keys.intro_secret, a.BEN.keys.intro_pub, unpack(inner)[1])
    return plain[: len(plain) - 64 * signatures]


def body(kind: Type, *fields: Any) -> bytes:
    """Return the body of a payload that a reader takes."""
    read = read_payload(Payload(ID, 1, 1, kind, list(fields)).encode())
    return pack(read.body)


def trailer() -> bytes:
    """Return what the last chunk of a stream of one piece holds."""
    count = stream._Count()
    count.add(b"piece")
    return decode_as(stream._TRAILER, count.trailer())


def manifest() -> bytes:
    """Return the manifest of an attachment that a reader takes, in its longer form."""
    sealer = AttachmentSealer(a.entropy())
    raw = sealer.add(bytes(2_000_000)) + sealer.finish()
    found = sealer.manifest("tea.png", "image/png", block_names(len(raw), iter([raw])))
    made = found.held_by((b"record",), ("ws://relay:1",)).encode()
    assert manifests.parse(made).encode() == made
    return made


def decode_as(shape: Any, raw: bytes) -> bytes:
    """Return bytes that are of a shape."""
    decode(raw, shape)
    return raw


def record(said: backups.Record) -> bytes:
    """Return a record of a backup that a reader takes."""
    raw = backups.encode(said)
    assert backups.decode(raw) == said
    return raw


ID, KEY = b"i" * 16, b"k" * 32
MESSAGE = a.make_room_message()
SHELVED = welcome.Welcome(
    a.ROOM, (a.OP.raw,), (), a.NEW_EPOCH.announce, b"", (a.RECORD,), (ID,), shelf=KEY, objects=(KEY,)
)
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
    "Ephemeral": next(kind.raw for kind in a.INNERS.values() if kind.inner == Inner.EPHEMERAL),
    "Object part": next(kind.raw for kind in a.INNERS.values() if kind.inner == Inner.OBJECT_PART),
    "Wrap record": WRAPPED,
    "Payload": a.PAYLOAD,
    "Text": body(Type.TEXT, "hello", "text", ID),
    "Text with more": body(Type.TEXT, "hello", "text", ID, 60, [KEY], b"manifest"),
    "Profile": body(Type.PROFILE, "ada", None, "here", KEY),
    "Invite": body(Type.INVITE, ID, ID, KEY, "tea", "room", "{}", 1),
    "Invite result": body(Type.INVITE_RESULT, ID, 1, 1),
    "Nack for indexes": body(Type.NACK, ID, ID, 0, 1),
    "Nack for names": body(Type.NACK, [ID]),
    "Nack for places": body(Type.NACK, ID, [[KEY, 0, 1]], [ID]),
    "Epoch want": body(Type.EPOCH_WANT, ID, ID),
    "Epoch share": body(Type.EPOCH_SHARE, 1, a.NEW_EPOCH.announce, KEY, KEY, [[ID, 1, KEY]], [[ID, 0, KEY]]),
    "Object": body(Type.OBJECT, KEY, KEY, int(Type.HISTORY)),
    "History": body(Type.HISTORY, ID, [roomitem.make_item(roommsg.parse(MESSAGE), KEY)]),
    "History item": roomitem.make_item(roommsg.parse(MESSAGE), KEY),
    "History want": body(Type.HISTORY_WANT, ID),
    "Receipt": pack(unpack(body(Type.RECEIPT, [ID, ID, ID]))[0]),
    "Resent": body(Type.RESENT, ID, 1, ["hello", "text", None]),
    "Announcement": body(Type.ANNOUNCEMENT, "the spring cup", 2, "{}"),
    "Resent change": body(Type.RESENT, ID, 1, int(Type.DELETE), [ID, KEY]),
    "Edit": body(Type.EDIT, ID, "hello", [KEY], 60),
    "Delete": body(Type.DELETE, ID, KEY),
    "Reaction": body(Type.REACTION, ID, KEY, "\N{THUMBS UP SIGN}", 1),
    "op_want": decode_as(_WANT, pack([11, [ID]])),
    "ops": a.INNERS["ops"].raw,
    "Welcome with a shelf": SHELVED.encode(),
    "Object of a shelf": decode_as(welcome._OBJECT, welcome.shelved([a.OP.raw])),
    "Listing": unpack(a.make_listing())[1][:-64],
    "Profile listing": unpack(a.make_profile())[1][:-64],
    "Attachment": manifest(),
    "Last chunk": trailer(),
    "Backup record: head": record(backups.Head(1, "0.1", KEY, "ada", sealed=True, seq=1)),
    "Backup record: owner": record(backups.Owner(KEY)),
    "Backup record: row": record(backups.Row("rooms", b"key", b"value")),
    "Backup record: message": record(backups.Message(ID, ID, 1, b"{}")),
    "Backup record: end": record(backups.End(1, 1)),
}
LAYOUTS = {"Backup file": BACKUP.head}
"""Bytes one after the other, not an array."""


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
    assert TABLES.keys() == STRUCTURES.keys() | LAYOUTS.keys()


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


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_fields_of_a_layout_fill_its_bytes(name: str) -> None:
    sizes = [int(number) // (8 if unit == "u" else 1) for _, unit, number in layout(name)]
    assert sum(sizes) == len(LAYOUTS[name])
    assert LAYOUTS[name].startswith(backup.MAGIC + bytes([backup.VERSION]))


def layout(name: str) -> list[tuple[str, str, str]]:
    """Return (field, `u` or `bin `, bits or bytes) of each row."""
    found = [(row[1], re.fullmatch(r"(u|bin )(\d+)", row[2])) for row in TABLES[name]]
    assert all(form for _, form in found)
    return [(field, form[1], form[2]) for field, form in found if form]


def test_every_type_of_payload_stands_in_the_protocol_in_order() -> None:
    section = (DOCS / "protocol.md").read_text("utf-8").split("\n## 9. Payload")[1]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", section, re.M)] == sorted(Type)


def test_the_labels_listed_are_the_labels_there_are() -> None:
    table = SECTION.split("\n### The labels")[1]
    listed = [
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted(listed) == sorted(REGISTRY)
