"""The packets of Socket.IO: what is read, what is refused, what is written."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from node.bridge.dialects import socket_io as s
from node.bridge.dialects.adapter import Call
from node.bridge.dialects.base import FrameRefused


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", s.Connect("/")),
        ('0{"token":"x"}', s.Connect("/", {"token": "x"})),
        ("0/admin,", s.Connect("/admin")),
        ("0/admin?a=b,{}", s.Connect("/admin", {})),
        ("1", s.Disconnect("/")),
        ("1/admin", s.Disconnect("/admin")),
        ('2["user connect","ann"]', s.Spoken("/", Call("user connect", ("ann",)))),
        ('212["a"]', s.Spoken("/", Call("a", (), True), 12)),
        ('2/b,0["a",{"x":[1]}]', s.Spoken("/b", Call("a", ({"x": [1]},), True), 0)),
        ("31[]", s.Answered()),
    ],
)
def test_a_packet_is_read(text: str, packet: s.Packet) -> None:
    assert s.read(text) == packet


@pytest.mark.parametrize(
    "text",
    ["", "7", "x", "2", "2{}", "2[]", "2[1]", "2[null,1]", '2["connect"]', '2["disconnect"]', "2[", "4{}",
     '2["a",NaN]', '2["a",Infinity]', "5[]", '25-["a"]', '2["a"]x', "2" + "1" * 17 + '["a"]', "０", "2²[]",
     "0{", '2["a",' + "[" * 32 + "]" * 32 + "]", "51000-[]", '2["a",' + "1" * 5000 + "]", '2["a"]\x00',
     "599-" + '["a"]'],
)  # fmt: skip
def test_what_is_no_packet_is_refused_as_malformed(text: str) -> None:
    with pytest.raises(FrameRefused) as refused:
        s.read(text)
    assert refused.value.malformed and refused.value.code == "bad_frame"


def test_an_event_with_attachments_is_refused_whole_and_says_how_many_follow() -> None:
    packet = s.read('52-7["a",{"_placeholder":true,"num":0}]')
    assert isinstance(packet, s.Unreadable)
    assert (packet.fault.code, packet.mark, packet.attachments) == ("invalid", 7, 2)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("1", True), ("3", True), ('42["a"]', True), ("40", True), ("b//8=", True), ("0", False), ("2", False),
     ("2probe", False), ("3probe", False), ("5", False), ("6", False), ("4", False), ("4x", False),
     ("", False), ("47", False), ("13", False)],
)  # fmt: skip
def test_a_frontend_sends_few_kinds_of_frames(text: str, fits: bool) -> None:
    assert s.is_frame(text) is fits


@pytest.mark.parametrize("value", ["é\ud83d", 10**40, None, [1.5, {"a": "\u2028"}]])
def test_what_is_written_is_json_whatever_was_said(value: Any) -> None:
    assert json.loads(s.event("echo", (value,))[1:]) == ["echo", value]
    written = s.acknowledgement(3, value).decode("utf-8")
    assert json.loads(written[2:]) == ([] if value is None else [value])


def test_ten_thousand_mutations_are_read_or_refused_and_nothing_else() -> None:
    chance = random.Random(7117)
    good = [
        '2["new message",{"content":"x"}]',
        '0{"token":"a"}',
        '212/b,["a",1]',
        '51-["a",{"_placeholder":1}]',
    ]
    pieces = [
        "\x00",
        "\x1e",
        "٣",
        "[",
        "{",
        '"',
        "\\u",
        "\\ud800",
        "1e999",
        "-",
        "/",
        ",",
        "9" * 40,
        "5",
        "é",
    ]
    for _ in range(10_000):
        text = list(chance.choice(good))
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(text) + 1)
            text[at : at + chance.randint(0, 3)] = chance.choice(pieces)
        try:
            s.read("".join(text))
        except FrameRefused as fault:
            assert fault.malformed
