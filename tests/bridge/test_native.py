"""The native dialect to the byte: the seed's own frames, and what is no frame."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.native import MAX_DEPTH, NativeJson, NativeMsgpack, too_deep
from node.chat import commands, events
from tests.bridge.fake_engine import ROOM

JSON, PACK = NativeJson(), NativeMsgpack()
SEED_ANSWER = '{\n    "event": "user_invite_response",\n    "response": "accept",\n}'


def refused(frame: str | bytes, dialect: NativeJson | NativeMsgpack = JSON) -> FrameRefused:
    with pytest.raises(FrameRefused) as caught:
        dialect.decode(frame)
    return caught.value


def test_the_seeds_own_answer_is_read_with_its_comma() -> None:
    assert JSON.decode(SEED_ANSWER) == commands.UserInviteResponse(response="accept")


@pytest.mark.parametrize("response", ["accept", "decline", "ignore"])
@pytest.mark.parametrize("gap", ["", " ", "\n\t \r"])
def test_the_comma_is_forgiven_whatever_the_order_spaces_and_response(response: str, gap: str) -> None:
    first = f'{{"event":"user_invite_response","response":"{response}"{gap},{gap}}}{gap}'
    second = f'{{"response":"{response}","req":7,"event":"user_invite_response",{gap}}}'
    assert JSON.decode(first) == commands.UserInviteResponse(response=response)  # type: ignore[arg-type] - of the three
    answer = JSON.decode(second)
    assert answer.req == 7


@pytest.mark.parametrize(
    "frame",
    [
        '{"event":"room_list",}',
        '{"event":"user_invite_response","response":"accept",,}',
        '{"event":"user_invite_response","response":"accept","x":{"y":1,}}',
        '{"event":"user_invite_response","response":"accept","x":[1,]}',
        '[{"event":"user_invite_response","response":"accept",}]',
        '{,"event":"user_invite_response","response":"accept"}',
        '{"event":"user_invite_response","response":"accept"},',
        "{,}",
    ],
)
def test_no_other_comma_is_forgiven(frame: str) -> None:
    fault = refused(frame)
    assert (fault.code, fault.malformed) == ("bad_frame", True)


def test_a_comma_inside_a_string_is_no_comma() -> None:
    frame = json.dumps({"event": "user_message", "room": ROOM, "message": ",}"})
    assert JSON.decode(frame) == commands.UserMessage(room=ROOM, message=",}")


SEED_FRAMES: list[tuple[events.Event, dict[str, Any]]] = [
    (
        events.UserJoin(username="Example", room=ROOM, user_id="u", reason="join", seq=1),
        {"event": "user_join", "username": "Example", "room": ROOM},
    ),
    (
        events.UserLeave(username="Example", room=ROOM, user_id="u", reason="disconnect"),
        {"event": "user_leave", "username": "Example", "room": ROOM},
    ),
    (
        events.UserMessage(
            username="Example", timestamp=1730736486, message="Hello, world!", room=ROOM, id="m", user_id="u",
            ts_ms=1730736486000, seq=2,
        ),
        {
            "event": "user_message", "username": "Example", "timestamp": 1730736486,
            "message": "Hello, world!", "room": ROOM,
        },
    ),
    (
        events.UserInvite(
            sender="kevinalavik", room=ROOM, invite="i", target="splexas", room_name="tea", kind="room",
            expires_at=1730736606, seq=3,
        ),
        {"event": "user_invite", "sender": "kevinalavik", "room": ROOM},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "seed"), SEED_FRAMES, ids=lambda value: type(value).__name__)
def test_an_event_starts_with_the_seeds_bytes_and_adds_keys(
    event: events.Event, seed: dict[str, Any]
) -> None:
    written = JSON.encode(event)
    assert written.startswith(json.dumps(seed, separators=(",", ":")).encode()[:-1] + b",")
    assert msgspec.msgpack.decode(PACK.encode(event)) == json.loads(written)


def test_the_whole_line_of_a_message() -> None:
    assert JSON.encode(SEED_FRAMES[2][0]) == (
        b'{"event":"user_message","username":"Example","timestamp":1730736486,"message":"Hello, world!",'
        b'"room":"fc3667cb-fe5b-4685-8ef7-f780deaa322e","id":"m","user_id":"u","kind":"text",'
        b'"attachment":null,"reply_to":null,"nonce":null,"self":false,"ts_ms":1730736486000,"gap":false,"seq":2}'
    )


def test_what_does_not_apply_is_not_written() -> None:
    assert JSON.encode(events.UserJoin(username="a", room="r", user_id="u", reason="reconnect")) == (
        b'{"event":"user_join","username":"a","room":"r","user_id":"u","reason":"reconnect"}'
    )


def test_ok_and_error_carry_their_keys_flat() -> None:
    assert JSON.encode(events.Ok(req=0, fields={"id": "x"})) == b'{"event":"ok","req":0,"id":"x"}'
    assert JSON.encode(events.Ok()) == b'{"event":"ok"}'
    error = events.Error(code="ambiguous_user", message="several", req="q", extra={"candidates": ["a", "b"]})
    assert JSON.encode(error) == (
        b'{"event":"error","code":"ambiguous_user","message":"several","retryable":false,"req":"q",'
        b'"candidates":["a","b"]}'
    )
    assert msgspec.msgpack.decode(PACK.encode(error)) == json.loads(JSON.encode(error))


def test_unknown_keys_are_ignored_and_unknown_events_named() -> None:
    assert JSON.decode('{"event":"room_list","later":[1,{"a":null}]}') == commands.RoomList()
    fault = refused('{"event":"room_lust","req":"r1"}')
    assert (fault.code, fault.req, fault.malformed) == ("unknown_event", "r1", False)


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (f'{{"event":"user_message","room":"{ROOM}"}}', "message"),
        ('{"event":"user_message","room":7,"message":"x"}', "room"),
        ('{"event":"user_invite_response","response":"maybe"}', "response"),
        ('{"event":"hello","resume":{"epoch":"e","seq":-1}}', "resume.seq"),
        ('{"event":"room_create","name":""}', "name"),
        ('{"event":"room_list","req":true}', "req"),
    ],
)
def test_a_wrong_key_is_named(frame: str, field: str) -> None:
    fault = refused(frame)
    assert (fault.code, fault.field, fault.malformed) == ("invalid", field, False)


def test_what_is_too_short_or_too_long_is_said_in_words() -> None:
    short = refused('{"event":"search","text":""}')
    assert str(short) == "`text` has to have at least 1 characters"
    frame = {"event": "user_message", "room": "r" * 36, "message": "", "kind": "k" * 17}
    long = refused(json.dumps(frame))
    assert str(long) == "`kind` has to have at most 16 characters"


def test_a_message_is_measured_in_bytes() -> None:
    most = "é" * (commands.MAX_MESSAGE_BYTES // 2)
    frame = {"event": "user_message", "room": ROOM, "message": most}
    assert JSON.decode(json.dumps(frame)) == commands.UserMessage(room=ROOM, message=most)
    assert refused(json.dumps({**frame, "message": most + "x"})).code == "invalid"
    assert refused(msgspec.msgpack.encode({**frame, "message": most + "x"}), PACK).code == "invalid"


@pytest.mark.parametrize(
    "frame",
    [
        "", " ", "null", "[]", "7", '"x"', "{}", '{"event":null}', '{"event":7}', '{"event":["room_list"]}',
        '{"event":"room_list"', '{"event":"room_list"}{}',
        '\ufeff{"event":"room_list"}', "{'event':'room_list'}",
        '{"event":"room_list"}//', '{"event":"room_list","x":NaN}', '{"event":"room_list","x":"\\ud800"}',
        '{"event":"room_list","x":"\ud800"}', '{"event":"room_list","x":' + "[" * 40 + "]" * 40 + "}",
    ],
)  # fmt: skip
def test_what_is_no_object_with_an_event_is_a_bad_frame(frame: str) -> None:
    fault = refused(frame)
    assert (fault.code, fault.malformed) == ("bad_frame", True)


def test_each_dialect_takes_its_own_kind_of_frame() -> None:
    assert refused(b'{"event":"room_list"}').code == "bad_frame"
    assert refused('{"event":"room_list"}', PACK).code == "bad_frame"
    assert PACK.decode(msgspec.msgpack.encode({"event": "room_list", "req": 1})) == commands.RoomList(req=1)


def test_depth_counts_brackets_but_not_those_in_strings() -> None:
    inner = MAX_DEPTH - 1
    assert not too_deep('{"a":' + "[" * inner + "]" * inner + "}")
    assert too_deep('{"a":' + "[" * (inner + 1) + "]" * (inner + 1) + "}")
    assert not too_deep('{"a":"' + "[" * 99 + '\\"' + "{" * 99 + '"}')
    assert not too_deep("[],{}" * 99)


def test_depth_is_measured_in_linear_time() -> None:
    assert not too_deep('"' + '\\"' * 500_000 + "[" * 33)
    assert too_deep("[" * 1_000_000)


def test_msgpack_knows_only_what_json_knows() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    for extra in (deep, b"bytes", msgspec.msgpack.Ext(5, b"x"), {1: 2}):
        assert refused(msgspec.msgpack.encode({"event": "room_list", "x": extra}), PACK).code == "bad_frame"
    for bomb in (
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xc1",
        b"",
    ):
        assert refused(bomb, PACK).code == "bad_frame"


def test_the_token_of_a_hello_is_in_no_repr() -> None:
    assert "sesame" not in repr(JSON.decode('{"event":"hello","token":"sesame"}'))


def test_what_the_log_keeps_goes_out_in_either_spelling() -> None:
    body = events.encode_json(SEED_FRAMES[2][0])
    assert JSON.encode_stored(body) == body
    assert msgspec.msgpack.decode(PACK.encode_stored(body)) == json.loads(body)
    page = events.Ok(req=1, fields={"messages": [JSON.stored_value(body)], "more": False})
    packed = events.Ok(req=1, fields={"messages": [PACK.stored_value(body)], "more": False})
    assert msgspec.msgpack.decode(PACK.encode(packed)) == json.loads(JSON.encode(page))


def test_the_contracts_logged_and_unlogged_events() -> None:
    never = {
        "hello",
        "ok",
        "error",
        "warning",
        "caught_up",
        "lagged",
        "presence",
        "typing",
        "connectivity",
        "peer_up",
        "peer_down",
        "attachment",
        "room_listed",
    }
    assert events.BY_NAME.keys() - never == events.LOGGED
