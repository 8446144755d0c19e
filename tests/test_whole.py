"""No hole in the contract: whatever a frontend can ask or be told has its schema, its words, its proof.

One test a command and one an event; each lists what is missing, so that whoever adds one sees what it needs.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from node.bridge import guard
from node.bridge.schema import render
from node.chat import answers, commands, events
from tests.e2e.test_contract import SOMETIMES, promised
from tests.transcripts.test_native import NOT_SENT_YET, frames

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "bridge.md").read_text("utf-8")
SCHEMA = json.loads(render("json-schema"))
TYPES = render("typescript")
REFERENCE = render("markdown")
ROWS = set(re.findall(r"^\| `([a-z_]+)(?:\{.*?\})?` \| (?:read|chat|owner) \|", PAGE, re.MULTILINE))
EVENT_ROWS = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.partition("### Events")[2], re.MULTILINE))
SENT = set(re.findall(r'^> \{.*?"event"\s*:\s*"([a-z_]+)"', PAGE, re.MULTILINE))
TOLD = set(re.findall(r'^< \{.*?"event"\s*:\s*"([a-z_]+)"', PAGE, re.MULTILINE))
TRANSCRIPTS = {path.stem for path in (ROOT / "tests" / "transcripts" / "native").glob("*.txt")}
BY_CALL = {
    "hello": "every command of the command line says it",
    "attachment_put": "`gossamer attachment put` and `send --file` go over HTTP, which takes larger ones",
    "ack": "a program with a cursor of its own; `gossamer call ack`",
    "typing_set": "nobody types at a prompt that sends lines; `gossamer call typing_set`",
}
"""Commands without a word of their own on the command line, and why."""


def asked_by_the_command_line() -> set[str]:
    """Every string in the command line's code that is the name of a command."""
    found: set[str] = set()
    for path in (ROOT / "node" / "commandline").glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return found & commands.BY_NAME.keys() - {"hello"}  # said of the answer to it, not asked


COMMAND_LINE = asked_by_the_command_line() | BY_CALL.keys()


def holes(has: dict[str, bool]) -> list[str]:
    return [what for what, there in has.items() if not there]


@pytest.mark.parametrize("name", commands.BY_NAME)
def test_a_command_has_everything(name: str) -> None:
    kind = commands.BY_NAME[name].__name__
    missing = holes(
        {
            "a decision of the guard (node/bridge/guard.py SCOPES)": name in guard.SCOPES,
            "an answer (node/chat/answers)": name in answers.BY_COMMAND or name == "hello",
            "a schema (make schema)": name in SCHEMA["x-commands"] and f"{kind}Command" in SCHEMA["$defs"],
            "types": f"  {name}: {{ command: {kind}Command;" in TYPES,
            "a section of the reference": f"\n### {name}\n" in REFERENCE,
            "a row in docs/bridge.md": name in ROWS,
            "an example in docs/bridge.md": name in SENT,
            "a transcript (tests/transcripts/native)": name in TRANSCRIPTS,
            "a word on the command line": name in COMMAND_LINE,
            "a sentence in its struct": bool(commands.BY_NAME[name].__doc__),
        }
    )
    assert missing == []


@pytest.mark.parametrize("name", events.BY_NAME)
def test_an_event_has_everything(name: str) -> None:
    kind = events.BY_NAME[name].__name__
    missing = holes(
        {
            "a decision of the guard (node/bridge/guard.py SHOWN)": name in guard.SHOWN,
            "a schema (make schema)": name in SCHEMA["x-events"] and f"{kind}Event" in SCHEMA["$defs"],
            "types": f"  | {kind}Event" in TYPES,
            "a section of the reference": f"\n### {name} (event)\n" in REFERENCE,
            "a row in docs/bridge.md": name in EVENT_ROWS,
            "an example in docs/bridge.md": name in TOLD,
            "a place in a transcript": name in frames("<") | NOT_SENT_YET,
            "a sentence in its struct": bool(events.BY_NAME[name].__doc__),
        }
    )
    assert missing == []


@pytest.mark.parametrize("name", answers.BY_COMMAND)
def test_an_answer_has_the_keys_that_the_table_promises(name: str) -> None:
    wanted, rows = promised(name)
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(answers.BY_COMMAND[name])}
    some = SOMETIMES.get(name, set())
    assert fields.keys() - some == wanted - some
    for key, keys in rows.items():
        assert {field.encode_name for field in msgspec.structs.fields(get_args(fields[key])[0])} == keys


def test_what_has_no_word_of_its_own_is_still_without_one() -> None:
    assert BY_CALL.keys() <= commands.BY_NAME.keys()
    assert not BY_CALL.keys() & asked_by_the_command_line()


def test_an_event_that_is_sent_is_no_longer_excused() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "node").rglob("*.py"))
    excused = {name for name in NOT_SENT_YET if f"events.{events.BY_NAME[name].__name__}(" in code}
    assert excused == set(), "write a transcript in which it comes, and take it off NOT_SENT_YET"
