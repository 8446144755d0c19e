"""Ten thousand mutated frames and 300 invented ones a spelling: a typed error, never another exception."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.native import NativeJson, NativeMsgpack
from node.bridge.guard import OWNER
from node.bridge.session import Close, FrameReceived, Opened, Send, Session, Submit
from node.chat import commands, events
from node.clock import Instant
from tests.bridge.fake_engine import ROOM

CODES = {"bad_frame", "unknown_event", "invalid"}
NOW = Instant(0.0, 0)
CORPUS: list[dict[str, Any]] = [
    {"event": "hello", "token": "t", "client": "c", "subscribe": {"events": ["user_join"], "rooms": [ROOM]},
     "resume": {"epoch": "e", "seq": 9}, "consumer": "n", "req": 1},
    {"event": "user_message", "room": ROOM, "message": "Hello, wörld! \U0001f600", "req": "r", "nonce": "n"},
    {"event": "user_invite_response", "response": "accept", "invite": ROOM},
    {"event": "user_invite", "target": "bob", "room": ROOM, "kind": "game", "options": {"a": [1, 2.5, None]}},
    {"event": "room_create", "name": "tea", "visibility": "open", "history": 200},
    {"event": "history_get", "room": ROOM, "before": ROOM, "limit": 50, "req": -1},
    {"event": "token_create", "name": "bot", "scope": "chat", "expires_in": 3600},
]  # fmt: skip


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Flip, cut, double, insert or swap a few bytes."""
    raw = bytearray(data)
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(raw) + 1)
        match random_.randrange(5):
            case 0 if at < len(raw):
                raw[at] ^= 1 << random_.randrange(8)
            case 1:
                del raw[at : at + random_.randint(1, 8)]
            case 2:
                raw[at:at] = raw[at : at + random_.randint(1, 16)]
            case 3:
                raw[at:at] = random_.choice(
                    [b"{", b"[", b",", b'"', b"\\", b"\0", b"\xff", b"1e999", b"\xc1", b"\xdf\xff"]
                )
            case _:
                raw[at : at + 1] = bytes([random_.randrange(256)])
    return bytes(raw)


def judged(dialect: NativeJson | NativeMsgpack, frame: str | bytes) -> str:
    """Return what became of a frame; anything but a command or a typed refusal escapes as an exception."""
    try:
        command = dialect.decode(frame)
    except FrameRefused as fault:
        assert fault.code in CODES
        assert fault.malformed == (fault.code == "bad_frame")
        events.encode_json(events.error_of(fault, fault.req))
        return fault.code
    assert commands.name_of(command) in commands.BY_NAME
    return "ok"


def test_ten_thousand_mutations_of_json_frames_are_refused_or_read() -> None:
    random_, outcomes = random.Random(4), []
    for number in range(10_000):
        frame = mutated(msgspec.json.encode(CORPUS[number % len(CORPUS)]), random_)
        outcomes.append(judged(NativeJson(), frame.decode("utf-8", "surrogateescape")))
    assert set(outcomes) == {*CODES, "ok"}


def test_ten_thousand_mutations_of_msgpack_frames_are_refused_or_read() -> None:
    random_, outcomes = random.Random(5), []
    for number in range(10_000):
        frame = mutated(msgspec.msgpack.encode(CORPUS[number % len(CORPUS)]), random_)
        outcomes.append(judged(NativeMsgpack(), frame))
    assert set(outcomes) == {*CODES, "ok"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ROOM),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(sorted({key for frame in CORPUS for key in frame})) | st.text(max_size=8)
objects = st.builds(
    lambda name, rest: {**rest, "event": name},
    st.sampled_from(sorted(commands.BY_NAME)) | st.text(max_size=12) | values,
    st.dictionaries(keys, values, max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(objects | values)
def test_invented_objects_are_refused_or_read(value: Any) -> None:
    judged(NativeJson(), msgspec.json.encode(value).decode())
    try:
        packed = msgspec.msgpack.encode(value)
    except OverflowError:  # an integer beyond 64 bits has no msgpack
        return
    judged(NativeMsgpack(), packed)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary())
def test_invented_bytes_are_refused_or_read(frame: str | bytes) -> None:
    judged(NativeJson(), frame)
    judged(NativeMsgpack(), frame)


@pytest.mark.parametrize("seed", range(20))
def test_a_session_only_ever_answers_hands_on_or_closes(seed: int) -> None:
    random_ = random.Random(seed)
    session = Session(
        1, grant=OWNER, announced=False, dialect=NativeJson(), lookup=lambda _t, _n: OWNER, now=NOW
    )
    session.handle(Opened(), now=NOW)
    submitted = 0
    for number in range(500):
        frame = mutated(msgspec.json.encode(CORPUS[number % len(CORPUS)]), random_).decode("utf-8", "replace")
        for effect in session.handle(FrameReceived(frame), now=NOW.after(number * 40)):
            submitted += isinstance(effect, Submit)
            if isinstance(effect, Close):
                assert effect.code in {4400, 4401}
            if isinstance(effect, Send):
                assert isinstance(effect.event, events.Error)
    assert submitted > 10
