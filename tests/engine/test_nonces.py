"""The same nonce again: the first result, whoever answers it, across crashes, and never something else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest

from node.bridge.ports import CommandReceived, ReadAnswered, SessionEnded, SessionStarted
from node.chat import commands as c, events
from node.chat.turn import pack_row
from node.engine import nonces
from node.engine.effects import FetchAfter, FetchMessages, KeepToken, MessagesFetched, WriteBackup
from node.sim import CallError, SimNode, SimSession
from node.store.records import Put
from node.tables import Table
from tests.engine.hostile import engine_of
from tests.engine.test_receipts import ask
from tests.engine.worlds import trio


def restart(node: SimNode) -> None:
    node.crash()
    node.start()


@pytest.mark.parametrize("kind", ["said", "search", "history", "status", "backup", "rooms", "batch"])
def test_a_nonce_brings_back_the_first_result_also_after_a_crash(kind: str) -> None:
    _, ann, _, _, room = trio(f"first {kind}")
    ann.call(c.UserMessage(room=room, message="tea"))
    command: Any = {
        "said": c.UserMessage(room=room, message="more tea", nonce="n"),
        "search": c.Search(text="tea", nonce="n"),
        "history": c.HistoryGet(room=room, nonce="n"),
        "status": c.NodeStatus(nonce="n"),
        "backup": c.BackupCreate(passphrase="x", nonce="n"),
        "rooms": c.RoomList(nonce="n"),
        "batch": c.Batch(commands=[{"event": "room_create", "name": "b"}], nonce="n"),
    }[kind]
    first = ann.call(command)
    ann.call(c.UserMessage(room=room, message="tea again"))
    ann.call(c.RoomCreate(name="another"))
    assert ann.call(command) == first
    restart(ann)
    assert ann.call(command) == first


def test_what_was_asked_by_a_session_that_is_gone_is_remembered_for_the_next_of_its_token() -> None:
    _, ann, _, _, _ = trio("gone")
    orders: list[WriteBackup] = []
    one = ann._one

    def hold(effect: Any) -> None:
        orders.append(effect) if isinstance(effect, WriteBackup) else one(effect)

    ann._one = hold  # type: ignore[method-assign]
    asked = ann.attach(plain=False)
    with pytest.raises(CallError, match="no_answer"):
        ann.call(c.BackupCreate(passphrase="x", nonce="n"), asked)
    ann.detach(asked)
    del ann._one
    ann._one(orders[0])
    later = ann.attach(plain=False)
    first = ann.call(c.BackupCreate(passphrase="x", nonce="n"), later)
    ann.call(c.RoomCreate(name="more to back up"))
    assert ann.call(c.BackupCreate(passphrase="x", nonce="n"), later) == first
    assert len(orders) == 1


def test_a_nonce_twice_in_flight_is_done_once_or_both_get_the_first_result() -> None:
    _, ann, _, _, room = trio("flight")
    waiting: list[Any] = []
    feed = ann.feed

    def late(event: Any) -> None:
        waiting.append(event) if isinstance(event, ReadAnswered) else feed(event)

    ann.feed = late  # type: ignore[method-assign]
    one, other = ann.attach(plain=False), ann.attach(plain=False)
    for session, text in ((one, "before"), (other, "after")):
        with pytest.raises(CallError, match="no_answer"):
            ann.call(c.HistoryGet(room=room, nonce="n"), session)
        ann.call(c.UserMessage(room=room, message=text))
    assert waiting[0].fields != waiting[1].fields
    for answer in waiting:
        feed(answer)
    assert one.of(events.Ok)[0].fields == other.of(events.Ok)[0].fields == waiting[0].fields


def test_a_nonce_twice_in_flight_for_different_things_is_refused_the_second_time() -> None:
    _, ann, _, _, room = trio("crossed")
    waiting: list[Any] = []
    feed = ann.feed

    def late(event: Any) -> None:
        waiting.append(event) if isinstance(event, ReadAnswered) else feed(event)

    ann.feed = late  # type: ignore[method-assign]
    one, other = ann.attach(plain=False), ann.attach(plain=False)
    for session, limit in ((one, 1), (other, 2)):
        with pytest.raises(CallError, match="no_answer"):
            ann.call(c.HistoryGet(room=room, limit=limit, nonce="n"), session)
    for answer in waiting:
        feed(answer)
    assert len(one.of(events.Ok)) == 1
    assert [error.code for error in other.of(events.Error)] == ["nonce_reused"]


def test_a_nonce_given_to_something_else_is_refused_and_that_is_not_done() -> None:
    _, ann, _, _, room = trio("else")
    ann.call(c.UserMessage(room=room, message="one", nonce="n"))
    for _ in range(2):
        with pytest.raises(CallError) as refused:
            ann.call(c.UserMessage(room=room, message="two", nonce="n"))
        assert refused.value.code == "nonce_reused"
        restart(ann)
    assert ann.call(c.RoomCreate(name="another command", nonce="n"))["name"] == "another command"
    assert [row["message"] for row in ann.call(c.HistoryGet(room=room))["messages"]] == ["one"]


def test_req_may_differ_and_tokens_do_not_meet() -> None:
    _, ann, _, _, room = trio("req")
    first = ann.call(c.UserMessage(room=room, message="x", nonce="n", req=1))
    assert ann.call(c.UserMessage(room=room, message="x", nonce="n", req=2)) == first
    bot = ann.attach()
    ann.feed(SessionStarted(bot.number, "chat", "bot", plain=True))
    assert ann.call(c.UserMessage(room=room, message="x", nonce="n"), bot) != first


def test_results_of_reading_have_a_place_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ann, _, _, room = trio("place")
    first = ann.call(c.UserMessage(room=room, message="x" * 500, nonce="n"))
    one = ann.call(c.HistoryGet(room=room, nonce="0"))
    size = ann.engine.state.nonces.reads.copy().popitem()[1]  # type: ignore[union-attr]
    monkeypatch.setattr(nonces, "MAX_READ_BYTES", 3 * size)
    for number in range(1, 9):
        ann.call(c.HistoryGet(room=room, nonce=str(number)))
    assert ann.engine is not None
    assert len(ann.engine.state.nonces.reads) == 3
    assert len(ann.store.load().rows["nonces"]) == 4
    assert ann.call(c.UserMessage(room=room, message="x" * 500, nonce="n")) == first
    restart(ann)
    assert len(ann.engine.state.nonces.reads) == 3
    assert ann.call(c.HistoryGet(room=room, nonce="0")) == one


def test_results_that_are_long_do_not_grow_memory_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ann, _, _, _ = trio("long")
    assert ann.engine is not None
    remembered = ann.engine.state.nonces
    ann.call(c.RoomCreate(name="0", nonce="0"))
    monkeypatch.setattr(nonces, "MAX_BYTES", 3 * remembered.size + 50)
    for number in range(1, 9):
        ann.call(c.RoomCreate(name=str(number), nonce=str(number)))
    assert len(remembered.all) == len(ann.store.load().rows["nonces"]) == 3
    size = remembered.size
    assert size == sum(len(nonce.fields) for nonce in remembered.all.values())
    restart(ann)
    assert ann.engine.state.nonces.size == size


def test_what_was_read_before_the_vault_was_locked_is_answered_locked() -> None:
    _, ann, _, _, room = trio("locked")
    waiting: list[Any] = []
    feed = ann.feed

    def late(event: Any) -> None:
        waiting.append(event) if isinstance(event, ReadAnswered) else feed(event)

    ann.feed = late  # type: ignore[method-assign]
    asked = ann.attach(plain=False)
    with pytest.raises(CallError, match="no_answer"):
        ann.call(c.HistoryGet(room=room, nonce="n"), asked)
    ann.lock()
    feed(waiting[0])
    assert [error.code for error in asked.of(events.Error)] == ["locked"]


def test_no_digest_is_kept_of_a_passphrase() -> None:
    _, ann, _, _, _ = trio("digest")
    first = ann.call(c.BackupCreate(passphrase="one", nonce="n"))
    assert ann.call(c.BackupCreate(passphrase="another", nonce="n")) == first
    inside = [{"event": "backup_create", "passphrase": "one"}, {"event": "room_create", "name": "a"}]
    done = ann.call(c.Batch(commands=inside, nonce="b"))
    inside[0]["passphrase"] = "another"
    assert ann.call(c.Batch(commands=inside, nonce="b")) == done


def test_results_remembered_by_the_version_before_are_still_given() -> None:
    _, ann, _, _, room = trio("version")
    row = pack_row({"at_ms": ann.now().wall_ms, "fields": '{"id":"i"}'})
    ann.store.commit([Put("nonces", b"user_message 0  old", row)])
    restart(ann)
    assert ann.call(c.UserMessage(room=room, message="x", nonce="old")) == {"id": "i"}


@pytest.mark.parametrize("kind", ["why", "read", "room read"])
def test_what_the_store_is_asked_for_first_is_remembered_too(kind: str) -> None:
    world, ann, bob, _, room = trio(f"asked {kind}")
    mids = [str(ann.call(c.UserMessage(room=room, message=f"m{n}"))["id"]) for n in range(3)]
    theirs = str(bob.call(c.UserMessage(room=room, message="theirs"))["id"])
    world.run(8)
    asked: dict[str, tuple[SimNode, Any]] = {
        "why": (ann, c.MessageWhy(id=mids[0], nonce="n")),
        "read": (bob, c.MessageRead(room=room, id=mids[0], nonce="n")),
        "room read": (bob, c.RoomRead(room=room, id=mids[0], nonce="n")),
    }
    node, command = asked[kind]
    first = ask(world, node, command)
    bob.call(c.RoomRead(room=room))
    world.run(8)
    assert ask(world, node, msgspec.structs.replace(command, nonce=None)) != first
    assert node.call(command) == first
    restart(node)
    assert node.call(command) == first
    with pytest.raises(CallError, match="nonce_reused"):
        node.call(msgspec.structs.replace(command, id=theirs))


def test_a_nonce_of_a_token_whose_session_ended_before_the_store_answered_is_done_once() -> None:
    world, ann, _, _, room = trio("token gone")
    mid = str(ann.call(c.UserMessage(room=room, message="tea"))["id"])
    ann.call(c.UserMessage(room=room, message="more tea"))
    restart(ann)
    waiting: list[Any] = []
    feed = ann.feed

    def late(event: Any) -> None:
        waiting.append(event) if isinstance(event, MessagesFetched) else feed(event)

    reply = c.UserMessage(room=room, message="yes", reply_to=mid, nonce="n")
    sent = 0
    for session in (bot(ann), bot(ann)):
        ann.feed = late  # type: ignore[method-assign]
        with suppress(CallError):
            ann.call(reply, session)
        feed(SessionEnded(session.number))
        del ann.feed
        for event in waiting:
            feed(event)
        sent += len(waiting)
        waiting.clear()
    rows = ann.call(c.HistoryGet(room=room))["messages"]
    assert sent == 1
    assert [row["message"] for row in rows] == ["tea", "more tea", "yes"]


def bot(node: SimNode) -> SimSession:
    """Attach a frontend with a token of its own."""
    session = node.attach()
    node.feed(SessionStarted(session.number, "owner", "bot", plain=True))
    return session


def test_another_admin_token_is_made_once_for_a_nonce() -> None:
    _, ann, _, _, _ = trio("rotate")
    session = bot(ann)
    first = ann.call(c.TokenRotate(nonce="n"), session)
    orders: list[Any] = []
    one = ann._one
    ann._one = lambda effect: orders.append(effect) if isinstance(effect, KeepToken) else one(effect)  # type: ignore[method-assign]
    assert ann.call(c.TokenRotate(nonce="n"), session) == first
    assert orders == []


@pytest.mark.parametrize("kind", ["reply", "edit", "read", "why", "rotate"])
def test_what_waits_for_the_store_is_done_once_though_its_session_goes_meanwhile(kind: str) -> None:
    world, ann, bob, _, room = trio(f"waits {kind}")
    said = ann.call(c.UserMessage(room=room, message="one"))["id"]
    world.run(2)
    restart(ann)
    commands: dict[str, c.Command] = {
        "reply": c.UserMessage(room=room, message="two", reply_to=said, nonce="n"),
        "edit": c.MessageEdit(room=room, id=said, message="two", nonce="n"),
        "read": c.MessageRead(room=room, id=said, nonce="n"),
        "why": c.MessageWhy(id=said, nonce="n"),
        "rotate": c.TokenRotate(nonce="n"),
    }
    command = commands[kind]
    engine_of(ann).state.rooms.inboxes[bytes.fromhex(room.replace("-", ""))].room.timeline.known.clear()
    held: list[Any] = []
    real, slow = ann._one, (FetchMessages, FetchAfter, KeepToken)

    def late(effect: Any) -> None:
        held.append(effect) if isinstance(effect, slow) else real(effect)

    ann._one = late  # type: ignore[method-assign]
    asked = ann.attach(plain=False)
    with pytest.raises(CallError, match="no_answer"):
        ann.call(command, asked)
    ann.detach(asked)
    del ann._one
    for effect in held:
        ann._one(effect)
    world.run(1)
    (kept,) = [one for key, one in engine_of(ann).state.nonces.all.items() if key.endswith(" n")]
    later, before = ann.attach(plain=False), len(ann.store.messages())
    assert ann.call(command, later) == msgspec.json.decode(kept.fields)
    world.run(1)
    assert len(ann.store.messages()) == before


@pytest.mark.parametrize("late", [False, True])
def test_what_was_deleted_is_in_no_remembered_answer_either(late: bool) -> None:
    _, ann, _, _, room = trio(f"deleted {late}")
    said = ann.call(c.UserMessage(room=room, message="swordfish"))["id"]
    asked: list[c.Command] = [
        c.HistoryGet(room=room, nonce="n"),
        c.Search(text="swordfish", nonce="n"),
        c.RoomList(nonce="n"),
    ]
    waiting: list[Any] = []
    feed = ann.feed

    def slow(event: Any) -> None:
        waiting.append(event) if late and isinstance(event, ReadAnswered) else feed(event)

    ann.feed = slow  # type: ignore[method-assign]
    here = ann.attach(plain=False)
    for command in asked:
        ann.feed(CommandReceived(here.number, command))
    ann.call(c.MessageDelete(room=room, id=said))
    del ann.feed
    for event in waiting:
        ann.feed(event)
    assert len(here.of(events.Ok)) == 3 and len(waiting) == (2 if late else 0)
    assert not any(b"swordfish" in row for row in ann.store.load().rows[Table.NONCES].values())
    assert not any("swordfish" in one.fields for one in engine_of(ann).state.nonces.all.values())
    assert ann.call(c.Search(text="swordfish", nonce="n"), here)["messages"] == []
    assert ann.call(c.RoomList(nonce="n"), here)["rooms"][0]["last_message"] == ""


def test_batches_that_only_read_crowd_nobody_out_and_keep_no_words_that_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nonces, "MAX_READ_BYTES", 3_000)
    monkeypatch.setattr(nonces, "MAX_READS", 10)
    monkeypatch.setattr(nonces, "MAX_NONCES", 20)
    monkeypatch.setattr(nonces, "MAX_BYTES", 20_000)
    _, ann, _, _, room = trio("reading batches")
    first = ann.call(c.UserMessage(room=room, message="swordfish", nonce="mine"))
    reader = ann.attach(plain=False, scope="read", consumer="r")
    asked = [
        {"event": "room_list"},
        {"event": "ack", "seq": 1},
        {"event": "room_create", "name": "no"},
        {"event": "nothing"},
    ]
    for number in range(100):
        results = ann.call(c.Batch(commands=asked, nonce=f"n{number}"), reader)["results"]
        ann.call(c.ConsumerList(nonce=f"n{number}"), reader)
        assert [one["event"] for one in results] == ["ok", "ok", "error", "error"]
    kept = engine_of(ann).state.nonces
    assert (
        sum(kept.reads.values()) <= 3_000
        and ann.call(c.UserMessage(room=room, message="swordfish", nonce="mine")) == first
    )
    restart(ann)
    assert engine_of(ann).state.nonces.reads == kept.reads and kept.reads
    mixed = c.Batch(commands=[{"event": "room_create", "name": "done"}, {"event": "room_list"}], nonce="did")
    did = ann.call(mixed)
    ann.call(c.MessageDelete(room=room, id=first["id"]))
    assert not engine_of(ann).state.nonces.reads and ann.call(mixed) == did
