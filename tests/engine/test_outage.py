"""A disk that takes nothing more: nothing is acknowledged or lost, reading goes on, and all else later."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from node.bridge.ports import CommandReceived, CredentialsChanged, FileUploaded, Resume, UploadKept
from node.chat import commands as c, events
from node.engine import outage
from node.engine.commands import HANDLERS
from node.engine.effects import KeepToken, TokenKept, Woke
from node.sim import CallError, SimNode
from node.tables import Table
from tests.engine.worlds import texts, trio


def refusal(node: SimNode, command: c.Command, session: Any = None) -> str:
    with pytest.raises(CallError) as refused:
        node.call(command, session)
    return refused.value.code


def said(node: SimNode, room: str) -> list[str]:
    return [row["message"] for row in node.call(c.HistoryGet(room=room))["messages"]]


def test_a_command_that_finds_no_room_is_refused_and_was_not_done() -> None:
    world, ann, bob, _, room = trio("full")
    here, there = ann.attach(plain=False), bob.attach()
    ann.call(c.UserMessage(room=room, message="before"), here)
    world.run(1)
    ann.store.full = True
    assert refusal(ann, c.UserMessage(room=room, message="lost"), here) == "storage_full"
    error = here.of(events.Error)[-1]
    assert error.retryable
    assert [warning.code for warning in here.of(events.Warning)] == ["storage_full"]
    assert refusal(ann, c.RoomCreate(name="no room"), here) == "storage_full"
    assert refusal(ann, c.UserMessage(room=room, message="lost too", nonce="n"), here) == "storage_full"
    assert said(ann, room) == ["before"]
    assert [row["name"] for row in ann.call(c.RoomList())["rooms"]] == ["club"]
    assert ann.call(c.Search(text="BEFORE"))["messages"]
    assert ann.call(c.NodeStatus())["connectivity"] == "alone"
    world.run(30)
    assert texts(there) == texts(here) == ["before"]


def test_a_node_that_ran_out_of_room_goes_on_without_a_restart_once_there_is_some() -> None:
    world, ann, bob, _, room = trio("room again")
    here, there = ann.attach(plain=False), bob.attach()
    ann.store.full = True
    assert refusal(ann, c.UserMessage(room=room, message="one", nonce="n"), here) == "storage_full"
    world.run(5)
    ann.make_room()
    world.run(10)
    first = ann.call(c.UserMessage(room=room, message="one", nonce="n"), here)
    assert ann.call(c.UserMessage(room=room, message="one", nonce="n"), here) == first
    assert world.run_until(lambda: texts(there) == ["one"], 30)
    assert texts(here) == ["one"]
    bob.call(c.UserMessage(room=room, message="two"))
    assert world.run_until(lambda: texts(here) == ["one", "two"], 30)
    seqs = [event.seq for event in here.of(events.UserMessage)]
    assert seqs == sorted(set(seqs))


def test_what_peers_send_meanwhile_is_not_taken_and_fetched_when_there_is_room() -> None:
    world, ann, bob, _, room = trio("fetched")
    here = ann.attach(plain=False)
    ann.store.full = True
    for number in range(20):
        bob.call(c.UserMessage(room=room, message=str(number)))
        world.run(1)
    assert ann.up
    assert texts(here) == []
    assert said(ann, room) == []
    ann.make_room()
    assert world.run_until(lambda: texts(here) == [str(n) for n in range(20)], 60)
    assert said(ann, room) == [str(n) for n in range(20)]


def test_the_state_never_runs_ahead_of_the_store() -> None:
    """Sealed under a chain key that was not stored, and then sealed again: no key may be used twice."""
    world, ann, bob, _, room = trio("ahead")
    there = bob.attach()
    for number in range(5):
        ann.store.full = True
        refusal(ann, c.UserMessage(room=room, message=f"not {number}"))
        ann.make_room()
        world.run(5)
        ann.call(c.UserMessage(room=room, message=f"sent {number}"))
        world.run(5)
    assert world.run_until(lambda: len(texts(there)) == 5, 60)
    assert texts(there) == [f"sent {n}" for n in range(5)]
    assert not any(event.gap for event in there.of(events.UserMessage))


def test_frontends_that_come_and_go_meanwhile_are_served() -> None:
    world, ann, bob, _, room = trio("meanwhile")
    ann.call(c.UserMessage(room=room, message="old"))
    assert ann.engine is not None
    epoch, seq = ann.engine.state.log_epoch, ann.engine.state.seq
    gone = ann.attach(plain=False)
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"), gone)
    ann.detach(gone)
    back = ann.attach(plain=False, resume=Resume(epoch, seq - 1))
    assert texts(back) == ["old"]
    bot = ann.attach(plain=False, consumer="bot")
    assert bot.of(events.Hello)[0].seq == seq
    ann.make_room()
    world.run(10)
    bob.call(c.UserMessage(room=room, message="new"))
    assert world.run_until(lambda: texts(back) == ["old", "new"], 30)
    assert texts(bot) == ["new"]
    assert ann.call(c.ConsumerList())["consumers"][0]["seq"] == seq
    assert ann.engine.state.sessions.keys() == {back.number, bot.number}


def test_an_invite_that_comes_when_there_is_no_room_is_shown_when_there_is() -> None:
    world, ann, bob, _, _ = trio("invited")
    other = bob.call(c.RoomCreate(name="other"))["room"]
    here = ann.attach(plain=False)
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"), here)
    bob.call(c.UserInvite(target="ann", room=other))
    world.run(10)
    assert not here.of(events.UserInvite)
    ann.make_room()
    assert world.run_until(lambda: bool(here.of(events.UserInvite)), 60)
    ann.call(c.UserInviteResponse(response="accept"), here)
    assert world.run_until(lambda: any(e.room == other for e in here.of(events.UserJoin)), 60)


def test_a_start_that_finds_no_room_reads() -> None:
    world, ann, _, _, room = trio("start")
    ann.call(c.UserMessage(room=room, message="old"))
    ann.crash()
    ann.start()
    ann.store.full = True
    here = ann.attach(plain=False)
    world.run(4000)
    assert said(ann, room) == ["old"]
    assert refusal(ann, c.UserMessage(room=room, message="x"), here) == "storage_full"


def test_what_was_done_before_is_still_answered_for_its_nonce() -> None:
    _, ann, _, _, room = trio("before")
    first = ann.call(c.UserMessage(room=room, message="x", nonce="n"))
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"))
    assert ann.call(c.UserMessage(room=room, message="x", nonce="n")) == first
    assert ann.call(c.RoomList(nonce="r"))["rooms"]
    inside = [{"event": "room_create", "name": "x"}, {"event": "room_list"}]
    answers = ann.call(c.Batch(commands=inside))["results"]
    assert [row.get("code", row["event"]) for row in answers] == ["storage_full", "ok"]
    assert len(ann.call(c.RoomList())["rooms"]) == 1


def test_a_reading_that_turns_out_to_write_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ann, _, _, room = trio("turns out")

    def room_get(desk: Any, turn: Any, session: int, command: Any) -> dict[str, Any]:
        turn.put(Table.SETTINGS, b"x", 1)
        turn.log(events.RoomCreated(room=room, name="x", visibility="private"))
        return {}

    monkeypatch.setitem(HANDLERS, c.RoomGet, room_get)
    here = ann.attach(plain=False)
    ann.store.full = True
    for _ in range(2):
        assert refusal(ann, c.RoomGet(room=room), here) == "storage_full"
    assert not here.of(events.RoomCreated)


def put(data: bytes = b"tea", **keys: Any) -> c.AttachmentPut:
    return c.AttachmentPut(data=base64.b64encode(data).decode(), name="a.bin", **keys)


def test_a_file_whose_storing_finds_no_room_is_refused_and_leaves_nothing() -> None:
    world, ann, _, _, room = trio("file")
    ann.store.full = True
    assert refusal(ann, put(nonce="n")) == "storage_full"
    assert ann.files.folder.held == {}
    ann.make_room()
    world.run(5)
    stored = ann.call(put(nonce="n"))["attachment"]
    assert ann.call(put(nonce="n"))["attachment"] == stored
    ann.call(c.UserMessage(room=room, message="x", attachment=stored))


def test_an_upload_that_was_sealed_when_the_room_ran_out_is_refused_and_erased() -> None:
    _, ann, _, _, _ = trio("upload")
    manifest = ann.files.seal("a", "b/c", b"x" * 100)
    ann.store.full = True
    assert refusal(ann, c.RoomCreate(name="x")) == "storage_full"
    assert ann.engine is not None
    effects = ann.engine.handle(FileUploaded(7, manifest), now=ann.now())
    kept = next(effect for effect in effects if isinstance(effect, UploadKept))
    assert (kept.ticket, kept.fault and kept.fault.code) == (7, "storage_full")
    ann.perform(effects)
    assert ann.files.folder.held == {}


def test_a_command_that_waited_for_the_store_is_refused_when_its_change_finds_no_room() -> None:
    world, ann, _, _, room = trio("waited")
    sent = ann.call(c.UserMessage(room=room, message="old"))["id"]
    world.run(5)
    ann.crash()
    ann.start()
    world.run(5)
    ann.store.full = True
    assert refusal(ann, c.MessageEdit(room=room, id=sent, message="new")) == "storage_full"
    assert said(ann, room) == ["old"]


def test_a_command_that_waits_for_the_store_is_asked_again_of_who_takes_over() -> None:
    world, ann, _, _, room = trio("still waits")
    sent = ann.call(c.UserMessage(room=room, message="old"))["id"]
    ann.crash()
    ann.start()
    world.run(5)
    here = ann.attach(plain=False)
    assert ann.engine is not None
    asked = CommandReceived(here.number, c.MessageEdit(room=room, id=sent, message="new", req=5))
    ann.engine.handle(asked, now=ann.now())
    assert ann.engine.waiting == [replace(asked, token_name=ann.engine.waiting[0].token_name)]
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"))
    assert [(e.code, e.req) for e in here.of(events.Error)] == [("storage_full", 5)]


def test_an_admin_token_that_is_in_its_file_when_the_room_runs_out_is_the_one_that_counts() -> None:
    _, ann, _, _, _ = trio("token")
    here = ann.attach(plain=False)
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"))
    assert ann.engine is not None
    order = KeepToken(CommandReceived(here.number, c.TokenRotate(req=9)), "secret")
    effects = ann.engine.handle(TokenKept(order, "path"), now=ann.now())
    assert [e.admin_token for e in effects if isinstance(e, CredentialsChanged)] == ["secret"]
    ann.perform(effects)
    assert here.of(events.Ok)[-1].req == 9


def test_what_is_only_read_is_answered_of_messages_from_before_the_start_too() -> None:
    world, ann, _, _, room = trio("why")
    sent = ann.call(c.UserMessage(room=room, message="old"))["id"]
    world.run(10)
    ann.crash()
    ann.start()
    ann.store.full = True
    here = ann.attach(plain=False)
    refusal(ann, c.RoomCreate(name="x"))
    ann.feed(CommandReceived(here.number, c.MessageWhy(id=sent, room=room, req=5)))
    world.run(1)
    assert [(event.req, event.fields["id"]) for event in here.of(events.Ok)] == [(5, sent)]


def test_a_question_that_waits_for_the_store_is_answered_by_who_takes_over() -> None:
    world, ann, _, _, room = trio("asked before")
    sent = ann.call(c.UserMessage(room=room, message="old"))["id"]
    world.run(10)
    here = ann.attach(plain=False)
    assert ann.engine is not None
    ann.engine.handle(CommandReceived(here.number, c.MessageWhy(id=sent, room=room, req=5)), now=ann.now())
    ann.store.full = True
    refusal(ann, c.RoomCreate(name="x"))
    world.run(1)
    assert [event.req for event in here.of(events.Ok)] == [5]
    ann.make_room()
    ann.feed(CommandReceived(here.number, c.MessageWhy(id=sent, room=room, req=6)))
    assert len(ann.engine.waiting) == 1
    world.run(1)
    assert ann.engine.waiting == [] and here.of(events.Ok)[-1].req == 6


def test_what_is_asked_again_is_asked_once() -> None:
    """A command that came in the batch that failed may wait for the store already."""
    one, other = c.MessageEdit(room="r", id="i", message="x"), c.MessageEdit(room="r", id="i", message="x")
    waiting = [CommandReceived(1, one, "token"), CommandReceived(1, other, "token")]
    _, again = outage.carried_over({}, waiting, [CommandReceived(1, one), Woke()])
    assert again == [waiting[1], CommandReceived(1, one)]
