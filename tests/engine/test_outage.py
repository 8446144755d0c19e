"""A disk that takes nothing more: nothing is acknowledged or lost, reading goes on, and all else later."""

from __future__ import annotations

from typing import Any

import pytest

from node.bridge.ports import CommandReceived, CredentialsChanged, FileUploaded, Resume, UploadKept
from node.chat import commands as c, events
from node.chat.filing import SealFile
from node.engine.commands import HANDLERS
from node.engine.effects import FetchAfter, FetchMessages, KeepToken, MessagesFetched, TokenKept
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


@pytest.mark.mesh_attack("N17")
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


@pytest.mark.mesh_attack("N17")
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


def test_what_waited_for_the_store_when_room_ran_out_is_answered_all_the_same() -> None:
    world, ann, _, _, room = trio("waited")
    mid = str(ann.call(c.UserMessage(room=room, message="before"))["id"])
    world.run(8)
    asking, reading, deleting = ann.attach(), ann.attach(), ann.attach()
    feed = ann.feed
    ann.feed = lambda event: None if isinstance(event, MessagesFetched) else feed(event)  # type: ignore[method-assign]
    for session, command in (
        (asking, c.MessageWhy(id=mid, req="why")),
        (reading, c.MessageRead(room=room, id=mid, req="read")),
        (deleting, c.MessageDelete(room=room, id=mid, req="delete")),
    ):
        with pytest.raises(CallError, match="no_answer"):
            ann.call(command, session)
    del ann.feed
    ann.store.full = True
    assert refusal(ann, c.RoomCreate(name="no room")) == "storage_full"
    world.run(1)
    assert [ok.req for ok in asking.of(events.Ok)] == ["why"]
    assert [(error.req, error.code) for error in reading.of(events.Error)] == [("read", "storage_full")]
    assert [(error.req, error.code) for error in deleting.of(events.Error)] == [("delete", "storage_full")]
    assert world.run_until(lambda: "message_why" in asked_again(ann, mid), 2)


def asked_again(node: SimNode, mid: str) -> str:
    """Ask what became of a message where nothing can be stored."""
    session = node.attach()
    with pytest.raises(CallError, match="no_answer"):
        node.call(c.MessageWhy(id=mid), session)
    node.world.run(0.1)
    assert [ok.fields["recipients"][0]["status"] for ok in session.of(events.Ok)] == ["delivered"]
    return "message_why"


def test_what_waits_for_the_store_when_the_room_runs_out_is_answered_all_the_same() -> None:
    world, ann, _, _, room = trio("waiting")
    said = ann.call(c.UserMessage(room=room, message="one"))["id"]
    waiting: list[c.Command] = [
        c.MessageWhy(id=said, req="why"),
        c.MessageRead(room=room, id=said, req="read"),
        c.AttachmentPut(data="AAAA", name="a", req="put"),
        c.MessageEdit(room=room, id=said, message="two", req="edit"),
    ]
    held: list[Any] = []
    real = ann._one

    def slow(effect: Any) -> None:
        held.append(effect) if isinstance(effect, FetchMessages | FetchAfter | SealFile) else real(effect)

    ann._one = slow  # type: ignore[method-assign]
    here = ann.attach(plain=False)
    for command in waiting:
        ann.feed(CommandReceived(here.number, command))
    assert len(held) == len(waiting) and not here.of(events.Ok)
    ann.store.full = True
    del ann._one
    assert refusal(ann, c.RoomCreate(name="no room"), here) == "storage_full"
    for order in held:  # the folder answers whom it was asked by, or who is in their place
        if isinstance(order, SealFile):
            ann._one(order)
    world.run(1)
    assert ann.files.folder.sizes() == {}
    assert [ok.req for ok in here.of(events.Ok)] == ["why"]
    refused = [error.req for error in here.of(events.Error) if error.code == "storage_full"]
    assert sorted(str(req) for req in refused) == ["None", "edit", "put", "read"]
    ann._one = slow  # type: ignore[method-assign]
    ann.feed(CommandReceived(here.number, c.MessageWhy(id=said, req="again")))
    del ann._one
    ann.make_room()
    world.run(1)
    assert [ok.req for ok in here.of(events.Ok)] == ["why", "again"]


def test_an_upload_that_ends_when_there_is_no_room_is_refused_and_its_file_goes() -> None:
    _, ann, _, _, room = trio("upload")
    ann.store.full = True
    here = ann.attach(plain=False)
    answers: list[UploadKept] = []
    real = ann._one

    def tell(effect: Any) -> None:
        answers.append(effect) if isinstance(effect, UploadKept) else real(effect)

    ann._one = tell  # type: ignore[method-assign]
    for ticket in (1, 2):  # the first is what finds that there is no room
        ann.feed(FileUploaded(ticket, ann.files.seal("a.bin", "text/plain", b"words")))
    assert [(a.ticket, a.fault and a.fault.code) for a in answers] == [
        (1, "storage_full"),
        (2, "storage_full"),
    ]
    assert ann.files.folder.sizes() == {}
    assert refusal(ann, c.UserMessage(room=room, message="x"), here) == "storage_full"


def test_an_admin_token_that_is_in_its_file_is_in_force_though_there_is_no_room_to_note_it() -> None:
    _, ann, _, _, _ = trio("rotated")
    orders: list[KeepToken] = []
    changed: list[CredentialsChanged] = []
    real = ann._one

    def slow(effect: Any) -> None:
        match effect:
            case KeepToken():
                orders.append(effect)
            case CredentialsChanged():
                changed.append(effect)
            case _:
                real(effect)

    ann._one = slow  # type: ignore[method-assign]
    here = ann.attach(plain=False)
    ann.feed(CommandReceived(here.number, c.TokenRotate(req="rotate", nonce="n")))
    ann.store.full = True
    assert refusal(ann, c.RoomCreate(name="no room"), here) == "storage_full"
    ann.feed(TokenKept(orders[0], "there"))
    assert [ok.fields["path"] for ok in here.of(events.Ok)] == ["there"]
    assert [one.admin_token for one in changed] == [orders[0].token]


@pytest.mark.parametrize(
    "asked",
    [
        lambda room, mid: c.MessageEdit(room=room, id=mid, message="y", req="w"),
        lambda room, mid: c.MessageRead(room=room, id=mid, req="w"),
        lambda room, mid: c.RoomRead(room=room, id=mid, req="w"),
    ],
)
def test_what_waits_for_the_store_when_room_runs_out_is_refused_and_waits_for_nothing(asked: Any) -> None:
    _, ann, _, _, room = trio("waits")
    mid = ann.call(c.UserMessage(room=room, message="x"))["id"]
    here = ann.attach(plain=False)
    assert ann.engine is not None
    ann.engine.handle(CommandReceived(here.number, asked(room, mid)), now=ann.now())
    ann.store.full = True
    ann._run_out([])
    assert [(error.req, error.code) for error in here.of(events.Error)] == [("w", "storage_full")]
    assert said(ann, room) == ["x"]


def test_why_is_answered_while_there_is_no_room_and_when_it_runs_out_meanwhile() -> None:
    world, ann, _, _, room = trio("why")
    mid = ann.call(c.UserMessage(room=room, message="x"))["id"]
    here = ann.attach(plain=False)
    why = c.MessageWhy(id=mid, req="w")
    assert ann.engine is not None
    ann.engine.handle(CommandReceived(here.number, why), now=ann.now())
    ann.store.full = True
    ann._run_out([])
    world.run(1)
    assert [(ok.req, len(ok.fields["recipients"])) for ok in here.of(events.Ok)] == [("w", 1)]
    ann.feed(CommandReceived(here.number, c.MessageWhy(id=mid, req="then")))
    world.run(1)
    assert here.of(events.Ok)[-1].req == "then"
    ann.engine.handle(CommandReceived(here.number, c.MessageWhy(id=mid, req="again")), now=ann.now())
    ann.make_room()
    world.run(1)
    assert here.of(events.Ok)[-1].req == "again"


def test_a_command_that_had_waited_for_the_store_is_refused_if_it_finds_no_room() -> None:
    _, ann, _, _, room = trio("edit")
    mid = ann.call(c.UserMessage(room=room, message="x"))["id"]
    here = ann.attach(plain=False)
    ann.store.full = True
    with pytest.raises(CallError) as error:
        ann.call(c.MessageEdit(room=room, id=mid, message="y", nonce="n"), here)
    assert error.value.code == "storage_full" and said(ann, room) == ["x"]
    ann.make_room()
    ann.call(c.MessageEdit(room=room, id=mid, message="y", nonce="n"), here)
    assert said(ann, room) == ["y"]
    assert [event.code for event in here.of(events.Error)] == ["storage_full"]


def test_what_waits_for_the_store_when_the_vault_is_locked_is_told_so() -> None:
    _, ann, _, _, room = trio("lock")
    mid = ann.call(c.UserMessage(room=room, message="x"))["id"]
    here = ann.attach(plain=False)
    assert ann.engine is not None
    edit = c.MessageEdit(room=room, id=mid, message="y", req="w")
    ann.engine.handle(CommandReceived(here.number, edit), now=ann.now())
    ann.lock()
    assert [(error.req, error.code) for error in here.of(events.Error)] == [("w", "locked")]


def test_a_token_that_was_kept_in_its_file_when_room_ran_out_is_in_force_and_told_of() -> None:
    _, ann, _, _, _ = trio("token")
    here = ann.attach(plain=False)
    order = KeepToken(CommandReceived(here.number, c.TokenRotate(req="t", nonce="n")), "secret")
    ann.store.full = True
    assert ann.engine is not None
    ann._run_out([TokenKept(order, "path")])
    assert [(ok.req, ok.fields["path"]) for ok in here.of(events.Ok)] == [("t", "path")]
    told = ann.engine.handle(TokenKept(order, "path"), now=ann.now())
    assert [effect.admin_token for effect in told if isinstance(effect, CredentialsChanged)] == ["secret"]
