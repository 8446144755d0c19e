from __future__ import annotations

import json
import unicodedata
from datetime import UTC

import pytest
from hypothesis import given, strategies as st

from node.commandline.output import (
    FSI,
    MAX_MARKS,
    PDI,
    as_json,
    clock,
    fields,
    harmless,
    size,
    span,
    table,
    width,
)

ATTACKS = [
    "\x1b[2J\x1b[H",  # clear the screen
    "\x1b]0;title\x07",  # set the window's title
    "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",  # a link under another text
    "\x1b]52;c;ZXZpbA==\x07",  # write the clipboard
    "\x1bP+q544e\x1b\\",  # a device control string
    "\x9b31m",  # CSI as one C1 character
    "a\rb",
    "a\bb",
    "a\x00b",
    "a\x7fb",
    "user\u202egnp.exe",  # right-to-left override
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "a\u200bb\ufeffc\u2060d",  # zero width
    "line\u2028line\u2029line",
    "\u200d" * 500,
    "\U000e0041\U000e0042",  # tags: text nobody sees
    "\ud800 half",
]


def obeyed(text: str) -> list[str]:
    """The characters in `text` that a terminal would obey rather than show, our own isolates aside."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    kept = text.removeprefix(FSI).removesuffix(PDI)
    return [c for c in kept if unicodedata.category(c) in kinds and c not in "\u200c\u200d"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_terminal_would_obey_is_shown_instead(attack: str) -> None:
    assert obeyed(harmless(attack)) == []
    assert obeyed(harmless(attack, lines=True).replace("\n", "")) == []


def test_every_character_that_unicode_calls_a_control_is_shown_instead() -> None:
    every = map(chr, range(0x110000))
    assert [hex(ord(c)) for c in every if obeyed(c) and c in harmless(f"a{c}b")] == []


@given(st.text())
def test_no_text_at_all_reaches_the_terminal_with_a_control_character(text: str) -> None:
    assert obeyed(harmless(text)) == []


@pytest.mark.parametrize(
    "plain", ["bob", "Grüße, 世界", "👍", "👩‍👩‍👧", "क्‍ष", "می‌خواهم"[:0] + "naïve", "~ö_.-"]
)
def test_what_people_write_stays_as_it_is(plain: str) -> None:
    assert harmless(plain) == plain


def test_a_name_in_hebrew_is_isolated_and_cannot_reorder_its_line() -> None:
    assert harmless("שלום") == f"{FSI}שלום{PDI}"


def test_a_tower_of_marks_is_cut() -> None:
    shown = harmless("z" + "\u0301" * 300)
    assert shown == "z" + "\u0301" * MAX_MARKS + "…"


def test_a_message_keeps_its_lines_and_nothing_else() -> None:
    assert harmless("a\r\nb\tc\x1b", lines=True) == "a\nb c\\x1b"
    assert "\n" not in harmless("a\nb")


def test_json_is_the_same_data_with_nothing_to_obey() -> None:
    value = {"name": "".join(ATTACKS), "n": 1}
    line = as_json(value)
    assert json.loads(line) == value
    assert obeyed(line) == []
    assert as_json({"a": "é\U000e0041"}) == '{"a":"é\\udb40\\udc41"}'


def test_a_table_stays_straight_whatever_stands_in_it() -> None:
    lines = table(("name", "id"), [("世界", 1), ("\x1b[31m", 2), ("e\u0301", None)])
    assert lines == ["name      id", "世界      1", "\\x1b[31m  2", "e\u0301"]


def test_fields_leave_out_what_is_not_known() -> None:
    assert fields([("up", "1s"), ("none", None), ("mesh", "alone")]) == ["up    1s", "mesh  alone"]


def test_width_counts_cells() -> None:
    assert [width(t) for t in ("ab", "世", "e\u0301", "")] == [2, 2, 1, 0]


def test_numbers_are_said_as_people_say_them() -> None:
    assert [span(s) for s in (0, 5, 125, 90_061, -3)] == ["0s", "5s", "2m 5s", "1d 1h", "0s"]
    assert [size(n) for n in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]
    assert clock(1730736486, UTC) == "2024-11-04 16:08"
    assert clock(10**30) == str(10**30)
