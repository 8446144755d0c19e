"""Every example of docs/bridge.md is read by the code it describes, and every command and event has one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from node.bridge.dialects.native import NativeJson
from node.bridge.guard import SCOPES
from node.chat import commands, events

PAGE = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
LINES = re.findall(r"^([><]) (\{.*\})$", PAGE, re.MULTILINE)


def test_every_command_has_an_example_that_the_node_reads() -> None:
    shown = {commands.name_of(NativeJson().decode(text)) for mark, text in LINES if mark == ">"}
    assert shown == commands.BY_NAME.keys()


def test_every_event_has_an_example_with_keys_that_exist() -> None:
    shown = set()
    for mark, text in LINES:
        if mark == "<":
            event = json.loads(text)
            shown.add(event["event"])
            kind = events.BY_NAME[event["event"]]
            known = {field.encode_name for field in msgspec.structs.fields(kind)} | {"event"}
            assert event["event"] == "ok" or event.keys() <= known, text
            msgspec.json.decode(text, type=kind)
    assert shown == events.BY_NAME.keys()


def test_the_table_of_commands_has_every_key_and_scope() -> None:
    rows = re.findall(r"^\| `([a-z_]+)(?:\{(.*?)\})?` \| (read|chat|owner) \|", PAGE, re.MULTILINE)
    assert {name: scope for name, _keys, scope in rows} == SCOPES
    for name, keys, _scope in rows:
        fields = {field.encode_name for field in msgspec.structs.fields(commands.BY_NAME[name])}
        top = set(re.findall(r"[a-z_]+", re.sub(r"\{.*?\}", "", keys)))
        assert top == fields - {"req", "nonce"}, name
