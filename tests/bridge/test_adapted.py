"""The machine that runs an adapter's talks: order, acknowledgements, refusals, scope, rate and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from node.bridge import adapted as m
from node.bridge.dialects.adapter import Adapter, Call, Frame, Last, Part, Setting, Talk, Wait
from node.bridge.dialects.base import FrameRefused
from node.bridge.guard import Grant
from node.bridge.ports import CommandReceived, Scope, SessionStarted
from node.chat import commands as c, events
from node.clock import Instant
from node.errors import Refused

NOW = Instant(100.0, 1_700_000_000_000)
ROOM = "fc3667cb-fe5b-4685-8ef7-f780deaa322e"


class Parrot(Adapter):
    """Says back what it is asked; `two` needs two commands, `fast` lets the next begin."""

    RATE, BURST = 100.0, 500.0

    def opened(self) -> Talk[None]:
        found = yield c.ProfileGet()
        yield Frame("welcome", (found["username"],))

    def said(self, call: Call) -> Talk[Any]:
        match call.name:
            case "two":
                yield c.RoomList()
                answer = yield c.RoomGet(room=ROOM)
            case "fast":
                answer = yield Last(c.UserMessage(room=ROOM, message=call.args[0]))
            case "rest":
                yield Wait(1.0)
                answer = yield c.RoomList()
            case "wrong":
                answer = yield c.RoomGet(room="no id")
            case "long":
                answer = yield c.UserMessage(room=ROOM, message="x" * 20_000)
            case "half":
                answer = yield c.UserMessage(room=ROOM, message="\ud800")
            case "owner":
                answer = yield c.NodeStop()
            case "bye":
                yield Part(3100, "bye")
                answer = {}
            case _:
                raise Refused("unknown_event", "there is no such word", field="name")
        yield Frame("done", (call.name,))
        return answer

    def happened(self, event: events.Event) -> Talk[None]:
        if isinstance(event, events.Typing):
            found = yield c.ProfileGet(username=event.username)
            yield Frame("typing", (found["username"],), key="typing")
        elif isinstance(event, events.UserMessage):
            yield Frame("message", (event.message,))

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        yield Frame("error", (fault.code,))
        return {"ok": False}


class Bench:
    """A machine whose greeting is answered, and what it did."""

    def __init__(self, scope: Scope = "owner", *, limited: bool = False, greet: bool = True) -> None:
        grant = Grant(scope, "page", limited=limited)
        self.machine = m.Adapted(7, adapter=Parrot(Setting()), client="p", grant=grant, now=NOW)
        self.done: list[m.Effect] = []
        self.now = NOW
        self.feed(m.Opened())
        if greet:
            self.show(hello(5))
            self.answer(username="ann")
            self.done.clear()

    def feed(self, event: m.Input) -> None:
        self.done += self.machine.handle(event, now=self.now)

    def say(self, name: str, *args: Any, mark: int | None = None) -> None:
        self.feed(m.Said(Call(name, args, mark is not None), mark))

    def show(self, event: events.Event) -> None:
        self.feed(m.Shown(event))

    def asked(self) -> list[c.Command]:
        return [
            e.input.command
            for e in self.done
            if isinstance(e, m.Submit) and isinstance(e.input, CommandReceived)
        ]

    def answer(self, place: int = -1, **fields: Any) -> None:
        self.show(events.Ok(req=self.asked()[place].req, fields=fields))

    def frames(self) -> Iterator[tuple[str, Any]]:
        return ((e.frame.name, e.frame.args[0]) for e in self.done if isinstance(e, m.Write))


def hello(seq: int) -> events.Hello:
    return events.Hello(
        req=0, protocol="gossamer/1", node_version="1", user_id="u", username="ann", log_epoch="e", seq=seq,
        features=[], deprecated=[], connectivity="alone",
    )  # fmt: skip


def message(text: str, seq: int) -> events.UserMessage:
    return events.UserMessage(
        username="bob", timestamp=1, message=text, room=ROOM, id="i", user_id="u", ts_ms=1, seq=seq
    )


def typing(who: str) -> events.Typing:
    return events.Typing(username=who, room=ROOM, user_id="u", typing=True)


def test_a_connection_opens_a_session_and_says_what_it_has_to_before_anything_else() -> None:
    bench = Bench(greet=False)
    assert bench.done == [m.Submit(SessionStarted(7, "owner", "page", plain=False, client="p", req=0))]
    bench.say("two")
    bench.show(hello(5))
    bench.show(message("early", 6))
    assert m.Anchor(5) in bench.done and not list(bench.frames()) and len(bench.asked()) == 1
    bench.answer(username="ann")
    assert list(bench.frames()) == [("welcome", "ann"), ("message", "early")]
    assert isinstance(bench.asked()[-1], c.RoomList)


def test_what_was_said_is_begun_in_order_and_one_at_a_time() -> None:
    bench = Bench()
    bench.say("two", mark=1)
    bench.say("fast", "after", mark=2)
    assert [type(one) for one in bench.asked()] == [c.RoomList]
    bench.answer()
    assert [type(one) for one in bench.asked()] == [c.RoomList, c.RoomGet]
    bench.answer(room=ROOM)
    assert [type(one) for one in bench.asked()] == [c.RoomList, c.RoomGet, c.UserMessage]
    assert m.Acknowledge(1, {"room": ROOM}) in bench.done


def test_after_the_last_command_of_one_the_next_is_begun_before_the_answer() -> None:
    bench = Bench()
    for number in range(3):
        bench.say("fast", f"word {number}", mark=number)
    assert [msgspec.to_builtins(one)["message"] for one in bench.asked()] == ["word 0", "word 1", "word 2"]
    bench.answer(1, id="b")
    bench.answer(0, id="a")
    told = [e for e in bench.done if isinstance(e, m.Acknowledge)]
    assert told == [m.Acknowledge(1, {"id": "b"}), m.Acknowledge(0, {"id": "a"})]


def test_a_call_that_rests_goes_on_after_its_time_and_keeps_nobody_waiting() -> None:
    bench = Bench()
    bench.say("rest", mark=1)
    bench.say("fast", "after", mark=2)
    assert [type(one) for one in bench.asked()] == [c.UserMessage]
    bench.now = NOW.after(0.5)
    bench.feed(m.Ticked())
    assert bench.machine.resting and len(bench.asked()) == 1
    bench.now = NOW.after(1.0)
    bench.feed(m.Ticked())
    assert [type(one) for one in bench.asked()] == [c.UserMessage, c.RoomList]
    bench.answer(rooms=[])
    assert bench.done[-1] == m.Acknowledge(1, {"rooms": []}) and not bench.machine.resting


def test_calls_that_rest_count_among_those_that_are_not_answered() -> None:
    bench = Bench()
    for _ in range(m.MAX_TALKS):
        bench.say("rest")
    assert bench.machine.full and not bench.machine.idle


def test_events_are_shown_in_order_though_one_has_to_ask_first() -> None:
    bench = Bench()
    bench.show(typing("bob"))
    bench.show(message("second", 9))
    assert not list(bench.frames())
    bench.answer(username="bob")
    assert list(bench.frames()) == [("typing", "bob"), ("message", "second")]
    assert bench.done[-1] == m.Passed(9) and bench.machine.idle


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("wrong", "invalid"),
        ("long", "invalid"),
        ("half", "invalid"),
        ("no such", "unknown_event"),
        ("owner", "forbidden"),
    ],
)
def test_what_fails_is_said_in_the_dialects_own_words_and_acknowledged(word: str, code: str) -> None:
    bench = Bench("chat")
    bench.say(word, mark=3)
    assert list(bench.frames()) == [("error", code)]
    assert bench.done[-1] == m.Acknowledge(3, {"ok": False}) and not bench.asked()
    bench.say("two")
    assert len(bench.asked()) == 1


def test_half_a_character_never_reaches_the_node() -> None:
    bench = Bench()
    bench.say("fast", "a\ud83d")
    assert list(bench.frames()) == [("error", "invalid")] and not bench.asked()


def test_what_is_no_call_is_acknowledged_where_that_is_waited_for() -> None:
    bench = Bench()
    bench.feed(m.Garbled(FrameRefused("invalid", "binary"), mark=4))
    assert bench.done[-1] == m.Acknowledge(4, {"ok": False})


def test_a_refusal_of_the_node_reaches_the_talk_with_its_code() -> None:
    bench = Bench()
    bench.say("two")
    bench.show(events.Error(code="locked", message="the vault is locked", req=bench.asked()[0].req))
    assert list(bench.frames()) == [("error", "locked")]


def test_what_is_no_call_is_said_and_counts_as_one() -> None:
    bench = Bench()
    fault = FrameRefused("bad_frame", "no JSON", malformed=True)
    for _ in range(501):
        bench.feed(m.Garbled(fault))
    assert [code for _, code in bench.frames()] == ["bad_frame"] * 500 + ["rate_limited"]


def test_an_event_that_cannot_be_shown_is_told_to_the_owner_and_stops_nothing() -> None:
    bench = Bench()
    bench.show(typing("bob"))
    bench.show(message("next", 9))
    bench.show(events.Error(code="unknown_user", message="nobody", req=bench.asked()[0].req))
    assert m.Unshown("typing", "unknown_user") in bench.done and list(bench.frames()) == [("message", "next")]


def test_a_child_token_is_held_to_its_rate_across_commands() -> None:
    bench = Bench("chat", limited=True)
    for _ in range(501):
        bench.say("fast", "word")
        if bench.asked():
            bench.answer()
    assert list(bench.frames()).count(("error", "rate_limited")) >= 1
    bench.now = NOW.after(1.0)
    before = len(bench.asked())
    bench.say("fast", "again")
    assert len(bench.asked()) == before + 1


def test_what_others_do_takes_nothing_of_a_tokens_rate_and_is_shown_however_much_it_is() -> None:
    bench = Bench("chat", limited=True)
    for number in range(1_000):
        bench.show(typing(f"p{number}"))
        bench.answer(username=f"p{number}")
    assert [who for _, who in bench.frames()] == [f"p{number}" for number in range(1_000)]
    bench.say("fast", "word")
    assert isinstance(bench.asked()[-1], c.UserMessage)


def test_a_frontend_that_asks_for_more_than_is_answered_is_not_read() -> None:
    bench = Bench()
    for _ in range(m.MAX_TALKS - 1):
        bench.say("fast", "word")
    assert not bench.machine.full
    bench.say("fast", "word")
    assert bench.machine.full
    bench.answer()
    assert not bench.machine.full


def test_one_whose_events_pile_up_is_closed_as_too_slow() -> None:
    bench = Bench()
    bench.show(typing("bob"))
    for seq in range(m.MAX_SHOWN + 1):
        bench.show(message("word", seq + 6))
    assert bench.done[-1] == m.Close(m.SLOW, "too slow")
    bench.say("two")
    assert not isinstance(bench.done[-1], m.Submit)


def test_a_talk_may_end_the_connection() -> None:
    bench = Bench()
    bench.say("bye")
    assert bench.done == [m.Close(3100, "bye")] and bench.machine.closed


def test_a_message_that_is_shown_nowhere_was_not_had() -> None:
    class Elsewhere(Parrot):
        def shows(self, event: events.Event) -> bool:
            return event.message != "elsewhere" if isinstance(event, events.UserMessage) else False

        def happened(self, event: events.Event) -> Talk[None]:
            if isinstance(event, events.UserMessage) and event.message == "fails":
                raise Refused("locked", "the vault is locked")
            yield from super().happened(event)

    bench = Bench()
    bench.machine.adapter = Elsewhere(Setting())
    for seq, word in enumerate(["here", "elsewhere", "fails"], 6):
        bench.show(message(word, seq))
    bench.show(events.RoomDeleted(room=ROOM, seq=9))
    told = [one for one in bench.done if isinstance(one, m.Passed | m.Missed)]
    assert told == [m.Passed(6), m.Missed(7), m.Missed(8), m.Passed(9)]


@pytest.mark.parametrize(("word", "name"), [("owner", "node_stop"), ("long", "frame"), ("no such", "frame")])
def test_what_is_refused_before_the_engine_is_on_record(word: str, name: str) -> None:
    bench = Bench("chat")
    bench.say(word)
    bench.feed(m.Garbled(FrameRefused("bad_frame", "no JSON", malformed=True)))
    denied = [(one.name, one.code) for one in bench.done if isinstance(one, m.Denied)]
    assert [name for name, _ in denied] == [name, "frame"] and denied[1][1] == "bad_frame"
