"""One connection, without a socket: hello, scopes, rates, malformed frames."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.bridge import session as machine
from node.bridge.dialects.native import NativeJson
from node.bridge.guard import Grant
from node.bridge.ports import CommandReceived, Resume, SessionStarted, Subscription
from node.bridge.session import (
    BURST,
    HELLO_SECONDS,
    PARK_SECONDS,
    Close,
    DeadlineReached,
    Discard,
    FrameReceived,
    Opened,
    Park,
    Phase,
    Release,
    Send,
    Session,
    Submit,
)
from node.chat import commands, events
from node.clock import Instant
from tests.bridge.fake_engine import ROOM

OWNER = Grant("owner", "owner")
BOT = Grant("chat", "bot", limited=True)
START = Instant(1000.0, 1_730_000_000_000)


def lookup(token: str, _now_ms: int) -> Grant | None:
    return {"owner-token": OWNER, "bot-token": BOT}.get(token)


def made(grant: Grant | None = OWNER, *, announced: bool = False) -> Session:
    return Session(7, grant=grant, announced=announced, dialect=NativeJson(), lookup=lookup, now=START)


def say(session: Session, at: float = 0.0, **frame: Any) -> list[machine.Effect]:
    return session.handle(FrameReceived(json.dumps(frame)), now=START.after(at))


def codes(effects: list[machine.Effect]) -> list[str]:
    return [e.event.code for e in effects if isinstance(e, Send) and isinstance(e.event, events.Error)]


def test_a_good_handshake_is_a_plain_session_whose_events_wait_a_moment_for_a_hello() -> None:
    session = made()
    assert session.handle(Opened(), now=START) == [
        Park(), Submit(SessionStarted(7, "owner", "owner", plain=True)),
    ]  # fmt: skip
    assert session.deadline == START.mono + PARK_SECONDS
    assert session.handle(DeadlineReached(), now=START) == []
    assert session.handle(DeadlineReached(), now=START.after(PARK_SECONDS)) == [Release()]
    assert session.deadline is None


def test_any_other_first_frame_ends_the_waiting() -> None:
    session = made()
    session.handle(Opened(), now=START)
    assert say(session, event="room_list") == [
        Release(), Submit(CommandReceived(7, commands.RoomList(), "owner")),
    ]  # fmt: skip


def test_a_hello_at_once_discards_what_was_parked() -> None:
    session = made()
    session.handle(Opened(), now=START)
    effects = say(
        session, event="hello", req=1, client="t", resume={"epoch": "e", "seq": 5},
        subscribe={"events": ["user_message"], "rooms": [ROOM]},
    )  # fmt: skip
    wanted = Subscription(frozenset({"user_message"}), frozenset({ROOM}))
    assert effects == [
        Discard(),
        Submit(
            SessionStarted(
                7, "owner", "owner", plain=False, client="t", subscribe=wanted, resume=Resume("e", 5), req=1
            )
        ),
    ]
    assert session.phase is Phase.OPEN
    assert codes(say(session, event="hello")) == ["invalid"]


def test_without_credential_nothing_happens_before_a_hello_with_a_token() -> None:
    session = made(None)
    assert session.handle(Opened(), now=START) == []
    effects = say(session, event="hello", token="bot-token")
    assert effects == [Submit(SessionStarted(7, "chat", "bot", plain=False))]


@pytest.mark.parametrize(
    "frame",
    ['{"event":"hello"}', '{"event":"hello","token":"guess"}', '{"event":"room_list"}', "{", '{"event":"x"}'],
)
def test_without_credential_anything_else_closes_4401_and_says_nothing(frame: str) -> None:
    session = made(None)
    session.handle(Opened(), now=START)
    [effect] = session.handle(FrameReceived(frame), now=START)
    assert isinstance(effect, Close)
    assert effect.code == 4401
    assert session.handle(FrameReceived('{"event":"hello","token":"bot-token"}'), now=START) == []


@pytest.mark.parametrize("session", [made(None), made(announced=True)], ids=["nameless", "announced"])
def test_no_hello_in_ten_seconds_closes_4408(session: Session) -> None:
    assert session.handle(Opened(), now=START) == []
    assert session.handle(DeadlineReached(), now=START.after(HELLO_SECONDS - 0.1)) == []
    [effect] = session.handle(DeadlineReached(), now=START.after(HELLO_SECONDS))
    assert isinstance(effect, Close)
    assert effect.code == 4408


def test_a_hello_cannot_raise_what_the_handshake_gave_and_a_wrong_token_closes() -> None:
    session = made(BOT)
    session.handle(Opened(), now=START)
    say(session, event="hello", token="owner-token")
    assert codes(say(session, event="node_stop")) == ["forbidden"]
    again = made(OWNER)
    again.handle(Opened(), now=START)
    [effect] = say(again, event="hello", token="guess")
    assert isinstance(effect, Close)
    assert effect.code == 4401


def test_every_command_beyond_the_scope_is_forbidden() -> None:
    session = made(Grant("read", "r"))
    session.handle(Opened(), now=START)
    assert codes(say(session, event="user_message", room=ROOM, message="x", req=1)) == ["forbidden"]
    assert isinstance(say(session, event="room_list")[0], Submit)


def test_a_child_token_has_a_burst_and_then_a_rate() -> None:
    session = made(BOT)
    session.handle(Opened(), now=START)
    passed = [say(session, event="room_list") for _ in range(int(BURST))]
    assert all(isinstance(effects[-1], Submit) for effects in passed)
    [refused] = say(session, event="room_list", req="r")
    assert isinstance(refused, Send)
    error = refused.event
    assert isinstance(error, events.Error)
    assert (error.code, error.retryable, error.retry_after, error.req) == ("rate_limited", True, 0.01, "r")
    later = [say(session, 1.0, event="room_list") for _ in range(101)]
    assert sum(isinstance(effects[0], Submit) for effects in later) == 100


def test_a_batch_counts_as_what_is_in_it() -> None:
    session = made(BOT)
    session.handle(Opened(), now=START)
    inside = [{"event": "room_list"}] * 64
    passed = [say(session, event="batch", commands=inside) for _ in range(int(BURST) // 64)]
    assert all(isinstance(effects[-1], Submit) for effects in passed)
    [refused] = say(session, event="batch", commands=inside)
    assert isinstance(refused, Send)
    assert isinstance(refused.event, events.Error)
    assert refused.event.retry_after == (64 - BURST % 64) / 100


def test_the_owner_has_no_rate() -> None:
    session = made()
    session.handle(Opened(), now=START)
    assert all(isinstance(say(session, event="room_list")[-1], Submit) for _ in range(2000))


def test_the_third_malformed_frame_in_a_minute_closes_4400() -> None:
    session = made()
    session.handle(Opened(), now=START)
    for at in (0.0, 59.0):
        assert codes(session.handle(FrameReceived("{"), now=START.after(at))) == ["bad_frame"]
    assert codes(say(session, 59.1, event="unheard_of")) == ["unknown_event"]
    slow = session.handle(FrameReceived("{"), now=START.after(60.0))
    assert codes(slow) == ["bad_frame"]
    assert not any(isinstance(e, Close) for e in slow)
    effects = session.handle(FrameReceived("{"), now=START.after(60.5))
    assert codes(effects) == ["bad_frame"]
    assert isinstance(effects[-1], Close)
    assert effects[-1].code == 4400


def event(name: str, room: str = ROOM) -> events.Event:
    if name == "user_join":
        return events.UserJoin(username="a", room=room, user_id="u", reason="join", seq=1)
    return events.ContactAdded(username="a", user_id="u", seq=1)


def test_a_plain_session_sees_the_seeds_events_errors_and_answers_it_asked_for() -> None:
    session = made()
    assert session.wants_event(event("user_join"))
    assert not session.wants_event(event("contact_added"))
    assert not session.wants_event(events.Connectivity(state="alone"))
    assert session.wants_event(events.Error(code="x", message="y"))
    assert session.wants_event(events.Ok(req=0))
    assert not session.wants_event(events.Ok())


def test_a_subscription_leaves_out_events_and_rooms_but_never_answers() -> None:
    session = made()
    say(session, event="hello", subscribe={"events": ["user_join", "contact_added"], "rooms": [ROOM]})
    assert session.wants_event(event("user_join"))
    assert not session.wants_event(event("user_join", "another"))
    assert session.wants_event(event("contact_added"))
    assert not session.wants_event(events.Connectivity(state="alone"))
    assert session.wants_event(events.Ok())


def test_who_subscribes_to_nothing_cannot_be_asked() -> None:
    started = SessionStarted(1, "chat", "t", plain=False)
    assert started.can_answer
    assert not SessionStarted(1, "read", "t", plain=True).can_answer
    nothing = Subscription(frozenset(), None)
    assert not SessionStarted(1, "owner", "t", plain=False, subscribe=nothing).can_answer
    invites = Subscription(frozenset({"user_invite"}), None)
    assert SessionStarted(1, "owner", "t", plain=False, subscribe=invites).can_answer
