"""Whoever gives history can withhold, and nothing else: no change, no invention, nobody else's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from node.chat import commands as c, events
from node.chat.history import export
from node.chat.room import Room
from node.crypto import roommsg
from node.crypto.chain import RecvChain, SendChain
from node.crypto.roomitem import make_item, parse_item
from node.crypto.roommsg import Kind
from node.sim import SimNode, SimSession, Simulation, stream
from node.wire import codec
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    direct,
    engine_of,
    no_late_faults,
    release,
    room_of,
    text,
    turn_of,
)
from tests.engine.test_history import old, read, talk, world_of
from tests.engine.worlds import befriend, invite, texts

Forge = Callable[[SimNode, Room, list[bytes]], list[bytes]]


def give(node: SimNode, other: SimNode, room: Room, items: list[bytes]) -> None:
    """Send an export of any items."""
    turn = turn_of(node)
    account = other.setup.identity.account
    body = [room.room_id, items]
    assert engine_of(node).state.dms.send_large(turn, account, Type.HISTORY, body)
    release(node, turn)


def shown_of(
    seed: str, forge: Forge, count: int = 5
) -> tuple[list[str], SimSession, Simulation, list[SimNode]]:
    """Let ann, cat's adder, give what `forge` makes of an honest export; returns what was said, and cat's."""
    world, ann, bob, cat, room_id = world_of(seed, count)
    said = talk(world, room_id, ann, bob, count)
    engine_of(ann).state.joins.admitted = lambda *_: None
    engine_of(ann).desk.inbox.newcomers.wanted = lambda *_: None  # type: ignore[method-assign]
    engine_of(bob).desk.inbox.newcomers.wanted = lambda *_: None  # type: ignore[method-assign]
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    room = room_of(ann)
    honest = export(room, cat.setup.identity.account)
    assert len(honest) == count
    give(ann, cat, room, forge(ann, room, honest))
    world.run(5)
    no_late_faults(ann, bob, cat)
    return said, seen, world, [ann, bob, cat]


def fields_of(item: bytes) -> list[Any]:
    return list(codec.unpack(item))


def sealed_by(node: SimNode, room: Room, payload: Payload, **changes: Any) -> bytes:
    """Return an item that the node's own device signs, with a message key that it made up."""
    held = next(iter(room.epochs.held.values()))
    entropy = stream("made up")
    chain = SendChain(entropy(32), changes.pop("index", 7))
    fields: dict[str, Any] = {
        "kind": Kind.MESSAGE,
        "room_id": room.room_id,
        "epoch16": held.epoch16,
        "device_id": room.me.device_id,
        "view16": room.log.ops_in_order()[0].op16,
        "dsk_sk": room.me.identity.dsk_sk,
    }
    _, inner = roommsg.seal(chain, **{**fields, **changes}, payload=payload.encode(), entropy=entropy)
    msg = roommsg.parse(inner)
    return make_item(msg, roommsg.key_of(RecvChain(chain.key, chain.index), msg, day=0))


def test_the_honest_export_of_these_tests_is_shown() -> None:
    said, seen, _, _ = shown_of("forge nothing", lambda _node, _room, items: items)
    assert old(seen) == said


@pytest.mark.attack("A38")
@pytest.mark.parametrize("part", range(6), ids=["core", "kc", "nonce", "ct", "sig", "mk"])
def test_an_item_with_any_bit_changed_is_not_shown(part: int) -> None:
    def flip(_node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        flipped = []
        for at in range(0, len(fields_of(items[0])[part]) * 8, 5):
            fields = fields_of(items[0])
            data = bytearray(fields[part])
            data[at // 8] ^= 1 << at % 8
            fields[part] = bytes(data)
            flipped.append(codec.pack(fields))
        return flipped[:900]

    _, seen, _, _ = shown_of(f"forge flip {part}", flip, 1)
    assert texts(seen) == []
    assert [e.code for e in seen.of(events.Warning)] == ["bad_history"]


@pytest.mark.attack("A38")
def test_changed_items_do_not_stop_the_others() -> None:
    def spoil(_node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        fields = fields_of(items[2])
        fields[3] = fields[3][:-1] + bytes([fields[3][-1] ^ 1])
        spoilt = [b"\x01", items[1][:-1], codec.pack(fields), items[4] + b"\0"]
        return [spoilt[0], items[0], *spoilt[1:3], items[3], spoilt[3]]

    said, seen, _, _ = shown_of("forge spoil", spoil)
    assert old(seen) == [said[0], said[3]]


@pytest.mark.attack("A38")
def test_parts_of_two_items_put_together_are_not_shown() -> None:
    def swap(_node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        swapped = []
        for part in range(6):
            fields = fields_of(items[0])
            fields[part] = fields_of(items[1])[part]
            swapped.append(codec.pack(fields))
        return swapped

    _, seen, _, _ = shown_of("forge swap", swap)
    assert texts(seen) == []


@pytest.mark.attack("A38")
@pytest.mark.attack("A04")
def test_a_message_under_somebody_elses_name_is_not_shown() -> None:
    def lie(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        bob = next(m for m in room.log.roster.members.values() if m.account != room.me.account)
        payload = text(node, "I owe you everything")
        return [sealed_by(node, room, payload, device_id=bob.device_id)]

    _, seen, _, _ = shown_of("forge name", lie)
    assert texts(seen) == []


@pytest.mark.attack("A04")
def test_what_a_giver_writes_itself_is_shown_as_its_own_whatever_it_says() -> None:
    def own(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        return [sealed_by(node, room, text(node, "bob: I quit"))]

    _, seen, _, _ = shown_of("forge own", own)
    assert [(e.username, e.message) for e in seen.of(events.UserMessage)] == [("ann", "bob: I quit")]


@pytest.mark.attack("A38")
def test_a_key_of_ones_own_for_somebody_elses_message_opens_nothing() -> None:
    """A secretbox can be made to open under two keys; kc, which the author signed, names one."""

    def rekey(_node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        parsed = [parse_item(item) for item in items]
        return [make_item(item.msg, stream("key")(32)) for item in parsed]

    _, seen, _, _ = shown_of("forge key", rekey)
    assert texts(seen) == []


@pytest.mark.attack("A38")
def test_the_order_is_the_authors_and_repeats_count_once() -> None:
    def shuffle(_node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        return [items[at] for at in (4, 2, 2, 0, 3, 1, 4, 0)]

    said, seen, _, _ = shown_of("forge order", shuffle)
    assert old(seen) == said


@pytest.mark.attack("A38")
def test_what_is_withheld_is_not_shown_and_the_rest_is() -> None:
    said, seen, world, _ = shown_of("forge withhold", lambda _node, _room, items: items[1::2])
    assert old(seen) == said[1::2]
    world.run(600)
    assert old(seen) == said[1::2]


@pytest.mark.attack("A38")
def test_items_of_another_room_are_not_shown() -> None:
    def other(node: SimNode, _room: Room, items: list[bytes]) -> list[bytes]:
        second = node.call(c.RoomCreate(name="second", history=5))["room"]
        node.call(c.UserMessage(room=second, message="said elsewhere"))
        inboxes = engine_of(node).state.rooms.inboxes.values()
        return next(i.room.kept.items() for i in inboxes if i.room.uuid == second)

    _, seen, _, _ = shown_of("forge room", other)
    assert texts(seen) == []


@pytest.mark.attack("A38")
@pytest.mark.parametrize("kind", ["op", "profile", "core"])
def test_what_is_no_message_is_not_taken_for_one(kind: str) -> None:
    def no_message(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        payload = text(node, "hidden")
        if kind == "op":
            op = room.log.ops_in_order()[1]
            return [sealed_by(node, room, replace(payload, type=Type.OP, body=op.raw), kind=Kind.OP)]
        if kind == "profile":
            return [sealed_by(node, room, replace(payload, type=Type.PROFILE, body=["x", None, None, None]))]
        return [sealed_by(node, room, payload, kind=Kind.OP)]

    _, seen, _, _ = shown_of(f"forge kind {kind}", no_message)
    assert texts(seen) == []


@pytest.mark.attack("A38")
@pytest.mark.parametrize("what", ["another room", "from since we came", "unknown view"])
def test_what_a_member_signs_for_elsewhere_or_later_is_no_history(what: str) -> None:
    def later(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        changes: dict[str, Any] = {
            "another room": {"room_id": b"r" * 16},
            "from since we came": {"view16": room.log.view16},
            "unknown view": {"view16": b"v" * 16},
        }[what]
        return [sealed_by(node, room, text(node, "slipped in"), **changes)]

    _, seen, _, _ = shown_of(f"forge {what}", later)
    assert texts(seen) == []


@pytest.mark.attack("A38")
def test_a_message_that_its_author_sealed_twice_is_shown_once() -> None:
    def twice(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        payload = text(node, "again")
        return [sealed_by(node, room, payload, index=at) for at in (3, 4)]

    _, seen, _, _ = shown_of("forge twice", twice)
    assert texts(seen) == ["again"]


@pytest.mark.attack("A38")
def test_who_copies_anothers_message_id_does_not_take_its_place() -> None:
    def copied(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        return [sealed_by(node, room, text(node, "copy", mid=mids[0], ts_ms=1)), *items[1:]]

    mids: list[bytes] = []
    real = Room._seal

    def noted(self: Room, turn: Any, under: Any, kind: Any, payload: Payload, **rest: Any) -> Any:
        if payload.type is Type.TEXT and payload.body[0] == "old 1":
            mids.append(payload.mid)
        return real(self, turn, under, kind, payload, **rest)

    Room._seal = noted  # type: ignore[method-assign]
    try:
        said, seen, _, (_, _, cat) = shown_of("forge copy", copied, 4)
    finally:
        Room._seal = real  # type: ignore[method-assign]
    assert texts(seen) == ["copy", *said[1:]]
    assert len({event.id for event in seen.of(events.UserMessage)}) == len(texts(seen)) == 4
    assert read(cat, room_of(cat).uuid) == texts(seen)


@pytest.mark.attack("A38")
def test_an_adder_that_has_left_is_not_heard() -> None:
    world, ann, bob, cat, room_id = world_of("left adder", 5)
    talk(world, room_id, ann, bob, 5)
    engine_of(bob).state.joins.admitted = lambda *_: None
    seen = invite(world, bob, cat, room_id)
    world.run(2)
    honest = export(room_of(bob), cat.setup.identity.account)
    bob.call(c.UserLeave(room=room_id))
    world.run(3)
    give(bob, cat, room_of(bob), honest)
    world.run(5)
    assert texts(seen) == []


@pytest.mark.attack("A38")
def test_more_than_the_policy_grants_is_not_shown() -> None:
    def more(node: SimNode, room: Room, items: list[bytes]) -> list[bytes]:
        payloads = [text(node, f"extra {n}", ts_ms=n) for n in range(50)]
        return [sealed_by(node, room, p, index=n) for n, p in enumerate(payloads)] + items

    said, seen, _, _ = shown_of("forge more", more)
    assert old(seen) == said


@pytest.mark.attack("A38")
def test_who_was_removed_cannot_have_more_said_in_the_past_through_somebody_else() -> None:
    """Dan was removed; what he signs now with a view from when he was in lies beyond the cut."""
    world, ann, bob, cat, room_id = world_of("forge removed", 9)
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, dan, ann)
    invite(world, ann, dan, room_id)
    world.run(10)
    dan.call(c.UserMessage(room=room_id, message="while in"))
    world.run(2)
    room = room_of(dan)
    view16, held = room.log.view16, max(room.epochs.held.values(), key=lambda h: h.announce.gen)
    ann.call(c.MemberRemove(room=room_id, username="dan"))
    world.run(3)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    after16 = room_of(ann).log.ops_in_order()[-2].op16
    forged = [
        sealed_by(dan, room, text(dan, "back-dated"), view16=view16, epoch16=held.epoch16, index=5),
        sealed_by(dan, room, text(dan, "other epoch"), view16=view16, epoch16=bytes(16), index=0),
        sealed_by(dan, room, text(dan, "after"), view16=after16, epoch16=bytes(16), index=0),
    ]
    honest = export(room_of(ann), cat.setup.identity.account)
    give(ann, cat, room_of(ann), forged + honest)
    world.run(5)
    assert old(seen) == ["while in"]


@pytest.mark.attack("A04")
def test_an_export_that_nobody_asked_for_is_ignored() -> None:
    world, ann, bob, cat, room_id = world_of("unasked", 5)
    talk(world, room_id, ann, bob, 5)
    seen = invite(world, ann, cat, room_id)
    assert world.run_until(lambda: len(old(seen)) == 5, 30)
    room = room_of(bob)
    mine = [sealed_by(bob, room, text(bob, "slipped in"))]
    give(bob, cat, room, mine)  # a member, but history has been given
    give(ann, cat, room_of(ann), mine)
    world.run(5)
    bystander = bob.attach()
    give(cat, bob, room, mine)  # to somebody who has long been there
    world.run(5)
    assert len(old(seen)) == 5
    assert "slipped in" not in texts(seen) + texts(bystander)


@pytest.mark.attack("A04")
@pytest.mark.parametrize("who", ["member", "stranger"])
def test_only_the_adder_and_who_was_asked_is_heard(who: str) -> None:
    world, ann, bob, cat, room_id = world_of(f"not asked {who}", 5)
    talk(world, room_id, ann, bob, 5)
    engine_of(ann).state.joins.admitted = lambda *_: None
    if who == "stranger":
        ann.call(c.MemberRemove(room=room_id, username="bob"))
        world.run(3)
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    room = room_of(bob)
    give(bob, cat, room, room.kept.items() or [sealed_by(bob, room, text(bob, "slipped in"))])
    world.run(5)
    assert texts(seen) == []


@pytest.mark.attack("A04")
def test_an_export_into_a_room_without_history_is_ignored() -> None:
    world, ann, bob, cat, room_id = world_of("none asked", "none")
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    give(ann, cat, room_of(ann), [sealed_by(ann, room_of(ann), text(ann, "slipped in"))])
    world.run(5)
    assert texts(seen) == []


@pytest.mark.attack("A04")
def test_history_that_comes_as_an_ordinary_payload_is_ignored() -> None:
    world, ann, bob, cat, room_id = world_of("plain payload", 5)
    talk(world, room_id, ann, bob, 2)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    room = room_of(ann)
    direct(ann, cat, Type.HISTORY, [room.room_id, export(room, cat.setup.identity.account)])
    world.run(5)
    assert texts(seen) == []


@pytest.mark.attack("A38")
def test_what_an_honest_member_gives_is_shown_after_a_forger_was_heard() -> None:
    world, ann, bob, cat, room_id = world_of("forger then honest", 5)
    said = talk(world, room_id, ann, bob, 5)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room_id)
    world.run(2)
    honest = export(room_of(ann), cat.setup.identity.account)
    give(ann, cat, room_of(ann), [b"nothing of the kind", *honest[:2]])
    world.run(5)
    assert old(seen) == said[:2]
    give(ann, cat, room_of(ann), honest)
    world.run(5)
    assert old(seen) == said[:2], "who gave what was no item is not heard again"
    ann.crash()
    assert world.run_until(lambda: len(old(seen)) == 5, 900)
    assert old(seen) == said
