"""Attachments under attack: false parts, false manifests, floods, full disks, deletions (A30)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.chat import attachments, commands as c, events, gossiped
from node.chat.turn import Turn
from node.crypto import attachment as sealed
from node.errors import Refused
from node.sim import CallError, SimNode, SimSession
from node.wire.manifest import Manifest
from node.wire.payload import Words
from tests.engine.test_attachments import content, got, here, send, states, upload
from tests.engine.worlds import befriend, invite, trio


def say(node: SimNode, room: str, raw: bytes, text: str = "look") -> None:
    """Send a message that names whatever its author likes."""
    assert node.engine is not None
    found = node.engine.state.rooms.find(room)
    turned(node, lambda turn: found.show(turn, [found.say(turn, Words(text, attachment=raw))]))


def turned(node: SimNode, act: Callable[[Turn], object]) -> None:
    """Do something in a turn of a node's engine."""
    assert node.engine is not None
    turn = node.engine._turn(node.now())
    act(turn)
    node.perform(node.engine._release(turn, []))


def record_of(node: SimNode, ident: str) -> attachments.Record:
    assert node.engine is not None
    return node.engine.state.attachments.find(ident, field="id")[1]


def own(node: SimNode, ident: str) -> Manifest:
    return record_of(node, ident).parsed


def post(node: SimNode, manifest: Manifest, *inners: bytes) -> None:
    turned(node, lambda turn: [turn.post(sealed.channel_of(manifest), inner) for inner in inners])


def stream_of(node: SimNode, manifest: Manifest) -> bytes:
    return bytes(node.files.folder.held[sealed.object_of(manifest).hex()])


@pytest.mark.attack("A30")
def test_false_parts_before_the_true_ones_change_nothing() -> None:
    world, ann, bob, cat, room = trio("poison")
    session, data = bob.attach(), content(200_000)
    ident = upload(ann, data)["attachment"]
    manifest = own(ann, ident)
    count = len(manifest.blocks)
    junk = [sealed.part(manifest, index, bytes([index]) * manifest.span(index)[1]) for index in range(count)]
    raw = stream_of(ann, manifest)
    start, length = manifest.span(1)
    swapped = sealed.part(manifest, 0, raw[start : start + length])
    post(cat, manifest, *junk, swapped, b"\x93\x07\x01\x02")
    send(ann, room, ident)
    post(cat, manifest, *junk)
    assert world.run_until(lambda: "ready" in states(session, ident), 120)
    assert got(bob, ident) == data
    assert bob.engine is not None and not bob.engine.late_faults


@pytest.mark.attack("A30")
@pytest.mark.parametrize("wrong", ["hash", "key", "size"])
def test_a_stream_that_does_not_open_as_the_message_says_is_never_ready(wrong: str) -> None:
    world, ann, bob, _, room = trio("false")
    session = bob.attach()
    ident = upload(ann, content(60_000))["attachment"]
    manifest = own(ann, ident)
    said: dict[str, Any] = {"hash": bytes(32), "key": bytes(32), "size": manifest.size - 1}
    false = replace(manifest, **{wrong: said[wrong]})
    raw = stream_of(ann, manifest)
    say(ann, room, false.encode())
    spans = [false.span(index) for index in range(len(false.blocks))]
    parts = [sealed.part(false, n, raw[at : at + size]) for n, (at, size) in enumerate(spans)]
    world.run(3)
    post(ann, false, *parts)
    world.run(5)
    false_id = next(event.id for event in session.of(events.Attachment))
    assert states(session, false_id)[-1] == "failed" and "ready" not in states(session, false_id)
    assert bob.files.folder.held == {}
    with pytest.raises(KeyError):
        got(bob, false_id)
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 60)


def test_what_is_no_manifest_leaves_a_message_without_an_attachment() -> None:
    world, ann, bob, _, room = trio("nonsense")
    session = bob.attach()
    for number, raw in enumerate((b"x", b"\x91\x01", bytes(4096))):
        say(ann, room, raw, f"m{number}")
    world.run(3)
    assert [event.message for event in session.of(events.UserMessage)] == ["m0", "m1", "m2"]
    assert all("id" not in event.attachment for event in session.of(events.UserMessage))
    assert bob.engine is not None and bob.engine.state.attachments.records == {}


def named(base: Manifest, number: int) -> bytes:
    """Return the manifest of something that nobody has."""
    return replace(base, key=number.to_bytes(32, "big"), channel=number.to_bytes(32, "big")).encode()


def test_a_flood_of_what_nobody_has_is_bounded_and_keeps_nothing_from_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attachments, "MAX_RECORDS", 40)
    world, ann, bob, _, room = trio("flood")
    session, data = bob.attach(), content(20_000)
    ident = upload(ann, data)["attachment"]
    for number in range(60):
        say(ann, room, named(own(ann, ident), number))
    world.run(5)
    assert bob.engine is not None
    book = bob.engine.state.attachments
    assert len(book.records) == 40 and len(book.gossiped.active) == gossiped.MAX_ACTIVE
    assert len([event for event in session.of(events.Attachment) if event.state == "failed"]) == 20
    assert len([key for key in bob.engine.state.channels._routes if key[0] == 7]) <= gossiped.MAX_ACTIVE
    send(ann, room, ident)
    assert world.run_until(lambda: "ready" in states(session, ident), 600)
    assert got(bob, ident) == data
    assert len(book.records) <= 40


def test_what_nobody_gives_for_35_days_has_failed() -> None:
    world, ann, bob, _, room = trio("nobody")
    session = bob.attach()
    ident = upload(ann, content(20_000))["attachment"]
    say(ann, room, named(own(ann, ident), 1))
    world.run(60)
    assert bob.engine is not None
    (lost,) = bob.engine.state.attachments.records
    turned(bob, lambda turn: setattr(turn, "mesh_ms", turn.mesh_ms + 36 * 86_400_000) or expire(bob, turn))
    assert bob.engine.state.attachments.records[lost].state == "failed"
    assert session.of(events.Attachment)[-1].why


def expire(node: SimNode, turn: Turn) -> None:
    assert node.engine is not None
    node.engine.state.attachments.expire(turn)


def test_a_full_disk_is_told_once_and_what_was_to_come_comes_when_there_is_room() -> None:
    world, ann, bob, _, room = trio("full")
    session, data = bob.attach(), content(100_000)
    bob.files.folder.room = 50_000
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    world.run(50)
    warned = [event.code for event in session.of(events.Warning)]
    assert warned == ["storage_full"] and "ready" not in states(session, ident)
    assert "failed" not in states(session, ident)
    bob.files.folder.room = None
    assert world.run_until(lambda: "ready" in states(session, ident), 200)
    assert got(bob, ident) == data


def test_too_many_or_too_much_is_refused_to_who_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ann, _, _, _ = trio("many")
    monkeypatch.setattr(attachments, "MAX_RECORDS", 2)
    for _ in range(2):
        upload(ann, content(100))
    with pytest.raises(Refused) as refused:
        upload(ann, content(100))
    assert refused.value.code == "storage_full"
    assert len(ann.files.folder.held) == 2
    ann.files.quota = 1_000
    ann.crash()
    ann.start()
    with pytest.raises(CallError) as answered:
        ann.call(c.AttachmentPut(data="eHh4" * 1_000, name="x"))
    assert answered.value.code == "storage_full"


def test_what_was_stored_and_never_sent_goes_after_a_day_and_what_was_sent_stays() -> None:
    world, ann, bob, cat, room = trio("unsent")
    sent, kept = upload(ann, content(100)), upload(ann, content(200))
    send(ann, room, kept["attachment"])
    assert world.run_until(lambda: here(bob, kept["attachment"]), 60)
    bob.crash(), cat.crash()
    world.run(25 * 3600)
    with pytest.raises(CallError) as gone:
        ann.call(c.AttachmentGet(id=sent["attachment"]))
    assert gone.value.code == "attachment_unknown"
    assert len(ann.files.folder.held) == 1 and here(ann, kept["attachment"])


def test_the_last_message_that_goes_takes_the_file_with_it() -> None:
    world, ann, bob, _, room = trio("delete")
    ident = upload(ann, content(10_000))["attachment"]
    send(ann, room, ident)
    send(ann, room, ident, "and again")
    assert world.run_until(lambda: here(bob, ident), 60)
    raw = record_of(bob, ident).manifest
    for left in (1, 0):
        turned(bob, lambda turn: gone(bob, turn, raw))
        assert len(bob.files.folder.held) == left
    bob.crash()
    bob.start()
    with pytest.raises(CallError):
        got(bob, ident)


def gone(node: SimNode, turn: Turn, raw: bytes) -> None:
    assert node.engine is not None
    node.engine.state.attachments.unnamed(turn, raw)


def test_a_file_that_is_lost_from_the_folder_is_fetched_again_from_the_mesh() -> None:
    world, ann, bob, _, room = trio("lost")
    data = content(50_000)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: here(bob, ident), 60)
    bob.crash()
    bob.files.folder.held.clear()
    bob.start()
    session = bob.attach()
    assert world.run_until(lambda: "ready" in states(session, ident), 60)
    assert got(bob, ident) == data


def test_a_restored_home_has_the_messages_and_fetches_their_files() -> None:
    world, ann, bob, _, room = trio("restored")
    data = content(50_000)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: here(bob, ident), 60)
    records = bob.backup()
    assert data[:64] not in b"".join(records)
    bob.crash()
    again = world.restore("bob2", records, peers=["cat"])
    again.start()
    world.run(0.1)
    assert not here(again, ident)
    assert world.run_until(lambda: here(again, ident), 120)
    assert got(again, ident) == data


def test_somebody_elses_attachment_is_passed_on_to_another_room() -> None:
    world, ann, bob, _, room = trio("forward")
    data = content(30_000)
    ident = upload(ann, data, "../../evil.sh")["attachment"]
    send(ann, room, ident)
    with pytest.raises(CallError) as early:
        bob.call(c.UserMessage(room=room, message="mine", attachment=ident))
    assert early.value.code == "attachment_unknown"
    assert world.run_until(lambda: here(bob, ident), 60)
    session: SimSession = ann.attach()
    direct = bob.call(c.DmOpen(username="ann"))["room"]
    send(bob, direct, ident)
    world.run(3)
    shown = session.of(events.UserMessage)[-1]
    assert shown.attachment["id"] == ident and shown.attachment["name"] == "../../evil.sh"
    assert got(ann, ident) == data


def test_a_part_that_nobody_waits_for_is_carried_and_changes_nothing() -> None:
    world, ann, bob, _, _ = trio("stray")
    ident = upload(ann, content(5_000))["attachment"]
    manifest = own(ann, ident)
    before = dict(bob.files.folder.held)
    post(ann, manifest, sealed.part(manifest, 0, stream_of(ann, manifest)))
    world.run(3)
    assert bob.files.folder.held == before


def test_a_deleted_or_expired_message_takes_its_file_along_at_every_node() -> None:
    world, ann, bob, _, room = trio("taken back")
    ident, short = (upload(ann, content(size))["attachment"] for size in (10_000, 20_000))
    told = send(ann, room, ident)
    ann.call(c.UserMessage(room=room, message="soon gone", attachment=short, ttl=60))
    assert world.run_until(lambda: here(bob, ident) and here(bob, short), 30)
    assert len(bob.files.folder.held) == len(ann.files.folder.held) == 2
    ann.call(c.MessageDelete(room=room, id=told["id"]))
    world.run(3)
    assert len(bob.files.folder.held) == len(ann.files.folder.held) == 1
    world.run(90)
    assert bob.files.folder.held == ann.files.folder.held == {}
    for node in (ann, bob):
        assert node.engine is not None and node.engine.state.attachments.records == {}


def test_a_message_that_was_taken_back_before_it_came_brings_no_file_and_takes_no_other_along() -> None:
    world, ann, bob, _, room = trio("too late")
    ident = upload(ann, content(10_000))["attachment"]
    send(ann, room, ident)
    assert world.run_until(lambda: here(bob, ident), 30)
    bob.crash()
    again = send(ann, room, ident, "again")
    ann.call(c.MessageDelete(room=room, id=again["id"]))
    world.run(3)
    bob.start()
    world.run(30)
    assert here(bob, ident) and record_of(bob, ident).named == 1


def test_an_attachment_that_names_a_room_s_own_channel_takes_nothing_from_the_room() -> None:
    world, ann, bob, _, room = trio("stolen channel")
    session = bob.attach()
    ident = upload(ann, content(1_000))["attachment"]
    assert ann.engine is not None
    held = next(iter(ann.engine.state.rooms.find_group(room).epochs.held.values()))
    false = replace(own(ann, ident), channel=held.row.channel_secret)
    say(ann, room, false.encode())
    world.run(3)
    for number in range(3):
        ann.call(c.UserMessage(room=room, message=f"m{number}"))
    world.run(3)
    assert [event.message for event in session.of(events.UserMessage)][-3:] == ["m0", "m1", "m2"]
    assert bob.engine is not None and not bob.engine.late_faults
    world.run(600)
    ann.call(c.UserMessage(room=room, message="still here"))
    world.run(3)
    assert session.of(events.UserMessage)[-1].message == "still here"


def test_who_is_blocked_takes_no_file_along_that_others_sent() -> None:
    world, ann, bob, cat, room = trio("blocked")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    session = bob.attach()
    ident = upload(ann, content(3_000))["attachment"]
    send(ann, room, ident)
    world.run_until(lambda: here(bob, ident) and here(cat, ident), 60)
    bob.call(c.ContactBlock(username="cat"))
    world.run(5)
    taken = send(cat, room, ident)["id"]
    world.run(10)
    cat.call(c.MessageDelete(room=room, id=taken))
    world.run(10)
    assert here(bob, ident)
    bob.call(c.ContactUnblock(username="cat"))
    world.run(10)
    taken = send(cat, room, ident)["id"]
    world.run(10)
    bob.call(c.ContactBlock(username="cat"))
    world.run(5)
    cat.call(c.MessageDelete(room=room, id=taken))
    world.run(10)
    assert here(bob, ident) and got(bob, ident) == content(3_000)
    assert len(session.of(events.UserMessage)) == 2


def test_an_edited_message_keeps_its_file_and_takes_it_along_once() -> None:
    world, ann, bob, _, room = trio("edited")
    ident = upload(ann, content(3_000))["attachment"]
    first, second = send(ann, room, ident)["id"], send(ann, room, ident)["id"]
    world.run_until(lambda: here(bob, ident), 60)
    for text in ("b", "c"):
        ann.call(c.MessageEdit(room=room, id=first, message=text))
        world.run(3)
    ann.call(c.MessageDelete(room=room, id=first))
    world.run(5)
    assert here(bob, ident) and here(ann, ident)
    ann.call(c.MessageDelete(room=room, id=second))
    world.run(5)
    assert not here(bob, ident) and not here(ann, ident)
    assert ann.files.folder.held == {} == bob.files.folder.held
