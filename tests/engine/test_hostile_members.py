"""A member who means harm: signed, sealed, well addressed, and still nobody falls over."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.crypto import epoch as epochs, ops
from node.crypto.chain import SendChain
from node.crypto.keys import Identity
from node.crypto.ops import Delete, InviteRevoke, Meta
from node.sim import SimNode
from node.wire import codec
from node.wire.payload import Payload, Type, Words
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    inbox_of,
    later_on,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    still_talk,
    text,
    turn_of,
)
from tests.engine.worlds import befriend, invite, texts, trio

# -- bytes that would have been the end of a node -------------------------------------------------


def test_an_object_of_one_byte_is_refused() -> None:
    world, ann, bob, _, room = trio("one byte")
    post(bob, sending(bob).channel, codec.pack([7, bytes(32), 0, 1, b"x"]))
    from node.chat.objects import split

    for part in split(b"x"):
        post(bob, sending(bob).channel, part)
    world.run(2)
    still_talk(world, ann, bob, room)


@pytest.mark.attack("A27")
@pytest.mark.parametrize(
    "options", ["[" * 4000, '{"a":' * 600 + "1" + "}" * 600, '{"a":' + "9" * 4000 + "}", "null", '"x"', ""]
)
def test_options_that_a_parser_falls_over_make_no_invite(options: str) -> None:
    world, ann, bob, _, room = trio("options")
    seen = bob.attach()
    turn = turn_of(ann)
    body = [turn.new_id(), bytes(16), bytes(32), "trap", "room", options, turn.mesh_ms + 10_000_000]
    direct(ann, bob, Type.INVITE, body)
    world.run(2)
    assert seen.of(events.UserInvite) == []
    still_talk(world, ann, bob, room)


def test_more_ops_than_the_stack_is_deep_are_freed_by_the_one_they_wait_for() -> None:
    world, ann, bob, _, room = trio("chain of ops")
    world.partition(["ann"], ["bob", "cat"])
    turn = turn_of(bob)
    for _ in range(300):
        invite_ = ops.Invite(
            turn.new_id(), turn.entropy(32), turn.entropy(32), 1, turn.mesh_ms, ops.Role.MEMBER
        )
        room_of(bob).act(turn, invite_, rekey=False)
    posts = list(turn.posts)
    release(bob, turn)
    give(ann, reversed(posts))
    assert len(room_of(ann).log.invites) == len(room_of(bob).log.invites)
    assert inbox_of(ann).parked == {}
    world.heal()
    world.run(30)
    still_talk(world, ann, bob, room)


@pytest.mark.attack("A01")
def test_an_op_that_turns_out_bad_after_it_was_kept_does_not_stop_the_next_start() -> None:
    world, ann, bob, _, room = trio("bad op kept")
    turn = turn_of(bob)
    log = room_of(bob).log
    parent = log.next_op(bob.setup.identity, Meta(topic="x"), ts_ms=turn.mesh_ms)
    invite_ = ops.Invite(turn.new_id(), bytes(32), bytes(32), 1, turn.mesh_ms, ops.Role.MEMBER)
    parent = log.next_op(bob.setup.identity, invite_, ts_ms=turn.mesh_ms)
    orphan = ops.make_op(
        bob.setup.identity,
        room_id=log.room_id,
        author_seq=parent.author_seq + 1,
        parents=(parent.op_id,),
        lamport=parent.lamport + 1,
        ts_ms=turn.mesh_ms,
        body=Delete(),
    )
    for op in (orphan, parent):
        carrier = Payload(turn.new_id(), turn.mesh_ms, 0, Type.OP, op.raw)
        post(bob, sending(bob).channel, room_inner(bob, carrier))
        world.run(2)
    assert room_of(ann).log.knows(parent.op_id)
    assert inbox_of(ann).ops.pending == {}
    for _ in range(2):
        ann.crash()
        ann.start()
        world.run(3)
    assert not room_of(ann).log.deleted
    assert not room_of(ann).log.knows(orphan.op_id)


@pytest.mark.attack("A36")
def test_ops_whose_parents_never_come_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.op_inbox.MAX_PENDING_OPS", 3)
    world, ann, bob, _, room = trio("orphans")
    before = len(ann.store.load().rows["ops"])
    turn = turn_of(bob)
    for number in range(8):
        orphan = ops.make_op(
            bob.setup.identity,
            room_id=room_of(bob).room_id,
            author_seq=9,
            parents=(bytes([number]) * 32,),
            lamport=9,
            ts_ms=turn.mesh_ms,
            body=InviteRevoke(bytes(16)),
        )
        carrier = Payload(turn.new_id(), turn.mesh_ms, 0, Type.OP, orphan.raw)
        post(bob, sending(bob).channel, room_inner(bob, carrier))
    world.run(2)
    assert len(inbox_of(ann).ops.pending) == 3
    assert len(ann.store.load().rows["ops"]) == before + 3


def test_counting_to_the_end_of_the_format_does_not_silence_a_room() -> None:
    world, ann, bob, _, room = trio("lamport")
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "loud", lamport=(1 << 63) - 1)))
    world.run(2)
    still_talk(world, ann, bob, room)


@pytest.mark.attack("A35")
def test_a_message_from_the_far_future_is_shown_with_a_time_that_a_calendar_has() -> None:
    world, ann, bob, _, room = trio("future")
    seen = ann.attach()
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "soon", ts_ms=(1 << 63) - 1)))
    world.run(2)
    shown = seen.of(events.UserMessage)[0]
    assert abs(shown.ts_ms - ann.now().wall_ms) < 120_000


# -- epochs ---------------------------------------------------------------------------------------


def announce(node: SimNode, **changes: object) -> epochs.NewEpoch:
    room, held = room_of(node), sending(node)
    fields: dict[str, object] = {
        "room_id": room.room_id,
        "gen": held.announce.gen + 1,
        "parents": (held.epoch16,),
        "heads": room.log.heads,
        "members": [(m.device_id, m.leaf) for m in room.log.roster.members.values()],
        "now_ms": node.now().wall_ms,
        "reason": 3,
        "entropy": node.setup.entropy,
    }
    return epochs.create_epoch(node.setup.identity, **{**fields, **changes})  # type: ignore[arg-type]


def test_a_generation_at_the_end_of_the_format_does_not_keep_a_member_in_the_room() -> None:
    world, ann, bob, _, room = trio("generation")
    held = sending(bob)
    high = announce(bob, gen=(1 << 32) - 1, parents=(held.epoch16, b"\xee" * 16))
    post(bob, held.channel, high.inner)
    world.run(2)
    assert high.epoch.epoch16 not in room_of(ann).epochs.held
    ann.call(c.MemberRemove(room=room, username="bob"))
    ann.call(c.UserMessage(room=room, message="alone"))
    no_late_faults(ann)


@pytest.mark.attack("A18")
def test_an_epoch_is_only_taken_from_the_channel_of_one_of_its_parents() -> None:
    world, ann, bob, _, _ = trio("no parent")
    stray = announce(bob, parents=(b"\xee" * 16,))
    post(bob, sending(bob).channel, stray.inner)
    world.run(2)
    assert stray.epoch.epoch16 not in room_of(ann).epochs.held


@pytest.mark.attack("A01")
def test_an_epoch_with_another_roster_than_the_log_has_is_not_taken() -> None:
    world, ann, bob, cat, _ = trio("ghost slot")
    ghost = Identity.generate(bob.setup.entropy, 1)
    members = [(m.device_id, m.leaf) for m in room_of(bob).log.roster.members.values()]
    wide = announce(bob, members=[*members, (ghost.device_id, ops.Leaf(1, ghost.dik_pub))])
    post(bob, sending(bob).channel, wide.inner)
    world.run(2)
    assert wide.epoch.epoch16 not in room_of(ann).epochs.held


@pytest.mark.attack("A22")
def test_who_is_left_out_of_an_epoch_is_told_so_once() -> None:
    world, ann, bob, _, room = trio("left out")
    seen = ann.attach()
    for _ in range(2):
        members = room_of(bob).log.roster.members.values()
        bad = [(m.device_id, m.leaf if m.account == bob.setup.identity.account else wrong()) for m in members]
        post(bob, sending(bob).channel, announce(bob, members=bad).inner)
        world.run(2)
    assert [w.code for w in seen.of(events.Warning)] == ["epoch_slot_omitted"]
    still_talk(world, ann, bob, room)


def wrong() -> ops.Leaf:
    return ops.Leaf(77, Identity.generate(bytes, 1).dik_pub)


def test_an_epoch_from_the_future_is_renewed_after_a_week_all_the_same() -> None:
    world, ann, bob, cat, room = trio("future epoch")
    later = announce(bob, now_ms=bob.now().wall_ms + 300 * 86_400_000)
    post(bob, sending(bob).channel, later.inner)
    world.run(2)
    assert later.epoch.epoch16 in room_of(ann).epochs.held
    later_on(world, 8, ann, bob, cat)
    ann.call(c.UserMessage(room=room, message="a week later"))
    world.run(6)
    assert sending(ann).epoch16 != later.epoch.epoch16


@pytest.mark.attack("A36")
def test_epochs_are_bounded_and_who_makes_too_many_loses_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.epochs.MAX_EPOCHS", 6)
    world, ann, bob, _, room = trio("many epochs")
    first = set(room_of(ann).epochs.held)
    for _ in range(12):
        post(bob, sending(bob).channel, announce(bob).inner)
        world.run(1)
    held = room_of(ann).epochs.held
    assert len(held) == 6 and first <= held.keys()
    rows = ann.store.load().rows
    assert len(rows["epochs"]) == 6
    assert sum(key.startswith(b"idle") for key in rows["chains"]) == 6


# -- channels -------------------------------------------------------------------------------------


@pytest.mark.attack("A05")
def test_a_presence_channel_with_a_rooms_secret_does_not_take_the_room_away() -> None:
    world, ann, bob, _, room = trio("hijack")
    secret = sending(bob).channel.secret
    direct(bob, ann, Type.PROFILE, ["bob", None, None, secret])
    world.run(2)
    still_talk(world, ann, bob, room)
    ann.crash()
    ann.start()
    world.run(3)
    still_talk(world, ann, bob, room)


def test_who_claims_anothers_presence_channel_does_not_make_them_look_gone() -> None:
    world, ann, bob, cat, room = trio("presence")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    bobs = engine_of(bob).state.me.profile.presence_cs
    direct(cat, ann, Type.PROFILE, ["cat", None, None, bobs])
    world.run(400)
    members = {m["username"]: m["presence"] for m in ann.call(c.RoomGet(room=room))["members"]}
    assert members["bob"] == "online"


def test_a_room_message_in_an_ephemeral_envelope_is_not_taken() -> None:
    world, ann, bob, _, _ = trio("ephemeral")
    seen = ann.attach()
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "for some only")), ephemeral=True)
    world.run(2)
    assert texts(seen) == []


# -- views, indices -------------------------------------------------------------------------------


@pytest.mark.attack("A18")
def test_a_view_that_goes_back_is_refused() -> None:
    world, ann, bob, _, room = trio("view back")
    seen = ann.attach()
    log = room_of(bob).log
    first = log.ops_in_order()[0].op16
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "knows all")))
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "knows less"), view16=first))
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "knows all again")))
    world.run(2)
    assert texts(seen) == ["knows all", "knows all again"]


@pytest.mark.attack("A12")
@pytest.mark.attack("A21")
def test_two_messages_of_one_index_are_told_and_the_first_counts() -> None:
    world, ann, bob, _, _ = trio("two of one")
    seen = ann.attach()
    start = sending(bob).send
    assert start is not None
    for words in ("one", "other"):
        post(bob, sending(bob).channel, room_inner(bob, text(bob, words), chain=start))
        world.run(1)
    assert texts(seen) == ["one"]
    assert [w.code for w in seen.of(events.Warning)] == ["equivocation"]


@pytest.mark.attack("A21")
def test_a_message_that_follows_another_than_ours_is_told() -> None:
    world, ann, bob, _, _ = trio("follows another")
    seen = ann.attach()
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "one")))
    chain = sending(bob).send
    assert chain is not None
    split = SendChain(chain.key, chain.index, b"\x77" * 16)
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "two"), chain=split))
    world.run(1)
    assert texts(seen) == ["one", "two"]
    assert [w.code for w in seen.of(events.Warning)] == ["equivocation"]


@pytest.mark.attack("A09")
def test_nothing_that_was_read_is_read_again_after_a_restart() -> None:
    world, ann, bob, _, room = trio("replayed")
    for number in range(5):
        bob.call(c.UserMessage(room=room, message=f"m{number}"))
    bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="between us"))
    world.run(2)
    ann.crash()
    ann.start()
    seen = ann.attach(plain=False)
    last, people = ann.store.last_seq, dict(engine_of(ann).state.people.by_account)
    for raw in ann.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0]:
        turn = turn_of(ann)
        engine_of(ann)._replay(turn, raw)
        release(ann, turn)
    assert texts(seen) == []
    assert ann.store.last_seq == last
    assert engine_of(ann).state.people.by_account == people


@pytest.mark.attack("A10")
def test_ones_own_words_that_come_back_are_refused() -> None:
    world, ann, bob, _, room = trio("reflected")
    seen = bob.attach()
    turn = turn_of(bob)
    room_of(bob).say(turn, Words("mine"))
    payload = Payload(turn.new_id(), turn.mesh_ms, 0, Type.TEXT, ["mine", "text", None])
    engine_of(bob).state.dms.send(turn, ann.setup.identity.account, payload)
    mine = list(turn.posts)
    release(bob, turn)
    assert len(mine) == 2
    give(bob, mine)
    assert texts(seen) == []
    no_late_faults(bob)


@pytest.mark.attack("A03")
def test_unsigned_words_in_anothers_name_are_not_even_parked() -> None:
    world, ann, bob, cat, room = trio("in anothers name")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(5)
    cats = room_of(cat).me.device_id
    inner = room_inner(bob, text(bob, "I am cat"), device_id=cats, view16=b"\x99" * 16)
    post(bob, sending(bob).channel, inner)
    world.run(2)
    assert inbox_of(ann).parked == {}
