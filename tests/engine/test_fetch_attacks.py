"""Members and relays that abuse how attachments above 1 MiB are found and fetched (N20)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node import ids
from node.chat import commands as c, events, fetched
from node.chat.fetched import MAX_FETCHED
from node.clock import Instant
from node.crypto import noderec
from node.crypto.attachment import object_of
from node.errors import DecodeError
from node.mesh.ports import Dial, SeekBlocks
from node.sim import SimNode
from node.wire.manifest import Manifest, parse
from tests.engine.test_attachments import content, got, here, send, states, upload
from tests.engine.test_hostile_attachments import say, turned
from tests.engine.test_large_attachments import MIB, manifest_of
from tests.engine.worlds import trio

pytestmark = pytest.mark.mesh_attack("N20")


def unheld(base: Manifest, number: int) -> Manifest:
    """Return the manifest of something that nobody has."""
    key = number.to_bytes(32, "big")
    return replace(
        base, key=key, channel=key, blocks=tuple(bytes([number, n]) * 16 for n in range(len(base.blocks)))
    )


def record_at(node: SimNode, *addresses: str, seed: int = 7) -> bytes:
    now: Instant = node.now()
    return noderec.make_record(bytes([seed]) * 32, addresses=addresses, roles=frozenset(), seq=1, now=now)


def test_addresses_that_are_none_or_ask_for_pages_in_a_private_network_are_not_dialled() -> None:
    _, ann, bob, _, room = trio("pages")
    false = unheld(manifest_of(ann, upload(ann, content(2 * MIB))["attachment"]), 1)
    bad = ("http://10.0.0.1/", "ws://me:secret@10.0.0.1:80", "ws://10.0.0.1/a b", "file:///etc/passwd")
    pages = ("ws://printer.example:80/reboot", "ws://10.0.0.7:1/")
    assert bob.engine is not None
    told = false.held_by((record_at(ann, "ws://192.168.1.1:80/reboot", *pages),), bad)
    blocks = bob.engine.desk.blocks
    _, found = blocks._who(bob.engine._turn(bob.now()), told, ())
    assert found == pages
    parts = bob.engine.mesh._exchange.parts
    parts.order(SeekBlocks(b"e" * 32, ((b"b" * 32, 10),), frozenset(), found), bob.now())
    parts.due(Instant(bob.now().mono + 1, bob.now().wall_ms))
    dials = [e for e in bob.engine.mesh._effects if isinstance(e, Dial)]
    assert dials == [Dial(pages[0], public_only=True), Dial(pages[1])]


def test_a_file_that_is_sent_again_is_looked_for_where_it_is_now() -> None:
    world, ann, bob, cat, room = trio("moved")
    session, data = bob.attach(), content(2 * MIB)
    assert bob.engine is not None
    bob.engine.state.attachments.fetched.automatic = 0
    ident = upload(ann, data)["attachment"]
    manifest = manifest_of(ann, ident)
    say(ann, room, manifest.held_by((record_at(ann, "ws://gone:1"),), ()).encode(), "first")
    world.run(5)
    for number in range(9):  # whoever names it again cannot have the first forgotten
        say(
            ann,
            room,
            manifest.held_by((record_at(ann, "ws://no:1", seed=9 + number),), ()).encode(),
            f"m{number}",
        )
    world.run(5)
    told = manifest_of(bob, ident)
    assert told.holders[0] == record_at(ann, "ws://gone:1") and len(told.holders) == 2
    assert ann.engine is not None
    send(ann, room, ident)
    world.run(3)
    last = noderec.read_record(manifest_of(bob, ident).holders[1])
    assert last.node_key == ann.engine.mesh.node_key
    bob.call(c.AttachmentGet(id=ident))
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data


def test_one_that_a_frontend_asks_for_comes_soon_whatever_else_is_awaited() -> None:
    world, ann, bob, _, room = trio("asked first")
    data = content(2 * MIB)
    ident = upload(ann, data)["attachment"]
    base = manifest_of(ann, ident)
    bob.crash()
    send(ann, room, ident)
    for number in range(60):
        say(ann, room, unheld(base, number).encode(), f"m{number}")
    world.run(2)
    ann.crash()
    bob.start()
    assert bob.engine is not None
    book = bob.engine.state.attachments
    assert world.run_until(lambda: len(book.records) == 61, 60)
    world.run(45)
    ann.start()
    world.run(1)
    name = ids.parse(ident)
    assert name not in book.fetched.active and name not in list(book.fetched.waiting)[:MAX_FETCHED]
    for _ in range(45):  # as `gossamer attachment get` does
        bob.call(c.AttachmentGet(id=ident))
        world.run(1)
    assert here(bob, ident)


def test_after_a_start_what_was_asked_for_comes_first_and_then_the_newest() -> None:
    world, ann, bob, _, room = trio("start order")
    ident = upload(ann, content(2 * MIB))["attachment"]
    base = manifest_of(ann, ident)
    assert bob.engine is not None
    bob.engine.state.attachments.fetched.automatic = 0
    send(ann, room, ident)
    for number in range(12):
        world.run(1)
        say(ann, room, unheld(base, number).encode(), f"m{number}")
    world.run(3)
    ann.crash()
    bob.call(c.AttachmentGet(id=ident))
    bob.crash()
    bob.start()
    assert bob.engine is not None
    world.run(1)
    book = bob.engine.state.attachments
    assert ids.parse(ident) in book.fetched.active
    times = [book.records[one].since_ms for one in (*book.fetched.active, *book.fetched.waiting)][1:]
    assert len(times) == 12 and times == sorted(times, reverse=True)


def test_a_member_that_fills_the_room_for_files_leaves_some_for_the_owner() -> None:
    world, ann, bob, _, room = trio("room for uploads")
    session = bob.attach()
    bob.files._files.quota = 4 * MIB
    for number in range(3):
        ident = upload(ann, content(2 * MIB, bytes([number])))["attachment"]
        send(ann, room, ident, f"m{number}")
    world.run(120)
    assert [e.code for e in session.of(events.Warning)][:1] == ["storage_full"]
    assert upload(bob, content(900_000))["attachment"]


def test_who_names_many_files_and_brings_a_block_of_each_keeps_none_from_coming() -> None:
    """The end of a file counts as all of it: what nobody goes on with gives way, what was asked for not."""
    world, ann, bob, _, room = trio("sparse")
    session, data = bob.attach(), content(3 * MIB)
    base = manifest_of(ann, upload(ann, content(2 * MIB))["attachment"])
    names = [object_of(unheld(base, number)) for number in range(8)]
    for number in range(8):
        say(ann, room, unheld(base, number).encode(), f"m{number}")
    world.run(5)
    bob.call(c.AttachmentGet(id=ids.text(ids.uuid8(names[7]))))
    files = bob.files._files
    files.quota = 22 * MIB
    for name in names:
        files.write(name.hex() + ".part", base.sealed - 1, b"x")
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 900)
    assert got(bob, ident) == data
    left = [name for name in names if name.hex() + ".part" in files._sizes]
    assert names[7] in left and len(left) <= 1 + MAX_FETCHED


def test_what_never_opens_is_not_fetched_all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "A_DAY", 5 * MIB)
    world, ann, bob, _, room = trio("never opens")
    ident = upload(ann, content(2 * MIB))["attachment"]
    manifest, session = manifest_of(ann, ident), bob.attach()
    assert ann.engine is not None
    raw = bytes(ann.files.folder.held[object_of(manifest).hex()])
    before = len(b"".join(ann.sent_bytes))
    for number in range(6):  # the same blocks under other names, as its author may well have them
        false = replace(manifest, hash=bytes([number]) * 32)
        ann.files.folder.write(object_of(false).hex(), 0, raw)
        told = ann.engine.desk.blocks.told(false)
        turned(ann, lambda turn, false=false: ann.engine.state.attachments.put(turn, false))
        say(ann, room, told.encode(), f"m{number}")
    world.run(60)
    came = [e.state for e in session.of(events.Attachment) if e.state in {"failed", "pending"}]
    assert sorted(came) == ["failed"] * 2 + ["pending"] * 4
    assert len(b"".join(ann.sent_bytes)) - before < 5 * MIB
    assert bob.engine is not None
    book = bob.engine.state.attachments.fetched
    assert book._day_ends > bob.now().mono + 80_000
    book._day_ends = bob.now().mono
    send(ann, room, ident)
    assert world.run_until(lambda: here(bob, ident), 120)


def test_a_file_said_to_be_small_cannot_be_a_large_stream() -> None:
    _, ann, *_ = trio("small")
    manifest = manifest_of(ann, upload(ann, content(20 * MIB))["attachment"])
    assert parse(manifest.encode()) == manifest
    with pytest.raises(DecodeError):
        parse(replace(manifest, size=1, chunks=1).encode())
    with pytest.raises(DecodeError):
        parse(replace(manifest, size=19 * MIB, chunks=19 * 16).encode())


def test_a_blocked_member_is_not_dialled_for_a_file() -> None:
    world, ann, bob, cat, room = trio("blocked")
    data = content(2 * MIB)
    assert bob.engine is not None
    person = next(p for p in bob.engine.state.people.by_account.values() if p.username == "ann")
    turn = bob.engine._turn(bob.now())
    bob.engine.state.people.save(turn, replace(person, node_record=record_at(ann, "ws://ann:1")))
    manifest = unheld(manifest_of(ann, upload(ann, data)["attachment"]), 1)
    rooms = (ids.parse(room),)
    assert bob.engine.desk.blocks._who(turn, manifest, rooms)[1] == ("ws://ann:1",)
    bob.call(c.ContactBlock(username="ann"))
    assert bob.engine.desk.blocks._who(turn, manifest, rooms) == (frozenset(), ())
