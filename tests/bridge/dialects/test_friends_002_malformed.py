"""Nothing that is said to the friends protocol breaks a connection."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.bridge.dialects.friends_bench import ID, ROOM, Bench, Node, message

VALID: list[tuple[str, tuple[Any, ...]]] = [
    ("user connect", ("ann",)),
    ("user connect", ({"username": "ann"},)),
    ("join room", (ROOM,)),
    ("join room", ({"chat_id": "bob"},)),
    ("set status", ("at tea", ["bob"])),
    ("set status", ({"status": "offline", "friends": ["bob", "carol"]},)),
    ("new friend request", ("bob", "hello")),
    ("cancel friend request", ("bob",)),
    ("accept friend request", ({"other_username": "bob"},)),
    ("reject friend request", ("bob",)),
    ("unfriend", ("bob",)),
    ("new message", ({"chat_id": ROOM, "content": "hello", "id": "abc"},)),
    ("new message", ({"message": {"chat_id": ROOM, "text": "hello", "reply_to": ID}, "chat_id": ROOM},)),
    ("edit message", ({"message_id": ID, "content": "changed"},)),
    ("delete message", (ID, ROOM)),
    ("read message", ({"message_id": ID},)),
]
ODD: list[Any] = [
    None, True, 0, -1, 1e308, float("nan"), float("inf"), 10**5000, "", "\x00", "\ud800", "x" * 70_000, [],
    {}, [[]], ["\ud800"], {"a": 1}, {"message": {"message": {}}}, b"\xff", "bob", ROOM, ROOM.upper(), ID,
    [1, "bob"],
    {"chat_id": "\udfff", "content": "hi"}, {"id": 10**40}, {"content": ["hi"]}, {"username": {}},
    {"other_username": None}, {"friends": "bob"}, {"friends": ["bob"] * 5000, "status": "x"}, "__proto__",
]  # fmt: skip


def _deep() -> Any:
    value: Any = []
    for _ in range(2_000):
        value = [value]
    return {"message": value, "content": value}


DEEP = _deep()


def mutated(chance: random.Random) -> tuple[Any, tuple[Any, ...]]:
    """A valid call with something wrong in it."""
    name, args = chance.choice(VALID)
    odd = chance.choice([*ODD, DEEP]) if chance.random() < 0.9 else chance.choice(VALID)[1]
    match chance.randrange(6):
        case 0:
            return chance.choice(
                ["", "connect", "New Message", "new message ", name.upper(), 7, None, []]
            ), args
        case 1:
            return name, ()
        case 2:
            return name, (odd, *args[1:])
        case 3:
            return name, (*args, odd, odd)
        case 4 if isinstance(args[0], dict):
            key = chance.choice([*args[0], "chat_id", "id", "message", "content", "__proto__"])
            return name, ({**args[0], key: odd},)
        case _:
            text = list(json.dumps(args))
            for _ in range(chance.randrange(1, 4)):
                text[chance.randrange(len(text))] = chance.choice('[]{}",:0123456789abcdefnul\\ ')
            try:
                value = json.loads("".join(text))
            except ValueError:
                value = "".join(text)
            return name, tuple(value) if isinstance(value, list) else (value,)


def test_ten_thousand_malformed_calls_are_answered_and_disturb_nobody() -> None:
    chance = random.Random(2)  # the same mutations on every run
    node = Node()
    bench, other = Bench(node=node), Bench(node=node)
    refused = 0
    for number in range(10_000):
        name, args = mutated(chance)
        if number % 7 == 0:
            bench.say(name, *args, ack=False)
            continue
        told = bench.say(name, *args)
        assert told["ok"] is True or (isinstance(told["error"], str) and isinstance(told["message"], str))
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
        refused += not told["ok"]
        bench.frames.clear()
        if number % 1_000 == 0:
            assert other.say("new message", {"chat_id": ROOM, "content": "well"})["ok"] is True
    assert refused > 4_000
    assert bench.machine.idle
    assert not bench.machine.closed
    assert not bench.unshown
    assert bench.say("new message", {"chat_id": ROOM, "content": "well"})["ok"] is True


@pytest.mark.parametrize(("name", "args"), VALID)
def test_what_was_mutated_is_good_without_it(name: str, args: tuple[Any, ...]) -> None:
    bench = Bench()
    bench.show(message(self=True))
    assert bench.say(name, *args)["ok"] is True


def test_a_failure_that_nobody_waits_for_is_told_by_an_event() -> None:
    bench = Bench()
    bench.say("new message", {}, ack=False)
    [(name, (told,))] = bench.frames
    assert (name, told["ok"], told["event"], told["error"]) == ("error", False, "new message", "invalid")
    bench.frames.clear()
    bench.say("x" * 1_000_000, ack=False)
    [(_, (told,))] = bench.frames
    assert told["event"] is None
