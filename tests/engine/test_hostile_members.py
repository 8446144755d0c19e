"""A member, contact or guest who means harm: signed, sealed, well addressed, and still nobody falls over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c
from node.chat import events
from node.crypto import epoch as epochs
from node.crypto import ops
from node.crypto.chain import SendChain
from node.crypto.channel import inbox_channel
from node.crypto.keys import Identity, make_cert, make_list
from node.crypto.links import decode_contact, encode_contact
from node.crypto.ops import Delete, InviteRevoke, Meta
from node.crypto.prekeys import make_bundle, new_prekey, seal_request
from node.sim import CallError, SimNode, Simulation
from node.wire import codec
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    inbox_of,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    session_of,
    text,
    turn_of,
)
from tests.engine.worlds import befriend, invite, texts, trio

LOW_ORDER = bytes(32)


def later_on(world: Simulation, days: int, *nodes: SimNode) -> None:
    """Let days go by in which nobody runs, and start these nodes again."""
    for node in world.nodes.values():
        if node.up:
            node.crash()
    world.run(1)
    world.time += days * 86_400
    for node in nodes:
        node.start()


def still_talk(world: Simulation, one: SimNode, other: SimNode, room: str) -> None:
    """Both run, hear each other, and found every fault before it changed anything."""
    hears_one, hears_other = other.attach(), one.attach()
    one.call(c.UserMessage(room=room, message=f"from {one.name}"))
    other.call(c.UserMessage(room=room, message=f"from {other.name}"))

    def both_heard() -> bool:
        heard = f"from {one.name}" in texts(hears_one), f"from {other.name}" in texts(hears_other)
        return all(heard)

    assert world.run_until(both_heard, 90)
    no_late_faults(one, other)


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
    assert inbox_of(ann).pending_ops == {}
    for _ in range(2):
        ann.crash()
        ann.start()
        world.run(3)
    assert not room_of(ann).log.deleted
    assert not room_of(ann).log.knows(orphan.op_id)


@pytest.mark.attack("A36")
def test_ops_whose_parents_never_come_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.room_inbox.MAX_PENDING_OPS", 3)
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
    assert len(inbox_of(ann).pending_ops) == 3
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
    room_of(bob).say(turn, "mine", kind="text", reply_to=None)
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


# -- invites and joining --------------------------------------------------------------------------


def guest(world: Simulation, ann: SimNode, bob: SimNode, cat: SimNode) -> str:
    """Ann invites cat into a room of her own; cat has it open."""
    befriend(world, ann, cat)
    cat.attach()
    room: str = ann.call(c.RoomCreate(name="other"))["room"]
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    return room


@pytest.mark.attack("A23")
def test_a_seed_that_was_passed_on_admits_nobody_but_the_invited() -> None:
    world, ann, bob, cat, _ = trio("passed on")
    room = guest(world, ann, bob, cat)
    invite_ = next(i for i in engine_of(cat).state.invites.all.values())
    thief = engine_of(bob)
    turn = turn_of(bob)
    thief.desk.inviting.accept(turn, replace(invite_))
    release(bob, turn)
    world.run(5)
    names = {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]}
    assert names == {"ann"}
    no_late_faults(ann)


@pytest.mark.attack("A23")
def test_who_let_the_time_pass_is_not_let_in_by_its_own_bytes() -> None:
    world, ann, bob, cat, _ = trio("too late")
    room = guest(world, ann, bob, cat)
    invite_ = next(i for i in engine_of(cat).state.invites.all.values())
    world.run(130)
    turn = turn_of(cat)
    engine_of(cat).desk.inviting.accept(turn, invite_)
    release(cat, turn)
    world.run(5)
    assert {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]} == {"ann"}


def test_a_join_request_with_an_unusable_key_changes_nothing() -> None:
    world, ann, bob, cat, _ = trio("low order")
    room = guest(world, ann, bob, cat)
    me = engine_of(cat).state.me
    today = cat.now().wall_ms // 86_400_000
    weak = Identity.generate(cat.setup.entropy, today)
    for name, value in (
        ("account_seed", cat.setup.identity.account_seed),
        ("account", cat.setup.identity.account),
        ("account_sk", cat.setup.identity.account_sk),
        ("intro_pub", LOW_ORDER),
    ):
        object.__setattr__(weak, name, value)
    me.identity = weak
    me.cert = make_cert(weak, today, today + 9)
    me.devices = make_list(weak, 2, me.devices.list_hash, (me.cert.cert_hash,), (), today)
    me.prekeys.clear()
    log = [inbox.room.log for inbox in engine_of(ann).state.rooms.inboxes.values()][-1]
    before = log.view16
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    world.run(5)
    assert log.view16 == before
    no_late_faults(ann)
    ann.call(c.UserMessage(room=room, message="still here"))


def ids_of(node: SimNode) -> str:
    invite_: str = node.call(c.InviteList())["invites"][-1]["invite"]
    return invite_


def test_a_room_that_is_deleted_takes_nobody_down() -> None:
    world, ann, bob, cat, room = trio("deleted")
    befriend(world, ann, cat)
    cat.attach()
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    turn = turn_of(ann)
    room_of(ann).act(turn, Delete(), rekey=False)
    release(ann, turn)
    world.run(2)
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    bob.call(c.ProfileSet(name="bob", status="fine"))
    ann.call(c.ProfileSet(name="ann", status="fine"))
    world.run(10)
    with pytest.raises(CallError, match="room_deleted"):
        bob.call(c.UserMessage(room=room, message="hello?"))
    assert len(room_of(ann).log.roster.members) == 2
    no_late_faults(ann, bob, cat)


def test_who_may_not_invite_is_refused_and_the_node_lives() -> None:
    world, ann, bob, cat, _ = trio("admins only")
    befriend(world, bob, cat)
    room = ann.call(c.RoomCreate(name="strict", invite="admins"))["room"]
    invite(world, ann, bob, room)
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.UserInvite(target="cat", room=room))
    world.run(2)
    assert {m["username"] for m in bob.call(c.RoomGet(room=room))["members"]} == {"ann", "bob"}


def test_an_invite_of_somebody_with_whom_nothing_is_shared_any_more_is_not_shown() -> None:
    world, ann, bob, _, room = trio("no contact")
    session = session_of(bob, ann)
    assert session.account
    people = engine_of(ann).state.people
    bobs = people.by_account[bob.setup.identity.account]
    ann.call(c.MemberRemove(room=room, username="bob"))
    turn = turn_of(ann)
    people.save(turn, replace(bobs, state="known"))
    release(ann, turn)
    world.run(2)
    seen = ann.attach()
    turn = turn_of(bob)
    body = [turn.new_id(), bytes(16), bytes(32), "come", "room", "{}", turn.mesh_ms + 10_000_000]
    direct(bob, ann, Type.INVITE, body)
    world.run(2)
    assert seen.of(events.UserInvite) == []


def test_offers_of_one_person_are_bounded_and_ended_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.chat.invites.MAX_OFFERS", 5)
    monkeypatch.setattr("node.chat.invites.KEEP_ENDED", 2)
    world, ann, bob, _, _ = trio("offers")
    known = len(engine_of(bob).state.invites.all)
    seen = bob.attach()
    for _ in range(9):
        turn = turn_of(ann)
        body = [turn.new_id(), turn.new_id(), bytes(32), "spam", "room", "{}", turn.mesh_ms + (1 << 50)]
        direct(ann, bob, Type.INVITE, body)
    world.run(2)
    assert len(seen.of(events.UserInvite)) == 5
    assert len(engine_of(bob).state.invites.all) == known + 5
    world.run(2 * 3600 + 200)
    assert len(engine_of(bob).state.invites.all) == 2
    assert len(bob.store.load().rows["invites"]) == 2


def test_who_says_delivered_and_then_nothing_does_not_block_the_next_invite() -> None:
    world, ann, bob, cat, _ = trio("silent guest")
    room = guest(world, ann, bob, cat)
    cat.crash()
    later_on(world, 8, ann, bob)
    world.run(120)
    states = {row["state"] for row in ann.call(c.InviteList())["invites"] if row["room"] == room}
    assert states == {"expired"}


def test_results_that_are_none_of_ones_business_change_nothing() -> None:
    world, ann, bob, cat, _ = trio("forged result")
    guest(world, ann, bob, cat)
    invite_id = next(i for i in engine_of(ann).state.invites.all.values() if i.live).invite_id
    for number in (1, 2, 3, 4, 5, 6, 9):
        direct(bob, ann, Type.INVITE_RESULT, [invite_id, number, None])
        direct(bob, ann, Type.INVITE_RESULT, [bytes(16), number, (1 << 63) - 1])
    direct(bob, ann, Type.CONTACT_ANSWER, [1])
    world.run(2)
    assert engine_of(ann).state.invites.all[invite_id].live
    no_late_faults(ann)
    direct(bob, ann, Type.TEXT, ["and on it goes", "text", None])
    world.run(2)


# -- strangers ------------------------------------------------------------------------------------


def ask(victim: SimNode, number: int, world: Simulation, **changes: object) -> bytes:
    """Return the inner of a stranger's request."""
    entropy = victim.setup.entropy
    now_ms = victim.now().wall_ms
    today = now_ms // 86_400_000
    who = Identity.generate(entropy, today)
    cert = make_cert(who, today, today + 9)
    fields: dict[str, object] = {
        "cert": cert,
        "devices": make_list(who, 1, bytes(32), (cert.cert_hash,), (), today),
        "bundle": make_bundle(who, 1, new_prekey(entropy, 1, today)),
        "node_record": b"",
        "name": f"stranger{number}",
        "token": None,
        "ts_ms": now_ms,
        "hello": "",
        "to_account": victim.setup.identity.account,
        "to_intro": victim.setup.identity.intro_pub,
        "entropy": entropy,
    }
    return seal_request(who, **{**fields, **changes})  # type: ignore[arg-type]


def test_strangers_are_kept_up_to_a_bound_and_told_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.contacts.MAX_REQUESTS", 4)
    world, ann, bob, _, _ = trio("strangers")
    seen = ann.attach()
    known = len(engine_of(ann).state.people.by_account)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    for number in range(9):
        inner = ask(ann, number, world)
        post(bob, inbox, inner)
        post(bob, inbox, inner)
    world.run(2)
    assert len(seen.of(events.ContactRequested)) == 4
    assert len(engine_of(ann).state.people.by_account) == known + 4
    assert len(engine_of(ann).state.contacts.replayed) <= 4
    no_late_faults(ann)


def test_a_strangers_addresses_are_not_dialled() -> None:
    world, ann, bob, _, _ = trio("dial me")
    from node.crypto import noderec

    record = noderec.make_record(
        bytes(32), addresses=("ws://victim.example:80",), roles=frozenset(), seq=1, now=ann.now()
    )
    post(bob, inbox_channel(ann.setup.identity.intro_pub), ask(ann, 1, world, node_record=record))
    world.run(2)
    assert "ws://victim.example:80" not in engine_of(ann).mesh.addresses()
    assert len(engine_of(ann).state.contacts.waiting) == 1


@pytest.mark.attack("A13")
def test_a_request_with_an_unusable_prekey_does_not_use_up_the_link() -> None:
    world, ann, bob, _, _ = trio("weak prekey")
    link = decode_contact(ann.call(c.ContactLinkCreate(once=True))["link"])
    prekey = replace(new_prekey(bob.setup.entropy, 1, ann.now().wall_ms // 86_400_000), public=LOW_ORDER)
    today = ann.now().wall_ms // 86_400_000
    who = Identity.generate(bob.setup.entropy, today)
    cert = make_cert(who, today, today + 9)
    devices = make_list(who, 1, bytes(32), (cert.cert_hash,), (), today)
    inner = seal_request(
        who,
        cert=cert,
        devices=devices,
        bundle=make_bundle(who, 1, prekey),
        node_record=b"",
        name="weak",
        token=link.token,
        ts_ms=ann.now().wall_ms,
        hello="",
        to_account=ann.setup.identity.account,
        to_intro=ann.setup.identity.intro_pub,
        entropy=bob.setup.entropy,
    )
    post(bob, inbox_channel(ann.setup.identity.intro_pub), inner)
    world.run(2)
    assert link.token in engine_of(ann).state.contacts.tokens
    assert who.account not in engine_of(ann).state.people.by_account
    no_late_faults(ann)


@pytest.mark.attack("A13")
def test_a_contact_link_with_an_unusable_key_is_refused() -> None:
    _, ann, bob, _, _ = trio("weak link")
    link = decode_contact(ann.call(c.ContactLinkCreate())["link"])
    weak = encode_contact(replace(link, account=Identity.generate(bytes, 1).account, intro_pub=LOW_ORDER))
    with pytest.raises(CallError, match="bad_link"):
        bob.call(c.ContactAdd(link=weak))


@pytest.mark.attack("A17")
def test_a_first_contact_that_comes_again_makes_no_second_session() -> None:
    world = Simulation("replayed contact")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    world.run(2)
    sessions = dict(engine_of(ann).state.dms.sessions)
    raws = ann.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0]
    for node in (ann, bob):
        node.crash()
        node.start()
    again = [(ann, raw) for raw in raws] + [(bob, raw) for raw in raws]
    for node, raw in again:
        turn = turn_of(node)
        engine_of(node)._replay(turn, raw)
        release(node, turn)
    assert engine_of(ann).state.dms.sessions.keys() == sessions.keys()
    assert engine_of(bob).state.dms.sessions.keys() == sessions.keys()
    no_late_faults(ann, bob)
