"""A vault that is locked and opened in a mesh: who is answered what, and that nobody misses anything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.native import NativeJson
from node.bridge.ports import (
    CommandReceived,
    Deliver,
    EventsWritten,
    Resume,
    SessionEnded,
    SessionStarted,
)
from node.chat import commands as c, events
from node.clock import Instant
from node.engine.effects import FetchAfter, FetchMessages, OpenVault, SealVault, StopNode
from node.engine.locked import NO_ROOM, Locked
from tests.engine.worlds import texts, trio

OPEN = c.VaultUnlock(passphrase="any")
NOW = Instant(0.0, 1_790_000_000_000)
PAGE = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
EXAMPLES = [NativeJson().decode(text) for text in re.findall(r"^> (\{.*[^,]\})$", PAGE, re.MULTILINE)]
EXAMPLES = [command for command in EXAMPLES if not isinstance(command, c.Hello)]  # it starts a session
ANSWERED = {"node_status", "vault_unlock", "node_stop"}


def test_sessions_go_on_across_a_lock_with_each_event_once_and_in_order() -> None:
    world, ann, bob, _, room = trio()
    plain, full = bob.attach(), bob.attach(plain=False)
    start = full.of(events.Hello)[0].seq
    ann.call(c.UserMessage(room=room, message="one"))
    world.run(2)
    assert bob.call(c.VaultLock(), full) == {"locked": True}
    world.run(1)
    for text in ("two", "three"):
        ann.call(c.UserMessage(room=room, message=text))
    world.run(5)
    assert texts(full) == ["one"]
    late = bob.attach(plain=False, resume=Resume(bob.store.load().log_epoch, start))
    late_plain = bob.attach()
    assert late.of(events.Hello)[0].connectivity == "locked"
    assert bob.call(OPEN, late) == {"locked": False}
    world.run(20)
    bob.call(c.UserMessage(room=room, message="four"), plain)
    world.run(2)
    said = ["one", "two", "three", "four"]
    assert [texts(s) for s in (plain, full, late)] == [said, said, said]
    assert texts(late_plain)[-3:] == said[1:]
    seqs = [e.seq for e in full.seen if isinstance(getattr(e, "seq", None), int)][1:]
    assert seqs == list(range(start + 1, start + 1 + len(seqs)))
    states = [e.state for e in full.of(events.Connectivity)]
    assert states.count("locked") == 1
    assert states[-1] != "locked"
    assert [h.connectivity == "locked" for h in late.of(events.Hello)] == [True, False]
    assert late.of(events.Hello)[1].req is UNSET


def test_a_locked_node_says_nothing_and_hears_nothing() -> None:
    world, ann, bob, cat, room = trio()
    bob.lock()
    sent = len(bob.sent_bytes)
    ann.call(c.UserMessage(room=room, message="hidden"))
    world.run(120)
    assert len(bob.sent_bytes) == sent
    assert len(cat.call(c.PeerList())["peers"]) == 1
    assert ann.call(c.NodeStatus())["connectivity"] != "locked"


def test_a_kill_while_locked_loses_nothing() -> None:
    world, ann, bob, _, room = trio()
    bob.lock()
    ann.call(c.UserMessage(room=room, message="held"))
    world.run(5)
    bob.crash()
    bob.start()
    session = bob.attach(plain=False)
    world.run(20)
    assert texts(session) == ["held"]


def test_an_open_invite_can_be_answered_on_the_connection_that_saw_it_before_the_lock() -> None:
    world, ann, bob, _, _ = trio()
    other = ann.call(c.RoomCreate(name="tea"))["room"]
    session = bob.attach()
    ann.call(c.UserInvite(target="bob", room=other))
    assert world.run_until(lambda: bool(session.of(events.UserInvite)), 10)
    bob.call(c.VaultLock(), session)
    bob.call(OPEN, session)
    world.run(2)
    assert len(session.of(events.UserInvite)) == 1
    assert bob.call(c.UserInviteResponse(response="accept"), session)["state"] == "joining"


@pytest.mark.parametrize("command", EXAMPLES, ids=c.name_of)
def test_a_locked_node_answers_four_commands_and_refuses_the_others(command: c.Command) -> None:
    effects = Locked(NOW).handle(CommandReceived(1, command), now=NOW)
    if c.name_of(command) in ANSWERED:
        assert not any(isinstance(getattr(effect, "event", None), events.Error) for effect in effects)
        return
    (effect,) = effects
    assert isinstance(effect, Deliver)
    assert isinstance(effect.event, events.Error)
    assert (effect.event.code, effect.event.retryable, effect.event.req) == ("locked", True, command.req)


@pytest.mark.parametrize("command", EXAMPLES, ids=c.name_of)
def test_a_node_that_cannot_start_for_want_of_room_refuses_all_but_its_status_and_a_stop(
    command: c.Command,
) -> None:
    effects = Locked(NOW, full=True).handle(CommandReceived(1, command), now=NOW)
    if c.name_of(command) in ANSWERED - {"vault_unlock"}:
        assert not any(isinstance(getattr(effect, "event", None), events.Error) for effect in effects)
        return
    (effect,) = effects
    assert isinstance(effect, Deliver)
    assert isinstance(effect.event, events.Error)
    told = (effect.event.code, effect.event.retryable, effect.event.req)
    assert told == ("storage_full", True, command.req)


def test_who_comes_while_there_is_no_room_to_start_is_warned_and_started_later() -> None:
    machine = Locked(NOW, full=True)
    plain, named = SessionStarted(1, "owner", "owner", plain=True), SessionStarted(2, "a", "a", plain=False)
    told = [effect for one in (plain, named) for effect in machine.handle(one, now=NOW)]
    assert [effect.event for effect in told if isinstance(effect, Deliver) and effect.session == 1] == [
        events.Warning(code="storage_full", message=NO_ROOM)
    ]
    hello = told[1].event  # type: ignore[union-attr] # what is shown is all that it does
    assert isinstance(hello, events.Hello)
    assert (hello.connectivity, hello.user_id) == ("alone", "")
    assert machine.waiting == (plain, named)


def test_a_locked_node_orders_an_opening_and_a_stop() -> None:
    machine = Locked(NOW, db_bytes=7)
    (opening,) = machine.handle(CommandReceived(1, OPEN), now=NOW)
    assert opening == OpenVault(1, None, "any")
    assert "any" not in repr(opening)
    answer, stop = machine.handle(CommandReceived(1, c.NodeStop(req=3)), now=NOW)
    assert answer == Deliver(1, events.Ok(req=3))
    assert isinstance(stop, StopNode)


@pytest.mark.parametrize("req", [None, 7, "a"])
def test_a_hello_without_req_is_answered_without_one_by_a_locked_node_and_by_an_open_one(req: Any) -> None:
    started = SessionStarted(1, "owner", "owner", plain=False, req=req)
    (locked,) = Locked(NOW).handle(started, now=NOW)
    assert isinstance(locked, Deliver)
    _, ann, *_ = trio()
    (opened,) = ann.attach(plain=False, req=req).of(events.Hello)
    for hello in (locked.event, opened):
        shown = json.loads(NativeJson().encode(hello))
        assert ("req" in shown) == (req is not None) and shown.get("req") == req


def test_the_next_engine_learns_of_those_who_stayed_came_and_were_shown_what_but_not_of_who_left() -> None:
    stayed, gone, said_hello = (SessionStarted(n, "owner", "owner", plain=True) for n in (1, 2, 3))
    machine = Locked(NOW, sessions=(stayed, gone, said_hello))
    hello = SessionStarted(3, "owner", "owner", plain=False, req=9)
    for event in (SessionEnded(2), EventsWritten(1, 0, 5), hello, SessionStarted(4, "read", "x", plain=True)):
        machine.handle(event, now=NOW)
    machine.handle(SessionEnded(4), now=NOW)
    assert machine.kept == (stayed,)
    assert machine.waiting == (EventsWritten(1, 0, 5), replace(hello, req=None))


def test_a_passphrase_is_in_no_repr_and_in_no_refusal() -> None:
    for frame in (
        '{"event":"vault_unlock","passphrase":"sesame"}',
        '{"event":"vault_passphrase","passphrase":"sesame","current":"sesame"}',
    ):
        command = NativeJson().decode(frame)
        assert "sesame" not in repr(CommandReceived(1, command)) + repr(
            SealVault(CommandReceived(1, command))
        )
        with pytest.raises(FrameRefused) as fault:
            NativeJson().decode(frame.replace("sesame", "sesame\\n"))
        assert fault.value.code == "invalid"
        assert "sesame" not in str(fault.value)


def test_what_waits_for_the_store_when_the_vault_is_locked_is_answered_locked() -> None:
    _, ann, _, _, room = trio("locked meanwhile")
    said = ann.call(c.UserMessage(room=room, message="one"))["id"]
    real = ann._one

    def slow(effect: Any) -> None:
        if not isinstance(effect, FetchMessages | FetchAfter):
            real(effect)

    ann._one = slow  # type: ignore[method-assign]
    here = ann.attach(plain=False)
    for command in (
        c.MessageWhy(id=said, req="why"),
        c.MessageRead(room=room, id=said, req="read"),
        c.MessageEdit(room=room, id=said, message="two", req="edit"),
    ):
        ann.feed(CommandReceived(here.number, command))
    assert not here.of(events.Ok)
    ann.lock()
    answers = {error.req: error.code for error in here.of(events.Error)}
    assert answers == dict.fromkeys(["why", "read", "edit"], "locked")
