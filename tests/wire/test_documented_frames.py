"""The examples of docs/protocol.md are bytes that nodes send: each decodes to what the page says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.mesh.index import fingerprint
from node.wire import frames
from node.wire.frame_bytes import decode, encode
from node.wire.negentropy import read, write

SECTION = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
SAID: dict[str, frames.Frame] = {
    "HELLO": frames.Hello(
        features=0,
        boot_nonce=b"\1" * 8,
        listen=("ws://a.example:7118",),
        roles=frozenset({"relay", "hold"}),
        max_frame=65_519,
        floor_ms=1_725_000_000_000,
        now_ms=1_728_024_000_000,
        budget=200,
    ),
    "PUSH": frames.Push(2, b"\xee" * 659),
    "IHAVE": frames.IHave(((b"\xaa" * 16, 3), (b"\xbb" * 16, 127))),
    "GRAFT": frames.Graft(b"\xaa" * 16),
    "PRUNE": frames.Prune(2),
    "WANT": frames.Want((b"\xaa" * 16,)),
    "DAYS": frames.Days(1, ((20_000, 2, b"\xff" * 16),)),
    "TAIL": frames.Tail(1, 20_000, 1_728_000_001_000, b"\xff" * 16),
    "NEG_OPEN": frames.NegOpen(2, 20_000, bytes.fromhex("61 00 00 01 12a7b248579deb04f68dac6d3db20efd")),
    "NEG_MSG": frames.NegMsg(2, 20_000, bytes.fromhex("61 00 00 02 02") + b"\1" * 32 + b"\3" * 32),
    "NEG_END": frames.NegEnd(2, 20_000, b""),
    "BATCH": frames.Batch(1, (b"\xee" * 659,), more=False),
    "CREDIT": frames.Credit(1, 65_536),
    "GONE": frames.Gone((b"\xaa" * 16,)),
    "PX": frames.PeerExchange(None),
    "FETCH": frames.Fetch(b"\xcc" * 32, 42),
    "PART": frames.Part(b"\xcc" * 32, 0, b"\xdd" * 24_576),
    "PING": frames.Ping(1_728_024_000_000),
    "PONG": frames.Pong(1_728_024_000_250),
    "GOODBYE": frames.Goodbye(frames.Leave.FULL, 60),
    "OFFER": frames.Offer(((b"\xcc" * 32, 1_056_768),)),
    "BEACON": frames.Beacon(215, b"\xbb" * 8),
}


def spelled_out(text: str) -> bytes:
    """Return the bytes of an example, in which `aa*16` and `aaaa…aa` (32) are repeated ones."""
    text = re.sub(r"\b([0-9a-f]{2})\*(\d+)", lambda found: found[1] * int(found[2]), text)
    text = re.sub(r"\b([0-9a-f]{2})\1…\1", lambda found: found[1] * 32, text)
    return bytes.fromhex(text.replace("|", " "))


EXAMPLES = {
    name: spelled_out(text) for name, text in re.findall(r"^    ([A-Z_]{2,8}) +([0-9a-f* ]+)$", SECTION, re.M)
}
MESSAGES = [spelled_out(text) for text in re.findall(r"^    (61(?: [0-9a-f…|]+)+)", SECTION, re.M)]


@pytest.mark.parametrize("name", SAID)
def test_an_example_is_the_frame_that_the_page_says_it_is(name: str) -> None:
    assert decode(EXAMPLES[name]) == SAID[name]
    assert encode(SAID[name]) == EXAMPLES[name]
    assert EXAMPLES[name][1] == frames.Number[name]


def test_every_frame_has_an_example_and_a_row_that_says_who_may_send_it() -> None:
    assert list(EXAMPLES) == list(SAID) == sorted(SAID, key=lambda name: frames.Number[name])
    assert {frames.Number[name] for name in EXAMPLES} == set(frames.Number)
    processing = SECTION.split("**Who sends what when.**")[1].split("**An example of each**")[0]
    rows = [row.split()[0] for row in re.findall(r"^\| ([A-Z_]+(?: nil)?) \|", processing, re.M)]
    assert set(rows) == set(SAID)


def test_the_messages_of_a_comparison_on_the_page_are_canonical() -> None:
    assert len(MESSAGES) == 3
    for message in MESSAGES:
        assert write(read(message)) == message
    assert spelled_out("94 08 02 cd4e20 c414" + MESSAGES[0].hex()) == EXAMPLES["NEG_OPEN"]
    assert EXAMPLES["NEG_OPEN"].hex(" ").replace(" ", "") in SECTION.replace(" ", "")
    assert EXAMPLES["NEG_MSG"].endswith(MESSAGES[1])


def test_the_fingerprints_on_the_page_are_those_of_the_sets_that_it_names() -> None:
    both = int.from_bytes(b"\1" * 32, "little") + int.from_bytes(b"\2" * 32, "little")
    for told in (fingerprint(0, 0), fingerprint(both, 2)):
        assert f"`{told.hex()}`" in SECTION
