"""What an owner's commands take and refuse: origins, addresses, tokens, consumers, keys named in errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.bridge.ports import EventsWritten, Resume, StartReplay
from node.chat import commands as c, events
from node.engine import sessions
from node.engine.nonces import NONCE_MS
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.worlds import trio


def lone(seed: str = "owner") -> tuple[Simulation, SimNode]:
    world = Simulation(seed)
    return world, world.add("ann")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("file://", "file://"),
        ("file:///", "file://"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://-", "app://-"),
        ("HTTP://Localhost:5173/", "http://localhost:5173"),
    ],
)
def test_an_origin_is_kept_as_a_browser_writes_it(given: str, kept: str) -> None:
    _, ann = lone()
    assert ann.call(c.OriginAllow(origin=given)) == {"origin": kept}
    assert ann.call(c.OriginList()) == {"origins": [kept]}
    assert ann.call(c.OriginRemove(origin=given)) == {"origin": kept}
    assert ann.call(c.OriginList()) == {"origins": []}


@pytest.mark.parametrize(
    "given",
    ["null", "*", "http://", "http://a b", "http://a/path", "http://u@h", "https://*.a", "file:", "x"],
)
def test_what_no_browser_would_send_as_origin_is_refused(given: str) -> None:
    _, ann = lone()
    with pytest.raises(CallError, match="SCHEME"):
        ann.call(c.OriginAllow(origin=given))


@pytest.mark.parametrize(
    "given", ["ws://", "ws://:7118", "http://a:1", "ws://a:99999", "ws://a b:1", "ws://u@h:1"]
)
def test_an_address_that_cannot_be_dialled_is_refused(given: str) -> None:
    _, ann = lone()
    with pytest.raises(CallError):
        ann.call(c.PeerAdd(address=given))
    assert ann.call(c.PeerAdd(address="ws://[::1]:7118")) == {"address": "ws://[::1]:7118"}


def test_an_address_that_does_not_answer_is_listed_until_it_is_removed() -> None:
    world, ann = lone()
    ann.call(c.PeerAdd(address="ws://nobody:1"))
    world.run(3)
    [row] = ann.call(c.PeerList())["peers"]
    assert (row["address"], row["state"], row["peer"]) == ("ws://nobody:1", "down", None)
    assert row["source"] == "configured" and row["last_error"] and row["retry_s"] >= 0
    ann.call(c.PeerRemove(address="ws://nobody:1"))
    assert ann.call(c.PeerList()) == {"peers": []}
    with pytest.raises(CallError):
        ann.call(c.PeerRemove(address="ws://nobody:1"))


def test_of_two_that_dial_each_other_each_sees_one_link_and_by_which_address_it_knows_the_other() -> None:
    world, ann = lone()
    bob = world.add("bob", peers=["ann"])
    ann.call(c.PeerAdd(address=bob.address))
    world.run(5)
    rows = {node.name: node.call(c.PeerList())["peers"] for node in (ann, bob)}
    [of_ann], [of_bob] = rows["ann"], rows["bob"]
    assert {of_ann["direction"], of_bob["direction"]} == {"in", "out"}
    for row, other in ((of_ann, bob), (of_bob, ann)):
        assert other.address in (row["address"], row["known_as"]) and row["last_error"] is None
        assert (row["source"] is None) == (row["direction"] == "in")
    came = [node.call(c.NodeStatus())["came_in"] for node in (ann, bob)]
    assert sum(came) >= 1


def test_the_name_of_a_token_is_free_again_once_it_has_expired() -> None:
    world, ann = lone()
    first = ann.call(c.TokenCreate(name="bot", scope="read", expires_in=5))["token"]
    with pytest.raises(CallError) as taken:
        ann.call(c.TokenCreate(name="bot", scope="read"))
    assert taken.value.code == "name_taken"
    world.run(6)
    assert ann.call(c.TokenCreate(name="bot", scope="chat"))["token"] != first
    assert [t["scope"] for t in ann.call(c.TokenList())["tokens"]] == ["chat"]


def test_a_nonce_holds_for_its_token_and_for_seven_days() -> None:
    world, ann = lone()
    bot = ann.attach(plain=False)
    first = ann.call(c.RoomCreate(name="tea", nonce="1"), bot)["room"]
    ann.crash()
    ann.start()
    bot = ann.attach(plain=False)
    assert ann.call(c.RoomCreate(name="tea", nonce="1"), bot)["room"] == first
    assert ann.engine is not None
    ann.engine.state.sessions[bot.number] = replace(ann.engine.state.sessions[bot.number], token_name="other")
    assert ann.call(c.RoomCreate(name="tea", nonce="1"), bot)["room"] != first
    for nonce, kept in ann.engine.state.nonces.all.items():
        ann.engine.state.nonces.all[nonce] = replace(kept, at_ms=kept.at_ms - NONCE_MS - 60_000)
    last = ann.call(c.RoomCreate(name="tea", nonce="1"), bot)["room"]
    assert last != first
    assert ann.call(c.RoomCreate(name="tea", nonce="1"), bot)["room"] == last


def said(node: SimNode, room: str, *words: str) -> int:
    """Say something in a room; returns the `seq` of the last."""
    for word in words:
        node.call(c.UserMessage(room=room, message=word))
    assert node.engine is not None
    return node.engine.state.seq


def shown(session: SimSession) -> list[str]:
    return [event.message for event in session.of(events.UserMessage)]


def test_a_new_consumer_begins_now_and_misses_nothing_from_there_on() -> None:
    _, ann = lone()
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    said(ann, room, "before")
    ann.detach(ann.attach(plain=False, consumer="bot"))
    last = said(ann, room, "one", "two")
    again = ann.attach(plain=False, consumer="bot")
    assert shown(again) == ["one", "two"]
    assert ann.call(c.Ack(seq=last - 1), again) == {"seq": last - 1}
    ann.crash()
    ann.start()
    assert shown(ann.attach(plain=False, consumer="bot")) == ["two"]


def test_an_open_invite_comes_again_to_whom_no_replay_brings_it() -> None:
    world, ann, bob, _, _ = trio("again")
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    bob.detach(bob.attach(plain=False, consumer="bot"))
    first = bob.attach(plain=False)
    ann.call(c.UserInvite(target="bob", room=room))
    assert world.run_until(lambda: bool(first.of(events.UserInvite)), 10)
    assert bob.engine is not None
    seen = first.of(events.UserInvite)[0]
    epoch, seq = bob.engine.state.log_epoch, bob.engine.state.seq
    for again in (
        bob.attach(),
        bob.attach(plain=False),
        bob.attach(plain=False, consumer="bot"),
        bob.attach(plain=False, resume=Resume("another log", 1)),
    ):
        assert [event.seq for event in again.of(events.UserInvite)] == [seen.seq]
    assert not bob.attach(plain=False, resume=Resume(epoch, seq)).of(events.UserInvite)
    bob.call(c.UserInviteResponse(response="decline"), again)
    assert world.run_until(lambda: not bob.engine or not bob.engine.state.invites.open_incoming(), 5)


def test_a_message_brings_every_key_and_the_nonce_of_the_command_that_sent_it() -> None:
    world, ann, bob, _, room = trio("nonce")
    here, there = ann.attach(), bob.attach()
    ann.call(c.UserMessage(room=room, message="hi", nonce="n-1"))
    assert world.run_until(lambda: bool(there.of(events.UserMessage)), 5)
    assert [m.nonce for m in here.of(events.UserMessage)] == ["n-1"]
    told = events.builtins(there.of(events.UserMessage)[0])
    assert (told["nonce"], told["reply_to"], told["attachment"]) == (None, None, None)


def test_more_consumers_than_are_remembered_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ann = lone()
    monkeypatch.setattr(sessions, "MAX_CONSUMERS", 1)
    ann.attach(plain=False, consumer="one")
    other = ann.attach(plain=False, consumer="two")
    assert [e.code for e in other.of(events.Error)] == ["too_many"]


def test_what_any_frontend_was_handed_is_no_backlog_for_a_plain_one() -> None:
    _, ann = lone()
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    first = said(ann, room, "seen by nobody")
    live = ann.attach(plain=False)
    last = said(ann, room, "seen live", "and this")
    ann.feed(EventsWritten(live.number, first, last))
    ann.crash()
    ann.start()
    orders = _replays(ann)
    ann.attach(plain=True)
    assert [order.had for order in orders] == [((first, last),)]
    assert orders[0].until_seq == last


def _replays(node: SimNode) -> list[StartReplay]:
    orders, real = list[StartReplay](), node._one

    def told(effect: Any) -> None:
        orders.append(effect) if isinstance(effect, StartReplay) else real(effect)

    node._one = told  # type: ignore[method-assign]
    return orders


def test_a_position_before_the_compacted_part_of_the_log_is_a_resync() -> None:
    _, ann = lone()
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    last = said(ann, room, "one", "two")
    assert ann.engine is not None
    ann.engine.state.first_seq = last
    epoch = ann.engine.state.log_epoch
    lost = ann.attach(plain=False, resume=Resume(epoch, last - 2))
    assert [e.code for e in lost.of(events.Error)] == ["resync_required"]
    assert shown(ann.attach(plain=False, resume=Resume(epoch, last - 1))) == ["two"]


def test_an_error_names_the_key_of_the_command_that_is_meant() -> None:
    _, ann = lone()
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    session = ann.attach(plain=False)
    for command, field in (
        (c.UserInvite(target="nobody", room=room), "target"),
        (c.MemberRemove(username="nobody", room=room), "username"),
        (c.ProfileSet(name=" "), "name"),
    ):
        with pytest.raises(CallError):
            ann.call(command, session)
        assert session.of(events.Error)[-1].field == field
    assert session.of(events.Error)[-1].code == "invalid"


def test_a_contact_link_that_was_reset_makes_its_reader_a_stranger_also_after_a_start() -> None:
    world = Simulation("reset")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    old = [ann.call(c.ContactLinkCreate())["link"], ann.call(c.ContactLinkCreate(once=True))["link"]]
    made = ann.call(c.ContactLinkReset())
    assert made["revoked"] == 2 and made["link"] not in old
    ann.crash()
    ann.start()
    session = ann.attach()
    world.run(3)
    bob.call(c.ContactAdd(link=old[0]))
    world.run(5)
    assert [row["state"] for row in ann.call(c.ContactList())["contacts"]] != ["contact"]
    assert session.of(events.ContactRequested)
    assert ann.call(c.ContactLinkReset())["revoked"] == 1
    bob.call(c.ContactAdd(link=ann.call(c.ContactLinkCreate())["link"]))
    assert world.run_until(lambda: bool(session.of(events.ContactAdded)), 10)
